"""What this checkout remembers of the online store, to notice that the store has lost what it held.

One small file in ``.featurestore/``. It may be deleted at any time: then the store's own markers are trusted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field

from featurestore.atomic import write_atomically
from featurestore.config import Project
from featurestore.errors import StoreError
from featurestore.frozen import frozen
from featurestore.locking import prepare_state

FILE = "synced.json"
EMBEDDED = "online.sqlite"


@frozen
class Memory:
    """The store's epoch, and the watermark of each version (``<feature>@<sha256>``), at the last sync."""

    epoch: str = ""
    watermarks: Mapping[str, int] = field(default_factory=dict)


def recall(project: Project) -> Memory:
    """The memory of the last sync; an empty one where there is none or it can't be read."""
    try:
        data = json.loads((project.state / FILE).read_text(encoding="utf-8"))
        return Memory(str(data["epoch"]), {str(k): int(v) for k, v in data["watermarks"].items()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Memory()


def online_features(project: Project) -> frozenset[str]:
    """The features of which the last sync of this checkout left values online.

    A server is not asked, which may not answer. Where the embedded store's file is gone, nothing is online.
    """
    if project.online_url is None and not (project.state / EMBEDDED).exists():
        return frozenset()
    return frozenset(entry.rpartition("@")[0] for entry, run_seq in recall(project).watermarks.items() if run_seq)


def remember(project: Project, memory: Memory) -> None:
    """Replaces the memory, atomically. Raises StoreError where the folder can't be written."""
    path = prepare_state(project) / FILE
    text = json.dumps({"epoch": memory.epoch, "watermarks": dict(memory.watermarks)}, indent=1)
    try:
        write_atomically(path, text.encode())
    except OSError as exc:
        raise StoreError(f"can't be written: {exc.strerror}", where=str(path)) from exc
