"""Setting many rows aside takes a few calls a row and no statement of its own for any: counted, not timed."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

from tests.conftest import PROJECT, TOML, Folder, uncaptured
from tests.services_postgres import PostgresServer

# What sends a statement to a store, by the file that has it.
STATEMENTS = {
    "offline/duckdb/file.py": ("rows", "change", "insert"),
    "offline/duckdb/reading.py": ("rows", "query"),
    "postgres/connection.py": ("_ask", "copy", "execute", "stream"),
}
WHO = "tiresome"


@contextmanager
def counting() -> Iterator[Counter[str]]:
    """Counts what is done inside, in every thread: ``calls`` of ours, and ``statements`` to a store."""
    counts: Counter[str] = Counter()

    def see(frame: FrameType, event: str, _: object) -> None:
        name = frame.f_code.co_filename.partition("/featurestore/")[2]
        if event == "call" and name:
            counts["calls"] += 1
            counts["statements"] += frame.f_code.co_name in STATEMENTS.get(name, ())

    threading.setprofile(see)
    sys.setprofile(see)
    try:
        yield counts
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


@pytest.fixture(params=["duckdb", "postgresql"])
def project(
    tmp_path: Path, request: pytest.FixtureRequest, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[int], Folder]]:
    """Makes a project with so many rows of one patient that will be set aside."""
    if request.param == "postgresql":
        monkeypatch.setenv("FEATURESTORE_OFFLINE_URL", postgres.url)
    made: list[Folder] = []

    def make(rows: int) -> Folder:
        folder = Folder(tmp_path / f"aside{len(made)}", uncaptured)
        made.append(folder)
        folder.root.mkdir()
        name = TOML.replace('"test"', f'"aside{len(made)}"')
        odd = "".join(f"{WHO},2024-01-01T00:00:00Z,{200 + at},1\n" for at in range(rows))
        folder.write({**PROJECT, "featurestore.toml": name})
        with (folder.root / "visits.csv").open("a") as visits:
            visits.write(odd)
        return folder

    yield make
    for number in range(1, len(made) + 1):
        postgres.run(f"DROP SCHEMA IF EXISTS fs_aside{number} CASCADE")


def test_each_row_set_aside_takes_some_calls_and_all_of_them_the_same_statements(
    project: Callable[[int], Folder],
) -> None:
    done: list[list[Counter[str]]] = []
    for rows in (10, 500, 1_000):  # the first for what is imported and made once
        folder = project(rows)
        with counting() as ingested:
            folder.run("ingest", code=3)
        folder.write({"visits.csv": PROJECT["visits.csv"]})
        with counting() as erased:
            folder.run("delete", "patient", WHO, "--erase", "--yes")
        done.append([ingested, erased])
    _, some, more = done
    for of_some, of_more in zip(some, more, strict=True):
        assert of_more["statements"] == of_some["statements"] > 0
        assert 0 < of_more["calls"] - of_some["calls"] < 500 * 30
