"""What every type of source promises; the same tests for each."""

from __future__ import annotations

import gzip
import io
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import duckdb
import polars as pl
import pytest

from featurestore.errors import SourceError
from featurestore.model import RejectedRow
from featurestore.sources.contract import Cursor, Offer, OpenSource
from featurestore.sources.types import SOURCE_TYPES, find_type
from featurestore.tables.batch import Batch
from tests.sources.conftest import Shops


def written(write: Callable[[pl.DataFrame, io.BytesIO], object]) -> Callable[[pl.DataFrame], bytes]:
    def to_bytes(frame: pl.DataFrame) -> bytes:
        stream = io.BytesIO()
        write(frame, stream)
        return stream.getvalue()

    return to_bytes


def sqlite_file(table: pl.DataFrame) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x"
        with closing(sqlite3.connect(path)) as connection:
            names = ", ".join(f'"{name}"' for name in table.columns)
            connection.execute(f"CREATE TABLE t ({names})")
            connection.executemany(f"INSERT INTO t VALUES ({', '.join('?' * table.width)})", table.rows())
            connection.commit()
        return path.read_bytes()


def duckdb_file(table: pl.DataFrame) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x"
        with closing(duckdb.connect(str(path))) as connection:
            connection.register("given", table.to_arrow())
            connection.execute("CREATE TABLE t AS SELECT * FROM given")
        return path.read_bytes()


@dataclass(frozen=True)
class Kind:
    """A type of source under test: how its files are written, and what a row is called."""

    type: str
    to_bytes: Callable[[pl.DataFrame], bytes]
    word: str = "row"
    is_text: bool = False
    damaged: str = "can't be read as"
    settings: str = ""

    @property
    def file(self) -> str:
        return f"visits.{self.type}"

    def toml(self, path: str | None = None, more: str = "") -> str:
        return f'type = "{self.type}"\npath = "{path or self.file}"\n{self.settings}\n{more}'


CSV = Kind("csv", written(pl.DataFrame.write_csv), is_text=True)
NDJSON = Kind("ndjson", written(pl.DataFrame.write_ndjson), "line", is_text=True)
PARQUET = Kind("parquet", written(pl.DataFrame.write_parquet))
ARROW = Kind("arrow", written(pl.DataFrame.write_ipc))
ARROW_STREAM = Kind("arrow", written(pl.DataFrame.write_ipc_stream))
SQLITE = Kind("sqlite", sqlite_file, settings='table = "t"')
DUCKDB = Kind("duckdb", duckdb_file, settings='table = "t"')
KINDS = {"csv": CSV, "ndjson": NDJSON, "parquet": PARQUET, "arrow": ARROW, "arrow stream": ARROW_STREAM,
         "sqlite": SQLITE, "duckdb": DUCKDB}  # fmt: skip
DATABASES = (SQLITE, DUCKDB)


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


def frame(*rows: tuple[str, int | None]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"id": pl.String, "n": pl.Int64}, orient="row")


def batches(opened: OpenSource, offer: Offer, since: Cursor = None) -> list[Batch]:
    return list(opened.read(offer, since=since, report=lambda _warning: None))


def ids(read: list[Batch]) -> list[str]:
    return [value for batch in read if batch.frame.height for value in batch.frame["id"]]


def test_every_type_is_tested_here() -> None:
    of_servers = {"postgresql", "kafka"}  # which have suites of their own
    assert {kind.type for kind in KINDS.values()} | of_servers == set(SOURCE_TYPES)


def test_an_unknown_type_is_an_error_and_never_another_type() -> None:
    with pytest.raises(SourceError, match="'parqet' is not a known source type") as caught:
        find_type("parqet")
    assert caught.value.hint == "did you mean 'parquet'?"


