"""Tables and queries of SQLite and DuckDB files: one snapshot, their own types, nothing written."""

from __future__ import annotations

import multiprocessing
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from featurestore.errors import ConfigError, SourceError
from featurestore.sources.databases import DatabaseSettings
from featurestore.sources.duckdb import read_duckdb
from featurestore.sources.sqlite import BATCH_BYTES, read_sqlite
from tests.conftest import Folder
from tests.sources.conftest import Shop, Shops

Make = Callable[[Path, str], None]


def make_sqlite(path: Path, script: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)


def make_duckdb(path: Path, script: str) -> None:
    with closing(duckdb.connect(str(path))) as connection:
        connection.execute(script)


MAKE: dict[str, Make] = {"sqlite": make_sqlite, "duckdb": make_duckdb}
SCRIPT = """
CREATE TABLE visits (id TEXT, n INTEGER, "a ""strange"" name" TEXT);
INSERT INTO visits VALUES ('a', 1, 'x'), ('b', 2, 'y');
CREATE VIEW big AS SELECT * FROM visits WHERE n > 1;
"""


@pytest.fixture(params=list(MAKE))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def shop_of(shops: Shops, kind: str, what: str = 'table = "visits"', more: str = "") -> Shop:
    return shops(f'type = "{kind}"\npath = "visits.db"\n{what}\n{more}')


@pytest.mark.parametrize(
    ("what", "rows"),
    [
        ('table = "visits"', [("a", 1, "x"), ("b", 2, "y")]),
        ('table = "big"', [("b", 2, "y")]),
        ('query = "SELECT id, n * 10 AS n FROM visits ORDER BY n DESC"', [("b", 20), ("a", 10)]),
        ('query = "SELECT id FROM visits WHERE n = 1; -- the first"', [("a",)]),
    ],
)
def test_a_table_a_view_and_a_query_are_read(what: str, rows: list[Any], kind: str, shops: Shops) -> None:
    shop = shop_of(shops, kind, what.replace("; -- the first", " -- the first"))
    MAKE[kind](shop.root / "visits.db", SCRIPT)
    assert shop.read().frame.rows() == rows
    assert shop.read(given=str(shop.root / "visits.db")).frame.rows() == rows


def test_another_query_is_another_source(kind: str, shops: Shops) -> None:
    shop = shop_of(shops, kind)
    MAKE[kind](shop.root / "visits.db", SCRIPT)
    first = shop.fingerprint()
    assert shop_of(shops, kind, 'table = "big"').fingerprint() != first
    assert shop_of(shops, kind, 'query = "SELECT * FROM visits"').fingerprint() != first
    assert shop_of(shops, kind).fingerprint() == first


@pytest.mark.parametrize("what", ["", 'table = "visits"\nquery = "SELECT 1"'])
def test_it_is_a_table_or_a_query(what: str, kind: str, shops: Shops) -> None:
    with pytest.raises(ConfigError, match=r"sources\.visits\.table or query says what to read"):
        shop_of(shops, kind, what)


@pytest.mark.parametrize(
    ("what", "hint"),
    [('table = "vists"', "fix table"), ('query = "SELECT nope FROM visits"', "fix query"), ('query = "SELEC"', "fix")],
)
def test_what_is_not_there_is_named(what: str, hint: str, kind: str, shops: Shops) -> None:
    shop = shop_of(shops, kind, what)
    MAKE[kind](shop.root / "visits.db", SCRIPT)
    with pytest.raises(SourceError, match="can't be read: ") as refused:
        shop.read()
    assert refused.value.where == "visits.db"
    assert hint in (refused.value.hint or "")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1 AS id); CREATE TABLE x (i int); --",
        "DELETE FROM visits RETURNING id",
        "INSERT INTO visits DEFAULT VALUES",
    ],
)
def test_a_query_can_not_write(query: str, kind: str, shops: Shops) -> None:
    shop = shop_of(shops, kind, f"query = '{query}'")
    path = shop.root / "visits.db"
    MAKE[kind](path, SCRIPT)
    before = path.read_bytes()
    with pytest.raises(SourceError):
        shop.read()
    assert path.read_bytes() == before
    assert sorted(item.name for item in shop.root.iterdir() if item.is_file()) == ["featurestore.toml", "visits.db"]


def test_a_query_of_duckdb_reaches_no_other_file(shops: Shops) -> None:
    shop = shop_of(shops, "duckdb", "query = \"SELECT * FROM read_csv('secret.csv')\"")
    make_duckdb(shop.root / "visits.db", SCRIPT)
    shop.write("secret.csv", "id\nsecret\n")
    with pytest.raises(SourceError) as refused:
        shop.read()
    assert "secret\n" not in str(refused.value)


