"""The sorted columns: they always have the rows of the store, whether made anew or extended."""

import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurestore.model import StoredVersion
from featurestore.offline.columns.build import find_columns, refresh_columns
from featurestore.offline.columns.files import (
    FORMAT,
    ColumnsLostError,
    Partition,
    SortedColumns,
    can_write,
    folder_of,
    has_damage,
    read_columns,
)
from featurestore.offline.contract import OfflineStore
from featurestore.point_in_time import kernel
from featurestore.tables.types import value_type
from tests.join.cases import PATIENT, SHELF, Case, Row, cases, history_frame, judge, label_frame, memory_store, same
from tests.join.stores import duckdb_store, learn
from tests.often import examples

EARLY = [Row(("a",), 1, 1, 1.0), Row(("b",), 5, 1, None)]
LATER = [Row(("b",), 2, 2, 2.5), Row(("a",), 1, 2, 9.0), Row(("",), 0, 2, -1.0)]
VERSION = Case(PATIENT, "float", (), (), ()).version


MEMORY = 1 << 30
LITTLE = 300  # of nearly every row its own part


def refresh(folder: Path, store: OfflineStore, version: StoredVersion, memory: int = MEMORY) -> SortedColumns | None:
    mark = store.mark(version)
    if mark is None:
        return None
    found = find_columns(folder, version, mark, memory)
    if found is None:
        assert refresh_columns(folder, store, version, mark, memory)
        held = read_columns(folder_of(folder, version), version)
        found = next((columns for columns in held if columns.mark == mark), None)  # another may have replaced them
    return found


def rows_of(columns: SortedColumns, version: StoredVersion) -> pl.DataFrame:
    """The columns as a scan gives a history."""
    rows = pl.concat([rows_of_part(part) for part in columns.partitions])
    known = ["known_at"] if "known_at" in rows.columns else []
    return rows.sort(*version.entity_type.key_names, "computed_at", *known, "run_seq")


def rows_of_part(part: Partition) -> pl.DataFrame:
    history = part.history()
    sizes = pl.Series(np.diff(history.offsets)).cast(pl.UInt32)
    keys = history.entities.select(pl.all().repeat_by(sizes).explode())
    values = part.values()
    flat = pl.Series(values.items).cast(values.type) if isinstance(values, kernel.Flat) else values
    known = [] if history.known_at is None else [pl.Series("known_at", history.known_at).cast(pl.Datetime("us"))]
    return keys.with_columns(
        computed_at=pl.Series(history.computed_at).cast(pl.Datetime("us")),
        run_seq=pl.Series(history.run_seq).cast(pl.Int64),
        op=pl.Series(np.zeros(len(history), np.int8) if history.op is None else history.op),
        value=flat,
    ).with_columns(known)


def check_held(folder: Path, store: OfflineStore, version: StoredVersion, memory: int = MEMORY) -> SortedColumns:
    found = refresh(folder, store, version, memory)
    assert found is not None
    assert rows_of(found, version).equals(store.scan(version))
    return found


@settings(max_examples=examples(25))
@given(cases(with_known_times=True), st.sampled_from((LITTLE, MEMORY)))
def test_a_join_over_them_gives_what_the_judge_says(case: Case, memory: int) -> None:
    """Made at the first run, in one partition or many, extended with every later run, then asked as of any of them."""
    labels = label_frame(case.entity_type, case.labels)
    side = kernel.group_labels(labels.select(case.entity_type.key_names), labels["at"].to_physical().to_numpy())
    last = len(case.learned) if case.as_of is None else sum(at <= case.as_of for at in case.learned)
    runs = kernel.Runs(np.arange(1, last + 1), np.array(case.learned[:last], dtype=np.int64)) if case.known else None
    with tempfile.TemporaryDirectory() as folder:
        columns = None
        for run in range(1, len(case.learned) + 1):
            store = memory_store({case.version: [row for row in case.rows if row.run <= run]}, case.learned)
            columns = refresh(Path(folder), store, case.version, memory)
        column = kernel.FeatureColumn(len(labels), value_type(case.version.data_type))
        for part in columns.partitions if columns is not None else ():
            found = kernel.search(part.history(), side, max_age=case.max_age, runs=runs, last_run=last)
            column.fill(part.values(), found)
        answers = column.series().to_list()
    for label, answer in zip(case.labels, answers, strict=True):
        value = answer.replace(tzinfo=None) if isinstance(answer, datetime) and answer.tzinfo is UTC else answer
        assert same(value, judge(case, label)), (label, value)


