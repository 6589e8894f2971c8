"""Every change to the two tables of an online store, each by compare-and-set.

Values are written first, then their marker, then the pointer. Whoever loses a race reads the tables again.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from featurestore.errors import StoreError
from featurestore.model import VersionId
from featurestore.online.contract import OnlineStore
from featurestore.online.tables import (
    CLEARING,
    EPOCH,
    GENERATION,
    LOADING,
    NEXT_FIELD,
    OWNER,
    Marker,
    Markers,
    Pointer,
    Pointers,
    Reservation,
    read_markers,
    read_pointers,
    version_entry,
    write_pointer,
    write_record,
)

ATTEMPTS = 20
ABANDONED_AFTER = 6 * 3_600_000_000  # µs; whoever loads for longer than that is assumed to have died

# The loads of this process, by epoch and field. The lock covers both the reservation and its entry here: else a sync in
# another thread could see the one without the other, and take a load that has just begun for an abandoned one.
_loads: set[tuple[str, int]] = set()
_loads_lock = threading.Lock()


class OnlineTables:
    """The tables of one online store, as values. Threads may share it, like the store."""

    def __init__(self, store: OnlineStore) -> None:
        self._store = store

    def pointers(self) -> Pointers:
        return read_pointers(self._store.table("active"))

    def markers(self) -> Markers:
        return read_markers(self._store.table("meta"))

    def owner(self) -> str:
        """The id of the history that the store belongs to; read alone, since other entries may be damaged."""
        return self._store.table("meta").get(OWNER, "")

    def begin(self, owner: str = "") -> str:
        """The store's epoch; a new one where it has none. A store without an owner gets this one."""
        for _ in range(ATTEMPTS):
            markers = self.markers()
            if markers.epoch and (markers.owner or not owner):
                return markers.epoch
            expected: dict[str, str | None] = {EPOCH: markers.epoch or None, OWNER: markers.owner or None}
            updates: dict[str, str | None] = {OWNER: markers.owner or owner or None}
            if not markers.epoch:
                # A store that has lost this table may still serve from the other one: its fields can't be given out
                # again, and are cleared once readers have been switched.
                types = {
                    field: pointer.entity_type
                    for pointer in self.pointers().features.values()
                    for field in pointer.fields
                }
                updates |= {EPOCH: secrets.token_hex(16), NEXT_FIELD: str(max(types, default=-1) + 1)}
                updates |= {_clearing_entry(field): entity_type for field, entity_type in types.items()}
            self._store.swap("meta", expected, updates)
        raise _contended()

    def take_over(self, owner: str, features: Collection[str]) -> None:
        """Makes the store this history's: pointers and versions of any but these features go.

        What is served of these features is served until the sync that follows has written their own values.
        """
        for _ in range(ATTEMPTS):
            pointers = self.pointers()
            self.unpoint([name for name in pointers.features if name not in features])
            table = self._store.table("meta")
            expected: dict[str, str | None] = {OWNER: table.get(OWNER)}
            updates: dict[str, str | None] = {OWNER: owner}
            for version, marker in read_markers(table).versions.items():
                if version.feature not in features:
                    expected[version_entry(version)] = table[version_entry(version)]
                    updates[version_entry(version)] = None
                    if marker.field is not None:
                        updates[_clearing_entry(marker.field)] = marker.entity_type
            if self._store.swap("meta", expected, updates):
                return
        raise _contended()

    def reserve(self, versions: Mapping[VersionId, str], now: int) -> dict[VersionId, int]:
        """A new field for each version (given with its entity type), for a load by this process.

        `release` must be called when the load is over.
        """
        for _ in range(ATTEMPTS):
            table = self._store.table("meta")
            first = int(table.get(NEXT_FIELD, "0"))
            fields = {version: first + place for place, version in enumerate(versions)}
            records = {
                _reservation_entry(field): write_record(
                    Reservation(
                        version.feature, version.sha256, versions[version], now, socket.gethostname(), os.getpid()
                    )
                )
                for version, field in fields.items()
            }
            expected = {EPOCH: table.get(EPOCH), NEXT_FIELD: table.get(NEXT_FIELD)}
            with _loads_lock:
                if self._store.swap("meta", expected, {NEXT_FIELD: str(first + len(fields)), **records}):
                    _loads.update((table.get(EPOCH, ""), field) for field in fields.values())
                    return fields
        raise _contended()

    def release(self, epoch: str, fields: Iterable[int]) -> None:
        """Records that this process does not load into these fields any more, whether or not it has published them."""
        with _loads_lock:
            _loads.difference_update((epoch, field) for field in fields)

    def expire(self, fields: Iterable[int]) -> None:
        """Ages the reservations of a load that was given up, so that the next sync on any machine sweeps it."""
        reservations = self.markers().reservations
        for field in fields:
            if field in reservations:
                old, expired = reservations[field], replace(reservations[field], since=0)
                entry = _reservation_entry(field)
                self._store.swap("meta", {entry: write_record(old)}, {entry: write_record(expired)})

    def publish(self, epoch: str, version: VersionId, marker: Marker, *, replacing: int | None) -> bool:
        """Makes a loaded field the version's own, and the field that it replaces one to be cleared.

        False where the store or the version's field has changed since.
        """
        assert marker.field is not None, "it has just been loaded"
        entry, reserved = version_entry(version), _reservation_entry(marker.field)
        for _ in range(ATTEMPTS):
            table = self._store.table("meta")
            stored = read_markers(table).versions.get(version)
            if table.get(EPOCH) == epoch and stored is not None and stored.field == marker.field:
                return True  # nobody else has this field, so it was our own swap, whose answer was lost
            if table.get(EPOCH) != epoch or reserved not in table or (stored and stored.field) != replacing:
                return False
            record = replace(marker, pointed=stored is not None and stored.pointed)
            expected = {EPOCH: epoch, entry: table.get(entry), reserved: table[reserved]}
            updates: dict[str, str | None] = {entry: write_record(record), reserved: None}
            if replacing is not None:  # readers are served from it until their pointer has moved
                updates[_clearing_entry(replacing)] = marker.entity_type
            if self._store.swap("meta", expected, updates):
                return True
        raise _contended()

    def advance(self, epoch: str, version: VersionId, written: Marker, *, since: int) -> bool:
        """Moves a version's watermark forward from ``since``, never back, after every write was confirmed.

        ``written`` describes what was written: its ``count`` is the number of added entities. False where the store was
        lost, was set back to before ``since``, or has the version in another field by now. The clock moves back only
        where all was compared (``since`` is 0): values whose time came later may have been removed.
        """
        entry = version_entry(version)
        for _ in range(ATTEMPTS):
            table = self._store.table("meta")
            stored = read_markers(table).versions.get(version)
            if table.get(EPOCH) != epoch or stored is None or stored.field != written.field or stored.run_seq < since:
                return False
            record = replace(
                written,
                run_seq=max(stored.run_seq, written.run_seq),
                run_id=stored.run_id if stored.run_seq > written.run_seq else written.run_id,
                count=stored.count + written.count,
                pointed=stored.pointed,
                clock=max(stored.clock, written.clock) if since else written.clock,
                ahead=max(stored.ahead, written.ahead),
                horizon=max(filter(None, (stored.horizon, written.horizon)), default=None),
            )
            expected = {EPOCH: epoch, entry: table[entry]}
            if record == stored or self._store.swap("meta", expected, {entry: write_record(record)}):
                return True
        raise _contended()

    def point(self, pointers: Sequence[Pointer], seen: Pointers) -> bool:
        """Switches readers of all these features at once. False where the generation is not the one of ``seen``."""
        # Marked first: a version that was served without the mark would never be swept.
        if not self._mark_pointed([pointer.version for pointer in pointers]):
            return False
        updates = {pointer.feature: write_pointer(pointer) for pointer in pointers}
        expected = {GENERATION: seen.generation or None}
        if not self._store.swap("active", expected, {GENERATION: secrets.token_hex(8), **updates}):
            return False
        versions = self.markers().versions  # another sync may have swept a version between the two swaps
        return all(
            pointer.version in versions and versions[pointer.version].field == pointer.field for pointer in pointers
        )

    def unpoint(self, features: Collection[str]) -> None:
        """Takes features from readers. Their values stay until they are swept."""
        for _ in range(ATTEMPTS):
            pointers = self.pointers()
            gone: dict[str, str | None] = {name: None for name in features if name in pointers.features}
            expected = {GENERATION: pointers.generation or None}
            if not gone or self._store.swap("active", expected, {GENERATION: secrets.token_hex(8), **gone}):
                return
        raise _contended()

    def forget(self, version: VersionId, marker: Marker) -> None:
        """Reduces a marker to the fact that the version was once active, and records that its values are to go.

        Nothing happens where the marker has changed since.
        """
        assert marker.field is not None, "its values are online"
        entry = version_entry(version)
        text = self._store.table("meta").get(entry)
        if text is not None and read_markers({entry: text}).versions[version] == marker:
            emptied = write_record(
                replace(marker, field=None, run_seq=0, run_id="", count=0, clock=0, ahead=0, horizon=None)
            )
            self._store.swap("meta", {entry: text}, {entry: emptied, _clearing_entry(marker.field): marker.entity_type})

    def cancel(self, field: int, reservation: Reservation) -> bool:
        """Replaces a reservation by the record that its field is to be cleared.

        False where it has gone since: then its load may have been published.
        """
        entry = _reservation_entry(field)
        updates: dict[str, str | None] = {entry: None, _clearing_entry(field): reservation.entity_type}
        return self._store.swap("meta", {entry: write_record(reservation)}, updates)

    def abandon(self, field: int, entity_type: str) -> None:
        """The same for a load of our own that was not published."""
        self._store.swap("meta", {}, {_reservation_entry(field): None, _clearing_entry(field): entity_type})

    def clear(self, *, but: Collection[int]) -> None:
        """Removes the values of every field that is to be cleared, but for these, and then the records of it."""
        by_type: dict[str, list[int]] = {}
        for field, entity_type in self.markers().clearing.items():
            if field not in but:
                by_type.setdefault(entity_type, []).append(field)
        for entity_type, fields in by_type.items():
            self._store.clear(entity_type, fields)
            self._store.swap("meta", {}, dict.fromkeys(map(_clearing_entry, fields)))

    def _mark_pointed(self, versions: Sequence[VersionId]) -> bool:
        for _ in range(ATTEMPTS):
            table = self._store.table("meta")
            markers = read_markers(table).versions
            entries = {version_entry(version): markers.get(version) for version in versions}
            if any(marker is None or marker.field is None for marker in entries.values()):
                return False
            updates = {
                entry: write_record(replace(marker, pointed=True))
                for entry, marker in entries.items()
                if marker is not None and not marker.pointed
            }
            if not updates or self._store.swap("meta", {entry: table[entry] for entry in updates}, updates):
                return True
        raise _contended()


def is_abandoned(epoch: str, field: int, reservation: Reservation, now: int) -> bool:
    """Whether nobody loads into a reserved field any more: the process has ended, or has taken far too long."""
    if reservation.since + ABANDONED_AFTER < now:
        return True
    if reservation.host != socket.gethostname():
        return False
    if reservation.process == os.getpid():
        with _loads_lock:
            return (epoch, field) not in _loads
    try:
        os.kill(reservation.process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _clearing_entry(field: int) -> str:
    return f"{CLEARING}{field}"


def _reservation_entry(field: int) -> str:
    return f"{LOADING}{field}"


def _contended() -> StoreError:
    return StoreError("other runs keep changing the online store's tables", hint="try again")