def test_committed_rows_that_are_still_in_the_log_are_read(shops: Shops) -> None:
    shop = shop_of(shops, "sqlite")
    with closing(sqlite3.connect(shop.root / "visits.db")) as connection:
        connection.executescript("PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0;" + SCRIPT)
        first = shop.fingerprint()
        assert shop.read().frame["id"].to_list() == ["a", "b"]
        connection.execute("INSERT INTO visits VALUES ('c', 3, 'z')")
        connection.commit()
        assert shop.fingerprint() != first
        assert shop.read().frame["id"].to_list() == ["a", "b", "c"]
        connection.execute("INSERT INTO visits VALUES ('d', 4, 'z')")
        assert shop.read().frame["id"].to_list() == ["a", "b", "c"]  # it is not committed
        connection.rollback()
    cursor = shop.offer().cursor
    assert shop.open().missing(shop.offer(), {"files": {"visits.db-wal": "0", "visits.db": "1"}}) == []
    assert cursor == {"files": {"visits.db": shop.offer().content["files"][0][1]}}  # type: ignore[index]


def test_one_reading_is_one_snapshot(shops: Shops) -> None:
    shop = shop_of(shops, "sqlite")
    with closing(sqlite3.connect(shop.root / "visits.db")) as connection:
        connection.executescript("PRAGMA journal_mode = wal;" + SCRIPT)
        opened = shop.open()
        reading = opened.read(opened.offer(), report=lambda _warning: None)
        next(reading)
        connection.execute("INSERT INTO visits VALUES ('c', 3, 'z')")
        connection.commit()
        assert [batch.frame["id"].to_list() for batch in reading] == [["a", "b"]]
        opened = shop.open()
        offer = opened.offer()
        connection.execute("INSERT INTO visits VALUES ('d', 4, 'z')")
        connection.commit()
        with pytest.raises(SourceError, match="changed while it was read"):
            list(opened.read(offer, report=lambda _warning: None))


def nothing() -> None:
    pass


def hold(path: str, kind: str, ready: Any, over: Any) -> None:
    """Holds a file as a program does that writes it."""
    connection: Any = sqlite3.connect(path) if kind == "sqlite" else duckdb.connect(path)
    if kind == "sqlite":
        connection.execute("BEGIN EXCLUSIVE")
    ready.set()
    over.wait(30)
    connection.close()


def test_a_file_that_is_being_written_is_waited_for_and_then_named(kind: str, shops: Shops) -> None:
    shop = shop_of(shops, kind)
    path = shop.root / "visits.db"
    MAKE[kind](path, SCRIPT)
    context = multiprocessing.get_context("spawn")
    ready, over = context.Event(), context.Event()
    holder = context.Process(target=hold, args=(str(path), kind, ready, over))
    holder.start()
    try:
        assert ready.wait(60)
        settings = shop.source.settings
        assert isinstance(settings, DatabaseSettings)
        read = read_sqlite if kind == "sqlite" else read_duckdb
        with pytest.raises(SourceError, match=r"after 0\.2 s of waiting") as refused:
            list(read(path, "visits.db", settings, None, nothing, print, wait_seconds=0.2))
        assert refused.value.where == "visits.db"
    finally:
        over.set()
        holder.join()
    assert shop.read().frame.height == 2


def test_sqlites_values_of_several_types_are_set_aside_where_they_do_not_fit(shops: Shops) -> None:
    shop = shop_of(shops, "sqlite", more='[sources.visits.columns]\nn = { type = "int" }')
    make_sqlite(
        shop.root / "visits.db",
        "CREATE TABLE visits (id, n INTEGER);"
        "INSERT INTO visits VALUES ('a', 1), "
        "('b', 'two'), ('c', 3.0), ('d', 4.5), ('e', x'00ff'), ('f', NULL), (7, '8')",
    )
    rows = shop.read()
    assert rows.frame.rows() == [("a", 1), ("c", 3), ("f", None), ("7", 8)]
    assert [(row.row, row.column) for row in rows.rejected] == [(2, "n"), (4, "n"), (5, None)]


def test_a_text_of_sqlite_that_is_not_utf8_is_set_aside(shops: Shops) -> None:
    shop = shop_of(shops, "sqlite", more='[sources.visits.columns]\nname = { type = "string" }')
    texts = ["'x'"] * 9
    texts[3] = "CAST(x'ff41' AS TEXT)"
    script = "CREATE TABLE visits (id TEXT, name TEXT);" + "".join(
        f"INSERT INTO visits VALUES ('{n:05d}', {text});" for n, text in enumerate(texts)
    )
    make_sqlite(shop.root / "visits.db", script)
    settings = shop.source.settings
    assert isinstance(settings, DatabaseSettings)
    read = list(read_sqlite(shop.root / "visits.db", "visits.db", settings, None, nothing, print, rows=2))
    assert [value for batch in read for value in batch.frame["id"]] == [f"{n:05d}" for n in range(9) if n != 3]
    rows = shop.read()
    assert rows.frame.height == 8
    assert [(row.row, row.reason) for row in rows.rejected] == [
        (4, "column 'name' holds bytes, or text that is not UTF-8")
    ]


