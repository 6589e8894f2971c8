"""First rows of several versions in one table of DuckDB: each answers as if it had them to itself, whatever comes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from featurestore.config import DriftSettings, Project
from featurestore.model import DataType, FeatureRun, StoredVersion
from featurestore.offline.contract import OfflineStore
from featurestore.offline.duckdb import together
from featurestore.offline.duckdb.run import DuckDBRun
from featurestore.offline.duckdb.store import DuckDBStore
from featurestore.tables.types import value_type
from tests.offline.history import PAIR, START, run_of, version

ROWS = together.LEAST_ROWS + 1_000
KINDS = ("float", "int", "string", "bool", "date", "datetime", "list[float]")
ONE, TWO, THREE = (version(entity_type=PAIR, name=name) for name in ("one", "two", "three"))
SOME = pl.col("product").str.ends_with("7")


def rows_of(of: StoredVersion, factor: float = 1.0) -> pl.DataFrame:
    """The very same columns of keys and times for whoever asks; every eleventh value is null."""
    number = pl.Series("value", range(ROWS)).cast(pl.Float64) * factor
    kind = value_type(of.data_type)
    values = number.cast(pl.Boolean if kind == pl.Boolean() else pl.Int32 if kind == pl.Date() else pl.Int64)
    if kind == pl.Float64():
        values = number / 7
    if isinstance(kind, pl.List):
        values = pl.Series("value", [[each, -each] for each in number], kind)
    values = values.cast(kind)
    return COMMON.with_columns(values.zip_with(number.cast(pl.Int64) % 11 != 5, values.clear(ROWS)))


def _common() -> pl.DataFrame:
    number = pl.int_range(ROWS, eager=True)
    at = (number * 1_000_000).cast(pl.Duration("us")) + pl.Series([START]).cast(pl.Datetime("us"))
    product = "p" + (number // 10 % 100).cast(pl.String).str.zfill(3)
    frame = pl.DataFrame({"store": number // 1_000, "product": product, "computed_at": at})
    return frame.sort("store", "product", "computed_at").rechunk()


COMMON = _common()


def learn(store: OfflineStore, run_id: str, work: Callable[[DuckDBRun], object], *versions: StoredVersion) -> None:
    assert isinstance(store, DuckDBStore)
    with store.writing(run_id) as run:
        work(run)
        items = [FeatureRun(of.id.feature, "visits", "ok", of.number, of.id.sha256) for of in versions]
        run.finish(run_of((run.run_seq, run.learned_at), run_id, *items))


def write(of: StoredVersion, frame: pl.DataFrame) -> Callable[[DuckDBRun], object]:
    return lambda run: run.write(of, frame)


def write_all(*versions: StoredVersion) -> Callable[[DuckDBRun], object]:
    def work(run: DuckDBRun) -> None:
        for number, of in enumerate(versions, 1):
            assert run.write(of, rows_of(of, number)).new == ROWS

    return work


def store_in(folder: Path) -> DuckDBStore:
    folder.mkdir(exist_ok=True)
    return DuckDBStore(Project(folder, "test", {}, {}, DriftSettings()))


@pytest.fixture
def store(tmp_path: Path) -> DuckDBStore:
    return store_in(tmp_path / "together")


@pytest.fixture
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[DuckDBStore], object]], DuckDBStore]:
    """Does the same in a store in which each version has its own table."""

    def do(work: Callable[[DuckDBStore], object]) -> DuckDBStore:
        store = store_in(tmp_path / "apart")
        with monkeypatch.context() as patch:
            patch.setattr(together, "LEAST_ROWS", 10**9)
            work(store)
        return store

    return do


def tables(store: DuckDBStore, kind: str) -> set[str]:
    with duckdb.connect(store.name, read_only=True) as connection:
        query = "SELECT table_name FROM information_schema.tables WHERE table_type = $1"
        return {name for (name,) in connection.execute(query, [kind]).fetchall()}


def assert_same(store: DuckDBStore, other: DuckDBStore, *versions: StoredVersion) -> None:
    for of in versions:
        few = COMMON.select("store", "product").unique().sort("store", "product").gather_every(97)
        assert_frame_equal(store.scan(of), other.scan(of))
        assert_frame_equal(store.scan(of, entities=few, after_run=1), other.scan(of, entities=few, after_run=1))
        assert_frame_equal(store.latest(of), other.latest(of))
        assert_frame_equal(store.latest(of, after_run=1), other.latest(of, after_run=1))
        assert_frame_equal(store.current(of), other.current(of))
        assert_frame_equal(pl.concat(store.batches(of)), pl.concat(other.batches(of)))
        assert (store.newest(of), store.oldest(of)) == (other.newest(of), other.oldest(of))
        one, another = store.mark(of), other.mark(of)
        assert one is not None
        assert another is not None
        assert (one.rows, one.run_seq, one.run_id) == (another.rows, another.run_seq, another.run_id)
        assert store.mark(of, up_to_run=1) is not None
        sample = store.sample_keys(of, 100)
        assert abs(len(sample) - one.rows // 100) <= 2
        assert set(sample) <= set(COMMON.select("store", "product").rows())


def correct_some(store: DuckDBStore) -> None:
    changed = rows_of(ONE, 3.0).filter(SOME)
    learn(store, "r2", write(ONE, pl.concat([changed, rows_of(ONE).filter(~SOME)]).sort("store", "product")), ONE)
    later = rows_of(TWO).filter(SOME).with_columns(pl.col("computed_at") + pl.duration(days=400))
    learn(store, "r3", write(TWO, later), TWO)
    gone = COMMON.filter(SOME).head(500)
    learn(store, "r4", lambda run: run.withdraw(ONE, gone), ONE)
    learn(store, "r5", lambda run: run.delete(TWO, gone), TWO)


def test_what_comes_later_is_answered_as_if_each_had_its_rows_to_itself(
    store: DuckDBStore, apart: Callable[[Callable[[DuckDBStore], object]], DuckDBStore]
) -> None:
    def work(store: DuckDBStore) -> None:
        learn(store, "r1", write_all(ONE, TWO, THREE), ONE, TWO, THREE)
        correct_some(store)

    work(store)
    assert len(tables(store, "VIEW")) == 3
    other = apart(work)
    assert not tables(other, "VIEW")
    assert_same(store, other, ONE, TWO, THREE)


def test_values_of_every_type_lie_beside_each_other(store: DuckDBStore) -> None:
    every = [version(kind, PAIR, name=f"of_{at}") for at, kind in enumerate(KINDS)]
    learn(store, "r1", write_all(*every), *every)
    assert len(tables(store, "VIEW")) == len(every)
    for number, of in enumerate(every, 1):
        found = store.scan(of).select(*COMMON.columns, "value")
        assert_frame_equal(found, rows_of(of, number).sort("store", "product", "computed_at"))


@pytest.mark.parametrize(
    "change",
    [
        lambda run: run.erase(ONE, COMMON.head(1)),
        lambda run: run.drop(ONE),
        lambda run: run.add_known(ONE),
        lambda run: [run.erase(each, COMMON.head(1)) for each in (THREE, ONE, TWO)],
        lambda run: [run.drop(each) for each in (ONE, TWO, THREE)],
        lambda run: run.carry(ONE.id, version(entity_type=PAIR, name="four")),
    ],
)
def test_what_takes_rows_away_of_one_leaves_the_others(
    store: DuckDBStore,
    apart: Callable[[Callable[[DuckDBStore], object]], DuckDBStore],
    change: Callable[[DuckDBRun], object],
) -> None:
    answers: list[object] = []

    def work(store: DuckDBStore) -> None:
        learn(store, "r1", write_all(ONE, TWO, THREE), ONE, TWO, THREE)
        correct_some(store)
        learn(store, "r6", lambda run: answers.append(change(run)))
        store.purge()

    work(store)
    other = apart(work)
    assert answers[0] == answers[1]
    for of in store.versions():
        found, wanted = store.scan(of), other.scan(of)
        assert_frame_equal(found.drop("known_at", strict=False), wanted.drop("known_at", strict=False))
        assert found.null_count().sum_horizontal().item() == wanted.null_count().sum_horizontal().item()
    left = tables(store, "BASE TABLE")
    assert not any(name.startswith("p_") for name in left)
    assert any(name.startswith("f_") for name in left) == bool(tables(store, "VIEW"))


def test_in_the_run_that_wrote_them_they_can_be_looked_at_and_changed(
    store: DuckDBStore, apart: Callable[[Callable[[DuckDBStore], object]], DuckDBStore]
) -> None:
    def both(run: DuckDBRun) -> None:
        write_all(ONE, TWO)(run)
        assert run.pairs(TWO).height == ROWS
        run.write(THREE, rows_of(THREE))
        run.write(TWO, rows_of(TWO, 2.0).with_columns(pl.col("computed_at") + pl.duration(days=400)))
        run.erase(THREE, COMMON.head(1))
        run.erase(TWO, COMMON.head(1))

    def work(store: DuckDBStore) -> None:
        learn(store, "r1", both, ONE, TWO, THREE)

    work(store)
    other = apart(work)
    for of in (ONE, TWO, THREE):
        assert_frame_equal(store.scan(of), other.scan(of))


def test_a_run_that_is_broken_off_leaves_nothing(store: DuckDBStore) -> None:
    learn(store, "r1", write_all(ONE), ONE)
    with pytest.raises(RuntimeError), store.writing("r2") as run:
        write_all(TWO, THREE)(run)
        raise RuntimeError
    assert [each.id for each in store.versions()] == [ONE.id]
    learn(store, "r3", write_all(TWO, THREE), TWO, THREE)
    assert store.scan(THREE).height == ROWS


def test_a_trial_leaves_nothing(store: DuckDBStore) -> None:
    with store.writing("r1", dry_run=True) as run:
        write_all(ONE, TWO)(run)
    assert not store.versions()


def test_no_more_values_wait_than_memory_allows(tmp_path: Path) -> None:
    store = DuckDBStore(Project(tmp_path, "test", {}, {}, DriftSettings(), memory=100_000_000))
    many = [version(entity_type=PAIR, name=f"v{at}") for at in range(110)]
    learn(store, "r1", write_all(*many), *many)
    shared = {name for name in tables(store, "BASE TABLE") if name.startswith("f_")}
    assert 1 < len(shared) < 6, "each of 8 MB of values"
    assert all(store.scan(of).height == ROWS for of in (many[0], many[50], many[-1]))
    assert DataType.parse("float") == many[0].data_type
