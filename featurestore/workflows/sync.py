"""Bringing the online store up to the history: values first, then the watermark, then what readers are served.

What one attempt does is in `workflows.sync_round`; here is what is asked and what is answered.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from featurestore.config import Project
from featurestore.errors import StoreError, UsageError
from featurestore.model import StoredVersion
from featurestore.offline.contract import OfflineStore
from featurestore.online.contract import OnlineStore
from featurestore.registry.discovery import discover
from featurestore.serving.round import Round
from featurestore.versioning.analysis.tree import SourceTree
from featurestore.workflows.references import active_versions

ROUNDS = 10

Mode = Literal["full", "incremental"]


@dataclass(frozen=True, slots=True)
class SyncedFeature:
    """What a sync did with one feature. ``watermark`` is the run up to which its values are online."""

    name: str
    version: int
    sha256: str
    entities_written: int
    watermark: int


@dataclass(frozen=True, slots=True)
class SyncResult:
    """What a sync did, or with ``dry_run`` would do.

    ``refused`` are features whose readers keep another version than the one that is active here, since that was
    promoted later, ``unrepaired`` those whose lost values were not written again because that was not wanted; each
    has its part in ``warnings``.
    """

    mode: Mode
    dry_run: bool
    duration_s: float
    features: tuple[SyncedFeature, ...]
    warnings: tuple[str, ...]
    refused: tuple[str, ...]
    unrepaired: tuple[str, ...] = ()

    @property
    def entities_written(self) -> int:
        return sum(feature.entities_written for feature in self.features)


def sync(
    project: Project,
    offline: OfflineStore,
    online: OnlineStore,
    features: Sequence[StoredVersion],
    mode: Mode = "incremental",
    *,
    dry_run: bool = False,
    promote: bool = False,
    repair: bool = True,
    tell: Callable[[str], None] = lambda _line: None,
) -> SyncResult:
    """Writes what the history has learned of these versions, and serves them.

    ``features`` are the active versions. Incremental reads what was learned after each version's watermark; full
    reads everything, and removes entities that the history no longer knows. Run again, it writes nothing. With
    ``promote`` the versions are served even where a later promotion is undone by it. Without ``repair`` an incremental
    sync writes nothing of features whose values the store has lost. ``tell`` hears how far it is. Raises StoreError
    where a store fails, or where the history is behind what is online (full replaces that).
    """
    started = time.perf_counter()
    work = Round(project, offline, online, features, mode == "full", promote, repair, tell)
    with offline.ready():
        if dry_run:
            work.preview()
        elif not any(work.run() for _ in range(ROUNDS)):
            raise StoreError("other runs keep changing the online store under this one", hint="try again")
    return SyncResult(
        mode=mode,
        dry_run=dry_run,
        duration_s=round(time.perf_counter() - started, 6),
        features=tuple(
            SyncedFeature(v.id.feature, v.number, v.id.sha256, work.written[v.id], work.up_to_run)
            for v in (task.version for task in work.tasks if not task.aside)
        ),
        warnings=tuple(work.warnings),
        refused=tuple(work.refused),
        unrepaired=tuple(work.unrepaired),
    )


def active_features(project: Project, offline: OfflineStore, names: Sequence[str] = ()) -> list[StoredVersion]:
    """The active version of each named feature (of all that have history), with its max_age as declared today.

    Raises UsageError for a name without history, and for a version: what is served is the active one.
    """
    for name in names:
        feature, at, version = name.partition("@")
        if at:
            hint = f"featurestore promote {feature} {version} makes that version the active one"
            raise UsageError(f"{name} names a version; say {feature}, for its active one", hint=hint)
    declared = {item.name: item for item in discover(project, SourceTree(project.root)).features}
    return [
        replace(version, max_age=declared[version.id.feature].max_age) if version.id.feature in declared else version
        for version in active_versions(project, offline, names)
    ]
