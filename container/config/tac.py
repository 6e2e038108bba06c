"""`.tac` files: Python that binds `application`.

Here: running the file and fetching the value. Not here: what the value may be (an Application, a Site, a
Resource, a WSGI or ASGI callable), which is settled by whoever builds the site.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType

from container.config.importer import ImportProblem, cause_to_show, ensure_cwd_importable, first_line
from container.config.problems import nearest_name

VARIABLE = "application"
MODULE_NAME = "container.tac"  # not "__main__": the last lines of a script that can also be run stay asleep


class TacProblem(ImportProblem):
    """A `.tac` file that gives no application: one line, and the file's own exception where there was one."""


def load_tac(path: str | os.PathLike[str]) -> object:
    """Run the file and return what `application` is bound to at its end.

    The file's directory is first on sys.path meanwhile and afterwards. The file may bind the name more than
    once, first to an imported WSGI callable for example: the last value counts.
    """
    name = os.fspath(path)
    filename = os.path.abspath(name)
    try:
        with open(filename, "rb") as file:
            source = file.read()
    except OSError as error:
        raise TacProblem(f"cannot read {name}: {(error.strerror or str(error)).lower()}") from error
    module = ModuleType(MODULE_NAME)
    module.__file__ = filename
    module.__package__ = ""  # else `from . import x` would reach into this package
    ensure_cwd_importable(os.path.dirname(filename))
    _run(name, source, module)
    bound = vars(module)
    if VARIABLE not in bound:
        hint = nearest_name(VARIABLE, (each for each in bound if not each.startswith("_")))
        example = f'{VARIABLE} = Application("shop")'
        raise TacProblem(f'expected {name} to bind "{VARIABLE}" as in {example}, got no such name{hint}')
    value: object = bound[VARIABLE]
    return value


def _run(name: str, source: bytes, module: ModuleType) -> None:
    """Execute the source. The module goes into sys.modules, where dataclasses and pickle look for it."""
    sys.modules[MODULE_NAME] = module
    try:
        # dont_inherit: our own __future__ imports are none of the file's business.
        exec(compile(source, str(module.__file__), "exec", dont_inherit=True), vars(module))
    except (Exception, SystemExit) as error:  # the user's file
        del sys.modules[MODULE_NAME]
        raise TacProblem(f"{name} failed: {first_line(error)}", cause_to_show(error)) from error
