"""The arguments of ``@feature``, in one table. A new argument is one entry of `ARGUMENTS`.

An entry says how the argument is read from a declaration and what is wrong with a bad one, its default, whether
it is part of a version's hash or describes the feature only, how the header of a version file stores it, and how
``list`` and ``show`` give it. `authoring.feature` and `model.Feature` repeat the names, for editors and for type
checkers; ``tests/registry/test_arguments.py`` proves that the three agree.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from featurestore import times
from featurestore.config import Project
from featurestore.declared_files import DeclaredFiles, check_pattern
from featurestore.errors import DeclarationError, did_you_mean
from featurestore.frozen import frozen
from featurestore.model import (
    COLUMN_NAME,
    DATA_TYPES,
    FEATURE_NAME,
    KINDS,
    SCOPES,
    STATUSES,
    DataType,
    DeclaredFile,
    Dependencies,
    EntityType,
    Feature,
    Input,
    Json,
    Key,
    Scalar,
    Source,
)

REQUEST_TIME = "request_time"
"""What the expression of a request-time feature calls the instant of the request."""
OTHER_ROWS = "{name} is not computed row by row: {operation} may look at other rows than the request's"
WITHOUT_OTHER_ROWS = "compute it in a feature of its own, which has a history, and name that in inputs="

NONE = "–"
"""What `show` says where an argument was not given."""


class Declaration:
    """The arguments of one decorator as plain values, and what they are checked against."""

    def __init__(
        self, values: Mapping[str, Json], project: Project, where: str, files: DeclaredFiles | None = None
    ) -> None:
        self.values, self.project, self.where = values, project, where
        self.files = files or DeclaredFiles(project.root)

    def error(self, message: str, hint: str | None = None) -> DeclarationError:
        return DeclarationError(message, where=self.where, hint=hint)

    def text(self, name: str) -> str:
        """The argument as text, empty where it is absent. Raises DeclarationError."""
        value = self.values.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self.error(f"{name}= must be text, not {value!r}")
        return value


def _plain(value: Any) -> Json:
    return value  # type: ignore[no-any-return]  # most arguments are JSON as they are


def _fact_text(value: Json) -> str:
    return str(value)


@frozen
class Hashed:
    """How an argument takes part in a version's hash.

    ``facts`` gives what is hashed, by name; absent ones are left out, so that an argument to come doesn't change the
    hashes of today. ``fact_text`` is how a fact reads in an explanation. ``to_header`` and ``from_header`` are the
    codec of the version file's header; ``from_header`` raises TypeError, ValueError or KeyError for a damaged one.
    """

    facts: Callable[[Any], Mapping[str, Json]]
    from_header: Callable[[Json], Any]
    to_header: Callable[[Any], Json] = _plain
    fact_text: Callable[[Json], str] = _fact_text


@frozen
class Argument:
    """One argument of ``@feature``.

    ``parse`` takes the declaration and the argument's name and raises DeclarationError. ``default`` is the parsed value
    of an absent argument, and means nothing for a required one; where other arguments decide (``by_others``), an absent
    one is parsed too. An argument is hashed, or metadata, or neither. ``json`` is its value in documents: in ``list``
    where ``listed``, else in ``show``. ``label`` and ``text`` are its row in ``show``; there is none where either is
    empty.
    """

    name: str
    parse: Callable[[Declaration, str], Any]
    default: Any = None
    required: bool = False
    by_others: bool = False
    hashed: Hashed | None = None
    metadata: bool = False
    listed: bool = False
    json: Callable[[Any], Json] = _plain
    label: str = ""
    text: Callable[[Any], str] = str


def parse_arguments(declaration: Declaration) -> dict[str, Any]:
    """The value of every argument. Raises DeclarationError for the first that can't be used."""
    return {
        name: argument.parse(declaration, name)
        if argument.required or argument.by_others or name in declaration.values
        else argument.default
        for name, argument in ARGUMENTS.items()
    }


def hashed_facts(feature: Feature) -> dict[str, Json]:
    """What of a declaration is hashed, by the names of facts."""
    facts: dict[str, Json] = {}
    for name, argument in ARGUMENTS.items():
        if argument.hashed is not None:
            facts.update(argument.hashed.facts(getattr(feature, name)))
    return facts


