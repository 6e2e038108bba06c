"""Sessions: the wrapper that gives requests their session, and the stores that keep them, one a file."""

from container.sessions.memory import MemoryStore
from container.sessions.wrapper import Sessions

__all__ = ["MemoryStore", "Sessions"]
