"""A store as a whole: every kind of store gives all that it holds, and any other one takes it."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from featurestore.errors import DamagedError, LockedError
from featurestore.model import FeatureRun, RejectedRow, Scope, StoredVersion
from featurestore.offline.contract import Baseline, DroppedBatch, OfflineStore, Position, RawBatch
from featurestore.offline.copies import Copies
from featurestore.offline.postgres.store import PostgresStore
from tests.offline.conftest import STORES, Factory, postgres_project
from tests.offline.history import PAIR, frame, run_of, version
from tests.services_postgres import PostgresServer

VALUES: dict[str, list[object]] = {
    "float": [1.5, -1e-300, math.nan, math.inf, None],
    "int": [1, -(2**63), None, 2**63 - 1, 0],
    "string": ["a", "", None, "ä\n\U0001f600", 'it\'s "quoted"'],
    "bool": [True, False, None, True, False],
    "date": [date(1, 1, 1), date(9999, 12, 31), None, date(2024, 2, 29), date(1970, 1, 1)],
    "datetime": [datetime(1970, 1, 1), datetime(2024, 1, 1, 0, 0, 0, 1), None, datetime(9999, 1, 1), datetime(1, 1, 1)],
    "list[float]": [[1.0, math.nan], [], None, [None, -1.5], [math.inf]],
}
VERSIONS = [version(kind, name=f"of_{number}") for number, kind in enumerate(VALUES)]
PAIRED = version("float", PAIR, name="paired")
KNOWN = version("int", name="known")
STEPS = replace(version("int", name="stepping"), steps=True)
ALL = [*VERSIONS, PAIRED, KNOWN, STEPS]


def fill(store: OfflineStore) -> None:
    """Something in every table: three runs that write, and one that fails."""
    with store.writing("first") as run:
        for of in VERSIONS:
            rows = [(f"p{day}", day, value) for day, value in enumerate(VALUES[of.data_type.kind])]
            run.write(of, frame(of, rows))
            run.set_position(Position(of.id, "visits", "print", {"files": {"a": "b"}}, run.run_seq))
        run.set_scope(VERSIONS[0].id, Scope("row", 0, "it says so", declared=True))
        run.write(PAIRED, frame(PAIRED, [(1, "x", 0, 1.0), (-5, "", 1, None)]))
        known = frame(KNOWN, [("a", 0, 1), ("b", 0, 2)]).with_columns(known_at=pl.col("computed_at"))
        run.write(KNOWN, known)
        run.append_rows(STEPS, steps(STEPS, [("a", 0, 1, 0)]))
        run.replace_coming(
            STEPS, pl.DataFrame({"patient_id": ["a"]}), steps(STEPS, [("a", 5, 7, 0), ("a", 9, None, 3)])
        )
        run.store_sample(VERSIONS[0].id, b"\x00\xff sample")
        run.put_raw(RawBatch("events", 1, run.run_seq, 3, "hash", {"offset": 4}), [b"raw" * 5_000, b"\x00"])
        run.put_raw(RawBatch("events", 2, run.run_seq, 1, "other"), [b"more"])
        run.set_source_position("events", {"partition": [1, 2]})
        rejected = RejectedRow("visits", "v.csv", 7, "age", 'not "a" number', {"age": "x\n"}, "v.csv row 7")
        run.reject([rejected])
        item = FeatureRun("of_0", "visits", "ok", 1, VERSIONS[0].id.sha256, statistics={"mean": 1.5}, horizon=5)
        run.finish(run_of((run.run_seq, run.learned_at), "first", item))
    with store.writing("second") as run:
        run.write(VERSIONS[0], frame(VERSIONS[0], [("p0", 0, 2.5), ("new", 9, 1.0)]))
        run.withdraw(VERSIONS[1], frame(VERSIONS[1], [("p0", 0, 1)]).drop("value"))
        run.delete(VERSIONS[2], frame(VERSIONS[2], [("p0", 3, "")]).drop("value"))
        marks = frame(VERSIONS[2], [("p0", 3, "")]).select("patient_id", deleted_at="computed_at")
        run.mark_deleted(VERSIONS[2].entity_type, marks, "user")
        run.finish(run_of((run.run_seq, run.learned_at), "second"))
    store.log(run_of(None, "third", status="failed"))
    store.drop_batches([DroppedBatch("events", 1, "hash", 12)])
    store.set_reference(VERSIONS[0].id, Baseline(1, None, "wasserstein"))


def steps(of: StoredVersion, rows: list[tuple[str, int, object, int]]) -> pl.DataFrame:
    made = frame(of, [row[:3] for row in rows])
    ops = pl.Series([row[3] for row in rows], dtype=pl.Int8)
    return made.with_columns(op=ops, run_seq=pl.lit(None, pl.Int64)).select(
        "patient_id", "computed_at", "run_seq", "op", "value"
    )


def answers(store: OfflineStore) -> dict[str, Any]:
    """What a store answers, whatever it is asked."""
    with store.reading():
        found: dict[str, Any] = {
            of.id.feature: [store.scan(of).rows(), store.latest(of).rows(), store.current(of).rows(),
                            sorted(map(str, pl.concat(store.batches(of)).rows())), store.coming(of).rows(),
                            store.horizons(of.id), store.scope(of.id), store.has_known(of.id),
                            store.has_withdrawn(of.id), store.reference(of.id), store.samples(of.id, 0, 9, 9),
                            store.position(of.id, "visits"), store.last_committed(of.id.feature)]
            for of in ALL
        }  # fmt: skip
        found["runs"] = [asdict(run) for run in store.runs()]
        found["rest"] = [
            store.versions(), store.committed_runs(), store.rejected("first"), store.raw_batches(),
            [b"".join(store.raw_bytes(batch)) for batch in store.raw_batches()], store.dropped_batches("events"),
            store.source_position("events"), store.deletions(VERSIONS[2].entity_type).rows(),
        ]  # fmt: skip
    return found


def copy(copies: Copies, to: OfflineStore, store_id: str) -> None:
    state = copies.state()
    assert state is not None
    with to.replacing(state.format, store_id) as replacement:
        while expected := replacement.expected():
            frames: list[pl.DataFrame] = []
            copies.read(expected[0], frames.append)
            replacement.load(expected[0], frames)


@pytest.fixture(params=["duckdb", "postgresql"])
def other_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OfflineStore]:
    """Another empty store, of each kind."""
    for factory in STORES[request.param](request):
        folder = tmp_path / "other"
        folder.mkdir()
        yield factory(folder)


def test_whatever_a_store_holds_another_one_answers_like_it(store: OfflineStore, other_store: OfflineStore) -> None:
    fill(store)
    before = answers(store)
    with store.copies() as copies:
        copy(copies, other_store, str(uuid.uuid4()))
    assert repr(answers(other_store)) == repr(before)
    with store.copies() as ours, other_store.copies() as theirs:
        assert ours.state() == theirs.state()
        assert ours.tables() == theirs.tables()
    with other_store.writing("fourth") as run:  # goes on where the other one was
        assert run.write(VERSIONS[0], frame(VERSIONS[0], [("p0", 0, 2.5), ("new", 9, 2.0)])).corrected == 1
        assert run.run_seq == 3
        run.finish(run_of((run.run_seq, run.learned_at), "fourth"))
    assert other_store.set_back() is None


def test_what_was_there_is_gone_and_nothing_that_was_derived_of_it_is_taken_for_new(
    new_store: Factory, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    store, other = new_store(tmp_path), new_store(tmp_path / "other")
    fill(store)
    gone = version("string", name="of_another_time")
    with other.writing("another") as run:
        run.write(gone, frame(gone, [("a", 0, "x")]))
        run.write(VERSIONS[0], frame(VERSIONS[0], [("a", 0, 9.0)]))
        run.finish(run_of((run.run_seq, run.learned_at), "another"))
    marked = other.mark(VERSIONS[0])
    store_id = str(uuid.uuid4())
    with store.copies() as copies:
        copy(copies, other, store_id)
    assert repr(answers(other)) == repr(answers(store))
    assert other.versions("of_another_time") == []
    now = other.mark(VERSIONS[0])
    assert now is not None
    assert marked is not None
    assert now.store_id == store_id != marked.store_id


def test_a_replacement_that_is_broken_off_changes_nothing(store: OfflineStore) -> None:
    fill(store)
    before = answers(store)
    with store.copies() as copies:
        names = copies.tables()
        assert names
    with pytest.raises(RuntimeError, match="in the middle"), store.replacing(11, str(uuid.uuid4())) as replacement:
        replacement.load("counter", [pl.DataFrame({"run_seq": [7], "learned_at": [8]})])
        raise RuntimeError("in the middle")
    assert repr(answers(store)) == repr(before)


def test_a_copy_is_of_one_instant_and_keeps_nobody_from_writing(store: OfflineStore) -> None:
    fill(store)
    with store.copies() as copies:
        before = copies.state()
        with store.writing("meanwhile") as run:
            run.write(VERSIONS[0], frame(VERSIONS[0], [("meanwhile", 0, 1.0)]))
            run.finish(run_of((run.run_seq, run.learned_at), "meanwhile"))
        assert copies.state() == before
        frames: list[pl.DataFrame] = []
        copies.read("h_of_0_aaaaaaaaaaaa", frames.append)
        assert "meanwhile" not in pl.concat(frames)["patient_id"].to_list()
    assert store.scan(VERSIONS[0])["patient_id"].to_list().count("meanwhile") == 1


def test_an_empty_store_has_no_state(store: OfflineStore) -> None:
    with store.copies() as copies:
        assert copies.state() is None
        assert copies.tables() == []


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("feature", "a; DROP TABLE runs"), ("sha256", "../../etc"), ("table_name", "runs"), ("keys", "[]"),
        ("keys", '[["a", "string"], ["a", "int"]]'), ("keys", '[["a\\"", "string"]]'), ("keys", '[["a", "bytes"]]'),
        ("keys", "not json"), ("data_type", "float; x"),
    ],
)  # fmt: skip
def test_versions_that_no_release_has_written_are_refused(store: OfflineStore, column: str, value: str) -> None:
    fill(store)
    before = answers(store)
    with store.copies() as copies:
        frames: list[pl.DataFrame] = []
        copies.read("versions", frames.append)
    bad = pl.concat(frames).with_columns(pl.lit(value).alias(column))
    with pytest.raises(DamagedError, match="no release"), store.replacing(11, str(uuid.uuid4())) as replacement:
        replacement.load("versions", [bad])
    assert repr(answers(store)) == repr(before)


def test_rows_that_a_table_can_not_have_are_refused(store: OfflineStore) -> None:
    with pytest.raises(DamagedError, match="columns of counter"), store.replacing(11, str(uuid.uuid4())) as replacement:
        replacement.load("counter", [pl.DataFrame({"run_seq": ["7"], "learned_at": [8]})])
    with pytest.raises(DamagedError, match="no history has"), store.replacing(11, str(uuid.uuid4())) as replacement:
        replacement.load("pg_class", [])


def test_a_store_in_an_older_format_is_brought_up_to_date(new_store: Factory, tmp_path: Path) -> None:
    """The tables of format 8 lack those of later ones, and are completed by the migrations."""
    store = new_store(tmp_path)
    with store.replacing(8, str(uuid.uuid4())) as replacement:
        assert "raw_dropped" not in replacement.expected()
        while expected := replacement.expected():
            rows = [pl.DataFrame({"run_seq": [3], "learned_at": [5]})] if expected[0] == "counter" else []
            replacement.load(expected[0], rows)
    with store.writing("next") as run:
        assert run.run_seq == 4
        run.finish(run_of((run.run_seq, run.learned_at), "next"))
    assert store.dropped_batches("events") == []


def test_replacing_waits_for_its_turn(postgres: PostgresServer, tmp_path: Path) -> None:
    """On a server, where writers of other machines don't hold the project's lock."""
    project = postgres_project(postgres, tmp_path)
    store, impatient = PostgresStore(project), PostgresStore(replace(project, lock_timeout=0.1))
    fill(store)
    with store.writing("holds"), pytest.raises(LockedError), impatient.replacing(11, str(uuid.uuid4())):
        pass