def fact_texts(feature: Feature) -> dict[str, str]:
    """The same facts as texts, for explanations."""
    return {
        fact: argument.hashed.fact_text(value)
        for name, argument in ARGUMENTS.items()
        if argument.hashed is not None
        for fact, value in argument.hashed.facts(getattr(feature, name)).items()
    }


def header_of(feature: Feature) -> dict[str, Any]:
    """The hashed arguments as a version file's header stores them; absent ones are left out."""
    table = {
        name: argument.hashed.to_header(getattr(feature, name))
        for name, argument in ARGUMENTS.items()
        if argument.hashed is not None
    }
    return {name: value for name, value in table.items() if value is not None}


def read_header(table: Mapping[str, Json]) -> dict[str, Any]:
    """The values that `header_of` wrote. Raises KeyError, TypeError or ValueError for a damaged table."""
    values: dict[str, Any] = {}
    for name, argument in ARGUMENTS.items():
        if argument.hashed is not None:
            if argument.required or name in table:
                values[name] = argument.hashed.from_header(table[name])
            else:
                values[name] = argument.default
    return values


def metadata_of(feature: Feature) -> dict[str, Json]:
    """What describes a feature and never makes a new version."""
    return {name: argument.json(getattr(feature, name)) for name, argument in ARGUMENTS.items() if argument.metadata}


def default_metadata() -> dict[str, Json]:
    """The metadata of a feature that declares none."""
    return {name: argument.json(argument.default) for name, argument in ARGUMENTS.items() if argument.metadata}


def list_facts(feature: Feature) -> dict[str, Json]:
    """The arguments that ``list --json`` gives, in order."""
    return {name: argument.json(getattr(feature, name)) for name, argument in ARGUMENTS.items() if argument.listed}


def show_facts(feature: Feature) -> dict[str, Json]:
    """The arguments that ``show --json`` gives beside those of ``list`` and the metadata, in order."""
    return {
        name: argument.json(getattr(feature, name))
        for name, argument in ARGUMENTS.items()
        if not argument.listed and not argument.metadata
    }


def show_rows(feature: Feature) -> list[tuple[str, str]]:
    """The rows of ``show`` for people: labels and texts, in order."""
    rows = [
        (argument.label, argument.text(getattr(feature, name)))
        for name, argument in ARGUMENTS.items()
        if argument.label
    ]
    return [(label, text) for label, text in rows if text]


# Entity types and data types


def _parse_entity_type(declaration: Declaration, argument: str) -> EntityType:
    name, entity_types = declaration.text(argument), declaration.project.entity_types
    if not name:
        raise declaration.error("entity_type= is missing", did_you_mean("", entity_types))
    if name not in entity_types:
        hint = did_you_mean(name, entity_types) or f"add [entity_types.{name}] to featurestore.toml"
        raise declaration.error(f"there is no entity type {name!r}", hint)
    return entity_types[name]


def _entity_type_from_header(value: Json) -> EntityType:
    table = _mapping(value)
    keys = table["keys"]
    if not isinstance(keys, list):
        raise TypeError("keys")
    return EntityType(_text(table["name"]), tuple(Key(_text(name), kind) for name, kind in keys))


def _keys(entity_type: EntityType) -> list[Json]:
    return [[key.name, key.type] for key in entity_type.keys]


def _entity_fact_text(value: Json) -> str:
    return ", ".join(f"{key} {kind}" for key, kind in value) if isinstance(value, list) else str(value)


def _entity_text(entity_type: EntityType) -> str:
    return f"{entity_type.name}: " + ", ".join(f"{key.name} ({key.type})" for key in entity_type.keys)


def _parse_data_type(declaration: Declaration, argument: str) -> DataType:
    text = declaration.text(argument)
    try:
        return DataType.parse(text)
    except ValueError:
        what = f"{text!r} is not a data_type" if text else "data_type= is missing"
        raise declaration.error(what, did_you_mean(text, DATA_TYPES) or "one of " + ", ".join(DATA_TYPES)) from None


# The source


