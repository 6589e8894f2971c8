"""Finds the command, runs it, and turns whatever happens into an exit code.

This is the one place that catches: an expected error becomes a sentence and a next step (or one JSON
document), anything else a log file and exit code 70.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from types import FrameType

import typer
from typer import _click as click
from typer.core import TyperGroup

from featurestore import __version__, signals
from featurestore.cli.commands import COMMANDS
from featurestore.cli.session import Session, split_global_options
from featurestore.errors import FeatureStoreError, UsageError, did_you_mean
from featurestore.render.printable import printable

EXIT_DEFECT, EXIT_INTERRUPT, EXIT_PIPE, EXIT_TERMINATED = 70, 130, 141, 143

GLOBAL_HELP = """\b
Global options, anywhere on the line:
  -C, --project DIR       The project folder (default: the nearest featurestore.toml).
  --json                  One JSON document on stdout, also on failure.
  -q, --quiet             Print errors only.
  -v, --verbose           Add detail.
  --lock-timeout SECONDS  How long to wait for another run (default: 60).
  --traceback             Show the traceback of an error.
"""


class _Commands(TyperGroup):
    """The table of commands; a command's module is imported when it is invoked."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"featurestore.cli.commands.{cmd_name.replace('-', '_')}")
        single = typer.Typer(add_completion=False, rich_markup_mode=None)
        single.command(cmd_name, epilog=GLOBAL_HELP)(module.command)
        return typer.main.get_command(single)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            hint = did_you_mean(name, COMMANDS) or "run featurestore --help"
            raise UsageError(f"there is no command {name!r}", hint=hint)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section in dict.fromkeys(section for section, _ in COMMANDS.values()):
            with formatter.section(section):
                formatter.write_dl([(name, line) for name, (where, line) in COMMANDS.items() if where == section])


def run(arguments: list[str]) -> int:
    """Runs one command line and returns its exit code. Prints; raises nothing."""
    session = Session(json="--json" in arguments, traceback="--traceback" in arguments)
    _listen()
    try:
        session, rest = split_global_options(arguments)
        if rest == ["--version"]:
            sys.stdout.write(f"featurestore {__version__}\n")
            return 0
        group = _group()
        with group.make_context("featurestore", rest, obj=session) as ctx:
            group.invoke(ctx)
        return _flushed(0)
    except typer.Exit as exc:
        return _flushed(exc.exit_code)
    except FeatureStoreError as exc:
        return _stopped() or _fail(session, exc)
    except click.exceptions.NoArgsIsHelpError as exc:
        sys.stdout.write(exc.ctx.get_help() + "\n" if exc.ctx else "")
        return 2
    except click.exceptions.ClickException as exc:
        return _fail(session, UsageError(exc.format_message(), hint=_usage_hint(exc)))
    except (KeyboardInterrupt, typer.Abort):
        return _stopped() or _interrupted()
    except _TerminatedError:
        return _stopped()
    except BrokenPipeError:
        return _broken_pipe()
    except Exception as exc:  # noqa: BLE001  # the last resort: what we did not foresee is our defect
        return _stopped() or _defect(session, exc)


def _flushed(code: int) -> int:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return _broken_pipe()
    return code


def _broken_pipe() -> int:
    # Python flushes stdout once more on its way out, and would complain there.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_PIPE


class _TerminatedError(BaseException):
    """SIGTERM, as an exception so that transactions roll back and locks are let go."""


_signals: list[int] = []  # that have come since the command began


def _listen() -> None:
    _signals.clear()
    if not signals.are_ours():
        return
    signal.signal(signal.SIGTERM, _stop)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell's background job ignores it
        signal.signal(signal.SIGINT, _stop)
    signals.repeat_if_lost({KeyboardInterrupt: signal.SIGINT, _TerminatedError: signal.SIGTERM})


def _stop(number: int, _frame: FrameType | None) -> None:
    _signals.append(number)
    raise KeyboardInterrupt if number == signal.SIGINT else _TerminatedError


def _stopped() -> int:
    """The exit code of the signal that has ended the command; 0 where none has.

    Whatever was raised: a library may make an error of its own out of a signal that came in the middle of its work.
    """
    if signal.SIGTERM in _signals:
        sys.stderr.write("terminated; nothing half-done is left\n")
        return EXIT_TERMINATED
    return _interrupted() if _signals else 0


def _interrupted() -> int:
    sys.stderr.write("interrupted; nothing half-done is left\n")
    return EXIT_INTERRUPT


def _group() -> _Commands:
    return _Commands(
        name="featurestore",
        help="The feature store that runs on one machine, from the command line.",
        epilog=GLOBAL_HELP,
        rich_markup_mode=None,
        no_args_is_help=True,
        subcommand_metavar="COMMAND [ARGS]…",
    )


def _usage_hint(exc: click.exceptions.ClickException) -> str:
    ctx = getattr(exc, "ctx", None)
    return f"run {ctx.command_path} --help" if ctx is not None else "run featurestore --help"


def _fail(session: Session, exc: FeatureStoreError) -> int:
    if session.traceback:
        sys.excepthook(type(exc), exc, exc.__traceback__)
    if session.json:
        where = {"where": exc.where} if exc.where else {}
        session.write_json({"error": {"code": exc.code, "message": exc.message, **where, "hint": exc.hint}})
    sys.stderr.write(f"error: {printable(str(exc))}\n" + (f"  hint: {printable(exc.hint)}\n" if exc.hint else ""))
    return exc.exit_code


def _defect(session: Session, exc: Exception) -> int:
    from featurestore.cli.defects import write_report

    if session.traceback:
        sys.excepthook(type(exc), exc, exc.__traceback__)
    path = write_report(session, exc)
    message = f"a defect of featurestore {__version__}: {type(exc).__name__}"
    hint = f"the report is in {path}; please file it"
    if session.json:
        session.write_json({"error": {"code": "defect", "message": message, "hint": hint}})
    sys.stderr.write(f"error: {message}\n  hint: {hint}\n")
    return EXIT_DEFECT
