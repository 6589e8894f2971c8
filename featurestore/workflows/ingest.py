"""One run: read each source once, compute, version, store, measure, log.

Everything a run learns goes into one transaction. A feature that fails is left out of it whole; the others
commit. The project's lock is held from the first look at what was taken before to the last row of the audit
log, while the store itself is open only for the transaction.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from featurestore.config import Project
from featurestore.errors import FeatureStoreError, StoreError, TransientStoreError, UsageError, did_you_mean
from featurestore.locking import write_lock
from featurestore.model import FeatureRun, Json, Problem, RejectedRow, Run
from featurestore.offline.contract import OfflineStore
from featurestore.registry.discovery import Registry, discover, select
from featurestore.registry.summary import FeatureSummary, read_summary, update_summary
from featurestore.sources.listing import Listing
from featurestore.versioning.analysis.tree import SourceTree
from featurestore.workflows.compute import Computed, Rules, compute
from featurestore.workflows.drift.notify import notify
from featurestore.workflows.record import Recorder
from featurestore.workflows.targets import Target, find_targets

Progress = Callable[[str], None]

BACK_SECONDS = 30.0
POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class IngestRequest:
    """What to ingest (all features by default), and how."""

    names: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    rules: Rules = field(default_factory=Rules)
    drift: bool = True


@dataclass(frozen=True, slots=True)
class IngestResult:
    """The run as the audit log has it, the rows it set aside, and what to say beside it."""

    run: Run
    rejected: tuple[RejectedRow, ...]
    warnings: tuple[str, ...]

    def exit_code(self, *, fail_on_drift: bool = False) -> int:
        """0 done; 4 nothing committed; 3 partly done; 1 drifted, where that is asked for (in this precedence)."""
        if self.run.status == "failed":
            return 4
        if self.run.status == "partial":
            return 3
        drifted = any(item.drift is not None and item.drift.get("detected") for item in self.run.features)
        return 1 if fail_on_drift and drifted else 0


def ingest(project: Project, store: OfflineStore, request: IngestRequest, progress: Progress) -> IngestResult:
    """Runs one ingestion under the project's lock.

    A feature's own failure is part of the result. Raises what makes the whole run impossible: a name that is
    not declared (UsageError, DeclarationError), a lock that is held (LockedError), a store that refuses
    (StoreError; nothing was committed). A store that lets go in the middle is come back to once: the whole run is
    made again, from its sources.
    """
    for name in request.sources:
        if name not in project.sources:
            raise UsageError(f"there is no source {name!r}", hint=did_you_mean(name, project.sources))
    with write_lock(project):
        tree = SourceTree(project.root)
        registry = discover(project, tree)
        chosen = select(registry, request.names)
        features = [item for item in chosen if item.materialised]
        features = [item for item in features if not request.sources or item.source_name in request.sources]
        sources = {item.source_name for item in features}
        if request.rules.input is not None and len(sources) > 1:
            raise UsageError("--input stands for one source, and several are meant", hint="name one with --source")
        with store.reading():
            targets, failed = find_targets(project, store, tree, features)
        if not request.names and not request.sources:
            failed = [*_broken(registry), *failed]
        result = _record(project, store, request, registry, targets, failed, progress)
    if result.run.run_seq is None or request.rules.dry_run:
        return result
    return replace(result, warnings=(*result.warnings, *notify(project, result.run)))


def _record(
    project: Project,
    store: OfflineStore,
    request: IngestRequest,
    registry: Registry,
    targets: Sequence[Target],
    failed: Sequence[FeatureRun],
    progress: Progress,
) -> IngestResult:
    run_id = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(4)}"
    pipes: dict[str, Listing] = {}

    def make(recorder: Recorder) -> Run:
        recorder.load_references(targets)
        for item in failed:
            recorder.add(item)
        with recorder:
            for event in compute(project, store, targets, request.rules, registry.features, pipes):
                if isinstance(event, Computed):
                    progress(f"{event.target.feature.name}: {event.result.frame.height:,} rows")
                recorder.take(event)
            return recorder.commit()

    before: TransientStoreError | None = None
    while True:
        # Under one id, which a store takes once; computed anew, since a large run does not keep its frames.
        recorder = Recorder(project, store, run_id, measure_drift=request.drift, dry_run=request.rules.dry_run)
        try:
            run = make(recorder)
            break
        except StoreError as exc:
            if before is None and isinstance(exc, TransientStoreError):
                progress(f"{exc.message}; once more")
                if _answers_again(store):
                    before = exc
                    continue
            problem = Problem(exc.code, exc.message, exc.where, exc.hint)
            with suppress(FeatureStoreError):  # the store refused a moment ago; the first refusal is the one to report
                store.log(recorder.lost(targets, problem))
            if before is None:
                raise
            raise StoreError(f"{exc.message}, for the second time in one run", where=exc.where, hint=exc.hint) from exc
    if before is not None:
        recorder.warnings.append(f"{before}; the run was made again from the start")
    if run.run_seq is not None and not request.rules.dry_run:
        held = read_summary(project)
        committed = [item for item in run.features if item.status != "failed"]
        update_summary(project, {item.name: _summary(run, item, held.get(item.name)) for item in committed})
    return IngestResult(run, tuple(recorder.rejected), tuple(recorder.warnings))


def _answers_again(store: OfflineStore) -> bool:
    """Waits for a store that has let go, for as long as a server takes to start."""
    deadline = time.monotonic() + BACK_SECONDS
    while time.monotonic() < deadline:
        try:
            with store.reading():
                return True
        except StoreError:
            time.sleep(POLL_SECONDS)
    return False


def _broken(registry: Registry) -> list[FeatureRun]:
    return [FeatureRun(name=item.name, source="", status="failed", error=item.problem) for item in registry.broken]


def _summary(run: Run, item: FeatureRun, held: FeatureSummary | None) -> dict[str, Json]:
    facts: dict[str, Json] = {
        "active_sha256": item.sha256,
        "last_run": run.run_id,
        "last_run_at": run.started_at,
        "last_status": item.status,
    }
    if held is None or held.active_sha256 != item.sha256:
        facts["active_since"] = run.started_at
    if item.statistics is not None and item.sha256 is not None:
        before = held or FeatureSummary()
        drift = None if item.drift is None else dict(item.drift)
        facts["statistics"] = {**(before.statistics or {}), item.sha256: dict(item.statistics)}
        facts["drift"] = {**(before.drift or {}), item.sha256: drift}
    return facts