def _parse_source(declaration: Declaration, argument: str) -> Source | None:
    """The source; the first of several."""
    name, sources = declaration.text(argument), declaration.project.sources
    if declaration.values.get("inputs") or declaration.values.get("request"):
        return None  # of a request-time feature; `_parse_inputs` says what does not go with it
    if declaration.values.get("sources"):
        return _parse_sources(declaration, "sources")[0]
    if name:
        return _find_source(declaration, name)
    if len(sources) == 1:
        return next(iter(sources.values()))
    if not sources:
        raise declaration.error("the project has no source", "add [sources.NAME] to featurestore.toml")
    raise declaration.error("the project has several sources", "name one: source= " + " or ".join(sorted(sources)))


def _find_source(declaration: Declaration, name: str) -> Source:
    sources = declaration.project.sources
    if name not in sources:
        hint = did_you_mean(name, sources) or f"add [sources.{name}] to featurestore.toml"
        raise declaration.error(f"there is no source {name!r}", hint)
    return sources[name]


_OF_ONE_SOURCE = ("lookback", "window", "every", "delay")


def _parse_sources(declaration: Declaration, argument: str) -> tuple[Source, ...]:
    """The sources of a feature that is made of several. Raises DeclarationError for what goes with one source alone."""
    value = declaration.values.get(argument) or []
    example = 'sources=["visits", "labs"]: the function takes a frame for each, in this order'
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise declaration.error(f"sources= must be a list of names, not {value!r}", example)
    if not value:
        return ()
    if declaration.values.get("source") is not None:
        raise declaration.error("source= names one source, and sources= several", "leave out source=")
    if len(value) == 1:
        raise declaration.error("sources= names one source", f'source="{value[0]}"')
    for name in value:
        if value.count(name) > 1:
            raise declaration.error(f"sources= names {name} twice", "name it once: one frame has all its rows")
    for name in _OF_ONE_SOURCE:
        if declaration.values.get(name) is not None:
            text = f"{name}= is about the rows of one source, and sources= names several"
            raise declaration.error(text, f"leave out {name}=, or make a feature of each source")
    if declaration.values.get("scope") not in (None, "source"):
        text = f"scope={declaration.values['scope']!r} is about the rows of one source, and sources= names several"
        raise declaration.error(text, "leave it out: the function sees all rows of each")
    return tuple(_find_source(declaration, str(name)) for name in value)


_SOURCE_TEXTS = ("event_time", "timezone", "updated_at", "known_at")


def _source_settings(source: Source) -> dict[str, str | None]:
    valid = None if source.valid is None else times.format_instant(source.valid)
    return {
        "event_time": source.event_time, "timezone": source.timezone, "updated_at": source.updated_at, "valid": valid,
        "known_at": source.known_at,
    }  # fmt: skip


def _source_facts(source: Source | None) -> dict[str, Json]:
    if source is None:
        return {}
    settings = {f"source {name}": value for name, value in _source_settings(source).items() if value is not None}
    return {"source": source.name, **settings}


def _source_to_header(source: Source | None) -> Json:
    if source is None:
        return None
    return {
        "name": source.name,
        **{name: value for name, value in _source_settings(source).items() if value is not None},
    }


def _source_from_header(value: Json) -> Source:
    """The source without its columns, whose types the header has in a table of their own."""
    table = _mapping(value)
    settings = {name: _text(table[name]) for name in _SOURCE_TEXTS if name in table}
    valid = times.parse_instant(_text(table["valid"]))[0] if "valid" in table else None
    return Source(name=_text(table["name"]), type="", valid=valid, **settings)  # type: ignore[arg-type]


def _source_text(source: Source | None) -> str:
    return NONE if source is None else f"{source.name} ({source.type}, {source.location})"


def _sources_facts(sources: tuple[Source, ...]) -> dict[str, Json]:
    """Those after the first, which are facts of ``source``."""
    return {
        name.replace("source", f"source {number}", 1): value
        for number, source in enumerate(sources[1:], 2)
        for name, value in _source_facts(source).items()
    }


def _sources_from_header(value: Json) -> tuple[Source, ...]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is not a list")
    return tuple(map(_source_from_header, value))


# Metadata


def _parse_text(declaration: Declaration, argument: str) -> str:
    return declaration.text(argument)


def _parse_optional_text(declaration: Declaration, argument: str) -> str | None:
    return declaration.text(argument) or None


def _parse_tags(declaration: Declaration, argument: str) -> tuple[str, ...]:
    value = declaration.values.get(argument) or []
    if not isinstance(value, list) or not all(isinstance(tag, str) for tag in value):
        raise declaration.error(f"tags= must be a list of texts, not {value!r}")
    return tuple(str(tag) for tag in value)


