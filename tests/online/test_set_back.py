"""Values are served when their time has come, and a store or a history that was set back is noticed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from featurestore import times
from featurestore.config import Project
from featurestore.errors import ForeignStoreError
from featurestore.model import StoredVersion
from featurestore.online.contract import OnlineStore
from featurestore.online.tables import OWNER, version_entry
from featurestore.serving.online_tables import OnlineTables
from featurestore.serving.plan import describe_lost
from featurestore.serving.reader import Reader
from featurestore.workflows.sync import Mode, SyncResult, sync
from featurestore.workflows.verify.verify import VerifyResult, verify
from tests.online.cases import KINDS, PATIENT, Fresh, History, at, make_version
from tests.services import Server

AGE, RISK = make_version("age"), make_version("risk", kind="string")
MONDAY, TUESDAY, SUNDAY = at("2024-01-01"), at("2024-01-02"), at("2023-12-31")
HOUR = 3_600_000_000
NOON = times.parse_instant("2024-01-01T12:00:00Z")[0]  # of Monday

every_kind = pytest.mark.parametrize("kind", KINDS, indirect=True)


def bring(
    history: History, store: OnlineStore, *features: StoredVersion, mode: Mode = "incremental", now: int | None = None
) -> SyncResult:
    clock = times.now if now is None else lambda: now
    return sync(history.project, history.store, store, features or (AGE,), mode, now=clock)


def check(history: History, store: OnlineStore, *features: StoredVersion, now: int | None = None) -> VerifyResult:
    clock = times.now if now is None else lambda: now
    return verify(history.project, history.store, store, features or (AGE,), now=clock)


def served(
    project: Project, store: OnlineStore, *names: str, feature: str = "age", now: int | None = None
) -> list[object]:
    clock = times.now() if now is None else now
    rows = Reader(project.name, store).read(PATIENT, [{"patient_id": name} for name in names], [feature], clock)
    return [row[0].value if row[0].status == "ok" else row[0].status for row in rows]


def stored_fields(store: OnlineStore) -> set[str]:
    return {name for batch in store.scan("patient") for _, values in batch for name in values}


# --- values that are dated ahead -------------------------------------------------------------------------


@every_kind
def test_a_value_is_served_when_its_time_has_come(history: History, store: OnlineStore, project: Project) -> None:
    history.learn({AGE: [("a", SUNDAY, 0.1), ("a", TUESDAY, 0.2), ("b", TUESDAY, 0.3), ("c", SUNDAY, 0.4)]})
    assert bring(history, store, now=NOON).entities_written == 3
    assert served(project, store, "a", "b", "c", now=NOON) == [0.1, "missing", 0.4]
    assert check(history, store, now=NOON).found == 0
    assert bring(history, store, now=NOON + 11 * HOUR).entities_written == 0
    midnight = NOON + 12 * HOUR
    assert served(project, store, "a", "b", now=midnight - 1) == [0.1, "missing"]
    assert served(project, store, "a", "b", now=midnight) == [0.2, 0.3]
    assert check(history, store, now=midnight).found == 0
    assert bring(history, store, now=midnight).entities_written == 2
    assert served(project, store, "a", "b", "c") == [0.2, 0.3, 0.4]
    assert bring(history, store, now=midnight).entities_written == 0
    assert check(history, store, now=midnight).found == 0


def test_the_time_of_a_value_comes_beside_later_runs(history: History, store: OnlineStore, project: Project) -> None:
    history.learn({AGE: [("a", SUNDAY, 0.1), ("a", TUESDAY, 0.2)]})
    bring(history, store, now=NOON)
    history.learn({AGE: [("b", SUNDAY, 0.3)]})
    assert bring(history, store, now=NOON + HOUR).entities_written == 1
    assert bring(history, store, now=NOON + 12 * HOUR).entities_written == 1
    assert served(project, store, "a", "b") == [0.2, 0.3]


def test_a_full_sync_takes_back_what_is_ahead(history: History, store: OnlineStore, project: Project) -> None:
    history.learn({AGE: [("a", SUNDAY, 0.1), ("b", TUESDAY, 0.2)]})
    bring(history, store, now=NOON)
    bring(history, store, mode="full", now=NOON + HOUR)
    assert served(project, store, "a", "b", now=NOON + HOUR) == [0.1, "missing"]
    assert bring(history, store, mode="full", now=NOON + 24 * HOUR).entities_written == 1
    assert served(project, store, "a", "b") == [0.1, 0.2]


def test_a_clock_that_is_behind_takes_nothing_back(history: History, store: OnlineStore, project: Project) -> None:
    history.learn({AGE: [("a", SUNDAY, 0.1), ("a", MONDAY, 0.2)]})
    bring(history, store, now=NOON)
    yesterday = NOON - 24 * HOUR
    assert bring(history, store, mode="full", now=yesterday).entities_written == 0
    assert check(history, store, now=yesterday).found == 0
    assert served(project, store, "a") == [0.2]


@every_kind
def test_what_an_older_release_served_ahead_of_its_time_is_loaded_anew(
    history: History, store: OnlineStore, project: Project
) -> None:
    history.learn({AGE: [("a", SUNDAY, 0.1), ("a", TUESDAY, 0.2)]})
    bring(history, store, now=NOON + 24 * HOUR)
    forget_new_facts(store)
    assert served(project, store, "a") == [0.2]
    bring(history, store, now=NOON)
    assert served(project, store, "a", now=NOON) == [0.1]
    assert len(stored_fields(store)) == 1


def forget_new_facts(store: OnlineStore, *more: str) -> None:
    """Sets the markers back to what the first release wrote."""
    for entry, text in store.table("meta").items():
        if not entry.startswith("@"):
            data = json.loads(text)
            for name in ("run_id", "clock", "ahead", *more):
                del data[name]
            data["pulse"].pop("contents")
            store.swap("meta", {}, {entry: json.dumps(data)})
    store.swap("meta", {}, {OWNER: None})


def test_markers_of_an_older_release_are_taken_over_once(history: History, store: OnlineStore) -> None:
    history.learn({AGE: [("a", SUNDAY, 0.1)]})
    bring(history, store)
    forget_new_facts(store)
    result = bring(history, store)
    assert (result.entities_written, result.warnings) == (0, ())
    marker = OnlineTables(store).markers().versions[AGE.id]
    assert (marker.run_id, marker.clock > 0) == ("run1", True)
    assert OnlineTables(store).markers().owner == "run1"


def test_facts_of_a_later_release_are_passed_over(history: History, store: OnlineStore, project: Project) -> None:
    history.learn({AGE: [("a", SUNDAY, 0.1)]})
    bring(history, store)
    for table, entry in (("active", "age"), ("meta", version_entry(AGE.id))):
        data = json.loads(store.table(table)[entry])  # type: ignore[arg-type]
        store.swap(table, {}, {entry: json.dumps({**data, "later": 1})})  # type: ignore[arg-type]
    history.learn({AGE: [("a", MONDAY, 0.2)]})
    bring(history, store)
    assert served(project, store, "a") == [0.2]


# --- a history that was set back -------------------------------------------------------------------------


def set_back(history: History, runs: int) -> None:
    """Restores the history as it was after so many runs; what is learned from now on has other ids."""
    rows = history.rows
    rows.frames = {version: frame.filter(frame["run_seq"] <= runs) for version, frame in rows.frames.items()}
    rows.last_run = runs
    rows.first_new_run = runs + 1


@every_kind
@pytest.mark.parametrize("more", [1, 2])
def test_a_history_that_was_set_back_and_went_on_is_loaded_anew(
    history: History, store: OnlineStore, project: Project, more: int
) -> None:
    for run in range(4):
        history.learn({AGE: [(f"p{n}", MONDAY + timedelta(days=run), run + n / 100) for n in range(20)]})
    bring(history, store)
    set_back(history, 4 - more)
    for run in range(more):
        history.learn({AGE: [(f"p{n}", MONDAY + timedelta(hours=run), 9 + n / 100) for n in range(20)]})
    found = check(history, store)
    assert found.counts["different"] >= 1
    assert "set back" in found.examples[0].note
    result = bring(history, store)
    assert result.warnings == (
        "the history was set back: its run 4 is not the one that was synced; doing a full sync of age",
    )
    assert result.entities_written == 20
    assert check(history, store).found == 0
    assert len(stored_fields(store)) == 1
    assert bring(history, store).warnings == ()


def test_verify_repairs_after_a_history_was_set_back(history: History, store: OnlineStore) -> None:
    history.learn({AGE: [("a", MONDAY, 0.1)]})
    history.learn({AGE: [("a", TUESDAY, 0.2), ("b", TUESDAY, 0.3)]})
    bring(history, store)
    set_back(history, 1)
    history.learn({AGE: [("a", MONDAY + timedelta(hours=1), 0.4)]})
    result = verify(history.project, history.store, store, [AGE], fix=True)
    assert (result.counts["different"] > 1, result.left) == (True, 0)
    assert check(history, store).found == 0


# --- what is to be removed -------------------------------------------------------------------------------


class KilledError(BaseException):
    """Nobody catches it, as nobody catches a SIGKILL."""


class Mortal:
    """A store whose user dies at the n-th change to it: before it, or right after it."""

    def __init__(self, store: OnlineStore, steps: int, *, after: bool) -> None:
        self._store, self._steps, self._after = store, steps, after

    def __getattr__(self, name: str) -> object:
        whole = getattr(self._store, name)
        if name not in ("swap", "load", "merge", "discard", "clear", "remove", "mark_shards"):
            return whole

        def step(*arguments: object) -> object:
            self._steps -= 1
            if self._steps == 0 and not self._after:
                raise KilledError
            result = whole(*arguments)
            if self._steps == 0:
                raise KilledError
            return result

        return step


def supersede(history: History) -> None:
    """A third version, so that the first is to be removed, and an erasure, so that the second is loaded anew."""
    history.learn({make_version("age", 3): [("a", TUESDAY, 3.0)], make_version("age", 2): [("b", TUESDAY, 2.0)]})
    history.rows.store_id += " after an erasure"


@every_kind
@pytest.mark.parametrize("after", [False, True])
def test_after_a_kill_at_every_step_the_next_sync_removes_what_is_to_go(fresh: Fresh, after: bool) -> None:
    steps = 0
    while True:
        steps += 1
        project, store = fresh()
        history = History(project)
        for number in (1, 2):
            version = make_version("age", number)
            history.learn({version: [("a", MONDAY, float(number)), ("b", MONDAY, 0.5)]})
            bring(history, store, version)
        supersede(history)
        third = make_version("age", 3)
        try:
            sync(project, history.store, Mortal(store, steps, after=after), [third])  # type: ignore[arg-type]
        except KilledError:
            pass
        else:
            break
        bring(history, store, third)
        markers = OnlineTables(store).markers()
        in_use = {str(marker.field) for marker in markers.versions.values() if marker.field is not None}
        assert stored_fields(store) == in_use
        assert len(in_use) == 2
        assert (markers.clearing, markers.reservations) == ({}, {})
        assert check(history, store, third).found == 0
    assert steps > 8


# --- a store that lost something -------------------------------------------------------------------------


def lost_of(store: OnlineStore) -> str | None:
    return describe_lost(["age"], OnlineTables(store), store.pulse())


@pytest.mark.parametrize("kind", ["cluster"], indirect=True)
@pytest.mark.parametrize("shard", [0, 1, 2])
def test_a_shard_that_was_flushed_is_noticed(
    history: History, store: OnlineStore, cluster: list[Server], project: Project, shard: int
) -> None:
    history.learn({AGE: [(f"p{n}", MONDAY, float(n)) for n in range(100)]})
    bring(history, store)
    assert bring(history, store).warnings == ()
    assert lost_of(store) is None
    cluster[shard].client().flushall()
    assert "lost" in str(lost_of(store)), "what doctor and status say"
    result = bring(history, store)
    assert len(result.warnings) == 1
    assert "lost" in result.warnings[0]
    assert check(history, store).found == 0
    assert bring(history, store).warnings == ()


@pytest.mark.parametrize("kind", ["cluster"], indirect=True)
def test_a_shard_that_is_flushed_during_a_sync_is_noticed(
    history: History, store: OnlineStore, cluster: list[Server]
) -> None:
    history.learn({AGE: [(f"p{n}", MONDAY, float(n)) for n in range(100)]})
    bring(history, store)
    history.learn({AGE: [(f"p{n}", TUESDAY, float(n)) for n in range(100)]})
    merge = store.merge
    flushed: list[object] = []

    def merge_and_flush(batches: object) -> object:
        counts = merge(batches)  # type: ignore[arg-type]
        if not flushed:
            flushed.append(cluster[1].client().flushall())
        return counts

    store.merge = merge_and_flush  # type: ignore[method-assign, assignment]
    bring(history, store)
    bring(history, store)
    assert check(history, store).found == 0


def flush(store: OnlineStore) -> None:
    """Loses all that a store holds."""
    fields = stored_fields(store)
    store.clear("patient", [int(name) for name in fields])
    for table in ("active", "meta"):
        store.swap(table, {}, dict.fromkeys(store.table(table)))


@every_kind
def test_every_value_that_a_flushed_store_lacks_is_counted(history: History, store: OnlineStore) -> None:
    history.learn({AGE: [(f"p{n}", MONDAY, float(n)) for n in range(20)], RISK: [("a", MONDAY, "x")]})
    bring(history, store, AGE, RISK)
    flush(store)
    found = check(history, store, AGE, RISK)
    assert (found.checked, found.counts) == (0, {"missing": 21, "stale": 0, "different": 0, "unexpected": 0})
    assert all(item.key for item in found.examples)
    assert verify(history.project, history.store, store, [AGE, RISK], sample=5).counts["missing"] in (5, 6)
    assert verify(history.project, history.store, store, [AGE, RISK], fix=True).left == 0


# --- whose a store is ------------------------------------------------------------------------------------


@pytest.fixture
def stranger(project: Project, history: History, store: OnlineStore) -> History:
    """Another history of a project of the same name, whose store ours is."""
    history.learn({AGE: [("a", MONDAY, 0.1)], RISK: [("a", MONDAY, "low")]})
    bring(history, store, AGE, RISK)
    other = History(replace(project, root=project.root / "staging"))
    other.project.root.mkdir()
    other.rows.name, other.rows.store_id = "staging", "another history"
    other.learn({AGE: [("a", TUESDAY, 777.0)]})
    return other


def everything(store: OnlineStore) -> list[object]:
    values = sorted((key, sorted(stored.items())) for batch in store.scan("patient") for key, stored in batch)
    return [store.table("active"), store.table("meta"), values]


@every_kind
@pytest.mark.parametrize("mode", ["incremental", "full"])
def test_a_store_of_another_history_is_left_alone(
    history: History, store: OnlineStore, project: Project, stranger: History, mode: Mode
) -> None:
    before = everything(store)
    for dry_run in (False, True):
        with pytest.raises(ForeignStoreError, match="another history") as caught:
            sync(stranger.project, stranger.store, store, [AGE], mode, dry_run=dry_run)
        assert (caught.value.exit_code, "--take-over" in (caught.value.hint or "")) == (3, True)
    assert everything(store) == before
    assert served(project, store, "a") == [0.1]
    assert bring(history, store, AGE, RISK).entities_written == 0


@every_kind
def test_a_store_is_taken_over_when_asked(
    history: History, store: OnlineStore, project: Project, stranger: History
) -> None:
    assert sync(stranger.project, stranger.store, store, [AGE], dry_run=True, take_over=True).entities_written == 1
    assert served(project, store, "a") == [0.1]
    sync(stranger.project, stranger.store, store, [AGE], take_over=True)
    assert served(project, store, "a") == [777.0]
    assert set(OnlineTables(store).pointers().features) == {"age"}
    assert len(stored_fields(store)) == 1
    assert check(stranger, store).found == 0
    with pytest.raises(ForeignStoreError):
        bring(history, store, AGE, RISK)


@pytest.mark.parametrize("after", [False, True])
def test_a_take_over_killed_at_any_step_is_ended_by_the_next(
    fresh: Fresh, after: bool, request: pytest.FixtureRequest
) -> None:
    make: Callable[[Project, History, OnlineStore], History] = stranger.__wrapped__  # type: ignore[attr-defined]
    steps = 0
    while True:
        steps += 1
        project, store = fresh()
        other = make(project, History(project), store)
        try:
            sync(other.project, other.store, Mortal(store, steps, after=after), [AGE], take_over=True)  # type: ignore[arg-type]
        except KilledError:
            pass
        else:
            break
        sync(other.project, other.store, store, [AGE], take_over=True)
        assert served(project, store, "a") == [777.0]
        assert len(stored_fields(store)) == 1
        assert check(other, store).found == 0
    assert steps > 5
