"""Finds the command, runs it, and turns whatever happens into an exit code.

This is the one place that catches: an expected error becomes a sentence and a hint (or one JSON document), anything
else a log file and exit code 70.
"""

from __future__ import annotations

import sys

from featurestore import __version__
from featurestore.cli import interrupts, streams
from featurestore.cli.commands import COMMANDS, WRITERS
from featurestore.cli.session import Session, split_global_options
from featurestore.errors import FeatureStoreError, OutputError, UsageError, did_you_mean, from_os_error
from featurestore.render.printable import one_line, printable
from featurestore.signals import TerminatedError

EXIT_DEFECT = 70


def run(arguments: list[str]) -> int:
    """Runs one command line and returns its exit code. Prints; raises nothing."""
    # Before anything is parsed, so that an error in the global options comes as JSON too.
    session = Session(json="--json" in arguments, traceback="--traceback" in arguments)
    with interrupts.listening():
        try:
            code = _run(session, arguments)
            sys.stdout.flush()
        except BrokenPipeError:
            streams.discard()
            return streams.EXIT_PIPE
        except (KeyboardInterrupt, TerminatedError):
            # A library raised its own error for the interrupt first, and the signal's came while that one was handled.
            return _ended(session)
        return code


def _run(session: Session, arguments: list[str]) -> int:
    try:
        session, rest = split_global_options(arguments, session.answer)
        return _dispatch(session, rest)
    except FeatureStoreError as exc:
        return _ended(session) or _fail(session, exc)
    except BrokenPipeError:
        raise
    except OSError as exc:
        return _ended(session) or _fail(session, from_os_error(exc))
    except (KeyboardInterrupt, TerminatedError):
        return _ended(session, interrupts.declined())
    except BaseException as exc:  # noqa: BLE001  # the last resort: what nobody foresaw is our defect, a panic of Rust too
        return _ended(session) or _defect(session, exc)


def _dispatch(session: Session, words: list[str]) -> int:
    if session.version:
        sys.stdout.write(f"featurestore {__version__}\n")
        return _written(0, "--version")
    if not words and session.json:
        raise UsageError("no command was given", hint="run featurestore --help")
    if not words or words[0] in ("-h", "--help"):
        from featurestore.cli.overview import overview

        sys.stdout.write(overview())
        return _written(0 if words else 2, "--help")
    name, *arguments = words
    if name.startswith("-"):
        raise UsageError(f"there is no option {name} before the command", hint="run featurestore --help")
    if name not in COMMANDS:
        hint = did_you_mean(name, COMMANDS) or "run featurestore --help"
        raise UsageError(f"there is no command {name!r}", hint=hint)
    from featurestore.cli.parsing import run_command

    try:
        code = run_command(session, name, arguments)
    finally:
        session.close()
    session.detail(f"done, exit code {code}")
    return _written(code, name)


def _written(code: int, command: str) -> int:
    """The exit code, once the result is out. A command that has changed something keeps its own where that fails."""
    sys.stdout.flush()
    message = streams.failure()
    if message is not None:
        if command not in WRITERS:
            raise OutputError(message)
        streams.say(f"error: {message}")
    return code


def _ended(session: Session, otherwise: interrupts.Ending | None = None) -> int:
    """Says which signal ended the command and returns its exit code; 0 where none came and there is no ``otherwise``.

    With ``--json`` a document says so too, unless the answer had begun: then it is whole, or was a stream of lines.
    """
    ending = interrupts.ending() or otherwise
    if ending is None:
        return 0
    if session.json and not session.answer.begun:
        try:
            session.write_json({"error": {"code": ending.name, "message": ending.message, "hint": None}})
        except BrokenPipeError:  # Ctrl-C has ended whoever read it too
            streams.discard()
    streams.say(ending.message)
    return ending.exit_code


def _fail(session: Session, exc: FeatureStoreError) -> int:
    if session.traceback:
        _show_traceback(exc)
    if session.json:
        where = {"where": exc.where} if exc.where else {}
        session.write_json({"error": {"code": exc.code, "message": exc.message, **where, "hint": exc.hint}})
    streams.say(f"error: {one_line(str(exc))}" + (f"\n  hint: {one_line(exc.hint)}" if exc.hint else ""))
    return exc.exit_code


def _show_traceback(exc: BaseException) -> None:
    import traceback

    streams.say(printable("".join(traceback.format_exception(exc))).rstrip())


def _defect(session: Session, exc: BaseException) -> int:
    from featurestore.cli.defects import write_report

    if session.traceback:
        _show_traceback(exc)
    message = f"a defect of featurestore {__version__}: {type(exc).__name__}"
    try:
        hint = f"the report is in {write_report(session, exc)}; please file it"
    except OSError as failure:
        hint = f"the report can't be written ({failure.strerror}); please file what --traceback prints"
    if session.json:
        session.write_json({"error": {"code": "defect", "message": message, "hint": hint}})
    streams.say(f"error: {message}\n  hint: {hint}")
    return EXIT_DEFECT
