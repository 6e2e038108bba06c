"""Wrong configurations: each is one line that names the place and says what was expected, and no traceback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from container.cli.main import PROBLEMS, report
from container.config.file import BY_NAME
from container.config.kinds.registry import KINDS
from container.config.options import OPTIONS
from container.config.policy import BY_NAME as POLICIES
from tests.config.said import assembled

if TYPE_CHECKING:
    from pathlib import Path

_MOUNT = '[[mount]]\npath = "/x"\n'
# The text of a file, and what is said of it.
IN_FILES = [
    ("threads = ", ":1: expected TOML, got an error: invalid value"),
    ("a b = 1", ":1: expected TOML, got an error: expected '=' after a key in a key/value pair"),
    ('threads = 1\nthreads = 2', ":2: expected TOML, got an error: cannot overwrite a value"),
    ("thread = 1", ':1: expected a known option, got "thread" (did you mean "threads"?)'),
    ("queue_limit = 1", ':1: expected a known option, got "queue_limit" (did you mean "queue-limit"?)'),
    ("\n\nmounts = 1", ':3: expected a known option, got "mounts" (did you mean "mount"?)'),
    ("zzz = 1", ':1: expected a known option, got "zzz"'),
    ('config = "x"', ':1: expected an option of files, got "config": it is for the command line only'),
    ('vhost = "a=b"', ':1: expected a known option, got "vhost": in a file that is [[mount]] with host'),
    ('mount-option = "a"', ':1: expected a known option, got "mount-option": in a file that is a key of [[mount]]'),
    ('threads = "x"', ":1: expected a number from 0 to 10000 for threads, got 'x'"),
    ("threads = -1", ":1: expected a number from 0 to 10000 for threads, got -1"),
    ("threads = 1.5", ":1: expected a number from 0 to 10000 for threads, got 1.5"),
    ("threads = true", ":1: expected a number from 0 to 10000 for threads, got true"),
    ("threads = [1]", ":1: expected a number from 0 to 10000 for threads, got a list"),
    ("listing = 1", ":1: expected true or false for listing, got 1"),
    ('listing = "yes"', ":1: expected true or false for listing, got 'yes'"),
    ('limit-request-body = "ten"', ":1: expected a size such as 10M for limit-request-body, got 'ten'"),
    ("limit-request-body = -1", ":1: expected a size such as 10M for limit-request-body, got -1"),
    ("limit-request-line = 1", ":1: expected a size from 16 to 1M for limit-request-line, got '1'"),
    ('keep-alive = "1y"', ":1: expected a duration such as 30, 500ms or 5m for keep-alive, got '1y'"),
    ("keep-alive = [5]", ":1: expected a duration such as 30, 500ms or 5m for keep-alive, got a list"),
    ('log-level = "loud"', ":1: expected debug, info, warning, error, critical for log-level, got 'loud'"),
    ('lifespan = "of"', ":1: expected auto, on, off for lifespan, got 'of' (did you mean \"off\"?)"),
    ("path = 1", ":1: expected text for path, got 1"),
    ('path = ""', ":1: expected DIR for path, got ''"),
    ('listen = ["tcp:80", "tpc:81"]', ":1: expected \"tcp:PORT\", got 'tpc:81' (did you mean \"tcp\"?)"),
    ("listen = [80]", ":1: expected text for listen[1], got 80"),
    ("[headers]\n\"a b\" = 'c'", ":1: expected a token as field name, got 'a b'"),
    ("[headers]\nConnection = 'close'",
     ":1: expected a field that is not the server's own for headers[1], got 'Connection: close'"),
    ("headers = 1", ":1: expected text for headers, got 1"),
    ('compress = "gz"', ":1: expected br, deflate, gzip, zstd as encoder, got 'gz' (did you mean \"gzip\"?)"),
    ('forwarded-allow-ips = "10.0.0.1/8"',
     ':1: expected an address or a network such as 10.0.0.0/8, got "10.0.0.1/8" (10.0.0.1/8 has host bits set)'),
    ('umask = "999"', ":1: expected an octal number such as 027 for umask, got '999'"),
    ('ssl-min-version = "1.1"', ":1: expected 1.2 or 1.3 for ssl-min-version, got '1.1'"),
    ("ssl-keyfile-password = 12345", ":1: expected text for ssl-keyfile-password, got something else"),
    ("mount = 1", ":1: expected tables [[mount]] for mount, got 1"),
    ("[[mount]]\nfiles = 'public'", ':1: expected path = "/prefix" in mount[1], got none'),
    ("[[mount]]\npath = 'x'\nfiles = 'public'", ":1: expected \"/prefix\" for mount[1].path, got 'x'"),
    ("[[mount]]\npath = 1\nfiles = 'public'", ":1: expected text for mount[1].path, got 1"),
    ("[[mount]]\npath = '/a//b'\nfiles = 'public'",
     ":1: expected a prefix without empty segments, got '/a//b' in '/a//b'"),
    ("[[mount]]\nhost = 'a b'\nfiles = 'public'", ":1: expected the name of a host, got 'a b' in 'a b'"),
    (_MOUNT + "files = 'public'\n[[mount]]\npath = '/%78'\nfiles = 'other'",
     "expected one mount at /x, got 'mount[1]' and 'mount[2]'"),
    ("[[mount]]\npath = '/../a'\nfiles = 'public'",
     ":1: expected a prefix without dot segments and %2F, got '/../a' in '/../a'"),
    ("[[mount]]\npath = '/a/%2E'\nfiles = 'public'",
     ":1: expected a prefix without dot segments and %2F, got '/a/%2E' in '/a/%2E'"),
    ("[[mount]]\npath = '/a%2fb'\nfiles = 'public'",
     ":1: expected a prefix without dot segments and %2F, got '/a%2fb' in '/a%2fb'"),
    (_MOUNT, ":1: expected one kind, such as wsgi or files, in mount[1], got none"),
    (_MOUNT + "wgsi = 'hello:application'",
     ':1: expected one kind, such as wsgi or files, in mount[1], got none (did you mean "wsgi"?)'),
    (_MOUNT + "files = 'public'\nwsgi = 'hello'",
     ":1: expected one kind, such as wsgi or files, in mount[1], got files and wsgi"),
    ("[[mount]]\npath = '/'\nvhosts = 'public'\n[[mount]]\npath = '/x'\nfiles = 'public'",
     ":4: expected VirtualHosts with a default to mount 'x' in, got one without"),
    ("[[mount]]\nhost = 'a'\npath = '/x'\nvhosts = 'public'\n[[mount]]\nhost = 'a'\npath = '/x/y'\n"
     "files = 'public'", ":5: expected VirtualHosts with a default to mount 'y' in, got one without"),
    (_MOUNT + "files = 1", ":3: expected text for mount[1].files, got 1"),
    (_MOUNT + "files = ''", ':1: expected something after "files:", got nothing'),
    (_MOUNT + "files = 'nowhere'", ":1: expected a directory, got 'nowhere': nothing is there"),
    (_MOUNT + "object = '<x>'",
     ":1: expected what can be made of a file in mount[1], got an object that only Python has"),
    (_MOUNT + "files = 'public'\nlistin = true",
     ':4: expected a key of files, got mount[1].listin (did you mean "listing"?)'),
    (_MOUNT + "files = 'public'\nthreads = 1", ":4: expected a key of files, got mount[1].threads"),
    (_MOUNT + "wsgi = 'hello:application'\nthreads = 'x'",
     ":4: expected a number from 0 to 10000 for mount[1].threads, got 'x'"),
    (_MOUNT + "wsgi = 'hello:application'\n\n[[mount]]\npath = '/y'\nfiles = 'public'\nindex = [1]",
     ":8: expected text for mount[2].index[1], got 1"),
    (_MOUNT + "files = 'public'\nindex = ['a/b']", ":1: expected a list of file names as index, got ['a/b']"),
    (_MOUNT + "files = 'public'\nimmutable = '['",
     ":1: expected a regular expression as immutable, got '[': unterminated character set at position 0"),
    ("host = ':x'", ":1: expected a name or an address for host, got ':x'"),
    (_MOUNT + "files = 'public'\nprocessors = { x = 'hello:Old' }",
     ":1: expected an extension such as \".md\" for processors, got 'x'"),
    (_MOUNT + "files = 'public'\nlinks = 'no'",
     ":4: expected follow, inside, refuse for mount[1].links, got 'no'"),
    (_MOUNT + "app = 'page:page'\nthreads = 1", ":4: expected a key of any mount, got mount[1].threads"),
    (_MOUNT + "files = 'public'\nallow = ['10.0.0.0/33']",
     ':4: expected an address or a network such as 10.0.0.0/8, got "10.0.0.0/33"'),
    (_MOUNT + "files = 'public'\nrate-limit = '10'",
     ':4: expected a rate such as "10/s", "100/m" or "10/s:50" for mount[1].rate-limit, got \'10\''),
    (_MOUNT + "files = 'public'\nhtpasswd = 'nobody.txt'", ":4: expected"),
    (_MOUNT + "files = 'public'\nsessions = 'mysql:x'",
     ":4: expected memory, sqlite:PATH or redis://HOST:PORT/DATABASE as session store, got 'mysql:x'"),
    (_MOUNT + "files = 'public'\nrewrites = { '(' = '/' }", ":4: expected a regular expression, got '('"),
    (_MOUNT + "files = 'public'\nrewrites = { '/(.*)' = '/{2}' }", ":4: expected groups of the pattern in '/{2}'"),
    (_MOUNT + "files = 'public'\nrewrites = { '/a' = 'http://b/' }", ':4: expected a path as "/path" to rewrite to'),
    (_MOUNT + "files = 'public'\nrewrites = { '/a' = '200 /b' }", ":4: expected"),
    (_MOUNT + "files = 'public'\nvariables = 1", ":4: expected a table for mount[1].variables, got 1"),
    (_MOUNT + "files = 'public'\n[mount.headers]\nConnection = 'close'",
     ":4: expected a field that is not the server's own for mount[1].headers, got 'Connection: close'"),
    (_MOUNT + "proxy = 'ftp://a'", ":1: expected"),
    (_MOUNT + "redirect = '/'\nstatus = 304", ":1: expected"),
    (_MOUNT + "cgi = 'cgi-bin'\ninterpreters = { '.x' = 'no-such-program' }",
     ":1: expected an interpreter that is installed, got 'no-such-program'"),
    (_MOUNT + "files = 'public'\n[[mount]]\npath = '/x/'\nfiles = 'other'",
     "expected one mount at /x, got 'mount[1]' and 'mount[2]'"),
    ("path = 'public'\n[[mount]]\npath = '/'\nfiles = 'other'", "expected one root, got --path and"),
    ("a = " + "[" * 3000 + "]" * 3000, ": expected TOML, got lists or tables nested too deeply"),
    ("a = " + "{a = " * 3000 + "1" + "}" * 3000, ": expected TOML, got lists or tables nested too deeply"),
    ("\nthreads = " + "9" * 5000, ":2: expected TOML, got a number of too many digits"),
    ("\ufeffthreads = 1", ":1: expected TOML, got an error: a byte order mark"),
    ('[env]\nA = "a\\u0000b"', ":2: expected text without NUL, got 'a\\x00b'"),
    ('[env]\n"A\\U00000000" = "b"', ":2: expected text without NUL, got 'A\\x00'"),
    (_MOUNT + 'files = "public"\naccess-log = "a\\u0000b"', ":4: expected text without NUL, got 'a\\x00b'"),
    ('[env]\n"A=B" = "x"', ":1: expected names without '=' for env, got 'A=B'"),
    ('[env]\n"" = "x"', ":1: expected a name without '=', and no NUL, for env[1], got ''"),
    ("[env]\nA = 1", ":1: expected text for env.A, got 1"),
    ("[env]\nA = [true]", ":1: expected text for env.A, got true"),
    ("env = 'A'", ":1: expected NAME=VALUE for env, got 'A'"),
    ("[headers]\n'a:b' = 'c'", ":1: expected names without ':' for headers, got 'a:b'"),
    ("[[site.site]]", ":1: expected tables [[site]] for site, got a table"),
    ("[[site]]\n[[site.site]]", ":2: expected an option of a site, got another [[site]] inside"),
    (_MOUNT + "proxy = 'ftp://x/'",
     ':1: expected "http://host:port", "https://host" or "unix:/path", got \'ftp://x/\'\n'),
    (_MOUNT + "proxy = 'http://x:99999/'",
     ":1: expected a host and perhaps a port from 1 to 65535 after http://, got 'http://x:99999/'"),
    (_MOUNT + "files = 'public'\nforward-auth = 'http://x:y/'",
     ":4: expected a host and perhaps a port from 1 to 65535 after http://, got 'http://x:y/'"),
    (_MOUNT + "proxy = 'http://[::1/'", ":1: expected a host and perhaps a port from 1 to 65535"),
    ("path = 'public'\nforward-auth = 'http://x:0/'", ":2: expected a port from 1 to 65535, got 'http://x:0/'"),
    ("path = 'public'\nsessions = 'redis://x:y:z'",
     ":2: expected a URL such as redis://HOST:PORT/DATABASE, got 'redis://x:y:z'"),
    ("path = 'public'\nhtpasswd = 'nowhere'", ":2: expected"),
    ("path = 'public'\nroot-path = 'x'", ":2: expected a path such as \"/shop\" in front of all others, got 'x'"),
    ("readyz = '/x'\nhealthz = 'x'", ":2: expected a path such as /healthz for healthz, got 'x'"),
    ("\npath = 'nowhere'", ":2: expected a directory, got 'nowhere': nothing is there"),
    ("python = 'site.tac'\nwsgi = 'hello'", "expected one root, got --wsgi and --python"),
]  # fmt: skip
# The same for what cannot be loaded.
NOT_LOADED = [
    (_MOUNT + "wsgi = 'helo:application'", ":1: no module named 'helo' in "),
    (_MOUNT + "wsgi = 'hello:aplication'",
     ":1: expected a name 'aplication' in module 'hello', got none (did you mean \"application\"?)"),
    (_MOUNT + "wsgi = 'hello:asgi'", ":1: expected a WSGI application, got 'hello:asgi': that is ASGI"),
    (_MOUNT + "wsgi = 'page:page'", ":1: expected a WSGI application, got Page from 'page:page'"),
    ("class = 'hello:create_app'", ":1: expected a class of resources for --class, got function"),
    ("python = 'nowhere.tac'", ":1: cannot read nowhere.tac: no such file or directory"),
]  # fmt: skip
IN_THE_ENVIRONMENT = [
    (
        {"CONTAINER_CMD_ARGS": "--threads=x"},
        "CONTAINER_CMD_ARGS: expected a number from 0 to 10000 for --threads, got 'x'",
    ),
    (
        {"CONTAINER_CMD_ARGS": "--domain=a.example"},
        "CONTAINER_CMD_ARGS: expected a known option, got --domain: give certificates",
    ),
    ({"CONTAINER_CMD_ARGS": "--threads"}, "CONTAINER_CMD_ARGS: expected a value for --threads, got none"),
    ({"CONTAINER_CMD_ARGS": "a:b c:d"}, "CONTAINER_CMD_ARGS: expected one APP, got 'a:b' and 'c:d'"),
    ({"CONTAINER_CMD_ARGS": "--root-path=x"}, "CONTAINER_CMD_ARGS: expected a path such as"),
    (
        {"CONTAINER_CMD_ARGS": "--path 'a b"},
        "CONTAINER_CMD_ARGS: expected arguments as for a shell: no closing quotation",
    ),
    ({"CONTAINER_THREADS": "x"}, "expected a number from 0 to 10000 for CONTAINER_THREADS, got 'x'"),
    (
        {"CONTAINER_PORT": "tcp://10.0.0.1:80"},
        "expected a number from 0 to 65535 for CONTAINER_PORT, got 'tcp",
    ),
    ({"PORT": "80000"}, "expected a number from 0 to 65535 for PORT, got '80000'"),
    ({"WEB_CONCURRENCY": "0"}, "expected a number from 1 to 1000 for WEB_CONCURRENCY, got '0'"),
    ({"FORWARDED_ALLOW_IPS": "me"}, "FORWARDED_ALLOW_IPS: expected an address or a network"),
    ({"CONTAINER_LISTEN": "tcp:80 tpc:81"}, "CONTAINER_LISTEN: expected \"tcp:PORT\", got 'tpc:81'"),
    ({"CONTAINER_LISTING": "maybe"}, "expected yes or no for CONTAINER_LISTING, got 'maybe'"),
    ({"CONTAINER_SESSIONS": "mysql:x"}, "CONTAINER_SESSIONS: expected memory, sqlite:PATH or redis"),
    ({"CONTAINER_CONFIG": "nowhere.toml"}, "cannot read nowhere.toml: no such file or directory"),
]
ON_THE_LINE = [
    (["--mount", "/=vhosts:public", "--mount", "/x=path:public"],
     "expected VirtualHosts with a default to mount 'x' in, got one without"),
    (["-c", "nowhere.toml"], "cannot read nowhere.toml: no such file or directory"),
    (["-c", "public"], "cannot read public: is a directory"),
    (["--env-file=nowhere"], "cannot read nowhere: no such file or directory"),
    (["--env-file=bad.env"], 'bad.env:2: expected "NAME=value", got \'no value\''),
    (["--mount=/x=files:public", "--mount-option=/y:listing=yes"],
     "expected --mount /y=KIND:ARG besides --mount-option /y:listing=yes, got none"),
    (["--mount=/x=files:public", "--mount-option=/x:listing"],
     "expected \"/prefix:KEY=VALUE\" for --mount-option, got '/x:listing'"),
    (["--mount=/x=files:public", "--mount-option=/x:listing=2"], "expected yes or no for /x:listing, got '2'"),
    (["--mount=/x=files:public", "--mount-option=/x:listng=yes"],
     'expected a key of files, got /x:listng (did you mean "listing"?)'),
    (["--mount=//a b/x=files:public"], "expected the name of a host, got 'a b'"),
    (["--vhost=a", "hello"], "expected a virtual host as \"NAME=KIND:ARG\", got 'a'"),
    (["--ssl-keyfile-password=a", "hello:application", "--port=0"],
     "expected --ssl-certfile with --ssl-keyfile-password, got none"),
    (["--ssl-keyfile-password=", "hello"], "expected PASSWORD for --ssl-keyfile-password, got ''"),
    (["--ssl-keyfile-password=a", "--ssl-keyfile-password-file=b", "--ssl-certfile=c.pem", "--port=0", "--path=public"],
     "expected --ssl-keyfile-password or --ssl-keyfile-password-file, got both"),
    (["--proxy-allow-from=10.0.0.0/8", "--path=public"],
     "expected --proxy-protocol or an address haproxy:… with --proxy-allow-from, got neither"),
    (["--proxy-allow-from=unix", "--path=public"],
     'expected addresses and networks such as 10.0.0.0/8, got "unix"'),
    (["--proxy-allow-from=,", "--path=public"], 'expected addresses and networks such as 10.0.0.0/8, got ","'),
    (["--proxy-allow-from=10.0.0.1/8", "--path=public"],
     'expected an address or a network such as 10.0.0.0/8, got "10.0.0.1/8" (10.0.0.1/8 has host bits set)'),
    (["--static=x", "hello"], "expected \"/PREFIX=DIR\" for --static, got 'x'"),
    (["--static=/x=", "hello"], "expected \"/PREFIX=DIR\" for --static, got '/x='"),
    (["--static=/x=nowhere", "hello"], "expected a directory, got 'nowhere': nothing is there"),
    (["--static=/x=public", "--mount=/x=files:other", "hello"],
     "expected one mount at /x, got '/x=files:other' and '/x=public'"),
    (["--static-path-mount=nowhere", "hello"], "expected a directory, got 'nowhere': nothing is there"),
    (["--static-path-mount=public", "--static=/static=other", "hello"],
     "expected one mount at /static, got '/static=other' and '--static-path-mount public'"),
    (["--static-path-mount=public", "--static-path-route=x", "hello"],
     "expected \"/PREFIX\" for --static-path-route, got 'x'"),
    (["--static-path-route=/x", "hello"], "expected --static-path-mount with --static-path-route, got none"),
    (["--static-path-expires=5", "hello"], "expected --static-path-mount with --static-path-expires, got none"),
    (["--static-path-dir-to-file=a.txt", "hello"],
     "expected --static-path-mount with --static-path-dir-to-file, got none"),
    (["--static-path-mount=public", "--static-path-mount=other", "hello"],
     "expected a --static-path-route for each --static-path-mount, got 0 for 2"),
    (["--static-path-mount=public", "--static-path-route=/a", "--static-path-route=/b", "hello"],
     "expected a --static-path-route for each --static-path-mount, got 2 for 1"),
    (["--static-path-mount=public", "--static-path-expires=x", "hello"],
     "expected a duration such as 30, 500ms or 5m for --static-path-expires, got 'x'"),
    (["--static-path-mount=public", "--static-path-dir-to-file=a/b", "hello"],
     "expected a list of file names as index, got ['a/b']"),
    (["--processor=x", "--path=public"], "expected \".EXT=NAME\" for --processor, got 'x'"),
    (["--root-path=shop", "hello"], "expected a path such as \"/shop\" in front of all others, got 'shop'"),
    (["--healthz=up", "hello"], "expected a path such as /healthz for --healthz, got 'up'"),
    (["--env", "=x", "hello"], "expected a name without '=', and no NUL, for --env, got ''"),
    (["--env", "A", "hello"], "expected NAME=VALUE for --env, got 'A'"),
    (["--env-file=nul.env", "hello"], "expected a name without '=', and no NUL, for nul.env, got 'A'"),
    (["--app=hello", "hello"], "expected one APP, got 'hello' and 'hello'"),
    (["--spew"], "expected a known option, got --spew: there is nothing like it"),
    (["--reactor=epoll"], "expected a known option, got --reactor: use --loop"),
    (["-f", "x.tap"], "expected a known option, got -f: state files are of Twisted only: use -y FILE"),
]  # fmt: skip


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The exit code, and what is said on standard error."""
    with pytest.raises(PROBLEMS) as caught:
        assembled(*arguments)
    code = report(caught.value)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("container: ")
    assert err.count("\n") == 1
    return code, err.removeprefix("container: ")


