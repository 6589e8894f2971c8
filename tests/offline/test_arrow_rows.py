"""Runs of many rows of several features in DuckDB: what was prepared for one of them is not given to another."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from featurestore.config import DriftSettings, Project
from featurestore.model import FeatureRun, StoredVersion
from featurestore.offline.duckdb.store import DuckDBStore
from tests.offline.history import PAIR, PATIENT, START, run_of, version

ROWS = 24_000
TEXTS = ["", " ", "7", "7.0", "é", "e\u0301", "\U0001f600", "x" * 400, "null", "\x7f", "a\tb", "a\nb"]


def rows_of(of: StoredVersion, patients: int, *, prefix: str = "") -> pl.DataFrame:
    """As many rows of each patient, sorted; texts that few stores like among their ids."""
    ids = sorted(prefix + (TEXTS[at] if at < len(TEXTS) else f"p{at:06}") for at in range(patients))
    number = pl.int_range(ROWS, eager=True)
    text = pl.Series(ids).gather(number * patients // ROWS)
    names = of.entity_type.key_names
    keys = {name: text if name != "store" else number * 3 // ROWS for name in names}
    at = (number * 1_000_000).cast(pl.Duration("us")) + pl.Series([START]).cast(pl.Datetime("us"))
    frame = pl.DataFrame({**keys, "computed_at": at, "value": number.cast(pl.Float64) / 7})
    return frame.sort(*names, "computed_at")


def learn(store: DuckDBStore, run_id: str, frames: list[tuple[StoredVersion, pl.DataFrame]]) -> None:
    with store.writing(run_id) as run:
        for of, frame in frames:
            assert run.write(of, frame).new == frame.height
        items = [FeatureRun(of.id.feature, "visits", "ok", of.number, of.id.sha256) for of, _ in frames]
        run.finish(run_of((run.run_seq, run.learned_at), run_id, *items))


def held(store: DuckDBStore, of: StoredVersion) -> pl.DataFrame:
    names = [*of.entity_type.key_names, "computed_at"]
    return store.scan(of).select(*names, "value")


@pytest.fixture
def store(tmp_path: Path) -> DuckDBStore:
    return DuckDBStore(Project(tmp_path, "test", {}, {}, DriftSettings()))


@pytest.mark.parametrize("patients", [len(TEXTS) + 1, 1_000, ROWS // 2 + 1, ROWS])
def test_features_with_the_same_keys_and_with_others_have_their_own(store: DuckDBStore, patients: int) -> None:
    one, two, three = (version(name=name) for name in ("one", "two", "three"))
    rows, others = rows_of(one, patients), rows_of(one, patients, prefix="q")
    doubled = rows.with_columns(pl.col("value") * 2)  # its keys lie where the first one's do
    learn(store, "run-1", [(one, rows), (two, doubled), (three, others)])
    for of, wanted in ((one, rows), (two, doubled), (three, others)):
        assert_frame_equal(held(store, of), wanted)


def test_a_part_of_other_rows_is_not_taken_for_their_beginning(store: DuckDBStore) -> None:
    one, two = version(name="one"), version(name="two")
    rows = rows_of(one, 1_000)
    later = rows.slice(1_000)  # it ends where the others end
    learn(store, "run-1", [(one, rows), (two, later), (version(name="three"), rows.head(23_000))])
    assert_frame_equal(held(store, two), later)
    assert_frame_equal(held(store, version(name="three")), rows.head(23_000))


def test_of_several_keys_each_is_its_own(store: DuckDBStore) -> None:
    pair, patient = version(entity_type=PAIR, name="pair"), version(entity_type=PATIENT, name="patient")
    rows = rows_of(pair, 1_000)
    learn(store, "run-1", [(pair, rows), (patient, rows_of(patient, 900))])
    assert_frame_equal(held(store, pair), rows)
    assert_frame_equal(held(store, patient), rows_of(patient, 900))
