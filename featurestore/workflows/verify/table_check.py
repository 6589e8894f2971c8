"""Checking the online store's two tables: every entry can be read, and agrees with the others and the history."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence

from featurestore.errors import StoreError
from featurestore.model import StoredVersion, VersionId
from featurestore.online.contract import OnlineStore, TableName
from featurestore.online.tables import (
    GENERATION,
    NEXT_FIELD,
    Marker,
    Markers,
    Pointer,
    Pointers,
    read_markers,
    read_pointers,
    version_entry,
)
from featurestore.serving.plan import is_set_back, steps_back
from featurestore.workflows.verify.differences import Kind, Mismatch


class TableCheck:
    """The mismatches of the tables, the entries to drop because of them, and which version has which field.

    ``active`` are the active versions to check, ``in_history`` all versions that the history has, ``run_ids`` the ids
    of its runs by number. ``comparable`` are the fields whose values are compared with the history. A version that is
    not online has one all the same, which nobody else has: a negative number; ``absent`` has what to say where not one
    of its values is missing. ``taken`` are the names of all fields
    that belong to a version, to a load in progress or to nobody any more. ``clock`` is the instant of the comparison:
    ``now``, or that of the last sync where that is later.
    """

    def __init__(
        self,
        store: OnlineStore,
        active: Sequence[StoredVersion],
        in_history: Sequence[StoredVersion],
        run_ids: Mapping[int, str],
        now: int,
    ) -> None:
        self.mismatches: list[Mismatch] = []
        self.comparable: dict[int, StoredVersion] = {}
        self.absent: dict[str, Mismatch] = {}
        self.taken: set[str] = set()
        self._store = store
        self._in_history = {version.id: version for version in in_history}
        self._run_ids = run_ids
        self._bad_entries: list[tuple[TableName, str]] = []
        self._foreign: list[Marker] = []
        self._names = {version.id.feature for version in active}
        markers, pointers = self._read_markers(), self._read_pointers()
        self._next_field = _next_field(markers, pointers)
        self.clock = max([now, *(marker.clock for marker in markers.versions.values())])
        self._clocks = {version: marker.clock for version, marker in markers.versions.items() if marker.clock}
        self.taken.update(map(str, [*markers.reservations, *markers.clearing]))
        for version, marker in markers.versions.items():
            if marker.field is not None:
                self._check_marker(version, marker, marker.field)
        for wanted in active:
            pointer = pointers.features.get(wanted.id.feature)
            if pointer is not None:
                self._check_pointer(wanted, pointer, markers)
            elif ("active", wanted.id.feature) not in self._bad_entries:
                self._add_unserved(wanted, markers.versions.get(wanted.id))

    def clock_of(self, version: VersionId) -> int:
        """The instant (µs) at which a version's values are compared: what was ahead then is packed as coming."""
        return self._clocks.get(version, self.clock)

    @property
    def owners(self) -> Mapping[str, StoredVersion]:
        """The comparable versions by the names of their fields."""
        return {str(number): version for number, version in self.comparable.items()}

    @property
    def fixable(self) -> Mapping[str, StoredVersion]:
        """Those of them whose values can be written one by one; a sync loads the others."""
        foreign = {marker.field for marker in self._foreign}
        return {
            str(field): version for field, version in self.comparable.items() if field >= 0 and field not in foreign
        }

    def fix(self) -> None:
        """Drops bad entries, which the next sync writes again, and clears fields whose values can't be compared."""
        # With a new generation, so that readers drop the pointers that they have cached.
        extras = {"active": {GENERATION: secrets.token_hex(8)}, "meta": {NEXT_FIELD: str(self._next_field)}}
        for table, extra in extras.items():
            dropped: dict[str, str | None] = {entry: None for name, entry in self._bad_entries if name == table}
            if dropped:
                self._store.swap("active" if table == "active" else "meta", {}, {**dropped, **extra})
        for marker in self._foreign:
            if marker.field is not None:
                self._store.clear(marker.entity_type, [marker.field])

    def _add_unserved(self, wanted: StoredVersion, marker: Marker | None) -> None:
        note = "has no pointer, so readers are served nothing"
        if marker is not None and marker.field is not None:
            self._add("missing", wanted.id.feature, note, wanted)
            return
        field = -1 - len(self.comparable)
        self.comparable[field] = wanted
        self.absent[str(field)] = Mismatch("missing", wanted.id.feature, wanted, None, note)

    def _check_marker(self, version: VersionId, marker: Marker, field: int) -> None:
        shared = str(field) in self.taken
        self.taken.add(str(field))
        if version.feature not in self._names:
            return
        stored = self._in_history.get(version)
        if stored is None:
            self._add("unexpected", version.feature, f"version {version.short} is not in this history")
            self._foreign.append(marker)
        elif shared:
            self._add("different", version.feature, f"field {field} belongs to two versions", stored)
        elif marker.entity_type != stored.entity_type.name:
            self._add("different", version.feature, f"is online as a feature of {marker.entity_type}", stored)
        elif marker.run_seq > (last := max(self._run_ids, default=0)):
            note = f"run {marker.run_seq} is online, but the history ends at run {last}"
            self._add("different", version.feature, note, stored)
            self._foreign.append(marker)
            self.comparable[field] = stored
        elif is_set_back(marker, self._run_ids):
            note = f"the history was set back: its run {marker.run_seq} is not the one that is online"
            self._add("different", version.feature, note, stored)
            self._foreign.append(marker)
            self.comparable[field] = stored
        else:
            self.comparable[field] = stored
            return
        self._bad_entries.append(("meta", version_entry(version)))

    def _check_pointer(self, active: StoredVersion, pointer: Pointer, markers: Markers) -> None:
        marker, stored = markers.versions.get(pointer.version), self._in_history.get(pointer.version)
        if stored is None:
            note = f"readers are served version {pointer.sha256[:12]}, which is not in this history"
        elif marker is None or marker.field != pointer.field:
            note = f"readers use field {pointer.field}, which is not the version's"
        elif (stored.data_type, stored.entity_type.name) != (pointer.data_type, pointer.entity_type):
            note = f"readers take it for a {pointer.data_type} of {pointer.entity_type}"
        elif pointer.sha256 != active.id.sha256 and not steps_back(active, pointer, markers):
            note = f"readers are served version {pointer.number}, but version {active.number} is active"
            self._add("stale", active.id.feature, note, active)
            return
        else:
            return
        self._add("different", active.id.feature, note, stored)
        self._bad_entries.append(("active", active.id.feature))

    def _read_pointers(self) -> Pointers:
        return read_pointers(self._readable("active", lambda entry, text: read_pointers({entry: text})))

    def _read_markers(self) -> Markers:
        return read_markers(self._readable("meta", lambda entry, text: read_markers({entry: text})))

    def _readable(self, name: TableName, read: Callable[[str, str], object]) -> dict[str, str]:
        """A table without the entries that can't be read."""
        table = self._store.table(name)
        for entry, text in list(table.items()):
            try:
                read(entry, text)
            except StoreError:
                feature = entry.partition("@")[0] or None
                self._add("different", feature, f"the entry {entry!r} of @{name} can't be read")
                self._bad_entries.append((name, entry))
                del table[entry]
        return table

    def _add(self, kind: Kind, feature: str | None, note: str, version: StoredVersion | None = None) -> None:
        self.mismatches.append(Mismatch(kind, feature, version, None, note))


def _next_field(markers: Markers, pointers: Pointers) -> int:
    """The first field that is certainly free, even where the table's own counter is damaged."""
    fields = [marker.field for marker in markers.versions.values() if marker.field is not None]
    fields += [*markers.reservations, *markers.clearing, *(pointer.field for pointer in pointers.features.values())]
    fields += [item.field for pointer in pointers.features.values() for item in pointer.others]
    return max([markers.next_field, *(field + 1 for field in fields)])
