"""Python scripts in the document tree: files that are run for each request and say what answers it.

`resource` is what is mounted, `runner` loads and runs the files, `registry` is what they share, `page` the
`request` of a script that writes its answer.
"""

from container.resources.script.registry import Registry
from container.resources.script.resource import (
    PageScript,
    ResourceScript,
    ScriptDirectory,
    script_processors,
)
from container.resources.script.runner import ScriptProblem, Scripts

__all__ = [
    "PageScript", "Registry", "ResourceScript", "ScriptDirectory", "ScriptProblem", "Scripts",
    "script_processors",
]  # fmt: skip