def test_later_runs_are_merged_into_them(tmp_path: Path) -> None:
    store = duckdb_store(tmp_path)
    for number, rows in enumerate((EARLY, LATER, [Row(("z",), 7, 3, 0.0)])):
        learn(store, f"run-{number}", {VERSION: rows})
        check_held(tmp_path, store, VERSION)
    assert len(list(read_columns(folder_of(tmp_path, VERSION), VERSION))) == 1  # what was before is removed


def test_a_second_use_reads_what_the_first_made(tmp_path: Path) -> None:
    store = duckdb_store(tmp_path)
    learn(store, "run-1", {VERSION: EARLY})
    check_held(tmp_path, store, VERSION)
    mark = store.mark(VERSION)
    assert mark is not None
    assert find_columns(tmp_path, VERSION, mark, MEMORY) is not None


@pytest.mark.parametrize("rows", [[Row(("a",), 1, 2, 7.0)], LATER[:2]], ids=["one", "two"])
def test_columns_are_not_used_for_a_restored_backup_with_other_runs(tmp_path: Path, rows: Sequence[Row]) -> None:
    """The other way has as many runs and rows as the one that the columns were made from."""
    store, file = duckdb_store(tmp_path), tmp_path / ".featurestore" / "history.duckdb"
    learn(store, "run-1", {VERSION: EARLY})
    shutil.copy(file, tmp_path / "backup")
    learn(store, "run-2", {VERSION: [Row(("c",), at, 2, 4.0) for at in range(len(rows))]})
    before = check_held(tmp_path, store, VERSION)
    shutil.copy(tmp_path / "backup", file)
    (tmp_path / ".featurestore" / "history.json").unlink()  # the older one is meant
    learn(store, "run-2-again", {VERSION: rows})
    after = check_held(tmp_path, store, VERSION)
    assert (before.mark.rows, before.mark.run_seq) == (after.mark.rows, after.mark.run_seq)


def test_columns_of_an_old_store_are_not_used_for_a_new_one(tmp_path: Path) -> None:
    for value in (1.0, 2.0):
        store = duckdb_store(tmp_path)
        learn(store, "run-1", {VERSION: [Row(("a",), 1, 1, value)]})
        check_held(tmp_path, store, VERSION)
        shutil.rmtree(tmp_path / ".featurestore")


def damage_size(folder: Path) -> None:
    with (folder / "0" / "computed_at.npy").open("ab") as file:
        file.write(b"x")


def lose_a_file(folder: Path) -> None:
    (folder / "0" / "value.arrow").unlink()


def write_nonsense(folder: Path) -> None:
    (folder / "stamp.json").write_text("[]")


def make_newer(folder: Path) -> None:
    stamp = folder / "stamp.json"
    stamp.write_text(stamp.read_text().replace(f'"format": {FORMAT}', f'"format": {FORMAT + 1}'))


@pytest.mark.parametrize("harm", [damage_size, lose_a_file, write_nonsense, make_newer])
def test_damaged_columns_are_made_again(tmp_path: Path, harm: object) -> None:
    store = duckdb_store(tmp_path)
    learn(store, "run-1", {VERSION: EARLY})
    check_held(tmp_path, store, VERSION)
    (generation,) = folder_of(tmp_path, VERSION).iterdir()
    harm(generation)  # type: ignore[operator]
    check_held(tmp_path, store, VERSION)
    assert not generation.exists()


