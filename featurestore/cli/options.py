"""Options that several commands read the same way."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from featurestore import times
from featurestore.cli.session import Session
from featurestore.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from featurestore.tables.files import Format


def names(given: Iterable[str] | None) -> list[str]:
    """``-f a,b -f c`` as a, b, c, each once."""
    found = [name.strip() for item in given or () for name in item.split(",")]
    return list(dict.fromkeys(name for name in found if name))


def instant(session: Session, option: str, text: str | None) -> int | None:
    """ISO 8601 as microseconds; a naive one is UTC, and said so. Raises UsageError."""
    if text is None:
        return None
    try:
        found, naive = times.parse_instant(text)
    except ValueError:
        raise UsageError(
            f"{option} {text!r} is not a time", hint="ISO 8601, for example 2025-01-31T08:00:00Z"
        ) from None
    if naive:
        session.warn(f"{option} {text} has no time zone; it is taken as UTC")
    return found


def duration(option: str, text: str | None) -> int | None:
    """``36h`` as microseconds. Raises UsageError."""
    if text is None:
        return None
    try:
        return times.parse_duration(text)
    except ValueError as exc:
        raise UsageError(f"{option}: {exc}") from None


def table_format(option: str, text: str | None) -> Format | None:
    """``csv``, ``parquet``, ``arrow`` or ``ndjson``, or whatever suffix means one of them. Raises UsageError."""
    if text is None:
        return None
    from featurestore.tables.files import FORMATS

    formats = {suffix.removeprefix("."): form for suffix, form in FORMATS.items()}
    if text.lower() not in formats:
        hint = did_you_mean(text, formats) or f"one of {', '.join(dict.fromkeys(formats.values()))}"
        raise UsageError(f"{option} {text!r} is no format", hint=hint)
    return formats[text.lower()]


def output_format(text: str | None, target: Path | None, source: Path | None = None) -> Format | None:
    """``--format``, else what the name of ``--output`` says. Raises UsageError, so that it is before the work.

    Neither may a result land on the labels it was made from, nor as bytes on a terminal.
    """
    from featurestore.tables.files import format_of

    form = table_format("--format", text)
    if target is None:
        if form in ("parquet", "arrow") and sys.stdout.isatty():
            raise UsageError(f"{form} is nothing for a terminal", hint="name a file with --output, or > FILE")
        return form
    if source is not None and source.exists() and target.exists() and target.samefile(source):
        raise UsageError("the result would overwrite the labels", where=str(target), hint="name another --output")
    return form or format_of(target)
