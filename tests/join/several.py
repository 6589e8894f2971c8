"""Labels about several entities, some of one type in two roles, judged row by row."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import polars as pl
from hypothesis import strategies as st

from featurestore import times
from featurestore.model import EntityType, Key
from featurestore.offline.contract import OfflineStore
from featurestore.workflows.join.batches import join
from featurestore.workflows.join.history import DEFAULT_LIMITS, HistoryLimits
from featurestore.workflows.join.question import EntityColumns, JoinQuestion, ResolvedFeature
from tests.join.cases import (
    EPOCH,
    TYPES,
    Case,
    Label,
    answering_row,
    histories,
    instants,
    keys_of,
    memory_store,
    same,
)
from tests.join.groups import ALWAYS_SORTED, STEP, stored_rows
from tests.join.stores import learn, project_at

TILL = EntityType("till", (Key("shop", "int"), Key("day", "string"), Key("till", "int")))
ROLES = (None, "first", "second")


@dataclass(frozen=True)
class Several:
    """Histories of up to four entity types, what a label is about, and what is asked.

    ``entities`` are the label's: an entity type and a role. ``labels`` have one key for each of them, and a time.
    """

    cases: tuple[Case, ...]
    entities: tuple[tuple[EntityType, str | None], ...]
    labels: tuple[tuple[tuple[tuple[object, ...], ...], int], ...]
    lag: int
    batch_rows: int

    def labels_of(self, place: int) -> tuple[Label, ...]:
        """The labels as those of one of their entities, as of the times that are asked about."""
        return tuple(Label(keys[place], at - self.lag) for keys, at in self.labels)


@st.composite
def several(draw: st.DrawFn, runs: int = 5) -> Several:
    types = draw(st.lists(st.sampled_from((*TYPES, TILL)), min_size=1, max_size=4, unique=True))
    learned = tuple(sorted(draw(st.sets(instants, min_size=runs, max_size=runs))))
    known, as_of = draw(st.booleans()), draw(st.none() | instants)
    max_age = draw(st.none() | st.integers(0, 8))
    cases: list[Case] = []
    entities: list[tuple[EntityType, str | None]] = []
    keys: list[st.SearchStrategy[tuple[object, ...]]] = []
    for entity_type in types:
        own = [draw(histories(entity_type, runs)) for _ in range(draw(st.integers(1, 2)))]
        cases += [
            Case(entity_type, data_type, rows, learned, (), known, as_of, max_age, place=len(cases) + number)
            for number, (data_type, rows) in enumerate(own)
        ]
        stored = [row.key for _, rows in own for row in rows]
        somebody = keys_of(entity_type, null=True) | (st.sampled_from(stored) if stored else st.nothing())
        for role in draw(st.lists(st.sampled_from(ROLES), min_size=1, max_size=3, unique=True)):
            entities.append((entity_type, role and f"{role}_{entity_type.name}"))
            keys.append(somebody)
    labels = draw(st.lists(st.tuples(st.tuples(*keys), instants), max_size=12))
    return Several(
        tuple(cases),
        tuple(entities),
        tuple(labels),
        draw(st.sampled_from((0, 0, 1, 4))),
        draw(st.sampled_from((1, 3, 99))),
    )


def label_table(asked: Several) -> pl.DataFrame:
    """The labels with the columns ``0_shop``, ``0_day``, ``1_account``, …, a column of their own, and ``at``."""
    columns: list[pl.Series] = []
    for place, (entity_type, _) in enumerate(asked.entities):
        for number, key in enumerate(entity_type.keys):
            values = [keys[place][number] for keys, _ in asked.labels]
            columns.append(pl.Series(f"{place}_{key.name}", values, pl.String if key.type == "string" else pl.Int64))
    columns.append(pl.Series("row", range(len(asked.labels)), pl.Int64))
    columns.append(pl.Series("at", [at for _, at in asked.labels], pl.Int64).cast(pl.Datetime("us", "UTC")))
    return pl.DataFrame(columns)


def check(store: OfflineStore, asked: Several, folder: Path = Path(), limits: HistoryLimits = DEFAULT_LIMITS) -> None:
    """Asks for each feature of each entity of the labels, in one join; the judge knows every value and its time."""
    labels = label_table(asked)
    one = asked.cases[0]
    features, judged = [], []
    for place, (entity_type, role) in enumerate(asked.entities):
        for case in asked.cases:
            if case.entity_type == entity_type:
                name = f"{place}_{case.version.number}"
                features.append(ResolvedFeature(name, case.version, role=role))
                judged.append((name, case, asked.labels_of(place)))
    question = JoinQuestion(
        features, "at", known=one.known, as_of=one.as_of, max_age=one.max_age, lag=asked.lag, times_suffix=".at",
        entities=tuple(
            EntityColumns(entity_type.name, tuple(f"{place}_{key.name}" for key in entity_type.keys), role)
            for place, (entity_type, role) in enumerate(asked.entities)
        ),
    )  # fmt: skip
    frames: list[pl.DataFrame] = []
    batches = list(labels.iter_slices(asked.batch_rows)) or [labels]
    facts = join(project_at(folder), store, question, batches, frames.append, limits=limits)
    found = pl.concat(frames)
    assert found.columns == [*labels.columns, *(name + end for name, *_ in judged for end in ("", ".at"))]
    assert found.select(labels.columns).equals(labels)
    own: set[int] = set()
    for name, case, wanted in judged:
        for number, (label, value, at) in enumerate(
            zip(wanted, _naive(found[name]), _naive(found[f"{name}.at"]), strict=True)
        ):
            row = answering_row(case, label)
            assert same(value, None if row is None else row.value), (name, label)
            assert at == (None if row is None else EPOCH + timedelta(microseconds=row.at)), (name, label)
            if row is not None and row.at == label.at:
                own.add(number)
    assert facts.on_own_event == (None if asked.lag else len(own))


def _naive(column: pl.Series) -> list[object]:
    return (column.dt.replace_time_zone(None) if isinstance(column.dtype, pl.Datetime) else column).to_list()


def check_in_memory(asked: Several) -> None:
    check(memory_store({case.version: case.rows for case in asked.cases}, asked.cases[0].learned), asked)


def check_in_store(make: Callable[[Path], OfflineStore], asked: Several) -> None:
    """Fills a real store run by run, around now; joins by scan and through sorted columns."""
    start = times.now()
    cases = [
        replace(
            case,
            rows=tuple(replace(row, at=start + row.at * STEP) for row in stored_rows(case.rows)),
            max_age=None if case.max_age is None else case.max_age * STEP,
        )
        for case in asked.cases
    ]
    with tempfile.TemporaryDirectory() as name:
        store = make(Path(name))
        learned: tuple[int, ...] = ()
        for run in range(1, len(cases[0].learned) + 1):
            rows = {case.version: [row for row in case.rows if row.run == run] for case in cases}
            learned = (*learned, learn(store, f"run-{run}", rows))
        as_of = asked.cases[0].as_of
        stored = replace(
            asked,
            cases=tuple(
                replace(case, learned=learned, as_of=None if as_of is None else learned[as_of % len(learned)])
                for case in cases
            ),
            labels=tuple((keys, start + at * STEP) for keys, at in asked.labels),
            lag=asked.lag * STEP,
        )
        check(store, stored)
        check(store, stored, Path(name), ALWAYS_SORTED)
