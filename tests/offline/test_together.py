"""First rows of several versions in one table of DuckDB: each answers as if it had them to itself, whatever comes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import accumulate, pairwise
from pathlib import Path

import duckdb
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from featurestore.config import DriftSettings, Project
from featurestore.errors import FeatureError
from featurestore.model import DataType, FeatureRun, StoredVersion
from featurestore.offline.audit_rows import table_name
from featurestore.offline.contract import OfflineStore
from featurestore.offline.duckdb import together
from featurestore.offline.duckdb.run import DuckDBRun
from featurestore.offline.duckdb.store import DuckDBStore
from featurestore.offline.duckdb.together import ROW_GROUP, in_row_groups
from featurestore.tables.temporary import SpilledFrame, SpilledFrames
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


def spill(of: StoredVersion, spilled: SpilledFrames, factor: float, cuts: Sequence[int]) -> list[SpilledFrame]:
    frame = rows_of(of, factor)
    bounds = pairwise([0, *cuts, ROWS])
    return [spilled.write(frame.slice(low, high - low), shared=COMMON.columns) for low, high in bounds]


def in_turn(versions: Sequence[StoredVersion], cuts: Sequence[int]) -> dict[StoredVersion, list[SpilledFrame]]:
    """The parts of several versions, of which those with the same rows share them."""
    spilled, parts = SpilledFrames(), {of: list[SpilledFrame]() for of in versions}
    for low, high in pairwise([0, *cuts, ROWS]):
        rows = COMMON.slice(low, high - low)
        for number, of in enumerate(versions, 1):
            values = rows_of(of, number)["value"].slice(low, high - low)
            parts[of].append(spilled.write(rows.with_columns(values), shared=COMMON.columns))
        spilled.forget()
    return parts


def test_rows_that_come_in_parts_lie_together_where_the_parts_are_the_same(store: DuckDBStore) -> None:
    parts = in_turn([ONE, TWO], [1_000, 1_001, 15_000])
    alone = spill(THREE, SpilledFrames(), 3.0, [9_000])

    def work(run: DuckDBRun) -> None:
        for of, some in [*parts.items(), (THREE, alone)]:
            assert sum(written.new for written in run.write_parts(of, some)) == ROWS

    learn(store, "r1", work, ONE, TWO, THREE)
    assert tables(store, "VIEW") == {table_name(ONE.id), table_name(TWO.id)}
    for number, of in enumerate((ONE, TWO, THREE), 1):
        found = store.scan(of).select(*COMMON.columns, "value")
        assert_frame_equal(found, rows_of(of, number).sort("store", "product", "computed_at"))


def test_a_version_that_is_looked_at_between_its_parts_has_them_all(store: DuckDBStore) -> None:
    parts = in_turn([ONE, TWO], [1_000, 15_000])

    def work(run: DuckDBRun) -> None:
        list(run.write_parts(ONE, parts[ONE]))
        heights = [run.pairs(TWO).height for _ in run.write_parts(TWO, parts[TWO])]
        assert heights == [1_000, 15_000, ROWS]
        assert run.pairs(ONE).height == ROWS

    learn(store, "r1", work, ONE, TWO)
    for number, of in enumerate((ONE, TWO), 1):
        assert_frame_equal(store.scan(of)["value"].to_frame(), rows_of(of, number).select("value"))


@pytest.mark.parametrize("sizes", [[], [0], [5], [122_880], [1, 122_879], [100_000, 100_000, 0, 100_000], [300_000, 1]])
def test_rows_are_written_in_whole_row_groups(sizes: list[int]) -> None:
    """Those that are not full would be written a second time when the run ends."""
    frame = pl.DataFrame({"n": range(sum(sizes))})
    bounds = pairwise([0, *accumulate(sizes)])
    found = list(in_row_groups(frame.slice(low, high - low) for low, high in bounds))
    assert [each.height % ROW_GROUP for each in found[:-1]] == [0] * (len(found) - 1)
    assert all(each.height for each in found)
    assert all(each.n_chunks() == 1 for each in found)
    assert [n for each in found for n in each["n"]] == list(range(sum(sizes)))


def test_a_file_has_no_row_groups_that_could_be_fewer(tmp_path: Path) -> None:
    rows = 300_000
    frame = pl.DataFrame({"patient_id": ["p"] * rows, "value": pl.int_range(rows, eager=True).cast(pl.Float64)})
    at = pl.datetime_range(START, START + timedelta(seconds=rows - 1), "1s", eager=True, time_unit="us")
    frame = frame.select("patient_id", at.alias("computed_at"), "value")
    spilled = SpilledFrames()
    store, of = store_in(tmp_path), version()
    parts = [spilled.write(frame.slice(low, 70_000)) for low in range(0, rows, 70_000)]
    learn(store, "r1", lambda run: list(run.write_parts(of, parts)), of)
    with duckdb.connect(store.name, read_only=True) as connection:
        query = f"SELECT count(DISTINCT row_group_id) FROM pragma_storage_info('{table_name(of.id)}')"
        assert connection.execute(query).fetchall() == [(-(-rows // ROW_GROUP),)]
    assert_frame_equal(store.scan(of).select(frame.columns), frame)


def test_a_version_whose_first_run_gave_nothing_is_written_later(store: DuckDBStore) -> None:
    spilled = SpilledFrames()
    nothing = [spilled.write(rows_of(ONE).clear()) for _ in range(2)]
    learn(store, "r1", lambda run: list(run.write_parts(ONE, nothing)), ONE)
    assert store.mark(ONE) is None
    parts = spill(ONE, spilled, 1.0, [9_000])
    learn(store, "r2", lambda run: list(run.write_parts(ONE, parts)), ONE)
    learn(store, "r3", write(ONE, rows_of(ONE)), ONE)
    assert store.scan(ONE).height == ROWS


def test_a_first_part_that_is_refused_leaves_a_version_that_can_be_written(store: DuckDBStore) -> None:
    far = rows_of(ONE).with_columns(pl.lit(10**18).cast(pl.Datetime("us")).alias("computed_at"))
    spilled = SpilledFrames()
    parts = [spilled.write(far), spilled.write(rows_of(ONE))]

    def work(run: DuckDBRun) -> None:
        with pytest.raises(FeatureError):
            list(run.write_parts(ONE, parts))
        write_all(TWO)(run)

    learn(store, "r1", work, TWO)
    assert store.scan(ONE).height == 0
    learn(store, "r2", write_all(ONE), ONE)
    assert store.scan(ONE).height == ROWS
