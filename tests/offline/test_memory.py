"""A history several times the memory that is allowed: what reads all of it needs no more than a join does."""

from __future__ import annotations

import resource
import subprocess
import sys
from multiprocessing import get_context
from pathlib import Path

import duckdb
import pytest

from tests.conftest import Folder
from tests.services_postgres import PostgresServer

ROWS = 12_000_000  # some 600 MB as columns in memory
SELECTED = (
    "SELECT 'user-' || lpad(CAST({div} AS VARCHAR), 10, '0'), {instant}, 1 + i % 2, 0, (i * 7919 % 1000003) / 7.0"
)
MEMORY_MB = 200
PROCESS_MB = 300  # Python with Polars, DuckDB and NumPy, and what allocators do not return at once


def peak_of(arguments: list[str]) -> int:
    """The peak of a command's memory in MB."""
    done = subprocess.run([sys.executable, "-m", "featurestore", *arguments], capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024


def peak(*arguments: str) -> int:
    """The same, measured in a process of its own, since the peak is that of all children so far."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(peak_of, (list(arguments),))


def fill(folder: Folder, server: PostgresServer | None) -> None:
    if server is None:
        with duckdb.connect(str(folder.root / ".featurestore" / "history.duckdb")) as connection:
            query = SELECTED.format(div="i // 6", instant="make_timestamp(1704067200000001 + (i % 6) * 86400000000)")
            for (table,) in connection.execute("SELECT table_name FROM versions").fetchall():
                connection.execute(f'INSERT INTO "{table}" {query} FROM range({ROWS}) rows(i)')
        return
    query = SELECTED.format(div="i / 6", instant="timestamp '2024-01-01 00:00:00.000001' + (i % 6) * interval '1 day'")
    for row in server.sql("SELECT table_name AS name FROM fs_test.versions"):
        server.run(
            f'INSERT INTO fs_test."{row["name"]}" {query} FROM generate_series(0::bigint, {ROWS - 1}) rows(i);'
            f"INSERT INTO fs_test.appended VALUES ('{row['name']}', 2, {ROWS}); ANALYZE fs_test.\"{row['name']}\""
        )


@pytest.mark.nightly
@pytest.mark.parametrize("kind", ["duckdb", "postgresql"])
def test_what_reads_a_whole_history_stays_within_the_memory(
    project: Folder, kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    server: PostgresServer | None = None
    if kind == "postgresql":
        server = request.getfixturevalue("postgres")
        monkeypatch.setenv("FEATURESTORE_OFFLINE_URL", server.url)
    project.edit("featurestore.toml", "[entity_types", f'[offline]\nmemory = "{MEMORY_MB}MB"\n[entity_types')
    project.run("ingest")
    project.edit("features/cardiac.py", "/ 100", "/ 10")
    project.run("ingest")
    fill(project, server)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    where = ("-C", str(project.root))
    commands = (
        ["export", "age_share", "--output", str(project.root / "all.parquet")], ["diff", "age_share", "1", "2"],
        ["history", "age_share", "user-0000000007"], ["verify"], ["backup", str(project.root / "all.backup")],
        ["restore", str(project.root / "all.backup"), "--force"],
    )  # fmt: skip
    peaks = {}
    for command in commands:
        if command[0] == "restore":
            project.run("delete", "patient", "001")  # so that there is something to restore
        peaks[command[0]] = peak(*where, *command)
    assert max(peaks.values()) < MEMORY_MB + PROCESS_MB, peaks
    if server is not None:
        server.run("DROP SCHEMA IF EXISTS fs_test CASCADE")
