"""The nouns of the store as frozen values: entity types, sources, features, versions, runs.

Standard library only, and no behaviour beyond what a value can say of itself, so that every layer,
the ones that must start in milliseconds among them, can import it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from featurestore.dialect import STANDARD, Dialect
from featurestore.frozen import frozen

FEATURE_NAME = re.compile(r"^[a-z][a-z0-9_]{0,47}$")
COLUMN_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]{0,47}$")
STATUSES = ("experimental", "active", "deprecated")

KeyType = Literal["string", "int"]
Scalar = Literal["bool", "int", "float", "string", "date", "datetime", "list[float]"]
KINDS: tuple[Scalar, ...] = get_args(Scalar)
ScopeKind = Literal["row", "entity", "source"]
SCOPES: tuple[ScopeKind, ...] = get_args(ScopeKind)
Json = None | bool | int | float | str | list[Any] | dict[str, Any]


@frozen
class Key:
    """One key column of an entity type. Strings are byte-exact: ``007`` is not ``7``."""

    name: str
    type: KeyType


@frozen
class EntityType:
    """What features are about: a patient, a (store, product) pair."""

    name: str
    keys: tuple[Key, ...]

    @property
    def key_names(self) -> tuple[str, ...]:
        return tuple(key.name for key in self.keys)

    @property
    def composite(self) -> bool:
        return len(self.keys) > 1


@frozen
class DataType:
    """The type of a feature's values. ``length`` is set for ``list[float, N]`` only."""

    kind: Scalar
    length: int | None = None

    @classmethod
    def parse(cls, text: str) -> DataType:
        """Reads ``float``, ``list[float]`` or ``list[float, 384]``. Raises ValueError."""
        if text in KINDS:
            return cls(text)
        found = re.fullmatch(r"list\[float,\s*([1-9]\d*)\]", text)
        if not found:
            raise ValueError(text)
        return cls("list[float]", int(found[1]))

    def __str__(self) -> str:
        return f"list[float, {self.length}]" if self.length else self.kind

    @property
    def numeric(self) -> bool:
        return self.kind in ("int", "float")


DATA_TYPES = (*KINDS, "list[float, N]")


@frozen
class Column:
    """A declared column of a source: its type, and the rules that its values must not break."""

    name: str
    type: Scalar
    null: bool = True
    min: float | str | None = None
    max: float | str | None = None
    choices: tuple[Json, ...] | None = None
    pattern: str | None = None
    min_length: int | None = None
    max_length: int | None = None
    unique: bool = False


@frozen
class DeclaredFile:
    """A file that a feature's values depend on, as it was when it was read.

    ``path`` is relative to the project's folder. ``content`` is None for a file of which no copy is kept, and in what
    a version file says of one; ``stamp`` is what the system says of the file, to notice that it has changed since.
    """

    path: str
    sha256: str
    size: int
    content: bytes | None = field(default=None, repr=False, compare=False)
    stamp: tuple[int, int, int] | None = field(default=None, repr=False, compare=False)


@frozen
class Dependencies:
    """What ``depends_on`` names: the paths and patterns as declared, and the files that they stand for, by path."""

    patterns: tuple[str, ...] = ()
    files: tuple[DeclaredFile, ...] = ()


class SourceSettings(Protocol):
    """The settings that only one type of source has. Made and read by the type's own module."""

    @property
    def location(self) -> str:
        """Where the rows come from, for people: a path, a table, a topic. Never a secret."""
        ...

    @property
    def identity(self) -> Mapping[str, Json]:
        """The settings that decide how the same content is read; part of the source's fingerprint."""
        ...


