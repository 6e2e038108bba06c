"""The options of the command line, made from the one table of them: how they are found and told of.

Here: click, and the texts it finds. Not here: which options there are and what their texts mean
(config/options), what the values do (main.py and config/build.py).
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from container import __version__
from container.config.blame import blaming
from container.config.environment import ARGUMENTS
from container.config.kinds.registry import KINDS
from container.config.options import OPTIONS, SECTIONS, Option
from container.config.options.old import REPLACED
from container.config.problems import ConfigProblem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_HELP: Final = """Serve WSGI and ASGI applications, files, or a whole tree of them.

APP is "module:name" or "package.module.name": a WSGI or ASGI application, Site, Resource or
Application. The directory you are in is searched for modules first.

\b
  container helloworld:application
  container --path public --port 8000
  container myapp:app --mount /static=path:public --mount /old=redirect:/new
  container -y site.tac
"""
_EPILOG: Final = """Exit codes: 0 stopped as asked, 1 runtime error such as a port that is taken, 2 usage, 3 a
resource or service did not start, 4 the application could not be loaded, 130 or 143 a second signal cut the
stop short."""


class _Command(click.Command):
    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The options by topic."""
        records = {each.name: each.get_help_record(ctx) for each in self.get_params(ctx)}
        for section in SECTIONS:
            shown = [records.pop(each.field) for each in section.options if not each.hidden]
            with formatter.section(section.title):
                formatter.write_dl([each for each in shown if each is not None])
        if self.name == "container" and ctx.info_name == "container":
            with formatter.section("Commands"):
                formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])
        with formatter.section("About"):
            formatter.write_dl(
                [each for name, each in records.items() if each is not None and name not in OPTIONS]
            )


def read_line(arguments: Sequence[str]) -> tuple[str, dict[str, list[str]], dict[str, Any]]:
    """The name of the command, "run" without one; the texts of options by field; what is the command's own."""
    name, rest = "run", _with_values(arguments)
    if rest and rest[0] in COMMANDS:
        name = rest.pop(0)
    called = "container" if name == "run" else f"container {name}"
    with command(name).make_context(called, rest) as context:
        return name, texts_of(context), context.params


def read_further(variables: Mapping[str, str]) -> dict[str, list[str]]:
    """The texts of options by field that a variable of the environment has, quoted as in a shell. ConfigProblem names
    it."""
    with blaming(f"{ARGUMENTS}: "):
        try:
            words = shlex.split(variables.get(ARGUMENTS, ""))
            with command("run").make_context("container", _with_values(words)) as context:
                return texts_of(context)
        except click.UsageError as error:
            raise ConfigProblem(usage_line(error)) from error
        except ValueError as error:
            if isinstance(error, ConfigProblem):
                raise
            raise ConfigProblem(f"expected arguments as for a shell: {str(error).lower()}") from error


def _with_values(arguments: Sequence[str]) -> list[str]:
    """With the values that were left out; what follows such an option may be APP."""
    bare = {spelling: each for each in OPTIONS.values() if each.bare for spelling in each.spellings}
    given = list(arguments)
    for place, each in enumerate(arguments):
        if each in bare and not any(_is_value(bare[each], word) for word in arguments[place + 1 : place + 2]):
            given[place] = f"{each}={bare[each].bare}"
    return given


def _is_value(option: Option, word: str) -> bool:
    if word.startswith("-"):
        return False
    try:
        option.type.parse(word, option.long)
    except ConfigProblem:
        return False
    return True


def texts_of(context: click.Context) -> dict[str, list[str]]:
    """What was typed, as texts by field."""
    texts: dict[str, list[str]] = {}
    names = [*context.params["names"], *([context.params["app"]] if context.params["app"] else [])]
    if len(names) > 1:
        raise ConfigProblem(f"expected one APP, got {' and '.join(map(repr, names))}")
    for field, option in OPTIONS.items():
        if context.get_parameter_source(field) is ParameterSource.COMMANDLINE:
            value = context.params[field]
            if option.is_switch:
                texts[field] = ["yes" if value else "no"]
            else:
                texts[field] = list(value) if option.many else [value]
    if names:
        texts["app"] = names
    return texts


def usage_line(error: click.UsageError) -> str:
    """One line for what click found wrong."""
    if isinstance(error, click.NoSuchOption):
        if (why := REPLACED.get(error.option_name)) is not None:
            return f"expected a known option, got {error.option_name}: {why}"
        hint = f" (did you mean {error.possibilities[0]}?)" if error.possibilities else ""
        return f"expected a known option, got {error.option_name}{hint}"
    if isinstance(error, click.BadOptionUsage):
        flags = [each for each in OPTIONS.values() if each.is_switch]
        if any(error.option_name in (*each.spellings, each.negative) for each in flags):
            return f"expected no value for {error.option_name}, got one"
        return f"expected a value for {error.option_name}, got none"
    if isinstance(error, click.MissingParameter) and error.param is not None:
        return f"expected {error.param.human_readable_name}, got none"
    return error.message


def _parameter(option: Option) -> click.Option:
    help_text = option.help.replace("{kinds}", ", ".join(KINDS))
    if option.shown_default:
        help_text += f"  [default: {option.shown_default}]"
    names: list[str] = [option.field, *option.spellings]
    more: dict[str, Any] = {"help": help_text, "hidden": option.hidden, "show_default": False}
    if option.is_switch:
        if option.negative is not None:
            names[-1] = f"{option.spellings[-1]}/{option.negative}"
        return click.Option(names, is_flag=True, default=bool(option.default), **more)
    return click.Option(names, multiple=option.many, metavar=option.type.metavar, **more)


def _show_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f"container {__version__}")
        ctx.exit()


def command(name: str) -> click.Command:
    """The click command of that name, "run" for the one without."""
    extra, text = COMMANDS[name]
    return _Command(
        "container",
        params=[
            *(extra or [click.Argument(["names"], nargs=-1, metavar="[APP]")]),
            *map(_parameter, OPTIONS.values()),
            click.Option(
                ["--version"], is_flag=True, is_eager=True, expose_value=False, callback=_show_version,
                help="Show the version and exit.",
            ),
        ],
        help=_HELP if name == "run" else text,
        epilog=_EPILOG,
        context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
    )  # fmt: skip


COMMANDS: Final[dict[str, tuple[list[click.Parameter], str]]] = {
    "run": ([], "Serve it; the same as without a command."),
    "check": ([], "Load everything, listen nowhere, and say what is wrong, if anything."),
    "print": ([], "Print what is configured, however it was said, as a container.toml."),
    "routes": ([], "Print the tree: places, what answers there, and what is around it."),
    "inspect": (
        [
            click.Argument(["url"], metavar="URL"),
            click.Argument(["names"], nargs=-1, metavar="[APP]"),
            click.Option(
                ["--method", "-X"], default="GET", metavar="METHOD", help="The method of the request."
            ),
            click.Option(
                ["--request-header", "-H"],
                multiple=True,
                metavar='"NAME: VALUE"',
                help="A field of the request.",
            ),
        ],
        "Tell which resource answers a request, and why, step by step. URL may be a path.",
    ),
    "schema": ([], "Print the JSON Schema of container.toml, for editors."),
}
