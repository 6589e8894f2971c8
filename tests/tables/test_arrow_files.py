"""Arrow files that are written hold the rows of the table, and nothing else."""

from __future__ import annotations

import io
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from featurestore.tables.batches import write_batches
from featurestore.tables.files import write_stream


@pytest.mark.parametrize("count", [2, 5_000])
def test_a_text_of_a_row_that_is_not_in_the_table_is_not_in_its_file(count: int) -> None:
    read = io.BytesIO()
    pl.DataFrame({"id": [f"a text of some length {number}." for number in range(count)]}).write_csv(read)
    rows = pl.read_csv(read.getvalue())
    written = io.BytesIO()
    write_stream(rows.filter(pl.col("id") != "a text of some length 1."), written, "arrow")
    assert b"length 0." in written.getvalue()
    assert b"length 1." not in written.getvalue()


def test_texts_have_one_type_however_many_batches_a_table_is_written_in(tmp_path: Path) -> None:
    rows = pl.DataFrame({"id": ["a", "b"]})
    types = []
    for name, batches in {"one": [rows], "two": [rows[:1], rows[1:]]}.items():
        path = tmp_path / f"{name}.arrow"
        with write_batches(path) as write:
            for batch in batches:
                write(batch)
        types.append(pa.ipc.open_file(path).schema.field("id").type)
    assert types == [pa.large_string(), pa.large_string()]
