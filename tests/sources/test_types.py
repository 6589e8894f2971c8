"""Types: what is found, what is declared, and what becomes of a value that is neither."""

from __future__ import annotations

import bz2
import io
import json
import lzma
import uuid
import zipfile
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore.errors import SourceError, VersionFileError
from featurestore.sources.pinned_types import read_pins
from featurestore.sources.reading import read_rows
from featurestore.tables.batch import MAX_REJECTED
from tests.sources.conftest import Shop, Shops

WRITERS: dict[str, Callable[[pl.DataFrame, Path], object]] = {
    "parquet": pl.DataFrame.write_parquet,
    "arrow": pl.DataFrame.write_ipc,
    "arrow stream": pl.DataFrame.write_ipc_stream,
}


def write_csv(shop: Shop, values: list[str], name: str = "visits.csv") -> None:
    shop.write(name, "id,x\n" + "".join(f"{at},{value}\n" for at, value in enumerate(values)))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["true", "false", ""], "bool"),
        (["True", "FALSE"], "bool"),
        (["true", "t"], "string"),
        (["1", "0"], "int"),
        (["1", "-5", ""], "int"),
        (["007", "8"], "string"),
        (["+1", "2"], "string"),
        (["-0", "1"], "float"),
        (["1", "2.5"], "float"),
        (["1e3", "2"], "float"),
        (["nan", "1.5", "inf"], "float"),
        (["nan", "inf"], "string"),
        (["1.5", "02.5"], "string"),
        (["9223372036854775807"], "int"),
        (["9223372036854775808"], "string"),
        (["9007199254740993", "1.5"], "string"),
        (["1e999"], "string"),
        (["1e-400"], "string"),
        (["2024-01-31", ""], "date"),
        (["2024-02-30"], "string"),
        (["2024-1-1"], "string"),
        (["2024-01-31T00:00:00Z", "2024-01-31"], "datetime"),
        (["2024-01-31 07:05"], "datetime"),
        (["20240131"], "int"),
        (["1", "x"], "string"),
        (["true", "1"], "string"),
        (["2024-01-31", "1"], "string"),
        ([" 1"], "string"),
        (["", ""], None),
    ],
)
def test_a_csv_column_has_the_narrowest_type_that_holds_all_its_values(
    values: list[str], kind: str | None, shops: Shops
) -> None:
    shop = shops()
    write_csv(shop, values)
    taken = shop.read()
    assert taken.inferred == ({} if kind is None else {"x": kind})
    assert taken.frame["x"].null_count() == values.count("")


@pytest.mark.parametrize(
    ("early", "late", "kind"),
    [
        ("1", "2.5", "float"),
        ("1.5", "2", "float"),
        ("1", "x", "string"),
        ("1", "007", "string"),
        ("true", "1", "string"),
        ("2024-01-01", "2024-01-01T00:00:00", "datetime"),
        ("2024-01-01T00:00:00", "2024-01-01", "datetime"),
        ("2024-01-01", "1", "string"),
        ("", "5", "int"),
        ("5", "", "int"),
        ("9007199254740993", "2.5", "string"),
        ("1.5", "9007199254740993", "string"),
    ],
)
def test_a_type_holds_for_the_whole_slice_whichever_file_comes_first(
    early: str, late: str, kind: str, shops: Shops
) -> None:
    shop = shops('type = "csv"\npath = "*.csv"')
    write_csv(shop, [early] * 3, "a.csv")
    write_csv(shop, [late] * 2, "b.csv")
    taken = shop.read()
    assert taken.inferred == {"x": kind}
    assert taken.frame.height == 5
    assert taken.rejected_count == 0


def test_inferred_types_stay_and_what_does_not_fit_is_rejected(shops: Shops) -> None:
    shop = shops()
    write_csv(shop, ["1", "2"])
    shop.pin()
    write_csv(shop, ["3", "x", "007", "2.5", ""])
    taken = shop.read()
    assert taken.frame["x"].to_list() == [3, None]
    assert shop.rejected(taken) == [
        (2, "x", "'x' is not an int"),
        (3, "x", "'007' is not an int"),
        (4, "x", "'2.5' is not an int"),
    ]
    assert taken.rejected[0].values == {"id": "1", "x": "x"}


