"""Damaged files: rows, rows set aside or an error that says what is wrong, never anything else."""

from __future__ import annotations

import io
import subprocess
import sys
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from featurestore.errors import FeatureStoreError
from featurestore.sources.parquet import read_parquet
from featurestore.tables.arrow_batches import read_record_batches
from tests.often import examples
from tests.sources.conftest import Shops

FRAME = pl.DataFrame(
    {
        "id": ["a", "b", "007", ""] * 5,
        "at": [datetime(2024, 3, 10, 1, minute) for minute in range(20)],
        "n": [1, 2, 3, None] * 5,
        "day": ["2024-01-01"] * 20,
        "text": ["abc", 'a"x', "a,b", "a\nb"] * 5,
        "x": [1.5, None, 3, 4] * 5,
        "list": ["[1,2]"] * 20,
    }
)
SOURCE = """
event_time = "at"
timezone = "America/New_York"
[sources.visits.columns]
n = { type = "int", min = 0 }
list = { type = "list[float]" }
day = { type = "date" }
text = { type = "string", pattern = "a.*", null = false }
"""


def whole(kind: str) -> bytes:
    stream = io.BytesIO()
    frame = FRAME.with_columns(pl.col("at").dt.strftime("%FT%T%.6f")) if kind == "csv" else FRAME
    getattr(frame, f"write_{kind}")(stream)
    return stream.getvalue()


WHOLE = {kind: whole(kind) for kind in ("csv", "ndjson", "parquet", "ipc", "ipc_stream")}
TYPES = {"ipc": "arrow", "ipc_stream": "arrow"}
PIECES = st.sampled_from(
    [
        b'"',
        b",",
        b"\n",
        b"\r",
        b"\0",
        b"\xff",
        b"\xef\xbb\xbf",
        b"",
        b"{",
        b"}",
        b"null",
        b"1e999",
        b"\\u0000",
        b"\\ud800",
    ]
)
WOUNDS = st.tuples(st.floats(0, 1), st.integers(0, 30), st.one_of(PIECES, st.binary(max_size=3)))


