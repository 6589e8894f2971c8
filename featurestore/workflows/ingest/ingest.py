"""One run: read each source once, compute, version, store, measure, log.

Everything a run learns goes into one transaction. A feature that fails is left out of it completely; the others
commit. The project's lock is held from the first look at the positions to the last row of the audit log, while the
store itself is open only for the transaction.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import field, replace

from featurestore import times
from featurestore.config import Project
from featurestore.errors import FeatureStoreError, StoreError, TransientStoreError, UsageError, did_you_mean
from featurestore.evaluation.retention import check_retentions
from featurestore.frozen import frozen
from featurestore.locking import check_held
from featurestore.model import Feature, FeatureRun, Problem, RejectedRow, Run, VersionId
from featurestore.offline.contract import OfflineStore
from featurestore.progress import SILENT, Progress
from featurestore.registry.discovery import Registry, discover, select, unparsed_notes
from featurestore.registry.git import git_state
from featurestore.runs import new_run_id
from featurestore.sources.contract import Offer
from featurestore.sources.files import check_given
from featurestore.sources.types import STREAMS
from featurestore.versioning.analysis.tree import SourceTree
from featurestore.workflows.drift.notify import notify
from featurestore.workflows.erasure.completion import writing_turn
from featurestore.workflows.ingest.compute import compute
from featurestore.workflows.ingest.events import Computed, Failed, IngestOptions, Unchanged
from featurestore.workflows.ingest.record import PENDING_BYTES, Recorder
from featurestore.workflows.ingest.retaining import drop_past_retention
from featurestore.workflows.ingest.steps import backfilled
from featurestore.workflows.ingest.targets import Target, find_targets, note_recipes
from featurestore.workflows.ingest.tidy import tidy_rows
from featurestore.workflows.renaming import carry_histories, carry_versions
from featurestore.workflows.request_time import uncomputable
from featurestore.workflows.scratch import trial
from featurestore.workflows.summaries import stored_summary, summarize_run

POLL_SECONDS = 0.1


@frozen
class IngestRequest:
    """What to ingest (all features by default), and how.

    ``wait_seconds`` is how long to wait for a store whose connection was lost, ``pending_bytes`` how much is computed
    before the store is opened. Drift is measured over the values of all runs after those of ``drift_since`` (run_seq).
    """

    names: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    options: IngestOptions = field(default_factory=IngestOptions)
    drift: bool = True
    wait_seconds: float = 30.0
    pending_bytes: int = PENDING_BYTES
    drift_since: Mapping[VersionId, int] = field(default_factory=dict)


@frozen
class IngestResult:
    """The run as the audit log has it, its rejected rows, and what to warn of.

    ``more`` says that a stream has more to fetch, and a limit ended the run. ``reasons`` are those of the warnings that
    say why a run is partly done, where no feature failed and no row was set aside.
    """

    run: Run
    rejected: tuple[RejectedRow, ...]
    warnings: tuple[str, ...]
    more: bool = False
    reasons: tuple[str, ...] = ()

    def exit_code(self, *, fail_on_drift: bool = False) -> int:
        """0 done; 4 nothing committed; 3 partly done; 1 drifted, where that is asked for (in this precedence)."""
        if self.run.status == "failed":
            return 4
        if self.run.status == "partial":
            return 3
        drifted = any(item.drift is not None and item.drift.get("detected") for item in self.run.features)
        return 1 if fail_on_drift and drifted else 0


def ingest(project: Project, store: OfflineStore, request: IngestRequest, progress: Progress = SILENT) -> IngestResult:
    """Runs one ingestion under the project's lock.

    A feature's own failure is part of the result. Raises what makes the whole run impossible: a name that is
    not declared (UsageError, DeclarationError), a lock that another run holds (LockedError), a store that refuses
    (StoreError), a caller that cancels (CancelledError); nothing was committed then. Where the store's connection is
    lost, the whole run is made once more, from its sources.
    """
    for name in request.sources:
        if name not in project.sources:
            raise UsageError(f"there is no source {name!r}", hint=did_you_mean(name, project.sources))
    _check_restart(project, request.options.restart)
    if request.options.input is not None:
        check_given(request.options.input)
    with ExitStack() as stack:
        if request.options.dry_run:
            project, store = stack.enter_context(trial(project, store))
        stack.enter_context(writing_turn(project, store, dry_run=project.scratch is not None))
        state = git_state(project.root)  # before anything is written, which would make a clean tree look changed
        tree = SourceTree(project.root)
        registry = discover(project, tree, parse_all=True)
        check_retentions(registry.features)
        features = _chosen(registry, request)
        carried = [] if request.options.dry_run else _carry(project, store, features, registry, state.commit)
        with store.reading():
            targets, failed = find_targets(project, store, tree, features)
            check_retentions(target.feature for target in targets)  # promoted versions among them
            if request.options.since is not None or request.options.step is not None:
                targets = backfilled(store, targets, request.options)
        if not request.names and not request.sources:
            failed = [*_broken(registry), *failed]
        if not request.options.dry_run:
            note_recipes(project, targets)
        summary = stored_summary(project)
        result = _Ingestion(project, store, request, registry, progress).run(targets, failed, state.commit)
        if state.problem is not None:
            result = replace(result, warnings=(*result.warnings, f"the run records no commit: {state.problem}"))
        left_out = [f"{item.problem.where}: {item.problem.message}; it is left out" for item in registry.left_out]
        unparsed = unparsed_notes(registry, (item.error for item in result.run.features))
        broken = [f"{exc.where}: {exc.message} ({exc.hint})" for exc in uncomputable(project, tree, registry.features)]
        result = replace(result, warnings=(*carried, *result.warnings, *left_out, *unparsed, *broken))
        if request.options.dry_run:
            return result
        drop_old_details(project, store)
        if result.run.run_seq is not None:
            declared = {*registry.names(), *(item.name for item in registry.broken)}
            drop_past_retention(project, store, registry)
            tidy_rows(project, store, targets, declared)
        summarize_run(project, store, result.run, summary)
    # The command of `notify` runs without the lock, since it may take long or start featurestore itself.
    if result.run.run_seq is None:
        return result
    return replace(result, warnings=(*result.warnings, *notify(project, result.run)))


def _check_restart(project: Project, names: Sequence[str]) -> None:
    for name in names:
        source = project.sources.get(name)
        streams = [each.name for each in project.sources.values() if each.type in STREAMS]
        if source is None:
            raise UsageError(f"there is no source {name!r}", hint=did_you_mean(name, streams or project.sources))
        if source.type not in STREAMS:
            raise UsageError(f"source {name} is read from its beginning anyway: only a stream is restarted")


def drop_old_details(project: Project, store: OfflineStore) -> None:
    """Drops the details of runs that are older than ``[log] keep``, under the run's lock."""
    if project.keep is None:
        return
    before = times.now() - project.keep
    with suppress(StoreError):  # the next run does it
        if store.count_details(before):
            store.drop_details(before)


