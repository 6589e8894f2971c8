"""One attempt of a sync: write the values that are missing, publish their markers, switch the pointers, sweep.

Another writer makes a compare-and-set fail, and the attempt with it; then everything is looked at and done again. So
does a server that restarts meanwhile, since it may have lost what was written after its last save.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from typing import TYPE_CHECKING

from featurestore import times
from featurestore.errors import CancelledError, StoreError
from featurestore.frozen import frozen
from featurestore.model import StoredVersion, VersionId
from featurestore.offline.contract import OfflineStore
from featurestore.online.contract import WriteCounts
from featurestore.online.tables import Marker, version_entry
from featurestore.serving.last_sync import LastSync, read_last_sync, write_last_sync
from featurestore.serving.online_tables import OnlineTables, is_abandoned
from featurestore.serving.ownership import check_owner
from featurestore.serving.plan import Situation, SyncPlan, Task, beside, plan_sync, repoint, superseded
from featurestore.serving.request import SyncRequest
from featurestore.serving.totals import Totals

if TYPE_CHECKING:
    from featurestore.serving.batches import Partitions


@frozen
class Attempt:
    """What one attempt has seen and planned. ``epoch`` is the online store's when it began."""

    request: SyncRequest
    totals: Totals
    epoch: str
    seen: Situation
    plan: SyncPlan

    @property
    def tables(self) -> OnlineTables:
        return OnlineTables(self.request.online)

    def count(self) -> None:
        """Counts what `run` would write, and writes nothing."""
        for tasks in _groups(self.plan.tasks):
            due = [task for task in tasks if self._is_due(task)]
            if due:
                self._count(due)

    def run(self) -> bool:
        """Writes, publishes, points and sweeps. False where another writer came between."""
        for tasks in _groups(self.plan.tasks):
            if not self._write(tasks):
                return False
        # Last, when every value is there: readers follow a pointer at once.
        if not self._point():
            return False
        with self.request.offline.reading():
            if history_id(self.request.offline, self.seen.versions) != self.seen.history:
                return False  # a value that was erased meanwhile may just have been written
        return self._sweep()

    def _is_due(self, task: Task) -> bool:
        if task.after_run is None or task.after_run < self.seen.up_to_run or task.due_after is not None:
            return True
        horizon, marker = self.seen.horizons.get(task.version.id), self.seen.markers.versions[task.version.id]
        return horizon is not None and horizon > (marker.horizon or 0)  # a quiet run has moved it

    def _count(self, tasks: Sequence[Task]) -> None:
        for partition in self._partitions(tasks, {task.version.id: 0 for task in tasks}):
            self.request.progress.check()
            for rows in partition:
                self.totals.written[rows.version.id] += rows.frame.height

    def _write(self, tasks: Sequence[Task]) -> bool:
        """Writes tasks of one entity type and one kind, then their markers."""
        due = [task for task in tasks if self._is_due(task)]
        if not due:
            return True
        if not due[0].load:
            return self._write_into(due, {task.version.id: task.field for task in due if task.field is not None})
        fields = self.tables.reserve({task.version.id: task.version.entity_type.name for task in due}, times.now())
        try:
            return self._write_into(due, fields)
        except CancelledError:
            with suppress(StoreError):  # then the sweep has to wait until this process has ended
                self.tables.expire(fields.values())
            raise
        finally:
            self.tables.release(self.epoch, fields.values())

    def _write_into(self, tasks: Sequence[Task], fields: Mapping[VersionId, int]) -> bool:
        from featurestore.serving.batches import Batches
        from featurestore.serving.writing import remove_vanished, write_batches

        request, load = self.request, tasks[0].load
        compared = [fields[task.version.id] for task in tasks if not load and task.after_run is None]
        batches = Batches(
            request.project.name,
            self._partitions(tasks, fields),
            batch_rows=request.sizes.batch_rows,
            progress=request.progress,
            collect_keys=compared,
        )
        counts = write_batches(request.online, batches, load=load)
        removed: Mapping[int, int] = {}
        if compared:
            entity_type = tasks[0].version.entity_type
            removed = remove_vanished(request.online, entity_type, batches.keys, self.seen.up_to_run, request.progress)
        # A server that was restarted or emptied while we wrote may have lost some of it.
        pulse, before = request.online.pulse(), self.seen.pulse
        if (pulse.servers, pulse.contents) != (before.servers, before.contents):
            return False
        published = []
        for task in tasks:
            field = fields[task.version.id]
            written, gone = counts.get(field, WriteCounts()), removed.get(field, 0)
            self.totals.written[task.version.id] += written.written + gone
            published.append(self._publish(task, self._marker(task, field, written.created - gone)))
        return all(published)

    def _partitions(self, tasks: Sequence[Task], fields: Mapping[VersionId, int]) -> Partitions:
        from featurestore.serving.history import HistoryPartitions, Selection

        selections = [
            Selection(task.version, fields[task.version.id], task.after_run, task.due_after) for task in tasks
        ]
        return HistoryPartitions(
            self.request.offline, selections, self.seen.up_to_run, self.seen.now, self.request.sizes
        )

    def _marker(self, task: Task, field: int, count: int) -> Marker:
        """Describes what was written."""
        entity_type, seen, offline, version = (
            task.version.entity_type.name,
            self.seen,
            self.request.offline,
            task.version,
        )
        newest = None  # no row of a window is ahead of its run
        if not version.steps:
            newest = offline.newest(version, after_run=task.after_run, up_to_run=seen.up_to_run)
        return Marker(
            entity_type, field, seen.up_to_run, count, pulse=seen.pulse, history=seen.history,
            run_id=seen.run_ids.get(seen.up_to_run, ""), clock=seen.now, ahead=max(newest or 0, 0),
            horizon=seen.horizons.get(version.id),
        )  # fmt: skip

    def _publish(self, task: Task, marker: Marker) -> bool:
        """Moves the watermark. Where another sync has published a load first, that one stays and ours is removed."""
        if not task.load:
            return self.tables.advance(self.epoch, task.version.id, marker, since=task.after_run or 0)
        if self.tables.publish(self.epoch, task.version.id, marker, replacing=task.field):
            return True
        assert marker.field is not None, "it has just been written to"
        self.tables.abandon(marker.field, marker.entity_type)
        return False

    def _point(self) -> bool:
        markers, pointers = self.tables.markers(), self.tables.pointers()
        updates = []
        for task in self.plan.tasks:
            if task.role in ("previous", "bound"):
                continue
            current = pointers.features.get(task.version.id.feature)
            pointer = repoint(task, markers.versions, current)
            pointer = None if pointer is None else beside(pointer, self.request.bound, markers.versions)
            if pointer is None:
                return False
            if pointer != current:
                updates.append(pointer)
        return not updates or self.tables.point(updates, pointers)

    def _sweep(self) -> bool:
        """Removes values that no reader is served, and records the state of the store. False where it was just lost."""
        left = self.request.left
        self.tables.unpoint(left)
        markers, pointers = self.tables.markers(), self.tables.pointers()
        if markers.epoch != self.epoch:
            return False
        # What is to go is recorded by compare-and-set, together with why: whoever comes after us clears it too.
        bound = {
            VersionId(name, item.sha256) for name, each in self.seen.pointers.features.items() for item in each.bound
        }
        for version, marker in superseded(markers, pointers, left, bound).items():
            self.tables.forget(version, marker)
        for field, reservation in markers.reservations.items():
            if is_abandoned(self.epoch, field, reservation, times.now()):
                self.tables.cancel(field, reservation)
        self.tables.clear(but=pointers.in_use)
        project = self.request.project
        watermarks = {version_entry(version): marker.run_seq for version, marker in markers.versions.items()}
        before = read_last_sync(project)
        last = LastSync(self.epoch, watermarks, before.former)
        if not self.totals.unrepaired and last != before:  # else the loss would not be noticed again
            write_last_sync(project, last)
        return True


