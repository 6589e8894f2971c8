"""The text of ``featurestore --help``, and the global options at the end of every command's help."""

from __future__ import annotations

from collections.abc import Iterable
from shutil import get_terminal_size

from featurestore.cli.commands import COMMANDS

_GLOBAL = {
    "-C, --project DIR": "The project folder (default: the nearest featurestore.toml).",
    "--json": "One JSON document on stdout, also on failure.",
    "-q, --quiet": "Print errors only.",
    "-v, --verbose": "Report each step on stderr, with its time.",
    "--lock-timeout SECONDS": "How long to wait for another run (default: 60).",
    "--traceback": "Show the traceback of an error.",
    "-V, --version": "Print the version.",
}
_ANYWHERE = "Global options, anywhere on the line:"
_OF_COMMANDS = 2  # by how much the end of a command's help is indented


def global_help() -> str:
    """The global options, for the end of a command's help: as it is, not filled."""
    return "\n".join(["\b", _ANYWHERE, *_two_columns(_GLOBAL.items(), _columns() - _OF_COMMANDS)])


def overview() -> str:
    """The help of the program: every command in its section, then the global options."""
    lines = [
        "Usage: featurestore COMMAND [ARGS]…",
        "",
        *_wrapped("The feature store that runs on one machine, from the command line.", _columns()),
        "",
    ]
    longest = max(map(len, COMMANDS))
    for section in dict.fromkeys(section for section, _ in COMMANDS.values()):
        found = [(f"{name:{longest}}", line) for name, (where, line) in COMMANDS.items() if where == section]
        lines += [f"{section}:", *_two_columns(found, _columns()), ""]
    options = {**_GLOBAL, "-h, --help": "Show this message; after a command, its own."}
    return "\n".join([*lines, _ANYWHERE, *_two_columns(options.items(), _columns())]) + "\n"


def _columns() -> int:
    return get_terminal_size().columns


def _two_columns(rows: Iterable[tuple[str, str]], width: int) -> list[str]:
    """Names, and what they mean in a column beside them, in lines of at most ``width`` where words allow it."""
    rows = list(rows)
    beside = max(len(name) for name, _ in rows) + 4
    lines = []
    for name, text in rows:
        first, *rest = _wrapped(text, width - beside)
        lines += [f"  {name:{beside - 2}}{first}", *(" " * beside + line for line in rest)]
    return lines


def _wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".lstrip()
    return lines
