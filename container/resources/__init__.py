"""What can be mounted, one kind a file."""
