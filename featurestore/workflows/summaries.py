"""The summary of the audit log that fits the offline store as it is now: from its file, else from the store.

This is what ``list``, ``show``, ``plan`` and ``diff`` know of the history. An embedded store is compared by the state
of its file, without opening it; a server is asked, since another machine may have committed meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from featurestore import times
from featurestore.atomic import is_there
from featurestore.config import Project
from featurestore.errors import FeatureStoreError
from featurestore.frozen import frozen
from featurestore.locking import write_lock
from featurestore.model import Run
from featurestore.offline.duckdb.place import LOCAL, history_path, stamp_of
from featurestore.offline.last_run import read_last_run
from featurestore.registry.summary import FeatureSummary, Summary, read_summary, write_summary
from featurestore.serving.last_sync import online_features

if TYPE_CHECKING:
    from featurestore.offline.contract import OfflineStore


@frozen
class CurrentSummary:
    """The features by name, and what to say of them: why they may be out of date, if they may.

    ``online`` are the features that are online as far as this checkout knows.
    """

    features: Mapping[str, FeatureSummary]
    warnings: tuple[str, ...] = ()
    online: frozenset[str] = frozenset()


def current_summary(project: Project) -> CurrentSummary:
    """What the audit log says of each feature now. Writes it down for the next time where that can be done at once.

    A server that can't be reached is a warning: then the features are as they were when it was last asked. Raises
    StoreError where the embedded store can't be read.
    """
    online = online_features(project)
    stored = stored_summary(project)
    if project.offline_url is not None:
        return replace(_ask_server(project, stored), online=online)
    if stored is not None:
        return CurrentSummary(stored.features, online=online)
    exists = is_there(history_path(project))
    if not exists and read_last_run(project, LOCAL) is None:
        return CurrentSummary({}, online=online)
    store = _open(project)
    stored = _derive(project, store) if exists else None
    return CurrentSummary({} if stored is None else stored.features, _said_of(store), online)


def _ask_server(project: Project, stored: Summary | None) -> CurrentSummary:
    """The stored summary if it fits the server's history, else one that is derived from it."""
    store = _open(project)
    try:
        with store.reading():
            fits = stored is not None and stored.store == store.name and stored.stamp == store.stamp()
            summary = stored if stored is not None and fits else _derive(project, store)
            lost = () if fits else _said_of(store)
    except FeatureStoreError as exc:
        if stored is None or stored.store != store.name:
            raise
        since = times.format_instant(stored.written_at // 1_000_000 * 1_000_000)
        late = f"{exc}; what is shown of the history is as of {since}"
        return CurrentSummary(stored.features, (*store.warnings, late))
    return CurrentSummary(summary.features, (*store.warnings, *lost))


def _said_of(store: OfflineStore) -> tuple[str, ...]:
    """What to say of a history that was set back; nothing of any other."""
    lost = store.set_back()
    return () if lost is None else (f"{lost}; {lost.hint}",)


def stored_summary(project: Project) -> Summary | None:
    """The summary's file, if it is whole and, for an embedded store, fits it."""
    stored = read_summary(project.summary)
    if stored is None or project.offline_url is not None:
        return stored
    return stored if stored.stamp == stamp_of(history_path(project)) else None


def summarize_run(project: Project, store: OfflineStore, run: Run, before: Summary | None) -> None:
    """Brings the summary up to date after a run, under its lock. ``before`` is the one that fitted until then.

    A run is not undone because this fails: a summary that does not fit is derived again by whoever needs it.
    """
    with suppress(OSError, FeatureStoreError):
        if run.run_seq is not None:
            write_summary(project.summary, summarize(store))
        elif before is not None and project.offline_url is None:  # it was only logged, which moves the file's stamp
            write_summary(project.summary, replace(before, stamp=store.stamp()))


def summarize(store: OfflineStore) -> Summary:
    """The summary of a store as it is now. Raises StoreError."""
    with store.reading():
        stamp = store.stamp()  # before anything is read: one that is too old only means that all is derived again
        return Summary(store.name, stamp, times.now(), store.summarize())


def _open(project: Project) -> OfflineStore:
    from featurestore.offline.open import open_offline  # the contracts, and mostly a store, are not needed

    return open_offline(project)


def _derive(project: Project, store: OfflineStore) -> Summary:
    summary = summarize(store)
    # Not where a run is going on, which writes it itself, nor in a project that may only be read, nor of a history that
    # was set back: who reads the file would not look at the store, and not be told.
    with suppress(OSError, FeatureStoreError), write_lock(replace(project, lock_timeout=0.0)):
        if store.stamp() == summary.stamp and store.set_back() is None:
            write_summary(project.summary, summary)
    return summary
