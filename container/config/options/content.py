"""What is served: roots, mounts, files, scripts."""

from __future__ import annotations

from typing import Final

from container.config.options.option import Section, option, switch
from container.config.scripts import Scripts
from container.config.settings import Settings
from container.config.static import DEFAULT_ROUTE
from container.config.values import Duration, Number, Text

_settings, _scripts = Settings(), Scripts()
_NAME: Final = Text("NAME")

CONTENT: Final = Section(
    "What is served",
    (
        option("--app", type=_NAME, help="The same as APP.", hidden=True),
        option("--wsgi", type=_NAME, help="Serve a WSGI application: package.module.name or package.module:name."),
        option("--asgi", type=_NAME, help="Serve an ASGI application."),
        switch("--factory", "--call", help="APP, --wsgi or --asgi names a function that returns the application."),
        option("--path", type=Text("DIR"), help="Serve the files of a directory, or a single file."),
        option(
            "-y", "--python", type=Text("FILE"),
            help="Serve what a .tac file binds to `application`, at its own addresses unless one is given here.",
        ),
        option(
            "--resource-script", type=Text("FILE"),
            help="Serve what a Python script binds to `resource`, run for each request; of a directory, each file.",
        ),
        switch("--user-dirs", help="Serve ~/public_html of every user of this machine at /~user/ and /user/."),
        option(
            "--class", type=_NAME, help="Serve an instance of a class of resources: package.module.name.",
        ),
        option(
            "--mount", many=True, type=Text("/PREFIX=KIND:ARG"), table="[[mount]]",
            help="Mount a further thing, in front of the root. KIND is one of {kinds}; what a module:name without a "
            "KIND leads to is found out. Repeatable.",
        ),
        option(
            "--mount-option", many=True, type=Text("/PREFIX:KEY=VALUE"), table="a key of [[mount]]",
            help="A key of a mount, such as /api:threads=4; docs/reference.md has those of every kind. Repeatable.",
        ),
        option(
            "--vhost", many=True, type=Text("NAME=KIND:ARG"), table="[[mount]] with host",
            help="Serve a thing of its own for a host, such as a.example=path:a, *.b.example=b:app or "
            "c.example:8443=c:app; the rest is for all other hosts, without any they are answered 421. Repeatable.",
        ),
        option(
            "--static", many=True, type=Text("/PREFIX=DIR"), table="[[mount]] with files",
            help="The same as --mount /PREFIX=files:DIR. Repeatable.",
        ),
        option(
            "--static-path-mount", many=True, type=Text("DIR"), table="[[mount]] with files", hidden=True,
            help="A directory to mount at --static-path-route, as granian has it. Repeatable, in pairs.",
        ),
        option(
            "--static-path-route", many=True, type=Text("/PREFIX"), table="path of a [[mount]]", hidden=True,
            help=f"Where --static-path-mount is mounted; {DEFAULT_ROUTE} unless given.",
        ),
        option(
            "--static-path-dir-to-file", type=Text("FILE"), table="index of a [[mount]]", hidden=True,
            help="What is answered for a directory below --static-path-mount.",
        ),
        option(
            "--static-path-expires", type=Duration(off=True), default=86_400.0,
            table="cache-control of a [[mount]]", hidden=True,
            help="How long clients may keep what is below --static-path-mount without asking again; 0: not at all.",
        ),
    ),
)  # fmt: skip

FILES: Final = Section(
    "Files",
    (
        option(
            "--index", "-i", many=True, type=Text("NAME"), default=_settings.index,
            help="What to answer for a directory instead of a listing; the first that is there. Repeatable.",
        ),
        switch("--listing", default=True, help="Show directories of --path that have no index."),
        option(
            "--ignore-ext", many=True, type=Text("EXT"),
            help="An extension that URLs may leave out, tried in this order; * for any. Repeatable.",
        ),
        switch("--allow-ignore-ext", help="Any extension may be left out."),
        option("--mime-type", type=Text("TYPE"), help="The media type of files whose extension says nothing."),
        option(
            "--processor", many=True, type=Text(".EXT=NAME", pair_joint="="),
            help="What makes resources of the files of an extension: a class or function. Repeatable.",
        ),
        switch(
            "--scripts", help="Run .cgi, .php, .rpy and .epy scripts below --path, and send .asis files as they are."
        ),
    ),
)  # fmt: skip

SCRIPTS: Final = Section(
    "CGI scripts",
    (
        option(
            "--cgi", type=Text("DIR"),
            help="Serve the files of a directory, and run the CGI scripts in its cgi-bin and htbin.",
        ),
        option(
            "--cgi-bin", many=True, type=Text("/PREFIX[=DIR]"),
            help="Run the CGI scripts of a directory, of the same name below that of --path unless given. Repeatable.",
        ),
        option(
            "--cgi-interpreter", many=True, type=Text(".EXT=PROGRAM", pair_joint="="),
            help="What runs scripts of an extension, such as .php=php-cgi. Repeatable.",
        ),
        option(
            "--cgi-env", many=True, type=Text("NAME[=VALUE]", pair_joint="="),
            help="A variable for CGI scripts, or one of this environment to pass on. Repeatable.",
        ),
        option(
            "--cgi-user", type=Text("USER[:GROUP]"),
            help="Whose rights CGI scripts have; nobody's when started as root.",
        ),
        option(
            "--cgi-timeout", type=Duration(off=True), default=_scripts.timeout,
            help="How long a CGI script may be silent, else 504.",
        ),
        option(
            "--cgi-processes", type=Number(1, 10_000), default=_scripts.processes,
            help="CGI scripts that run at a time; further requests wait.",
        ),
        switch("--cgi-session", help="Tell CGI scripts the id and user of the visitor's session."),
        switch("--cgi-warm", help="Run CGI scripts in Python in copies of an interpreter that has started already."),
    ),
)  # fmt: skip
