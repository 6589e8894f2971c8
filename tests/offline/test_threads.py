"""Several threads of one process share a store: every store promises that."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest

from featurestore.config import DriftSettings, Project
from featurestore.errors import StoreError
from featurestore.offline.contract import OfflineStore
from featurestore.offline.duckdb.gate import Gate, GateTimeoutError
from featurestore.offline.duckdb.store import DuckDBStore
from tests.offline.history import learn, version

THREADS, RUNS = 4, 6
OF = version("int")


def run_together(*work: Callable[[], object]) -> None:
    """Runs functions in a thread each, all begun at once; raises what one of them raised."""
    begin = threading.Barrier(len(work))

    def start(one: Callable[[], object]) -> None:
        begin.wait()
        one()

    with ThreadPoolExecutor(len(work)) as pool:
        for future in [pool.submit(start, one) for one in work]:
            future.result()


def learn_run(store: OfflineStore, run: int) -> None:
    """Run number ``run`` gives two entities, and one of its own, the number of the run."""
    learn(store, OF, [("a", 0, run), ("b", 0, run), (f"of_{run}", 0, run)], f"r{run}")


def check_snapshot(store: OfflineStore) -> int:
    """What one `reading` sees is one state of the store, and all of it."""
    with store.reading():
        runs = store.committed_runs()
        rows = store.scan(OF)
        latest = store.latest(OF)
        mark = store.mark(OF)
        handed_over = sum(batch.height for batch in store.batches(OF))
    last = runs[-1].run_seq
    assert [item.run_seq for item in runs] == list(range(1, last + 1))
    assert rows.height == handed_over == 3 * last
    assert rows["run_seq"].max() == last
    assert latest.filter(pl.col("patient_id").is_in(["a", "b"]))["value"].to_list() == [last, last]
    assert mark is not None
    assert (mark.run_seq, mark.rows) == (last, 3 * last)
    return last


def test_threads_that_share_a_store_all_read(store: OfflineStore) -> None:
    learn_run(store, 1)

    def read() -> None:
        for _ in range(6):
            assert store.latest(OF)["value"].to_list() == [1, 1, 1]
            assert [run.run_id for run in store.runs()] == ["r1"]
            assert check_snapshot(store) == 1

    run_together(*[read] * THREADS)


def test_a_writer_gets_its_turn_beside_threads_that_never_stop_reading(store: OfflineStore) -> None:
    learn_run(store, 1)
    written = threading.Event()
    seen: list[list[int]] = []

    def read() -> None:
        mine: list[int] = []
        seen.append(mine)
        while not written.is_set():
            mine.append(check_snapshot(store))
        mine.append(check_snapshot(store))

    def write() -> None:
        try:
            for run in range(2, RUNS + 1):
                learn_run(store, run)
        finally:
            written.set()

    run_together(write, *[read] * THREADS)
    for mine in seen:
        assert all(before <= after for before, after in pairwise(mine)), "nobody's view goes back"
        assert mine[-1] == RUNS


def test_what_one_thread_keeps_open_is_its_own(store: OfflineStore) -> None:
    """Each thread's `reading` begins and ends by itself, whatever the others do meanwhile."""
    learn_run(store, 1)
    inside, outside = threading.Barrier(2), threading.Barrier(2)

    def first() -> None:
        with store.reading():
            assert store.latest(OF).height == 3
            inside.wait()
            outside.wait()
            assert store.latest(OF).height == 3

    def second() -> None:
        inside.wait()
        with store.reading():
            assert store.latest(OF).height == 3
        outside.wait()

    run_together(first, second)


def test_batches_may_outlive_what_they_were_begun_in(store: OfflineStore) -> None:
    learn_run(store, 1)
    with store.reading():
        batches = store.batches(OF)
        first = next(batches)
    assert first.height + sum(batch.height for batch in batches) == 3
    batches = store.batches(OF)
    next(batches)
    with store.reading():
        assert list(batches) == []
        assert store.scan(OF).height == 3


def ended_in_another_thread(batches: Iterator[pl.DataFrame]) -> None:
    run_together(lambda: list(batches))


def test_batches_may_be_taken_by_another_thread(store: OfflineStore) -> None:
    learn_run(store, 1)
    batches = store.batches(OF)
    next(batches)
    ended_in_another_thread(batches)
    learn_run(store, 2)
    assert check_snapshot(store) == 2


def test_threads_that_write_take_turns(tmp_path: Path) -> None:
    store = DuckDBStore(Project(tmp_path, "test", {}, {}, DriftSettings()))
    work = [lambda run=run: learn(store, OF, [(f"p{run}", 0, run)], f"r{run}") for run in range(THREADS)]
    run_together(*work)
    assert sorted(run.run_id for run in store.runs()) == [f"r{run}" for run in range(THREADS)]
    assert store.scan(OF).height == THREADS


def test_a_thread_that_would_wait_for_itself_is_told_at_once(tmp_path: Path) -> None:
    store = DuckDBStore(Project(tmp_path, "test", {}, {}, DriftSettings()), patience=1e6)
    learn_run(store, 1)
    with store.reading():
        assert store.latest(OF).height == 3
        with pytest.raises(StoreError, match="held by this process itself"):
            learn_run(store, 2)
    with store.writing("r2"), pytest.raises(StoreError, match="held by this process itself"):
        store.latest(OF)
    learn_run(store, 2)


def test_a_waiting_writer_goes_before_readers_that_come_later() -> None:
    gate, order = Gate(), list[str]()
    reading, done = threading.Event(), threading.Event()

    def early() -> None:
        with gate.reading(60):
            reading.set()
            wait_until(lambda: gate.writers_waiting == 1)
            with gate.reading(60):  # once more in the same thread: it must not wait for the writer
                done.wait()

    def write() -> None:
        reading.wait()
        with gate.writing(60):
            order.append("writer")

    def late() -> None:
        wait_until(lambda: gate.writers_waiting == 1)
        with pytest.raises(GateTimeoutError), gate.reading(0.01):
            pass
        done.set()
        with gate.reading(60):
            order.append("late reader")

    run_together(early, write, late)
    assert order == ["writer", "late reader"]


def wait_until(condition: Callable[[], bool]) -> None:
    while not condition():
        threading.Event().wait(0.001)
