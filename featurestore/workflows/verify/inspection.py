"""One comparison of both stores, and the repair of what it found.

Both stores may be written meanwhile, so an apparent difference is checked once more before it is reported. Tens of
thousands of them are not: those are no coincidence.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import polars as pl

from featurestore import times
from featurestore.config import Project
from featurestore.errors import StoreError, os_reason
from featurestore.frozen import frozen
from featurestore.model import EntityType, StoredVersion
from featurestore.offline.contract import OfflineStore
from featurestore.online import format as layout
from featurestore.online.contract import UNREADABLE, OnlineStore
from featurestore.online.packed_steps import pack_rows
from featurestore.online.packing import entity_keys
from featurestore.progress import SILENT, Progress
from featurestore.serving.batches import Batches, VersionRows
from featurestore.serving.history import HistoryPartitions, Selection, latest_with_steps, with_ahead, with_numbers
from featurestore.serving.online_tables import OnlineTables
from featurestore.serving.ownership import check_owner
from featurestore.serving.request import DEFAULT_SIZES, SyncSizes
from featurestore.serving.writing import join_batches
from featurestore.tables.temporary import partitioner
from featurestore.tables.types import key_types
from featurestore.workflows.sync import Mode, SyncResult, sync
from featurestore.workflows.verify.differences import Difference, Kind, Mismatch
from featurestore.workflows.verify.table_check import TableCheck
from featurestore.workflows.verify.value_check import (
    ValueCheck,
    classify,
    history_frame,
    online_frame,
    unknown_fields,
)

EVERY_RUN = layout.MAX_RUN_SEQ


@frozen
class VerifyLimits:
    """Bounds of what a comparison has in memory at a time.

    ``rows`` of history, ``entities`` of the online store; ``partitions`` bounds the temporary files, since each is
    open. At most ``rechecks`` differences are checked once more, and at most ``fixes`` are remembered to be fixed one
    by one; ``examples`` are reported. ``sizes`` is how the history is read.
    """

    rows: int = 5_000_000
    entities: int = 100_000
    partitions: int = 200
    rechecks: int = 20_000
    fixes: int = 200_000
    examples: int = 20
    sizes: SyncSizes = DEFAULT_SIZES


DEFAULT_LIMITS = VerifyLimits()


def limits_within(memory: int) -> VerifyLimits:
    """The limits for a comparison that may use about so many bytes; no greater than the default ones."""
    sizes = SyncSizes(
        batch_rows=min(DEFAULT_SIZES.batch_rows, memory // 10_000),
        first_rows=min(DEFAULT_SIZES.first_rows, memory // 4_000),
        most_rows=min(DEFAULT_SIZES.most_rows, memory // 2_000),
        rows_per_sample=min(DEFAULT_SIZES.rows_per_sample, memory // 8_000),
    )
    return VerifyLimits(
        rows=min(DEFAULT_LIMITS.rows, memory // 1_000), entities=min(DEFAULT_LIMITS.entities, memory // 10_000),
        sizes=sizes,
    )  # fmt: skip


@frozen
class VerifyRequest:
    """What is compared: the active ``versions``, and the previous ones that are still online.

    ``everything`` also finds values that belong to no feature. ``sample`` compares only that many entities of each
    type. ``fix`` remembers the differences, for `Inspection.fix`. ``now`` is the clock (µs): values that are dated
    later are not expected yet.
    """

    project: Project
    offline: OfflineStore
    online: OnlineStore
    versions: Sequence[StoredVersion]
    everything: bool = True
    sample: int | None = None
    fix: bool = False
    now: Callable[[], int] = times.now
    progress: Progress = SILENT
    limits: VerifyLimits = DEFAULT_LIMITS


@dataclass(slots=True)
class Report:
    """What an inspection has found so far: counts, some examples, and the differences to fix.

    ``fields`` are those in which a value differs; ``unreadable`` are keys under which the store has something that is
    not an entity.
    """

    checked: int = 0
    counts: Counter[Kind] = field(default_factory=Counter)
    examples: list[Mismatch] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    fields: set[str] = field(default_factory=set)
    unreadable: set[str] = field(default_factory=set)


class Inspection:
    """One comparison of both stores. `run` it before anything else."""

    def __init__(self, request: VerifyRequest) -> None:
        self.request = request
        self.report = Report()
        self.tables = self._check_tables()

    @property
    def found(self) -> int:
        return self.report.counts.total()

    @property
    def is_complete(self) -> bool:
        """Whether all differences were remembered, so that they can be fixed one by one."""
        return len(self.report.differences) < self.request.limits.fixes

    def run(self) -> None:
        """Compares the tables, then the values. Raises StoreError where a store fails, CancelledError."""
        for mismatch in self.tables.mismatches:
            self._add(mismatch)
        for entity_type in self.request.project.entity_types.values():
            versions = {n: v for n, v in self.tables.comparable.items() if v.entity_type.name == entity_type.name}
            if self.request.sample is None:
                self._compare_all(entity_type, versions)
            else:
                self._compare_sample(entity_type, versions, self.request.sample)
        for name, mismatch in self.tables.absent.items():
            if name not in self.report.fields:
                self._add(mismatch)

    def fix(self) -> SyncResult:
        """Removes wrong values, writes the history's, and lets a sync write the tables again.

        Where not all differences were remembered, the sync is a full one; what is left then has to be looked for again.
        """
        self.tables.fix()
        by_field: dict[str, list[Difference]] = {}
        for difference in self.report.differences:
            by_field.setdefault(difference.field, []).append(difference)
        for name, differences in sorted(by_field.items()):  # UNREADABLE first: the values below go to the same keys
            self._fix_field(name, differences)
        request = self.request
        mode: Mode = "incremental" if self.is_complete else "full"
        return sync(request.project, request.offline, request.online, request.versions, mode, progress=request.progress)

    def compare(self, entity_type: EntityType, history: pl.DataFrame, online: Iterable[pl.DataFrame]) -> None:
        """Compares what should be online of some entities with all that is online of them."""
        check = ValueCheck(history)
        for frame in online:
            self._add_differences(check.compare(frame))
            self.request.progress(f"{self.report.checked + check.checked:,} values of {entity_type.name}")
        self._add_differences(check.rest())
        self.report.checked += check.checked

    def _check_tables(self) -> TableCheck:
        offline = self.request.offline
        with offline.reading():
            learned, versions = offline.committed_runs(), offline.versions()
        run_ids = {run.run_seq: run.run_id for run in learned}
        check_owner(self.request.project, OnlineTables(self.request.online).owner(), run_ids)
        return TableCheck(self.request.online, self.request.versions, versions, run_ids, self.request.now())

    def _fix_field(self, name: str, differences: Sequence[Difference]) -> None:
        online, project, progress = self.request.online, self.request.project, self.request.progress
        bad = [item.key for item in differences if item.kind in ("different", "unexpected")]
        if name == UNREADABLE:
            online.remove(bad)
        elif bad:
            online.discard(name, bad, EVERY_RUN)
        version = self.tables.fixable.get(name)
        if version is not None:
            keys = [item.key for item in differences if item.history is not None]
            rows = VersionRows(version, int(name), self._latest(version, keys))
            online.merge(Batches(project.name, [[rows]], progress=progress))

    def _compare_all(self, entity_type: EntityType, versions: Mapping[int, StoredVersion]) -> None:
        """One pass over each store. Of a history that does not fit into memory, all but one partition of the entities
        waits on disk, for both stores.
        """
        fields = [str(number) for number in versions]
        marks = map(self.request.offline.mark, versions.values())
        limits = self.request.limits
        count = min(1 + sum(mark.rows for mark in marks if mark) // limits.rows, limits.partitions)
        with _disk_errors(), partitioner(count) as (history, histories), partitioner(count) as (online, onlines):
            first = map(history.split, self._history(entity_type, versions))
            self.compare(entity_type, _concat(fields, first), map(online.split, self._scan(entity_type, fields)))
            for history_file, online_file in zip(histories, onlines, strict=True):
                self.compare(entity_type, _concat(fields, history_file.frames()), online_file.frames())

    def _compare_sample(self, entity_type: EntityType, versions: Mapping[int, StoredVersion], sample: int) -> None:
        fields = [str(number) for number in versions]
        entities = _concat([*fields, "drawn"], [])
        random = np.random.default_rng(secrets.randbits(32))
        for frame in self._history(entity_type, versions):  # the smallest random numbers of all are a fair sample
            self.request.progress(f"drawing a sample of {entity_type.name}")
            drawn = pl.Series("drawn", random.random(frame.height))
            entities = pl.concat([entities, frame.with_columns(drawn)], how="vertical_relaxed")
            entities = entities.bottom_k(sample, by="drawn")
        entities = entities.drop("drawn")
        keys = entities["key"].to_list()
        _, rows = self.request.online.fetch(keys, list(versions))
        online = [
            (key, {name: packed for name, packed in zip(fields, row, strict=True) if packed is not None})
            for key, row in zip(keys, rows, strict=True)
        ]
        self.compare(entity_type, entities, [online_frame(online, fields)])

    def _history(self, entity_type: EntityType, versions: Mapping[int, StoredVersion]) -> Iterator[pl.DataFrame]:
        """What should be online, partition by partition."""
        clock = self.tables.clock_of
        selections = [Selection(version, number, at=clock(version.id)) for number, version in versions.items()]
        partitions = HistoryPartitions(
            self.request.offline, selections, EVERY_RUN, self.tables.clock, self.request.limits.sizes
        )
        for partition in partitions:
            yield history_frame(self.request.project.name, entity_type, partition)

    def _scan(self, entity_type: EntityType, fields: Sequence[str]) -> Iterator[pl.DataFrame]:
        """What is online, in batches. Values that belong to no version are reported on the way."""
        entities = self.request.online.scan(entity_type.name)
        for batch in join_batches(entities, self.request.limits.entities):
            self.report.unreadable.update(key for key, values in batch if UNREADABLE in values)
            yield online_frame(batch, fields)
            if self.request.everything:
                self._add_differences(unknown_fields(batch, self.tables.taken))

    def _add_differences(self, differences: Iterable[Difference]) -> None:
        """Checks apparent differences once more, since both stores may have changed, and adds those that remain."""
        rest, limit = iter(differences), self.request.limits.rechecks
        while some := list(islice(rest, limit)):
            recheck = self.found + len(some) <= limit
            for item in self._recheck(some) if recheck else some:
                self._add_difference(item)

    def _add_difference(self, item: Difference) -> None:
        self.report.fields.add(item.field)
        if self.request.fix and self.is_complete:
            self.report.differences.append(item)
        version = self.tables.owners.get(item.field)
        feature = None if version is None else version.id.feature
        note = f"field {item.field!r} belongs to no feature" if version is None else _note(version, item)
        self._add(Mismatch(item.kind, feature, version, item.key, note, item.online, item.history))

    def _add(self, mismatch: Mismatch) -> None:
        self.report.counts[mismatch.kind] += 1
        if len(self.report.examples) < self.request.limits.examples:
            self.report.examples.append(mismatch)

    def _recheck(self, differences: Sequence[Difference]) -> Iterator[Difference]:
        unreadable = self.report.unreadable
        yield from (item for item in differences if item.key in unreadable)
        by_field: dict[str, list[Difference]] = {}
        for item in differences:
            if item.key not in unreadable:
                by_field.setdefault(item.field, []).append(item)
        for name, items in by_field.items():
            version = self.tables.owners.get(name)
            if version is None:
                yield from items
                continue
            frame = self._latest(version, [item.key for item in items])
            keys = entity_keys(self.request.project.name, version.entity_type, frame).to_list()
            history = dict(zip(keys, pack_rows(version, frame).to_list(), strict=True))
            _, rows = self.request.online.fetch([item.key for item in items], [int(name)])
            for item, (online,) in zip(items, rows, strict=True):
                kind = classify(online, history.get(item.key))
                if kind is not None:
                    yield Difference(kind, item.key, name, online, history.get(item.key))

    def _latest(self, version: StoredVersion, keys: Sequence[str]) -> pl.DataFrame:
        """The history's latest row of each of these entities whose time has come."""
        entities = []
        for key in keys:
            with suppress(StoreError):  # not the key of an entity
                entities.append(layout.entity_parts(version.entity_type, key))
        wanted = pl.DataFrame(entities, schema=key_types(version.entity_type), orient="row")
        offline = self.request.offline
        if version.steps:
            return latest_with_steps(offline, version, entities=wanted)
        with offline.reading():
            clock = self.tables.clock_of(version.id)
            latest = offline.latest(version, entities=wanted, at=clock)
            latest = with_numbers(latest, offline.committed_runs())
            ahead = offline.scan(version, entities=wanted, dated_after=clock)
            return with_ahead(latest, ahead, version) if ahead.height else latest


def inspect(request: VerifyRequest) -> Inspection:
    """A finished comparison."""
    inspection = Inspection(request)
    inspection.run()
    return inspection


def _note(version: StoredVersion, item: Difference) -> str:
    """What the values themselves don't show: that only what is coming differs."""
    if item.online is None or item.history is None:
        return ""
    kind = version.data_type.kind
    try:
        now, right = layout.unpack(kind, item.online), layout.unpack(kind, item.history)
    except StoreError:
        return ""
    return "its coming steps" if now._replace(until=None) == right._replace(until=None) else ""


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise StoreError(
            f"can't write temporary files for the comparison: {os_reason(exc)}",
            hint="free some space where temporary files are, or name fewer features",
        ) from exc


def _concat(fields: Sequence[str], frames: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Frames about different entities as one."""
    types = {name: pl.Float64 if name == "drawn" else pl.Binary for name in fields}
    return pl.concat([pl.DataFrame(schema={"key": pl.String, **types}), *frames])
