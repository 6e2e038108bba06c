"""A place for temporary files where none of the usual ones can be written to, as in a container whose file system is
read-only. What is kept in them: content of requests that is too long for memory (message/body.py)."""

import logging
import tempfile
from typing import Final

log = logging.getLogger("container.server")

# A file system in memory, of a size that somebody has chosen: there where nothing else is.
SHARED_MEMORY: Final = "/dev/shm"


def find_temporary_place() -> None:
    """Once a process, before it serves; say so when there is none."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        pass
    else:
        return
    try:
        tempfile.TemporaryFile(dir=SHARED_MEMORY).close()
    except OSError:
        log.warning(
            "no directory for temporary files can be written to: "
            "long content is refused with 503 until TMPDIR names one"
        )
    else:
        tempfile.tempdir = SHARED_MEMORY
        log.info("temporary files go to %s: no other directory can be written to", SHARED_MEMORY)
