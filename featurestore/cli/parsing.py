"""One command's words, parsed by Typer as the signature of the command's function says.

Typer only parses. The function itself runs outside it, so that its errors, its signals and a closed pipe reach
``featurestore.cli.app`` as they are: Typer would turn them into exit codes of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial, wraps
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand

from featurestore.cli.overview import GLOBAL_HELP
from featurestore.cli.session import Session
from featurestore.errors import UsageError

_NUMBER = re.compile(r"-\d[\d.]*")
Command = Callable[..., int | None]


def run_command(session: Session, name: str, arguments: Sequence[str]) -> int:
    """Parses, runs, and returns the exit code. Raises UsageError, and whatever the command raises."""
    module = import_module(f"featurestore.cli.commands.{name.replace('-', '_')}")
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    settings = {"obj": session, "help_option_names": ["-h", "--help"]}
    app.command(name, cls=_Command, epilog=GLOBAL_HELP, context_settings=settings)(_bound(module.command))
    try:
        parsed = app(list(arguments), prog_name=f"featurestore {name}", standalone_mode=False)
    except typer.TyperException as exc:
        raise UsageError(exc.format_message(), hint=f"run featurestore {name} --help") from exc
    except SystemExit:  # how Typer ends when its help goes into a closed pipe
        raise BrokenPipeError from None
    if not isinstance(parsed, partial):
        return int(parsed)  # the help was asked for
    try:
        return parsed() or 0
    except typer.Exit as exc:
        return exc.exit_code
    # What Typer's prompts raise for "no" and for Ctrl-C.
    except typer.Abort:
        raise KeyboardInterrupt from None


class _Command(TyperCommand):
    """A command to which ``-7`` is a number: no option has such a name, and ids may be negative."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return list(super().parse_args(ctx, self._options_first(args)))

    def _options_first(self, args: list[str]) -> list[str]:
        """The words with all numbers and what else is no option behind ``--``, where one of them has a minus."""
        valued = {
            name
            for param in self.params
            for name in param.opts
            if not getattr(param, "is_flag", True) and param.nargs == 1
        }
        options, others = list[str](), list[str]()
        words = iter(args)
        for word in words:
            if word == "--":
                others += words
            elif word.startswith("-") and word != "-" and not _NUMBER.fullmatch(word):
                options += [word, *([next(words, "")] if word in valued else [])]
            else:
                others.append(word)
        return [*options, "--", *others] if any(map(_NUMBER.fullmatch, others)) else args


def _bound(command: Command) -> Callable[..., partial[int | None]]:
    """A function with the command's signature that only binds its arguments."""

    @wraps(command)
    def bind(*args: Any, **options: Any) -> partial[int | None]:
        return partial(command, *args, **options)

    return bind