def test_an_offer_costs_nothing_heavy(kind: Kind, shops: Shops) -> None:
    shop = shops(kind.toml())
    shop.write(kind.file, kind.to_bytes(frame(("a", 1))))
    script = (
        "import sys; from pathlib import Path; from featurestore.config import load_project\n"
        "from featurestore.sources.offers import fingerprint, open_source\n"
        "project = load_project(Path(sys.argv[1])); source = project.sources['visits']\n"
        "fingerprint(source, open_source(project, source).offer(), {})\n"
        "print([name for name in ('polars', 'numpy', 'duckdb', 'pyarrow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script, shop.root], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_same_rows_have_the_same_fingerprint_and_others_another_one(kind: Kind, shops: Shops) -> None:
    shop = shops(kind.toml())
    data = kind.to_bytes(frame(("a", 1)))
    path = shop.write(kind.file, data)
    first = shop.fingerprint()
    os.utime(path, (1, 1))
    assert shop.fingerprint() == first
    shop.write(kind.file, kind.to_bytes(frame(("a", 2))))
    assert shop.fingerprint() != first
    shop.write(kind.file, data)
    assert shop.fingerprint() == first
    assert shops(kind.toml(more='event_time = "n"')).fingerprint() != first


def test_a_cursor_passes_through_json_and_names_what_is_missing(kind: Kind, shops: Shops) -> None:
    shop = shops(kind.toml(f"*.{kind.type}"))
    for name in ("a", "b", "c", "d"):
        shop.write(f"{name}.{kind.type}", kind.to_bytes(frame((name, 1))))
    opened, before = shop.open(), shop.offer()
    cursor = json.loads(json.dumps(before.cursor))
    assert cursor == before.cursor
    assert opened.missing(before, cursor) == []
    (shop.root / f"a.{kind.type}").rename(shop.root / f"renamed.{kind.type}")
    shop.write(f"b.{kind.type}", kind.to_bytes(frame(("b", 2))))
    (shop.root / f"c.{kind.type}").unlink()
    assert opened.missing(shop.offer(), cursor) == [f"c.{kind.type}"]
    assert opened.missing(shop.offer(), None) == []


def test_batches_come_in_order_with_their_places(kind: Kind, shops: Shops) -> None:
    shop = shops(kind.toml(f"*.{kind.type}"))
    for name in ("b", "a"):
        shop.write(f"{name}.{kind.type}", kind.to_bytes(frame(*((f"{name}{n}", n) for n in range(1, 4)))))
    opened, offer = shop.open(), shop.offer()
    read = batches(opened, offer)
    assert ids(read) == ["a1", "a2", "a3", "b1", "b2", "b3"]
    places = [opened.place(batch.origin, batch.row(at)) for batch in read for at in range(batch.frame.height)]
    assert [place.text for place in places] == [
        f"{name}.{kind.type} {kind.word} {row}" for name in "ab" for row in (1, 2, 3)
    ]
    assert [(place.file, place.row) for place in places[:2]] == [(f"a.{kind.type}", 1), (f"a.{kind.type}", 2)]
    assert offer.size == sum(path.stat().st_size for path in shop.root.glob(f"*.{kind.type}"))
    rows = shop.read()
    assert [rows.place(at) for at in range(6)] == [place.text for place in places]


def test_reading_since_a_cursor_gives_at_least_what_came_later(kind: Kind, shops: Shops) -> None:
    shop = shops(kind.toml(f"*.{kind.type}"))
    shop.write(f"a.{kind.type}", kind.to_bytes(frame(("a", 1))))
    cursor = shop.offer().cursor
    shop.write(f"b.{kind.type}", kind.to_bytes(frame(("b", 2))))
    opened = shop.open()
    assert set(ids(batches(opened, opened.offer(), since=cursor))) >= {"b"}


def test_columns_that_are_not_needed_may_be_left_out(kind: Kind, shops: Shops) -> None:
    shop = shops(kind.toml())
    shop.write(kind.file, kind.to_bytes(frame(("a", 1)).with_columns(x=pl.lit("y"))))
    opened = shop.open()
    for batch in opened.read(opened.offer(), columns=lambda names: {"n", "id"}, report=lambda _warning: None):
        assert {"n", "id"} <= set(batch.frame.columns) or not batch.frame.height
        assert set(batch.names) == {"n", "id", "x"} or not batch.frame.height


def test_a_file_without_rows_is_a_source_without_rows(kind: Kind, shops: Shops) -> None:
    shop = shops(kind.toml())
    shop.write(kind.file, kind.to_bytes(frame()) or b"\n")
    rows = shop.read(needed=kind is not NDJSON)
    assert (rows.frame.height, rows.rows_read) == (0, 0)


@pytest.mark.parametrize(("path", "message"), [
    ("nowhere", "nowhere does not exist"), ("*.nothing", "no file matches"), ("empty", "is empty: 0 bytes"),
    (".", "is a folder"),
])  # fmt: skip
def test_what_is_not_there_is_an_error(path: str, message: str, kind: Kind, shops: Shops) -> None:
    shop = shops(kind.toml(path))
    shop.write("empty", b"")
    with pytest.raises(SourceError, match=message) as caught:
        shop.offer()
    assert caught.value.where
    assert caught.value.hint


def test_a_file_of_another_kind_is_refused_or_rejected_whole(kind: Kind, shops: Shops) -> None:
    shop = shops(kind.toml())
    for other in KINDS.values():
        if other.type != kind.type:
            shop.write(kind.file, other.to_bytes(frame(("a", 1))))
            try:
                assert shop.read().frame.height == 0
            except SourceError as exc:
                assert kind.file in str(exc)  # noqa: PT017  # one of both


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_file_that_was_cut_is_refused_reported_or_short_of_rows(share: float, kind: Kind, shops: Shops) -> None:
    shop = shops(kind.toml())
    data = kind.to_bytes(frame(*((f"{n:03}", n) for n in range(200))))
    shop.write(kind.file, data[: 1 + int(share * (len(data) - 2))])
    try:
        rows = shop.read()
    except SourceError as exc:
        assert kind.file in str(exc)  # noqa: PT017  # one of both
        return
    assert rows.warnings


def test_gzip_is_unpacked_where_the_format_is_text(kind: Kind, shops: Shops) -> None:
    shop = shops(kind.toml())
    shop.write(kind.file, gzip.compress(kind.to_bytes(frame(("a", 1)))))
    if kind.is_text:
        assert shop.read().frame.rows() == [("a", 1)]
    else:
        with pytest.raises(SourceError, match=f"is not (?i:{kind.type}) but gzip"):
            shop.read()


def test_a_file_that_changes_while_it_is_read_is_refused(kind: Kind, shops: Shops) -> None:
    shop = shops(kind.toml())
    path = shop.write(kind.file, kind.to_bytes(frame(("a", 1))))
    opened = shop.open()
    offer = opened.offer()
    reading = opened.read(offer, report=lambda _warning: None)
    next(reading)
    with path.open("ab") as stream:
        stream.write(b"more")
    with pytest.raises(SourceError, match="changed while it was read"):
        list(reading)


def test_a_column_that_is_missing_is_named_with_the_nearest_one(kind: Kind, shops: Shops) -> None:
    shop = shops(kind.toml(more='event_time = "visit_at"'))
    shop.write(kind.file, kind.to_bytes(frame(("a", 1)).rename({"n": "visited_at"})))
    with pytest.raises(SourceError, match="has no column 'visit_at'; it has id, visited_at") as caught:
        shop.read()
    hint = (
        "did you mean 'visited_at'? sources.visits.event_time names it: fix that, or the file; if that is its name in "
    )
    hint += "the file: rename = \"visited_at\" for column 'visit_at' in [sources.visits.columns]"
    assert (caught.value.where, caught.value.hint) == (kind.file, hint)


def test_a_column_that_only_some_files_have_is_null_in_the_others(kind: Kind, shops: Shops) -> None:
    shop = shops(kind.toml(f"*.{kind.type}"))
    shop.write(f"a.{kind.type}", kind.to_bytes(frame(("a", 1))))
    shop.write(f"b.{kind.type}", kind.to_bytes(frame(("b", 2)).with_columns(x=pl.lit("y"))))
    assert shop.read().frame.rows() == [("a", 1, None), ("b", 2, "y")]


def test_a_key_that_only_some_files_have_is_missing_or_null(kind: Kind, shops: Shops) -> None:
    shop = shops(kind.toml(f"*.{kind.type}"))
    shop.write(f"a.{kind.type}", kind.to_bytes(frame(("a", 1))))
    shop.write(f"b.{kind.type}", kind.to_bytes(frame(("b", 2)).drop("id")))
    if kind is NDJSON:
        rows = shop.read()
        assert (rows.frame.rows(), shop.rejected(rows)) == ([("a", 1)], [(1, "id", "entity key is null")])
    else:
        with pytest.raises(SourceError, match="has no column 'id'"):
            shop.read()


def test_rows_that_break_a_rule_are_rejected_with_their_place(kind: Kind, shops: Shops) -> None:
    shop = shops(kind.toml(more='[sources.visits.columns]\nn = { type = "int", max = 9 }'))
    shop.write(kind.file, kind.to_bytes(frame(("a", 1), ("b", 10), (" ", None))))
    rows = shop.read()
    assert rows.frame.rows() == [("a", 1), (" ", None)]
    assert (rows.rows_read, rows.rejected_count) == (3, 1)
    (rejected,) = rows.rejected
    assert isinstance(rejected, RejectedRow)
    assert (rejected.place, rejected.file, rejected.row) == (f"{kind.file} {kind.word} 2", kind.file, 2)
    shown = repr("10") if kind.is_text else "10"
    assert (rejected.column, rejected.reason) == ("n", f"{shown} is above the maximum 9")


def test_stdin_is_read_once_and_can_be_read_again_from_its_copy(
    kind: Kind, shops: Shops, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = shops(kind.toml())
    stream = io.BytesIO(kind.to_bytes(frame(("a", 1))))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stream))
    opened = shop.open("-")
    if kind in DATABASES:
        with pytest.raises(SourceError, match="stdin: a database can't be read from a pipe"):
            opened.offer()
        return
    offer = opened.offer()
    assert offer.once
    assert ids(batches(opened, offer)) == ids(batches(opened, offer)) == ["a"]
    assert list(shop.project.state.iterdir()) == []
    shop.write(kind.file, stream.getvalue())
    assert not shop.offer().once


def test_another_path_takes_the_place_of_the_settings(kind: Kind, shops: Shops, tmp_path: Path) -> None:
    shop = shops(kind.toml())
    other = shop.write("other", kind.to_bytes(frame(("b", 2))))
    assert shop.read(given=str(other)).frame.rows() == [("b", 2)]
