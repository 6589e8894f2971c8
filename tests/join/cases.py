"""Histories, labels and the judge: what a join must answer, row by row in plain Python."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, cast

import polars as pl
from hypothesis import strategies as st

from featurestore.config import DriftSettings, Project
from featurestore.model import DataType, EntityType, Key, StoredVersion, VersionId
from featurestore.offline.contract import (
    TOMBSTONE,
    VALUE,
    WITHDRAWN,
    CommittedRun,
    HistoryMark,
    OfflineStore,
    RunTransaction,
)
from featurestore.offline.partitions import ALL_KEYS, KeyRange, Keys
from featurestore.tables.types import history_schema

PATIENT = EntityType("patient", (Key("patient_id", "string"),))
ACCOUNT = EntityType("account", (Key("account", "int"),))
SHELF = EntityType("shelf", (Key("shop", "int"), Key("product", "string")))
TYPES = (PATIENT, ACCOUNT, SHELF)

DIGITS = "abcdef0123456789"
EPOCH = datetime(1970, 1, 1)
STRINGS = ("", "7", "007", " 7", "7 ", "é", "e\u0301", "E", "a,b", "null")
INTS = (0, 7, -7, 2**63 - 1, -(2**63))

type_values: Mapping[str, st.SearchStrategy[object]] = {
    "bool": st.booleans(),
    "int": st.sampled_from((0, 1, -(2**63), 2**63 - 1)),
    "float": st.sampled_from((0.0, 1.5, -1.5, math.nan, math.inf, -math.inf, 5e-324)),
    "string": st.sampled_from(("", "a", "A", " ", "é")),
    "date": st.sampled_from((date(1969, 12, 31), date(2024, 2, 29))),
    "datetime": st.sampled_from((datetime(1969, 12, 31, 23, 59, 59, 999_999), datetime(2024, 2, 29))),
    "list[float]": st.lists(st.sampled_from((0.0, 1.5, math.nan, None)), max_size=3),
    "list[float, 2]": st.lists(st.sampled_from((0.0, 1.5)), min_size=2, max_size=2),
}


@dataclass(frozen=True)
class Row:
    """One row of history; times are microseconds. ``known`` is its own known time, where the history has them."""

    key: tuple[object, ...]
    at: int
    run: int
    value: object
    op: int = VALUE
    known: int | None = None


@dataclass(frozen=True)
class Label:
    key: tuple[object, ...]
    at: int


@dataclass(frozen=True)
class Case:
    """A history of one version, what its runs learned when (index 0 is run 1), labels, and the options."""

    entity_type: EntityType
    data_type: str
    rows: tuple[Row, ...]
    learned: tuple[int, ...]
    labels: tuple[Label, ...]
    known: bool = False
    as_of: int | None = None
    max_age: int | None = None
    place: int = 0

    @property
    def version(self) -> StoredVersion:
        """One of several versions of one feature, by ``place``."""
        return version_of(self.entity_type, self.data_type, digit=DIGITS[self.place], number=self.place + 1)


def version_of(entity_type: EntityType = PATIENT, data_type: str = "float", **other: Any) -> StoredVersion:
    digit, name = other.pop("digit", "a"), other.pop("name", "score")
    number = other.pop("number", 1)
    return StoredVersion(VersionId(name, digit * 64), number, entity_type, DataType.parse(data_type), **other)


def judge(case: Case, label: Label) -> object:
    """The value a label must get."""
    row = answering_row(case, label)
    return None if row is None else row.value


def answering_row(case: Case, label: Label) -> Row | None:
    """The row whose value a label must get: every row is looked at."""
    last_run = sum(at <= case.as_of for at in case.learned) if case.as_of is not None else len(case.learned)

    def known_at(row: Row) -> int:
        return case.learned[row.run - 1] if row.known is None else row.known

    seen = [
        row
        for row in case.rows
        if None not in label.key
        and row.key == label.key
        and row.at <= label.at
        and row.run <= last_run
        and (not case.known or known_at(row) <= label.at)
    ]
    pairs = {row.at: row for row in sorted(seen, key=lambda row: (row.known or 0, row.run))}  # each instant's latest
    standing = [row for row in pairs.values() if row.op != WITHDRAWN]
    if not standing:
        return None
    row = max(standing, key=lambda row: row.at)
    too_old = case.max_age is not None and label.at - row.at > case.max_age
    return None if row.op == TOMBSTONE or too_old else row


def same(one: object, other: object) -> bool:
    """Equal as a value is: NaN is NaN, null is null, lists item by item."""
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


def history_frame(version: StoredVersion, rows: Sequence[Row]) -> pl.DataFrame:
    """Rows as `OfflineStore.scan` gives them."""
    known = any(row.known is not None for row in rows)
    schema = history_schema(version, known=known)
    columns: dict[str, list[object]] = {name: [] for name in schema}
    for row in rows:
        values = (*row.key, EPOCH + timedelta(microseconds=row.at), row.run, row.op, row.value)
        values += (EPOCH + timedelta(microseconds=row.known),) if row.known is not None else ()
        for name, value in zip(schema, values, strict=True):
            columns[name].append(value)
    frame = pl.DataFrame(columns, schema=schema)
    return frame.sort(*version.entity_type.key_names, "computed_at", *(["known_at"] if known else []), "run_seq")


def label_frame(entity_type: EntityType, labels: Sequence[Label]) -> pl.DataFrame:
    """A label table: its key columns, a column of its own, and ``at`` in UTC."""
    names = entity_type.key_names
    return pl.DataFrame(
        {
            **{name: [label.key[place] for label in labels] for place, name in enumerate(names)},
            "row": list(range(len(labels))),
            "at": [label.at for label in labels],
        },
        schema={
            **{key.name: pl.String if key.type == "string" else pl.Int64 for key in entity_type.keys},
            "row": pl.Int64,
            "at": pl.Int64,
        },
    ).with_columns(pl.col("at").cast(pl.Datetime("us", "UTC")))


@dataclass
class MemoryStore:
    """An offline store that was filled by hand: it can be read, not written."""

    rows: dict[StoredVersion, Sequence[Row]] = field(default_factory=dict)
    at: Sequence[int] = ()
    scans: int = 0

    def committed_runs(self) -> list[CommittedRun]:
        return [CommittedRun(seq, f"run-{seq}", at) for seq, at in enumerate(self.at, 1)]

    def versions(self, feature: str | None = None) -> list[StoredVersion]:
        return [version for version in self.rows if feature in (None, version.id.feature)]

    def scan(
        self,
        version: StoredVersion,
        *,
        up_to_run: int | None = None,
        after_run: int | None = None,
        entities: pl.DataFrame | None = None,
        key_range: KeyRange = ALL_KEYS,
    ) -> pl.DataFrame:
        assert key_range == ALL_KEYS, "as sample_keys says, it is small"
        self.scans += 1
        wanted = None if entities is None else set(entities.rows())
        return history_frame(
            version,
            [
                row
                for row in self.rows[version]
                if (up_to_run is None or row.run <= up_to_run)
                and (after_run is None or row.run > after_run)
                and (wanted is None or row.key in wanted)
            ],
        )

    def scope(self, version: VersionId) -> None:
        """No run has found any."""

    def has_known(self, version: VersionId) -> bool:
        return any(row.known is not None for of, rows in self.rows.items() if of.id == version for row in rows)

    def has_withdrawn(self, version: VersionId) -> bool:
        return any(row.op == WITHDRAWN for of, rows in self.rows.items() if of.id == version for row in rows)

    def sample_keys(self, version: StoredVersion, every: int, *, after_run: int | None = None) -> list[Keys]:
        return []

    def mark(self, version: StoredVersion, *, up_to_run: int | None = None) -> HistoryMark | None:
        rows = [row for row in self.rows[version] if up_to_run is None or row.run <= up_to_run]
        last = max((row.run for row in rows), default=0)
        return HistoryMark("memory", last, f"run-{last}", len(rows)) if rows else None

    def batches(self, version: StoredVersion, *, up_to_run: int | None = None) -> Iterator[pl.DataFrame]:
        yield from self.scan(version, up_to_run=up_to_run).sample(fraction=1, shuffle=True, seed=1).iter_slices(3)

    @contextmanager
    def reading(self) -> Iterator[None]:
        yield

    def writing(self, run_id: str) -> AbstractContextManager[RunTransaction]:
        raise NotImplementedError


def memory_store(rows: dict[StoredVersion, Sequence[Row]], learned: Sequence[int]) -> OfflineStore:
    return cast("OfflineStore", MemoryStore(rows, learned))


def empty_project(tmp_path: Any = None) -> Project:
    return Project(tmp_path, "test", {kind.name: kind for kind in TYPES}, {}, DriftSettings())


def keys_of(entity_type: EntityType, *, null: bool = False) -> st.SearchStrategy[tuple[object, ...]]:
    parts = [st.sampled_from(STRINGS if key.type == "string" else INTS) for key in entity_type.keys]
    return st.tuples(*(st.none() | part if null else part for part in parts))


instants = st.integers(-3, 12)
NOT_KNOWN: st.SearchStrategy[int | None] = st.none()


@st.composite
def histories(
    draw: st.DrawFn,
    entity_type: EntityType,
    runs: int,
    data_types: Sequence[str] = tuple(type_values),
    known: st.SearchStrategy[int | None] = NOT_KNOWN,
) -> tuple[str, tuple[Row, ...]]:
    """A data type and its rows: few entities and few instants, so that ties, corrections and late rows are the rule."""
    data_type = draw(st.sampled_from(data_types))
    keys = draw(st.lists(keys_of(entity_type), min_size=1, max_size=4, unique=True))
    place = st.tuples(st.sampled_from(keys), instants, st.integers(1, runs), known)
    held = st.tuples(
        st.none() | type_values[data_type], st.sampled_from((VALUE, VALUE, VALUE, WITHDRAWN, WITHDRAWN, TOMBSTONE))
    )
    return data_type, tuple(
        Row(key, at, run, value, op, own)  # the value of what is none, were there one, must not be seen
        for (key, at, run, own), (value, op) in draw(st.dictionaries(place, held, max_size=25)).items()
    )


@st.composite
def cases(draw: st.DrawFn, *, data_types: Sequence[str] = tuple(type_values), with_known_times: bool = False) -> Case:
    """A history, labels and options; ``with_known_times`` half of the histories have known times of their rows."""
    entity_type = draw(st.sampled_from(TYPES))
    learned = sorted(draw(st.sets(instants, min_size=1, max_size=10)))
    known = instants if with_known_times and draw(st.booleans()) else NOT_KNOWN
    data_type, rows = draw(histories(entity_type, len(learned), data_types, known))
    somebody = keys_of(entity_type, null=True)
    if rows:
        somebody |= st.sampled_from([row.key for row in rows])
    labels = draw(st.lists(st.builds(Label, somebody, instants), max_size=12))
    labels += draw(st.sampled_from((labels[:0], labels[:2], labels[::-1])))  # the same once more
    return Case(
        entity_type,
        data_type,
        rows,
        tuple(learned),
        tuple(labels),
        known=draw(st.booleans()),
        as_of=draw(st.none() | instants),
        max_age=draw(st.none() | st.integers(0, 8)),
    )
