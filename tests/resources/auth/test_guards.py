"""Guards by the Authorization field: challenges, Basic, Digest, Bearer, what is below them."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from container.message.errors import HTTPError
from container.message.request import Request
from container.message.response import Response
from container.resources.asgi import ASGIResource
from container.resources.auth import (
    Avatars,
    Basic,
    BasicAuth,
    Bearer,
    BearerAuth,
    Digest,
    DigestAuth,
    Guard,
    Passwords,
    Permit,
    SlowDown,
)
from container.resources.wsgi import WSGIResource
from container.testing import Client, FakeClock
from container.tree.resource import Resource
from container.tree.site import Site
from tests.leaf import Leaf, MemoryLog


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}


def who(request: Request) -> Response:
    return Response.text(f"{request.user}")


WHO = Leaf(who)
MARY = {"mary": "secret"}


@pytest.mark.parametrize(
    "field",
    [
        None,
        "",
        "Basic",
        "Basic !!!",
        "Basic " + b64encode(b"no colon").decode(),
        "Basic " + b64encode(b"mary:wrong").decode(),
        "Basic " + b64encode(b"nobody:secret").decode(),
        "Basic " + b64encode(b":").decode(),
        "Bearer abc",
        "Digest username=mary",
    ],
)
@pytest.mark.parametrize("path", ["/", "/deep/down?x=1"])
def test_whoever_brings_nothing_good_is_challenged(field: str | None, path: str) -> None:
    """AU-01, AU-02: no, bad and unknown credentials, at any path; a page that says so, none for HEAD."""
    site = Site(BasicAuth(WHO, users=MARY, realm='say "friend"', slow_down=None))
    headers = {} if field is None else {"Authorization": field}
    with Client(site) as client:
        answer = client.get(path, headers=headers)
        assert answer.status == 401
        assert "Unauthorized" in answer.text
        assert answer.headers.get_all("WWW-Authenticate") == [
            r'Basic realm="say \"friend\"", charset="UTF-8"'
        ]
        head = client.request("HEAD", path, headers=headers)
        assert (head.status, head.body) == (401, b"")
        assert client.post(path, headers=headers, body=b"x" * 100_000).status == 401


def test_two_fields_are_refused() -> None:
    """AU-01: nobody has to guess which one counts."""
    fields = [*basic("mary", "secret").items()] * 2
    with Client(Site(BasicAuth(WHO, users=MARY))) as client:
        assert client.get("/", headers=fields).status == 401


@pytest.mark.parametrize("password", ["secret", "co:lon:s", "пароль", "", " spaces "])
def test_name_and_password_let_in(password: str) -> None:
    """AU-02: colons, UTF-8, whatever; the scheme in any case, padding left out."""
    field = basic("märy", password)["Authorization"]
    with Client(Site(BasicAuth(WHO, users={"märy": password}))) as client:
        for spelt in (field, field.replace("Basic", "bAsIc"), field.rstrip("=")):
            assert client.get("/x", headers={"Authorization": spelt}).text == "('märy', 'Basic')"


def test_an_error_page_of_ones_own_is_used() -> None:
    """AU-01: the challenge is added to it."""
    site = Site(BasicAuth(WHO, users=MARY), error_pages={401: Response.text("who?", 401)})
    with Client(site) as client:
        for _ in range(2):
            answer = client.get("/")
            assert (answer.text, len(answer.headers.get_all("WWW-Authenticate"))) == ("who?", 1)


def test_anonymous_visitors_come_in_where_they_may() -> None:
    """AU-04: but wrong credentials are wrong."""
    with Client(Site(BasicAuth(WHO, users=MARY, anonymous=True))) as client:
        assert client.get("/").text == "None"
        assert client.get("/", headers=basic("mary", "secret")).text == "('mary', 'Basic')"
        assert client.get("/", headers=basic("mary", "x")).status == 401


# htpasswd.


@pytest.mark.parametrize("kind", ["-B", "-m", "-s", "-2", "-5"])
def test_files_of_apache_are_read(tmp_path: Path, kind: str) -> None:
    """AU-02: bcrypt, apr1, SHA, crypt with SHA-256 and SHA-512."""
    path = tmp_path / "htpasswd"
    subprocess.run(["htpasswd", "-cb", kind, path, "mary", "co:lön"], check=True, capture_output=True)
    with Client(Site(BasicAuth(WHO, htpasswd=path))) as client:
        assert client.get("/", headers=basic("mary", "co:lön")).status == 200
        assert client.get("/", headers=basic("mary", "co:lon")).status == 401
        assert client.get("/", headers=basic("joe", "co:lön")).status == 401


def test_argon2_is_read(tmp_path: Path) -> None:
    """AU-02"""
    from argon2 import PasswordHasher

    path = tmp_path / "htpasswd"
    path.write_text(f"# people\n\nmary:{PasswordHasher(time_cost=1, memory_cost=64).hash('secret')}\n")
    with Client(Site(BasicAuth(WHO, htpasswd=path))) as client:
        assert client.get("/", headers=basic("mary", "secret")).status == 200
        assert client.get("/", headers=basic("mary", "Secret")).status == 401


def test_lines_that_protect_nobody_are_ignored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """AU-02: plain text and crypt of eight characters let nobody in."""
    path = tmp_path / "htpasswd"
    path.write_text("mary:secret\njoe:97qMkKU4my1SI\nonlyaname\n")
    with Client(Site(BasicAuth(WHO, htpasswd=path))) as client:
        assert client.get("/", headers=basic("mary", "secret")).status == 401
    assert [record.args[1] for record in caplog.records if record.args] == [1, 2, 3]  # type: ignore[index]


def test_a_file_that_changes_is_read_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """AU-02: a password that was remembered does not outlive its line; no file lets nobody in."""
    clock = FakeClock()
    path = tmp_path / "htpasswd"

    def write(password: str) -> None:
        subprocess.run(["htpasswd", "-cb", "-s", path, "mary", password], check=True, capture_output=True)
        clock.advance(1)

    write("one")
    site = Site(BasicAuth(WHO, htpasswd=path, clock=clock))
    with Client(site) as client:
        assert client.get("/", headers=basic("mary", "one")).status == 200
        write("another")
        assert client.get("/", headers=basic("mary", "one")).status == 401
        assert client.get("/", headers=basic("mary", "another")).status == 200
        path.unlink()
        clock.advance(1)
        assert client.get("/", headers=basic("mary", "another")).status == 401
        write("two")
        assert client.get("/", headers=basic("mary", "two")).status == 200
    assert "nobody is let in" in caplog.text


def test_sources_are_named_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected one of users, htpasswd and verify, got none"):
        BasicAuth(WHO)
    with pytest.raises(ValueError, match="got users and verify"):
        BasicAuth(WHO, users={}, verify=lambda user, password: True)
    with pytest.raises(ValueError, match=r"expected a file of accounts that can be read, got .*no such file"):
        BasicAuth(WHO, htpasswd=tmp_path / "none")


# verify=.


def test_a_function_verifies_in_a_thread_or_awaited() -> None:
    """AU-02: a callable verifier; it may know the user by another name."""
    import threading

    threads = set()

    def verify(user: str, password: str) -> str | None:
        threads.add(threading.current_thread().name)
        return user.title() if password == "secret" else None

    async def verify_later(user: str, password: str) -> bool:
        await asyncio.sleep(0)
        return password == "secret"

    root = Resource()
    root.mount("plain", BasicAuth(WHO, verify=verify))
    root.mount("async", BasicAuth(WHO, verify=verify_later))
    with Client(Site(root)) as client:
        assert client.get("/plain", headers=basic("mary", "secret")).text == "('Mary', 'Basic')"
        assert client.get("/plain", headers=basic("mary", "x")).status == 401
        assert client.get("/async", headers=basic("mary", "secret")).text == "('mary', 'Basic')"
        assert client.get("/async", headers=basic("mary", "x")).status == 401
    assert threading.main_thread().name not in threads


def test_a_function_that_fails_is_a_logged_500(caplog: pytest.LogCaptureFixture) -> None:
    """AU-04: unexpected errors."""

    def verify(user: str, password: str) -> bool:
        raise LookupError("the directory is down")

    with Client(Site(BasicAuth(WHO, verify=verify))) as client:
        assert client.get("/", headers=basic("mary", "secret")).status == 500
    assert "the directory is down" in caplog.text


def test_the_same_credentials_at_a_time_are_verified_once() -> None:
    """A browser that asks for six things at once costs one hash, and is no attack."""
    calls = []

    async def verify(user: str, password: str) -> bool:
        calls.append(user)
        await asyncio.sleep(0)
        return True

    guard = BasicAuth(WHO, verify=verify, remember=10, clock=(clock := FakeClock()))
    one = b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: %s\r\n\r\n"
    with Client(Site(guard)) as client:
        field = basic("mary", "secret")["Authorization"].encode()
        connections = [client.connect() for _ in range(8)]
        for connection in connections:
            connection.send(one % field)
        assert [connection.receive().status for connection in connections] == [200] * 8
        assert client.get("/", headers=basic("mary", "secret")).status == 200
        assert calls == ["mary"]
        clock.advance(11)
        assert client.get("/", headers=basic("mary", "secret")).status == 200
        assert calls == ["mary", "mary"]


# Guessing.


def test_whoever_guesses_has_to_wait() -> None:
    """Brute force: 429 and Retry-After, doubling; the right password is not looked at meanwhile."""
    clock = FakeClock()
    guard = BasicAuth(WHO, users=MARY, slow_down=SlowDown(free=3, clock=clock))
    with Client(Site(guard)) as client:
        for _ in range(3):
            assert client.get("/", headers=basic("mary", "x")).status == 401
        answer = client.get("/", headers=basic("mary", "secret"))
        assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
        assert client.get("/", headers=basic("joe", "x")).status == 401
        clock.advance(1)
        assert client.get("/", headers=basic("mary", "x")).status == 401
        assert client.get("/", headers=basic("mary", "x")).headers["Retry-After"] == "2"
        clock.advance(2)
        assert client.get("/", headers=basic("mary", "secret")).status == 200
        assert client.get("/", headers=basic("mary", "x")).status == 401


def test_nobody_has_to_wait_because_passwords_could_not_be_looked_at() -> None:
    """An outage of whoever knows them leaves no failures behind."""
    known: dict[str, str] = {}
    guard = BasicAuth(WHO, verify=lambda user, password: known[user] == password)
    with Client(guard) as client:
        assert [client.get("/", headers=basic("mary", "secret")).status for _ in range(9)] == [500] * 9
        known.update(MARY)
        assert client.get("/", headers=basic("mary", "secret")).status == 200


def test_another_client_is_not_made_to_wait() -> None:
    guard = Site(BasicAuth(WHO, users=MARY, slow_down=SlowDown(free=1, clock=FakeClock())))
    with Client(guard, client=("192.0.2.1", 1)) as client:
        assert client.get("/", headers=basic("mary", "x")).status == 401
        assert client.get("/", headers=basic("mary", "x")).status == 429
    with Client(guard, client=("192.0.2.2", 1)) as client:
        assert client.get("/", headers=basic("mary", "secret")).status == 200


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("2001:db8::1", "2001:db8::ffff:1"),
        ("192.0.2.1", "::ffff:192.0.2.1"),
        ("fe80::1%eth0", "fe80::2%eth1"),
    ],
)
def test_addresses_of_one_client_count_together(first: str, second: str) -> None:
    guard = Site(BasicAuth(WHO, users=MARY, slow_down=SlowDown(free=9, free_per_client=1, clock=FakeClock())))
    with Client(guard, client=(first, 1)) as client:
        assert client.get("/", headers=basic("a", "x")).status == 401
    with Client(guard, client=(second, 1)) as client:
        assert client.get("/", headers=basic("b", "x")).status == 429


def test_memory_of_failures_is_bounded_and_ends() -> None:
    clock = FakeClock()
    slow = SlowDown(free=1, free_per_client=1000, size=3, forget=400, clock=clock)
    with Client(Site(BasicAuth(WHO, users=MARY, slow_down=slow))) as client:
        for name in "abcdef":
            assert client.get("/", headers=basic(name, "x")).status == 401
        assert len(slow._pairs._entries) == 3
        assert client.get("/", headers=basic("f", "x")).status == 429
        clock.advance(400)
        assert client.get("/", headers=basic("f", "x")).status == 401
        assert slow._pairs._entries[("127.0.0.1", "f")][0] == 1


@pytest.mark.parametrize("wrong", [{"free": 0}, {"wait": 0.0}, {"longest_wait": 1e6}, {"size": 0}])
def test_odd_numbers_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        SlowDown(**wrong)


# Bearer.


def test_a_token_says_who_it_is() -> None:
    """AU-01: with the error of RFC 6750 3.1 for one that is wrong, none when there is none."""

    def verify(token: str) -> str | None:
        if token == "narrow":
            raise HTTPError(403, "not enough")
        return {"abc~123==": "robot"}.get(token)

    async def verify_later(token: str) -> str | None:
        return verify(token)

    root = Resource()
    root.mount("thread", BearerAuth(WHO, verify=verify, realm="api"))
    root.mount("inline", BearerAuth(WHO, verify=verify, realm="api", inline=True))
    root.mount("async", BearerAuth(WHO, verify=verify_later, realm="api"))
    with Client(Site(root)) as client:
        for path in ("/thread", "/inline", "/async"):
            assert (
                client.get(path, headers={"Authorization": "Bearer abc~123=="}).text == "('robot', 'Bearer')"
            )
            assert client.get(path, headers={"Authorization": "Bearer narrow"}).status == 403
            assert client.get(path).headers["WWW-Authenticate"] == 'Bearer realm="api"'
            for wrong in ("unknown", "in valid", "", "ä"):
                answer = client.get(path, headers={"Authorization": f"Bearer {wrong}"})
                assert answer.status == 401
                assert answer.headers["WWW-Authenticate"] == 'Bearer realm="api", error="invalid_token"'


# Digest.


def parameters(challenge: str) -> dict[str, str]:
    from container.message.authorization import parse_parameters

    return parse_parameters(challenge.partition(" ")[2]) or {}


def proof(
    challenge: dict[str, str],
    count: int = 1,
    *,
    uri: str = "/x?y=1",
    method: str = "GET",
    user: str = "mary",
    password: str = "secret",
    **other: str,
) -> dict[str, str]:
    """An Authorization field as RFC 7616 3.4 wants it; `other` replaces what is in it."""
    algorithm = challenge["algorithm"]
    made = getattr(hashlib, algorithm.replace("-", "").lower())

    def h(text: str) -> str:
        return str(made(text.encode()).hexdigest())

    known = h(f"{user}:{challenge['realm']}:{password}")
    nc = f"{count:08x}"
    response = h(f"{known}:{challenge['nonce']}:{nc}:cn:auth:{h(f'{method}:{uri}')}")
    told = {
        "username": f'"{user}"', "realm": f'"{challenge["realm"]}"', "nonce": f'"{challenge["nonce"]}"',
        "uri": f'"{uri}"', "response": f'"{response}"', "algorithm": algorithm, "qop": "auth", "nc": nc,
        "cnonce": '"cn"', **other,
    }  # fmt: skip
    text = "Digest " + ", ".join(f"{name}={value}" for name, value in told.items() if value)
    return {"Authorization": text.encode().decode("latin-1")}


def challenged(client: Client) -> dict[str, str]:
    return parameters(client.get("/x?y=1").headers["WWW-Authenticate"])


def digest_site(clock: FakeClock, **options: Any) -> Site:
    options = {"users": {"mary": "secret", "jö": "пароль"}, "slow_down": None} | options
    return Site(DigestAuth(WHO, realm="here", clock=clock, **options))


def test_digest_proves_the_password() -> None:
    """AU-03: SHA-256, and each count of a nonce once, in any order."""
    with Client(digest_site(FakeClock())) as client:
        challenge = challenged(client)
        assert (challenge["algorithm"], challenge["qop"], challenge["charset"]) == (
            "SHA-256",
            "auth",
            "UTF-8",
        )
        for count in (1, 2, 5, 3, 200, 150):
            answer = client.get("/x?y=1", headers=proof(challenge, count))
            assert answer.text == "('mary', 'Digest')"
        for count in (1, 2, 3, 5, 150, 200, 100, 0):  # replayed, or too long ago
            answer = client.get("/x?y=1", headers=proof(challenge, count))
            assert answer.status == 401
            assert parameters(answer.headers["WWW-Authenticate"])["stale"] == "true"
        answer = client.get("/x?y=1", headers=proof(challenge, 300, user="jö", password="пароль"))
        assert answer.text == "('jö', 'Digest')"


@pytest.mark.parametrize(
    "other",
    [
        {"password": "x"},
        {"user": "nobody"},
        {"method": "POST"},
        {"uri": "/y"},
        {"realm": '"there"'},
        {"qop": "auth-int"},
        {"qop": ""},
        {"nc": "1"},
        {"cnonce": ""},
        {"algorithm": "MD5"},
        {"algorithm": ""},
        {"userhash": "true"},
        {"username*": "UTF-8''mary"},
        {"response": '"00"'},
        {"nonce": '"x"'},
        {"username": '"mary", username="mary"'},
        {"username": '"mary'},
    ],
)
def test_wrong_proofs_are_no_stale_ones(other: dict[str, str]) -> None:
    """AU-03: the user is asked again only when the password is wrong."""
    with Client(digest_site(FakeClock())) as client:
        answer = client.get("/x?y=1", headers=proof(challenged(client), **other))
        assert answer.status == 401
        assert "stale" not in answer.headers["WWW-Authenticate"]


def test_names_may_come_in_the_extended_notation() -> None:
    """AU-03, RFC 7616 3.4: username*."""
    with Client(digest_site(FakeClock())) as client:
        headers = proof(
            challenged(client), user="jö", password="пароль", username="", **{"username*": "UTF-8''j%C3%B6"}
        )
        assert client.get("/x?y=1", headers=headers).status == 200


def test_nonces_belong_to_a_client_and_grow_old() -> None:
    """AU-03: bound to address and time; the browser is told that only the nonce was wrong."""
    clock = FakeClock()
    site = digest_site(clock, nonce_lifetime=60)
    with Client(site) as client:
        challenge = challenged(client)
        clock.advance(61)
        answer = client.get("/x?y=1", headers=proof(challenge))
        assert "stale=true" in answer.headers["WWW-Authenticate"]
        challenge = challenged(client)
    with Client(site, client=("192.0.2.9", 1)) as client:
        answer = client.get("/x?y=1", headers=proof(challenge))
        assert "stale=true" in answer.headers["WWW-Authenticate"]


def test_forgotten_nonces_cannot_be_replayed() -> None:
    """AU-03: bounded memory does not open a door."""
    from container.resources.auth.digest import Nonces

    clock = FakeClock()
    nonces = Nonces(300, b"k", clock, size=2)
    made = []
    for _ in range(4):
        clock.advance(1)
        made.append(nonces.make("c"))
    assert all(nonces.use(nonce, 1, "c") for nonce in made)
    assert not any(nonces.use(nonce, 1, "c") for nonce in made)
    assert not any(nonces.use(nonce, 2, "c") for nonce in made[:2])
    assert not nonces.use(made[3] + "=", 5, "c")
    assert not nonces.use("ä", 5, "c")


def test_files_of_htdigest_are_read(tmp_path: Path) -> None:
    """AU-03: MD5 only where it was asked for; a line with a SHA-256 hash works without."""
    path = tmp_path / "htdigest"
    line = hashlib.sha256(b"mary:here:secret").hexdigest()
    old = hashlib.md5(b"joe:here:old").hexdigest()
    path.write_text(f"mary:here:{line}\njoe:here:{old}\njoe:there:{old}\nbroken\n")
    with Client(digest_site(FakeClock(), users=None, htdigest=path)) as client:
        assert client.get("/x?y=1", headers=proof(challenged(client))).status == 200
        weak = challenged(client) | {"algorithm": "MD5"}
        assert client.get("/x?y=1", headers=proof(weak, user="joe", password="old")).status == 401
    with Client(digest_site(FakeClock(), users=None, htdigest=path, md5=True)) as client:
        offered = [parameters(each) for each in client.get("/").headers.get_all("WWW-Authenticate")]
        assert [each["algorithm"] for each in offered] == ["SHA-256", "MD5"]
        assert client.get("/x?y=1", headers=proof(offered[1], user="joe", password="old")).status == 200


def test_guessing_is_slowed_down_for_digest_too() -> None:
    slow = SlowDown(free=2, clock=FakeClock())
    with Client(digest_site(FakeClock(), slow_down=slow)) as client:
        challenge = challenged(client)
        for count in range(2):
            assert client.get("/x?y=1", headers=proof(challenge, count, password="x")).status == 401
        assert client.get("/x?y=1", headers=proof(challenge, 9)).status == 429


# Several schemes, several users.


def test_several_schemes_stand_side_by_side() -> None:
    """AU-01: one challenge of each."""
    schemes = [
        Digest(users=MARY, realm="r"),
        Basic(Passwords(users=MARY), realm="r"),
        Bearer(lambda token: token, inline=True),
    ]
    with Client(Site(Guard(WHO, schemes))) as client:
        challenges = client.get("/").headers.get_all("WWW-Authenticate")
        assert [each.partition(" ")[0] for each in challenges] == ["Digest", "Basic", "Bearer"]
        assert client.get("/", headers=basic("mary", "secret")).text == "('mary', 'Basic')"
        assert client.get("/", headers={"Authorization": "Bearer t"}).text == "('t', 'Bearer')"
        wrong = client.get("/", headers={"Authorization": "Bearer  "}).headers.get_all("WWW-Authenticate")
        assert ["error" in each for each in wrong] == [False, False, True]
    with pytest.raises(ValueError, match="expected schemes, each once"):
        Guard(WHO, [schemes[1], schemes[1]])


def two_trees(on_logout: Any = None) -> Site:
    trees = {name: Resource() for name in ("mary", "joe")}
    for name, tree in trees.items():
        tree.mount("mine", Leaf(lambda request, name=name: f"of {name}"))
    users = {"mary": "m", "joe": "j", "eve": "e"}
    avatars = Avatars(trees, anonymous=Leaf(lambda request: "of nobody"), on_logout=on_logout)
    return Site(BasicAuth(avatars, users=users, anonymous=True))


def test_users_have_trees_of_their_own() -> None:
    """AU-04: two users two trees, one with none, and nobody."""
    left: list[str | None] = []
    with Client(two_trees(left.append)) as client:
        assert client.get("/mine", headers=basic("mary", "m")).text == "of mary"
        assert client.get("/mine", headers=basic("joe", "j")).text == "of joe"
        assert client.get("/mine", headers=basic("eve", "e")).status == 403
        assert client.get("/mine").text == "of nobody"
        assert left == ["mary", "joe", None]


def test_a_tree_may_be_looked_for() -> None:
    """AU-04: by a function, plain or async."""

    async def find(user: str | None) -> Resource | None:
        return {"mary": WHO}.get(user or "")

    users = {"mary": "m", "joe": "j"}
    with Client(Site(BasicAuth(Avatars(find), users=users))) as client:
        assert client.get("/a/b", headers=basic("mary", "m")).status == 200
        assert client.get("/a/b", headers=basic("joe", "j")).status == 403


def test_logout_is_told_of_an_abort(caplog: pytest.LogCaptureFixture) -> None:
    """AU-04: once, and what it raises harms nobody."""
    left = []

    def on_logout(user: str | None) -> None:
        left.append(user)
        raise LookupError("oops")

    async def endless() -> Any:
        while True:
            yield b"x"
            await asyncio.sleep(0)

    tree = Avatars({"mary": Leaf(lambda request: Response(endless()))}, on_logout=on_logout)
    with Client(Site(BasicAuth(tree, users=MARY))) as client:
        with client.stream("GET", "/", headers=basic("mary", "secret")) as stream:
            assert stream.status == 200
            assert left == []
        client.wait_until(lambda: left)
    assert left == ["mary"]
    assert "on_logout failed" in caplog.text


def test_trees_of_users_start_and_stop() -> None:
    """AU-04: applications in them have threads to start."""

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [environ["REMOTE_USER"].encode("latin-1")]

    site = Site(BasicAuth(Avatars({"jö": WSGIResource(app)}), users={"jö": "s"}))
    with Client(site) as client:
        assert client.get("/", headers=basic("jö", "s")).text == "jö"
    assert [path for path, _ in site.walk()] == ["/{jö}"]


def test_some_users_may_and_some_may_not() -> None:
    """AU-04: 403, not 401, for whoever is known."""
    users = {"mary": "m", "joe": "j"}
    with Client(Site(BasicAuth(Permit(WHO, ["mary"]), users=users, anonymous=True))) as client:
        assert client.get("/", headers=basic("mary", "m")).status == 200
        assert client.get("/", headers=basic("joe", "j")).status == 403
        assert client.get("/").status == 403
    reads = Permit(WHO, lambda user, request: request.method == "GET")
    with Client(Site(BasicAuth(reads, users=users))) as client:
        assert client.get("/", headers=basic("joe", "j")).status == 200
        assert client.post("/", headers=basic("joe", "j")).status == 403
    with pytest.raises(TypeError, match="did you mean"):
        Permit(WHO, "mary")


# What is below sees the user.


def test_wsgi_sees_the_user() -> None:
    """AU-04: REMOTE_USER and AUTH_TYPE, and only with a guard; requests with the same head do not inherit them."""

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"{environ.get('REMOTE_USER')} {environ.get('AUTH_TYPE')}".encode("latin-1")]

    resource = WSGIResource(app, threads=0)
    root = Resource()
    root.mount("closed", BasicAuth(resource, users={"пётр": "s"}))
    root.mount("open", resource)
    with Client(Site(root)) as client:
        for _ in range(3):
            assert client.get("/closed", headers=basic("пётр", "s")).text == "пётр Basic"
            assert (
                client.get("/open", headers={**basic("пётр", "s"), "Remote-User": "eve"}).text == "None None"
            )


def test_asgi_frameworks_see_the_user() -> None:
    """AU-04: scope["user"] and scope["auth"] as Starlette expects them, over HTTP and WebSocket."""
    from starlette.applications import Starlette
    from starlette.authentication import requires
    from starlette.requests import Request as Asked
    from starlette.responses import JSONResponse
    from starlette.routing import Route, WebSocketRoute
    from starlette.websockets import WebSocket

    @requires("authenticated")
    async def page(request: Asked) -> JSONResponse:
        user = request.user
        return JSONResponse(
            [user.display_name, user.is_authenticated, str(user), request.scope["auth"].scheme]
        )

    async def talk(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(socket.user.identity)
        await socket.close()

    app = Starlette(routes=[Route("/page", page), WebSocketRoute("/talk", talk)])
    with Client(Site(BasicAuth(ASGIResource(app), users=MARY))) as client:
        assert client.get("/page", headers=basic("mary", "secret")).json() == ["mary", True, "mary", "Basic"]
        with client.websocket("/talk", headers=basic("mary", "secret")) as socket:
            assert socket.receive() == "mary"
        from container.testing.websocket import WebSocketDenied

        with pytest.raises(WebSocketDenied, match="401"):
            with client.websocket("/talk"):
                raise AssertionError("let in")


def test_the_access_log_names_the_user() -> None:
    """LG-01: whoever a guard has let in, by the name it has here."""
    log = MemoryLog()

    def verify(token: str) -> str:
        return "a robot"

    with Client(Site(BearerAuth(WHO, verify=verify, inline=True), access_log=log)) as client:
        client.get("/", headers={"Authorization": "Bearer abc"})
        client.get("/")
    assert [line.split("[")[0] for line in log.lines] == ["127.0.0.1 - a\\x20robot ", "127.0.0.1 - - "]
