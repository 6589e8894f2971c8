"""Sync: everything learned arrives, nothing goes backwards, and what is lost is found out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from featurestore.config import Project
from featurestore.errors import StoreError
from featurestore.model import StoredVersion
from featurestore.online.contract import OnlineStore
from featurestore.serving.last_sync import FILE as LAST_SYNC
from featurestore.serving.online_tables import OnlineTables
from featurestore.serving.reader import Reader
from featurestore.workflows.sync import Mode, SyncResult, sync
from tests.often import examples
from tests.online.cases import PATIENT, SHELF, Fresh, History, at, make_version

AGE, RISK = make_version("age"), make_version("risk", kind="string")
MONDAY, TUESDAY, SUNDAY = at("2024-01-01"), at("2024-01-02"), at("2023-12-31")
NOW = 1_704_300_000_000_000


def served(project: Project, store: OnlineStore, feature: str, *names: str) -> list[object]:
    rows = Reader(project.name, store).read(PATIENT, [{"patient_id": name} for name in names], [feature], NOW)
    return [row[0].value if row[0].status == "ok" else row[0].status for row in rows]


def bring(history: History, store: OnlineStore, *features: StoredVersion, full: bool = False) -> SyncResult:
    mode: Mode = "full" if full else "incremental"
    return sync(history.project, history.store, store, features or (AGE,), mode)


def written(result: SyncResult) -> dict[str, int]:
    return {feature.name: feature.entities_written for feature in result.features}


def test_the_latest_value_of_each_entity_is_served(history: History, store: OnlineStore, project: Project) -> None:
    history.learn({AGE: [("a", MONDAY, 0.1), ("a", TUESDAY, 0.2), ("b", MONDAY, 0.3)]})
    result = bring(history, store)
    assert written(result) == {"age": 2}
    assert (result.mode, result.features[0].watermark, result.warnings) == ("incremental", 1, ())
    assert served(project, store, "age", "a", "b", "c") == [0.2, 0.3, "missing"]


def test_a_second_sync_writes_nothing(history: History, store: OnlineStore) -> None:
    history.learn({AGE: [("a", MONDAY, 0.1)], RISK: [("a", MONDAY, "high")]})
    bring(history, store, AGE, RISK)
    assert written(bring(history, store, AGE, RISK)) == {"age": 0, "risk": 0}
    assert written(bring(history, store, AGE, RISK, full=True)) == {"age": 0, "risk": 0}


def test_only_what_was_learned_since_is_read(history: History, store: OnlineStore, project: Project) -> None:
    history.learn({AGE: [(f"e{i}", MONDAY, 0.1) for i in range(50)]})
    bring(history, store)
    history.learn({AGE: [("e7", TUESDAY, 0.7)]})
    assert written(bring(history, store)) == {"age": 1}
    assert served(project, store, "age", "e7", "e8") == [0.7, 0.1]


def test_a_late_row_of_a_new_entity_arrives(history: History, store: OnlineStore, project: Project) -> None:
    history.learn({AGE: [("a", TUESDAY, 0.1)]})
    bring(history, store)
    history.learn({AGE: [("b", SUNDAY, 0.2)]})
    bring(history, store)
    assert served(project, store, "age", "b") == [0.2]


def test_a_late_row_does_not_replace_a_newer_one(history: History, store: OnlineStore, project: Project) -> None:
    history.learn({AGE: [("a", TUESDAY, 0.1)]})
    bring(history, store)
    history.learn({AGE: [("a", SUNDAY, 0.2)]})
    assert written(bring(history, store)) == {"age": 0}
    assert served(project, store, "age", "a") == [0.1]


def test_a_correction_at_the_same_time_arrives(history: History, store: OnlineStore, project: Project) -> None:
    history.learn({AGE: [("a", MONDAY, 0.1)]})
    bring(history, store)
    history.learn({AGE: [("a", MONDAY, 0.9)]})
    assert written(bring(history, store)) == {"age": 1}
    assert served(project, store, "age", "a") == [0.9]


def test_a_null_is_served_as_null(history: History, store: OnlineStore, project: Project) -> None:
    history.learn({AGE: [("a", MONDAY, None), ("b", MONDAY, float("nan"))]})
    bring(history, store)
    assert served(project, store, "age", "a") == ["null"]
    assert str(served(project, store, "age", "b")[0]) == "nan"


def test_composite_keys_are_served(history: History, store: OnlineStore, project: Project) -> None:
    stock = make_version("stock", kind="int", entity_type=SHELF)
    history.learn({stock: [("s,1", 7, MONDAY, 3), ("s", 17, MONDAY, 4)]})
    bring(history, store, stock)
    asked: list[dict[str, str | int]] = [{"store": "s", "product": 17}, {"store": "s,1", "product": 7}]
    rows = Reader(project.name, store).read(SHELF, asked, None, NOW)
    assert [row[0].value for row in rows] == [4, 3]


def test_features_about_different_entities_are_written_each(
    history: History, store: OnlineStore, project: Project
) -> None:
    history.learn({AGE: [("a", MONDAY, 0.1), ("b", MONDAY, 0.2)], RISK: [("b", MONDAY, "high")]})
    assert written(bring(history, store, AGE, RISK)) == {"age": 2, "risk": 1}
    assert served(project, store, "risk", "a", "b") == ["missing", "high"]


def test_a_feature_without_history_is_served_as_missing(history: History, store: OnlineStore, project: Project) -> None:
    assert written(bring(history, store)) == {"age": 0}
    assert served(project, store, "age", "a") == ["missing"]


def test_a_dry_run_counts_and_writes_nothing(history: History, store: OnlineStore) -> None:
    history.learn({AGE: [("a", MONDAY, 0.1)]})
    result = sync(history.project, history.store, store, [AGE], dry_run=True)
    assert (written(result), result.dry_run) == ({"age": 1}, True)
    assert store.table("active") == store.table("meta") == {}


def test_a_full_sync_removes_what_the_history_has_no_more(
    history: History, store: OnlineStore, project: Project
) -> None:
    history.learn({AGE: [("a", MONDAY, 0.1), ("b", MONDAY, 0.2)]})
    bring(history, store)
    emptied = History(replace(project, root=project.root / "other"))
    emptied.project.root.mkdir()
    emptied.learn({AGE: [("a", MONDAY, 0.1)]})
    result = sync(project, emptied.store, store, [AGE], "full")
    assert written(result) == {"age": 1}
    assert served(project, store, "age", "a", "b") == [0.1, "missing"]
    assert OnlineTables(store).markers().versions[AGE.id].count == 1


def test_a_new_version_is_loaded_then_served(history: History, store: OnlineStore, project: Project) -> None:
    history.learn({AGE: [("a", MONDAY, 0.1)]})
    bring(history, store)
    two = make_version("age", 2, kind="int")
    history.learn({two: [("a", MONDAY, 5)]})
    assert written(bring(history, store, two)) == {"age": 1}
    assert served(project, store, "age", "a") == [5]
    assert served(project, store, "age@1", "a") == [0.1]


def test_versions_neither_active_nor_previous_are_removed(
    history: History, store: OnlineStore, project: Project
) -> None:
    for number in (1, 2, 3):
        version = make_version("age", number)
        history.learn({version: [("a", MONDAY, number / 10)]})
        bring(history, store, version)
    fields = [set(stored) for batch in store.scan("patient") for _, stored in batch]
    assert [len(stored) for stored in fields] == [2]
    assert served(project, store, "age@2", "a") == [0.2]


def test_a_checkout_that_is_behind_does_not_step_back(history: History, store: OnlineStore, project: Project) -> None:
    two = make_version("age", 2)
    history.learn({AGE: [("a", MONDAY, 0.1)], two: [("a", MONDAY, 0.2)]})
    bring(history, store, AGE)
    bring(history, store, two)
    history.learn({two: [("a", TUESDAY, 0.22)]})
    result = bring(history, store, AGE)
    assert result.refused == ("age",)
    assert "promote age 1" in result.warnings[0]
    assert [(feature.version, feature.entities_written) for feature in result.features] == [(2, 1)]
    assert served(project, store, "age", "a") == [0.22]


def test_promote_steps_back_at_once(history: History, store: OnlineStore, project: Project) -> None:
    two = make_version("age", 2)
    history.learn({AGE: [("a", MONDAY, 0.1)], two: [("a", MONDAY, 0.2)]})
    bring(history, store, AGE)
    bring(history, store, two)
    history.learn({AGE: [("a", TUESDAY, 0.11)]})
    result = sync(project, history.store, store, [AGE], promote=True)
    assert result.refused == ()
    assert served(project, store, "age", "a") == [0.11]
    assert served(project, store, "age@2", "a") == [0.2]


def test_the_previous_version_stays_up_to_date(history: History, store: OnlineStore, project: Project) -> None:
    two = make_version("age", 2)
    history.learn({AGE: [("a", MONDAY, 0.1)], two: [("a", MONDAY, 0.2)]})
    bring(history, store, AGE)
    bring(history, store, two)
    history.learn({AGE: [("a", MONDAY, None)]}, op=1)
    result = bring(history, store, two)
    assert [feature.version for feature in result.features] == [2]
    assert served(project, store, "age@1", "a") == ["missing"]
    assert served(project, store, "age", "a") == [0.2]


def test_two_branches_do_not_fight_over_the_pointer(history: History, store: OnlineStore, project: Project) -> None:
    mine, theirs = make_version("age", 2), replace(make_version("age", 3), number=2)
    history.learn({mine: [("a", MONDAY, 0.1)], theirs: [("a", MONDAY, 0.2)]})
    moves = [bring(history, store, version).refused for version in (mine, theirs, mine, theirs)]
    assert moves == [(), (), ("age",), ()]
    assert served(project, store, "age", "a") == [0.2]


def test_a_changed_max_age_reaches_readers_at_the_next_sync(
    history: History, store: OnlineStore, project: Project
) -> None:
    history.learn({AGE: [("a", MONDAY, 0.1)]})
    bring(history, store)
    bring(history, store, replace(AGE, max_age=3_600_000_000))
    assert served(project, store, "age", "a") == ["expired"]


def test_a_reader_follows_the_pointer(history: History, store: OnlineStore, project: Project) -> None:
    history.learn({AGE: [("a", MONDAY, 0.1)]})
    bring(history, store)
    reader = Reader(project.name, store)
    asked = [{"patient_id": "a"}]
    assert reader.read(PATIENT, asked, ["age"], NOW)[0][0].version == 1
    two = make_version("age", 2)
    history.learn({two: [("a", MONDAY, 0.2)], RISK: [("a", MONDAY, "low")]})
    bring(history, store, two, RISK)
    assert reader.read(PATIENT, asked, ["risk"], NOW)[0][0].value == "low"
    assert reader.read(PATIENT, asked, None, NOW)[0][0].version == 2


def forget_everything(store: OnlineStore) -> None:
    """Loses all that a store holds, as a flush does."""
    for table in ("active", "meta"):
        store.swap(table, {}, dict.fromkeys(store.table(table)))
    fields = {int(name) for batch in store.scan("patient") for _, stored in batch for name in stored}
    store.clear("patient", list(fields))


def test_a_store_that_lost_everything_is_filled_again_with_a_warning(
    history: History, store: OnlineStore, project: Project
) -> None:
    history.learn({AGE: [("a", MONDAY, 0.1)], RISK: [("a", MONDAY, "low")]})
    bring(history, store, AGE, RISK)
    forget_everything(store)
    result = bring(history, store, AGE, RISK)
    assert result.warnings == ("the online store has lost data that it had at run 1; doing a full sync of 2 features",)
    assert written(result) == {"age": 1, "risk": 1}
    assert served(project, store, "age", "a") == [0.1]
    assert bring(history, store, AGE, RISK).warnings == ()


def test_a_store_of_another_epoch_is_synced_in_full(history: History, store: OnlineStore, project: Project) -> None:
    history.learn({AGE: [("a", MONDAY, 0.1)]})
    bring(history, store)
    field = OnlineTables(store).markers().versions[AGE.id].field
    assert field is not None
    store.clear("patient", [field])
    store.swap("meta", {}, {"@epoch": "another"})
    result = bring(history, store)
    assert (written(result), len(result.warnings)) == ({"age": 1}, 1)


def test_a_store_set_back_to_an_older_state_is_synced_in_full(history: History, store: OnlineStore) -> None:
    history.learn({AGE: [("a", MONDAY, 0.1)]})
    bring(history, store)
    older = store.table("meta")
    history.learn({AGE: [("a", TUESDAY, 0.2)]})
    bring(history, store)
    store.swap("meta", {}, older)
    assert len(bring(history, store).warnings) == 1


def test_without_a_memory_the_markers_are_trusted(history: History, store: OnlineStore, project: Project) -> None:
    history.learn({AGE: [("a", MONDAY, 0.1)]})
    bring(history, store)
    (project.state / LAST_SYNC).write_text("not json")
    result = bring(history, store)
    assert (written(result), result.warnings) == ({"age": 0}, ())


def test_a_history_that_is_behind_is_refused_until_it_replaces(
    history: History, store: OnlineStore, project: Project
) -> None:
    history.learn({AGE: [("a", MONDAY, 0.1)]})
    history.learn({AGE: [("a", TUESDAY, 0.2), ("b", TUESDAY, 0.3)]})
    bring(history, store)
    restored = History(replace(project, root=project.root / "restored"))
    restored.project.root.mkdir()
    restored.learn({AGE: [("a", MONDAY, 0.1)]})
    with pytest.raises(StoreError, match="run 2 is online already"):
        sync(project, restored.store, store, [AGE])
    sync(project, restored.store, store, [AGE], "full")
    assert served(project, store, "age", "a", "b") == [0.1, "missing"]
    assert [len(stored) for batch in store.scan("patient") for _, stored in batch] == [1]
    assert written(sync(project, restored.store, store, [AGE])) == {"age": 0}


def test_what_was_erased_gives_way_to_an_earlier_row_that_came_after(
    history: History, store: OnlineStore, project: Project
) -> None:
    history.learn({AGE: [("a", TUESDAY, 0.2), ("b", MONDAY, 0.3)]})
    bring(history, store)
    frame = history.rows.frames[AGE.id]
    history.rows.frames[AGE.id] = frame.filter(frame["patient_id"] != "a")
    history.rows.store_id = "the history without a"
    history.learn({AGE: [("a", MONDAY, 0.1)]})
    assert "erased" in bring(history, store).warnings[0]
    assert served(project, store, "age", "a", "b") == [0.1, 0.3]
    assert [len(stored) for batch in store.scan("patient") for _, stored in batch] == [1, 1]
    assert bring(history, store).entities_written == 0


def test_an_abandoned_load_is_swept_away(history: History, store: OnlineStore, project: Project) -> None:
    tables = OnlineTables(store)
    tables.begin()
    field = tables.reserve({RISK.id: "patient"}, now=0)[RISK.id]
    store.load([pl.DataFrame({"key": [f"fs1:{project.name}:patient:a"], str(field): [b"x" * 17]})])
    history.learn({AGE: [("a", MONDAY, 0.1)]})
    bring(history, store)
    assert tables.markers().reservations == {}
    assert store.fetch([f"fs1:{project.name}:patient:a"], [field])[1] == [[None]]


def test_whoever_loads_second_adds_to_the_first_load(history: History, store: OnlineStore, project: Project) -> None:
    history.learn({AGE: [("a", MONDAY, 0.1)]})

    class Slow:
        """A store under which another sync finishes just before the first load is published."""

        def __init__(self) -> None:
            self.raced = False

        def __getattr__(self, name: str) -> object:
            return getattr(store, name)

        def load(self, batches: Iterable[pl.DataFrame]) -> None:
            store.load(batches)
            if not self.raced:
                self.raced = True
                history.learn({AGE: [("a", TUESDAY, 0.2)]})
                bring(history, store)

    result = sync(project, history.store, Slow(), [AGE])  # type: ignore[arg-type]
    assert result.features[0].name == "age"
    assert served(project, store, "age", "a") == [0.2]
    assert [len(stored) for batch in store.scan("patient") for _, stored in batch] == [1]
    assert OnlineTables(store).markers().reservations == {}


@settings(max_examples=examples(12), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    runs=st.lists(
        st.lists(
            st.tuples(st.sampled_from("abc"), st.integers(1, 4), st.none() | st.floats(0, 1)),
            min_size=1, max_size=4, unique_by=lambda row: row[:2],
        ),
        min_size=1, max_size=4,
    ),
    syncs=st.lists(st.booleans(), min_size=4, max_size=4),
)  # fmt: skip
def test_after_any_runs_and_syncs_serving_equals_history(
    fresh: Fresh, runs: list[list[tuple[str, int, float | None]]], syncs: list[bool]
) -> None:
    project, store = fresh()
    history = History(project)
    for rows, full in zip(runs, syncs, strict=False):
        history.learn({AGE: [(name, datetime(2024, 1, day), value) for name, day, value in rows]})
        bring(history, store, full=full)
    latest = history.store.latest(AGE)
    expected = {name: "null" if value is None else value for name, value in latest["patient_id", "value"].iter_rows()}
    assert served(project, store, "age", *"abc") == [expected.get(name, "missing") for name in "abc"]