def _parse_status(declaration: Declaration, argument: str) -> str:
    status = declaration.text(argument) or "active"
    if status not in STATUSES:
        raise declaration.error(f"status={status!r} is not a status", did_you_mean(status, STATUSES))
    return status


def _text_or_none(value: str) -> str:
    return value or NONE


# Durations and numbers


def _parse_duration(declaration: Declaration, argument: str) -> int | None:
    text = declaration.text(argument)
    if not text:
        return None
    try:
        return times.parse_duration(text)
    except ValueError as exc:
        raise declaration.error(f"{argument}= {exc}") from None


_CALENDAR = r"\d+(mo|q|y)"
_MOST_WINDOW = 100 * 366 * 86_400_000_000  # an instant and a window stay within 64 bits


def _parse_span(declaration: Declaration, argument: str) -> int | None:
    """A duration of at least a microsecond and at most a century. Raises DeclarationError."""
    text = declaration.text(argument)
    if re.fullmatch(_CALENDAR, text, re.ASCII):
        problem = f"{argument}={text!r} is of the calendar: months and years are not always as long"
        raise declaration.error(problem, 'write it in days, as window="30d"')
    span = _parse_duration(declaration, argument)
    if span is not None and not 0 < span <= _MOST_WINDOW:
        raise declaration.error(f"{argument}={text!r} must be longer than 0 and at most 36600d")
    return span


def _timed_source(declaration: Declaration, argument: str) -> Source | None:
    """The source, which has event times, as the argument needs them. Raises DeclarationError."""
    source = _parse_source(declaration, "source")
    if source is not None and source.event_time is None:
        hint = f"set event_time in [sources.{source.name}]"
        raise declaration.error(f"{argument}= needs event times, and the source {source.name!r} has none", hint)
    return source


def _parse_window(declaration: Declaration, argument: str) -> int | None:
    """The window, which decides the scope, and needs event times and rows that can be told apart."""
    window = _parse_span(declaration, argument)
    if window is None:
        return None
    for other in ("scope", "lookback", "inputs"):
        if declaration.values.get(other) is not None:
            raise declaration.error(f"window= says which rows count, and {other}= says it too", f"leave out {other}=")
    source = _timed_source(declaration, argument)
    if source is not None and source.snapshot is not None:
        problem = f"window= counts events, and the source {source.name!r} is a snapshot of who is there"
        raise declaration.error(problem, "declare another source, of events")
    if source is not None and not source.id and source.duplicates is None:
        raise declaration.error(
            f"window= counts events, and the source {source.name!r} does not say which rows are one event",
            f'set id = ["…"] in [sources.{source.name}], or duplicates = "keep" where every row is an event',
        )
    return window


def _parse_every(declaration: Declaration, argument: str) -> int | None:
    every, window = _parse_span(declaration, argument), _parse_span(declaration, "window")
    if every is not None and (window is None or every > window):
        what = "needs window=" if window is None else f"is longer than window={declaration.text('window')!r}"
        raise declaration.error(f"{argument}={declaration.text(argument)!r} {what}", "a window moves in smaller steps")
    return every


def _parse_delay(declaration: Declaration, argument: str) -> int | None:
    """How long after its time a row can be used, which needs times. Raises DeclarationError."""
    if declaration.text(argument) == "0":
        return None
    delay = _parse_span(declaration, argument)
    if delay is None or declaration.values.get("window") is not None:
        return delay
    source = _timed_source(declaration, argument)
    if source is not None and source.snapshot is not None:
        problem = f"delay= is about events, and the source {source.name!r} is a snapshot of who is there"
        raise declaration.error(problem, "leave out delay=: a snapshot counts from the run that reads it")
    if source is not None and source.known_at is not None:
        problem = f"delay= says when a row can be used, and known_at in [sources.{source.name}] says it of each row"
        raise declaration.error(problem, "leave out delay=")
    return delay


def _parse_max_age(declaration: Declaration, argument: str) -> int | None:
    max_age = _parse_duration(declaration, argument)
    source = _parse_source(declaration, "source") if max_age is not None else None
    if source is not None and source.valid is not None:
        text = f"max_age= is for values that grow old, and those of the source {source.name!r} hold from one date on"
        raise declaration.error(text, f"leave it out, or valid in [sources.{source.name}]")
    return max_age


