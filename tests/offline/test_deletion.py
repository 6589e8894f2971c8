"""Tombstones and erasure, as every offline store must have them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import polars as pl
import pytest

from featurestore.model import RejectedRow, StoredVersion
from featurestore.offline.contract import TOMBSTONE, VALUE, OfflineStore, Position
from featurestore.tables.types import INSTANT, key_types
from tests.offline.history import PAIR, START, frame, learn, run_of, version

SCORE = version()
STOCK = version("int", PAIR, "stock")


def entities(of: StoredVersion, *ids: tuple[object, ...]) -> pl.DataFrame:
    return pl.DataFrame(list(ids), schema=key_types(of.entity_type), orient="row")


def delete(store: OfflineStore, of: StoredVersion, rows: list[tuple[object, ...]], run_id: str = "gone") -> None:
    """Tombstones at (keys…, day)."""
    with store.writing(run_id) as run:
        run.delete(of, frame(of, [(*row, None) for row in rows]).drop("value"))
        run.finish(run_of((run.run_seq, run.learned_at), run_id))


def erase(store: OfflineStore, of: StoredVersion, *ids: tuple[object, ...]) -> int:
    with store.writing("erased") as run:
        count = run.erase(of, entities(of, *ids))
        for keys in ids:
            run.erase_rejected([str(key) for key in keys])
        run.finish(run_of((run.run_seq, run.learned_at), "erased"))
    return count


def rows(store: OfflineStore, of: StoredVersion) -> list[tuple[object, ...]]:
    """(keys…, day of the month, run_seq, op, value), in order."""
    found = store.scan(of)
    return found.with_columns(pl.col("computed_at").dt.ordinal_day() - 1).rows()


def test_a_tombstone_is_a_row_like_any_other(store: OfflineStore) -> None:
    learn(store, SCORE, [("a", 1, 0.5), ("b", 1, 0.6)], "one")
    delete(store, SCORE, [("a", 1), ("a", 3)])
    assert rows(store, SCORE) == [
        ("a", 1, 1, VALUE, 0.5), ("a", 1, 2, TOMBSTONE, None), ("a", 3, 2, TOMBSTONE, None), ("b", 1, 1, VALUE, 0.6),
    ]  # fmt: skip
    assert store.latest(SCORE)["op"].to_list() == [TOMBSTONE, VALUE]
    assert store.latest(SCORE, after_run=1)["patient_id"].to_list() == ["a"]


@pytest.mark.parametrize(
    "of", [version(kind, name=f"f_{kind[:4]}") for kind in ("string", "date", "list[float]")], ids=str
)
def test_a_tombstone_fits_every_type(store: OfflineStore, of: StoredVersion) -> None:
    learn(store, of, [("a", 1, None)], "one")
    delete(store, of, [("a", 2)])
    assert rows(store, of)[-1] == ("a", 2, 2, TOMBSTONE, None)


def test_what_a_tombstone_took_is_not_written_again(store: OfflineStore) -> None:
    learn(store, SCORE, [("a", 1, 0.5), ("b", 1, 0.6)], "one")
    delete(store, SCORE, [("a", 1)])
    again = learn(store, SCORE, [("a", 1, 0.5), ("b", 1, 0.7), ("a", 2, 0.8)], "two")
    assert (again.new, again.corrected, again.unchanged) == (1, 1, 1)
    assert store.current(SCORE)["op"].to_list() == [TOMBSTONE, VALUE, VALUE]


def test_a_mark_holds_for_versions_to_come_and_rows_to_come(store: OfflineStore) -> None:
    learn(store, SCORE, [("a", 1, 0.5)], "one")
    learn(store, version(digit="b"), [("b", 1, 0.5)], "two")
    of = [version(digit="b"), version(digit="c")]
    with store.writing("marked") as run:
        instant = pl.lit(START + timedelta(days=3)).cast(INSTANT).alias("deleted_at")
        run.mark_deleted(SCORE.entity_type, entities(SCORE, ("a",)).with_columns(instant), "user")
        run.finish(run_of((run.run_seq, run.learned_at), "marked"))
    assert store.deletions(SCORE.entity_type).drop("deleted_at").rows() == [("a", 3, "user")]
    for each, held in zip(of, ([("b", 1, 2, VALUE, 0.5)], []), strict=True):
        written = learn(store, each, [("a", 2, 0.2), ("a", 3, 0.3), ("b", 3, 0.4)], f"late {each.id.short}")
        assert (written.new, written.unchanged, written.deleted) == (2, 1, 1)
        seq = store.committed_runs()[-1].run_seq
        assert rows(store, each) == [
            ("a", 2, seq, VALUE, 0.2), ("a", 3, seq, TOMBSTONE, None), *held, ("b", 3, seq, VALUE, 0.4),
        ]  # fmt: skip
        again = learn(store, each, [("a", 3, 0.3), ("a", 4, 0.5)], f"again {each.id.short}")
        assert (again.new, again.deleted) == (1, 1)
    with store.writing("unmarked") as run:
        run.unmark_deleted(SCORE.entity_type, entities(SCORE, ("a",)))
        run.finish(run_of((run.run_seq, run.learned_at), "unmarked"))
    assert store.deletions(SCORE.entity_type).height == 0


def test_without_times_a_deleted_value_returns_only_when_it_is_another(store: OfflineStore) -> None:
    def write(day: int, value: float, run_id: str) -> int:
        with store.writing(run_id) as run:
            written = run.write_changes(SCORE, frame(SCORE, [("a", day, value)]))
            run.finish(run_of((run.run_seq, run.learned_at), run_id))
        return written.new

    assert write(1, 0.5, "one") == 1
    delete(store, SCORE, [("a", 2)])
    assert write(3, 0.5, "two") == 0
    assert write(4, 0.6, "three") == 1
    assert store.latest(SCORE)["value"].to_list() == [0.6]


def test_erasing_removes_every_row_of_the_entity_and_no_other(store: OfflineStore) -> None:
    learn(store, STOCK, [(1, "x", 1, 3), (1, "y", 1, 4), (2, "x", 1, 5)], "one")
    learn(store, STOCK, [(1, "x", 1, 6), (1, "x", 2, 7)], "two")
    assert erase(store, STOCK, (1, "x"), (9, "z")) == 3
    assert rows(store, STOCK) == [(1, "y", 1, 1, VALUE, 4), (2, "x", 1, 1, VALUE, 5)]
    store.purge()
    assert rows(store, STOCK) == [(1, "y", 1, 1, VALUE, 4), (2, "x", 1, 1, VALUE, 5)]
    assert [run.run_id for run in store.runs()][:1] == ["erased"]
    assert learn(store, STOCK, [(1, "x", 1, 3)], "three").new == 1


def test_an_erasure_makes_another_history_of_it(store: OfflineStore) -> None:
    learn(store, SCORE, [("a", 1, 0.5), ("b", 1, 0.6)], "one")
    before = store.mark(SCORE)
    erase(store, SCORE, ("a",))
    after = store.mark(SCORE)
    assert before is not None
    assert after is not None
    assert before.store_id != after.store_id
    assert after.rows == 1
    store.purge()
    assert store.mark(SCORE) == after


def test_rows_that_were_set_aside_go_with_the_entity(store: OfflineStore) -> None:
    learn(store, SCORE, [("a", 1, 0.5), ('q"uote', 1, 0.5)], "one")
    with store.writing("two") as run:
        run.reject([
            RejectedRow("visits", "v.csv", row, "age", "too old", {"id": name, "age": 500}, f"v.csv row {row}")
            for row, name in enumerate(["a", "ab", 'q"uote'])
        ])  # fmt: skip
        run.finish(run_of((run.run_seq, run.learned_at), "two"))
    erase(store, SCORE, ("a",), ('q"uote',))
    assert [row.values["id"] for row in store.rejected("two")] == ["ab"]


def test_positions_and_rejected_rows_can_do_without_a_name(store: OfflineStore) -> None:
    files = {"v 'zoë'.csv": "aa", "w.csv": "bb"}
    learn(store, SCORE, [("a", 1, 0.5)], "one")
    for run_id in ("two", "three"):
        with store.writing(run_id) as run:
            run.set_position(Position(SCORE.id, "visits", "print", {"files": files}, run.run_seq))
            for source in ("visits", "others"):
                place = "v 'zoë'.csv row 1"
                run.reject([RejectedRow(source, "v 'zoë'.csv", 1, "age", "too old", {"id": "x"}, place)])
            run.finish(run_of((run.run_seq, run.learned_at), run_id))
    found = store.positions_with("v 'zoë'.csv")
    assert [each.run_seq for each in found] == [2, 3]
    assert store.positions_with("zoe") == []
    with store.writing("erased") as run:
        run.replace_position(replace(found[0], cursor={"files": {"gone": "aa"}}))
        run.rename_file("visits", "v 'zoë'.csv", "gone")
        run.finish(run_of((run.run_seq, run.learned_at), "erased"))
    assert [each.run_seq for each in store.positions_with("zoë")] == [3]
    assert store.positions_with("gone") == [replace(found[0], cursor={"files": {"gone": "aa"}})]
    for run_id in ("two", "three"):
        rejected = {row.source: (row.file, row.place) for row in store.rejected(run_id)}
        assert rejected == {"visits": ("gone", "gone row 1"), "others": ("v 'zoë'.csv", "v 'zoë'.csv row 1")}


def test_a_snapshots_deletion_is_taken_back_and_the_value_before_it_answers_again(store: OfflineStore) -> None:
    learn(store, SCORE, [("a", 1, 0.5), ("b", 1, 0.6)], "one")
    instant = pl.lit(START + timedelta(days=3)).cast(INSTANT)
    gone = entities(SCORE, ("a",))
    with store.writing("gone") as run:
        run.mark_deleted(SCORE.entity_type, gone.with_columns(instant.alias("deleted_at")), "snapshot")
        run.delete(SCORE, gone.with_columns(instant.alias("computed_at")))
        run.finish(run_of((run.run_seq, run.learned_at), "gone"))
    with store.writing("back") as run:
        tombstone = gone.with_columns(instant.alias("computed_at"))
        assert run.withdraw(SCORE, tombstone) == 0, "it is no value"
        assert run.withdraw(SCORE, tombstone, of=TOMBSTONE) == 1
        run.mark_returned(SCORE.entity_type, gone)
        assert run.deletions(SCORE.entity_type)["author"].to_list() == ["returned"]
        run.finish(run_of((run.run_seq, run.learned_at), "back"))
    assert store.latest(SCORE)["value"].to_list() == [0.5, 0.6]
    assert store.latest(SCORE)["run_seq"].to_list() == [3, 1]
    again = learn(store, version(digit="d"), [("a", 1, 0.5)], "later version")
    assert (again.new, again.deleted) == (1, 0)
    assert store.latest(version(digit="d"))["op"].to_list() == [VALUE], "the mark holds no more"
