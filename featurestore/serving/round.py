"""One round of a sync: look at the store's tables, write what is missing, publish it, point readers to it.

Whoever changes the store meanwhile makes a compare-and-set fail, and the round is done again. So does a server that
was restarted under it, for it may have lost what was written before its last save.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

from featurestore import times
from featurestore.config import Project
from featurestore.model import StoredVersion, VersionId
from featurestore.offline.contract import OfflineStore
from featurestore.online.contract import Merged, OnlineStore, Pulse
from featurestore.online.tables import Loaded, version_entry
from featurestore.serving.directory import Directory, is_abandoned
from featurestore.serving.memory import Memory, recall, remember
from featurestore.serving.plan import Plan, Situation, Task, decide, repoint, superseded

if TYPE_CHECKING:
    from featurestore.serving.upload import Windows


@dataclass(slots=True)
class Round:
    """One sync under way, repeated as a whole where somebody else got in between; what was written adds up."""

    project: Project
    offline: OfflineStore
    online: OnlineStore
    features: Sequence[StoredVersion]
    full: bool
    promote: bool
    repair: bool
    tell: Callable[[str], None]
    pulse: Pulse = field(default_factory=lambda: Pulse(""))
    up_to_run: int = 0
    history: str = ""
    held: Sequence[StoredVersion] = ()
    written: Counter[VersionId] = field(default_factory=Counter)
    tasks: Sequence[Task] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    lost: Mapping[str, str] = field(default_factory=dict)
    unrepaired: Sequence[str] = ()

    @property
    def warnings(self) -> list[str]:
        """A line for each kind of loss that any round has met, and for each feature that keeps what it serves."""
        return [*_losses(self.lost, repaired=not self.unrepaired), *self.refused.values()]

    @property
    def directory(self) -> Directory:
        return Directory(self.online)

    def preview(self) -> None:
        """Counts what a round would write, and writes nothing."""
        for group in _groups(self._decide().tasks):
            due = [task for task in group if self._due(task)]
            for window in self._windows(due, {task.version.id: 0 for task in due}):
                for column in window:
                    self.written[column.version.id] += column.frame.height

    def run(self) -> bool:
        """Writes, publishes and points. False where somebody else got in between."""
        epoch = self.directory.begin()
        self.pulse = self.online.pulse()
        plan = self._decide()
        for group in _groups(plan.tasks):
            if not self._write(epoch, group):
                return False
        if not self._point(plan):
            return False
        with self.offline.reading():
            if name_of_history(self.offline, self.held) != self.history:
                return False  # what was erased meanwhile may just have been written
        return self._sweep(epoch)

    def _decide(self) -> Plan:
        memory = recall(self.project)  # first the memory, then the tables, then the history: each may be ahead only
        meta, pointers = self.directory.meta(), self.directory.pointers()
        with self.offline.reading():
            learned, self.held = self.offline.learned(), self.offline.versions()
            self.history = name_of_history(self.offline, self.held)
        self.up_to_run = learned[-1].run_seq if learned else 0
        now = Situation(meta, pointers, memory, self.up_to_run, self.pulse, self.history)
        repair = self.repair or self.full
        plan = decide(self.features, self.held, now, full=self.full, promote=self.promote, repair=repair)
        self.tasks, self.refused = plan.tasks, plan.refused
        self.lost = {**plan.lost, **self.lost} if repair else plan.lost
        self.unrepaired = () if repair else tuple(plan.lost)
        return plan

    def _due(self, task: Task) -> bool:
        return task.after_run is None or task.after_run < self.up_to_run

    def _write(self, epoch: str, tasks: Sequence[Task]) -> bool:
        """Writes tasks of one entity type and one kind, then their markers."""
        due = [task for task in tasks if self._due(task)]
        if not due:
            return True
        if not due[0].load:
            return self._write_into(epoch, due, {task.version.id: task.field for task in due if task.field is not None})
        fields = self.directory.reserve({task.version.id: task.version.entity_type.name for task in due}, times.now())
        try:
            return self._write_into(epoch, due, fields)
        finally:
            self.directory.let_go(fields.values())

    def _write_into(self, epoch: str, tasks: Sequence[Task], fields: Mapping[VersionId, int]) -> bool:
        from featurestore.serving.upload import Batches, remove_vanished, upload

        load = tasks[0].load
        whole = [fields[task.version.id] for task in tasks if not load and task.after_run is None]
        batches = Batches(self.project.name, self._windows(tasks, fields), self.tell, remembering=whole)
        merged = upload(self.online, batches, load=load)
        removed: Mapping[int, int] = {}
        if whole:
            removed = remove_vanished(self.online, tasks[0].version.entity_type, batches.keys, self.up_to_run)
        if self.online.pulse().servers != self.pulse.servers:
            return False
        moved = []
        for task in tasks:
            number = fields[task.version.id]
            done, gone = merged.get(number, Merged()), removed.get(number, 0)
            self.written[task.version.id] += done.written + gone
            now = self._marker(task, number, done.created - gone)
            if load:
                moved.append(self._publish(epoch, task, now))
            else:
                moved.append(self.directory.advance(epoch, task.version.id, now, since=task.after_run or 0))
        return all(moved)

    def _windows(self, tasks: Sequence[Task], fields: Mapping[VersionId, int]) -> Windows:
        from featurestore.serving.history import HistoryWindows

        return HistoryWindows(self.offline, tasks, fields, self.up_to_run)

    def _publish(self, epoch: str, task: Task, loaded: Loaded) -> bool:
        """Makes a load the version's own; another sync that was first keeps its load, and ours is removed."""
        if self.directory.publish(epoch, task.version.id, loaded, replacing=task.field):
            return True
        assert loaded.field is not None, "it has just been written to"
        self.online.clear(loaded.entity_type, [loaded.field])
        self.directory.abandon([loaded.field])
        return False

    def _marker(self, task: Task, number: int, count: int) -> Loaded:
        """What was written, from where and to whom."""
        entity_type = task.version.entity_type.name
        return Loaded(entity_type, number, self.up_to_run, count, pulse=self.pulse, history=self.history)

    def _point(self, plan: Plan) -> bool:
        meta, seen = self.directory.meta(), self.directory.pointers()
        updates = []
        replaced: dict[str, list[int]] = {}
        for task in plan.tasks:
            if task.load and task.field is not None:
                replaced.setdefault(task.version.entity_type.name, []).append(task.field)
            if task.aside:
                continue
            current = seen.features.get(task.version.id.feature)
            pointer = repoint(task, meta.loaded, current)
            if pointer is None:
                return False
            if pointer != current:
                updates.append(pointer)
        if updates and not self.directory.point(updates, seen):
            return False
        for entity_type, fields in replaced.items():
            self.online.clear(entity_type, fields)
        return True

    def _sweep(self, epoch: str) -> bool:
        """Removes values that nobody is served, and remembers how the store stands. False where it was just lost."""
        meta, pointers = self.directory.meta(), self.directory.pointers()
        if meta.epoch != epoch:
            return False
        garbage: dict[str, list[int]] = {}
        for version, loaded in superseded(meta, pointers).items():
            if loaded.field is not None and self.directory.forget(version, loaded):
                garbage.setdefault(loaded.entity_type, []).append(loaded.field)
        for field_, loading in meta.loading.items():
            if is_abandoned(field_, loading, times.now()):
                self.directory.abandon([field_])
                garbage.setdefault(loading.entity_type, []).append(field_)
        for entity_type, fields in garbage.items():
            self.online.clear(entity_type, fields)
        watermarks = {version_entry(version): loaded.run_seq for version, loaded in meta.loaded.items()}
        memory = Memory(epoch, watermarks)
        if not self.unrepaired and memory != recall(self.project):  # what was lost must be noticed again
            remember(self.project, memory)
        return True


def name_of_history(offline: OfflineStore, versions: Sequence[StoredVersion]) -> str:
    """What tells a history from another, and from itself before something was erased; empty for an empty one."""
    marks = (offline.mark(version) for version in versions)
    return next((mark.store_id for mark in marks if mark is not None), "")


def _groups(tasks: Sequence[Task]) -> list[list[Task]]:
    """Tasks that can be written together: one entity type, and all of them loads or none."""

    def kind(task: Task) -> tuple[str, bool, bool]:
        return task.version.entity_type.name, task.load, task.after_run is None

    return [list(group) for _, group in groupby(sorted(tasks, key=kind), key=kind)]


def _losses(lost: Mapping[str, str], *, repaired: bool) -> Iterator[str]:
    for reason in dict.fromkeys(lost.values()):
        features = [name for name, why in lost.items() if why == reason]
        names = f"{len(features)} features" if len(features) > 1 else features[0]
        if repaired:
            yield f"{reason}; doing a full sync of {names}"
        else:
            options = " ".join(f"--feature {name}" for name in features)
            yield f"{reason}; nothing was written for {names}: run featurestore sync --full {options}"
