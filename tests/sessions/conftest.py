"""What stores are tested against."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from tests.redis_server import own_redis, redis_server

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["own_redis", "redis_server"]


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port of the loopback where somebody listens who never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]
