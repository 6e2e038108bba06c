"""The reference page is made of the tables, and the page in docs/ is what is made of them."""

from __future__ import annotations

import re
from pathlib import Path

from container.config.kinds.registry import unique_kinds
from container.config.options import OPTIONS
from container.config.options.python import PYTHON
from container.config.reference import make_reference

PAGE = Path(__file__).resolve().parents[2] / "docs/reference.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == make_reference(), "python -m container.config.reference > docs/reference.md"


def test_every_option_of_every_spelling_is_there() -> None:
    page = make_reference()
    for option in OPTIONS.values():
        for spelling in option.spellings:
            assert re.search(rf"`{spelling}[ `]", page), spelling
        assert option.only_here or f"`{option.variable}`" in page
    for kind in unique_kinds():
        assert f"### `{kind.name}`" in page
        assert all(f"| `{key.name}` |" in page for key in kind.keys)
    assert {*PYTHON} <= {option.name for option in OPTIONS.values()}
