"""Files of columns with types, and what becomes of each."""
# ruff: noqa: E501  # tables: a file a line

from __future__ import annotations

import base64
import io
import sqlite3
import uuid
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe

from tests.corpus.case import Case
from tests.corpus.text_files import GOOD

IDS = pa.array(["1", "2", "3"])
TIMES = pa.array([datetime(2024, 1, day, tzinfo=UTC) for day in (1, 2, 3)], pa.timestamp("us", "UTC"))
ROWS = [1, 2, 3]
SECOND = datetime(2024, 1, 2, tzinfo=UTC)
INT = 'columns.x = { type = "int" }'
FLOAT = 'columns.x = { type = "float" }'
TEXT = 'columns.x = { type = "string" }'
BOOL = 'columns.x = { type = "bool" }'
NOON = [datetime(2024, 1, day, 12, tzinfo=UTC) for day in (1, 2, 3)]


def table(x: pa.Array | Sequence[object] = ROWS, at: pa.Array = TIMES, **more: object) -> pa.Table:
    return pa.table({"id": IDS, "at": at, "x": x, **more})


def parquet_bytes(of: pa.Table, **options: object) -> bytes:
    out = io.BytesIO()
    pq.write_table(of, out, **options)
    return out.getvalue()


def grouped(*groups: pa.Table) -> bytes:
    out = io.BytesIO()
    with pq.ParquetWriter(out, groups[0].schema) as writer:
        for group in groups:
            writer.write_table(group)
    return out.getvalue()


def arrow_bytes(of: pa.Table, *, stream: bool = False) -> bytes:
    out = io.BytesIO()
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(out, of.schema) as writer:
        writer.write_table(of)
    return out.getvalue()


def parquet(of: pa.Table | bytes, x: Sequence[object] | None = None, settings: str = "", **outcome: object) -> Case:
    data = of if isinstance(of, bytes) else parquet_bytes(of)
    return Case("parquet", data, x=x, settings=settings, **outcome)  # type: ignore[arg-type]


def arrow(of: pa.Table | bytes, x: Sequence[object] | None = None, settings: str = "", **outcome: object) -> Case:
    data = of if isinstance(of, bytes) else arrow_bytes(of)
    return Case("arrow", data, x=x, settings=settings, **outcome)  # type: ignore[arg-type]


def naive(unit: str, values: Sequence[datetime] = NOON) -> pa.Array:
    return pa.array([value.replace(tzinfo=None) for value in values], pa.timestamp(unit))


def damaged(data: bytes) -> bytes:
    """A file with other bytes in its first page."""
    return data[:60] + bytes(byte ^ 0xFF for byte in data[60:90]) + data[90:]


class Keys(pe.KmsClient):  # type: ignore[misc]  # untyped
    """Hands out keys as they are."""

    def __init__(self, _config: object) -> None:
        super().__init__()

    def wrap_key(self, key: bytes, _master: str) -> bytes:
        return base64.b64encode(key)


def encrypted(of: pa.Table, *, plaintext_footer: bool) -> bytes:
    """A file whose column x is encrypted, and its footer but for ``plaintext_footer``."""
    keys = pe.EncryptionConfiguration(footer_key="f", column_keys={"k": ["x"]}, plaintext_footer=plaintext_footer)
    properties = pe.CryptoFactory(Keys).file_encryption_properties(pe.KmsConnectionConfig(), keys)
    return parquet_bytes(of, encryption_properties=properties)


UUIDS = [str(uuid.UUID(int=at)) for at in (1, 2, 3)]
ADDRESS = pa.array([{"city": "Oslo", "no": 1}, {"city": None, "no": 2}, None])

