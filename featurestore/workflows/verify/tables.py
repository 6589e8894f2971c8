"""Checking the store's own two tables: that each entry can be read, and agrees with the others and the history."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence

from featurestore.errors import StoreError
from featurestore.model import StoredVersion, VersionId
from featurestore.online.contract import OnlineStore, Table
from featurestore.online.tables import (
    GENERATION,
    NEXT_FIELD,
    Loaded,
    Meta,
    Pointer,
    Pointers,
    read_active,
    read_meta,
    version_entry,
)
from featurestore.serving.plan import steps_back
from featurestore.workflows.verify.compare import Finding, Kind


class TableCheck:
    """What is wrong with the tables, which entries to drop for it, and what lies in which field.

    ``comparable`` are the fields whose values can be held against the history; ``taken`` are the names of all
    fields that belong to somebody. ``features`` are the active versions to look at, ``held`` all that the history
    has, which ends at ``up_to_run``.
    """

    def __init__(
        self, store: OnlineStore, features: Sequence[StoredVersion], held: Sequence[StoredVersion], up_to_run: int
    ) -> None:
        self.findings: list[Finding] = []
        self.comparable: dict[int, StoredVersion] = {}
        self.taken: set[str] = set()
        self._store = store
        self._held = {version.id: version for version in held}
        self._up_to_run = up_to_run
        self._bad: list[tuple[Table, str]] = []
        self._unknown: list[Loaded] = []
        self._names = {version.id.feature for version in features}
        meta, pointers = self._read_meta(), self._read_pointers()
        fields = [loaded.field for loaded in meta.loaded.values() if loaded.field is not None]
        fields += [*meta.loading, *(pointer.field for pointer in pointers.features.values())]
        fields += [pointer.previous.field for pointer in pointers.features.values() if pointer.previous]
        self._next_field = max([meta.next_field, *(field + 1 for field in fields)])
        self.taken.update(map(str, meta.loading))
        for version, loaded in meta.loaded.items():
            if loaded.field is not None:
                self._check_loaded(version, loaded)
        for active in features:
            pointer = pointers.features.get(active.id.feature)
            if pointer is not None:
                self._check_pointer(active, pointer, meta)
            elif ("active", active.id.feature) not in self._bad:
                self._tell("missing", active.id.feature, "readers are served nothing of it", active)

    @property
    def owners(self) -> Mapping[str, StoredVersion]:
        """The comparable versions by the names of their fields."""
        return {str(number): version for number, version in self.comparable.items()}

    def mend(self) -> None:
        """Drops the bad entries, which a sync makes anew, and the values that nobody can vouch for."""
        extras = {"active": {GENERATION: secrets.token_hex(8)}, "meta": {NEXT_FIELD: str(self._next_field)}}
        for table, extra in extras.items():
            dropped: dict[str, str | None] = {entry: None for name, entry in self._bad if name == table}
            if dropped:
                self._store.swap("active" if table == "active" else "meta", {}, {**dropped, **extra})
        for loaded in self._unknown:
            if loaded.field is not None:
                self._store.clear(loaded.entity_type, [loaded.field])

    def _check_loaded(self, version: VersionId, loaded: Loaded) -> None:
        number = loaded.field
        assert number is not None, "only versions that lie somewhere are checked"
        twice = str(number) in self.taken
        self.taken.add(str(number))
        if version.feature not in self._names:
            return
        known = self._held.get(version)
        if known is None:
            self._tell("unexpected", version.feature, f"version {version.short} is online; this history lacks it")
            self._unknown.append(loaded)
        elif twice:
            self._tell("different", version.feature, f"two versions lie in field {number}", known)
        elif loaded.entity_type != known.entity_type.name:
            self._tell("different", version.feature, f"is online as a feature of {loaded.entity_type}", known)
        elif loaded.run_seq > self._up_to_run:
            words = f"run {loaded.run_seq} is online, the history ends at {self._up_to_run}"
            self._tell("different", version.feature, words, known)
            self._unknown.append(loaded)
        else:
            self.comparable[number] = known
            return
        self._bad.append(("meta", version_entry(version)))

    def _check_pointer(self, active: StoredVersion, pointer: Pointer, meta: Meta) -> None:
        loaded, known = meta.loaded.get(pointer.version), self._held.get(pointer.version)
        if known is None:
            words = f"readers are served version {pointer.sha256[:12]}, which this history lacks"
        elif loaded is None or loaded.field != pointer.field:
            words = f"readers look in field {pointer.field}, where the version does not lie"
        elif (known.data_type, known.entity_type.name) != (pointer.data_type, pointer.entity_type):
            words = f"readers take it for {pointer.data_type} of {pointer.entity_type}"
        elif pointer.sha256 != active.id.sha256 and not steps_back(active, pointer, meta):
            words = f"readers are served version {pointer.number}, and version {active.number} is active"
            self._tell("stale", active.id.feature, words, active)
            return
        else:
            return
        self._tell("different", active.id.feature, words, known)
        self._bad.append(("active", active.id.feature))

    def _read_pointers(self) -> Pointers:
        return read_active(self._readable("active", lambda entry, text: read_active({entry: text})))

    def _read_meta(self) -> Meta:
        return read_meta(self._readable("meta", lambda entry, text: read_meta({entry: text})))

    def _readable(self, name: Table, read: Callable[[str, str], object]) -> dict[str, str]:
        """A table without the entries that can't be read."""
        table = self._store.table(name)
        for entry, text in list(table.items()):
            try:
                read(entry, text)
            except StoreError:
                feature = entry.partition("@")[0] or None
                self._tell("different", feature, f"the entry {entry!r} of @{name} can't be read")
                self._bad.append((name, entry))
                del table[entry]
        return table

    def _tell(self, kind: Kind, feature: str | None, note: str, version: StoredVersion | None = None) -> None:
        self.findings.append(Finding(kind, feature, version, None, note))
