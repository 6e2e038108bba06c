"""The command, as the tests of the system start it, and a Redis."""

from tests.redis_server import redis_server
from tests.system.conftest import start

__all__ = ["redis_server", "start"]
