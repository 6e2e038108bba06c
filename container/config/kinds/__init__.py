"""What can be mounted by name, a topic a file; registry.py has them all."""
