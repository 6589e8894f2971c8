"""The two small tables of an online store, as values: the pointers that readers follow, and the markers of a sync.

Format 1, like `online.format`. Both tables are hashes of text, and the fields of `Pointer`, `Previous`, `Marker` and
`Reservation` are the keys of the stored JSON.

``@active``: ``@generation`` is a token that changes whenever anything in the table does; every other entry is a
feature's name and its `Pointer`.

``@meta``: ``@epoch`` identifies the store's contents since it was first written; ``@next`` is the next free field;
``<feature>@<sha256>`` is a version's `Marker`; ``@loading:<field>`` is the `Reservation` of a load in progress;
``@clearing:<field>`` is the entity type of a field whose values are to be removed once no pointer names it; ``@owner``
is the id of the history that the store belongs to. Keys and entries that a reader does not know are passed over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from featurestore.errors import StoreError
from featurestore.frozen import frozen
from featurestore.model import DataType, VersionId
from featurestore.online.contract import Pulse

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

GENERATION = "@generation"
EPOCH = "@epoch"
NEXT_FIELD = "@next"
LOADING = "@loading:"
CLEARING = "@clearing:"
OWNER = "@owner"
UNKNOWN = Pulse("")
_LATER = {
    "run_id",
    "clock",
    "ahead",
    "contents",
    "feature",
    "bound",
    "horizon",
}  # not in every record; a pointer's feature is its entry


@frozen
class Previous:
    """A version that is online beside the pointer's: mostly the one before, so that stepping back takes no load."""

    sha256: str
    number: int
    data_type: DataType
    field: int
    horizon: int | None = None


@frozen
class Pointer:
    """Which version of a feature readers are served, in which field, and how to read it.

    ``max_age`` is in microseconds. ``bound`` are other versions that a promoted request-time feature is computed from.
    ``horizon`` is that of a window: the clock (µs) of the last run that is online, from which its values' age counts.
    """

    feature: str
    entity_type: str
    sha256: str
    number: int
    data_type: DataType
    field: int
    max_age: int | None = None
    previous: Previous | None = None
    bound: tuple[Previous, ...] = ()
    horizon: int | None = None

    @property
    def others(self) -> tuple[Previous, ...]:
        """The versions that are online beside the active one."""
        return (*([self.previous] if self.previous else []), *self.bound)

    @property
    def version(self) -> VersionId:
        return VersionId(self.feature, self.sha256)

    @property
    def fields(self) -> list[int]:
        """The fields that readers may be served from by it."""
        return [self.field, *(item.field for item in self.others)]

    @property
    def previous_version(self) -> VersionId | None:
        return None if self.previous is None else VersionId(self.feature, self.previous.sha256)


@frozen
class Pointers:
    """The whole ``@active`` table. The generation is empty in a store that was never synced."""

    generation: str
    features: Mapping[str, Pointer]

    @property
    def in_use(self) -> set[int]:
        """The fields that readers may be served from."""
        return {field for pointer in self.features.values() for field in pointer.fields}


@frozen
class Marker:
    """How far one version is online. It is in the same store as the values, and so is lost with them.

    ``run_seq`` is the watermark: every value learned up to that run has been written. ``count`` is the number of
    entities, tombstones among them. ``pointed`` records that the version was the active one once, so that a checkout
    that is behind does not step back to it unasked. ``field`` is None once the values are removed. ``pulse`` is the
    servers' pulse when the marker was written; ``history`` is the id of the history that the values come from, and
    ``run_id`` that of the run ``run_seq``: where the history was set back, another run may have its number.

    Values dated after ``clock`` were passed over; ``ahead`` is the latest date among all (both µs). The first release
    wrote no run_id and no clock, and passed over nothing: they are empty and 0. Values of a window are known up to
    ``horizon`` (µs).
    """

    entity_type: str
    field: int | None
    run_seq: int = 0
    count: int = 0
    pointed: bool = False
    pulse: Pulse = UNKNOWN
    history: str = ""
    run_id: str = ""
    clock: int = 0
    ahead: int = 0
    horizon: int | None = None


@frozen
class Reservation:
    """A field that was given out for a load which is not published yet: since when (µs since 1970), and to whom."""

    feature: str
    sha256: str
    entity_type: str
    since: int
    host: str
    process: int


