"""A history that does not fit into memory is synced in partitions, and what is served is the same."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from featurestore import times
from featurestore.config import Project
from featurestore.errors import StoreError
from featurestore.model import EntityType
from featurestore.offline.duckdb.store import DuckDBStore
from featurestore.online.contract import OnlineStore, RefusedError
from featurestore.online.redis.bulk import Backlog
from featurestore.online.sqlite import SQLiteStore
from featurestore.progress import Progress
from featurestore.serving.history import HistoryPartitions, Selection
from featurestore.serving.online_tables import OnlineTables
from featurestore.serving.reader import Reader
from featurestore.serving.request import SyncSizes
from featurestore.workflows.sync import SyncResult, sync
from featurestore.workflows.verify.inspection import Inspection, VerifyLimits, VerifyRequest
from featurestore.workflows.verify.verify import verify
from tests.online.cases import PATIENT, History, commit, make_project, make_version

AGE, RISK = make_version("age"), make_version("risk", kind="string")
MONDAY, TUESDAY = datetime(2024, 1, 1), datetime(2024, 1, 2)
SMALL = SyncSizes(first_rows=10, most_rows=40, rows_per_sample=1)
LIMITS = VerifyLimits(sizes=SMALL)


def ages(people: Iterable[int], day: datetime = MONDAY) -> list[tuple[object, ...]]:
    return [(f"p{n:03d}", day, n / 7) for n in people]


def risks(people: Iterable[int], day: datetime = MONDAY) -> list[tuple[object, ...]]:
    return [(f"p{n:03d}", day, f"risk {n}") for n in people]


def wrong(history: History, store: OnlineStore) -> int:
    return verify(history.project, history.store, store, (AGE, RISK), limits=LIMITS).found


def bring(history: History, store: OnlineStore, *, full: bool = False) -> SyncResult:
    return sync(history.project, history.store, store, (AGE, RISK), "full" if full else "incremental", sizes=SMALL)


def test_every_partition_arrives(history: History, store: OnlineStore) -> None:
    history.learn({AGE: ages(range(100)), RISK: risks(range(50, 130))})
    result = bring(history, store)
    assert [item.entities_written for item in result.features] == [100, 80]
    assert wrong(history, store) == 0
    history.learn({AGE: ages(range(0, 100, 2), TUESDAY), RISK: risks(range(120, 200))})
    result = bring(history, store)
    assert [item.entities_written for item in result.features] == [50, 80]
    assert wrong(history, store) == 0


def test_a_full_sync_removes_what_is_in_no_partition(history: History, store: OnlineStore) -> None:
    history.learn({AGE: ages(range(100)), RISK: risks(range(100))})
    bring(history, store)
    rows = history.rows.frames[AGE.id]
    history.rows.frames[AGE.id] = rows.filter(pl.col("patient_id").str.ends_with("5").not_())
    result = bring(history, store, full=True)
    assert [item.entities_written for item in result.features] == [10, 0]
    assert wrong(history, store) == 0


def test_a_dry_run_counts_all_partitions(history: History, store: OnlineStore) -> None:
    history.learn({AGE: ages(range(100)), RISK: risks(range(30))})
    result = sync(history.project, history.store, store, (AGE, RISK), dry_run=True, sizes=SMALL)
    assert [item.entities_written for item in result.features] == [100, 30]


def test_a_load_that_broke_off_begins_with_the_first_partition_again(history: History, store: OnlineStore) -> None:
    history.learn({AGE: ages(range(100)), RISK: risks(range(100))})
    loads: list[int] = []
    load = store.load

    def load_twice(batches: Iterable[pl.DataFrame]) -> None:
        loads.append(sum(batch.height for batch, _ in zip(batches, range(2), strict=False)))
        load(batches)

    store.load = load_twice  # type: ignore[method-assign]
    result = bring(history, store)
    assert 0 < loads[0] < 100
    assert [item.entities_written for item in result.features] == [100, 100], "those of the second attempt only"
    assert wrong(history, store) == 0


def test_a_refusal_reports_how_many_were_written_and_in_which_partition(
    history: History, store: OnlineStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    history.learn({AGE: ages(range(100)), RISK: risks(range(100))})

    def refuse(batches: Iterable[pl.DataFrame]) -> None:
        written = sum(batch.height for batch, _ in zip(batches, range(2), strict=False))
        raise RefusedError("full", where=None, hint=None, written=written)

    monkeypatch.setattr(store, "load", refuse)
    with pytest.raises(StoreError, match=r"^full \(wrote \d+ entities in 3 of \d partitions before that\)"):
        bring(history, store)
    assert OnlineTables(store).markers().versions == {}


class Measured(Inspection):
    """Notes how many entities are compared at a time."""

    def __init__(self, request: VerifyRequest) -> None:
        super().__init__(request)
        self.sizes: list[int] = []

    def compare(self, entity_type: EntityType, history: pl.DataFrame, online: Iterable[pl.DataFrame]) -> None:
        self.sizes.append(history.height)
        super().compare(entity_type, history, online)


def test_verify_compares_one_large_feature_in_partitions(history: History, store: OnlineStore) -> None:
    people = range(1_000)
    history.learn({AGE: ages(people)})
    sync(history.project, history.store, store, (AGE,), sizes=SMALL)
    limits = VerifyLimits(rows=200, sizes=SMALL)
    inspection = Measured(VerifyRequest(history.project, history.store, store, (AGE,), limits=limits))
    inspection.run()
    assert inspection.found == 0
    assert sum(inspection.sizes) == 1_000
    assert max(inspection.sizes) < 350
    scanned = [key for batch in store.scan("patient") for key, _ in batch]
    store.remove(scanned[:300])
    store.remove([key for key in scanned if key.endswith("p999")])
    missing = {key for key in [*scanned[:300], f"fs1:{history.project.name}:patient:p999"] if key in scanned}
    found = verify(history.project, history.store, store, (AGE,), limits=limits)
    assert found.counts["missing"] == len(missing)


def test_a_sample_is_drawn_from_all_partitions(history: History, store: OnlineStore) -> None:
    history.learn({AGE: ages(range(300))})
    sync(history.project, history.store, store, (AGE,), sizes=SMALL)
    store.clear("patient", [OnlineTables(store).pointers().features["age"].field])
    met: set[str] = set()
    for _ in range(20):
        found = verify(history.project, history.store, store, (AGE,), sample=15, limits=LIMITS)
        assert found.counts["missing"] == 15
        met |= {str(item.key).rpartition(":p")[2] for item in found.examples if item.key}
    assert sum(int(name) >= 150 for name in met) > 50
    assert sum(int(name) < 150 for name in met) > 50


class Erasing(DuckDBStore):
    """A history from which something is erased between two partitions: at the fourth reading."""

    def __init__(self, project: Project) -> None:
        super().__init__(project)
        self.project, self.depth, self.times = project, 0, 0

    @contextmanager
    def reading(self) -> Iterator[None]:
        if not self.depth:
            self.times += 1
            if self.times == 4:
                with DuckDBStore(self.project).writing("erase") as run:
                    run.erase(AGE, pl.DataFrame({"patient_id": ["p001"]}))
        self.depth += 1
        try:
            with super().reading():
                yield
        finally:
            self.depth -= 1


def test_what_is_erased_between_two_partitions_does_not_stay_online(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    commit(project, AGE, ages(range(200)))
    store = SQLiteStore(project)
    history = Erasing(project)
    result = sync(project, history, store, (AGE,), sizes=SMALL)
    assert history.times > 8, "it was read once more"
    reader = Reader(project.name, store)
    statuses = [
        row[0].status for row in reader.read(PATIENT, [{"patient_id": f"p{n:03d}"} for n in (0, 1)], ["age"], 0)
    ]
    assert statuses == ["ok", "missing"]
    assert result.features[0].entities_written >= 199


def test_runs_are_committed_while_a_sync_is_under_way(tmp_path: Path) -> None:
    """Between two partitions the history can be written, and what is learned then is left for the next sync."""
    project = make_project(tmp_path)
    commit(project, AGE, ages(range(200)))
    lines: list[str] = []

    def report(line: str) -> None:
        if not lines:
            commit(project, AGE, ages(range(150, 250), TUESDAY))
        lines.append(line)

    store = SQLiteStore(project)
    offline = DuckDBStore(project)
    first = sync(project, offline, store, (AGE,), progress=Progress(report), sizes=SMALL)
    assert len(lines) > 3
    assert (first.features[0].entities_written, first.features[0].watermark) == (200, 1)
    second = sync(project, offline, store, (AGE,), sizes=SMALL)
    assert (second.features[0].entities_written, second.features[0].watermark) == (100, 2)
    assert verify(project, offline, store, (AGE,), limits=LIMITS).found == 0


def test_what_waits_to_be_sent_is_bounded() -> None:
    backlog = Backlog(limit=100)
    sizes: list[int] = []

    def buffers() -> Iterator[memoryview]:
        for size in (40, 60, 50, 500, 1, 100):
            yield memoryview(bytes(size))

    def put() -> None:
        for buffer in buffers():
            backlog.put(buffer)
        backlog.put(None)

    thread = threading.Thread(target=put)
    thread.start()
    while (buffer := backlog.take()) is not None:
        assert backlog.bytes <= 100 or backlog.bytes == 500
        sizes.append(len(buffer))
    thread.join()
    assert sizes == [40, 60, 50, 500, 1, 100]


def ages_in_partitions(history: History, *, first: int, most: int) -> HistoryPartitions:
    sizes = SyncSizes(first_rows=first, most_rows=most, rows_per_sample=1)
    return HistoryPartitions(history.store, [Selection(AGE, 1)], up_to_run=1, at=times.now(), sizes=sizes)


def test_entities_of_many_rows_are_read_in_fewer_partitions(history: History, store: OnlineStore) -> None:
    """What a partition takes is by entities, so that ranges are joined where each entity has many rows."""
    days = [datetime(2024, 1, 1 + day) for day in range(20)]
    history.learn({AGE: [row for day in days for row in ages(range(50), day)], RISK: risks(range(50))})
    partitions = ages_in_partitions(history, first=20, most=100)
    heights = [partition[0].frame.height for partition in partitions]
    assert sum(heights) == 50
    assert len(heights) == len(partitions) <= 5, "eleven ranges of a hundred rows or less"
    assert max(heights) <= 100
    bring(history, store)
    assert wrong(history, store) == 0


def test_entities_of_one_row_are_never_read_in_partitions_that_are_larger(history: History) -> None:
    history.learn({AGE: ages(range(400))})
    partitions = ages_in_partitions(history, first=10, most=40)
    heights = [partition[0].frame.height for partition in partitions]
    assert sum(heights) == 400
    assert max(heights) <= 41
