"""Options that several commands read the same way."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from featurestore import times
from featurestore.cli.session import Session
from featurestore.errors import UsageError, output_error
from featurestore.given import read_duration, read_instant

if TYPE_CHECKING:
    from featurestore.config import Project
    from featurestore.dialect import Dialect
    from featurestore.workflows.join.splits import Splits
    from featurestore.workflows.table_files import TableFile


def names(given: Iterable[str] | None) -> list[str]:
    """``-f a,b -f c`` as a, b, c."""
    found = [name.strip() for item in given or () for name in item.split(",")]
    return [name for name in found if name]


def instant(session: Session, option: str, text: str | None) -> int | None:
    """ISO 8601 as microseconds; one without a zone is UTC, which is warned of. Raises UsageError."""
    return read_instant(f"{option} ", text, session.warn)


def duration(option: str, text: str | None) -> int | None:
    """``36h`` as microseconds. Raises UsageError."""
    return read_duration(f"{option} ", text)


def fields(option: str, given: Iterable[str] | None, example: str = "--request amount=basket_total") -> dict[str, str]:
    """``FIELD=TEXT`` as a mapping, of each field once. Raises UsageError."""
    found: dict[str, str] = {}
    for item in given or ():
        name, equals, text = item.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"{option} {item!r} does not say what the field is", hint=f"for example {example}")
        if name.strip() in found:
            raise UsageError(f"{option} gives the field {name.strip()!r} twice", hint="give it once")
        found[name.strip()] = text
    return found


def write_log(project: Project, path: Path, lines: str) -> str | None:
    """Appends to the file of ``--log``; gives a warning, if there is one. Raises OutputError."""
    from featurestore.workflows.request_logs import append, note

    try:
        append(path, lines.encode("utf-8", "backslashreplace"))
    except OSError as exc:
        raise output_error("can't be written", exc, str(path), "--log FILE") from exc
    return note(project, path)


def label_dialect(
    delimiter: str, null: Sequence[str] | None, formats: Sequence[str] | None, others: Sequence[str] | None
) -> Dialect:
    """How label files are written: ``--delimiter``, ``--null``, ``--format-of``, and ``--dialect`` for all settings.

    Raises UsageError, ConfigError.
    """
    from featurestore.tables.time_formats import compile_format
    from featurestore.workflows.label_dialect import parse_settings, read_label_dialect
    from featurestore.workflows.table_files import parse_delimiter

    settings = parse_settings(others or ())
    settings.setdefault("delimiter", parse_delimiter("--delimiter", delimiter))
    settings.setdefault("null", list(null or ()))
    for text in formats or ():
        column, equals, format_ = text.partition("=")
        example = "for example --format-of at='%d.%m.%Y %H:%M'"
        if not column or not equals:
            raise UsageError(f"--format-of {text!r} does not say how a column's times are written", hint=example)
        try:
            compile_format(format_)
        except ValueError as exc:
            raise UsageError(f"--format-of {text!r}: {exc}", hint=example) from None
        settings.setdefault("columns", {}).setdefault(column, {})["format"] = format_
    return read_label_dialect(settings, "--dialect")


def splits(session: Session, text: str | None, column: str) -> Splits | None:
    """``train=2024-01-01,test`` as splits; naive times are UTC, and said so once. Raises UsageError."""
    if text is None:
        return None
    from featurestore.workflows.join.splits import make_splits

    parts: list[tuple[str, int | None]] = []
    naive: list[str] = []
    for part in text.split(","):
        name, equals, end = part.partition("=")
        try:
            found, assumed = times.parse_instant(end.strip()) if equals else (None, False)
        except ValueError:
            hint = "ISO 8601, for example train=2025-01-31T08:00:00Z"
            raise UsageError(f"--split {end.strip()!r} is not a time", hint=hint) from None
        naive += [end.strip()] if assumed else []
        parts.append((name.strip(), found))
    made = make_splits(tuple(parts), column)
    if naive:
        session.warn(f"--split {', '.join(naive)}: a time without a zone is taken as UTC")
    return made


def zone(option: str, text: str | None) -> str | None:
    """A time zone that this machine knows. Raises UsageError."""
    if text is None:
        return None
    if not times.is_zone(text):
        raise UsageError(f"{option} {text!r} is not a time zone", hint="for example Europe/Paris")
    return text


def would_write(rows: int, path: Path | None) -> str:
    """What a dry run says of the table that it does not write."""
    from featurestore.errors import plural

    return f"would write {plural(rows, 'row')} to {path or 'stdout'}"


def output_table(session: Session, text: str | None, format_: str | None) -> TableFile | None:
    """A table to write: the file of ``--output``, else standard output; with the format of ``--format``.

    None where there is no file and ``--json`` prints the rows as a part of its document.
    """
    from featurestore.workflows.table_files import TableFile, parse_format

    form = parse_format("--format", format_)
    if text is not None and text != "-":
        return TableFile(Path(text), form)
    return None if session.json else TableFile(sys.stdout.buffer, form)
