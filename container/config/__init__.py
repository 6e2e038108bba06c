"""Where options come from, and what they build."""
