"""Online values together with request-time features, whose inputs are read in the same round trip.

A version is used with the versions of its inputs that readers are served now. It is run from its version file, and once
loaded it stays in memory until what is online, or its folder of versions, changes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from featurestore.arguments import REQUEST_TIME
from featurestore.config import Project
from featurestore.errors import StoreError, UsageError, did_you_mean
from featurestore.evaluation.request_fields import FieldValue, from_text, from_value
from featurestore.frozen import frozen
from featurestore.model import EntityType, Json, Scalar
from featurestore.online.format import OnlineValue
from featurestore.online.tables import Pointers
from featurestore.serving.decoding import ServedValue, Status
from featurestore.serving.reader import Reader, look_up
from featurestore.tables.values import json_value
from featurestore.versioning.folder.files import called_now
from featurestore.workflows.lives import Lives
from featurestore.workflows.request_time import active_file, is_request_time, read_named, request_time_names

if TYPE_CHECKING:
    from featurestore.evaluation.request_time import Computation
    from featurestore.versioning.folder.versionfile import VersionFile

ATTEMPTS = 8


@frozen
class GivenRequest:
    """The fields of a request by name: one mapping for all entities, or one for each.

    With ``text`` the values are texts, as on a command line; else they are as JSON and Python have them.
    """

    rows: Sequence[Mapping[str, object]]
    text: bool = False

    @property
    def fields(self) -> dict[str, None]:
        """The names of all fields, in order."""
        return {name: None for row in self.rows for name in row}

    def column(self, name: str, kind: Scalar, feature: str, count: int) -> list[FieldValue]:
        """A field for each of so many entities. Raises UsageError for one that is missing or does not fit its type."""
        read: Callable[[str, Scalar, object], FieldValue] = _from_text if self.text else from_value
        for row in self.rows:
            if name not in row:
                raise _missing(feature, name, self.fields)
        values = [read(name, kind, row[name]) for row in self.rows]
        return values * count if len(values) == 1 else values

    def document(self, at: int, kinds: Mapping[str, Scalar]) -> dict[str, Json]:
        """The fields of one entity as JSON, in these types; others are left out."""
        row = self.rows[at] if len(self.rows) > 1 else self.rows[0]
        read: Callable[[str, Scalar, object], FieldValue] = _from_text if self.text else from_value
        return {name: json_value(read(name, kind, row[name])) for name, kind in kinds.items() if name in row}


def given_request(request: object, count: int) -> GivenRequest | None:
    """A request as Python and JSON have it: a mapping for all entities, or a list with one for each of ``count``.

    Raises UsageError.
    """
    if request is None:
        return None
    rows = [request] if isinstance(request, Mapping) else request
    example = 'for example {"amount": 12.5}, or a list with one for each entity'
    if not isinstance(rows, Sequence) or isinstance(rows, str | bytes):
        raise UsageError("request must have fields by name", hint=example)
    for row in rows:
        if not isinstance(row, Mapping) or not all(isinstance(name, str) for name in row):
            raise UsageError("request must have fields by name", hint=example)
    if not isinstance(request, Mapping) and len(rows) != count:
        raise UsageError(
            f"request has {len(rows)} items, and {count} entities are asked for", hint="one for each entity"
        )
    return GivenRequest(rows)


@frozen
class Loaded:
    """A version of a request-time feature with the references to the versions of its inputs that are online.

    ``polars`` is the release with which the version was locked, where it is another one than this process runs.
    """

    reference: str
    number: int
    sha256: str
    computation: Computation
    inputs: tuple[str, ...]
    polars: str | None

    @property
    def fields(self) -> Mapping[str, Scalar]:
        return self.computation.feature.request


@frozen
class Answer:
    """The features of each entity, in the order asked; ``loaded`` are the request-time features among them.

    ``warnings`` are said once by a reader.
    """

    rows: list[list[ServedValue]]
    loaded: tuple[Loaded, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """The names of the features, without the versions that were asked for."""
        return [served.name.partition("@")[0] for served in self.rows[0]] if self.rows else []

    @property
    def fields(self) -> dict[str, Scalar]:
        """The fields of the request that were taken, with their types."""
        return {name: kind for each in self.loaded for name, kind in each.fields.items()}


class RequestReader:
    """Reads stored values by ``reader`` and computes request-time features. Threads may share it."""

    def __init__(self, project: Project, reader: Reader) -> None:
        self._project, self._reader, self._folder = project, reader, str(project.versions)
        self._loaded: dict[tuple[str, str], tuple[str, int, Loaded]] = {}
        self._names: tuple[Lives, frozenset[str]] | None = None
        self._said: set[str] = set()

    def read(
        self,
        lives: Lives,
        entity_type: EntityType,
        entities: Sequence[Mapping[str, str | int]],
        features: Sequence[str] | None,
        now: int,
        request: GivenRequest | None = None,
    ) -> Answer:
        """The features of each entity; where none is named, with a request also those that it has all fields of.

        Raises UsageError for a field that is missing, unknown or of another type, and for a feature that is not online;
        FeatureError where one can't be computed; StoreError.
        """
        names = self._request_time(lives)
        computed = [text for text in features or () if text.partition("@")[0] in names]
        if not computed and (request is None or features is not None):
            if request is not None:
                raise UsageError("none of the features is computed from a request", hint="leave request out")
            return Answer(self._reader.read(entity_type, entities, features, now))
        for _ in range(ATTEMPTS):
            pointers = self._reader.pointers()
            asked = features
            if asked is None:
                assert request is not None
                asked = self._all(lives, entity_type, names, pointers, request)
            loaded = {
                text: self._load(lives, entity_type, text, pointers)
                for text in asked
                if text.partition("@")[0] in names
            }
            _check_fields(loaded.values(), request)
            stored = [text for text in asked if text not in loaded]
            references = list(dict.fromkeys([*stored, *(item for each in loaded.values() for item in each.inputs)]))
            rows = self._reader.read(entity_type, entities, references, now)
            if self._reader.pointers().generation == pointers.generation:
                return self._answer(asked, loaded, references, rows, now, request)
        raise StoreError("the online store's active versions keep changing", hint="try again")

    def computes(self, lives: Lives, features: Sequence[str] | None) -> bool:
        """Whether one of these features is computed at the request."""
        names = self._request_time(lives)
        return bool(names) and any(text.partition("@")[0] in names for text in features or ())

    def _request_time(self, lives: Lives) -> frozenset[str]:
        if self._names is None or self._names[0] is not lives:
            self._names = lives, frozenset(request_time_names(self._project, lives))
        return self._names[1]

    def _all(
        self,
        lives: Lives,
        entity_type: EntityType,
        names: Collection[str],
        pointers: Pointers,
        request: GivenRequest,
    ) -> list[str]:
        """Every stored feature of a type, and every request-time one of it whose fields are there."""
        found = [name for name, pointer in pointers.features.items() if pointer.entity_type == entity_type.name]
        declared = [lives.declared[name] for name in names if name in lives.declared]
        found += [
            item.name
            for item in declared
            if item.entity_type.name == entity_type.name and set(item.request) <= set(request.fields)
        ]
        return sorted(found)

    def _load(self, lives: Lives, entity_type: EntityType, text: str, pointers: Pointers) -> Loaded:
        name, _, wanted = text.partition("@")
        changed = _changed(f"{self._folder}/{name}")
        known = self._loaded.get((text, entity_type.name))
        if known is not None and known[:2] == (pointers.generation, changed):
            return known[2]
        loaded = self._find(lives, entity_type, text, name, wanted, pointers)
        self._loaded[text, entity_type.name] = pointers.generation, changed, loaded
        return loaded

    def _find(
        self, lives: Lives, entity_type: EntityType, text: str, name: str, wanted: str, pointers: Pointers
    ) -> Loaded:
        import polars as pl

        from featurestore.evaluation.request_time import load_computation

        def online_name(item: str) -> str:
            """What an input is called online: its code may have a former name, and so may readers until they sync."""
            now = called_now(self._project.versions, item)
            return now if now in pointers.features else item

        def active(item: str) -> str | None:
            pointer = pointers.features.get(online_name(item))
            return None if pointer is None else pointer.sha256

        file = read_named(self._project, name, wanted) if wanted else active_file(self._project, name, active)
        if file is None or not is_request_time(self._project, lives, name):
            raise UsageError(
                f"{text} is not computed at the request", hint=f"featurestore show {name} lists its versions"
            )
        if file.feature.entity_type.name != entity_type.name:
            raise UsageError(f"{name} is a feature of {file.feature.entity_type.name}, not of {entity_type.name}")
        references = tuple(f"{online_name(item.name)}@{item.sha256}" for item in file.feature.inputs)
        kinds = _kinds(file, pointers, entity_type, references)
        computation = load_computation(file, kinds)
        locked = file.packages.get("polars")
        return Loaded(
            text, file.number, file.sha256, computation, references, None if locked == pl.__version__ else locked
        )

    def _answer(
        self,
        asked: Sequence[str],
        loaded: Mapping[str, Loaded],
        references: Sequence[str],
        rows: list[list[ServedValue]],
        now: int,
        request: GivenRequest | None,
    ) -> Answer:
        place = {reference: at for at, reference in enumerate(references)}
        columns = [
            _computed(loaded[text], [[row[place[item]] for row in rows] for item in loaded[text].inputs], now, request)
            if text in loaded
            else [row[place[text]] for row in rows]
            for text in asked
        ]
        answered = [list(row) for row in zip(*columns, strict=True)] if rows else []
        return Answer(answered, tuple(loaded.values()), tuple(self._remarks(loaded.values())))

    def _remarks(self, loaded: Collection[Loaded]) -> list[str]:
        """What is said once by a reader."""
        import polars as pl

        new = [each for each in loaded if each.polars is not None and each.sha256 not in self._said]
        self._said |= {each.sha256 for each in new}
        return [
            f"{each.reference} was locked with polars {each.polars}, and polars {pl.__version__} computes it here: the "
            "last bits of a value may be others"
            for each in new
        ]


def _computed(
    loaded: Loaded, inputs: Sequence[Sequence[ServedValue]], now: int, request: GivenRequest | None
) -> list[ServedValue]:
    """One request-time feature of all entities."""
    import polars as pl

    from featurestore.evaluation.request_time import column_of, compute, request_times

    kinds, count = loaded.computation.kinds, len(inputs[0])
    values: list[Sequence[object]] = [[item.value for item in column] for column in inputs]
    given = request or GivenRequest([{}])
    values += [given.column(name, kind, loaded.reference, count) for name, kind in loaded.fields.items()]
    columns = [column_of(name, kind, column) for (name, kind), column in zip(kinds.items(), values, strict=False)]
    columns.append(request_times([now] * count))
    found = compute(loaded.computation, columns)
    if isinstance(found.dtype, pl.Datetime):
        found = found.dt.replace_time_zone("UTC")
    return [_served(loaded, value, now, [column[at] for column in inputs]) for at, value in enumerate(found.to_list())]


def _served(loaded: Loaded, value: OnlineValue, now: int, inputs: Sequence[ServedValue]) -> ServedValue:
    status: Status = "null" if value is None else "ok"
    if any(item.status == "stale" for item in inputs):
        status = "stale"
    listed = tuple(
        (item.name.partition("@")[0], item.status) for item in inputs if item.status in ("missing", "expired", "stale")
    )
    return ServedValue(loaded.reference, status, value, now, loaded.number, loaded.sha256, listed)


def _kinds(
    file: VersionFile, pointers: Pointers, entity_type: EntityType, references: Sequence[str]
) -> dict[str, Scalar]:
    """The types of a version's inputs. Raises UsageError for one that is not online."""
    kinds: dict[str, Scalar] = {}
    for item, reference in zip(file.feature.inputs, references, strict=True):
        name = reference.partition("@")[0]
        if name in pointers.features and not _is_online(pointers, name, item.sha256):
            raise UsageError(
                f"{name}@{item.sha256[:12]}, an input of {file.feature.name}@{file.number}, is not online",
                hint="run featurestore sync, or ask for the version that fits what is",
            )
        kinds[item.name] = look_up(pointers, entity_type.name, [reference]).features[0].kind
    return kinds


