"""Files of the disk as a resource: one directory, several laid over each other, or a single file."""

from container.resources.static.processed import Processor
from container.resources.static.resource import Files

__all__ = ["Files", "Processor"]
