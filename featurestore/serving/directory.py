"""What sync has loaded and what readers are served: every change to the two tables, each by compare-and-set.

Data lands first, then its marker, then the pointer. Whoever loses a race reads the tables again.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from featurestore.errors import StoreError
from featurestore.model import VersionId
from featurestore.online.contract import OnlineStore
from featurestore.online.tables import (
    EPOCH,
    GENERATION,
    LOADING,
    NEXT_FIELD,
    Loaded,
    Loading,
    Meta,
    Pointer,
    Pointers,
    read_active,
    read_meta,
    version_entry,
    write_pointer,
    write_record,
)

ATTEMPTS = 20
ABANDONED_AFTER = 6 * 3_600_000_000  # a load that took longer has died

_loading_here: set[int] = set()


class Directory:
    """The tables of one online store, as values."""

    def __init__(self, store: OnlineStore) -> None:
        self._store = store

    def pointers(self) -> Pointers:
        return read_active(self._store.table("active"))

    def meta(self) -> Meta:
        return read_meta(self._store.table("meta"))

    def begin(self) -> str:
        """The store's epoch, given now if it has none.

        A store that lost the one table may still serve from the other: its fields are not given out again.
        """
        for _ in range(ATTEMPTS):
            epoch = self.meta().epoch
            if epoch:
                return epoch
            served = [pointer.field for pointer in self.pointers().features.values()]
            served += [pointer.previous.field for pointer in self.pointers().features.values() if pointer.previous]
            first = str(max(served, default=-1) + 1)
            self._store.swap("meta", {EPOCH: None}, {EPOCH: secrets.token_hex(16), NEXT_FIELD: first})
        raise _contended()

    def reserve(self, versions: Mapping[VersionId, str], now: int) -> dict[VersionId, int]:
        """A fresh field for each version (given with its entity type), known to nobody else."""
        for _ in range(ATTEMPTS):
            table = self._store.table("meta")
            first = int(table.get(NEXT_FIELD, "0"))
            fields = {version: first + place for place, version in enumerate(versions)}
            records = {
                f"{LOADING}{field}": write_record(
                    Loading(version.feature, version.sha256, versions[version], now, socket.gethostname(), os.getpid())
                )
                for version, field in fields.items()
            }
            expected = {EPOCH: table.get(EPOCH), NEXT_FIELD: table.get(NEXT_FIELD)}
            if self._store.swap("meta", expected, {NEXT_FIELD: str(first + len(fields)), **records}):
                _loading_here.update(fields.values())
                return fields
        raise _contended()

    def let_go(self, fields: Iterable[int]) -> None:
        """Says that this process loads these fields no longer, whatever came of it."""
        _loading_here.difference_update(fields)

    def publish(self, epoch: str, version: VersionId, loaded: Loaded, *, replacing: int | None) -> bool:
        """Makes a loaded field the version's own. False where the store or the version's field has changed since."""
        entry = version_entry(version)
        for _ in range(ATTEMPTS):
            table = self._store.table("meta")
            held = read_meta(table).loaded.get(version)
            reserved = f"{LOADING}{loaded.field}"
            if table.get(EPOCH) != epoch or reserved not in table or (held and held.field) != replacing:
                return False
            record = replace(loaded, pointed=held is not None and held.pointed)
            expected = {EPOCH: epoch, entry: table.get(entry), reserved: table[reserved]}
            if self._store.swap("meta", expected, {entry: write_record(record), reserved: None}):
                return True
        raise _contended()

    def advance(self, epoch: str, version: VersionId, now: Loaded, *, since: int) -> bool:
        """Moves a version's marker forward from ``since``, after every write was confirmed; its watermark never back.

        ``now`` is what was written: ``count`` are the entities that were added. False where the store was lost, was
        set back to before ``since``, or holds the version in another field by now.
        """
        entry = version_entry(version)
        for _ in range(ATTEMPTS):
            table = self._store.table("meta")
            held = read_meta(table).loaded.get(version)
            if table.get(EPOCH) != epoch or held is None or held.field != now.field or held.run_seq < since:
                return False
            record = replace(
                now, run_seq=max(held.run_seq, now.run_seq), count=held.count + now.count, pointed=held.pointed
            )
            if record == held or self._store.swap(
                "meta", {EPOCH: epoch, entry: table[entry]}, {entry: write_record(record)}
            ):
                return True
        raise _contended()

    def point(self, pointers: Sequence[Pointer], seen: Pointers) -> bool:
        """Switches readers of all these features at once. False where the generation is not the one seen."""
        if not self._mark_pointed([pointer.version for pointer in pointers]):
            return False
        updates = {pointer.feature: write_pointer(pointer) for pointer in pointers}
        expected = {GENERATION: seen.generation or None}
        if not self._store.swap("active", expected, {GENERATION: secrets.token_hex(8), **updates}):
            return False
        loaded = self.meta().loaded  # nobody may have swept a version away between the two
        return all(pointer.version in loaded and loaded[pointer.version].field is not None for pointer in pointers)

    def forget(self, version: VersionId, loaded: Loaded) -> bool:
        """Keeps of a version only that it was once the active one. False where its marker has changed since."""
        entry = version_entry(version)
        text = write_record(loaded)
        emptied = write_record(replace(loaded, field=None, run_seq=0, count=0))
        return self._store.swap("meta", {entry: text}, {entry: emptied})

    def abandon(self, fields: Sequence[int]) -> None:
        """Takes back fields that were given out for a load."""
        self._store.swap("meta", {}, {f"{LOADING}{field}": None for field in fields})

    def _mark_pointed(self, versions: Sequence[VersionId]) -> bool:
        for _ in range(ATTEMPTS):
            table = self._store.table("meta")
            meta = read_meta(table)
            entries = {version_entry(version): meta.loaded.get(version) for version in versions}
            if any(held is None or held.field is None for held in entries.values()):
                return False
            updates = {
                entry: write_record(replace(held, pointed=True))
                for entry, held in entries.items()
                if held is not None and not held.pointed
            }
            if not updates or self._store.swap("meta", {entry: table[entry] for entry in updates}, updates):
                return True
        raise _contended()


def is_abandoned(field: int, loading: Loading, now: int) -> bool:
    """Whether nobody loads into a reserved field any more: its process is gone, or it has taken far too long."""
    if loading.since + ABANDONED_AFTER < now:
        return True
    if loading.host != socket.gethostname():
        return False
    if loading.process == os.getpid():
        return field not in _loading_here
    try:
        os.kill(loading.process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _contended() -> StoreError:
    return StoreError("the online store's tables keep changing under this run", hint="try again")
