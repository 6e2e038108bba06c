"""Whom the process becomes and where it lives, once its sockets are open and its code is loaded.

Here: user and group with all that goes with them, umask, chroot, working directory. Names are looked up before
the chroot hides the files that know them. Not here: the file with the process id (pidfile.py).
"""

from __future__ import annotations

import codecs
import os
import re
from dataclasses import dataclass
from typing import Final

_NUMBER: Final = re.compile(r"[0-9]{1,10}")


class PrivilegeProblem(Exception):
    """The process cannot become what it shall be. The message is one line."""


@dataclass(frozen=True, slots=True)
class Privileges:
    """What to give up; None: stay as it is. `rundir` is looked for below `chroot`."""

    uid: int | None = None
    gid: int | None = None
    umask: int | None = None
    chroot: str | None = None
    rundir: str | None = None

    def check(self) -> None:
        """PrivilegeProblem for directories that are not there."""
        root = self.chroot or ""
        places = (
            ("chroot to", self.chroot, root),
            ("change to", self.rundir, _below(root, self.rundir or "")),
        )
        for what, path, place in places:
            if path is not None and not os.path.isdir(place):
                raise PrivilegeProblem(f"cannot {what} {path!r}: no such directory")

    def drop(self) -> None:
        """chroot, directory, umask, group, user, in this order; PrivilegeProblem for what cannot be done."""
        try:
            groups = groups_of(self.uid, self.gid)
        except OSError as error:
            raise self._problem(error) from error
        codecs.lookup("idna")  # names of hosts need it, and the library may be out of reach soon
        _enter(self.chroot, self.rundir)
        if self.umask is not None:
            os.umask(self.umask)
        try:
            _become(self.uid, *groups)
        except OSError as error:
            raise self._problem(error) from error
        if self.uid and _can_return():
            raise PrivilegeProblem(f"cannot become uid {self.uid} for good: the rights could be taken back")

    def _problem(self, error: OSError) -> PrivilegeProblem:
        return PrivilegeProblem(f"cannot become uid {self.uid}, gid {self.gid}: {error.strerror}")


def find_user(name: str) -> int:
    """The number of a user by name or number; PrivilegeProblem for a name this system does not know."""
    if _NUMBER.fullmatch(name):
        return int(name)
    import pwd  # late: POSIX only

    try:
        return pwd.getpwnam(name).pw_uid
    except (KeyError, ValueError):
        raise PrivilegeProblem(f"expected a number or a user this system knows, got {name!r}") from None


def find_group(name: str) -> int:
    """The number of a group by name or number; PrivilegeProblem for a name this system does not know."""
    if _NUMBER.fullmatch(name):
        return int(name)
    import grp  # late: POSIX only

    try:
        return grp.getgrnam(name).gr_gid
    except (KeyError, ValueError):
        raise PrivilegeProblem(f"expected a number or a group this system knows, got {name!r}") from None


def become(uid: int | None, gid: int | None) -> None:
    """Give up the rights the process was started with. The group is the user's unless one is given."""
    _become(uid, *groups_of(uid, gid))


def groups_of(uid: int | None, gid: int | None) -> tuple[int | None, list[int]]:
    """The group, and all groups, of a process of that user; the group is the user's unless one is given."""
    if uid is None:
        return gid, [] if gid is None else [gid]
    import pwd  # late: POSIX only

    try:
        account = pwd.getpwuid(uid)
    except KeyError:  # a number without an account, as in containers
        return gid, [] if gid is None else [gid]
    gid = account.pw_gid if gid is None else gid
    return gid, os.getgrouplist(account.pw_name, gid)


def _become(uid: int | None, gid: int | None, groups: list[int]) -> None:
    if (uid, gid) == (None, None):
        return
    if os.geteuid() == 0:
        os.setgroups(groups)
    if gid is not None:
        os.setgid(gid)
    if uid is not None:
        os.setuid(uid)


def _can_return() -> bool:
    """Were the rights only put aside, as by a saved user id or a capability?"""
    try:
        os.setuid(0)
    except OSError:
        return False
    return True


def _enter(chroot: str | None, rundir: str | None) -> None:
    for what, path, go in (("chroot to", chroot, _chroot), ("change to", rundir, os.chdir)):
        if path is None:
            continue
        try:
            go(path)
        except OSError as error:
            raise PrivilegeProblem(
                f"cannot {what} {path!r}: {(error.strerror or str(error)).lower()}"
            ) from error


def _below(root: str, path: str) -> str:
    """Where `path` leads once `root` is the root, which then is the working directory as well."""
    return os.path.join(root, path.lstrip("/")) if root else path


def _chroot(path: str) -> None:
    os.chroot(path)
    os.chdir("/")
