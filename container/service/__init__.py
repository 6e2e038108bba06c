"""The process: listening, serving, draining, stopping."""