def begin(request: SyncRequest, totals: Totals) -> Attempt:
    """Looks at both stores, and plans. The online store gets an epoch, an owner and marks on its shards if it has none.

    Raises ForeignStoreError where it belongs to another history; then nothing was written.
    """
    seen = _look(request)
    _check_owner(request, seen)
    tables = OnlineTables(request.online)
    has_marks = bool(seen.pulse.contents) or seen.pulse.shards == 1
    if not seen.markers.epoch or seen.markers.owner != seen.owner or not has_marks:
        if seen.markers.owner:
            tables.take_over(seen.owner, {version.id.feature for version in seen.versions})
        tables.begin(seen.owner)
        request.online.mark_shards()
        seen = _look(request)
    return _plan(request, totals, seen, seen.markers.epoch)


def preview(request: SyncRequest, totals: Totals) -> Attempt:
    """`begin` for an attempt that only counts: nothing is written."""
    seen = _look(request)
    _check_owner(request, seen)
    return _plan(request, totals, seen, epoch="")


def _plan(request: SyncRequest, totals: Totals, seen: Situation, epoch: str) -> Attempt:
    plan = plan_sync(
        request.versions, seen, full=request.full, promote=request.promote, repair=request.repairs, bound=request.bound
    )
    totals.begin_attempt(plan, seen.up_to_run, repairs=request.repairs)
    return Attempt(request, totals, epoch, seen, plan)


def _check_owner(request: SyncRequest, seen: Situation) -> None:
    if not request.take_over:
        check_owner(request.project, seen.markers.owner, seen.run_ids)


def _look(request: SyncRequest) -> Situation:
    tables, pulse = OnlineTables(request.online), request.online.pulse()
    last = read_last_sync(request.project)
    # First the last sync, then the tables, then the history: whoever writes meanwhile can only be ahead, never behind.
    markers, pointers = tables.markers(), tables.pointers()
    with request.offline.reading():
        learned, versions = request.offline.committed_runs(), request.offline.versions()
        history = history_id(request.offline, versions)
        markers_of = markers.versions.items()
        unclocked = {version for version, marker in markers_of if marker.field is not None and not marker.clock}
        ahead = {version.id: request.offline.newest(version) or 0 for version in versions if version.id in unclocked}
        horizons = {version.id: request.offline.horizon(version.id) for version in versions if version.steps}
    run_ids = {run.run_seq: run.run_id for run in learned}
    # A clock that is behind that of the last sync, on another machine perhaps, takes nothing back.
    now = max([request.now(), *(marker.clock for marker in markers.versions.values())])
    known = {version: horizon for version, horizon in horizons.items() if horizon is not None}
    return Situation(markers, pointers, last, pulse, versions, run_ids, history, now, ahead, known)


def history_id(offline: OfflineStore, versions: Sequence[StoredVersion]) -> str:
    """Changes when the offline store is replaced or anything is erased from it; empty where it has no rows."""
    marks = (offline.mark(version) for version in versions)
    return next((mark.store_id for mark in marks if mark is not None), "")


def _groups(tasks: Sequence[Task]) -> list[list[Task]]:
    """Tasks that can be written together: of one entity type, all of them loads or none, all of them whole or none."""

    def kind(task: Task) -> tuple[str, bool, bool]:
        return task.version.entity_type.name, task.load, task.after_run is None

    return [list(group) for _, group in groupby(sorted(tasks, key=kind), key=kind)]