PARQUET = {
    "Parquet": parquet(table(), ROWS),
    "Parquet by pages": parquet(parquet_bytes(table(), data_page_version="2.0", compression="zstd"), ROWS),
    "Parquet without rows": parquet(table().slice(0, 0), []),
    "small integers": parquet(table(pa.array(ROWS, pa.int8())), ROWS),
    "unsigned integers": parquet(table(pa.array([1, 2, 2**63 - 1], pa.uint64())), [1, 2, 2**63 - 1]),
    "unsigned integers that are too large": parquet(
        table(pa.array([1, 2**63, 3], pa.uint64())), [1, 3], aside=[(2, "9223372036854775808")]
    ),
    "half floats": parquet(table(pa.array([1.0, 1.5, 2.0], pa.float16())), [1.0, 1.5, 2.0]),
    "floats as whole numbers": parquet(table([1.0, 2.5, 3.0]), [1, 3], INT, aside=[(2, "2.5 is not an int")]),
    "an integer that no float is": parquet(table([1, 2**53 + 1, 3]), [1.0, 3.0], FLOAT, aside=[(2, "9007199254740993")]),
    "NaN and infinity in Parquet": parquet(table([float("nan"), float("inf"), None]), ["NaN", "Infinity", None]),
    "decimals": parquet(table(pa.array([Decimal("1.10"), Decimal("2.25"), None], pa.decimal128(9, 2))), [1.1, 2.25, None], FLOAT),
    "decimals of too many digits": parquet(
        table(pa.array([Decimal("1.5"), Decimal("0.12345678901234567891"), None], pa.decimal128(30, 20))),
        [1.5, None], FLOAT, aside=[(2, "is not a float")],
    ),
    "decimals of 256 bits": parquet(
        table(pa.array([Decimal("1.10"), Decimal("2.25"), None], pa.decimal256(60, 2))), [1.1, 2.25, None], FLOAT
    ),
    "decimals of 256 bits that need them": parquet(
        table(pa.array([Decimal(10**50), Decimal(2), None], pa.decimal256(60, 2))), refusal="has a number of more than 38 digits"
    ),
    "a type that nobody has, in a column that nobody names": parquet(
        table(y=pa.array([[Decimal(1)], [], None], pa.list_(pa.decimal256(40, 1)))), ROWS, warning="column 'y' is"
    ),
    "a type that nobody has, in a declared column": parquet(
        table(pa.array([[Decimal(1)], [], None], pa.list_(pa.decimal256(40, 1)))), refusal="column 'x' is", settings=TEXT
    ),
    "categories": parquet(table(pa.array(["a", "b", "a"]).dictionary_encode()), ["a", "b", "a"]),
    "categories of numbers, declared": parquet(table(pa.array(["1", "b", "3"]).dictionary_encode()), [1, 3], INT, aside=[(2, "'b'")]),
    "times of a day from 24:00 on": parquet(
        table(pa.array([86_400_000_000, 0, None], pa.int64()).view(pa.time64("us"))), refusal="is not within the acceptable range"
    ),
    "two Parquet files put together": parquet(
        parquet_bytes(table([7, 8, 9])) + parquet_bytes(table()), refusal="is several Parquet files put together"
    ),
    "texts like the marks of Parquet": parquet(table(["PAR1PAR1", "\x15PAR1PAR1", "PAR1"]), ["PAR1PAR1", "\x15PAR1PAR1", "PAR1"]),
    "Parquet with page indexes": parquet(parquet_bytes(table(), write_page_index=True), ROWS),
    "Parquet with empty row groups": parquet(grouped(table().slice(0, 0), table(), table().slice(0, 0)), ROWS),
    "Parquet with an encrypted footer": parquet(
        b"PARE" + parquet_bytes(table())[4:-4] + b"PARE", refusal="is encrypted", hint="without encryption"
    ),
    "Parquet that is encrypted": parquet(encrypted(table(), plaintext_footer=False), refusal="is encrypted"),
    "Parquet with an encrypted column": parquet(
        encrypted(table(), plaintext_footer=True), refusal="has encrypted columns", hint="write it without encryption"
    ),
    "Parquet with a NUL in a name": parquet(table(**{"y\0": IDS}), refusal="has a NUL in the name", hint="rename it"),
    "runs of bytes split": parquet(
        parquet_bytes(table([1.5, 2.5, 3.5]), use_dictionary=False, column_encoding={"x": "BYTE_STREAM_SPLIT"}), [1.5, 2.5, 3.5]
    ),
    "texts as differences": parquet(
        parquet_bytes(table(["a", "ab", "007"]), use_dictionary=False, column_encoding={"x": "DELTA_BYTE_ARRAY"}), ["a", "ab", "007"]
    ),
    "categories of digits are texts": parquet(table(pa.array(["007", "8", "8"]).dictionary_encode()), ["007", "8", "8"]),
    "texts of digits are texts": parquet(table(["1.10", "1.9", "2"]), ["1.10", "1.9", "2"]),
    "texts of whole numbers": parquet(table(["7", "8", None]), ["7", "8", None]),
    "times as numbers, without a unit": parquet(
        table(at=pa.array([1_704_153_600, 1_704_153_601, 1_704_153_602])), refusal="Int64 can't be read as datetime",
        hint='if they are times since 1970: unit = "s" for column',
    ),
    "days as numbers, without a format": parquet(
        table(at=pa.array([20240102, 20240103, 20240104])), refusal="Int64 can't be read as datetime",
        hint='if they are times: format = "%Y%m%d" for column',
    ),
    "texts of digits, declared": parquet(table(["1.10", "1.9", "2"]), [1.1, 1.9, 2.0], FLOAT),
    "texts of days": parquet(table(["2024-01-01", None, "2024-01-03"]), [date(2024, 1, 1), None, date(2024, 1, 3)]),
    "0 and 1 as booleans": parquet(table(pa.array([0, 1, 2], pa.int8())), [False, True], BOOL, aside=[(3, "2 is not a bool")]),
    "booleans of a byte": parquet(
        table(pa.ExtensionArray.from_storage(pa.bool8(), pa.array([0, 1, None], pa.int8()))), [False, True, None]
    ),
    "JSON of a type of its own": parquet(
        table(pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a": 1}', "2", None]))), ['{"a": 1}', "2", None]
    ),
    "an index of decimals that is no way out": parquet(
        table(pa.array([Decimal("1.5"), Decimal(2), None], pa.decimal128(9, 1))), [2, None], INT,
        aside=[(1, "1.5 is not an int")],
    ),
    "a column whose name is a path beside one of objects": parquet(
        table(**{"y.no": pa.array([7, 8, 9]), "y": ADDRESS}).drop_columns("x"), [7, 8, 9],
        'columns.x = { type = "int", rename = "y.no" }',
    ),
    "large texts and binary": parquet(table(pa.array(["a", "", None], pa.large_string()), y=pa.array([b"\0", b"", None])), ["a", "", None]),
    "binary, declared as text": parquet(table(pa.array([b"a", b"b", b"c"])), refusal="column 'x': a column of type Binary", settings=TEXT),
    "times at midnight as days, one far away": parquet(
        table(pa.array([0, 2**63 - 1, 86_400_000_000], pa.timestamp("us"))),
        [date(1970, 1, 1), date(1970, 1, 2)], 'columns.x = { type = "date" }', aside=[(2, "is not a date")],
    ),
    "nanoseconds at midnight as days, one at the end of time": parquet(
        table(pa.array([0, 2**63 - 1, -86_400_000_000_000], pa.timestamp("ns"))),
        [date(1970, 1, 1), date(1969, 12, 31)], 'columns.x = { type = "date" }', aside=[(2, "is not a date")],
    ),
    "UUIDs": parquet(table(pa.array([uuid.UUID(text).bytes for text in UUIDS], pa.uuid())), UUIDS),
    "dates": parquet(table([date(2024, 1, 1), date(1, 1, 1), date(9999, 12, 31)]), [date(2024, 1, 1), date(1, 1, 1), date(9999, 12, 31)]),
    "times of a day": parquet(table([time(1), time(2), time(3)]), [time(1), time(2), time(3)]),
    "seconds and milliseconds": parquet(table(naive("ms")), NOON),
    "nanoseconds are rounded up": parquet(
        table(pa.array([1_704_067_200_000_000_001, None, 1_704_067_200_000_000_000], pa.timestamp("ns", "UTC"))),
        [datetime(2024, 1, 1, microsecond=1, tzinfo=UTC), None, datetime(2024, 1, 1, tzinfo=UTC)],
    ),
    "a zone": parquet(table(pa.array(NOON, pa.timestamp("us", "Asia/Tokyo"))), NOON),
    "a fixed offset": parquet(table(pa.array(NOON, pa.timestamp("us", "+05:30"))), NOON),
    "times without a zone": parquet(table(naive("us")), [each - timedelta(hours=1) for each in NOON], 'timezone = "Europe/Paris"'),
    "times of INT96": parquet(parquet_bytes(table(naive("ns")), use_deprecated_int96_timestamps=True), NOON),
    "times of INT96 are rounded up": parquet(
        parquet_bytes(
            table(pa.array([1_704_067_200_000_000_001, None, -1], pa.timestamp("ns"))), use_deprecated_int96_timestamps=True
        ),
        [datetime(2024, 1, 1, microsecond=1, tzinfo=UTC), None, datetime(1970, 1, 1, tzinfo=UTC)],
    ),
    "times of INT96 beyond nanoseconds": parquet(
        parquet_bytes(table(naive("us", [NOON[0], datetime(9999, 12, 31), datetime(1500, 1, 1)])), use_deprecated_int96_timestamps=True),
        [NOON[0], datetime(9999, 12, 31, tzinfo=UTC), datetime(1500, 1, 1, tzinfo=UTC)],
    ),
    "an event time of whole numbers": parquet(table(at=pa.array([1_704_067_200, 1, 2])), refusal="column 'at': a column of type Int64"),
    "an event time of whole numbers, as set": parquet(table(at=pa.array([1_704_067_200, 1, 2])), ROWS, 'columns.at = { unit = "s" }'),
    "an event time like 20240131": parquet(table(at=pa.array([20240131, 20240132, 20240201])), [1, 3], 'columns.at = { format = "%Y%m%d" }', aside=[(2, "20240132")]),
    "an event time as text": parquet(table(at=pa.array(["2024-01-01", "31/12/2024", "2024-01-03"])), [1, 3], aside=[(2, 'format = "%d/%m/%Y"')]),
    "keys that are floats": parquet(pa.table({"id": [1.0, 2.0], "at": TIMES[:2], "x": [1, 2]}), refusal="column 'id': a column of type Float64"),
    "keys that are whole numbers": parquet(pa.table({"id": [1, 2], "at": TIMES[:2], "x": [1, 2]}), [1, 2]),
    "lists of numbers": parquet(table([[1.5, None], [], None]), [[1.5, None], [], None]),
    "lists of whole numbers, declared": parquet(table([[1], [2**53 + 1], None]), [[1.0], None], 'columns.x = { type = "list[float]" }', aside=[(2, "is not a list[float]")]),
    "objects": parquet(table(ADDRESS), [{"city": "Oslo", "no": 1}, {"city": None, "no": 2}, None]),
    "a part of an object": parquet(
        table(y=ADDRESS).drop_columns("x"), ["Oslo", None, None], 'columns.x = { type = "string", rename = "y.city" }'
    ),
    "a part that an object does not have": parquet(
        table(y=ADDRESS), refusal="has no column 'y.town'", settings='columns.z = { type = "string", rename = "y.town" }'
    ),
    "an object, declared as text": parquet(table(ADDRESS), refusal="column 'x': a column of type Struct", settings=TEXT),
    "words for null in Parquet": parquet(table(["1", "NULL", "3"]), [1, None, 3], 'null = ["NULL"]\n' + INT),
    "a column of nulls": parquet(table(pa.nulls(3)), [None, None, None]),
    "a name twice in Parquet": parquet(parquet_bytes(pa.table([IDS, TIMES, pa.array(ROWS), pa.array(ROWS)], names=["id", "at", "x", "x"])), refusal="has 2 columns named 'x'"),
    "Parquet that was cut": parquet(parquet_bytes(table())[:-20], refusal="can't be read as Parquet"),
    "Parquet with a damaged page": parquet(damaged(parquet_bytes(table(), compression="none", write_page_checksum=True)), refusal="can't be read as Parquet"),
    "a CSV named Parquet": parquet(GOOD.encode(), refusal="can't be read as Parquet"),
    "a gzip named Parquet": parquet(b"\x1f\x8b\x08" + bytes(30), refusal="is not Parquet but gzip"),
    "Arrow named Parquet": parquet(arrow_bytes(table()), refusal="is not Parquet but Arrow", hint='type = "arrow"'),
}  # fmt: skip

ARROW = {
    "an interval that nobody names": arrow(
        table(y=pa.array([(1, 2, 3), None, None], pa.month_day_nano_interval())), ROWS, warning="column 'y' is"
    ),
    "runs of equal values that nobody names": arrow(
        table(y=pa.RunEndEncodedArray.from_arrays(pa.array([3], pa.int32()), [5])), ROWS, warning="column 'y' is"
    ),
    "an Arrow file": arrow(table(), ROWS),
    "an Arrow stream": arrow(arrow_bytes(table(), stream=True), ROWS),
    "Arrow without rows": arrow(table().slice(0, 0), []),
    "categories in Arrow": arrow(table(pa.array(["a", "b", "a"]).dictionary_encode()), ["a", "b", "a"]),
    "seconds that are too far away": arrow(
        table(pa.array([2**62, 1, None], pa.int64()).view(pa.timestamp("s"))),
        [datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), None], aside=[(1, "holds a time that is too far away")],
    ),
    "an event time of seconds that are too far away": arrow(
        table(at=pa.array([1, 2**62, 2], pa.int64()).view(pa.timestamp("s", "UTC"))), [1, 3], aside=[(2, "column 'at' holds a time")]
    ),
    "seconds that are too far away, in a list": arrow(
        table(pa.array([[1], [2**62], None], pa.list_(pa.int64())).cast(pa.list_(pa.timestamp("s")), safe=False)),
        refusal="column 'x' holds a time that can't be read",
    ),
    "a duration that is too long": arrow(table(pa.array([2**60, 1, None], pa.duration("s"))), [timedelta(seconds=1), None], aside=[(1, "a duration")]),
    "texts of digits in Arrow": arrow(table(pa.array(["007", "8", None], pa.string_view())), ["007", "8", None]),
    "decimals of 32 bits": arrow(table(pa.array([Decimal("1.50"), None, None], pa.decimal32(5, 2))), [1.5, None, None], FLOAT),
    "categories of numbers in Arrow": arrow(
        table(pa.DictionaryArray.from_arrays(pa.array([0, 1, 0], pa.int8()), pa.array([10, 20]))), [10, 20, 10]
    ),
    "a category that is null": arrow(
        table(pa.DictionaryArray.from_arrays(pa.array([0, 1, 0], pa.int8()), pa.array(["a", None]))), ["a", None, "a"]
    ),
    "views of texts": arrow(table(pa.array(["a", "b", None], pa.string_view())), ["a", "b", None]),
    "a fixed offset in Arrow": arrow(table(pa.array(NOON, pa.timestamp("ns", "-03:00"))), NOON),
    "two Arrow files put together": arrow(arrow_bytes(table()) * 2, refusal="is several Arrow files put together"),
    "two Arrow files of other sizes put together": arrow(
        arrow_bytes(table()) + arrow_bytes(pa.concat_tables([table()] * 99)), refusal="is several Arrow files put together"
    ),
    "an Arrow file before an empty one": arrow(
        arrow_bytes(table()) + arrow_bytes(table().schema.empty_table()), refusal="is several Arrow files put together"
    ),
    "two Arrow streams put together": arrow(
        arrow_bytes(table(), stream=True) * 2, refusal="is it several Arrow streams put together?"
    ),
    "zeros behind an Arrow stream": arrow(arrow_bytes(table(), stream=True) + bytes(100), ROWS),
    "an Arrow file that was cut": arrow(arrow_bytes(table())[:-30], refusal="an Arrow file that was cut or damaged"),
    "an Arrow stream that was cut": arrow(arrow_bytes(table(), stream=True)[:-8], ROWS, warning="has no mark at its end"),
    "a CSV named Arrow": arrow(GOOD.encode(), refusal="is not Arrow but text"),
}  # fmt: skip


