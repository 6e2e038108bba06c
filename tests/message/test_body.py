import errno
import gc
import io
from collections.abc import Callable
from typing import Any

import pytest

from container.message.body import EMPTY, Body, SpoolQuota
from container.message.errors import ProtocolError


def filled(*pieces: bytes, complete: bool = True) -> Body:
    body = Body()
    for piece in pieces:
        body.feed(piece)
    if complete:
        body.finish([])
    return body


def test_content_is_taken_as_it_came() -> None:
    body = filled(b"ab", b"cd", complete=False)
    assert (body.held, body.received, body.complete, body.length) == (4, 4, False, None)
    assert body.take() == b"abcd"
    assert (body.held, body.received, body.take()) == (0, 4, b"")
    body.feed(b"ef")
    body.finish([(b"x", b"y")])
    assert (body.take(), body.received, body.complete, body.trailers) == (b"ef", 6, True, [(b"x", b"y")])


@pytest.mark.parametrize(
    ("limit", "taken"),
    [
        (1, [b"a", b"b", b"c", b"d", b"e"]),
        (2, [b"ab", b"c", b"de"]),
        (3, [b"abc", b"de"]),
        (4, [b"abc", b"de"]),
        (5, [b"abcde"]),
        (9, [b"abcde"]),
        (None, [b"abcde"]),
    ],
)
def test_no_more_is_taken_than_asked_for(limit: int | None, taken: list[bytes]) -> None:
    body = filled(b"abc", b"de")
    pieces = []
    while body.held:
        before = body.held
        pieces.append(body.take(limit))
        assert body.held == before - len(pieces[-1])
    assert pieces == taken


def test_taking_nothing_changes_nothing() -> None:
    body = filled(b"abc")
    assert body.take(0) == b""
    assert body.take() == b"abc"
    assert body.take(0) == b""


def test_the_first_failure_counts() -> None:
    body = filled(b"ab", complete=False)
    first, second = ProtocolError(400, "first"), ConnectionError("second")
    body.fail(first)
    body.fail(second)
    assert (body.error, body.complete) == (first, False)


def test_complete_content_cannot_fail() -> None:
    body = filled(b"ab")
    body.fail(ConnectionError())
    assert body.error is None


def spooled(memory: int, *pieces: bytes, quota: SpoolQuota | None = None) -> Body:
    body = Body()
    body.spool(memory, quota or SpoolQuota(1000))
    for piece in pieces:
        body.feed(piece)
    body.finish([])
    return body


@pytest.mark.parametrize("memory", [0, 1, 3, 4, 5, 100])
def test_spooled_content_is_a_file_wherever_it_is_kept(memory: int) -> None:
    body = spooled(memory, b"abc", b"de\n", b"f")
    assert body.held == (7 if memory > 6 else 0)
    file = body.file()
    assert (file.tell(), file.readline(), file.read(), file.read()) == (0, b"abcde\n", b"f", b"")
    assert file.seek(1) == 1
    assert file.read(2) == b"bc"
    body.discard()


def test_a_file_on_disk_begins_anew_each_time() -> None:
    body = spooled(0, b"abc")
    for _ in range(2):
        assert body.file().read() == b"abc"
    body.discard()


def test_what_came_before_spooling_is_kept_too() -> None:
    for memory in (0, 2, 4, 10):
        quota = SpoolQuota(6)
        body = filled(b"abcd", complete=False)
        body.spool(memory, quota)
        body.feed(b"ef")
        body.finish([])
        assert quota.used == 6
        assert body.file().read() == b"abcdef"
        body.discard()
        assert quota.used == 0


def test_memory_is_left_only_when_it_is_exceeded() -> None:
    body = Body()
    body.spool(4, SpoolQuota(100))
    body.feed(b"abcd")
    assert body.held == 4
    body.feed(b"e")
    assert body.held == 0
    body.finish([])
    assert body.file().read() == b"abcde"
    body.discard()


def test_content_without_spooling_is_a_file_in_memory() -> None:
    file = filled(b"abc").file()
    assert isinstance(file, io.BytesIO)
    assert file.read() == b"abc"
    assert EMPTY.file().read() == b""


def test_a_file_of_unfinished_content_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        filled(b"abc", complete=False).file()


def test_the_quota_is_shared_and_given_back() -> None:
    quota = SpoolQuota(10)
    first, second = spooled(100, b"1234567", quota=quota), Body()
    second.spool(0, quota)
    second.feed(b"123")
    assert quota.used == 10
    with pytest.raises(ProtocolError) as caught:
        second.feed(b"4")
    assert caught.value.status == 503
    second.discard()
    assert quota.used == 7
    first.discard()
    first.discard()
    assert quota.used == 0


def test_content_that_came_before_spooling_must_fit_the_quota() -> None:
    quota = SpoolQuota(3)
    body = filled(b"abcd", complete=False)
    with pytest.raises(ProtocolError, match="quota of 3 bytes"):
        body.spool(100, quota)
    body.discard()
    assert quota.used == 0


def test_spooling_twice_counts_once() -> None:
    quota = SpoolQuota(100)
    body = filled(b"abcd", complete=False)
    body.spool(2, quota)
    body.spool(100, quota)
    body.feed(b"ef")
    assert quota.used == 6
    body.discard()
    assert quota.used == 0


def test_discarded_content_is_only_counted() -> None:
    for body in (filled(b"abc", complete=False), Body()):
        received = body.received
        body.discard()
        body.feed(b"de")
        body.finish([])
        assert (body.held, body.take(), body.received, body.complete) == (0, b"", received + 2, True)


@pytest.mark.parametrize("memory", [0, 100])
def test_discarding_closes_the_file_and_leaves_no_warning(memory: int) -> None:
    body = spooled(memory, b"abc")
    file = body.file()
    body.discard()
    assert file.closed == (memory == 0)
    del body, file
    gc.collect()


def test_content_discarded_while_it_comes_needs_no_quota() -> None:
    quota = SpoolQuota(10)
    body = Body()
    body.spool(0, quota)
    body.feed(b"12345678")
    body.discard()
    body.feed(b"12345678")
    assert (quota.used, body.received) == (0, 16)


class FullDisk(io.BytesIO):
    def write(self, data: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def close(self) -> None:
        super().close()
        raise OSError(errno.ENOSPC, "No space left on device")


def no_disk(**_options: Any) -> FullDisk:
    raise PermissionError(errno.EACCES, "Permission denied")


@pytest.mark.parametrize("temporary_file", [lambda **_: FullDisk(), no_disk])
def test_a_full_disk_is_no_bug_of_ours(
    temporary_file: Callable[..., FullDisk], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.TemporaryFile", temporary_file)
    quota = SpoolQuota(100)
    body = Body()
    body.spool(2, quota)
    with pytest.raises(ProtocolError, match="disk") as caught:
        body.feed(b"abc")
    assert caught.value.status == 503
    body.discard()
    assert quota.used == 0


def test_the_empty_body_is_shared_and_unchangeable() -> None:
    EMPTY.discard()
    EMPTY.fail(ConnectionError())
    assert (EMPTY.length, EMPTY.complete, EMPTY.held, EMPTY.error, EMPTY.take()) == (0, True, 0, None, b"")
    assert EMPTY.trailers == []
