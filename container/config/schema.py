"""The JSON Schema of container.toml, from the tables of options, kinds and policies: for editors that know TOML."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from container.config.file import APP
from container.config.kinds.registry import KINDS, unique_kinds
from container.config.options import OF_SITES, OPTIONS
from container.config.policy import POLICIES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from container.config.kinds.kind import Kind
    from container.config.options import Option

_ID = "https://json-schema.org/draft/2020-12/schema"


def make_schema() -> dict[str, Any]:
    """Draft 2020-12."""
    sites = {field: each for field, each in OPTIONS.items() if field in OF_SITES}
    own = {
        "site": {
            "type": "array",
            "items": {"type": "object", "properties": _options(sites), "additionalProperties": False},
            "description": "One of several sites.",
        }
    }
    return {
        "$schema": _ID,
        "title": "container.toml",
        "type": "object",
        "properties": _options(OPTIONS) | own,
        "additionalProperties": False,
    }


def _options(options: Mapping[str, Option]) -> dict[str, Any]:
    """Options by their keys, and mounts."""
    mounts = {
        "type": "array",
        "items": {"oneOf": [*map(_of_kind, unique_kinds()), _of_app()]},
        "description": "A place in the tree.",
    }
    keys = [each for each in options.values() if not (each.only_here or each.table)]
    return {each.name: _of_option(each) for each in keys} | {"mount": mounts}


def _of_option(option: Option) -> dict[str, Any]:
    help_text = option.help.replace("{kinds}", ", ".join(KINDS))
    one = option.type.schema()
    if option.many:
        forms = [one, {"type": "array", "items": one}]
        if option.type.pair_joint:
            values = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
            forms.append({"type": "object", "additionalProperties": values})
        return {"description": help_text, "anyOf": forms}
    return {"description": help_text, **one}


def _of_kind(kind: Kind) -> dict[str, Any]:
    names = (kind.name, *(alias for alias in kind.aliases if alias != "path"))
    keys = {key.name: {"description": key.help, **key.type.schema()} for key in kind.keys}
    return _mount(names, kind.help, _policies() | keys)


def _of_app() -> dict[str, Any]:
    """A name whose kind is found out."""
    keys = {
        key.name: {"description": key.help, **key.type.schema()}
        for kind in ("asgi", "wsgi")
        for key in KINDS[kind].keys
    }
    return _mount((APP,), "What a module:name leads to.", _policies() | keys)


def _mount(names: tuple[str, ...], help_text: str, keys: dict[str, Any]) -> dict[str, Any]:
    text = {"type": "string", "minLength": 1}
    subject = {"description": help_text, "anyOf": [text, {"type": "array", "items": text, "minItems": 1}]}
    return {
        "type": "object",
        "title": names[0],
        "properties": {
            "path": {"type": "string", "pattern": "^/([^/]|$)", "description": "Where it is mounted."},
            "host": {"type": "string", "minLength": 1, "description": "For this host only."},
            **dict.fromkeys(names, subject),
            **keys,
        },
        "anyOf": [{"required": ["path"]}, {"required": ["host"]}],
        "oneOf": [{"required": [name]} for name in names],
        "additionalProperties": False,
    }


def _policies() -> dict[str, Any]:
    return {each.key.name: {"description": each.key.help, **each.key.type.schema()} for each in POLICIES}