@pytest.mark.parametrize(("text", "line"), IN_FILES)
def test_a_mistake_in_a_file_is_one_line(
    place: Path, capsys: pytest.CaptureFixture[str], text: str, line: str
) -> None:
    """CL-09, CF-07"""
    (place / "bad.toml").write_text(text)
    code, err = said(capsys, "-c", "bad.toml")
    assert err.startswith(f"bad.toml{line}" if line[0] == ":" else line)
    assert code == 2


@pytest.mark.parametrize(("text", "line"), NOT_LOADED)
def test_what_cannot_be_loaded_is_one_line(
    place: Path, capsys: pytest.CaptureFixture[str], text: str, line: str
) -> None:
    """CL-09, CF-01"""
    (place / "container.toml").write_text(text)
    code, err = said(capsys)
    assert err.startswith(f"container.toml{line}" if line[0] == ":" else line)
    assert code == 4


@pytest.mark.parametrize(("variables", "line"), IN_THE_ENVIRONMENT)
def test_a_mistake_in_the_environment_names_the_variable(
    place: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    line: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    code, err = said(capsys, "hello")
    assert err.startswith(line)
    assert code == 2


@pytest.mark.parametrize(("arguments", "line"), ON_THE_LINE)
def test_a_mistake_on_the_line_is_one_line(
    place: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], line: str
) -> None:
    """CL-09, DM-07, DM-08, DM-09"""
    (place / "bad.env").write_text("A=b\nno value\n")
    (place / "nul.env").write_text("A=b\0c\n")
    code, err = said(capsys, *arguments)
    assert err.startswith(line)
    assert code == 2