def _parse_scope(declaration: Declaration, argument: str) -> str | None:
    """The declared scope, which must agree with ``lookback=`` and with what the source has."""
    scope = declaration.text(argument) or None
    if scope is not None and scope not in SCOPES:
        hint = did_you_mean(scope, SCOPES) or 'one of "row", "entity", "source"'
        raise declaration.error(f"scope={scope!r} is not a scope", hint)
    lookback = _parse_duration(declaration, "lookback")
    if lookback is None:
        return scope
    if scope == "row" and lookback:
        text = f'scope="row" is a row\'s own values alone, and lookback="{_duration_json(lookback)}" the rows before it'
        raise declaration.error(text, 'leave out one of the two; lookback alone means scope="entity"')
    if scope in ("entity", "source") and not lookback:
        text = f'lookback="0" means a row\'s own values alone, and scope="{scope}" other rows too'
        raise declaration.error(text, 'leave out one of the two, or say how far back, as lookback="30d"')
    source = _parse_source(declaration, "source")
    if lookback and source is not None and source.event_time is None:
        text = f"lookback= needs event times, and the source {source.name!r} has no event_time"
        hint = f'set event_time in [sources.{source.name}], or declare scope="entity" without lookback='
        raise declaration.error(text, hint)
    return scope


def _parse_tolerance(declaration: Declaration, argument: str) -> float | None:
    value = declaration.values.get(argument)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise declaration.error(f"tolerance= must be a number of at least 0, not {value!r}")
    return float(value)


def _scope_from_header(value: Json) -> str:
    if value not in SCOPES:
        raise ValueError(f"{value!r} is not a scope")
    return str(value)


def _number(kind: Callable[[Any], int | float]) -> Callable[[Json], int | float]:
    def read(value: Json) -> int | float:
        if not isinstance(value, int | float):
            raise TypeError(f"{value!r} is not a number")
        return kind(value)

    return read


def _fact(name: str) -> Callable[[Json], dict[str, Json]]:
    """The value as a fact of that name, unless it is absent."""

    def facts(value: Json) -> dict[str, Json]:
        return {} if value is None else {name: value}

    return facts


def _duration_json(micros: int | None) -> Json:
    return None if micros is None else times.format_duration(micros)


def _duration_fact_text(value: Json) -> str:
    return times.format_duration(value) if isinstance(value, int) else str(value)


# Params


def _parse_params(declaration: Declaration, argument: str) -> dict[str, list[Json]]:
    value = declaration.values.get(argument) or {}
    if not isinstance(value, dict) or not all(isinstance(item, list) and item for item in value.values()):
        hint = 'params={"days": [7, 30]}'
        raise declaration.error(f"params= must be names with lists of values, not {value!r}", hint)
    params: dict[str, list[Json]] = {str(name): list(item) for name, item in value.items() if isinstance(item, list)}
    for name, items in params.items():
        for item in items:
            if not isinstance(item, str | int | float | bool):
                raise declaration.error(f"params= {name} contains {item!r}; only texts and numbers are allowed")
    return params


def _params_facts(params: Mapping[str, Json]) -> dict[str, Json]:
    return {f"param {name}": value for name, value in params.items()}


def _params_to_header(params: Mapping[str, Json]) -> Json:
    return json.dumps(dict(params)) if params else None


def _params_text(params: Mapping[str, Json]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in params.items())


# Files


def _parse_depends_on(declaration: Declaration, argument: str) -> Dependencies:
    value = declaration.values.get(argument) or []
    if not isinstance(value, list) or not all(isinstance(path, str) for path in value):
        hint = 'depends_on=["weights.json", "sql/*.sql"]'
        raise declaration.error(f"depends_on= must be a list of paths, not {value!r}", hint)
    patterns = tuple(dict.fromkeys(str(path) for path in value))
    try:
        return Dependencies(patterns, declaration.files.find(patterns))
    except DeclarationError as exc:
        raise declaration.error(exc.message, exc.hint) from exc


def _file_facts(depends_on: Dependencies) -> dict[str, Json]:
    return {f"file {file.path}": file.sha256 for file in depends_on.files}


