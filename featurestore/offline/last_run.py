"""The last run that this checkout committed, in a file beside the history: one that was set back is noticed by it.

A backup that was restored, a write-ahead file that was lost, another database under the same address: the history then
lacks a run that somebody was told is committed. It can still be read, with a warning; nothing is written to it.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from featurestore.atomic import write_atomically
from featurestore.config import Project
from featurestore.errors import FeatureStoreError, SetBackError, os_reason
from featurestore.frozen import frozen
from featurestore.locking import prepare_state
from featurestore.offline.restoring import broken_off
from featurestore.regular import DERIVED, read_own

if TYPE_CHECKING:
    from featurestore.offline.sql import SqlConnection

FILE = "history.json"
FORMAT = 1


@frozen
class LastRun:
    """A committed run by number and id. No other run ever gets the id, in a restored store either."""

    run_seq: int
    run_id: str


def read_last_run(project: Project, store: str) -> LastRun | None:
    """The last run committed to a store, by its name. None where there was none, or the file can't be read."""
    found = _read(project).get(store)
    try:
        return None if found is None else LastRun(int(found["run_seq"]), str(found["run_id"]))
    except (ValueError, KeyError, TypeError):
        return None


def _write(project: Project, stores: dict[str, dict[str, Any]]) -> None:
    text = json.dumps({"format": FORMAT, "stores": stores}, indent=1)
    write_atomically(project.state / FILE, text.encode(), mode=0o600)


def note_last_run(project: Project, store: str, last: LastRun) -> tuple[str, ...]:
    """Records a run that was committed; says so where that can't be done, since the run is committed all the same."""
    return _noted(project, {**_read(project), store: asdict(last)}, "the run is committed, but ")


def note_restored(project: Project, store: str, last: tuple[int, str] | None) -> tuple[str, ...]:
    """Records the last run of a history that takes the place of another one; None where it has no run.

    Before it does: what is killed in between leaves a history that is newer than what is noted, and no older one.
    """
    stores = {name: each for name, each in _read(project).items() if name != store}
    return _noted(project, stores if last is None else {**stores, store: asdict(LastRun(*last))})


def _noted(project: Project, stores: dict[str, dict[str, Any]], but: str = "") -> tuple[str, ...]:
    try:
        prepare_state(project)
        _write(project, stores)
    except (OSError, FeatureStoreError) as exc:
        why = str(exc) if isinstance(exc, FeatureStoreError) else os_reason(exc)
        what = f"{but}{project.state / FILE} can't be written: {why}"
        return (f"{what}; until a run can do so, a history that is set back is not noticed",)
    return ()


def catch_up(project: Project, store: str, connection: SqlConnection) -> tuple[str, ...]:
    """Records the history's last run where that was not done when it was committed, as on a full disk."""
    query = "SELECT run_seq, run_id FROM runs WHERE run_seq IS NOT NULL ORDER BY run_seq DESC LIMIT 1"
    found, known = connection.rows(query), read_last_run(project, store)
    if not found or (known is not None and known.run_seq >= found[0]["run_seq"]):
        return ()
    return note_last_run(project, store, LastRun(found[0]["run_seq"], found[0]["run_id"]))


def set_back(project: Project, store: str, connection: SqlConnection | None, where: str) -> SetBackError | None:
    """The error for a history (None: there is none) that ends before the last run committed here, or has another one.

    So is one of which a restore was broken off. None where all is well.
    """
    broken = broken_off(project, where)
    if broken is not None:
        return broken
    last = read_last_run(project, store)
    if last is None:
        return None
    query = "SELECT c.run_seq, r.run_id FROM counter c LEFT JOIN runs r ON r.run_seq = $1"
    found = [] if connection is None else connection.rows(query, [last.run_seq])
    end, run_id = (found[0]["run_seq"], found[0]["run_id"]) if found else (0, None)
    if end >= last.run_seq and run_id in (None, last.run_id):
        return None
    what = "is older than" if end < last.run_seq else "is another one than that of"
    return SetBackError(
        f"the history {what} run {last.run_seq} ({last.run_id}), which was committed here: "
        "perhaps a backup was restored, or the write-ahead file lost",
        where=where,
        hint=f"put the newer one back; where this one is meant, remove {project.state / FILE}, "
        "then run featurestore sync --full",
    )


def _read(project: Project) -> dict[str, dict[str, Any]]:
    try:
        data = json.loads(read_own(project.state / FILE, DERIVED))
        return dict(data["stores"]) if data["format"] == FORMAT else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
