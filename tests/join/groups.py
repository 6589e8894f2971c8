"""Histories in groups: written by the same runs of a real store, around now, and joined in one call.

A store's opening, its runs and a join cost more than the rows in them, so that a group is hardly dearer than one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import polars as pl
from hypothesis import strategies as st

from featurestore import times
from featurestore.model import EntityType
from featurestore.offline.contract import TOMBSTONE, VALUE, WITHDRAWN, OfflineStore
from featurestore.workflows.join.batches import join
from featurestore.workflows.join.history import DEFAULT_LIMITS, HistoryLimits
from featurestore.workflows.join.question import JoinQuestion, ResolvedFeature
from tests.join.cases import (
    TYPES,
    Case,
    Label,
    Row,
    histories,
    instants,
    judge,
    keys_of,
    label_frame,
    same,
)
from tests.join.stores import learn, project_at

BY_COLUMNS = 4  # of a group are joined through columns too, whose files cost more than all else
LITTLE, ENOUGH = 300, 1 << 30  # bytes for columns: a partition for nearly every entity, or one for all
ALWAYS_SORTED = HistoryLimits(sort_rows=1, sort_entities=0)  # histories of any size are read from sorted columns
STEP = 3_000  # µs between instants of a group, so that runs fall among them

Moment = tuple[str, int, int]


@dataclass(frozen=True)
class Group:
    """Histories of one entity type as drawn: data types and rows, and what is asked of all of them.

    ``pause`` is the run after which they are joined too. Instants are steps from the start, ages are steps.
    """

    entity_type: EntityType
    histories: tuple[tuple[str, tuple[Row, ...]], ...]
    runs: int
    pause: int
    wanted: tuple[tuple[tuple[object, ...], Moment], ...]
    known: bool
    until: Moment | None
    max_age: int | None
    memory: int


@st.composite
def moments(draw: st.DrawFn) -> Moment:
    """An instant of the histories, or one at, just before or just after a run."""
    return draw(st.sampled_from(("case", "run"))), draw(instants), draw(st.integers(-1, 1))


@st.composite
def groups(draw: st.DrawFn, most: int, least: int = 1) -> Group:
    entity_type, runs = draw(st.sampled_from(TYPES)), draw(st.integers(1, 6))
    drawn = draw(st.lists(histories(entity_type, runs), min_size=least, max_size=most))
    for place in range(1, len(drawn)):
        if draw(st.integers(0, 3)) == 0:  # features of one source: the same entities and times, other values
            data_type, rows = drawn[place - 1]
            values = [row.value for row in (*rows[1:], *rows[:1])]
            drawn[place] = data_type, tuple(replace(row, value=value) for row, value in zip(rows, values, strict=True))
    somebody = keys_of(entity_type, null=True)
    if keys := [row.key for _, rows in drawn for row in rows]:
        somebody |= st.sampled_from(keys)
    wanted = draw(st.lists(st.tuples(somebody, moments()), min_size=1, max_size=16))
    wanted += draw(st.sampled_from((wanted[:0], wanted[:2])))
    return Group(
        entity_type,
        tuple(drawn),
        runs,
        draw(st.integers(1, runs)),
        tuple(wanted),
        known=draw(st.booleans()),
        until=draw(st.none() | moments()),
        max_age=draw(st.none() | st.integers(0, 8)),
        memory=draw(st.sampled_from((LITTLE, ENOUGH))),
    )


def check(
    store: OfflineStore,
    cases: Sequence[Case],
    folder: Path = Path(),
    memory: int = ENOUGH,
    limits: HistoryLimits = DEFAULT_LIMITS,
    batch_rows: int = 1_000,
) -> None:
    """Joins the labels of the cases, which are the same, with the version of each; the judge knows every answer.

    The labels come in batches of so many rows, as they come from a file.
    """
    one = cases[0]
    labels = label_frame(one.entity_type, one.labels)
    names = [f"score@{case.version.number}" for case in cases]
    features = [ResolvedFeature(name, case.version) for name, case in zip(names, cases, strict=True)]
    question = JoinQuestion(features, "at", known=one.known, as_of=one.as_of, max_age=one.max_age)
    batches = list(labels.iter_slices(batch_rows)) or [labels]
    frames: list[pl.DataFrame] = []
    join(replace(project_at(folder), memory=memory), store, question, batches, frames.append, limits=limits)
    found = pl.concat(frames)
    assert found.columns == [*labels.columns, *names]
    assert found.select(labels.columns).equals(labels)
    for name, case in zip(names, cases, strict=True):
        for label, value in zip(one.labels, found[name].to_list(), strict=True):
            answer = value.replace(tzinfo=None) if isinstance(value, datetime) else value
            assert same(answer, judge(case, label)), (name, label, answer)


def stored_rows(rows: Sequence[Row]) -> tuple[Row, ...]:
    """The rows that a store writes: a value that is read again does not undo a tombstone of the same key and time.

    What holds no value is not withdrawn, and the same value again is no row.
    """
    stored: list[Row] = []
    pairs: dict[tuple[object, int], Row] = {}
    for row in sorted(rows, key=lambda row: row.run):
        held = pairs.get((row.key, row.at))
        if (
            row.op == VALUE
            and held is not None
            and (held.op == TOMBSTONE or (held.op == VALUE and same(held.value, row.value)))
        ):
            continue
        if row.op == WITHDRAWN and (held is None or held.op != VALUE):
            continue
        pairs[row.key, row.at] = row
        stored.append(row)
    return tuple(stored)


def check_in_store(make: Callable[[Path], OfflineStore], group: Group) -> None:
    """Fills a real store run by run; joins in the middle and at the end, by scan and through columns."""
    start = times.now()
    cases = [
        Case(
            group.entity_type,
            data_type,
            tuple(replace(row, at=start + row.at * STEP) for row in stored_rows(rows)),
            (),
            (),
            known=group.known,
            max_age=None if group.max_age is None else group.max_age * STEP,
            place=place,
        )
        for place, (data_type, rows) in enumerate(group.histories)
    ]
    everywhere = tuple(dict.fromkeys(Label(row.key, row.at) for case in cases for row in case.rows))[:60]
    learned: tuple[int, ...] = ()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = make(folder)
        for run in range(1, group.runs + 1):
            rows = {case.version: [row for row in case.rows if row.run == run] for case in cases}
            learned = (*learned, learn(store, f"run-{run}", rows))
            if run == group.pause:
                so_far = [
                    replace(
                        case,
                        rows=tuple(row for row in case.rows if row.run <= run),
                        learned=learned,
                        labels=everywhere,
                    )
                    for case in cases[:BY_COLUMNS]
                ]
                check(store, so_far, folder, group.memory, ALWAYS_SORTED)  # made here, extended at the end

        def instant(moment: Moment) -> int:
            kind, place, shift = moment
            return (start + place * STEP if kind == "case" else learned[place % len(learned)]) + shift

        asked = [
            replace(
                case,
                learned=learned,
                labels=tuple(Label(key, instant(moment)) for key, moment in group.wanted),
                as_of=instant(group.until) if group.until else None,
            )
            for case in cases
        ]
        check(store, asked)
        check(store, asked[:BY_COLUMNS], folder, group.memory, ALWAYS_SORTED)
