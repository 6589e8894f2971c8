"""What would be read of a source or a file."""

from __future__ import annotations

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from featurestore.errors import plural
from featurestore.frozen import frozen
from featurestore.render.text.style import DIM, NAME, WARN, line
from featurestore.render.text.table import Column, FittedTable, Kind, table
from featurestore.tables.values import json_value
from featurestore.toml import toml_value
from featurestore.workflows.source_preview import PreviewColumn, SourcePreview

MOST_REJECTED = 20
_LONGEST = 40


def preview_page(preview: SourcePreview) -> RenderableType:
    """The settings, the columns with their types, the first rows, what would be set aside, and what is open."""
    source = preview.source
    name = source.name if preview.declared else source.location
    parts: list[RenderableType] = [Text.assemble((name, NAME), f": {source.type}, {_settings(preview)}")]
    columns = [Column("column", "name"), Column("type"), Column("", "words", DIM)]
    parts.append(table(columns, [(item.name, item.type or "–", _origin(item)) for item in preview.columns]))
    if preview.frame.height:
        columns = _sample_columns(preview)
        rows = preview.frame.rows()
        parts.append(_Sample(table(columns, [list(map(_cell, row, columns)) for row in rows])))
    read = plural(preview.rows_read, "row")
    looked = read if preview.whole else f"the first {read}"
    parts.append(Text(f"looked at {looked}; {preview.rows_rejected:,} would be set aside"))
    if preview.rejected:
        shown = [(row.place, row.column or "", row.reason) for row in preview.rejected[:MOST_REJECTED]]
        parts.append(
            table([Column("set aside", "id"), Column("column", "name"), Column("reason", "words", WARN)], shown)
        )
    parts += [line(f"open: {item.text}", WARN) for item in preview.questions]
    return Group(*parts)


@frozen
class _Sample:
    """Rows of a source, and the names of the columns that don't fit beside the others."""

    rows: FittedTable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self.rows
        gone = self.rows.left_out(options.max_width)
        if gone:
            yield line(f"and {plural(len(gone), 'column')} more: {', '.join(gone)}", DIM)


def _sample_columns(preview: SourcePreview) -> list[Column]:
    """How a sample is shown: keys cut in the middle, texts at their end; where that is not enough the last go."""
    known = {item.name: item for item in preview.columns}
    return [_sample_column(known.get(name), name, at) for at, name in enumerate(preview.frame.columns)]


def _sample_column(item: PreviewColumn | None, name: str, at: int) -> Column:
    if item is not None and item.origin == "key":
        return Column(name, "id")
    kinds: dict[str | None, Kind] = {"datetime": "fixed", "int": "number", "float": "number", "bool": "fixed"}
    return Column(name, kinds.get(None if item is None else item.type, "line"), spare=at)


def _settings(preview: SourcePreview) -> str:
    """What differs from the default, as featurestore.toml has it."""
    identity = preview.source.dialect.identity
    found = [
        f"{name} = {toml_value('' if value is None else value)}"
        for name, value in identity.items()
        if name not in ("times", "renamed")
    ]
    return ", ".join(found) or "with the default settings"


def _origin(item: PreviewColumn) -> str:
    origin, written = item.origin, item.written
    renamed = "" if item.name == item.in_file else f", {item.in_file!r} in the file"
    return f"{origin}{f', written as {written}' if written else ''}{renamed}"


def _cell(value: object, column: Column) -> str:
    if value is None:
        return ""
    text = value.hex() if isinstance(value, bytes) else str(json_value(value))
    text = text.lower() if isinstance(value, bool) else text
    return text if len(text) <= _LONGEST or column.kind == "id" else text[: _LONGEST - 1] + "…"
