"""Guards around a part of the tree: who may come in, and what is there for whom (docs/auth.md)."""

from container.resources.auth.avatars import Avatars, Permit
from container.resources.auth.basic import Basic, BasicAuth
from container.resources.auth.bearer import Bearer, BearerAuth
from container.resources.auth.digest import Digest, DigestAuth
from container.resources.auth.form import FormLogin, LoginForm, csrf_token
from container.resources.auth.forward import ForwardAuth
from container.resources.auth.guard import Guard, Refusal, Scheme
from container.resources.auth.passwords import Passwords
from container.resources.auth.slowdown import SlowDown

__all__ = [
    "Avatars", "Basic", "BasicAuth", "Bearer", "BearerAuth", "Digest", "DigestAuth", "FormLogin", "ForwardAuth",
    "Guard", "LoginForm", "Passwords", "Permit", "Refusal", "Scheme", "SlowDown", "csrf_token",
]  # fmt: skip