@frozen
class Markers:
    """The whole ``@meta`` table. The epoch is empty in a store that was never synced.

    ``clearing`` has the entity type of each field whose values are to be removed; ``owner`` is the id of the history
    that the store belongs to, empty where the first release has written alone.
    """

    epoch: str
    next_field: int
    versions: Mapping[VersionId, Marker]
    reservations: Mapping[int, Reservation]
    clearing: Mapping[int, str]
    owner: str


def version_entry(version: VersionId) -> str:
    """The entry of ``@meta`` that has a version's marker."""
    return f"{version.feature}@{version.sha256}"


def read_pointers(table: Mapping[str, str]) -> Pointers:
    """The ``@active`` table from its text. Raises StoreError where it is damaged."""
    features = {name: _read_pointer(name, text) for name, text in table.items() if not name.startswith("@")}
    return Pointers(table.get(GENERATION, ""), features)


def read_markers(table: Mapping[str, str]) -> Markers:
    """The ``@meta`` table from its text. Raises StoreError where it is damaged."""
    versions: dict[VersionId, Marker] = {}
    reservations: dict[int, Reservation] = {}
    clearing: dict[int, str] = {}
    for entry, text in table.items():
        try:
            if entry.startswith(LOADING):
                reservations[int(entry.removeprefix(LOADING))] = Reservation(**_known(Reservation, json.loads(text)))
            elif entry.startswith(CLEARING):
                clearing[int(entry.removeprefix(CLEARING))] = text
            elif not entry.startswith("@"):
                feature, _, sha256 = entry.partition("@")
                data = _known(Marker, json.loads(text))
                pulse = Pulse(**_known(Pulse, data["pulse"]))
                versions[VersionId(feature, sha256)] = Marker(**{**data, "pulse": pulse})
        except (ValueError, TypeError, KeyError, AttributeError) as exc:
            raise _damaged("@meta", entry) from exc
    try:
        next_field = int(table.get(NEXT_FIELD, "0"))
    except ValueError as exc:
        raise _damaged("@meta", NEXT_FIELD) from exc
    return Markers(table.get(EPOCH, ""), next_field, versions, reservations, clearing, table.get(OWNER, ""))


def write_pointer(pointer: Pointer) -> str:
    """A pointer as the text of its entry: JSON without the feature's name, which is the entry's."""
    data = asdict(pointer)
    del data["feature"]
    items: list[Pointer | Previous] = [pointer, *pointer.others]
    before = [data["previous"]] if pointer.previous else []
    for written, item in zip([data, *before, *data["bound"]], items, strict=True):
        written["data_type"] = str(item.data_type)
        if item.horizon is None:  # so that the entry of a feature without a window is what it always was
            del written["horizon"]
    if not pointer.bound:
        del data["bound"]
    return json.dumps(data, separators=(",", ":"))


def write_record(record: Marker | Reservation) -> str:
    """A marker or a reservation as the text of its entry."""
    return json.dumps(asdict(record), separators=(",", ":"))


def _read_pointer(feature: str, text: str) -> Pointer:
    try:
        data = _known(Pointer, json.loads(text))
        before, bound = data.pop("previous"), tuple(map(_read_other, data.pop("bound", ())))
        previous = before and _read_other(before)
        data_type = DataType.parse(data["data_type"])
        return Pointer(feature, **{**data, "data_type": data_type, "previous": previous, "bound": bound})
    except (ValueError, TypeError, KeyError, AttributeError) as exc:
        raise _damaged("@active", feature) from exc


def _read_other(data: dict[str, Any]) -> Previous:
    return Previous(**{**_known(Previous, data), "data_type": DataType.parse(data["data_type"])})


def _known(kind: type[DataclassInstance], data: dict[str, Any]) -> dict[str, Any]:
    """The entries that are fields of a record: a later release may write more, and the first one wrote fewer.

    Raises KeyError where one is missing that every release has written.
    """
    names = {item.name for item in fields(kind)}
    missing = names - data.keys() - _LATER
    if missing:
        raise KeyError(*missing)
    return {name: value for name, value in data.items() if name in names}


def _damaged(table: str, entry: str) -> StoreError:
    return StoreError(
        f"the online store's {table} entry {entry!r} is not of format 1", hint="run featurestore verify --fix"
    )