def _files_to_header(depends_on: Dependencies) -> Json:
    if not depends_on.files:
        return None
    return [{"path": file.path, "sha256": file.sha256, "size": file.size} for file in depends_on.files]


def _files_from_header(value: Json) -> Dependencies:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is not a list")
    tables = [_mapping(item) for item in value]
    sizes = _number(int)
    for table in tables:  # a clone brings the header, and files are written where it says
        try:
            check_pattern(_text(table["path"]))
        except DeclarationError as exc:
            raise ValueError(exc.message) from exc
    files = tuple(
        DeclaredFile(_text(table["path"]), _text(table["sha256"]), int(sizes(table["size"]))) for table in tables
    )
    return Dependencies(tuple(file.path for file in files), files)


# Request-time features

_OF_HISTORIES = ("source", "sources", "max_age", "scope", "lookback", "tolerance", "window", "every", "delay")


def _parse_inputs(declaration: Declaration, argument: str) -> tuple[Input, ...]:
    value = declaration.values.get(argument) or []
    example = 'inputs=["mean_amount"], the names of features of the same entity type'
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise declaration.error(f"inputs= must be a list of names, not {value!r}", example)
    if declaration.values.get("request") and not value:
        raise declaration.error("request= is for a feature of other features, and inputs= names none", example)
    for name in value:
        if not FEATURE_NAME.fullmatch(name):
            versioned = "@" in name and FEATURE_NAME.fullmatch(name.partition("@")[0])
            hint = f"name the feature, {name.partition('@')[0]}: its version follows" if versioned else example
            raise declaration.error(f"inputs= names {name!r}, which is not the name of a feature", hint)
        if value.count(name) > 1:
            raise declaration.error(f"inputs= names {name} twice", "name it once")
    for name in _OF_HISTORIES if value else ():
        if declaration.values.get(name) is not None:
            text = (
                f"{name}= does not go with inputs=: the feature is computed at the request, and has no rows of its own"
            )
            raise declaration.error(text, f"leave out {name}=")
    return tuple(Input(name) for name in value)


def _parse_request(declaration: Declaration, argument: str) -> dict[str, Scalar]:
    value = declaration.values.get(argument) or {}
    if not isinstance(value, dict):
        raise declaration.error(f"request= must map fields to types, not {value!r}", 'request={"amount": "float"}')
    inputs = declaration.values.get("inputs") or []
    taken = [*(inputs if isinstance(inputs, list) else []), REQUEST_TIME]
    fields: dict[str, Scalar] = {}
    for name, kind in value.items():
        if not COLUMN_NAME.fullmatch(name):
            raise declaration.error(f"request= has a field {name!r}, which is not a name", "letters, digits and _")
        if name in taken:
            what = "is there without being declared" if name == REQUEST_TIME else "is also one of inputs="
            raise declaration.error(f"request= has a field {name}, which {what}", "call the field otherwise")
        if kind not in KINDS:
            hint = did_you_mean(str(kind), KINDS) or "one of " + ", ".join(KINDS)
            raise declaration.error(f"request= says that {name} is {kind!r}, which is not a type", hint)
        fields[name] = kind
    return fields


def _inputs_from_header(value: Json) -> tuple[Input, ...]:
    return tuple(Input(name, _text(sha256)) for name, sha256 in _mapping(value).items())


def _request_from_header(value: Json) -> dict[str, Scalar]:
    table = _mapping(value)
    if not set(table.values()) <= set(KINDS):
        raise ValueError(f"{table!r} has a field of no known type")
    return dict(table)  # type: ignore[arg-type]


def _request_text(request: Mapping[str, Scalar]) -> str:
    return ", ".join(f"{name} ({kind})" for name, kind in request.items())


def _text(value: Json) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def _mapping(value: Json) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r} is not a table")
    return value


