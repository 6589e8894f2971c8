"""``sync``: brings the online store up to date with the history, once or again and again."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Literal

from featurestore import times
from featurestore.config import Project
from featurestore.errors import (
    CancelledError,
    FeatureStoreError,
    LockedError,
    NewerFormatError,
    StoreError,
    UsageError,
    VersionFileError,
)
from featurestore.frozen import frozen
from featurestore.model import StoredVersion
from featurestore.offline.contract import OfflineStore
from featurestore.offline.open import open_offline
from featurestore.online.contract import OnlineStore
from featurestore.online.open import open_online
from featurestore.progress import SILENT, Progress
from featurestore.serving.last_sync import read_last_sync
from featurestore.serving.request import DEFAULT_SIZES, SyncRequest, SyncSizes
from featurestore.serving.sync import preview_sync, sync_stores
from featurestore.versioning.folder.files import features_of
from featurestore.workflows.erasure.completion import complete_if_broken_off, refuse_set_back
from featurestore.workflows.followers import bound_versions
from featurestore.workflows.lives import Lives, read_lives
from featurestore.workflows.references import active_sha256, active_versions, bind
from featurestore.workflows.request_time import active_file, is_request_time

Mode = Literal["full", "incremental"]


@frozen
class SyncedFeature:
    """What a sync did with one feature. ``watermark`` is the run up to which its values are online."""

    name: str
    version: int
    sha256: str
    entities_written: int
    watermark: int


@frozen
class SyncResult:
    """What a sync did, or would do with ``dry_run``.

    ``refused`` are features whose readers stay on another version than the active one, since it was promoted later, or
    as they are, since the files of the project don't say which version is active.
    ``unrepaired`` are features that have lost values, which were not written again because that was not wanted. Each
    has its part in ``warnings``, and ``reasons`` are those of them that say so.
    """

    mode: Mode
    dry_run: bool
    duration_s: float
    features: tuple[SyncedFeature, ...]
    warnings: tuple[str, ...]
    refused: tuple[str, ...]
    unrepaired: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()

    @property
    def entities_written(self) -> int:
        return sum(feature.entities_written for feature in self.features)

    @property
    def exit_code(self) -> int:
        """0 where every feature is served and up to date, 3 where one was left as it is."""
        return 3 if self.refused or self.unrepaired else 0


@frozen
class SyncRound:
    """One round of a repeated sync, ended at ``at`` (µs since 1970): its result, or the error that it failed with."""

    at: int
    result: SyncResult | None = None
    error: FeatureStoreError | None = None


def sync_project(
    project: Project,
    names: Sequence[str] = (),
    mode: Mode = "incremental",
    *,
    dry_run: bool = False,
    repair: bool = True,
    take_over: bool = False,
    progress: Progress = SILENT,
    open_offline: Callable[[Project], OfflineStore] = open_offline,
) -> SyncResult:
    """Opens the project's stores and runs `sync` for the active versions of these features (default: all).

    Raises SetBackError for a history that was set back, before anything is written.
    """
    offline, lives = open_offline(project), read_lives(project)
    if dry_run:
        refuse_set_back(offline)
    else:
        complete_if_broken_off(project, offline)
    with offline.reading():
        versions, damaged = usable_features(project, offline, names, lives)
        left = left_features(project, offline, lives)
    with closing(open_online(project)) as online:
        result = sync(
            project, offline, online, versions, mode,
            dry_run=dry_run, repair=repair, take_over=take_over, left=left, progress=progress,
        )  # fmt: skip
    notes = lives.notes(version.id.feature for version in versions)
    stays = [f"{name} stays as it is online: {problem}; {problem.hint}" for name, problem in damaged.items()]
    return replace(
        result,
        warnings=(*notes, *stays, *result.warnings),
        refused=(*result.refused, *damaged),
        reasons=(*stays, *result.reasons),
    )


def sync_repeatedly(
    once: Callable[[], SyncResult],
    every_s: float,
    *,
    sleep: Callable[[float], object] = time.sleep,
    now: Callable[[], int] = times.now,
    progress: Progress = SILENT,
) -> Iterator[SyncRound]:
    """Syncs, waits ``every_s`` seconds, and so on, until ``progress`` is cancelled or the caller stops iterating.

    ``once`` is a whole sync, which opens its own stores, such as a `partial` of `sync_project`. A store that is
    unreachable or a lock that is held never ends the loop: the round has the error, and another round follows. Other
    errors can be fixed while the loop goes on, but only once a round has succeeded: before that they are raised, since
    the first round shows whether the caller asked for something possible. NewerFormatError is always raised.
    """
    succeeded = False
    while True:
        try:
            result = once()
        except (NewerFormatError, CancelledError):
            raise
        except FeatureStoreError as exc:
            if not (succeeded or isinstance(exc, StoreError | LockedError)):
                raise
            yield SyncRound(now(), error=exc)
        else:
            succeeded = True
            yield SyncRound(now(), result=result)
        progress.check()
        sleep(every_s)
        progress.check()


def sync(
    project: Project,
    offline: OfflineStore,
    online: OnlineStore,
    versions: Sequence[StoredVersion],
    mode: Mode = "incremental",
    *,
    dry_run: bool = False,
    promote: bool = False,
    repair: bool = True,
    take_over: bool = False,
    left: Collection[str] = (),
    now: Callable[[], int] | None = None,
    progress: Progress = SILENT,
    sizes: SyncSizes = DEFAULT_SIZES,
    bound: Sequence[StoredVersion] = (),
) -> SyncResult:
    """Writes what the history has learned of these active versions, and serves them.

    Incremental reads what was learned after each version's watermark; full reads everything, and removes entities that
    the history does not have any more. A second sync writes nothing. With ``promote`` the versions are served even
    where that undoes a later promotion. Without ``repair`` an incremental sync writes nothing of features whose values
    the store has lost. With ``take_over`` a store that belongs to another history becomes this one's. Features of
    ``left`` are not served any more. Values dated after ``now`` (µs; by default the
    clock) are what is coming: readers answer with them when their time comes. What promoted request-time features are
    bound to is served too, and with them ``bound``.

    Raises StoreError where a store fails or the history is behind what is online (full replaces that),
    ForeignStoreError where the store belongs to another history, and CancelledError: then values that were written
    stay, but no watermark has moved past values that were not.
    """
    started = time.perf_counter()
    full = mode == "full"
    request = SyncRequest(
        project, offline, online, versions, full, promote, repair, take_over,
        left, now or times.now, progress, sizes, _bound(project, offline, versions, bound),
    )  # fmt: skip
    renamed = _renamed(project)
    totals = preview_sync(request) if dry_run else sync_stores(request)
    return SyncResult(
        mode=mode,
        dry_run=dry_run,
        duration_s=round(time.perf_counter() - started, 6),
        features=tuple(
            SyncedFeature(v.id.feature, v.number, v.id.sha256, totals.written[v.id], totals.up_to_run)
            for v in totals.versions
        ),
        warnings=(*renamed, *totals.warnings),
        refused=tuple(totals.refused),
        unrepaired=totals.unrepaired,
        reasons=tuple(totals.reasons),
    )


def _bound(
    project: Project, offline: OfflineStore, versions: Iterable[StoredVersion], more: Sequence[StoredVersion]
) -> list[StoredVersion]:
    """The versions of these features that request-time features are bound to."""
    names = {version.id.feature for version in versions}
    found = [*bound_versions(project, offline, read_lives(project)), *more]
    return [version for version in found if version.id.feature in names]


def _renamed(project: Project) -> tuple[str, ...]:
    """What to say at the first sync under a new name of the project."""
    last = read_last_sync(project)
    if not last.former or last.epoch:
        return ()
    old = last.former[-1]
    stay = (
        "" if project.online_url is None else f"; those under {old} stay in the online store: see featurestore doctor"
    )
    return (f"the project was called {old} before: all values are written under its name {project.name}{stay}",)


def active_features(
    project: Project, offline: OfflineStore, names: Sequence[str] = (), lives: Lives | None = None
) -> list[StoredVersion]:
    """The active version of each named feature (default: of all to be served), with its max_age as declared now.

    Raises UsageError for a name without history, and for a reference to a version: only the active one is served.
    """
    for name in names:
        feature, at, version = name.partition("@")
        if at:
            hint = f"featurestore promote {feature} {version} makes that version the active one"
            raise UsageError(f"{name} names a version; say {feature}, for its active one", hint=hint)
    lives = lives or read_lives(project)
    refuse_retired(lives, names)
    gone = left_features(project, offline, lives)
    wanted = [item for name in names for item in _stored(project, offline, lives, name)]
    return [
        replace(version, max_age=lives.max_age(version))
        for version in active_versions(project, offline, dict.fromkeys(wanted))
        if version.id.feature not in gone
    ]


def _stored(project: Project, offline: OfflineStore, lives: Lives, name: str) -> list[str]:
    """The name, or those of the inputs of a request-time feature: these are what is stored online."""
    if not is_request_time(project, lives, name):
        return [name]
    file = active_file(project, name, lambda item: active_sha256(project, offline, item))
    return [version.id.feature for version in bind(project, offline, lives, file).inputs]


def usable_features(
    project: Project, offline: OfflineStore, names: Sequence[str], lives: Lives
) -> tuple[list[StoredVersion], dict[str, VersionFileError]]:
    """What `active_features` gives; where none is named, without those that can't be served, which come by name."""
    if names:
        return active_features(project, offline, names, lives), {}
    versions: list[StoredVersion] = []
    damaged: dict[str, VersionFileError] = {}
    gone = left_features(project, offline, lives)
    with offline.reading():
        for name in sorted({version.id.feature for version in offline.versions()} - gone):
            try:
                lives.retired(name)
                versions += active_versions(project, offline, [name])
            except VersionFileError as exc:
                damaged[name] = exc
    return [replace(version, max_age=lives.max_age(version)) for version in versions], damaged


def refuse_retired(lives: Lives, names: Iterable[str]) -> None:
    """Raises UsageError for a feature that was retired: it is not served."""
    for name in names:
        if lives.retired(name) is not None:
            raise UsageError(f"{lives.note(name)}", hint="name another feature")


def left_features(project: Project, offline: OfflineStore, lives: Lives) -> frozenset[str]:
    """The features that are not to be served any more: retired ones, and former names once the new one has history.

    One whose file is damaged is left as it is.
    """
    with offline.reading():
        stored = {version.id.feature for version in offline.versions()}
    known = {name for name in {*stored, *features_of(project.versions)} if lives.damage(name) is None}
    gone = {name: lives.retired(name) for name in known}
    return frozenset(
        name
        for name, retired in gone.items()
        if retired is not None and (retired.renamed_to is None or retired.renamed_to in stored)
    )
