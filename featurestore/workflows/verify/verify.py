"""Is every value online what the history says? One pass over each store, and `fix` mends what is not.

Both stores may be written meanwhile, so what looks wrong is looked at once more before it is told; not where there
are tens of thousands of them, for that is no coincidence.
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

from featurestore.config import Project
from featurestore.errors import StoreError
from featurestore.model import EntityType, StoredVersion
from featurestore.offline.contract import OfflineStore
from featurestore.online import format as layout
from featurestore.online.contract import UNREADABLE, OnlineStore
from featurestore.online.packing import entity_keys, pack_column
from featurestore.serving.history import HistoryWindows
from featurestore.serving.plan import Task
from featurestore.serving.upload import Batches, Column, chunks
from featurestore.tables.temporary import partitioner
from featurestore.tables.types import key_types
from featurestore.workflows.sync import Mode, SyncResult, sync
from featurestore.workflows.verify.compare import (
    Difference,
    Finding,
    Kind,
    Ledger,
    classify,
    frame_of,
    packed_frame,
    strangers,
)
from featurestore.workflows.verify.tables import TableCheck

EXAMPLES = 20
CHUNK = 100_000
ROWS_AT_ONCE = 5_000_000
MOST_SHARES = 200  # open files
LOOKED_AT_AGAIN = 20_000
MENDED_AT_ONCE = 200_000  # differences kept in memory
EVERY_RUN = layout.MAX_RUN_SEQ


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """Counts of values looked at and of what was found; some examples; what mending did."""

    checked: int
    counts: Mapping[Kind, int]
    examples: tuple[Finding, ...]
    fixed: SyncResult | None

    @property
    def found(self) -> int:
        return sum(self.counts.values())


def verify(
    project: Project,
    offline: OfflineStore,
    online: OnlineStore,
    features: Sequence[StoredVersion],
    *,
    everything: bool = True,
    sample: int | None = None,
    fix: bool = False,
    tell: Callable[[str], None] = lambda _line: None,
) -> VerifyResult:
    """Compares what is online of these features: the active versions given, and the previous ones that are kept.

    ``everything`` also finds what belongs to no feature at all. ``sample`` looks at that many entities of each type
    only. What is told is what was found before anything was mended. ``tell`` hears how far it is. Raises StoreError
    where a store fails.
    """
    first = work = _Inspection(project, offline, online, features, everything, sample, fix, tell)
    work.look()
    fixed = work.fix() if fix and work.counts.total() else None
    while fixed is not None and not work.kept_all:
        before = work.counts.total()
        work = _Inspection(project, offline, online, features, everything, sample, fix, tell)
        work.look()
        if not 0 < work.counts.total() < before:
            break
        fixed = work.fix()
    kinds: tuple[Kind, ...] = ("missing", "stale", "different", "unexpected")
    return VerifyResult(first.checked, {kind: first.counts[kind] for kind in kinds}, tuple(first.examples), fixed)


@dataclass(slots=True)
class _Inspection:
    """One look at both stores, and what it takes to mend what was found."""

    project: Project
    offline: OfflineStore
    online: OnlineStore
    features: Sequence[StoredVersion]
    everything: bool
    sample: int | None
    keep: bool
    tell: Callable[[str], None]
    checked: int = 0
    counts: Counter[Kind] = field(default_factory=Counter)
    examples: list[Finding] = field(default_factory=list)
    wrong: list[Difference] = field(default_factory=list)
    unreadable: set[str] = field(default_factory=set)
    tables: TableCheck = field(init=False)

    @property
    def kept_all(self) -> bool:
        """Whether every difference that was found is in memory, to be mended one by one."""
        return len(self.wrong) < MENDED_AT_ONCE

    def look(self) -> None:
        """Compares tables, then values; keeps what is wrong."""
        with self.offline.reading():
            learned, held = self.offline.learned(), self.offline.versions()
        self.tables = TableCheck(self.online, self.features, held, learned[-1].run_seq if learned else 0)
        for found in self.tables.findings:
            self._tell(found)
        for entity_type in self.project.entity_types.values():
            columns = {n: v for n, v in self.tables.comparable.items() if v.entity_type.name == entity_type.name}
            if self.sample is None:
                self._look_at_all(entity_type, columns)
            else:
                self._look_at_some(entity_type, columns, self.sample)

    def fix(self) -> SyncResult:
        """Removes what is wrong, writes what is right, and lets a sync set the tables straight.

        A store that is wrong all over is synced in full; what that leaves has to be looked for again.
        """
        self.tables.mend()
        by_field: dict[str, list[Difference]] = {}
        for difference in self.wrong:
            by_field.setdefault(difference.field, []).append(difference)
        for name, differences in sorted(by_field.items()):  # what is unreadable has no name and goes first
            bad = [item.key for item in differences if item.kind in ("different", "unexpected")]
            if name == UNREADABLE:
                self.online.remove(bad)
            elif bad:
                self.online.discard(name, bad, EVERY_RUN)
            version = self.tables.owners.get(name)
            if version is not None:
                keys = [item.key for item in differences if item.history is not None]
                column = Column(version, int(name), self._latest(version, keys))
                self.online.merge(Batches(self.project.name, [[column]]))
        mode: Mode = "incremental" if self.kept_all else "full"
        return sync(self.project, self.offline, self.online, self.features, mode, tell=self.tell)

    def _look_at_all(self, entity_type: EntityType, columns: Mapping[int, StoredVersion]) -> None:
        """Goes once through each store. Of a history that does not fit into memory, all but a share of the entities
        waits on disk for its turn, in both.
        """
        fields = [str(number) for number in columns]
        rows = sum(mark.rows for version in columns.values() if (mark := self.offline.mark(version)))
        count = min(1 + rows // ROWS_AT_ONCE, MOST_SHARES)
        with partitioner(count) as (history, histories), partitioner(count) as (online, onlines), _set_aside():
            first = map(history.split, self._history(entity_type, columns))
            self._compare(entity_type, _together(fields, first), map(online.split, self._scan(entity_type, fields)))
            for later, found in zip(histories, onlines, strict=True):
                self._compare(entity_type, _together(fields, later.frames()), found.frames())

    def _scan(self, entity_type: EntityType, fields: Sequence[str]) -> Iterator[pl.DataFrame]:
        """The entities as they are online; what of them belongs to nobody is settled on the way."""
        for chunk in chunks(self.online.scan(entity_type.name), CHUNK):
            self.unreadable.update(key for key, held in chunk if UNREADABLE in held)
            yield frame_of(chunk, fields)
            if self.everything:
                self._settle(strangers(chunk, self.tables.taken))

    def _look_at_some(self, entity_type: EntityType, columns: Mapping[int, StoredVersion], sample: int) -> None:
        fields = [str(number) for number in columns]
        some = _together([*fields, "drawn"], [])
        random = np.random.default_rng(secrets.randbits(32))
        for frame in self._history(entity_type, columns):  # those that draw the least of all are a fair sample
            drawn = pl.Series("drawn", random.random(frame.height))
            some = pl.concat([some, frame.with_columns(drawn)], how="vertical_relaxed").bottom_k(sample, by="drawn")
        some = some.drop("drawn")
        keys = some["key"].to_list()
        _, rows = self.online.fetch(keys, list(columns))
        held = [
            (key, {name: packed for name, packed in zip(fields, row, strict=True) if packed is not None})
            for key, row in zip(keys, rows, strict=True)
        ]
        self._compare(entity_type, some, [frame_of(held, fields)])

    def _history(self, entity_type: EntityType, columns: Mapping[int, StoredVersion]) -> Iterator[pl.DataFrame]:
        """What the history says, some entities after others."""
        tasks = [Task(version, load=False, field=number, after_run=None) for number, version in columns.items()]
        numbers = {version.id: number for number, version in columns.items()}
        for window in HistoryWindows(self.offline, tasks, numbers, EVERY_RUN):
            yield packed_frame(self.project.name, entity_type, window)

    def _compare(self, entity_type: EntityType, expected: pl.DataFrame, online: Iterable[pl.DataFrame]) -> None:
        """Compares some entities as they should be with all that there is of them."""
        ledger = Ledger(expected)
        for found in online:
            self._settle(ledger.meet(found))
            self.tell(f"{self.checked + ledger.checked:,} values of {entity_type.name}")
        self._settle(ledger.unmet())
        self.checked += ledger.checked

    def _settle(self, differences: Iterable[Difference]) -> None:
        """Looks once more at what seems wrong, for both stores may have moved; keeps what still is."""
        rest = iter(differences)
        while some := list(islice(rest, LOOKED_AT_AGAIN)):
            coincidence = self.counts.total() + len(some) <= LOOKED_AT_AGAIN
            for item in self._again(some) if coincidence else some:
                self._keep(item)

    def _keep(self, item: Difference) -> None:
        if self.keep and self.kept_all:
            self.wrong.append(item)
        version = self.tables.owners.get(item.field)
        feature = None if version is None else version.id.feature
        note = "" if version is not None else f"field {item.field!r} belongs to no feature"
        self._tell(Finding(item.kind, feature, version, item.key, note, item.online, item.history))

    def _again(self, differences: Sequence[Difference]) -> Iterator[Difference]:
        yield from (item for item in differences if item.key in self.unreadable)
        by_field: dict[str, list[Difference]] = {}
        for item in differences:
            if item.key not in self.unreadable:
                by_field.setdefault(item.field, []).append(item)
        for name, items in by_field.items():
            version = self.tables.owners.get(name)
            if version is None:
                yield from items
                continue
            frame = self._latest(version, [item.key for item in items])
            keys = entity_keys(self.project.name, version.entity_type, frame).to_list()
            expected = dict(zip(keys, pack_column(version, frame).to_list(), strict=True))
            _, rows = self.online.fetch([item.key for item in items], [int(name)])
            for item, (online,) in zip(items, rows, strict=True):
                kind = classify(online, expected.get(item.key))
                if kind is not None:
                    yield Difference(kind, item.key, name, online, expected.get(item.key))

    def _latest(self, version: StoredVersion, keys: Sequence[str]) -> pl.DataFrame:
        """The history's latest row of each of these entities."""
        parts = []
        for key in keys:
            with suppress(StoreError):  # the key of no entity at all
                parts.append(layout.entity_parts(version.entity_type, key))
        wanted = pl.DataFrame(parts, schema=key_types(version.entity_type), orient="row")
        names = list(version.entity_type.key_names)
        return self.offline.scan(version, entities=wanted).unique(names, keep="last", maintain_order=True)

    def _tell(self, finding: Finding) -> None:
        self.counts[finding.kind] += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(finding)


@contextmanager
def _set_aside() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise StoreError(
            f"what is still to be compared can't be set aside: {exc.strerror or exc}",
            hint="free some space where temporary files lie, or name fewer features",
        ) from exc


def _together(fields: Sequence[str], frames: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Frames about different entities as one."""
    kinds = {name: pl.Float64 if name == "drawn" else pl.Binary for name in fields}
    return pl.concat([pl.DataFrame(schema={"key": pl.String, **kinds}), *frames])