def test_types_of_duckdb_are_as_theirs(shops: Shops) -> None:
    shop = shop_of(shops, "duckdb")
    make_duckdb(
        shop.root / "visits.db",
        """CREATE TYPE mood AS ENUM ('sad', 'ok');
        CREATE TABLE visits AS SELECT '7' AS id, DATE '2024-05-01' AS d, TIMESTAMP '2024-05-01 12:00:00.000001' AS t,
        TIMESTAMPTZ '2024-05-01 12:00:00+02' AS z, 1.25::DECIMAL(9, 2) AS x, 3::UTINYINT AS u, true AS b,
        'ok'::mood AS m, 9007199254740993::BIGINT AS i, NULL::INTEGER AS n""",
    )
    frame = shop.read().frame
    assert frame.drop("x").rows() == [
        ("7", date(2024, 5, 1), datetime(2024, 5, 1, 12, 0, 0, 1, tzinfo=UTC),
         datetime(2024, 5, 1, 10, tzinfo=UTC), 3, True, "ok", 9007199254740993, None)
    ]  # fmt: skip
    assert frame["x"].cast(pl.Float64).to_list() == [1.25]


def test_a_run_reads_a_database_and_finds_nothing_new_the_next_time(kind: str, project: Folder) -> None:
    project.edit(
        "featurestore.toml", 'type = "csv"\npath = "visits*.csv"', f'type = "{kind}"\npath = "v.db"\ntable = "v"'
    )
    MAKE[kind](
        project.root / "v.db",
        "CREATE TABLE v (patient_id TEXT, visit_at TEXT, age INTEGER, chol REAL);"
        "INSERT INTO v VALUES ('001', '2024-01-01T00:00:00Z', 50, 200.5), ('002', '2024-01-15T00:00:00Z', 400, NULL);",
    )
    first = project.features(code=3)["age_share"]
    assert (first["rows_written"], first["rows_rejected"]) == (1, 1)
    assert project.features()["age_share"]["status"] == "unchanged"
    assert project.json("runs", "1")["runs"][0]["rejected"][0]["place"] == "v.db row 2"


def test_an_offer_of_a_known_file_opens_no_database(kind: str, shops: Shops) -> None:
    shop = shop_of(shops, kind)
    MAKE[kind](shop.root / "visits.db", SCRIPT)
    script = (
        "import sys; from pathlib import Path; from featurestore.config import load_project\n"
        "from featurestore.sources.offers import open_source\n"
        "project = load_project(Path(sys.argv[1])); open_source(project, project.sources['visits']).offer()\n"
        "print([name for name in ('polars', 'duckdb') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script, shop.root], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_batches_of_long_rows_have_few_of_them(shops: Shops) -> None:
    """However many rows a file has, so many bytes of it are in memory; no row is lost where a text is not UTF-8."""
    shop = shop_of(shops, "sqlite")
    with closing(sqlite3.connect(shop.root / "visits.db")) as connection:
        connection.execute("CREATE TABLE visits (id INTEGER, text TEXT)")
        connection.executemany("INSERT INTO visits VALUES (?, ?)", ((n, "x" * 100_000) for n in range(1_000)))
        connection.execute("INSERT INTO visits VALUES (1000, CAST(x'ff' AS TEXT))")
        connection.commit()
    settings = shop.source.settings
    assert isinstance(settings, DatabaseSettings)
    read = list(read_sqlite(shop.root / "visits.db", "visits.db", settings, None, nothing, print))
    assert [id_ for batch in read for id_ in batch.frame["id"]] == list(range(1_000))
    assert [row.row for batch in read for row in batch.unreadable] == [1_001]
    assert max(batch.frame.estimated_size() for batch in read) < 2 * BATCH_BYTES


def test_a_wide_table_of_duckdb_is_read_with_little_memory(shops: Shops) -> None:
    """Of each column DuckDB holds blocks at once, and a batch has fewer rows of many columns."""
    shop = shop_of(shops, "duckdb")
    columns = ", ".join(f"hash(n + {at}) AS c{at}" for at in range(100))
    make_duckdb(shop.root / "visits.db", f"CREATE TABLE visits AS SELECT n AS id, {columns} FROM range(150000) r(n)")
    settings = shop.source.settings
    assert isinstance(settings, DatabaseSettings)
    given = (shop.root / "visits.db", "visits.db", settings, None, nothing, print)
    with pytest.raises(SourceError, match="needs more than the 40 MB"):
        list(read_duckdb(*given, memory=40_000_000, wide_memory=40_000_000))
    read = list(read_duckdb(*given, memory=40_000_000, wide_memory=90_000_000))
    assert [id_ for batch in read for id_ in batch.frame["id"]] == list(range(150_000))
    assert max(batch.frame.height for batch in read) < 50_000
