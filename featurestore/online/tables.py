"""The two small tables of an online store, as values: what readers are served, and what sync has loaded.

Format 1, beside `online.format`. Both tables are hashes of text.

``@active``: ``@generation`` is a token that changes whenever anything in the table does; every other entry is a
feature's name and its `Pointer` as JSON.

``@meta``: ``@epoch`` names this store's contents since they were begun; ``@next`` is the next free field;
``<feature>@<sha256>`` is a version's `Loaded` as JSON; ``@loading:<field>`` is a `Loading`, a load under way.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from featurestore.errors import StoreError
from featurestore.model import DataType, VersionId
from featurestore.online.contract import Pulse

GENERATION = "@generation"
EPOCH = "@epoch"
NEXT_FIELD = "@next"
LOADING = "@loading:"
UNKNOWN = Pulse("")


@dataclass(frozen=True, slots=True)
class Previous:
    """The version that was the active one before: kept, so that stepping back is at once."""

    sha256: str
    number: int
    data_type: DataType
    field: int


@dataclass(frozen=True, slots=True)
class Pointer:
    """What readers are served for one feature: which version, in which field, and how to read it.

    ``max_age`` is in microseconds.
    """

    feature: str
    entity_type: str
    sha256: str
    number: int
    data_type: DataType
    field: int
    max_age: int | None = None
    previous: Previous | None = None

    @property
    def version(self) -> VersionId:
        return VersionId(self.feature, self.sha256)


@dataclass(frozen=True, slots=True)
class Pointers:
    """The whole ``@active`` table. The generation is empty where nothing was ever synced."""

    generation: str
    features: Mapping[str, Pointer]


@dataclass(frozen=True, slots=True)
class Loaded:
    """The marker of one version, in the same store as its values and so lost with them.

    ``run_seq`` is the watermark: everything learned up to that run has been written. ``count`` is the number of
    entities, tombstones among them. ``pointed`` says that it was the active version once, so a checkout that is
    behind does not bring it back unasked. ``field`` is None once its values are removed. ``pulse`` is how the servers
    stood when it was written, ``history`` names the history it was written from.
    """

    entity_type: str
    field: int | None
    run_seq: int = 0
    count: int = 0
    pointed: bool = False
    pulse: Pulse = UNKNOWN
    history: str = ""


@dataclass(frozen=True, slots=True)
class Loading:
    """A field given out for a load that has not been published, since when (µs since the epoch) and to whom."""

    feature: str
    sha256: str
    entity_type: str
    since: int
    host: str
    process: int


@dataclass(frozen=True, slots=True)
class Meta:
    """The whole ``@meta`` table. The epoch is empty where nothing was ever synced."""

    epoch: str
    next_field: int
    loaded: Mapping[VersionId, Loaded]
    loading: Mapping[int, Loading]


def version_entry(version: VersionId) -> str:
    """The entry of ``@meta`` that holds a version's marker."""
    return f"{version.feature}@{version.sha256}"


def read_active(table: Mapping[str, str]) -> Pointers:
    """The ``@active`` table from its text. Raises StoreError where it is damaged."""
    features = {name: _pointer(name, text) for name, text in table.items() if not name.startswith("@")}
    return Pointers(table.get(GENERATION, ""), features)


def read_meta(table: Mapping[str, str]) -> Meta:
    """The ``@meta`` table from its text. Raises StoreError where it is damaged."""
    loaded: dict[VersionId, Loaded] = {}
    loading: dict[int, Loading] = {}
    for entry, text in table.items():
        try:
            if entry.startswith(LOADING):
                loading[int(entry.removeprefix(LOADING))] = Loading(**json.loads(text))
            elif not entry.startswith("@"):
                feature, _, sha256 = entry.partition("@")
                data = json.loads(text)
                loaded[VersionId(feature, sha256)] = Loaded(**{**data, "pulse": Pulse(**data["pulse"])})
        except (ValueError, TypeError, KeyError) as exc:
            raise _damaged("@meta", entry) from exc
    try:
        next_field = int(table.get(NEXT_FIELD, "0"))
    except ValueError as exc:
        raise _damaged("@meta", NEXT_FIELD) from exc
    return Meta(table.get(EPOCH, ""), next_field, loaded, loading)


def write_pointer(pointer: Pointer) -> str:
    """A pointer as the text that ``@active`` holds: JSON with the feature's name left out."""
    data = asdict(pointer)
    del data["feature"]
    data["data_type"] = str(pointer.data_type)
    if pointer.previous:
        data["previous"]["data_type"] = str(pointer.previous.data_type)
    return json.dumps(data, separators=(",", ":"))


def write_record(record: Loaded | Loading) -> str:
    return json.dumps(asdict(record), separators=(",", ":"))


def _pointer(feature: str, text: str) -> Pointer:
    try:
        data = json.loads(text)
        before = data.pop("previous")
        previous = before and Previous(**{**before, "data_type": DataType.parse(before["data_type"])})
        return Pointer(feature, **{**data, "data_type": DataType.parse(data["data_type"]), "previous": previous})
    except (ValueError, TypeError, KeyError, AttributeError) as exc:
        raise _damaged("@active", feature) from exc


def _damaged(table: str, entry: str) -> StoreError:
    return StoreError(
        f"the online store's {table} entry {entry!r} is not of format 1", hint="run featurestore verify --fix"
    )
