"""The tables that a face names as input or output of a workflow: files and open streams, with their formats."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from featurestore.dialect import STANDARD, Dialect
from featurestore.errors import UsageError, did_you_mean
from featurestore.frozen import frozen
from featurestore.tables.files import FORMATS, Format, format_of


@frozen
class TableFile:
    """A table in a file or an open stream.

    ``form`` is its format, needed where neither the file's name nor its first bytes show it. ``name`` is what
    messages call the table; by default the path. ``dialect`` is how the text of a table that is read is written.
    """

    place: Path | BinaryIO
    form: Format | None = None
    name: str = ""
    dialect: Dialect = STANDARD

    @property
    def path(self) -> Path | None:
        """The file, None for a stream."""
        return self.place if isinstance(self.place, Path) else None

    @property
    def title(self) -> str:
        """What messages call it."""
        return self.name or str(self.path or "the stream")

    @property
    def output_form(self) -> Format:
        """The format to write: the given one, else what the file's name says, CSV for a stream. Raises UsageError."""
        return self.form or (format_of(self.path) if self.path else "csv")


def has_types(form: Format) -> bool:
    """Whether a column has a type in a format, and not only each value."""
    return form in ("parquet", "arrow")


def parse_format(option: str, text: str | None) -> Format | None:
    """``csv``, ``parquet``, ``arrow`` or ``ndjson``, or a file suffix that means one of them. Raises UsageError."""
    if text is None:
        return None
    formats = {suffix.removeprefix("."): form for suffix, form in FORMATS.items()}
    if text.lower() not in formats:
        hint = did_you_mean(text, formats) or f"one of {', '.join(dict.fromkeys(formats.values()))}"
        raise UsageError(f"{option} {text!r} is not a format", hint=hint)
    return formats[text.lower()]


def parse_delimiter(option: str, text: str) -> str:
    """One ASCII character, or ``\\t``. Raises UsageError."""
    delimiter = "\t" if text == "\\t" else text
    if len(delimiter) != 1 or delimiter in '\r\n"' or not delimiter.isascii():
        raise UsageError(f"{option} must be one ASCII character, not {text!r}", hint="for example ';' or '\\t'")
    return delimiter


def check_output(output: TableFile, labels: Path | None = None) -> None:
    """Raises UsageError where a result can't be written to ``output``. Called before the work, not after it.

    Its format must be known, binary formats are not written to a terminal, and a result must not overwrite the
    labels that it is made from.
    """
    form = output.output_form
    if output.path is None:
        if has_types(form) and not isinstance(output.place, Path) and output.place.isatty():
            raise UsageError(
                f"refusing to write {form.capitalize()} to a terminal",
                hint="name a file with --output, or redirect with > FILE",
            )
    elif labels is not None and labels.exists() and output.path.exists() and output.path.samefile(labels):
        raise UsageError("the result would overwrite the labels", where=str(output.path), hint="name another --output")
