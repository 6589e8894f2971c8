"""What this checkout knows from its last sync, so that it notices when the online store has lost values since.

One small file in ``.featurestore/``. It may be deleted at any time: then the store's own markers are trusted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field

from featurestore.atomic import is_there, write_atomically
from featurestore.config import Project
from featurestore.errors import StoreError, os_reason
from featurestore.frozen import frozen
from featurestore.locking import prepare_state
from featurestore.regular import DERIVED, read_own

FILE = "synced.json"
EMBEDDED = "online.sqlite"  # sqlite.FILE, without the time that importing sqlite3 takes `list`


@frozen
class LastSync:
    """The store's epoch, and the watermark of each version (``<feature>@<sha256>``), at the last sync.

    ``former`` are names that the project had at earlier syncs: another name is another store.
    """

    epoch: str = ""
    watermarks: Mapping[str, int] = field(default_factory=dict)
    former: tuple[str, ...] = ()


def read_last_sync(project: Project) -> LastSync:
    """The record of the last sync; an empty one where there is none or it can't be read."""
    try:
        data = json.loads(read_own(project.state / FILE, DERIVED))
        name, former = str(data.get("project", project.name)), [str(one) for one in data.get("former", ())]
        if name != project.name:
            return LastSync(former=_without(project.name, [*former, name]))
        watermarks = {str(k): int(v) for k, v in data["watermarks"].items()}
        return LastSync(str(data["epoch"]), watermarks, _without(name, former))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return LastSync()


def online_features(project: Project) -> frozenset[str]:
    """The features that have values online, as far as the last sync of this checkout knows.

    No server is asked, since it may not answer. Without the embedded store's file nothing is online.
    """
    if project.online_url is None and not is_there(project.state / EMBEDDED):
        return frozenset()
    watermarks = read_last_sync(project).watermarks
    return frozenset(entry.rpartition("@")[0] for entry, run_seq in watermarks.items() if run_seq)


def write_last_sync(project: Project, last: LastSync) -> None:
    """Replaces the record. Raises StoreError where the folder can't be written."""
    path = prepare_state(project) / FILE
    record = {"epoch": last.epoch, "watermarks": dict(last.watermarks), "project": project.name, "former": last.former}
    text = json.dumps(record, indent=1)
    try:
        write_atomically(path, text.encode())
    except OSError as exc:
        raise StoreError(f"can't be written: {os_reason(exc)}", where=str(path)) from exc


def _without(name: str, names: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one for one in names if one != name))
