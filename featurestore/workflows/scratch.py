"""A place for what is only tried, where the project's own local state may not be written.

A dry run writes and takes it back, and rows are laid out on disk. Somebody who may only read a project can do both on
a copy of the local state, which is gone afterwards.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from featurestore.config import Project
from featurestore.errors import from_os_error
from featurestore.offline.contract import OfflineStore
from featurestore.offline.duckdb.place import FILE as HISTORY
from featurestore.offline.duckdb.place import history_path, wal_of
from featurestore.offline.last_run import FILE as LAST_RUN
from featurestore.offline.open import open_offline

# What a run reads of the local state.
NEEDED = (HISTORY, wal_of(Path(HISTORY)).name, LAST_RUN, "rows", "hashes")


@contextmanager
def trial(project: Project, store: OfflineStore) -> Iterator[tuple[Project, OfflineStore]]:
    """The project and its store for what leaves nothing behind: themselves, or on a copy where they can't be written.

    Raises StoreError where there is no room for the copy.
    """
    if _may_write(project):
        yield project, store
        return
    with tempfile.TemporaryDirectory(prefix="featurestore-", ignore_cleanup_errors=True) as folder:
        scratch = Path(folder) / "state"
        with store.reading():
            store.committed_runs()  # holds an embedded history open, so that nobody writes to it meanwhile
            _copy(project.state, scratch)
        tried = replace(project, scratch=scratch)
        yield tried, open_offline(tried)


def _may_write(project: Project) -> bool:
    """Whether the state, or the folder in which it would be made, and what a run writes in it can be written."""
    state = project.state
    paths = (state, state / "lock", history_path(project)) if state.exists() else (project.root,)
    return all(os.access(path, os.W_OK) for path in paths if path.exists())


def _copy(state: Path, scratch: Path) -> None:
    try:
        scratch.mkdir(mode=0o700)
        for name in NEEDED:
            for path in (state / name, *(state / name).rglob("*")):
                if path.is_file() and not path.is_symlink():
                    copy = scratch / path.relative_to(state)
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, copy)
    except OSError as exc:
        raise from_os_error(exc) from exc
