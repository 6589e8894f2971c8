"""One command's words, parsed by Typer as the signature of the command's function says.

Typer only parses. The function itself runs outside it, so that its errors, its signals and a closed pipe reach
``featurestore.cli.app`` as they are: Typer would turn them into exit codes of its own.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from functools import partial, wraps
from importlib import import_module
from itertools import takewhile
from pathlib import Path
from typing import Any

import typer

from featurestore.cli import streams
from featurestore.cli.overview import global_help
from featurestore.cli.session import Session
from featurestore.errors import OutputError, UsageError

Command = Callable[..., int | None]


def run_command(session: Session, name: str, arguments: Sequence[str]) -> int:
    """Parses, runs, and returns the exit code. Raises UsageError, and whatever the command raises."""
    module = import_module(f"featurestore.cli.commands.{name.replace('-', '_')}")
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    settings = {"obj": session, "help_option_names": ["-h", "--help"]}
    app.command(name, epilog=global_help(), context_settings=settings)(_bound(module.command))
    try:
        parsed = app(_hide_numbers(arguments), prog_name=f"featurestore {name}", standalone_mode=False)
    except typer.TyperException as exc:
        raise UsageError(exc.format_message().replace(_MINUS, "-"), hint=_hint(name, exc, arguments)) from exc
    except SystemExit:  # how Typer ends when its help goes into a closed pipe
        raise BrokenPipeError from None
    if not isinstance(parsed, partial):
        sys.stdout.flush()  # the help was asked for, of whatever command
        if message := streams.failure():
            raise OutputError(message)
        return int(parsed)
    parsed = partial(parsed.func, *parsed.args, **{key: _shown(value) for key, value in parsed.keywords.items()})
    try:
        return parsed() or 0
    except typer.Exit as exc:
        return exc.exit_code
    # What Typer's prompts raise for "no" and for Ctrl-C.
    except typer.Abort:
        raise KeyboardInterrupt from None


# A number is never an option. Typer takes what begins with - for one, so it is shown another character there.
_NUMBER = r"(?s)-\.?\d.*"
_MINUS = "\ue000"  # of no writing


def _hide_numbers(arguments: Sequence[str]) -> list[str]:
    hidden: list[str] = []
    for at, item in enumerate(arguments):
        if item == "--":
            return [*hidden, *arguments[at:]]
        after_option = at > 0 and arguments[at - 1].startswith("-") and not re.fullmatch(_NUMBER, arguments[at - 1])
        # After an option it may be the option's value, which Typer takes as it is.
        hidden.append(_MINUS + item[1:] if re.fullmatch(_NUMBER, item) and not after_option else item)
    return hidden


def _shown(value: Any) -> Any:
    """A parsed value with its numbers as they were written."""
    if isinstance(value, list | tuple):
        return type(value)(map(_shown, value))
    if isinstance(value, str | Path) and str(value).startswith(_MINUS):
        return type(value)("-" + str(value)[len(_MINUS) :])
    return value


def _hint(name: str, exc: typer.TyperException, arguments: Sequence[str]) -> str:
    of_one = any(hasattr(exc, about) for about in ("option_name", "param_hint"))  # what is wrong is one word alone
    if not of_one and (names := _names_apart(arguments)):
        return f"names are joined by commas, without spaces: -f {','.join(names)}"
    option = getattr(exc, "option_name", "")
    if re.fullmatch(_NUMBER, option):  # it stands behind an option that takes no value
        return f"put -- before what begins with a minus: featurestore {name} … -- {option}"
    return f"run featurestore {name} --help"


def _names_apart(arguments: Sequence[str]) -> list[str]:
    """The names behind ``-f``, where there are several words of them before the next option or file; else none."""
    for at, item in enumerate(arguments):
        if item in ("-f", "--feature"):
            words = list(takewhile(lambda word: not (word.startswith("-") or Path(word).exists()), arguments[at + 1 :]))
            if len(words) > 1:
                return [name for word in words for name in word.split(",") if name]
    return []


def _bound(command: Command) -> Callable[..., partial[int | None]]:
    """A function with the command's signature that only binds its arguments."""

    @wraps(command)
    def bind(*args: Any, **options: Any) -> partial[int | None]:
        return partial(command, *args, **options)

    return bind


def every_seconds(text: str) -> float:
    """``--every`` in seconds. Raises UsageError."""
    from featurestore import times

    try:
        seconds = float(text) if text.replace(".", "", 1).isdigit() else times.parse_duration(text) / 1e6
    except ValueError as exc:
        raise UsageError(f"--every: {exc}") from None
    if seconds < 1:
        raise UsageError("--every must be at least one second")
    return seconds
