"""Retiring a feature whose code is gone: it is not served any more, and its history stays unless it is erased."""

from __future__ import annotations

import os
import time

from featurestore import times
from featurestore.config import Project
from featurestore.errors import FeatureStoreError, ForeignStoreError, StoreError, UsageError, did_you_mean
from featurestore.frozen import frozen
from featurestore.model import FeatureRun, Run, StoredVersion
from featurestore.offline.contract import OfflineStore
from featurestore.online.contract import OnlineStore
from featurestore.registry.git import commit_of
from featurestore.runs import new_run_id
from featurestore.serving.online_tables import OnlineTables
from featurestore.serving.ownership import require_own_store
from featurestore.serving.plan import superseded
from featurestore.versioning.folder import files
from featurestore.versioning.folder.files import Retired
from featurestore.workflows.erasure.completion import complete_erasures, flag_erasure, writing_turn
from featurestore.workflows.feature_sets import models_using
from featurestore.workflows.lives import Lives, read_lives


@frozen
class RetireResult:
    """What retiring did, or would do. ``changed`` is False for a feature that was retired before.

    ``online`` says whether readers were served the feature until now; ``rows`` counts the erased rows of history, and
    ``run_id`` is the run that erased them. ``online_error`` says why the online store could not be reached: then the
    feature leaves it at the next sync; ``incomplete`` says what could not be erased yet. ``models`` and ``datasets``
    are those that the feature is part of.
    """

    name: str
    retired: Retired
    changed: bool
    erased: bool
    online: bool = False
    rows: int = 0
    run_id: str | None = None
    online_error: str | None = None
    models: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    incomplete: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0, or 3 where a store still has the feature's values."""
        return 3 if self.online_error or self.incomplete else 0


def retire(
    project: Project,
    offline: OfflineStore,
    online: OnlineStore,
    name: str,
    *,
    erase: bool = False,
    dry_run: bool = False,
) -> RetireResult:
    """Retires a feature that is not declared any more, and takes it from readers; with ``erase`` its history goes too.

    Raises UsageError for a feature that is declared, and for a name that nothing is known of; LockedError, StoreError.
    """
    with writing_turn(project, offline, dry_run=dry_run) as unfinished:
        lives = read_lives(project)
        with offline.reading():
            versions = offline.versions(name)
        _check(project, offline, lives, name, versions)
        before = lives.retired(name)
        retired = before or Retired(times.now())
        made = tuple(each.name for each in offline.datasets() if any(item.feature == name for item in each.features))
        rows, run_id, left = _count(offline, versions) if erase else 0, None, unfinished.left if erase else ()
        if not dry_run:
            if before is None:
                _write(project, name, retired)
            if rows:
                rows, run_id, left = _erase(project, offline, online, versions)
    served, online_error = _leave(project, offline, online, name, dry_run=dry_run)
    models = tuple(dict.fromkeys(use.model for use in models_using(project, name)))
    return RetireResult(
        name, retired, before is None, erase, served, rows, run_id, online_error, models, made,
        left,
    )  # fmt: skip


def _check(project: Project, offline: OfflineStore, lives: Lives, name: str, versions: list[StoredVersion]) -> None:
    if name in lives.declared:
        place = lives.declared[name].place
        raise UsageError(f"{name} is declared", where=place, hint="remove its code first, then retire it")
    if name in lives.broken:
        raise UsageError(f"{name} is declared, but can't be used", hint="featurestore check says why")
    if not versions and not files.versions_of(project.versions, name):
        with offline.reading():
            known = {version.id.feature for version in offline.versions()}
        known = {item for item in {*known, *files.features_of(project.versions)} if lives.is_removed(item)}
        hint = did_you_mean(name, known) or did_you_mean(name, lives.declared)
        raise UsageError(f"there is no feature {name!r}", hint=hint)
    if lives.unreadable:
        raise UsageError(
            f"whether {name} is declared is not known: {lives.unreadable}",
            hint="featurestore check names every such file",
        )


def _write(project: Project, name: str, retired: Retired) -> None:
    try:
        files.write_retired(project.versions, name, retired)
    except OSError as exc:
        raise StoreError(f"can't be written: {exc.strerror}", where=str(project.versions / name)) from exc


def _count(offline: OfflineStore, versions: list[StoredVersion]) -> int:
    with offline.reading():
        marks = [offline.mark(version) for version in versions]
    return sum(mark.rows for mark in marks if mark is not None)


def _erase(
    project: Project, offline: OfflineStore, online: OnlineStore, versions: list[StoredVersion]
) -> tuple[int, str, tuple[str, ...]]:
    """Removes every row of these versions in a run of its own, and what was derived; says what is left all the same."""
    started, clock, commit, run_id = times.now(), time.monotonic(), commit_of(project.root), new_run_id()
    flag_erasure(project)
    with offline.writing(run_id) as run:
        run.begin_erasure(None)
        rows = sum(run.drop(version) for version in versions)
        last = versions[-1]
        feature = FeatureRun(
            last.id.feature, "retire", "ok", last.number, last.id.sha256, rows_written=rows, note="history erased"
        )
        run.finish(
            Run(
                run_id, started, times.now(), round(time.monotonic() - clock, 6), "ok", ("retire",),
                os.uname().nodename, commit, (feature,), run.run_seq, run.learned_at,
            )
        )  # fmt: skip
    return rows, run_id, complete_erasures(project, offline, online).left


def _leave(
    project: Project, offline: OfflineStore, online: OnlineStore, name: str, *, dry_run: bool
) -> tuple[bool, str | None]:
    """Takes a feature and its values from the online store: whether it was served, and what went wrong."""
    tables = OnlineTables(online)
    try:
        require_own_store(project, offline, online)
        served = name in tables.pointers().features
        if not dry_run:
            tables.unpoint([name])
            markers, pointers = tables.markers(), tables.pointers()
            for version, marker in superseded(markers, pointers, [name]).items():
                if version.feature == name:
                    tables.forget(version, marker)
            tables.clear(but=pointers.in_use)
    except ForeignStoreError:
        return False, None  # another project's readers are not ours to switch
    except FeatureStoreError as exc:
        return False, str(exc)
    return served, None
