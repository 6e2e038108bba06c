"""Files of accounts as Apache's tools write them, htpasswd and htdigest, read again when they have changed."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Final

log = logging.getLogger("container.auth")

_SIZE_MAX: Final = 16 << 20
_LOOK_S: Final = 1.0

Line = Callable[[list[str]], tuple[str, str] | None]


class AccountFile:
    """Lines `name:...` of a file in UTF-8, by name. Empty lines and those that begin with # are passed over.

    `entry` makes key and value of the fields of a line, None of one it does not understand, which is logged and
    gives nobody a way in. Raises ValueError when the file cannot be read now. Later on a file that cannot be
    read is logged and lets nobody in until it can. It is looked at once a second at most.
    """

    def __init__(
        self, path: str | os.PathLike[str], entry: Line, *, clock: Callable[[], float] = monotonic
    ) -> None:
        self.path = Path(path)
        self._entry = entry
        self._clock = clock
        self._looked = clock()
        self._seen: tuple[int, int, int] | None = None
        self._accounts: dict[str, str] = {}
        try:
            self._read(self._state())
        except (OSError, ValueError) as error:
            raise ValueError(
                f"expected a file of accounts that can be read, got {str(path)!r}: {_reason(error)}"
            ) from error

    def accounts(self) -> dict[str, str]:
        """As of now, or of a second ago."""
        now = self._clock()
        if now - self._looked >= _LOOK_S:
            self._looked = now
            try:
                state = self._state()
                if state != self._seen:
                    self._read(state)
            except (OSError, ValueError) as error:
                if self._seen is not None:
                    log.error("%s cannot be read, nobody is let in by it: %s", self.path, _reason(error))
                self._seen = None
                self._accounts = {}
        return self._accounts

    def _state(self) -> tuple[int, int, int]:
        found = os.stat(self.path)
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self, state: tuple[int, int, int]) -> None:
        if state[1] > _SIZE_MAX:
            raise ValueError(f"it is larger than {_SIZE_MAX} bytes")
        accounts: dict[str, str] = {}
        for number, line in enumerate(self.path.read_text("utf-8").split("\n"), 1):
            line = line.rstrip("\r")
            if not line.strip() or line.startswith("#"):
                continue
            found = self._entry(line.split(":"))
            if found is None or found[0] in accounts:
                what = "not understood" if found is None else "there already"
                log.warning("%s, line %d: an account that is %s is ignored", self.path, number, what)
            else:
                accounts[found[0]] = found[1]
        self._accounts, self._seen = accounts, state


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return (error.strerror or str(error)).lower()
    return "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)
