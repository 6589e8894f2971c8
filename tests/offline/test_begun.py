"""What DuckDB writes beside other work: it is there when somebody asks, and its errors are not lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from featurestore.offline.duckdb.connect import connect
from featurestore.offline.duckdb.file import DuckDBFile


@pytest.fixture
def file(tmp_path: Path) -> Iterator[DuckDBFile]:
    file = DuckDBFile(connect(tmp_path / "a.duckdb"))
    file.change("CREATE TABLE t (n BIGINT NOT NULL)")
    yield file
    file.close()


def test_statements_without_an_answer_keep_their_order(file: DuckDBFile) -> None:
    for number in range(50):
        file.begin(lambda connection, number=number: connection.execute("INSERT INTO t VALUES ($1)", [number]))  # type: ignore[misc]
        file.change("UPDATE t SET n = n + 100 WHERE n = $1", [number])
    file.insert("t", ["n"], [(7,)])
    assert [row["n"] for row in file.rows("SELECT n FROM t ORDER BY rowid")] == [*range(100, 150), 7]


def test_they_run_beside_whoever_began_them(file: DuckDBFile) -> None:
    go = threading.Event()
    file.begin(lambda connection: go.wait(20) and connection.execute("INSERT INTO t VALUES (1)"))
    go.set()  # would never come if `begin` waited
    assert file.rows("SELECT count(*) AS n FROM t") == [{"n": 1}]


def test_an_error_is_raised_to_whoever_asks_next_and_what_followed_is_not_done(file: DuckDBFile) -> None:
    file.connection.execute("BEGIN")
    file.begin(lambda connection: connection.execute("INSERT INTO t VALUES (NULL)"))
    file.change("INSERT INTO t VALUES (2)")
    with pytest.raises(duckdb.ConstraintException):
        file.connection.execute("COMMIT")
    file.connection.execute("ROLLBACK")
    assert file.rows("SELECT n FROM t") == []


def test_closing_waits_and_says_nothing(file: DuckDBFile) -> None:
    file.begin(lambda connection: connection.execute("INSERT INTO t VALUES (NULL)"))
    file.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("duckdb")]


def test_more_bytes_than_may_wait_are_waited_for(tmp_path: Path) -> None:
    """A run that reads its values faster than DuckDB writes them does not hold them all."""
    file = DuckDBFile(connect(tmp_path / "b.duckdb"), waiting=100)
    done: list[int] = []
    go = threading.Event()
    file.begin(lambda _: done.append(1 if go.wait(20) else 0), 60)
    file.begin(lambda _: done.append(2), 40)
    assert done == []
    threading.Timer(0.05, go.set).start()
    file.begin(lambda _: done.append(3), 60)
    assert 1 in done
    file.begin(lambda _: done.append(4), 1_000)  # alone, more than that is taken
    assert done[:3] == [1, 2, 3]
    assert file.connection
    assert done == [1, 2, 3, 4]
    file.close()
