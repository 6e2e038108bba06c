"""Metrics at an address of their own: how that is said, what it makes, and how it is told again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from container.channel.endpoints import parse_endpoint
from container.config.addresses import spell_endpoint
from container.config.compound import Spelt
from container.config.values import Schema, Switch
from container.service.application import Binding
from container.service.metrics import Metrics, is_page
from container.tree.site import Site

if TYPE_CHECKING:
    from collections.abc import Mapping

    from container.channel.endpoints import Endpoint

DEFAULT_METRICS: Final = "127.0.0.1:9090"
_SWITCH: Final = Switch()


class MetricsAddress(Spelt):
    """An address, a port of the loopback, or yes for the usual one."""

    def __init__(self) -> None:
        super().__init__("[ADDRESS]", _endpoint, spell_endpoint)
        self.toml = "true, false or an address"

    def load(self, value: object, name: str) -> Any:
        return self.parse(_SWITCH.show(value), name) if isinstance(value, bool) else super().load(value, name)

    def schema(self) -> Schema:
        return {"type": ["boolean", "string"]}


def _endpoint(text: str, name: str) -> Endpoint | None:
    if text.lower() in ("no", "off", "false"):
        return None
    if text.lower() in ("yes", "on", "true"):
        text = DEFAULT_METRICS
    # Elsewhere a port alone is one of every interface; this is nobody's business unless somebody says so.
    return parse_endpoint(f"127.0.0.1:{text}" if text.isdecimal() else text)


def bind_metrics(endpoint: Endpoint) -> Binding:
    """A site of their own, with nothing around it, and no log."""
    return Binding(Site(Metrics()), (endpoint,), {})


def told_address(binding: Binding, table: Mapping[str, Any]) -> str | None:
    """The value that says all of a binding, told as `table`; None when there is more to it."""
    site, listen = binding.site, table.get("listen", ())
    is_plain = isinstance(site, Site) and is_page(site) and table.keys() == {"listen", "mount"}
    is_one = len(listen) == 1 and len(table["mount"]) == 1 and len(table["mount"][0]) == 2
    return listen[0] if is_plain and is_one else None
