"""The rows that a run set aside, as a table."""

from __future__ import annotations

import json

import polars as pl

from featurestore.model import Json
from featurestore.tables.batches import write_batches
from featurestore.workflows.runs import RunDetail
from featurestore.workflows.table_files import TableFile, check_output

SCHEMA = {
    "source": pl.String, "file": pl.String, "row": pl.Int64, "column": pl.String, "value": pl.String,
    "reason": pl.String, "values": pl.String,
}  # fmt: skip


def rejected_frame(detail: RunDetail) -> pl.DataFrame:
    """A row for each: its place, what was wrong with which value, and all its values as JSON text."""
    rows = [
        (
            row.source, row.file, row.row, row.column, _text(row.value), row.reason,
            json.dumps(dict(row.values), ensure_ascii=False),
        )
        for row in detail.rejected
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def write_rejected(detail: RunDetail, output: TableFile) -> int:
    """Writes the table, whole or not at all, and returns its number of rows. Raises what `write_batches` raises."""
    check_output(output)
    frame = rejected_frame(detail)
    with write_batches(output.place, form=output.form) as write:
        write(frame)
    return frame.height


def _text(value: Json) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)
