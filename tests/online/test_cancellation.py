"""Work that is cancelled, at any step: no watermark is ahead of its values, and the next sync finishes it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from datetime import datetime

import polars as pl
import pytest

from featurestore.errors import CancelledError
from featurestore.online.contract import OnlineStore
from featurestore.progress import Progress
from featurestore.serving.online_tables import OnlineTables
from featurestore.serving.request import SyncSizes
from featurestore.workflows.sync import Mode, sync
from featurestore.workflows.verify.verify import verify
from tests.online.cases import History, make_version

AGE, RISK = make_version("age"), make_version("risk", kind="string")
VERSIONS = (AGE, RISK)
MONDAY, TUESDAY = datetime(2024, 1, 1), datetime(2024, 1, 2)
SMALL = SyncSizes(first_rows=10, most_rows=20, rows_per_sample=1, batch_rows=7)


def cancel_at(step: int) -> Progress:
    """Cancels at the n-th question whether to go on, and never again."""
    questions = itertools.count()
    return Progress(cancelled=lambda: next(questions) == step)


def learn(history: History, day: datetime, people: range) -> None:
    history.learn({
        AGE: [(f"p{n:03d}", day, n / 7) for n in people],
        RISK: [(f"p{n:03d}", day, f"risk {n} {day.day}") for n in people[::2]],
    })  # fmt: skip


def bring(history: History, store: OnlineStore, mode: Mode = "incremental", progress: Progress | None = None) -> int:
    done = sync(history.project, history.store, store, VERSIONS, mode, sizes=SMALL, progress=progress or Progress())
    return done.entities_written


def steps(work: Callable[[Progress], object]) -> Iterable[int]:
    """Runs work cancelled at its first step, its second, and so on, until it gets to its end."""
    for step in range(1_000):
        try:
            work(cancel_at(step))
        except CancelledError:
            yield step
        else:
            return


def differences(history: History, store: OnlineStore) -> int:
    return verify(history.project, history.store, store, VERSIONS).found


def test_a_cancelled_load_serves_nothing_and_is_swept_away(history: History, store: OnlineStore) -> None:
    learn(history, MONDAY, range(60))
    with pytest.raises(CancelledError):
        bring(history, store, progress=cancel_at(4))
    tables = OnlineTables(store)
    assert (tables.markers().versions, tables.pointers().features) == ({}, {})
    assert {reservation.since for reservation in tables.markers().reservations.values()} == {0}, "anybody may sweep it"
    bring(history, store)
    assert tables.markers().reservations == {}
    in_use = {str(marker.field) for marker in tables.markers().versions.values()}
    assert {name for batch in store.scan("patient") for _, values in batch for name in values} == in_use
    assert differences(history, store) == 0


def test_a_load_may_be_cancelled_at_every_step(history: History, store: OnlineStore) -> None:
    learn(history, MONDAY, range(60))
    cancelled = [OnlineTables(store).markers().versions for _ in steps(lambda p: bring(history, store, progress=p))]
    assert len(cancelled) > 10
    assert not any(cancelled)
    assert differences(history, store) == 0


@pytest.mark.parametrize("mode", ["incremental", "full"])
def test_a_merge_may_be_cancelled_at_every_step(history: History, store: OnlineStore, mode: Mode) -> None:
    """What was written stays, but the watermark waits for the rest."""
    learn(history, MONDAY, range(60))
    bring(history, store)
    learn(history, TUESDAY, range(20, 80))
    if mode == "full":
        rows = history.rows.frames[AGE.id]
        history.rows.frames[AGE.id] = rows.filter(pl.col("patient_id") != "p001")
    count = 0
    for _ in steps(lambda progress: bring(history, store, mode, progress)):
        count += 1
        assert {marker.run_seq for marker in OnlineTables(store).markers().versions.values()} <= {1, 2}
        behind = [v for v, marker in OnlineTables(store).markers().versions.items() if marker.run_seq == 1]
        found = verify(history.project, history.store, store, VERSIONS)
        late = {item.version.id for item in found.examples if item.version and item.kind != "unexpected"}
        assert late <= set(behind), "a version that is up to date has all its values"
    assert count > 5
    assert differences(history, store) == 0


def test_a_comparison_and_a_repair_may_be_cancelled_at_every_step(history: History, store: OnlineStore) -> None:
    learn(history, MONDAY, range(60))
    bring(history, store)
    tables = OnlineTables(store)
    store.clear("patient", [tables.pointers().features["age"].field])
    markers = tables.markers()

    def check(progress: Progress, *, fix: bool) -> int:
        return verify(history.project, history.store, store, VERSIONS, fix=fix, progress=progress).found

    assert len(list(steps(lambda progress: check(progress, fix=False)))) > 0
    assert tables.markers() == markers
    assert differences(history, store) == 60
    assert len(list(steps(lambda progress: check(progress, fix=True)))) > 0
    assert differences(history, store) == 0


def test_a_dry_run_may_be_cancelled(history: History, store: OnlineStore) -> None:
    learn(history, MONDAY, range(60))
    with pytest.raises(CancelledError):
        sync(history.project, history.store, store, VERSIONS, dry_run=True, progress=cancel_at(1), sizes=SMALL)