@pytest.mark.parametrize("name", ["entities.arrow", "offsets.npy", "computed_at.npy", "run_seq.npy", "value.arrow"])
def test_columns_with_other_bytes_are_made_again(tmp_path: Path, name: str) -> None:
    """A bit that has flipped in any place is noticed before the bytes are read as what they may be no more."""
    store = duckdb_store(tmp_path)
    learn(store, "run-1", {VERSION: EARLY})
    check_held(tmp_path, store, VERSION)
    folder = folder_of(tmp_path, VERSION)
    for step in range(7):
        (generation,) = folder.iterdir()
        path = generation / "0" / name
        harmed = bytearray(path.read_bytes())
        harmed[len(harmed) * step // 7] ^= 4
        path.write_bytes(harmed)
        assert has_damage(folder, VERSION)
        check_held(tmp_path, store, VERSION)
        assert not has_damage(folder, VERSION)


def test_a_stamp_with_other_numbers_is_not_believed(tmp_path: Path) -> None:
    store = duckdb_store(tmp_path)
    learn(store, "run-1", {VERSION: EARLY})
    check_held(tmp_path, store, VERSION)
    (generation,) = folder_of(tmp_path, VERSION).iterdir()
    stamp = generation / "stamp.json"
    stamp.write_text(stamp.read_text().replace('"rows": 2', '"rows": 3'))
    assert has_damage(folder_of(tmp_path, VERSION), VERSION)
    check_held(tmp_path, store, VERSION)


def test_columns_that_were_copied_are_used(tmp_path: Path) -> None:
    store = duckdb_store(tmp_path)
    learn(store, "run-1", {VERSION: EARLY})
    check_held(tmp_path, store, VERSION)
    for path in folder_of(tmp_path, VERSION).rglob("*.npy"):
        path.touch()
    mark = store.mark(VERSION)
    assert mark is not None
    assert find_columns(tmp_path, VERSION, mark, MEMORY) is not None


def test_a_refresh_reports_that_columns_cant_be_written(tmp_path: Path) -> None:
    store = duckdb_store(tmp_path)
    learn(store, "run-1", {VERSION: EARLY})
    mark = store.mark(VERSION)
    assert mark is not None
    (tmp_path / "columns").write_text("a file where the folder would be")
    assert not refresh_columns(tmp_path, store, VERSION, mark, MEMORY)


def test_columns_have_no_rows_beyond_the_mark(tmp_path: Path) -> None:
    store = duckdb_store(tmp_path)
    learn(store, "run-1", {VERSION: EARLY})
    mark = store.mark(VERSION)
    assert mark is not None
    learn(store, "run-2", {VERSION: LATER})
    assert refresh_columns(tmp_path, store, VERSION, mark, MEMORY)
    found = find_columns(tmp_path, VERSION, mark, MEMORY)
    assert found is not None
    assert rows_of(found, VERSION).equals(store.scan(VERSION, up_to_run=1))


def test_ties_are_sorted_by_run_and_composite_keys_are_not_mixed(tmp_path: Path) -> None:
    version = Case(SHELF, "list[float]", (), (), ()).version
    rows = [Row((1, "a"), 0, run, [float(run)]) for run in range(1, 5)] + [Row((1, "A"), 0, 2, [None])]
    found = refresh(tmp_path, memory_store({version: rows[::-1]}, (1, 2, 3, 4)), version)
    assert found is not None
    assert rows_of(found, version).equals(history_frame(version, rows))


def test_times_too_far_apart_to_merge_with_the_entity_are_sorted_all_the_same(tmp_path: Path) -> None:
    keys, ats = [f"{number:02}" for number in range(60, 20, -1)], (10**17, -(5 * 10**16), 5, 2 * 10**17)
    assert len(keys) * (max(ats) - min(ats)) >= 2**63, "one number would hold both"
    rows = [Row((key,), at, run, at / 1e15 + run) for run in (1, 2) for key in keys for at in ats]
    store = memory_store({VERSION: rows}, (1, 2))
    found = refresh(tmp_path, store, VERSION)
    assert found is not None
    assert rows_of(found, VERSION).equals(store.scan(VERSION))


def test_features_with_the_same_rows_but_for_values_have_one_layout(tmp_path: Path) -> None:
    store = duckdb_store(tmp_path)
    twin = Case(PATIENT, "int", (), (), ()).version
    other = [Row(row.key, row.at, row.run, 3) for row in EARLY]
    learn(store, "run-1", {VERSION: EARLY})
    first = check_held(tmp_path, store, VERSION)
    second = refresh(tmp_path / "other", memory_store({twin: other}, (1,)), twin)
    assert second is not None
    assert [part.layout for part in first.partitions] == [part.layout for part in second.partitions]


MANY = [Row((f"p{number}",), at, 1, float(at)) for number in range(1_000) for at in range(number % 7 + 1)]


def test_a_history_larger_than_memory_is_partitioned(tmp_path: Path) -> None:
    store = duckdb_store(tmp_path)
    learn(store, "run-1", {VERSION: MANY})
    columns = check_held(tmp_path, store, VERSION, memory=10_000)
    assert len(columns.partitions) > 3
    entities = pl.concat([part.entities() for part in columns.partitions])
    assert sorted(entities["patient_id"]) == sorted({str(row.key[0]) for row in MANY})  # each in one part
    (generation,) = folder_of(tmp_path, VERSION).iterdir()
    numbers = {str(number) for number in range(len(columns.partitions))}
    assert {path.name for path in generation.iterdir()} == {"stamp.json", *numbers}  # nothing of the work is left


def test_a_run_about_few_entities_leaves_the_other_partitions(tmp_path: Path) -> None:
    store = duckdb_store(tmp_path)
    learn(store, "run-1", {VERSION: MANY})
    before = {part.layout for part in check_held(tmp_path, store, VERSION, memory=100_000).partitions}
    assert len(before) > 2
    learn(store, "run-2", {VERSION: [Row(("p7",), -5, 2, 1.0), Row(("new",), 0, 2, 2.0)]})
    after = {part.layout for part in check_held(tmp_path, store, VERSION, memory=100_000).partitions}
    assert 1 <= len(after - before) <= 2


def test_less_memory_makes_smaller_partitions(tmp_path: Path) -> None:
    store = duckdb_store(tmp_path)
    learn(store, "run-1", {VERSION: MANY})
    assert len(check_held(tmp_path, store, VERSION).partitions) == 1
    assert len(check_held(tmp_path, store, VERSION, memory=10_000).partitions) > 3


def test_columns_removed_while_they_are_read_raise_an_error(tmp_path: Path) -> None:
    store = duckdb_store(tmp_path)
    learn(store, "run-1", {VERSION: MANY})
    part = check_held(tmp_path, store, VERSION).partitions[0]
    shutil.rmtree(part.folder)
    for read in (part.entities, part.history, part.values):
        with pytest.raises(ColumnsLostError):
            read()


def refresh_often(folder: Path) -> int:
    """How often what was found was what the store held; in 20 of 40 times another process may have been faster."""
    store = duckdb_store(folder)
    found = (refresh(folder, store, VERSION) is not None for _ in range(40))
    return sum(islice(filter(None, found), 20))


def test_processes_that_make_and_replace_them_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    store = duckdb_store(tmp_path)
    learn(store, "run-0", {VERSION: EARLY})
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        others = [pool.submit(refresh_often, tmp_path) for _ in range(2)]
        for run in range(1, 6):
            learn(store, f"run-{run}", {VERSION: [Row(("a",), 10 + run, run, float(run))]})
        assert [other.result() for other in others] == [20, 20]
    check_held(tmp_path, store, VERSION)


def test_columns_are_not_made_where_they_cant_be_written(tmp_path: Path) -> None:
    assert can_write(tmp_path / "columns" / "a")
    (tmp_path / "file").write_text("")
    assert not can_write(tmp_path / "file" / "a")
