"""The project as it is now: what a promotion, a new version or a retirement changes is served without a restart."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import field
from pathlib import Path

from featurestore.config import Project, load_project
from featurestore.errors import FeatureStoreError
from featurestore.frozen import frozen
from featurestore.offline.erasing import unfinished_erasure
from featurestore.online.contract import OnlineStore
from featurestore.online.open import open_online
from featurestore.online.tables import Pointers
from featurestore.serving.reader import Reader
from featurestore.workflows.get import max_ages
from featurestore.workflows.lives import Lives, read_lives
from featurestore.workflows.request_reader import RequestReader

REFRESH_SECONDS = 2.0
SHARE = 0.02  # of a core, at most, for looking at the project's files


@frozen
class Snapshot:
    """The project's settings and declarations when they were last read."""

    project: Project
    lives: Lives
    erasure: tuple[str, ...]
    _notes: dict[str, str | None] = field(default_factory=dict)

    def warnings(self, names: Iterable[str]) -> tuple[str, ...]:
        """What ``get`` would warn of for features by these names."""
        found = []
        for name in dict.fromkeys(names):
            if name not in self._notes:
                self._notes[name] = self.lives.note(name)
            note = self._notes[name]
            if note is not None:
                found.append(note)
        return (*found, *self.erasure)


@frozen
class Online:
    """An open online store, its readers, and the url that it was opened by."""

    url: str | None
    store: OnlineStore
    reader: Reader
    requests: RequestReader


class LiveProject:
    """Reads the project's files again every few seconds while it is asked, in a thread that no request waits for.

    ``problem`` says why the last reading failed; until that is repaired, what was read before goes on being served.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._refreshing = threading.Lock()
        self._thread = ThreadPoolExecutor(1, "project")
        self.problem: FeatureStoreError | None = None
        self._next = 0.0
        self._snapshot = self._read()
        self._online = self._open(self._snapshot.project)

    def snapshot(self) -> Snapshot:
        """The project as it was a moment ago."""
        if time.monotonic() >= self._next and self._refreshing.acquire(blocking=False):
            try:
                self._thread.submit(self._refresh)
            except RuntimeError:  # the server is stopping
                self._refreshing.release()
        return self._snapshot

    def online(self) -> Online:
        """The online store that the project names now."""
        return self._online

    def close(self) -> None:
        self._thread.shutdown(wait=True)
        self._online.store.close()

    def _read(self) -> Snapshot:
        began = time.monotonic()
        project = load_project(self._root)
        snapshot = Snapshot(project, read_lives(project), unfinished_erasure(project))
        took = time.monotonic() - began
        self._next = time.monotonic() + max(REFRESH_SECONDS, took / SHARE)
        return snapshot

    def _refresh(self) -> None:
        try:
            self._snapshot = self._read()
            if self._snapshot.project.online_url != self._online.url:
                # The old one is not closed: requests may be reading from it, and idle it costs a connection.
                self._online = self._open(self._snapshot.project)
            self.problem = None
        except FeatureStoreError as exc:
            self.problem = exc
            self._next = time.monotonic() + REFRESH_SECONDS
        except OSError as exc:
            self.problem = FeatureStoreError(f"the project can't be read: {exc.strerror}")
            self._next = time.monotonic() + REFRESH_SECONDS
        finally:
            self._refreshing.release()

    def _open(self, project: Project) -> Online:
        store = open_online(project)
        reader = Reader(project.name, store, max_ages=self._max_ages)
        return Online(project.online_url, store, reader, RequestReader(project, reader))

    def _max_ages(self, pointers: Pointers) -> Mapping[str, int | None]:
        """As declared when the pointers were read, which is after a sync: the snapshot may be older."""
        with self._lock:
            try:
                lives = read_lives(load_project(self._root))
            except FeatureStoreError:
                lives = self._snapshot.lives
        return max_ages(lives, pointers)
