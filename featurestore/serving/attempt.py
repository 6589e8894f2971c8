"""One attempt of a sync: write the values that are missing, publish their markers, switch the pointers, sweep.

Another writer makes a compare-and-set fail, and the attempt with it; then everything is looked at and done again. So
does a server that restarts meanwhile, since it may have lost what was written after its last save.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from featurestore import times
from featurestore.errors import CancelledError, StoreError
from featurestore.model import StoredVersion, VersionId
from featurestore.offline.contract import OfflineStore
from featurestore.online.contract import WriteCounts
from featurestore.online.tables import Marker, version_entry
from featurestore.serving.last_sync import LastSync, read_last_sync, write_last_sync
from featurestore.serving.online_tables import OnlineTables, is_abandoned
from featurestore.serving.plan import Situation, SyncPlan, Task, plan_sync, repoint, superseded
from featurestore.serving.request import SyncRequest
from featurestore.serving.totals import Totals

if TYPE_CHECKING:
    from featurestore.serving.batches import Partitions


@dataclass(frozen=True, slots=True)
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
        return task.after_run is None or task.after_run < self.seen.up_to_run

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
        # A server that was restarted while we wrote may have lost some of it.
        if request.online.pulse().servers != self.seen.pulse.servers:
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

        selections = [Selection(task.version, fields[task.version.id], task.after_run) for task in tasks]
        return HistoryPartitions(self.request.offline, selections, self.seen.up_to_run, self.request.sizes)

    def _marker(self, task: Task, field: int, count: int) -> Marker:
        """Describes what was written."""
        entity_type, seen = task.version.entity_type.name, self.seen
        return Marker(entity_type, field, seen.up_to_run, count, pulse=seen.pulse, history=seen.history)

    def _publish(self, task: Task, marker: Marker) -> bool:
        """Moves the watermark. Where another sync has published a load first, that one stays and ours is removed."""
        if not task.load:
            return self.tables.advance(self.epoch, task.version.id, marker, since=task.after_run or 0)
        if self.tables.publish(self.epoch, task.version.id, marker, replacing=task.field):
            return True
        assert marker.field is not None, "it has just been written to"
        # In this order: were we to die in between, the next sweep finds the field by its reservation.
        self.request.online.clear(marker.entity_type, [marker.field])
        self.tables.abandon(marker.field)
        return False

    def _point(self) -> bool:
        markers, pointers = self.tables.markers(), self.tables.pointers()
        updates = []
        replaced: dict[str, list[int]] = {}
        for task in self.plan.tasks:
            if task.load and task.field is not None:
                replaced.setdefault(task.version.entity_type.name, []).append(task.field)
            if task.role == "previous":
                continue
            current = pointers.features.get(task.version.id.feature)
            pointer = repoint(task, markers.versions, current)
            if pointer is None:
                return False
            if pointer != current:
                updates.append(pointer)
        if updates and not self.tables.point(updates, pointers):
            return False
        # Readers were served from these fields until now.
        for entity_type, fields in replaced.items():
            self.request.online.clear(entity_type, fields)
        return True

    def _sweep(self) -> bool:
        """Removes values that no reader is served, and records the state of the store. False where it was just lost."""
        markers, pointers = self.tables.markers(), self.tables.pointers()
        if markers.epoch != self.epoch:
            return False
        unused: dict[str, list[int]] = {}
        for version, marker in superseded(markers, pointers).items():
            if marker.field is not None and self.tables.forget(version, marker):
                unused.setdefault(marker.entity_type, []).append(marker.field)
        for field, reservation in markers.reservations.items():
            # By compare-and-set: a load that was published since the markers were read is not ours to clear.
            if is_abandoned(self.epoch, field, reservation, times.now()) and self.tables.cancel(field, reservation):
                unused.setdefault(reservation.entity_type, []).append(field)
        for entity_type, fields in unused.items():
            self.request.online.clear(entity_type, fields)
        project = self.request.project
        watermarks = {version_entry(version): marker.run_seq for version, marker in markers.versions.items()}
        last = LastSync(self.epoch, watermarks)
        if not self.totals.unrepaired and last != read_last_sync(project):  # else the loss would not be noticed again
            write_last_sync(project, last)
        return True


def begin(request: SyncRequest, totals: Totals) -> Attempt:
    """Looks at both stores, and plans. The online store gets an epoch where it has none."""
    epoch = OnlineTables(request.online).begin()
    return _plan(request, totals, epoch)


def preview(request: SyncRequest, totals: Totals) -> Attempt:
    """`begin` for an attempt that only counts: nothing is written."""
    return _plan(request, totals, epoch="")


def _plan(request: SyncRequest, totals: Totals, epoch: str) -> Attempt:
    seen = _look(request)
    plan = plan_sync(request.versions, seen, full=request.full, promote=request.promote, repair=request.repairs)
    totals.begin_attempt(plan, seen.up_to_run, repairs=request.repairs)
    return Attempt(request, totals, epoch, seen, plan)


def _look(request: SyncRequest) -> Situation:
    tables, pulse = OnlineTables(request.online), request.online.pulse()
    last = read_last_sync(request.project)
    # First the last sync, then the tables, then the history: whoever writes meanwhile can only be ahead, never behind.
    markers, pointers = tables.markers(), tables.pointers()
    with request.offline.reading():
        learned, versions = request.offline.committed_runs(), request.offline.versions()
        history = history_id(request.offline, versions)
    return Situation(markers, pointers, last, pulse, versions, learned[-1].run_seq if learned else 0, history)


def history_id(offline: OfflineStore, versions: Sequence[StoredVersion]) -> str:
    """Changes when the offline store is replaced or anything is erased from it; empty where it has no rows."""
    marks = (offline.mark(version) for version in versions)
    return next((mark.store_id for mark in marks if mark is not None), "")


def _groups(tasks: Sequence[Task]) -> list[list[Task]]:
    """Tasks that can be written together: of one entity type, all of them loads or none, all of them whole or none."""

    def kind(task: Task) -> tuple[str, bool, bool]:
        return task.version.entity_type.name, task.load, task.after_run is None

    return [list(group) for _, group in groupby(sorted(tasks, key=kind), key=kind)]
