"""Packed rows are the rows of the table, bit for bit, whatever happens to them later."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from featurestore.config import Project
from featurestore.model import StoredVersion
from featurestore.offline.postgres import packed
from featurestore.offline.postgres.run import PostgresRun
from featurestore.offline.postgres.store import PostgresStore
from featurestore.tables.types import history_schema
from tests.offline.conftest import postgres_project
from tests.offline.history import PAIR, frame, learn, run_of, version
from tests.offline.older import TO_FORMAT_9
from tests.often import examples
from tests.services_postgres import PostgresServer

VALUES: dict[str, st.SearchStrategy[object]] = {
    "float": st.floats(),
    "int": st.integers(-(2**63), 2**63 - 1),
    "bool": st.booleans(),
    "date": st.dates(date(1, 1, 1), date(9999, 12, 31)),
    "datetime": st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59)),
    "string": st.text(max_size=5),
    "list[float]": st.lists(st.floats(), max_size=3),
}
KEYS = st.tuples(
    st.integers(-(2**31), 2**31 - 1), st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=4)
)


@pytest.fixture
def project(postgres: PostgresServer, tmp_path: Path) -> Project:
    return postgres_project(postgres, tmp_path)


def is_same(store: PostgresStore, of: StoredVersion) -> bool:
    """Whether batches are what a scan gives."""
    scanned = store.scan(of)
    batches = pl.concat([scanned.clear(), *store.batches(of)]).sort(*of.entity_type.key_names, "computed_at", "run_seq")
    return batches.schema == scanned.schema and batches.equals(scanned, null_equal=True)


def count_packed(postgres: PostgresServer, project: Project, of: StoredVersion) -> int:
    """How many rows of a version are packed, in parts that say how many they have."""
    found = postgres.sql(
        f'SELECT coalesce(sum(count), 0)::bigint AS n FROM "fs_{project.name}".packed_rows, unnest(counts) AS c(count) '
        f"WHERE table_name = 'h_{of.id.feature}_{of.id.sha256[:12]}'"
    )
    return int(found[0]["n"])


def do(store: PostgresStore, run_id: str, change: Callable[[PostgresRun], object]) -> None:
    with store.writing(run_id) as run:
        change(run)
        run.finish(run_of((run.run_seq, run.learned_at), run_id))


@pytest.mark.parametrize("kind", VALUES)
@settings(
    max_examples=examples(4),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_batches_are_what_a_scan_gives(
    postgres: PostgresServer, pack_all: None, tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject
) -> None:
    made = postgres_project(postgres, tmp_path_factory.mktemp("store"))
    values = VALUES[kind].filter(lambda value: not (isinstance(value, str) and "\0" in value)) | st.none()
    of, store = version(kind, entity_type=PAIR), PostgresStore(made)
    rows = st.dictionaries(st.tuples(KEYS, st.integers(0, 3)), values, min_size=1, max_size=8)
    runs = data.draw(st.lists(rows, min_size=1, max_size=3))
    for number, run in enumerate(runs):
        learn(store, of, [(*keys, day, value) for (keys, day), value in run.items()], f"r{number}")
    expected = store.scan(of)
    batches = list(store.batches(of))
    rows_packed = count_packed(postgres, made, of)
    postgres.run(f'DROP SCHEMA "fs_{made.name}" CASCADE')
    found = pl.concat(batches).sort("store", "product", "computed_at", "run_seq")
    assert rows_packed == len(expected)
    assert found.schema == history_schema(of)
    assert found.equals(expected, null_equal=True)
    if kind == "float":  # -0.0 equals 0.0
        assert (
            found["value"]
            .reinterpret(signed=False)
            .equals(expected["value"].reinterpret(signed=False), null_equal=True)
        )


def test_small_histories_are_not_packed_and_large_ones_are_from_then_on(
    postgres: PostgresServer, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "LEAST_ROWS", 10)
    of, store = version(), PostgresStore(project)
    learn(store, of, [(f"p{at}", 0, 1.0) for at in range(9)], "r1")
    assert count_packed(postgres, project, of) == 0
    learn(store, of, [(f"p{at}", 1, 1.0) for at in range(10)], "r2")
    assert count_packed(postgres, project, of) == 10
    learn(store, of, [("p0", 2, 1.0)], "r3")
    assert count_packed(postgres, project, of) == 11
    assert is_same(store, of)
    assert [len(rows) for rows in store.batches(of, up_to_run=2)] == [10, 9], "parts, then what the table has"


def test_rows_that_come_later_for_an_older_run_are_not_lost(
    postgres: PostgresServer, project: Project, pack_all: None
) -> None:
    of, store = version(), PostgresStore(project)
    learn(store, of, [("a", 0, 1.0), ("b", 0, 1.0)], "r1")
    late = frame(of, [("a", 1, 2.0), ("b", 1, 2.0)]).with_columns(
        run_seq=pl.Series([1, None], dtype=pl.Int64), op=pl.lit(0, pl.Int8)
    )
    do(store, "r2", lambda run: run.append_rows(of, late))
    assert count_packed(postgres, project, of) == 4
    assert is_same(store, of)
    assert sum(len(rows) for rows in store.batches(of, up_to_run=1)) == 3


def test_what_is_erased_is_in_no_part_nor_file(
    postgres: PostgresServer, project: Project, pack_all: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Compressed, a text could not be found in a file in any case.
    monkeypatch.setattr(packed, "COMPRESSION", "uncompressed")
    monkeypatch.setattr(packed, "PART_ROWS", 1_000)  # what is erased lies beside rows that stay
    of, store, needle = version("string"), PostgresStore(project), "who-shall-be-forgotten"
    others = [(f"one of the others, {n}", n, f"a value of one of the others, {n}") for n in range(99)]
    learn(store, of, [*others, (needle, 0, f"{needle}'s value")], "r1")
    learn(store, of, [(needle, 3, "z")], "r2")
    data = postgres.folder / "data" / "base"

    def has_needle() -> bool:
        postgres.run("CHECKPOINT")
        return any(needle.encode() in path.read_bytes() for path in data.rglob("*") if path.is_file())

    assert has_needle()
    do(store, "r3", lambda run: run.erase(of, pl.DataFrame({"patient_id": [needle]})))
    assert is_same(store, of)
    assert count_packed(postgres, project, of) == 99, "the others stay packed"
    assert store.purge() is None
    assert not has_needle()


def test_nor_in_a_part_of_others_that_an_earlier_release_wrote(
    postgres: PostgresServer, project: Project, pack_all: None
) -> None:
    of, store, needle = version("string"), PostgresStore(project), "who-shall-be-forgotten"
    learn(store, of, [("one of the others", 0, "a value of one of the others")], "r1")
    table, part = f'"fs_{project.name}".packed_rows', io.BytesIO()
    (found,) = postgres.sql(f"SELECT bytes FROM {table}")
    rows, row = pl.read_ipc(io.BytesIO(found["bytes"])), {"patient_id": [needle], "value": [needle]}
    both = pl.concat([rows, rows.with_columns(pl.Series(name, one) for name, one in row.items())], rechunk=True)
    both.filter(pl.col("patient_id") != needle).write_ipc(part, compression="uncompressed")
    assert needle.encode() in part.getvalue()
    postgres.run(f"UPDATE {table} SET bytes = '\\x{part.getvalue().hex()}'")
    assert is_same(store, of)
    do(store, "r2", lambda run: run.erase(of, pl.DataFrame({"patient_id": [needle]})))
    (found,) = postgres.sql(f"SELECT bytes FROM {table}")
    assert needle.encode() not in found["bytes"]
    assert is_same(store, of)


def test_parts_follow_a_version_that_is_renamed_or_dropped(
    postgres: PostgresServer, project: Project, pack_all: None
) -> None:
    of, renamed, store = version(), version(name="points"), PostgresStore(project)
    learn(store, of, [("a", 0, 1.0), ("b", 0, 2.0)], "r1")
    do(store, "r2", lambda run: run.copy_history(of.id, renamed))
    assert is_same(store, renamed)
    assert count_packed(postgres, project, renamed) == 2
    do(store, "r3", lambda run: run.drop(of))
    assert count_packed(postgres, project, of) == 0
    assert is_same(store, renamed)


def test_parts_without_known_times_do_not_answer_once_rows_have_them(
    postgres: PostgresServer, project: Project, pack_all: None
) -> None:
    of, store = version(), PostgresStore(project)
    learn(store, of, [("a", 0, 1.0)], "r1")
    later = frame(of, [("b", 0, 2.0)]).with_columns(known_at=pl.col("computed_at"))
    do(store, "r2", lambda run: run.write(of, later))
    assert is_same(store, of)
    assert store.scan(of)["known_at"].null_count() == 0


def test_a_schema_without_parts_is_read_from_its_table(
    postgres: PostgresServer, project: Project, pack_all: None
) -> None:
    of, store = version(), PostgresStore(project)
    learn(store, of, [("a", 0, 1.0), ("b", 0, 2.0)], "r1")
    postgres.run(f'SET search_path = "fs_{project.name}"; {TO_FORMAT_9}')
    assert is_same(store, of)
    learn(store, of, [("c", 0, 3.0)], "r2")
    assert is_same(store, of)
    assert count_packed(postgres, project, of) == 1
