"""Completing an erasure: the values online, lines of request logs, all that is derived, the bytes that stay on disk.

The transaction that erases records that this is still to be done. Whatever ends it early, every command that writes
begins by doing it (`writing_turn`); each step may be done again.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace

from featurestore.atomic import sweep
from featurestore.config import Project
from featurestore.errors import ConfigError, FeatureStoreError, ForeignStoreError, StoreError, from_os_error
from featurestore.frozen import frozen
from featurestore.locking import write_lock
from featurestore.offline.contract import OfflineStore
from featurestore.offline.erasing import FLAG
from featurestore.online.contract import OnlineStore
from featurestore.registry.summary import write_summary
from featurestore.serving.ownership import require_own_store
from featurestore.workflows.request_logs import erase_lines
from featurestore.workflows.summaries import summarize

COMPLETED = "an erasure that was broken off has been completed"


@frozen
class Completion:
    """What became of committed erasures: whether some were completed, or what is left of them all the same.

    ``left`` has for each the reason and the way out.
    """

    completed: bool = False
    left: tuple[str, ...] = ()


@contextmanager
def writing_turn(project: Project, offline: OfflineStore, *, dry_run: bool = False) -> Iterator[Completion]:
    """Holds the project's write lock, and completes erasures that were broken off, of which ``offline`` takes note.

    With ``dry_run`` it does neither: what only looks needs no right to write. Raises LockedError, StoreError, and
    SetBackError for a history that was set back, before anything is written.
    """
    if dry_run:
        refuse_set_back(offline)
        yield Completion()
        return
    with write_lock(project):
        yield _complete_broken_off(project, offline) if _broken_off(project, offline) else Completion()


def complete_if_broken_off(project: Project, offline: OfflineStore) -> None:
    """The same for a command that needs no lock of its own."""
    if _broken_off(project, offline):
        with writing_turn(project, offline):
            pass


def _broken_off(project: Project, offline: OfflineStore) -> bool:
    """Whether an erasure was broken off, after a look whether the history is the one that was written here.

    Raises SetBackError.
    """
    with offline.reading():  # all three questions at once
        refuse_set_back(offline)
        offline.catch_up()
        return bool(offline.erasures()) or (project.state / FLAG).exists()


def refuse_set_back(offline: OfflineStore) -> None:
    """Raises SetBackError for a history that lacks the last run committed here: its older values go nowhere."""
    lost = offline.set_back()
    if lost is not None:
        raise lost


def complete_if_flagged(project: Project, open_offline: Callable[[Project], OfflineStore]) -> None:
    """The same for a command that opens no store, under the lock that it holds: where one was broken off here."""
    if (project.state / FLAG).exists():
        _complete_broken_off(project, open_offline(project))


def _complete_broken_off(project: Project, offline: OfflineStore) -> Completion:
    found = complete_erasures(project, offline)
    for notice in (COMPLETED,) if found.completed else found.left:
        offline.note(notice)
    return found


def flag_erasure(project: Project) -> None:
    """Notes that an erasure begins. Raises StoreError."""
    try:
        (project.state / FLAG).touch(mode=0o600)
    except OSError as exc:
        raise from_os_error(exc) from exc


def complete_erasures(project: Project, offline: OfflineStore, online: OnlineStore | None = None) -> Completion:
    """Does what committed erasures have left to do, under the project's lock.

    Where something is left all the same, the record stays for the next command. Raises StoreError where the disk or
    the offline store refuses.
    """
    left: tuple[str, ...] = ()
    pending = offline.erasures()
    if pending:
        keys = [item.online_key for item in pending if item.online_key is not None]
        error = _remove_online(project, offline, keys, online)
        left = (*(() if error is None else (later(error),)), *erase_lines(project, keys))
        _remove_derived(project)
        # First without the keys, then rewritten, and forgotten last: at no moment is there a key and no record.
        rest = [replace(item, online_key=None) if not left else item for item in pending]
        offline.set_erasures(rest)
        kept = offline.purge()
        left = (*left, *(() if kept is None else (kept,)))
        if not left:
            offline.set_erasures([])
        with suppress(OSError, FeatureStoreError):  # it is derived again by whoever needs it
            write_summary(project.summary, summarize(offline))
    if not left:
        with suppress(OSError):
            (project.state / FLAG).unlink(missing_ok=True)
    return Completion(bool(pending) and not left, left)


def later(error: str) -> str:
    """What to say where the online values could not be removed."""
    return f"{error}; the next command that writes erases the online values"


def _remove_online(project: Project, offline: OfflineStore, keys: list[str], online: OnlineStore | None) -> str | None:
    if not keys:
        return None
    try:
        if online is not None:
            return remove_online(project, offline, online, keys)
        from featurestore.online.open import open_online

        with closing(open_online(project)) as opened:
            return remove_online(project, offline, opened, keys)
    except ConfigError as exc:
        return str(exc)


def remove_online(project: Project, offline: OfflineStore, online: OnlineStore, keys: list[str]) -> str | None:
    """Removes entities from the online store; says why it could not, where it could not."""
    try:
        require_own_store(project, offline, online)
        online.remove(keys)
    except (StoreError, ForeignStoreError) as exc:
        return str(exc)
    return None


def _remove_derived(project: Project) -> None:
    """Removes all that was made from the history and may hold what was erased, finished or not."""
    try:
        for derived in ("columns", "rows", "hashes"):
            for _ in range(3):  # a join that replaces its own meanwhile may take away what is just being removed
                with suppress(FileNotFoundError):
                    shutil.rmtree(project.state / derived)
        project.summary.unlink(missing_ok=True)
        sweep(project.state)
    except OSError as exc:
        raise from_os_error(exc) from exc
