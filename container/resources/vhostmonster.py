"""VHostMonster: a path that says as which host and scheme this server is known to the outside.

For proxies that can rewrite a path and set no fields. Where they can, the fields of `tree/forwarded.py` say
more: this one does not tell who the client is.
"""

import logging
from collections.abc import Iterable
from typing import Final

from container.message.authority import parse_authority
from container.message.errors import HTTPError
from container.message.exchange import Exchange
from container.message.networks import LOOPBACK, UNIX, Networks
from container.message.request import Request, decode_segment
from container.tree.resource import Resource

log = logging.getLogger("container.site")

_SCHEMES: Final = {b"http": False, b"https": True}
# A path can name this resource again, though no proxy has a reason to.
_DEPTH_MAX: Final = 8


class VHostMonster(Resource):
    """Mounted at `/vhost`, it makes of `/vhost/https/a.example:8443/x?y` a request for `https://a.example:8443/x?y`.

    The traversal then begins anew at the root of the site, so sessions, authentication and virtual hosts see
    the public request. The port may be left out when it is the scheme's own. Only `trusted` peers may say
    such things, addresses and networks, `"unix"` for UNIX sockets; others get 403. The proxy must not pass on
    paths of clients that begin with that of this resource. 404 for another scheme or none, 400 for what is
    no host.
    """

    is_leaf = True

    def __init__(self, trusted: Iterable[str] = (*LOOPBACK, UNIX)) -> None:
        self.trusted = Networks(trusted)

    def render(self, request: Request) -> Exchange:
        if not self.trusted.include(request.connection.peer):
            peer = request.connection.peer.client_host or "a UNIX socket"
            log.warning("VHostMonster does not believe %s: list it among the trusted", peer)
            raise HTTPError(403, "Your address is not trusted to name hosts.")
        _, scheme, host, *rest = *request.raw_path[request.consumed :].split(b"/", 3), b"", b""
        if scheme not in _SCHEMES or (not host and not rest[0]):
            raise HTTPError(404)
        try:
            name, port = parse_authority(decode_segment(host))
        except ValueError as error:
            raise HTTPError(400, str(error)) from error
        request.set_host(name, port, secure=_SCHEMES[scheme])
        if request.reroute(b"/" + rest[0]) > _DEPTH_MAX:
            raise HTTPError(400, "Expected one host in front of the path, got one after the other.")
        exchange = request.exchange
        exchange.restart()
        return exchange