def _is_online(pointers: Pointers, name: str, sha256: str) -> bool:
    pointer = pointers.features[name]
    return sha256 in (pointer.sha256, *(other.sha256 for other in pointer.others))


def _check_fields(loaded: Collection[Loaded], request: GivenRequest | None) -> None:
    """Raises UsageError for a field that is given and that no feature takes, or that is missing."""
    fields: dict[str, tuple[Scalar, str]] = {}
    for each in loaded:
        for name, kind in each.fields.items():
            before = fields.setdefault(name, (kind, each.reference))
            if before[0] != kind:
                text = f"the field {name!r} is a {before[0]} for {before[1]}, and a {kind} for {each.reference}"
                raise UsageError(text, hint="ask for them one after the other")
    given = {} if request is None else request.fields
    for name in given:
        if name not in fields:
            what = "is there without being given" if name == REQUEST_TIME else "is not one that these features take"
            raise UsageError(f"the request's field {name!r} {what}", hint=did_you_mean(name, fields))
    for name, (_, feature) in fields.items():
        if name not in given:
            raise _missing(feature, name, given)


def _missing(feature: str, name: str, given: Collection[str]) -> UsageError:
    close = did_you_mean(name, given) if given else None
    hint = close or f"give it: --request {name}=VALUE; over HTTP and from Python in request"
    return UsageError(f"{feature} takes the field {name!r} of a request, which is missing", hint=hint)


def _from_text(field: str, kind: Scalar, given: object) -> FieldValue:
    return from_text(field, kind, str(given))


def _changed(folder: str) -> int:
    """Changes when a version file is written into a feature's folder, or another version promoted."""
    try:
        return os.stat(folder).st_mtime_ns  # noqa: PTH116  # a third of the time
    except OSError:
        return 0
