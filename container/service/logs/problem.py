"""What can be wrong with a log before anything is served."""


class LogProblem(ValueError):
    """A log that cannot be opened or configured. The message is one line."""