@frozen
class Source:
    """Where rows come from, and how their times are read.

    ``settings`` belong to the type; None in a version file, which has only the times. ``dialect`` is how text is
    written in it. ``max_rejected`` is the largest share of its rows that may be set aside. ``valid`` (µs) is the
    instant from which all rows hold, in a source without event times; None where they count from the run they came in.
    ``known_at`` is the column that says when each row was known; None where rows are known from their runs on.
    ``snapshot`` says that it holds everybody who is: in "all" of its contents together, or in the "newest" by name;
    nobody is deleted where more than the share ``max_vanished`` is gone.
    ``id`` are the columns that tell one event from another; without them it is the entity and the event time, and with
    ``duplicates`` "keep" every row is an event of its own. With ``keep_parsed`` rows are kept beside the history once
    they are parsed. ``keep`` is how long (µs) rows that can't be read again are kept: those of files that are gone, and
    of streams; None for as long as a feature may look at them.
    """

    name: str
    type: str
    settings: SourceSettings | None = None
    event_time: str | None = None
    timezone: str | None = None
    updated_at: str | None = None
    valid: int | None = None
    columns: Mapping[str, Column] = field(default_factory=dict)
    dialect: Dialect = STANDARD
    max_rejected: float | None = None
    id: tuple[str, ...] = ()
    duplicates: Literal["keep"] | None = None
    keep_parsed: bool = True
    known_at: str | None = None
    snapshot: Literal["all", "newest"] | None = None
    max_vanished: float = 0.1
    keep: int | None = None

    @property
    def roles(self) -> tuple[str, ...]:
        """The columns that hold times of a row as a whole."""
        return tuple(name for name in (self.event_time, self.updated_at, self.known_at) if name is not None)

    @property
    def location(self) -> str:
        return "" if self.settings is None else self.settings.location

    @property
    def blind_spots(self) -> tuple[str, ...]:
        """What may happen to its rows unseen by runs, in words, and what is done about it. Few types have any."""
        return tuple(getattr(self.settings, "blind_spots", ()))


@frozen
class Scope:
    """Which rows of its source a value depends on.

    ``row``: its own alone, at whose event time it is dated. ``entity``: those of its entity. ``source``: any. With a
    ``lookback`` L (microseconds; 0 for ``row``, None without a limit) a value dated t depends on those of them with
    ``t - L <= event_time <= t``. ``reason`` is in words, for people. ``declared`` says that the declaration has it;
    otherwise it was found in the code.
    """

    kind: ScopeKind
    lookback: int | None
    reason: str
    declared: bool


@frozen
class Input:
    """A feature that a request-time feature is computed from, by the hash of its version.

    The hash is empty until `registry.inputs` has found the feature.
    """

    name: str
    sha256: str = ""


@frozen
class Feature:
    """A feature as its decorator declares it, read without running anyone's code.

    ``source`` is None for a feature that is not materialised: it has no source, no runs and no history. Where it is
    made of several, ``sources`` has all of them, in the order of its frames, and ``source`` is the first. ``short``
    is the form: a function in the short form returns an expression, one in the long form takes a frame and returns
    one. ``params`` are the keyword arguments of this member of a family. Durations are microseconds. A request-time
    feature has ``inputs``, and in ``request`` the fields of a request that it takes, with their types.

    With a ``window`` w the value at t is the expression over the entity's rows that have entered by t and not left: a
    row enters at its event time plus ``delay``, and leaves w later, both moved up to the next multiple of ``every``.
    Without one a value is dated ``delay`` after its own time: from then on it can be used.
    """

    name: str
    function: str
    module: str
    path: Path
    line: int
    entity_type: EntityType
    data_type: DataType
    source: Source | None
    short: bool
    description: str = ""
    owner: str = ""
    tags: tuple[str, ...] = ()
    status: str = "active"
    max_age: int | None = None
    scope: ScopeKind | None = None
    lookback: int | None = None
    window: int | None = None
    every: int | None = None
    delay: int | None = None
    tolerance: float | None = None
    params: Mapping[str, Json] = field(default_factory=dict)
    depends_on: Dependencies = Dependencies()
    renamed_from: str | None = None
    inputs: tuple[Input, ...] = ()
    request: Mapping[str, Scalar] = field(default_factory=dict)
    sources: tuple[Source, ...] = ()

    @property
    def reads(self) -> tuple[Source, ...]:
        """All sources that it is computed from."""
        return self.sources or (() if self.source is None else (self.source,))

    @property
    def at_request(self) -> bool:
        """Whether its values are computed when they are asked for, from other features and the request."""
        return bool(self.inputs)

    @property
    def materialised(self) -> bool:
        """Whether runs compute its values from a source and store them as a history."""
        return self.source is not None

    @property
    def source_names(self) -> tuple[str, ...]:
        return tuple(source.name for source in self.reads)

    @property
    def source_name(self) -> str | None:
        """The names of its sources, for people."""
        return ", ".join(self.source_names) or None

    @property
    def place(self) -> str:
        """``features/cardiac.py:12``, for messages."""
        return f"{self.path.as_posix()}:{self.line}"


