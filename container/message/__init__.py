"""What HTTP says: values without I/O, clock or threads."""
