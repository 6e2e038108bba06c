"""Parts of files: how much is sent, and who closes them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from container.message.file_body import FileBody, PartsBody, lies_inside

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "f.bin"
    path.write_bytes(b"0123456789" * 50_000)
    return path


def test_a_file_is_given_as_path_descriptor_or_object(path: Path) -> None:
    content = path.read_bytes()
    with path.open("rb") as file:
        file.seek(7)
        assert b"".join(FileBody.of(file)) == content[7:]
        assert b"".join(FileBody.of(file, offset=3, count=4)) == b"3456"
        assert b"".join(FileBody.of(file.fileno(), count=5)) == b"01234"
        assert file.tell() == 7
    assert b"".join(FileBody.of(path)) == content
    assert b"".join(FileBody.of(str(path), offset=499_998)) == b"89"


@pytest.mark.parametrize(("offset", "count"), [(0, 500_001), (500_001, None), (-1, 3), (499_999, 2), (0, -1)])
def test_a_part_that_is_not_there_is_refused(path: Path, offset: int, count: int | None) -> None:
    if offset == 500_001 and count is None:
        assert FileBody.of(path, offset=offset).count == 0
        return
    with pytest.raises(ValueError, match="expected a part of 500000 bytes"):
        FileBody.of(path, offset=offset, count=count)


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for name in ("fifo", "."):
        with pytest.raises(ValueError, match="expected a regular file"):
            FileBody.of(tmp_path / name)


def test_a_body_can_be_narrowed_and_closed_twice(path: Path) -> None:
    body = FileBody.of(path)
    body.narrow(10, 20)
    body.narrow(5, 3)
    assert b"".join(body) == b"567"
    body.close()
    body.close()
    assert body.fileno() == -1


def test_a_file_that_has_shrunk_is_an_error(path: Path) -> None:
    body = FileBody.of(path)
    os.truncate(path, 100)
    with pytest.raises(EOFError, match="expected 500000 bytes in a file, got 100"):
        b"".join(body)


def test_parts_close_their_file(path: Path) -> None:
    body = FileBody.of(path)
    parts = PartsBody(body, [(b"<", 0, 3), (b"|", 5, 2)], b">")
    assert b"".join(parts) == b"<012|56>"
    assert parts.count == 8
    parts.close()
    assert body.fileno() == -1
    of_bytes = PartsBody(b"abcdef", [(b"", 1, 2)], b".")
    assert b"".join(of_bytes) == b"bc."
    of_bytes.close()


def test_where_an_open_file_lies(tmp_path: Path, path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "link").symlink_to(path)
    with (tmp_path / "link").open("rb") as file:
        inside = [os.fsencode(tmp_path)]
        assert lies_inside(file.fileno(), inside)
        assert lies_inside(file.fileno(), [b"/"])
        assert not lies_inside(file.fileno(), [os.fsencode(tmp_path / "other")])
        assert not lies_inside(file.fileno(), [])
        assert lies_inside(file.fileno(), [b"/nowhere", *inside])
