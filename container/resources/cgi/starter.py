"""The program that starts scripts: a process of its own, small, with one thread and no privileges.

Run from its file by `spawner.py`, which says over a socket what to start and what to end; it is the parent of all
scripts. It has the user and group of the scripts from its beginning, so each costs a `posix_spawn` and no
more, and what a script does to its parent cannot hurt the server. Only the standard library is imported, and
nothing of this package: an interpreter that starts with little is quickly copied.

A request is one packet of a SOCK_SEQPACKET socket: `HEAD`, then texts separated by NUL (directory, program,
arguments, names and values of the environment), with the descriptors for standard input, output and error. An
answer is one `REPORT`.
"""

# The enumerations of `signal` and `socket` are left out: a copy of this process that goes through them once touches
# ninety pages of memory more, and each touched page has to be copied.
import _operator
import _signal  # type: ignore[import-not-found]
import _socket
import marshal
import os
import resource
import select
import struct
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

# What is asked for: kind, number of the process, number of arguments, descriptors that come along.
HEAD = struct.Struct("<BIHB")
START, START_WARM, END = 1, 2, 3
# What is reported: kind, number of the process, exit code (negative: signal) or errno.
REPORT = struct.Struct("<BIi")
EXITED, FAILED = 1, 2
PACKET_MAX = 256 * 1024

# How often it is looked whether processes have left others behind that run on.
_LOOK_MS = 250
_FD = struct.Struct("i")
_ROOM = _socket.CMSG_SPACE(3 * _FD.size)
# Ignored or handled here, or by any Python: scripts get them back as the kernel made them.
_RESET = (_signal.SIGPIPE, _signal.SIGXFSZ, _signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGCHLD)


# A handler in C of two arguments: it is the wakeup that counts.
_do_nothing = _operator.is_


class Starter:
    """Starts, ends and reaps scripts until its socket is closed; then none of them is left."""

    def __init__(self, sock: _socket.socket, grace_s: float, limits: dict[int, tuple[int, int]]) -> None:
        self.sock = sock
        self.grace_s = grace_s
        self.limits = limits
        self.warm: ModuleType | None = None
        self.numbers: dict[int, int] = {}  # by pid, of those that run
        self.pids: dict[int, int] = {}  # and the other way round
        # By number, groups whose first process has ended; others of it may run on, which is looked at now and then.
        self.orphans: dict[int, int] = {}
        self.looked = 0.0
        # By pid, those that were told to end, and when they are killed; an order of time by itself.
        self.condemned: dict[int, float] = {}
        # Standard input of scripts without any: a pipe that nobody can write to.
        self.nothing, nobody = os.pipe()
        os.close(nobody)
        self.buffer = bytearray(PACKET_MAX)
        self.woken, self.wake = os.pipe()
        os.set_blocking(self.woken, False)
        os.set_blocking(self.wake, False)

    def run(self) -> None:
        # It lives exactly as long as its socket. Blocked, not ignored: a copy takes that back with one call.
        _signal.pthread_sigmask(_signal.SIG_BLOCK, (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP))
        _signal.signal(_signal.SIGCHLD, _do_nothing)
        _signal.set_wakeup_fd(self.wake, warn_on_full_buffer=False)
        poll = select.poll()
        poll.register(self.sock.fileno(), select.POLLIN)
        poll.register(self.woken, select.POLLIN)
        serving = True
        while serving or self.condemned:
            for fd, _ in poll.poll(self.patience_ms()):
                if fd == self.woken:
                    os.read(self.woken, 1024)
                    self.reap()
                elif not self.receive():
                    serving = False
                    poll.unregister(self.sock.fileno())
                    for each in [*self.pids, *self.orphans]:
                        self.end(each)
            if self.condemned:
                self.kill_overdue()
            if self.orphans:
                self.look_after_orphans()

    def patience_ms(self) -> int | None:
        for due in self.condemned.values():
            return max(1, int((due - time.monotonic()) * 1000) + 1)
        return _LOOK_MS if self.orphans else None

    def receive(self) -> bool:
        """Do what one packet asks for; False when the server has gone."""
        try:
            size, ancillary, _, _ = self.sock.recvmsg_into([self.buffer], _ROOM, _socket.MSG_CMSG_CLOEXEC)
        except ConnectionError:
            return False
        if not size:
            return False
        fds = [fd for _, _, octets in ancillary for (fd,) in _FD.iter_unpack(octets)]
        try:
            kind, number, count, expected = HEAD.unpack_from(self.buffer)
            if kind == END:
                self.end(number)
            elif len(fds) != expected:
                self.report(FAILED, number, 24)  # EMFILE: the kernel could not hand them over
            else:
                streams = [self.nothing, *fds] if expected == 2 else list(fds)
                self.start(kind, number, bytes(memoryview(self.buffer)[HEAD.size : size]), count, streams)
        finally:
            for fd in fds:
                os.close(fd)
        return True

    def start(self, kind: int, number: int, texts: bytes, count: int, streams: list[int]) -> None:
        directory, program, rest = texts.split(b"\0", 2)
        try:
            os.chdir(directory)
            if kind == START_WARM and self.warm is not None:
                script = self.warm.load(program)
                if self.warm.looks:
                    self.warm.settle(divide(rest, count)[1])
                pid = os.fork()
                if not pid:
                    self.become(streams)
                    self.warm.run(script, *divide(rest, count))
            else:
                arguments, environment = divide(rest, count)
                pid = os.posix_spawn(
                    program,
                    arguments,
                    environment,
                    file_actions=[
                        (os.POSIX_SPAWN_DUP2, streams[0], 0),
                        (os.POSIX_SPAWN_DUP2, streams[1], 1),
                        (os.POSIX_SPAWN_DUP2, streams[2], 2),
                    ],
                    setpgroup=0,
                    setsigdef=_RESET,
                    setsigmask=(),
                )
        except OSError as error:
            self.report(FAILED, number, error.errno or 0)
            return
        self.numbers[pid] = number
        self.pids[number] = pid
        for kind_of_limit, values in self.limits.items():
            try:
                resource.prlimit(pid, kind_of_limit, values)
            except OSError:  # it has ended already
                break

    def become(self, streams: list[int]) -> None:
        """In the new process: a group, signals and descriptors as a script finds them."""
        os.setpgid(0, 0)
        _signal.set_wakeup_fd(-1)
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
        os.dup2(streams[0], 0)
        os.dup2(streams[1], 1)
        os.dup2(streams[2], 2)
        os.closerange(3, max(*streams, self.sock.fileno(), self.woken, self.wake) + 1)

    def end(self, number: int) -> None:
        """SIGTERM to the group of a process; what is left of it after the grace gets SIGKILL."""
        pid = self.pids.get(number) or self.living_orphan(number)
        if pid is not None and pid not in self.condemned:
            self.condemned[pid] = time.monotonic() + self.grace_s
            signal_group(pid, _signal.SIGTERM)
            signal_group(pid, _signal.SIGCONT)

    def living_orphan(self, number: int) -> int | None:
        """The group a process has left behind, unless a new one has its number by now."""
        pid = self.orphans.pop(number, None)
        if pid is None:
            return None
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return pid
        except PermissionError:
            return None
        return None

    def kill_overdue(self) -> None:
        now = time.monotonic()
        for pid, due in list(self.condemned.items()):
            if due > now:
                break
            signal_group(pid, _signal.SIGKILL)
            del self.condemned[pid]

    def reap(self) -> None:
        while self.numbers:
            which = -1
            if self.condemned:
                # Only looked at first: as long as it is not reaped its number, and so that of its group, is its own.
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if found is None:
                    break
                which = found.si_pid
                if which in self.condemned:
                    signal_group(which, _signal.SIGKILL)
            pid, status = os.waitpid(which, os.WNOHANG)
            if not pid:
                break
            number = self.numbers.pop(pid, None)
            if number is None:
                continue
            del self.pids[number]
            if self.condemned.pop(pid, None) is None:
                self.orphans[number] = pid
            self.report(EXITED, number, os.waitstatus_to_exitcode(status) if status else 0)

    def look_after_orphans(self) -> None:
        """Forget the groups that are empty. Not at each end of a process: there are none most often, and to hear
        that costs an exception."""
        now = time.monotonic()
        if now >= self.looked + _LOOK_MS / 1000:
            self.looked = now
            self.orphans = {number: pid for number, pid in self.orphans.items() if signal_group(pid, 0)}

    def report(self, kind: int, number: int, value: int) -> None:
        try:
            self.sock.send(REPORT.pack(kind, number, value))
        except OSError:  # the server has gone, which the next look at the socket tells
            pass