ARGUMENTS: dict[str, Argument] = {
    argument.name: argument
    for argument in (
        Argument("name", _parse_text, default="", listed=True),
        Argument(
            "entity_type", _parse_entity_type, required=True, listed=True,
            hashed=Hashed(
                facts=lambda entity_type: {"entity_type": entity_type.name, "keys": _keys(entity_type)},
                fact_text=_entity_fact_text,
                to_header=lambda entity_type: {"name": entity_type.name, "keys": _keys(entity_type)},
                from_header=_entity_type_from_header,
            ),
            json=lambda entity_type: entity_type.name, label="entity", text=_entity_text,
        ),
        Argument(
            "data_type", _parse_data_type, required=True, listed=True,
            hashed=Hashed(
                facts=lambda data_type: {"data_type": str(data_type)},
                to_header=str, from_header=lambda value: DataType.parse(_text(value)),
            ),
            json=str, label="type",
        ),
        Argument("description", _parse_text, default="", metadata=True, listed=True),
        Argument("owner", _parse_text, default="", metadata=True, listed=True, label="owner", text=_text_or_none),
        Argument(
            "tags", _parse_tags, default=(), metadata=True, listed=True,
            json=list, label="tags", text=lambda tags: ", ".join(tags) or NONE,
        ),
        Argument("status", _parse_status, default="active", metadata=True, listed=True, label="status"),
        Argument(
            "source", _parse_source, by_others=True, listed=True,
            hashed=Hashed(_source_facts, to_header=_source_to_header, from_header=_source_from_header),
            json=lambda source: None if source is None else source.name, label="source", text=_source_text,
        ),
        Argument(
            "max_age", _parse_max_age, metadata=True,
            json=_duration_json, label="max age", text=lambda micros: str(_duration_json(micros) or NONE),
        ),
        Argument(
            "scope", _parse_scope, by_others=True, hashed=Hashed(_fact("scope"), from_header=_scope_from_header),
        ),
        Argument(
            "lookback", _parse_duration,
            hashed=Hashed(_fact("lookback"), from_header=_number(int), fact_text=_duration_fact_text),
            json=_duration_json,
        ),
        *(
            Argument(
                name, parse, label=name, text=lambda micros: str(_duration_json(micros) or ""),
                hashed=Hashed(_fact(name), from_header=_number(int), fact_text=_duration_fact_text),
                json=_duration_json,
            )
            for name, parse in (("window", _parse_window), ("every", _parse_every), ("delay", _parse_delay))
        ),
        Argument(
            "tolerance", _parse_tolerance, hashed=Hashed(_fact("tolerance"), from_header=_number(float)),
            label="tolerance", text=lambda value: "" if value is None else str(value),
        ),
        Argument(
            "params", _parse_params, default={},
            hashed=Hashed(
                _params_facts, fact_text=repr,
                to_header=_params_to_header, from_header=lambda value: _mapping(json.loads(_text(value))),
            ),
            json=dict, label="params", text=_params_text,
        ),
        Argument(
            "depends_on", _parse_depends_on, default=Dependencies(),
            hashed=Hashed(
                _file_facts, to_header=_files_to_header, from_header=_files_from_header,
            ),
            json=lambda depends_on: _files_to_header(depends_on) or [], label="depends on",
            text=lambda depends_on: ", ".join(file.path for file in depends_on.files),
        ),
        Argument("renamed_from", _parse_optional_text, label="renamed from", text=lambda name: name or ""),
        Argument(
            "inputs", _parse_inputs, default=(), by_others=True,
            hashed=Hashed(
                lambda inputs: {f"input {item.name}": item.sha256 for item in inputs},
                fact_text=lambda sha256: str(sha256)[:12],
                to_header=lambda inputs: {item.name: item.sha256 for item in inputs} or None,
                from_header=_inputs_from_header,
            ),
            json=lambda inputs: [{"name": item.name, "sha256": item.sha256} for item in inputs], label="inputs",
            text=lambda inputs: ", ".join(item.name for item in inputs),
        ),
        Argument(
            "request", _parse_request, default={},
            hashed=Hashed(
                lambda request: {f"request {name}": kind for name, kind in request.items()},
                to_header=lambda request: dict(request) or None, from_header=_request_from_header,
            ),
            json=dict, label="request", text=_request_text,
        ),
        Argument(
            "sources", _parse_sources, default=(), listed=True,
            hashed=Hashed(
                _sources_facts, from_header=_sources_from_header,
                to_header=lambda sources: [_source_to_header(source) for source in sources] or None,
            ),
            json=lambda sources: [source.name for source in sources], label="and",
            text=lambda sources: ", ".join(map(_source_text, sources[1:])),
        ),
    )
}  # fmt: skip
"""Every argument by its name, in the order in which documents give them."""
