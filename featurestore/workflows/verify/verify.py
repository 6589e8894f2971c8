"""``verify``: is every online value what the history says? With ``fix``, what is not is fixed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace

from featurestore import times
from featurestore.config import Project
from featurestore.errors import VersionFileError
from featurestore.frozen import frozen
from featurestore.model import StoredVersion, VersionId
from featurestore.offline.contract import OfflineStore
from featurestore.offline.open import open_offline
from featurestore.online.contract import OnlineStore
from featurestore.online.open import open_online
from featurestore.progress import SILENT, Progress
from featurestore.serving.online_tables import OnlineTables
from featurestore.serving.plan import describe_set_back
from featurestore.versioning.folder.files import features_of, versions_of
from featurestore.versioning.running.replay import verify as check_version
from featurestore.workflows.erasure.completion import complete_if_broken_off, refuse_set_back
from featurestore.workflows.lives import read_lives
from featurestore.workflows.sync import SyncResult, active_features, usable_features
from featurestore.workflows.verify.differences import KINDS, Kind, Mismatch
from featurestore.workflows.verify.inspection import DEFAULT_LIMITS, VerifyLimits, VerifyRequest, inspect, limits_within


@frozen
class VerifyResult:
    """Counts of what was compared and of what was found, and some examples: all from before anything was fixed.

    ``fixed`` is the sync that ended the repair, None where nothing was to be fixed; ``left`` counts the differences
    that are still there. ``way_out`` says what to do first where the history was set back or lacks runs that are
    online, None where neither is so.
    ``unchecked`` says which features were not compared, since a file of theirs is damaged. In a ``dry_run`` nothing was
    fixed that would have been.
    """

    checked: int
    counts: Mapping[Kind, int]
    examples: tuple[Mismatch, ...]
    fixed: SyncResult | None
    left: int
    way_out: str | None = None
    unchecked: tuple[str, ...] = ()
    dry_run: bool = False

    @property
    def warnings(self) -> tuple[str, ...]:
        return (*self.unchecked, *(self.fixed.warnings if self.fixed else ()))

    @property
    def found(self) -> int:
        return sum(self.counts.values())

    @property
    def exit_code(self) -> int:
        """0 where the stores agree (by now), 1 where they don't, or where it is not known of every feature."""
        return 1 if self.left or self.unchecked else 0


def verify_project(
    project: Project,
    names: Sequence[str] = (),
    *,
    sample: int | None = None,
    fix: bool = False,
    dry_run: bool = False,
    progress: Progress = SILENT,
    open_offline: Callable[[Project], OfflineStore] = open_offline,
) -> VerifyResult:
    """Opens the project's stores and runs `verify` for the active versions of these features (default: everything).

    With ``fix`` raises SetBackError for a history that was set back, before anything is written; with ``dry_run``
    nothing is.
    """
    offline = open_offline(project)
    if fix and dry_run:
        refuse_set_back(offline)
        fix = False
    if fix:
        complete_if_broken_off(project, offline)
    lost = None if fix else offline.set_back()
    versions, damaged = _comparable(project, offline, names)
    with closing(open_online(project)) as online:
        result = verify(
            project, offline, online, versions, everything=not names, sample=sample, fix=fix, progress=progress,
            limits=limits_within(project.memory),
        )  # fmt: skip
        ahead = _ahead(offline, online) if result.found and not fix else None
    unchecked = tuple(f"{name} was not compared: {problem}; {problem.hint}" for name, problem in damaged.items())
    if lost is not None and not versions and not unchecked:
        unchecked = (f"nothing was compared: {lost}; {lost.hint}",)
    way_out = ahead if lost is None else f"the history was set back: {lost.hint}"
    return replace(result, way_out=way_out, unchecked=unchecked, dry_run=dry_run)


def _ahead(offline: OfflineStore, online: OnlineStore) -> str | None:
    """What to do where runs are online that the history does not have any more, as after a restore."""
    with offline.reading():
        run_ids = {run.run_seq: run.run_id for run in offline.committed_runs()}
    gone = describe_set_back(OnlineTables(online).markers().versions.values(), run_ids)
    return None if gone is None else "; ".join(gone)


def _comparable(
    project: Project, offline: OfflineStore, names: Sequence[str]
) -> tuple[list[StoredVersion], dict[str, VersionFileError]]:
    """The active versions to compare, and what is wrong with those features of which a file is damaged, by name."""
    lives = read_lives(project)
    damaged: dict[str, VersionFileError] = {}
    versions: dict[VersionId, StoredVersion] = {}
    if names:
        for name in names:
            try:
                versions |= {version.id: version for version in active_features(project, offline, [name], lives)}
            except VersionFileError as exc:
                damaged[name] = exc
    else:
        usable, damaged = usable_features(project, offline, (), lives)
        versions = {version.id: version for version in usable}
    at_stake = {version.id.feature for version in versions.values()}
    if not names:
        at_stake.update(name for name in features_of(project.versions) if not lives.is_left(name))
    for name in sorted(at_stake - {*damaged}):
        try:
            for file in versions_of(project.versions, name):
                check_version(file.path)
        except VersionFileError as exc:
            damaged[name] = exc
    return [version for version in versions.values() if version.id.feature not in damaged], damaged


def verify(
    project: Project,
    offline: OfflineStore,
    online: OnlineStore,
    versions: Sequence[StoredVersion],
    *,
    everything: bool = True,
    sample: int | None = None,
    fix: bool = False,
    now: Callable[[], int] = times.now,
    progress: Progress = SILENT,
    limits: VerifyLimits = DEFAULT_LIMITS,
) -> VerifyResult:
    """Compares what is online of these active versions, and of the previous ones, with the history.

    ``everything`` also finds values that belong to no feature. ``sample`` compares only that many entities of each
    type, at random. ``now`` (µs) is the clock: values that are dated later are not expected yet. After a fix everything
    is compared once more.

    Raises ForeignStoreError where the store belongs to another history, StoreError where a store fails, and
    CancelledError: then what was fixed so far stays, and no watermark has moved without its values.
    """
    request = VerifyRequest(project, offline, online, versions, everything, sample, fix, now, progress, limits)
    first = inspection = inspect(request)
    fixed = inspection.fix() if fix and inspection.found else None
    while fixed is not None and not inspection.is_complete:
        before = inspection.found
        inspection = inspect(request)
        # As long as less is found each time. Else this would go on for ever while somebody writes wrong values.
        if not 0 < inspection.found < before:
            break
        fixed = inspection.fix()
    left = first.found if fixed is None else inspect(replace(request, sample=None, fix=False)).found
    counts = {kind: first.report.counts[kind] for kind in KINDS}
    return VerifyResult(first.report.checked, counts, tuple(first.report.examples), fixed, left)