def database(connect: Callable[[str], object], *statements: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.unlink(missing_ok=True)
        with closing(connect(str(path))) as connection:  # type: ignore[type-var]
            for statement in statements:
                connection.execute(statement)  # type: ignore[attr-defined]
            connection.commit()  # type: ignore[attr-defined]

    return write


def lite(kind: str, *values: str, **outcome: object) -> Case:
    rows = ", ".join(f"('{at}', '2024-01-0{at}', {value})" for at, value in enumerate(values, 1))
    statements = (f"CREATE TABLE t (id TEXT, at TEXT, x {kind})", *([f"INSERT INTO t VALUES {rows}"] if rows else []))
    return Case("sqlite", database(sqlite3.connect, *statements), **outcome)  # type: ignore[arg-type]


def duck(kind: str, *values: str, **outcome: object) -> Case:
    rows = ", ".join(f"('{at}', TIMESTAMP '2024-01-0{at}', {value})" for at, value in enumerate(values, 1))
    create = f'CREATE TABLE t (id VARCHAR, "at" TIMESTAMP, x {kind})'
    statements = ("BEGIN", create, *([f"INSERT INTO t VALUES {rows}"] if rows else []))
    return Case("duckdb", database(duckdb.connect, *statements), **outcome)  # type: ignore[arg-type]


DATABASES = {
    "SQLite": lite("INTEGER", "1", "2", "NULL", x=[1, 2, None]),
    "SQLite without rows": lite("INTEGER", x=[]),
    "SQLite with a text among numbers": lite("INTEGER", "1", "'two'", "3", x=[1, 3], settings=INT, aside=[(2, "'two'")]),
    "SQLite with bytes": lite("", "1", "x'00ff'", "3", x=[1, 3], aside=[(2, "holds bytes")]),
    "SQLite with decimals as text": lite("TEXT", "'1.10'", "'1.9'", x=["1.10", "1.9"]),
    "SQLite with booleans": lite("BOOLEAN", "1", "0", "2", x=[True, False], settings=BOOL, aside=[(3, "2 is not a bool")]),
    "SQLite with numbers as text": lite("TEXT", "'007'", "'8'", x=["007", "8"]),
    "SQLite with texts of digits and no type": lite("", "'007'", "'8'", x=["007", "8"]),
    "SQLite with text that is not UTF-8": lite("TEXT", "cast(x'ff41' as text)", "'b'", x=["b"], aside=[(1, "holds bytes")]),
    "SQLite with an integer of 65 bits": lite("", "1", "'18446744073709551616'", x=[1], settings=INT, aside=[(2, "is not an int")]),
    "SQLite with a view": Case("sqlite", database(sqlite3.connect, "CREATE VIEW t AS SELECT '1' AS id, '2024-01-01' AS at, 5 AS x"), x=[5]),
    "SQLite without the table": Case("sqlite", database(sqlite3.connect, "CREATE TABLE u (id TEXT)"), refusal="no such table: t"),
    "SQLite epochs": Case("sqlite", database(sqlite3.connect, "CREATE TABLE t AS SELECT '1' AS id, 1704067200 AS at, 5 AS x"), x=[5], settings='columns.at = { unit = "s" }'),
    "a CSV named SQLite": Case("sqlite", GOOD.encode() * 50, refusal="can't be read as SQLite"),
    "DuckDB": duck("INTEGER", "1", "2", "NULL", x=[1, 2, None]),
    "DuckDB without rows": duck("INTEGER", x=[]),
    "DuckDB with huge integers": duck("HUGEINT", "1", "2", x=[1, 2], settings=INT),
    "DuckDB with decimals": duck("DECIMAL(9, 2)", "1.5", "2.25", x=[1.5, 2.25], settings=FLOAT),
    "DuckDB with UUIDs": duck("UUID", *(f"'{text}'" for text in UUIDS), x=UUIDS),
    "DuckDB with an enumeration": duck("ENUM ('a', 'b')", "'a'", "'b'", x=["a", "b"]),
    "DuckDB with times in a zone": duck("TIMESTAMPTZ", "TIMESTAMPTZ '2024-01-02 02:00+02'", x=[SECOND]),
    "DuckDB with nanoseconds": duck("TIMESTAMP_NS", "'2024-01-02'", x=[SECOND]),
    "DuckDB with times in an offset": duck("TIMETZ", "'10:00:00+02'", x=["10:00:00+02"]),
    "DuckDB with unsigned integers of 128 bits": duck("UHUGEINT", str(2**127), "1", x=[str(2**127), "1"]),
    "DuckDB with 24:00": duck("TIME", "'24:00:00'", "'10:00:00'", x=[time(10)], aside=[(1, "from 24:00 on")]),
    "DuckDB with infinite times": duck("TIMESTAMP", "'infinity'", "'2024-01-02'", x=[SECOND], aside=[(1, "is not a datetime")]),
    "DuckDB with a day before Christ": duck("DATE", "'0044-03-15 (BC)'", "'2024-01-02'", x=[date(2024, 1, 2)], aside=[(1, "is not a date")]),
    "DuckDB with texts of digits": duck("VARCHAR", "'007'", "'8'", x=["007", "8"]),
    "DuckDB with texts of whole numbers": duck("VARCHAR", "'7'", "'8'", x=["7", "8"]),
    "DuckDB with an integer of 39 digits": duck(
        "HUGEINT", "1", "170141183460469231731687303715884105727", refusal="has a number of more than 38 digits",
        hint="AS VARCHAR for all its digits",
    ),
    "DuckDB with integers of 38 digits": duck("HUGEINT", "'" + "9" * 38 + "'", x=[Decimal("9" * 38)]),
    "DuckDB with bits": duck("BIT", "'101'", x=["101"]),
    "DuckDB with bits, declared as numbers": duck(
        "BIT", "'0101'", "NULL", x=[None], settings=INT, aside=[(1, "'0101' is not an int")]
    ),
    "DuckDB with integers of any length": duck("BIGNUM", f"{10**44}", x=[str(10**44)]),
    "DuckDB with an interval": duck("INTEGER, y INTERVAL", "1, INTERVAL 1 MONTH", x=[1], warning="column 'y' is"),
    "DuckDB with lists": duck("DOUBLE[]", "[1.5, NULL]", "[]", x=[[1.5, None], []]),
    "DuckDB with objects": duck("STRUCT(a INTEGER)", "{'a': 1}", x=[{"a": 1}]),
    "DuckDB without the table": Case("duckdb", database(duckdb.connect, "BEGIN", "CREATE TABLE u (id VARCHAR)"), refusal="its table can't be read"),
    "SQLite named DuckDB": Case("duckdb", b"SQLite format 3\0" + bytes(100), refusal="is not DuckDB but a SQLite database", hint='type = "sqlite"'),
    "DuckDB named SQLite": Case("sqlite", bytes(8) + b"DUCK" + bytes(100), refusal="is not SQLite but a DuckDB database", hint='type = "duckdb"'),
    "an Excel workbook named SQLite": Case("sqlite", b"PK\x03\x04" + bytes(100), refusal="is not SQLite but a zip archive", hint="as CSV"),
    "a CSV named DuckDB": Case("duckdb", GOOD.encode() * 50, refusal="can't be read as DuckDB"),
}  # fmt: skip

BINARY_FILES = {**PARQUET, **ARROW, **DATABASES}