def divide(texts: bytes, count: int) -> tuple[list[bytes], dict[bytes, bytes]]:
    """Arguments and environment of a script."""
    found = texts.split(b"\0")
    variables = iter(found[count:])
    return found[:count], dict(zip(variables, variables, strict=True))


def signal_group(pid: int, number: int) -> bool:
    """Whether there is somebody in the group who could be told."""
    try:
        os.killpg(pid, number)
    except OSError:
        return False
    return True


def main(fd: str, settings: str) -> None:
    """Run until the socket with the descriptor `fd` is closed. `settings`: a dictionary by `marshal`, as hexadecimal
    digits."""
    sock = _socket.socket(fileno=int(fd))
    os.set_inheritable(sock.fileno(), False)
    setting = marshal.loads(bytes.fromhex(settings))
    warm = None
    if setting["warm"] is not None:
        # First: the interpreter's own files may be out of reach for the scripts' user.
        warm = load_module(setting["warm"])
        warm.prepare(setting["preload"])
        warm.offered.update(setting["offered"])
        warm.rehearse()
    if setting["identity"] is not None:
        uid, gid, groups = setting["identity"]
        take_identity(uid, gid, groups, warm)
    if setting["umask"] is not None:
        os.umask(setting["umask"])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    starter = Starter(sock, setting["grace_s"], setting["limits"])
    starter.warm = warm
    starter.run()


def take_identity(uid: int, gid: int, groups: list[int], warm: "ModuleType | None") -> None:
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, 0)
    if warm is not None and not os.access(os.__file__, os.R_OK):
        directory = os.path.dirname(os.__file__)
        print(f"user {uid} cannot read {directory}: warm scripts import nothing", file=sys.stderr)
        os.setresuid(0, 0, 0)
        warm.prepare(sorted(warm.offered))  # there is no later
        warm.offered.clear()
    os.setresuid(uid, uid, uid)


def load_module(path: str) -> "ModuleType":
    """The module in a file, without looking at where this program lies for any other."""
    from importlib.machinery import SourceFileLoader

    module = type(sys)("warm")
    SourceFileLoader("warm", path).exec_module(module)
    return module