@pytest.mark.parametrize("kind", WHOLE)
@given(wounds=st.lists(WOUNDS, min_size=1, max_size=5), cut=st.booleans())
@settings(deadline=None, max_examples=examples(20), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_bytes_that_were_damaged_are_read_or_refused(
    kind: str, wounds: list[tuple[float, int, bytes]], cut: bool, shops: Shops
) -> None:
    shop = shops(f'type = "{TYPES.get(kind, kind)}"\npath = "visits.{kind}"\n{SOURCE}')
    data = WHOLE[kind]
    for place, removed, added in wounds:
        at = int(place * len(data))
        data = data[:at] + added + data[at + removed * (len(added) != removed) :]
    shop.write(f"visits.{kind}", data[: len(data) * 9 // 10] if cut else data)
    try:
        taken = shop.read()
    except FeatureStoreError:
        return
    assert taken.rows_read == taken.frame.height + taken.rejected_count
    assert len({taken.place(at) for at in range(taken.frame.height)}) == taken.frame.height


@pytest.mark.parametrize("kind", WHOLE)
def test_columns_may_have_names_that_mean_something_elsewhere(kind: str, shops: Shops) -> None:
    shop = shops(f'type = "{TYPES.get(kind, kind)}"\npath = "visits.{kind}"')
    names = ["^id$", "*", "^.*$", "a b", "é", "select", '"', "--"]
    frame = pl.DataFrame([pl.Series("id", ["1"]), *(pl.Series(name, [name]) for name in names)])
    getattr(frame, f"write_{kind}")(shop.root / f"visits.{kind}")
    taken = shop.read()
    assert taken.frame.to_dicts() == frame.to_dicts()
    assert set(taken.inferred) == set(names)


@pytest.mark.parametrize("form", ["parquet", "arrow"])
@pytest.mark.parametrize("unit", ["ns", "us", "ms"])
@pytest.mark.parametrize("zone", [None, "Asia/Kolkata"])
@pytest.mark.parametrize("count", [2**63 - 1, -(2**63), 2**56])
def test_times_that_no_calendar_holds_are_rejected(
    form: str, unit: str, zone: str | None, count: int, shops: Shops
) -> None:
    shop = shops(f'type = "{form}"\npath = "visits"\ntimezone = "America/New_York"')
    column = pl.Series("at", [count, 0]).cast(pl.Datetime(unit, zone))  # type: ignore[arg-type]
    frame = pl.DataFrame([pl.Series("id", ["a", "b"]), column])
    (frame.write_parquet if form == "parquet" else frame.write_ipc)(shop.root / "visits")
    taken = shop.read()
    held = unit == "ns" or (unit == "us" and count == 2**56)
    assert taken.frame.height == 1 + held
    assert [row.row for row in taken.rejected] == ([] if held else [1])


def test_a_pandas_index_and_its_notes_do_no_harm(shops: Shops, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    shop = shops('type = "parquet"\npath = "visits.parquet"')
    pandas.DataFrame({"id": ["a", "b"], "x": [1, 2]}).iloc[1:].to_parquet(tmp_path / "visits.parquet")
    assert shop.read().frame.select("id", "x").rows() == [("b", 2)]


EVERY_FOOTER = """\
import io
import pyarrow as pa, pyarrow.parquet as pq
from featurestore.errors import SourceError
from featurestore.sources.parquet import read_parquet
from featurestore.tables.arrow_batches import read_record_batches

out = io.BytesIO()
pq.write_table(pa.table({"id": ["1", "2"], "x": [1.5, None], "l": [[1], []]}), out)
data = out.getvalue()
footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
for at in range(footer, len(data)):
    for bit in (1, 16):
        damaged = bytearray(data)
        damaged[at] ^= bit
        try:
            list(read_parquet(io.BytesIO(bytes(damaged)), "file", None, lambda _: None))
        except SourceError:
            pass
print("done")
"""


def test_a_footer_that_is_damaged_anywhere_does_not_end_the_process() -> None:
    ran = subprocess.run([sys.executable, "-c", EVERY_FOOTER], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "done\n"), ran.stderr[-1_000:]


def test_a_parquet_footer_that_lost_rows_is_refused() -> None:
    """Flipped bits in a footer without a checksum are an error or change no count of rows."""
    stream, said = io.BytesIO(), list[str]()
    pq.write_table(pa.table({"n": list(range(60))}), stream, row_group_size=20)
    data = stream.getvalue()
    begin = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    for at in range(begin, len(data) - 8):
        damaged = bytes([*data[:at], data[at] ^ 1, *data[at + 1 :]])
        with suppress(FeatureStoreError):
            batches = read_parquet(io.BytesIO(damaged), "x.parquet", None, said.append)
            assert sum(batch.frame.height for batch in batches) == 60, at - begin


@pytest.mark.parametrize("compression", [None, "zstd"])
def test_a_damaged_footer_of_an_arrow_file_changes_no_value(compression: str | None) -> None:
    """Each bit of it, flipped: the file is refused, or read as it was."""
    table = pa.table({"id": ["a", "b", "c"], "of": pa.array(["u", "v", "u"]).dictionary_encode(), "at": _times(3)})
    stream = io.BytesIO()
    with pa.ipc.new_file(stream, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table, max_chunksize=1)
    data = stream.getvalue()
    begin = len(data) - 10 - int.from_bytes(data[-10:-6], "little")
    refused = 0
    for at in range(begin, len(data)):
        for bit in range(8):
            damaged = bytes([*data[:at], data[at] ^ (1 << bit), *data[at + 1 :]])
            try:
                schema, batches = read_record_batches(io.BytesIO(damaged))
                read = pa.Table.from_batches(list(batches), schema)
            except (FeatureStoreError, pa.ArrowException, OSError, ValueError):
                refused += 1
            else:
                assert read.equals(table), (at - begin, bit)
    assert refused > len(data) - begin


def test_an_arrow_file_need_not_have_a_mark_of_its_end() -> None:
    """Nor one in front of each message, which nobody wrote before 2019."""
    table = pa.table({"id": ["a", "b"]})
    for options in (pa.ipc.IpcWriteOptions(), pa.ipc.IpcWriteOptions(use_legacy_format=True)):
        for rows in (0, 2):
            stream = io.BytesIO()
            with pa.ipc.new_file(stream, table.schema, options=options) as writer:
                writer.write_table(table.slice(0, rows), max_chunksize=1)
            schema, batches = read_record_batches(io.BytesIO(stream.getvalue()))
            assert pa.Table.from_batches(list(batches), schema).equals(table.slice(0, rows))
    frame = pl.DataFrame({"id": ["a", "b"]})
    stream = io.BytesIO()
    frame.write_ipc(stream, record_batch_size=1)
    _, batches = read_record_batches(io.BytesIO(stream.getvalue()))
    assert sum(batch.num_rows for batch in batches) == 2


def _times(rows: int) -> pa.Array:
    return pa.array(range(rows), pa.timestamp("us", "UTC"))