@frozen
class VersionId:
    """A version as the stores know it: the feature's name and the full SHA-256 of its code."""

    feature: str
    sha256: str

    @property
    def short(self) -> str:
        return self.sha256[:12]


@frozen
class StoredVersion:
    """What an offline store must know of a version to hold its history.

    With ``steps`` it is that of a window: beside the history the store keeps each entity's coming steps.
    """

    id: VersionId
    number: int
    entity_type: EntityType
    data_type: DataType
    max_age: int | None = None
    steps: bool = False


FeatureStatus = Literal["ok", "unchanged", "failed"]
RunStatus = Literal["ok", "partial", "failed"]


@frozen
class Problem:
    """Why something failed, in the three parts of every error."""

    code: str
    message: str
    where: str | None = None
    hint: str | None = None


@frozen
class FeatureRun:
    """What one run did with one feature. Counts are rows.

    ``rows_written`` are new, ``rows_corrected`` replace a value at the same instant, ``rows_unchanged`` were held
    already; ``rows_withdrawn`` are pairs of entity and instant that are not there any more; ``rows_rejected`` were set
    aside before the feature's function saw them. ``rows_older`` are new rows that change nothing, since a later
    ``updated_at`` is held. ``rows_computed`` were evaluated, for ``reason``, as ``scope`` allows.
    Of a window ``rows_written`` are dated when a row of the source entered; ``steps_written`` are all others, and its
    values are known up to the ``horizon`` (µs), the clock of the run.
    """

    name: str
    source: str
    status: FeatureStatus
    version: int | None = None
    sha256: str | None = None
    new_version: bool = False
    rows_read: int = 0
    rows_rejected: int = 0
    rows_written: int = 0
    rows_unchanged: int = 0
    rows_corrected: int = 0
    rows_withdrawn: int = 0
    rows_older: int = 0
    rows_computed: int = 0
    steps_written: int = 0
    horizon: int | None = None
    scope: str | None = None
    reason: str | None = None
    drift: Mapping[str, Json] | None = None
    statistics: Mapping[str, Json] | None = None
    note: str | None = None
    error: Problem | None = None


@frozen
class Run:
    """One invocation of ``ingest`` in the audit log. Instants are microseconds since the epoch.

    ``run_seq`` and ``learned_at`` are None for a run that changed nothing.
    """

    run_id: str
    started_at: int
    finished_at: int
    duration_s: float
    status: RunStatus
    sources: tuple[str, ...]
    host: str
    git_commit: str | None
    features: tuple[FeatureRun, ...]
    run_seq: int | None = None
    learned_at: int | None = None


@frozen
class RejectedRow:
    """A row that was set aside, with the reason.

    ``place`` says where it is in the words of its source; ``file`` and ``row`` are None where the source is not files.
    """

    source: str
    file: str | None
    row: int | None
    column: str | None
    reason: str
    values: Mapping[str, Json]
    place: str

    @property
    def value(self) -> Json:
        """What was wrong: the value of the column, or the line that could not be divided into columns."""
        return self.values.get(self.column or "line")


@frozen
class Check:
    """One thing that was looked at: of what area, whether it is as it should be, and what to do where it is not."""

    area: str
    state: Literal["ok", "warn", "fail"]
    what: str
    hint: str | None = None
