"""Formats of one's own, `%(h)s "%(r)s" %(s)s` or `%h "%r" %>s`: taken apart once, then a row of functions.

What the atoms mean is in `atoms.py`.
"""

import re
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Final, NoReturn

from container.tree.accesslog.atoms import (
    APACHE,
    GUNICORN,
    UNITS,
    VARIABLES,
    WORDS,
    Atom,
    of_answer_field,
    of_cookie,
    of_field,
    of_time,
    of_variable,
)
from container.tree.accesslog.entry import Entry

# %%, %(name)s and %({name}x)s, %x and %{name}x; the status may have `>` or `<` before it.
_PIECES: Final = re.compile(
    r"%(?:(?P<percent>%)"
    r"|\((?:\{(?P<name>[^}]*)\}(?P<kind>[a-zA-Z]?)|(?P<word>[^)]*))\)(?P<end>s?)"
    r"|[<>]?(?:\{(?P<name2>[^}]*)\})?(?P<letter>[a-zA-Z]?))"
)


class FormatProblem(ValueError):
    """A format that cannot be understood. The message is one line."""


class CustomFormatter:
    """Lines of a format of one's own. Raises FormatProblem for an atom that is not known."""

    def __init__(self, text: str) -> None:
        atoms: list[Atom] = []
        template = []
        position = 0
        for match in _PIECES.finditer(text):
            template.append(_literal(text[position : match.start()]))
            position = match.end()
            if match["percent"]:
                template.append("%%")
            else:
                atoms.append(_atom(match, text))
                template.append("%s")
        template.append(_literal(text[position:]))
        self.text = text
        self.needs_notes = any(atom.needs_notes for atom in atoms)
        self._template = "".join(template)
        self._writes: tuple[Callable[[Entry], str], ...] = tuple(atom.write for atom in atoms)

    def __call__(self, entry: Entry) -> str:
        return self._template % tuple([write(entry) for write in self._writes])


def _literal(text: str) -> str:
    if "\n" in text or "\r" in text:
        raise FormatProblem("expected a format of one line, got more")
    return text.replace("\\t", "\t")


def _atom(match: re.Match[str], text: str) -> Atom:
    spelt = match[0]
    if spelt.startswith("%("):
        if match["end"] != "s":
            raise FormatProblem(f"expected an s after {spelt} in the format, got {text[match.end() :][:1]!r}")
        if match["name"] is not None:
            return _named(spelt, match["name"], match["kind"], "ioe")
        word = match["word"]
        return GUNICORN.get(word) or WORDS.get(word) or _unknown(spelt, word, [*GUNICORN, *WORDS])
    if match["name2"] is not None:
        return _named(spelt, match["name2"], match["letter"], "ioeCtT")
    letter = match["letter"]
    if not letter:
        raise FormatProblem(
            f"expected an atom or %% after % in the format, got {text[match.start() :][:3]!r}"
        )
    return APACHE.get(letter) or _unknown(spelt, letter, APACHE)


def _named(spelt: str, name: str, kind: str, kinds: str) -> Atom:
    """An atom with a name in braces, and a letter that tells of what."""
    if not kind or kind not in kinds or not name:
        known = ", ".join(_like(spelt, f"{{name}}{each}") for each in kinds)
        raise FormatProblem(f"expected one of {known} in the format, got {spelt}")
    if kind == "T":
        return UNITS.get(name) or _unknown(spelt, name, UNITS, "{%s}T")
    if kind == "e":
        return of_variable(name) or _unknown(spelt, name.upper(), VARIABLES, "{%s}e")
    return _NAMED[kind](name)


_NAMED: Final = {"i": of_field, "o": of_answer_field, "C": of_cookie, "t": of_time}


def _unknown(spelt: str, name: str, known: Iterable[str], inner: str = "%s") -> NoReturn:
    names = list(known)
    near = [each for each in names if each.lower() == name.lower()] or get_close_matches(name, names, n=1)
    hint = f" (did you mean {_like(spelt, inner % near[0])}?)" if near else ""
    some = ", ".join(_like(spelt, inner % each) for each in names[:4])
    raise FormatProblem(f"expected an atom such as {some} in the format, got {spelt}{hint}")


def _like(spelt: str, inner: str) -> str:
    """An atom in the spelling of another one."""
    return f"%({inner})s" if spelt.startswith("%(") else f"%{inner}"
