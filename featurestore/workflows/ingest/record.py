"""Records one run: results as they come, then the run itself, in one transaction.

Results are collected until they are large together, so that a small run opens the store once, at its end, and a large
one does not hold all its features in memory.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING

import polars as pl

from featurestore import times
from featurestore.config import Project
from featurestore.drift.assess import Assessment, ReferenceRuns, assess
from featurestore.drift.large import SHARE_OF_MEMORY
from featurestore.drift.measure import LEAST_VALUES
from featurestore.drift.measurer import Measurer
from featurestore.drift.row_values import RowsOnce, RowValues
from featurestore.errors import FeatureError
from featurestore.frozen import frozen
from featurestore.model import (
    FeatureRun,
    FeatureStatus,
    Json,
    Problem,
    RejectedRow,
    Run,
    RunStatus,
    StoredVersion,
    VersionId,
)
from featurestore.offline.contract import OfflineStore, Position, RunTransaction, Written
from featurestore.sources.pinned_types import add_pins
from featurestore.sources.types import is_stream
from featurestore.versioning.folder.observed import read_observed
from featurestore.workflows.drift.reference import MOST_TOGETHER, find_previous, find_reference, pool_runs
from featurestore.workflows.ingest.compare import write_compared, write_parts
from featurestore.workflows.ingest.delays import delay_values
from featurestore.workflows.ingest.evaluating import Comparison
from featurestore.workflows.ingest.events import (
    Came,
    Computed,
    Empty,
    Event,
    Failed,
    Frozen,
    Noticed,
    Present,
    Read,
    Step,
    Unchanged,
)
from featurestore.workflows.ingest.lookalikes import warn_of_held_lookalikes
from featurestore.workflows.ingest.needs import seen_in_vain
from featurestore.workflows.ingest.set_aside import SetAside, reminders
from featurestore.workflows.ingest.snapshots import apply_snapshot, withdraw_tombstones
from featurestore.workflows.ingest.streams import Stream
from featurestore.workflows.ingest.taken import READ_OTHERWISE
from featurestore.workflows.ingest.targets import Target, write_version_files
from featurestore.workflows.ingest.turn import mark_coming
from featurestore.workflows.ingest.write_steps import write_steps
from featurestore.workflows.remarks import observed_remarks, version_remarks

if TYPE_CHECKING:
    from concurrent.futures import Future

PENDING_BYTES = 32_000_000
REFUSED = "refused "


@frozen
class _Measuring:
    """A feature whose values are written and being measured; ``held`` are their bytes in memory."""

    target: Target
    done: FeatureRun
    assessment: Future[Assessment]
    held: int


class Recorder:
    """Takes the events of a run; `commit` ends it. Without `commit` nothing of the run remains.

    What was written is measured while the next features are computed and written.

    ``pending_bytes`` is how much is collected before the store is opened. The values of runs after those of
    ``drift_since`` (run_seq) are judged together with this one's.
    """

    def __init__(
        self,
        project: Project,
        store: OfflineStore,
        run_id: str,
        commit: str | None,
        *,
        measure_drift: bool,
        dry_run: bool,
        full: bool = False,
        step: Step | None = None,
        pending_bytes: int = PENDING_BYTES,
        drift_since: Mapping[VersionId, int] | None = None,
    ) -> None:
        self.run_id, self._commit = run_id, commit
        self.warnings: list[str] = []
        self.reasons: list[str] = []  # those of the warnings that say why a run is partly done
        self.rejected: list[RejectedRow] = []
        self._project, self._store = project, store
        self._measure_drift, self._dry_run, self._pending_bytes = measure_drift, dry_run, pending_bytes
        self._full, self._step = full, step
        self._drift_since = drift_since or {}
        self._along: dict[VersionId, ReferenceRuns | None] = {}
        self._reaches: dict[VersionId, tuple[StoredVersion, int]] = {}
        self.started_at, self._begun = times.now(), time.monotonic()
        self.clock = self.started_at
        self._features: list[FeatureRun] = []
        self._read: list[Read] = []
        self._pending: list[Computed] = []
        self._stored: list[Target] = []
        self._failed: list[Target] = []
        self._left: list[Target] = []  # there was nothing new for them
        self._snapshots: list[Present] = []
        self._undone: list[tuple[pl.DataFrame, Sequence[StoredVersion]]] = []
        self._refused: set[str] = set()  # sources of whose snapshots somebody is gone who was not deleted
        self._versions: list[StoredVersion] = []
        self.came: list[Stream] = []
        self._reactivated: list[Position] = []
        self._set_aside: list[SetAside] = []  # by earlier runs
        self._looked_at: set[tuple[str, str]] = set()  # sources and entity types whose new entities were compared
        self._references: dict[VersionId, tuple[ReferenceRuns | None, ReferenceRuns | None]] = {}
        self._once = RowsOnce()  # features of one source mostly have the same keys and times
        self._stack = ExitStack()
        self._transaction: RunTransaction | None = None
        self._measurer = Measurer()
        self._measuring: deque[_Measuring] = deque()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._measurer.close()
        return self._stack.__exit__(kind, error, trace)

    def begin(self, targets: Sequence[Target]) -> None:
        """Reads the run's clock, and the samples that the targets' versions are compared with, before the store is open
        for writing.
        """
        with self._store.reading():
            self.clock = self._store.next_clock()
            learned = self._store.committed_runs()
            self._versions = self._store.versions()
            for target in targets:
                version = target.version.id
                reference = find_reference(self._store, version, learned)
                before = None if reference else find_previous(self._store, version, learned)
                self._references[version] = (reference, before)
                if self._measure_drift and version in self._drift_since and learned:
                    first, last = self._drift_since[version] + 1, learned[-1].run_seq
                    self._along[version] = pool_runs(self._store, version, learned, first, last, limit=MOST_TOGETHER)
                if self._store.mark(target.version) is None:
                    self._note_reach(target.version)

    def _note_reach(self, version: StoredVersion) -> None:
        """Of a version without values: how far back those of the one before it reach."""
        earlier = [each for each in self._store.versions(version.id.feature) if each.number < version.number]
        if earlier:
            before = max(earlier, key=lambda each: each.number)
            oldest = self._store.oldest(before)
            if oldest is not None:
                self._reaches[version.id] = before, oldest

    def add(self, feature: FeatureRun) -> None:
        """Records a feature that has nothing to store."""
        self._features.append(feature)

    def take(self, event: Event) -> None:
        """Takes one event of `compute`."""
        match event:
            case Read():
                # A source that is read for itself and together with others may be told of twice.
                known = {(row.source, row.place, row.column) for row in self.rejected}
                self.rejected += [row for row in event.rejected if (row.source, row.place, row.column) not in known]
                self.warnings += [line for line in (*event.warnings, *event.lacking) if line not in self.warnings]
                self.reasons += [line for line in event.lacking if line not in self.reasons]
                self._read.append(event)
            case Present():
                self._snapshots.append(event)
            case Came():
                self.came.append(event.stream)
                self.warnings += [*event.stream.fetched.waiting, *event.stream.fetched.notes]
                self.reasons += event.stream.fetched.waiting
            case Empty(target):
                self._features.append(replace(outcome(target, "unchanged"), note="nothing has come of its source yet"))
            case Noticed():
                self.warnings += [line for line in event.warnings if line not in self.warnings]
            case Computed():
                self._pending.append(event)
                size = sum(item.result.frame.estimated_size() for item in self._pending)
                # Once the store is open, it writes beside what is computed next.
                if self._transaction is not None or size > self._pending_bytes:
                    self._write_pending()
            case Unchanged(target):
                self._leave(event, target)
            case Failed():
                self._fail(event, event.problem)

    def _leave(self, event: Unchanged, target: Target) -> None:
        """A target that has nothing new. What was set aside once is said again: it is still missing."""
        self._left.append(target)
        if event.set_aside is not None:
            self._set_aside.append(event.set_aside)
        note = None
        if target.reactivates:
            self._reactivated += event.positions
            note = f"version {target.version.number} is active again"
        if target.new:  # a run that commits nothing writes no version file either
            name = target.version.id.feature
            self.warnings.append(f"{name} has no version file; featurestore lock {name} writes it")
        known = self.clock if self._step is None else min(self.clock, self._step.until - 1)
        horizon = known if target.version.steps else None
        self._features.append(replace(outcome(target, "unchanged"), new_version=False, note=note, horizon=horizon))

    def commit(self) -> Run:
        """Ends the run: everything becomes visible at once. A run with nothing to store is only logged."""
        self.warnings += reminders(self._set_aside)
        self._write_all()
        for pairs, versions in self._undone:
            withdraw_tombstones(self._begin(), pairs, versions)
        if self._transaction is not None and not self._stored:
            self._roll_back()
        if self._reactivated or self._brings_rows():
            self._begin()
        if self._transaction is None:
            run = self._run(None)
            if not self._dry_run and (self._features or self._step is None):
                self._store.log(run, self.rejected)
            return run
        for position in self._reactivated:
            self._transaction.set_position(replace(position, run_seq=self._transaction.run_seq))
        for stream in self.came:
            if stream.moved:
                stream.store(self._transaction)
        run = self._run(self._transaction)
        if not self._dry_run:
            # Before the commit: a crash in between leaves a version file without values, but never values without their
            # code.
            write_version_files(self._project, self._stored, self._commit)
            stored = {source.name for target in self._stored for source in target.feature.reads}
            for read in self._read:
                if read.source.name in stored:
                    self._pin(read)
        self._transaction.reject(self.rejected)
        self._transaction.finish(run)
        self._stack.close()
        return run

    def _pin(self, read: Read) -> None:
        """Pins the types that were found, but for those of columns that nobody saw other than features that failed."""
        vain = seen_in_vain(read.source, read.columns, self._failed, (*self._stored, *self._left))
        found, widened = (
            {name: kind for name, kind in kinds.items() if name not in vain} for kinds in (read.inferred, read.widened)
        )
        add_pins(self._project, read.source, found, widened)

    def _brings_rows(self) -> bool:
        """Whether rows came that are to be stored: not where all features failed, and nothing is."""
        failed = all(item.status == "failed" for item in self._features)
        return any(stream.moved for stream in self.came) and not failed

    def lost(self, targets: Sequence[Target], problem: Problem) -> Run:
        """The run as it is logged after the store refused it: every target failed."""
        self._features = [replace(outcome(target, "failed"), new_version=False, error=problem) for target in targets]
        return self._run(None)

    def _write_pending(self) -> None:
        for present in self._snapshots:
            self._apply(present, self._begin())
        self._snapshots.clear()
        for event in self._pending:
            self._write(event, self._begin())
        self._pending.clear()

    def _write_all(self) -> None:
        self._write_pending()
        if self._transaction is not None:
            self._transaction.begin_writing()
            self._finish_measuring(self._transaction)

    def _apply(self, present: Present, transaction: RunTransaction) -> None:
        """Before the values of the run are written, so that they find who is deleted, and who is not any more."""
        written = [target.version for target in self._stored]
        of_type = [item for item in (*self._versions, *written) if item.entity_type == present.entity_type]
        versions = list({item.id: item for item in of_type}.values())
        done = apply_snapshot(transaction, present, versions)
        if done.undone.height:
            self._undone.append((done.undone, versions))
        self.warnings += done.lines
        if done.refused:
            self._refused.add(present.source.name)
            self.reasons += done.lines

    def _begin(self) -> RunTransaction:
        if self._transaction is None:
            self._transaction = self._stack.enter_context(
                self._store.writing(self.run_id, dry_run=self._dry_run, clock=self.clock)
            )
            for stream in self.came:
                stream.delete(self._transaction)
        return self._transaction

    def _roll_back(self) -> None:
        """Leaves the transaction without a trace, where every feature in it has failed."""
        nothing = FeatureError("nothing to store")
        with suppress(FeatureError):
            self._stack.__exit__(FeatureError, nothing, None)
        self._transaction = None

    def _fail(self, event: Computed | Failed, problem: Problem) -> None:
        self._failed.append(event.target)
        failed = replace(outcome(event.target, "failed"), new_version=False, error=problem)
        self._features.append(replace(failed, rows_read=event.rows_read, rows_rejected=event.rows_rejected))

    def _write(self, event: Computed, transaction: RunTransaction) -> None:
        target, event = event.target, delay_values(event, transaction)
        steps_written = 0
        self._warn_of_lookalikes(event, transaction)
        try:
            if event.steps:
                written, steps_written, rows = self._write_steps(event, transaction)
                withdrawn = 0
            else:
                written, withdrawn, rows = self._write_values(event, transaction)
        except FeatureError as exc:  # the store can't hold a value, and has written nothing of the feature
            self._fail(event, Problem(exc.code, exc.message, exc.where or target.place, exc.hint))
            return
        self._stored.append(target)
        self.warnings += self._remarks(target)
        # A snapshot that was refused is looked at again by the next run, although its files are the same.
        for part in event.positions:
            print_ = REFUSED + part.fingerprint if part.source in self._refused else part.fingerprint
            if event.steps:
                print_ = mark_coming(print_, transaction.first_coming(target.version))
            position = Position(target.version.id, part.source, print_, part.cursor, transaction.run_seq)
            transaction.set_position(position)
        transaction.set_scope(target.version.id, event.scope)
        if event.result.future:
            due = times.format_instant(event.result.due or 0)
            self.warnings.append(
                f"{target.feature.name}: {event.result.future:,} of its values are dated ahead of the clock and were "
                f"left out; a run after {due} takes the first, --allow-future all of them"
            )
        if event.frozen is not None:
            self._note_frozen(target, event.frozen)
        many = _many_corrected(event, written)
        if many is not None:
            self.warnings.append(
                f"{target.feature.name}: {many} were corrected"
                + (
                    f", since its rows are read by other settings, types or keys of {target.feature.source_name} now"
                    if (event.reason or "").endswith(READ_OTHERWISE)
                    else "; does a value depend on rows that come later, as a mean over the whole source does?"
                )
            )
        notes = [f"version {target.version.number} is active again"] if target.reactivates else []
        notes += self._reach(event)
        if written.deleted:
            words = (
                "row was deleted before, and stays" if written.deleted == 1 else "rows were deleted before, and stay"
            )
            notes.append(f"{written.deleted:,} {words} deleted")
        measured = written.new + written.corrected
        changed = measured + withdrawn + steps_written
        done = replace(
            outcome(target, "ok" if changed or target.new else "unchanged"),
            rows_read=event.rows_read, rows_rejected=event.rows_rejected, rows_written=written.new,
            rows_corrected=written.corrected, rows_unchanged=written.unchanged,
            steps_written=steps_written, horizon=event.steps[0].reach.horizon if event.steps else None,
            rows_withdrawn=withdrawn, rows_older=event.rows_older, rows_computed=event.rows_computed,
            scope=event.scope.kind, reason=event.reason,
            note="; ".join(notes) or None,
        )  # fmt: skip
        if not measured:
            self._features.append(done)
            return
        assessment = self._assess(target, rows, transaction.learned_at)
        self._measuring.append(_Measuring(target, done, assessment, rows.values.held))
        self._finish_measuring(transaction, self._project.memory // SHARE_OF_MEMORY)

    def _finish_measuring(self, transaction: RunTransaction, most: int = 0) -> None:
        """Records features that are measured, until the others hold at most so many bytes; all of them with 0."""
        while self._measuring and (not most or sum(each.held for each in self._measuring) > most):
            each = self._measuring.popleft()
            measured = each.assessment.result()
            if measured.sample is not None:
                transaction.store_sample(each.target.version.id, measured.sample)
            if self._measure_drift and _replaces_reference(measured.verdict):
                self.warnings.append(
                    f"{each.target.feature.name}: its reference, run {measured.verdict['reference_run']}, has too few "
                    "values to be compared with; this run is the reference from now on"
                )
            verdict = measured.verdict if self._measure_drift else None
            self._features.append(replace(each.done, drift=verdict, statistics=measured.statistics))

    def _note_frozen(self, target: Target, frozen: Frozen) -> None:
        """Says that rows came too late for values whose other rows are not kept any more."""
        rows = "row that came late lies" if frozen.rows == 1 else "rows that came late lie"
        stream = any(map(is_stream, target.feature.reads))
        line = (
            f"{target.feature.name}: {frozen.rows:,} {rows} at or before {times.format_instant(frozen.until)}; values "
            f"up to then stay as they are, since rows {'' if stream else 'of vanished files '}that they depend on are "
            "not kept any more, and later ones count them"
        )
        line += "" if stream else ". To have them all, put the files back"
        self.warnings.append(line)
        self.reasons.append(line)

    def _warn_of_lookalikes(self, event: Computed, transaction: RunTransaction) -> None:
        """Once for all features of a source: their entities are the same."""
        version, source = event.target.version, event.target.source.name
        if (source, version.entity_type.name) in self._looked_at:
            return
        self._looked_at.add((source, version.entity_type.name))
        self.warnings += warn_of_held_lookalikes(transaction, version, event.result.frame, source)

    def _reach(self, event: Computed) -> list[str]:
        """How far back a new version reaches, where that is asked for or less far than the version before it did."""
        version = event.target.version
        if version.id not in self._reaches or not event.height or not event.result.timed:
            return []
        before, oldest = self._reaches[version.id]
        firsts = [frame["computed_at"].to_physical().min() for frame in event.frames() if frame.height]
        first = min(int(each) for each in firsts)  # type: ignore[arg-type]  # of integers an integer
        if not self._full and first <= oldest:
            return []
        since, earlier = times.format_instant(first), times.format_instant(oldest)
        return [f"version {version.number} reaches back to {since}, version {before.number} to {earlier}"]

    def _write_values(self, event: Computed, transaction: RunTransaction) -> tuple[Written, int, RowValues]:
        """Writes what is new, corrected or withdrawn: what was done, how many were withdrawn, what was written.

        Raises FeatureError.
        """
        version, tolerance = event.target.version, event.target.feature.tolerance
        keys = version.entity_type.key_names
        if not event.parts:
            written, withdrawn = self._write_frame(event, transaction)
            return written, withdrawn, RowValues(keys, written.values, memory=self._project.memory, once=self._once)
        total, withdrawn = Written(0, 0, 0, event.result.frame), 0
        rows = RowValues(keys, memory=self._project.memory)
        for written, gone in write_parts(transaction, version, event.parts, tolerance=tolerance):
            rows.add(written.values)
            withdrawn += gone
            total = _together(total, written)
        return total, withdrawn, rows

    def _write_steps(self, event: Computed, transaction: RunTransaction) -> tuple[Written, int, RowValues]:
        """Writes the steps of a window: what was done at rows of the source, how many other steps, what was written."""
        version, tolerance = event.target.version, event.target.feature.tolerance
        total, steps = Written(0, 0, 0, event.result.frame), 0
        rows = RowValues(version.entity_type.key_names, memory=self._project.memory)
        for stepped in write_steps(transaction, version, event.steps, tolerance=tolerance):
            rows.add(stepped.written.values)
            steps += stepped.steps
            total = _together(total, stepped.written)
        return total, steps, rows

    def _write_frame(self, event: Computed, transaction: RunTransaction) -> tuple[Written, int]:
        version, frame, tolerance = event.target.version, event.result.frame, event.target.feature.tolerance
        if not event.result.timed:
            now = pl.lit(transaction.learned_at, dtype=pl.Int64).cast(pl.Datetime("us"))
            frame = frame.with_columns(now.alias("computed_at"))
            return transaction.write_changes(version, frame, tolerance=tolerance), 0
        if event.comparison is None:
            return transaction.write(version, frame, tolerance=tolerance), 0
        return write_compared(transaction, version, frame, event.comparison, tolerance=tolerance)

    def _remarks(self, target: Target) -> list[str]:
        """What is worth a line once: of a new version what its hash lacks, and what its code met for the first time."""
        if target.hashed is None:
            return []
        known = read_observed(self._project.versions, target.feature.name, target.version.id.sha256)
        lines = version_remarks(target.hashed) if target.new else []
        return lines + observed_remarks(target.feature.name, [item for item in target.observed if item not in known])

    def _assess(self, target: Target, rows: RowValues, learned_at: int) -> Future[Assessment]:
        version = target.version
        reference, previous = self._references.get(version.id, (None, None))
        begun = partial(
            assess,
            rows,
            version.data_type,
            self._project.drift.of(target.feature.name, target.feature.tags),
            reference=reference,
            previous=previous,
            # From the hash, so that the same values always give the same sample.
            seed=int(version.id.sha256[:8], 16),
            learned_at=learned_at,
            along=self._along.get(version.id),
        )
        return self._measurer.begin(begun, compares=reference is not None or previous is not None)

    def _waits(self) -> bool:
        return bool(self._refused) or any(stream.fetched.waiting for stream in self.came)

    def _run(self, transaction: RunTransaction | None) -> Run:
        # The working tree's version before the promoted one that is computed beside it: the first one counts as the
        # version that was committed last.
        order = {(version.feature, version.sha256): at for at, version in enumerate(self._references)}
        features = sorted(self._features, key=lambda item: (item.name, order.get((item.name, item.sha256 or ""), 0)))
        return Run(
            run_id=self.run_id, started_at=self.started_at, finished_at=times.now(),
            duration_s=round(time.monotonic() - self._begun, 6), status=self._status(features),
            sources=tuple(dict.fromkeys(name for item in features for name in item.source.split(", ") if name)),
            host=os.uname().nodename, git_commit=self._commit, features=tuple(features),
            run_seq=None if transaction is None else transaction.run_seq,
            learned_at=None if transaction is None else transaction.learned_at,
        )  # fmt: skip

    def _status(self, features: Sequence[FeatureRun]) -> RunStatus:
        failed = [item for item in features if item.status == "failed"]
        if failed:
            return "failed" if len(failed) == len(features) else "partial"
        partly = any(item.rows_rejected for item in features) or bool(self.reasons)
        return "partial" if partly or self._waits() else "ok"


def _together(total: Written, written: Written) -> Written:
    """The counts of both."""
    return replace(
        total, new=total.new + written.new, corrected=total.corrected + written.corrected,
        unchanged=total.unchanged + written.unchanged, deleted=total.deleted + written.deleted,
        corrected_entities=total.corrected_entities + written.corrected_entities,
    )  # fmt: skip


def _many_corrected(event: Computed, written: Written) -> str | None:
    """What was corrected, where it is more than half of what was met: of scope ``row`` values, elsewhere entities."""
    if not written.corrected:
        return None
    if event.scope.kind == "row":
        # Rows that are what they were are not evaluated again, and give what is held.
        known = event.rows_read - event.rows_rejected - written.new
        met = max(written.corrected + written.unchanged, known)
        return f"{written.corrected:,} of {met:,} stored values" if written.corrected * 2 > met > 1 else None
    comparisons: list[Comparison | None] = [part.comparison for part in event.parts] or [event.comparison]
    if not all(each is None or each.everything for each in comparisons):
        return None  # only entities with other rows were looked at
    # An entity that is divided among parts counts in each.
    keys = event.target.feature.entity_type.key_names
    met = sum(frame.select(keys).n_unique() for frame in event.frames())
    corrected = written.corrected_entities
    return f"values of {corrected:,} of {met:,} entities" if corrected * 2 > met > 1 else None


def _replaces_reference(verdict: Mapping[str, Json]) -> bool:
    """Whether a run could not be compared because its reference is too small, and it is large enough itself."""
    here, before = verdict.get("n"), verdict.get("reference_n")
    return (
        verdict.get("reference_run") is not None
        and verdict.get("reference_since") is None
        and isinstance(here, int)
        and isinstance(before, int)
        and before < LEAST_VALUES <= here
    )


def outcome(target: Target, status: FeatureStatus) -> FeatureRun:
    """A target's part of a run before anything was counted."""
    version = target.version
    return FeatureRun(
        name=version.id.feature, source=str(target.feature.source_name), status=status, version=version.number,
        sha256=version.id.sha256, new_version=target.new,
    )  # fmt: skip