def test_a_project_speaks_of_us_in_a_table_of_its_own(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "pyproject.toml").write_text('[project]\nname = "x"\n\n[tool.container]\nthreds = 2\n')
    assert said(capsys) == (
        2, 'pyproject.toml:5: expected a known option, got "threds" (did you mean "threads"?)\n',
    )  # fmt: skip
    for text in ("[tool]\ncontainer = 1", "tool.container = 1", "tool = { container = 1 }"):
        (place / "pyproject.toml").write_text(text)
        assert said(capsys)[1].startswith("pyproject.toml:")
        assert said(capsys)[1].endswith(": expected a table [tool.container], got 1\n")
    (place / "pyproject.toml").write_text(
        "[[tool.container.mount]]\npath = '/x'\nfiles = 'public'\nlistin = 1\n"
    )
    assert said(capsys)[1].startswith("pyproject.toml:4: expected a key of files, got mount[1].listin")


def test_a_file_of_ours_that_cannot_be_read_is_not_passed_over(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "container.toml").mkdir()
    assert said(capsys) == (2, "cannot read container.toml: is a directory\n")
    (place / "container.toml").rmdir()
    (place / "container.toml").symlink_to("nowhere")
    assert said(capsys) == (2, "cannot read container.toml: no such file or directory\n")


@pytest.mark.parametrize(
    "text", ["[tool.other]\nx = 'container'", "container = [", "# container", "tool = 1"]
)
def test_what_somebody_elses_file_says_of_others_is_theirs(place: Path, text: str) -> None:
    (place / "pyproject.toml").write_text(text)
    assert assembled()[0].file is None


def test_no_name_has_two_meanings() -> None:
    spellings = [each for option in OPTIONS.values() for each in option.spellings]
    assert len(spellings) == len(set(spellings))
    assert len(BY_NAME) == len(OPTIONS)
    for kind in KINDS.values():
        names = [key.name for key in kind.keys]
        assert not {*names} & {*POLICIES, "path", "host", "app", "object", *KINDS}
        assert len(names) == len(set(names))
