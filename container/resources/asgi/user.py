"""Who the client is, as ASGI frameworks expect it under `scope["user"]` and `scope["auth"]`.

The specification says nothing of users. Starlette and FastAPI read `request.user.is_authenticated`,
`.display_name` and `.identity`, and `request.auth.scopes`, which their `@requires("authenticated")` looks at;
Litestar hands both out as they are. One object is all of that; a framework's own middleware replaces it.
"""


class User:
    """A user that a guard in front of the application has let in.

    `name`; `scheme`: how that was found out, "Basic". `str()` of it is the name.
    """

    __slots__ = ("name", "scheme")

    is_authenticated = True
    is_anonymous = False
    scopes = ("authenticated",)

    def __init__(self, name: str, scheme: str) -> None:
        self.name = name
        self.scheme = scheme

    @property
    def display_name(self) -> str:
        return self.name

    @property
    def identity(self) -> str:
        return self.name

    @property
    def username(self) -> str:
        return self.name

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<User {self.name!r} by {self.scheme}>"