def _chosen(registry: Registry, request: IngestRequest) -> list[Feature]:
    """The features that are asked for and have a source."""
    declared = {*registry.names(), *(item.name for item in registry.problems)}
    sources = {name for item in registry.features for name in item.source_names}
    for name in request.names:
        if name in sources - declared:
            raise UsageError(f"there is no feature {name!r}, but a source", hint=f"featurestore ingest --source {name}")
    features = [item for item in select(registry, request.names) if item.materialised]
    if request.sources:
        features = [item for item in features if not set(request.sources).isdisjoint(item.source_names)]
    if request.options.input is not None and len({name for item in features for name in item.source_names}) > 1:
        raise UsageError("--input replaces one source, and these features read several", hint="name one with --source")
    return features


def _carry(
    project: Project, store: OfflineStore, features: Sequence[Feature], registry: Registry, commit: str | None
) -> list[str]:
    """Brings what renamed features had under their former names, and says so."""
    names = [*registry.names(), *(item.name for item in registry.broken)]
    carry_versions(project, features, names)
    return [str(done) for done in carry_histories(store, features, names, commit)]


def _broken(registry: Registry) -> list[FeatureRun]:
    return [FeatureRun(name=item.name, source="", status="failed", error=item.problem) for item in registry.broken]


class _Ingestion:
    """A run and its retry."""

    def __init__(
        self, project: Project, store: OfflineStore, request: IngestRequest, registry: Registry, progress: Progress
    ) -> None:
        self._project, self._store, self._request = project, store, request
        self._registry, self._progress = registry, progress
        self._copies: dict[str, Offer] = {}

    def run(self, targets: Sequence[Target], failed: Sequence[FeatureRun], commit: str | None) -> IngestResult:
        """Makes the run; again, and only once, where the store's connection was lost and it comes back."""
        run_id = new_run_id()  # one for both attempts: a store takes a run once, whichever attempt has arrived
        lost: TransientStoreError | None = None
        while True:
            recorder = Recorder(
                self._project, self._store, run_id, commit, measure_drift=self._request.drift,
                dry_run=self._request.options.dry_run, full=self._request.options.full,
                step=self._request.options.step, pending_bytes=self._request.pending_bytes,
                drift_since=self._request.drift_since,
            )  # fmt: skip
            try:
                run = self._attempt(recorder, targets, failed)
                break
            except StoreError as exc:
                if lost is None and isinstance(exc, TransientStoreError):
                    self._progress(f"{exc.message}; retrying")
                    if self._is_back():
                        lost = exc
                        continue
                problem = Problem(exc.code, exc.message, exc.where, exc.hint)
                with suppress(FeatureStoreError):  # the store refused a moment ago; the first refusal is reported
                    self._store.log(recorder.lost(targets, problem))
                if lost is None:
                    raise
                again = f"{exc.message}, for the second time in one run"
                raise StoreError(again, where=exc.where, hint=exc.hint) from exc
        if lost is not None:
            recorder.warnings.append(f"{lost}; the run was made again from the start")
        if run.run_seq is not None:
            recorder.warnings += [line for stream in recorder.came for line in stream.tell()]
        more = any(not stream.fetched.whole for stream in recorder.came)
        reasons = tuple(recorder.reasons)
        return IngestResult(run, tuple(recorder.rejected), tuple(recorder.warnings), more, reasons)

    def _attempt(self, recorder: Recorder, targets: Sequence[Target], failed: Sequence[FeatureRun]) -> Run:
        recorder.begin(targets)
        for item in failed:
            recorder.add(item)
        options, declared, done = self._request.options, self._registry.features, 0
        with ExitStack() as files, recorder:
            # Computed anew in each attempt, since a large run does not hold its frames.
            for event in compute(
                self._project, self._store, targets, options, declared, self._progress, self._copies, files,
                clock=recorder.clock,
            ):  # fmt: skip
                recorder.take(event)
                done += isinstance(event, Computed | Unchanged | Failed)
                if isinstance(event, Computed):
                    rows = f"{event.target.feature.name}: {event.height:,} rows"
                    self._progress(f"{rows}; {done} of {len(targets)} features done")
            self._progress.check()
            check_held()  # a feature may have closed every file
            return recorder.commit()

    def _is_back(self) -> bool:
        """Waits for the store, for as long as a server takes to start."""
        deadline = time.monotonic() + self._request.wait_seconds
        while time.monotonic() < deadline:
            try:
                with self._store.reading():
                    return True
            except StoreError:
                self._progress.check()
                time.sleep(POLL_SECONDS)
        return False