def test_a_column_of_nulls_is_pinned_at_its_first_value(shops: Shops) -> None:
    shop = shops()
    write_csv(shop, ["", ""])
    assert shop.pin().inferred == {}
    write_csv(shop, ["", "5"])
    assert shop.pin().inferred == {"x": "int"}
    assert read_pins(shop.project, shop.source) == {"x": "int"}


DECLARED: dict[str, list[tuple[str, object]]] = {
    "int": [
        ("5", 5),
        ("-5", -5),
        ("+5", 5),
        ("007", 7),
        ("5.0", None),
        ("1e3", None),
        (" 5", None),
        ("x", None),
        ("9223372036854775808", None),
    ],
    "float": [
        ("5", 5.0),
        ("2.5", 2.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("inf", float("inf")),
        ("9007199254740992", 2.0**53),
        ("9007199254740993", None),
        ("-9007199254740993", None),
        ("1e999", None),
        ("1e-400", None),
        ("-0.0000000001e-320", None),
        ("0." + "0" * 330 + "1", None),
        ("0e-400", 0.0),
        ("0.000000", 0.0),
        ("5e-324", 5e-324),
        ("x", None),
        ("1,5", None),
    ],
    "bool": [("true", True), ("F", False), ("1", True), ("0", False), ("T", True), ("yes", None), ("2", None)],
    "string": [("007", "007"), (" a ", " a ")],
    "date": [
        ("2024-02-29", date(2024, 2, 29)),
        ("2023-02-29", None),
        ("2024-01-01T00:00:00", None),
        ("0000-01-01", None),
        ("0001-01-01", date(1, 1, 1)),
        ("9999-12-31", date(9999, 12, 31)),
    ],
    "datetime": [
        ("2024-01-01", datetime(2024, 1, 1, tzinfo=UTC)),
        ("2024-01-01T24:00", None),
        ("2024-01-01T23:59:60", None),
    ],
    "list[float]": [
        ("[1, 2.5]", [1.0, 2.5]),
        ("[]", []),
        ("[null]", [None]),
        ('["Infinity"]', [float("inf")]),
        ("[true]", None),
        ('["1"]', None),
        ("1", None),
        ("[1", None),
        ("[1, 1e-400]", None),
        ("[1e-300, 0.0]", [1e-300, 0.0]),
        ('{"a":1}', None),
    ],
}


@pytest.mark.parametrize(
    ("kind", "text", "value"), [(kind, text, value) for kind, pairs in DECLARED.items() for text, value in pairs]
)
def test_a_declared_type_takes_what_fits_and_rejects_the_rest(
    kind: str, text: str, value: object, shops: Shops
) -> None:
    shop = shops(f'type = "csv"\npath = "visits.csv"\n[sources.visits.columns]\nx = {{ type = "{kind}" }}')
    quoted = text.replace('"', '""')
    write_csv(shop, [f'"{quoted}"'])
    taken = shop.read()
    assert taken.frame["x"].to_list() == ([] if value is None else [value])
    if value is None:
        ((row, column, reason),) = shop.rejected(taken)
        assert (row, column) == (1, "x")
        assert reason.startswith(f"{text[:20]!r}"[:-1])
        assert " is not a" in reason


@pytest.mark.parametrize(
    ("values", "kind", "found"),
    [
        ([1, 2], "int", [1, 2]),
        ([1, 2.5], "float", [1.0, 2.5]),
        ([True, None], "bool", [True, None]),
        (["1", "2"], "string", ["1", "2"]),
        (["007", 7], "string", ["007", "7"]),
        (["2024-01-31"], "date", [date(2024, 1, 31)]),
        ([1, "a"], "string", ["1", "a"]),
        ([[1, 2.50]], "string", ["[1,2.5]"]),
        ([{"a": [None, "é"]}], "string", ['{"a":[null,"é"]}']),
        ([10**30], "string", [str(10**30)]),
        ([True, "true"], "string", ["true", "true"]),
    ],
)
def test_json_values_say_their_own_types(values: list[object], kind: str, found: list[object], shops: Shops) -> None:
    shop = shops('type = "ndjson"\npath = "visits.ndjson"')
    shop.write("visits.ndjson", "".join(json.dumps({"id": "a", "x": value}) + "\n" for value in values))
    taken = shop.read()
    assert taken.inferred == {"x": kind}
    assert taken.frame["x"].to_list() == found


def test_a_json_text_is_a_number_only_where_a_number_is_declared(shops: Shops) -> None:
    shop = shops('type = "ndjson"\npath = "visits.ndjson"')
    shop.write("visits.ndjson", '{"id":"a","x":1}\n')
    shop.pin()
    shop.write("visits.ndjson", '{"id":"a","x":"1"}\n')
    assert shop.rejected(shop.read()) == [(1, "x", "'1' is not an int")]
    shop = shops('type = "ndjson"\npath = "visits.ndjson"\n[sources.visits.columns]\nx = { type = "int" }')
    assert shop.read().frame["x"].to_list() == [1]


def test_json_lists_of_numbers_are_embeddings(shops: Shops) -> None:
    shop = shops('type = "ndjson"\npath = "visits.ndjson"\n[sources.visits.columns]\nx = { type = "list[float]" }')
    shop.write(
        "visits.ndjson", '{"id":"a","x":[1,2.5,null]}\n{"id":"b","x":"[1]"}\n{"id":"c","x":["NaN"]}\n{"id":"d","x":7}\n'
    )
    taken = shop.read()
    assert taken.frame["x"].to_list()[0] == [1.0, 2.5, None]
    assert taken.frame["id"].to_list() == ["a", "c"]
    assert [row.row for row in taken.rejected] == [2, 4]


PARQUET = [
    (pl.Series([1, None], dtype=pl.Int8), None, "int", [1, None]),
    (pl.Series([1.5], dtype=pl.Float32), None, "float", [1.5]),
    (pl.Series([True]), None, "bool", [True]),
    (pl.Series(["a"], dtype=pl.Categorical), None, "string", ["a"]),
    (pl.Series([[1.5]], dtype=pl.List(pl.Float32)), None, "list[float]", [[1.5]]),
    (pl.Series([[1, 2]], dtype=pl.Array(pl.Int64, 2)), "list[float]", None, [[1.0, 2.0]]),
    (pl.Series([date(2024, 1, 1)]), None, "date", [date(2024, 1, 1)]),
    (pl.Series([date(2024, 1, 1)]), "datetime", None, [datetime(2024, 1, 1, tzinfo=UTC)]),
    (pl.Series([1, 2**53 + 1]), "float", None, [1.0]),
    (pl.Series([1.0, 2.5, float("nan"), 1e300, None]), "int", None, [1, None]),
    (pl.Series([2**64 - 1, 5], dtype=pl.UInt64), "int", None, [5]),
    (pl.Series([Decimal("1.00"), Decimal("1.50")]), "int", None, [1]),
    (pl.Series([Decimal("1.50")]), "float", None, [1.5]),
    (pl.Series([Decimal("1.50")]), None, None, [Decimal("1.50")]),
    (pl.Series(["5", "x", None]), "int", None, [5, None]),
    (pl.Series([5]), "string", None, ["5"]),
    (pl.Series([None, None]), None, None, [None, None]),
    (pl.Series([None]), "int", None, [None]),
    (pl.Series([{"a": 1}]), None, None, [{"a": 1}]),
    (
        pl.Series([-1], dtype=pl.Int64).cast(pl.Datetime("ns")),
        None,
        "datetime",
        [datetime(1970, 1, 1, tzinfo=UTC)],  # rounded up: a row is not known before it was there
    ),
    (
        pl.Series([1], dtype=pl.Int64).cast(pl.Datetime("ms", "Asia/Kolkata")),
        None,
        "datetime",
        [datetime(1970, 1, 1, 0, 0, 0, 1000, tzinfo=UTC)],
    ),
    (pl.Series([2**62], dtype=pl.Int64).cast(pl.Datetime("us")), None, "datetime", []),
]


@pytest.mark.parametrize(("column", "declared", "pinned", "found"), PARQUET)
@pytest.mark.parametrize("form", WRITERS)
def test_a_typed_column_keeps_its_type_or_becomes_the_declared_one_without_loss(
    form: str, column: pl.Series, declared: str | None, pinned: str | None, found: list[object], shops: Shops
) -> None:
    columns = f'\n[sources.visits.columns]\nx = {{ type = "{declared}" }}' if declared else ""
    shop = shops(f'type = "{form.split()[0]}"\npath = "visits"' + columns)
    WRITERS[form](pl.DataFrame({"id": ["a"] * len(column), "x": column}), shop.root / "visits")
    taken = shop.read()
    assert taken.frame["x"].to_list() == found
    assert taken.inferred == ({"x": pinned} if pinned else {})
    assert taken.rejected_count == len(column) - len(found)


@pytest.mark.parametrize(
    ("column", "declared"),
    [
        (pl.Series([True]), "date"),
        (pl.Series([b"a"]), "string"),
        (pl.Series([1]), "datetime"),
        (pl.Series([1.5]), "string"),
        (pl.Series([["a"]]), "list[float]"),
    ],
)
@pytest.mark.parametrize("form", WRITERS)
def test_a_typed_column_that_can_never_fit_is_refused_whole(
    form: str, column: pl.Series, declared: str, shops: Shops
) -> None:
    columns = f'[sources.visits.columns]\nx = {{ type = "{declared}" }}'
    shop = shops(f'type = "{form.split()[0]}"\npath = "visits"\n{columns}')
    WRITERS[form](pl.DataFrame({"id": ["a"], "x": column}), shop.root / "visits")
    with pytest.raises(SourceError) as refused:
        shop.read()
    assert f"column 'x': a column of type {column.dtype} can't be read as" in str(refused.value)
    assert "[sources.visits.columns]" in str(refused.value.hint)


@pytest.mark.parametrize(("form", "data"), [
    ("parquet", b"no parquet"), ("parquet", b"PAR1" + b"\0" * 40 + b"PAR1"),
    ("arrow", b"\xff\xff\xff\xff" + b"\0" * 40),
])  # fmt: skip
def test_what_is_not_in_its_format_is_refused(form: str, data: bytes, shops: Shops) -> None:
    shop = shops(f'type = "{form}"\npath = "visits"')
    shop.write("visits", data)
    with pytest.raises(SourceError, match=rf"^visits: can't be read as {form.capitalize()}"):
        shop.read()


def test_an_arrow_stream_that_was_cut_between_two_batches_is_reported(shops: Shops) -> None:
    shop = shops('type = "arrow"\npath = "visits"')
    stream = io.BytesIO()
    pl.DataFrame({"id": ["a", "b"]}).write_ipc_stream(stream)
    shop.write("visits", stream.getvalue())
    assert shop.read().warnings == ()
    shop.write("visits", stream.getvalue()[:-8])
    rows = shop.read()
    assert (rows.frame.height, rows.warnings) == (2, ("visits has no mark at its end: was it cut?",))


def test_text_of_arrow_that_is_not_utf8_is_refused(shops: Shops) -> None:
    shop = shops('type = "arrow"\npath = "visits"')
    stream = io.BytesIO()
    pl.DataFrame({"id": ["plain text of some length"]}).write_ipc(stream, compat_level=pl.CompatLevel.oldest())
    shop.write("visits", stream.getvalue().replace(b"plain", b"pl\xffin"))
    with pytest.raises(SourceError, match=r"can't be read as Arrow: .*Invalid UTF8"):
        shop.read()


def test_parquet_files_with_other_columns_are_joined_by_name(shops: Shops) -> None:
    shop = shops('type = "parquet"\npath = "*.parquet"')
    pl.DataFrame({"id": ["a"], "x": [1], "z": [Decimal("1.5")]}).write_parquet(shop.root / "a.parquet")
    pl.DataFrame({"y": [True], "id": ["b"]}).write_parquet(shop.root / "b.parquet")
    assert shop.read().frame.rows() == [("a", 1, Decimal("1.5"), None), ("b", None, None, True)]


def test_a_cut_parquet_file_is_refused(shops: Shops) -> None:
    shop = shops('type = "parquet"\npath = "visits.parquet"')
    stream = io.BytesIO()
    pl.DataFrame({"id": ["a"] * 1000}).write_parquet(stream)
    shop.write("visits.parquet", stream.getvalue()[:-20])
    with pytest.raises(SourceError, match="can't be read as Parquet"):
        shop.read()


def test_pins_are_a_file_that_people_can_edit(shops: Shops) -> None:
    shop = shops()
    write_csv(shop, ["5"])
    shop.pin()
    file = shop.root / "features/.versions/visits.columns.toml"
    text = file.read_text()
    assert text.startswith("# Types of the columns of source visits")
    assert text.endswith('[columns]\nx = "int"\n')
    file.write_text(text.replace('"int"', '"float"  # a price'))
    assert shop.read().frame["x"].to_list() == [5.0]
    shop.write("visits.csv", 'id,x,é "q"\na,1,2\n')
    shop.pin()
    assert file.read_text().endswith('x = "float"  # a price\n"é \\"q\\"" = "int"\n')


@pytest.mark.parametrize("text", ['[columns]\nx = "integer"\n', "[columns\n", "columns = 5\n"])
def test_damaged_pins_are_refused_with_their_place(text: str, shops: Shops) -> None:
    shop = shops()
    write_csv(shop, ["5"])
    shop.write("features/.versions/visits.columns.toml", text)
    with pytest.raises(VersionFileError, match=r"features/\.versions/visits\.columns\.toml"):
        shop.read()


def test_reading_writes_nothing(shops: Shops) -> None:
    shop = shops()
    write_csv(shop, ["5"])
    before = sorted(shop.root.rglob("*"))
    shop.read()
    assert sorted(shop.root.rglob("*")) == before
    assert MAX_REJECTED == 10_000


@pytest.mark.parametrize(
    ("data", "message", "hint"),
    [
        (b"PAR1 and the rest", "visits: is not Arrow but Parquet", 'set type = "parquet"'),
        (b"id,amount\na,1\n", "visits: is not Arrow but text, or another format", "set the type"),
        (b"ARROW1" + b"\0" * 40, "visits: is an Arrow file that was cut or damaged", "copy it again"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "visits: is not Arrow but gzip", "unpack it"),
    ],
)
def test_another_format_under_arrow_is_named(shops: Shops, data: bytes, message: str, hint: str) -> None:
    shop = shops('type = "arrow"\npath = "visits"')
    shop.write("visits", data)
    with pytest.raises(SourceError) as caught:
        shop.read()
    assert str(caught.value) == message
    assert hint in str(caught.value.hint)


def test_an_arrow_file_that_was_cut_is_reported_as_one(shops: Shops) -> None:
    shop = shops('type = "arrow"\npath = "visits"')
    stream = io.BytesIO()
    pl.DataFrame({"id": ["a"] * 1000}).write_ipc(stream)
    shop.write("visits", stream.getvalue()[:300])
    with pytest.raises(SourceError, match="is an Arrow file that was cut or damaged"):
        shop.read()


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_times_of_a_fixed_offset_are_instants(shops: Shops, form: str) -> None:
    shop = shops(f'type = "{form}"\npath = "visits"')
    moment = datetime(2024, 5, 1, 12, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    table = pa.table({"id": ["a"], "at": pa.array([moment], pa.timestamp("us", "+05:30"))})
    with (shop.root / "visits").open("wb") as stream:
        if form == "parquet":
            pq.write_table(table, stream)
        else:
            with pa.ipc.new_file(stream, table.schema) as writer:
                writer.write_table(table)
    assert shop.read().frame["at"].to_list() == [datetime(2024, 5, 1, 6, 30, tzinfo=UTC)]


@pytest.mark.parametrize("form", ["parquet", "ndjson"])
def test_a_delimiter_that_the_first_release_took_is_ignored_and_reported(shops: Shops, form: str) -> None:
    shop = shops(f'type = "{form}"\npath = "visits"\ndelimiter = ","')
    if form == "parquet":
        pl.DataFrame({"id": ["a"]}).write_parquet(shop.root / "visits")
    else:
        shop.write("visits", '{"id": "a"}\n')
    rows = shop.read()
    assert (rows.frame.height, rows.warnings) == (1, (f"sources.visits.delimiter has no effect on {form} files",))


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/Berlin"])
def test_local_times_that_leave_the_years_of_utc_are_set_aside(zone: str, shops: Shops) -> None:
    shop = shops(
        f'type = "csv"\npath = "v.csv"\ntimezone = "{zone}"\n[sources.visits.columns]\nuntil = {{ type = "datetime" }}'
    )
    edge = "9999-12-31 23:59:59" if zone.startswith("America") else "0001-01-01 00:00:00"
    shop.write("v.csv", f"id,until\na,{edge}\nb,2024-01-01 00:00:00\n")
    taken = shop.read()
    assert (taken.frame["id"].to_list(), taken.rejected_count) == (["b"], 1)
    assert taken.rejected[0].reason == f"'{edge}' in {zone} is not in the years 1 to 9999 of UTC"


@pytest.mark.parametrize(
    ("text", "taken"),
    [("99999999999999999.99", 0), ("9007199254740993", 0), ("9007199254740992.0", 1), ("1e300", 1), ("0.1", 1)],
)
def test_digits_that_no_float_has_are_set_aside(text: str, taken: int, shops: Shops) -> None:
    shop = shops('type = "csv"\npath = "v.csv"\n[sources.visits.columns]\nx = { type = "float" }')
    shop.write("v.csv", f"id,x\na,{text}\n")
    assert shop.read().frame.height == taken


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_uuids_are_texts_with_hyphens(form: str, shops: Shops) -> None:
    known = uuid.UUID("6f1c0d9a-1b2c-4d3e-8f90-0123456789ab")
    column = pa.array([known.bytes, None], pa.uuid())
    shop = shops(f'type = "{form}"\npath = "v"')
    table = pa.table({"id": column})
    with (shop.root / "v").open("wb") as stream:
        if form == "parquet":
            pq.write_table(table, stream)
        else:
            with pa.ipc.new_file(stream, table.schema) as writer:
                writer.write_table(table)
    taken = shop.read()
    assert taken.frame["id"].to_list() == [str(known)]
    assert taken.rejected_count == 1


A_PARQUET, AN_IPC, A_STREAM, A_ZIP = io.BytesIO(), io.BytesIO(), io.BytesIO(), io.BytesIO()
pl.DataFrame({"id": ["a"]}).write_parquet(A_PARQUET)
pl.DataFrame({"id": ["a"]}).write_ipc(AN_IPC)
pl.DataFrame({"id": ["a"]}).write_ipc_stream(A_STREAM)
with zipfile.ZipFile(A_ZIP, "w") as archive:
    archive.writestr("visits.csv", "id,amount\na,1\n")
OTHER_FILES = [
    (A_PARQUET.getvalue(), "Parquet", 'set type = "parquet"'),
    (AN_IPC.getvalue(), "Arrow", 'set type = "arrow"'),
    (A_STREAM.getvalue(), "an Arrow stream", 'set type = "arrow"'),
    (A_ZIP.getvalue(), "a zip archive (or an Excel workbook)", "unpack it"),
    (bz2.compress(b"id,amount\na,1\n"), "packed by bzip2", "bzip2 -d"),
    (lzma.compress(b"id,amount\na,1\n"), "packed by xz", "xz -d"),
    (b"\x28\xb5\x2f\xfd\x04\x58\x71\x00\x00", "packed by zstd", "zstd -d"),
    (b"SQLite format 3\0" + bytes(100), "a SQLite database", 'set type = "sqlite"'),
    (bytes(8) + b"DUCK" + bytes(100), "a DuckDB database", 'set type = "duckdb"'),
    (b"%PDF-1.7\n%\xe2\xe3", "a PDF document", "export the table as CSV"),
]


@pytest.mark.parametrize("form", ["csv", "ndjson", "parquet", "arrow"])
@pytest.mark.parametrize(("data", "what", "hint"), OTHER_FILES, ids=[what for _, what, _ in OTHER_FILES])
def test_another_format_is_named_by_what_it_is(shops: Shops, form: str, data: bytes, what: str, hint: str) -> None:
    packed = what.startswith(("packed", "a zip"))  # text may be packed
    if form == what.removeprefix("an ").split()[0].lower() or (packed and form in ("csv", "ndjson")):
        return
    shop = shops(f'type = "{form}"\npath = "visits"')
    shop.write("visits", data)
    with pytest.raises(SourceError) as caught:
        shop.read()
    expected = "text" if form in ("csv", "ndjson") else form.capitalize()
    assert str(caught.value) == f"visits: is not {expected} but {what}"
    assert hint in str(caught.value.hint)


@pytest.mark.parametrize("word", ["PAR1", "ORC", "BZh", "FEA1", "%PDF"])
def test_a_word_that_begins_a_line_of_text_is_text(shops: Shops, word: str) -> None:
    shop = shops('type = "csv"\npath = "visits"')
    shop.write("visits", f"{word},id\n1,a\n")
    assert shop.read().frame.rows() == [("a", 1)] or shop.read().frame.rows() == [(1, "a")]


@pytest.mark.parametrize(
    ("form", "lines", "aside"),
    [
        ("csv", ["id,at,x", "1,2024-01-01,5", "2,2024-01-02,6", "Total,,11 items"], "event time is null"),
        ("csv", ["id,at,x", "ID,AT,X", "1,2024-01-01,5", "2,2024-01-02,6"], "AT"),
        ("ndjson", ['{"id": "1", "at": "2024-01-01", "x": 5}', '{"id": null, "at": "2024-01-01", "x": "n"}',
                    '{"id": "2", "at": "2024-01-02", "x": 6}'], "entity key is null"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("pinned", [False, True])
def test_a_row_that_is_set_aside_decides_no_type(
    form: str, lines: list[str], aside: str, pinned: bool, shops: Shops
) -> None:
    shop = shops(f'type = "{form}"\npath = "visits.x"\nevent_time = "at"\ntimezone = "UTC"')
    if pinned:
        shop.write("visits.x", "\n".join(line for line in lines if "T" not in line and '"n"' not in line) + "\n")
        shop.pin()
    shop.write("visits.x", "\n".join(lines) + "\n")
    rows = shop.read()
    assert rows.frame["x"].to_list() == [5, 6]
    assert rows.inferred == ({} if pinned else {"x": "int"})
    assert rows.rejected_count == 1
    assert aside in rows.rejected[0].reason


def test_a_row_that_waits_for_its_time_decides_a_type_as_the_others_do(shops: Shops) -> None:
    shop = shops('type = "csv"\npath = "visits.csv"\nevent_time = "at"\ntimezone = "UTC"')
    shop.write("visits.csv", "id,at,x\n1,2024-01-01,5\n2,2999-01-01,6.5\n")
    latest = 1_710_000_000_000_000
    opened = shop.open()
    rows = read_rows(shop.project, shop.source, opened, opened.offer(), {"id": "string"}, latest=latest)
    assert rows.frame["x"].to_list() == [5.0]
    assert (rows.inferred, rows.rejected_count) == ({"x": "float"}, 1)


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
def test_texts_of_digits_beside_integers_of_another_file_are_texts_in_either_order(
    names: tuple[str, str], shops: Shops
) -> None:
    shop = shops('type = "parquet"\npath = "*.parquet"')
    values: tuple[object, ...] = (5, "7")
    for name, value in zip(names, values, strict=True):
        pl.DataFrame({"id": [name], "x": [value]}).write_parquet(shop.root / f"{name}.parquet")
    rows = shop.read()
    assert rows.inferred == {"x": "string"}
    assert set(rows.frame["x"].to_list()) == {"5", "7"}
