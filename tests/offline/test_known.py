"""Rows with known times of their own, in every store: all are kept, and the last known answers."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from featurestore.model import StoredVersion, VersionId
from featurestore.offline.contract import TOMBSTONE, VALUE, WITHDRAWN, OfflineStore, Written
from tests.offline.conftest import Factory
from tests.offline.history import START, frame, run_of, version
from tests.often import examples

SCORE = version()


def known_frame(rows: Iterable[tuple[str, int, int, float | None]]) -> pl.DataFrame:
    """Rows of (who, day, day on which it was known, value)."""
    rows = sorted(rows, key=lambda row: row[:3])
    known = pl.Series("known_at", [START + timedelta(days=row[2]) for row in rows], pl.Datetime("us"))
    return frame(SCORE, [(who, day, value) for who, day, _, value in rows]).with_columns(known)


def learn(store: OfflineStore, rows: Iterable[tuple[str, int, int, float | None]], run_id: str) -> Written:
    with store.writing(run_id) as run:
        written = run.write(SCORE, known_frame(rows))
        run.finish(run_of((run.run_seq, run.learned_at), run_id))
    return written


def told(rows: pl.DataFrame) -> list[tuple[Any, ...]]:
    """(who, day, day on which it was known, run, op, value); a known time of this year or later is None."""
    days = [None if known.year > START.year + 1 else (known - START).days for known in rows["known_at"].to_list()]
    return [
        (who, (at - START).days, day, run, op, value)
        for day, (who, at, run, op, value) in zip(days, rows.drop("known_at").iter_rows(), strict=True)
    ]


def test_every_known_row_of_a_pair_is_kept_and_the_last_known_answers(store: OfflineStore) -> None:
    assert not store.has_known(SCORE.id)
    first = learn(store, [("a", 1, 5, 0.5), ("a", 1, 2, 0.2), ("a", 3, 4, 0.4)], "one")
    assert (first.new, first.corrected) == (3, 0)
    again = learn(store, [("a", 1, 2, 0.25), ("a", 1, 5, 0.5), ("a", 1, 1, 0.1)], "two")
    assert (again.new, again.corrected, again.unchanged) == (1, 1, 1)
    assert store.has_known(SCORE.id)
    rows = [("a", 1, 1, 2, VALUE, 0.1), ("a", 1, 2, 1, VALUE, 0.2), ("a", 1, 2, 2, VALUE, 0.25),
            ("a", 1, 5, 1, VALUE, 0.5), ("a", 3, 4, 1, VALUE, 0.4)]  # fmt: skip
    assert told(store.scan(SCORE)) == rows
    assert told(pl.concat(store.batches(SCORE)).sort("computed_at", "known_at", "run_seq")) == rows
    assert told(store.current(SCORE)) == rows[3:]
    assert told(store.latest(SCORE)) == rows[4:]
    assert told(store.scan(SCORE, up_to_run=1)) == [rows[1], rows[3], rows[4]]


def test_a_version_gets_known_times_later_and_its_rows_those_of_their_runs(store: OfflineStore) -> None:
    with store.writing("one") as run:
        run.write(SCORE, frame(SCORE, [("a", 1, 0.1)]))
        run.finish(run_of((run.run_seq, run.learned_at), "one"))
    before = store.mark(SCORE)
    learn(store, [("a", 1, 2, 0.2)], "two")
    found = store.scan(SCORE)
    assert found["value"].to_list() == [0.2, 0.1]
    micros = store.committed_runs()[0].learned_at
    assert found["known_at"].to_physical().to_list()[1] == micros
    after = store.mark(SCORE)
    assert before is not None
    assert after is not None
    assert before.store_id != after.store_id, "what was derived from it lacks the times"


def test_without_known_times_a_value_is_known_from_its_run_on(store: OfflineStore) -> None:
    learn(store, [("a", 1, 2, 0.2)], "one")
    with store.writing("two") as run:
        written = run.write(SCORE, frame(SCORE, [("a", 1, 0.2), ("b", 1, 0.3)]))
        run.finish(run_of((run.run_seq, run.learned_at), "two"))
    assert (written.new, written.unchanged) == (1, 1)
    assert told(store.scan(SCORE)) == [("a", 1, 2, 1, VALUE, 0.2), ("b", 1, None, 2, VALUE, 0.3)]


def test_a_renamed_feature_keeps_its_known_times(store: OfflineStore) -> None:
    learn(store, [("a", 1, 2, 0.2), ("a", 1, 3, 0.3)], "one")
    renamed = StoredVersion(VersionId("mark", SCORE.id.sha256), 1, SCORE.entity_type, SCORE.data_type)
    with store.writing("carried") as run:
        assert run.carry(SCORE.id, renamed) == 2
        run.finish(run_of((run.run_seq, run.learned_at), "carried"))
    assert store.scan(renamed).equals(store.scan(SCORE))


class Held(NamedTuple):
    """A row of a pair, in the order that decides which answers. What a run itself knew is known as ``LATE`` + run."""

    known: int
    run: int
    op: int
    value: float | None


LATE = 100


def judge(steps: Sequence[Sequence[tuple[str, int, int, int]]]) -> dict[tuple[str, int], list[Held]]:
    """What the pairs must hold after runs that write, withdraw or delete."""
    pairs: dict[tuple[str, int], list[Held]] = {}
    for run, step in enumerate(steps, 1):
        value = run / 10
        for place in dict.fromkeys((who, day) for who, day, _, op in step if op == VALUE):
            held = pairs.setdefault(place, [])
            top = max(held, default=None)
            if top is not None and top.op == TOMBSTONE:
                continue
            knowns = sorted(known for who, day, known, op in step if op == VALUE and (who, day) == place)
            for known in knowns:
                before = max((row for row in held if row.known == known), default=None)
                if top is not None and top.op == WITHDRAWN and known == knowns[-1]:
                    held.append(Held(LATE + run, run, VALUE, value))
                elif before is None or before.op != VALUE or before.value != value:
                    held.append(Held(known, run, VALUE, value))
        for op in (TOMBSTONE, WITHDRAWN):
            for place in dict.fromkeys((who, day) for who, day, _, its in step if its == op):
                held = pairs.setdefault(place, [])
                if op == TOMBSTONE or (held and max(held).op == VALUE):
                    held.append(Held(LATE + run, run, op, None))
    return pairs


PLACES = st.tuples(st.sampled_from("ab"), st.integers(0, 2))
OPS = st.sampled_from((VALUE, VALUE, VALUE, WITHDRAWN, TOMBSTONE))
STEPS = st.lists(
    st.dictionaries(PLACES, OPS, min_size=1, max_size=4).flatmap(
        lambda ops: st.lists(
            st.tuples(st.sampled_from(sorted(ops)), st.integers(0, 3)), min_size=1, max_size=6, unique=True
        ).map(lambda rows: [(*place, known, ops[place]) for place, known in rows])
    ),
    min_size=1, max_size=5,
)  # fmt: skip


@settings(max_examples=examples(4), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_whatever_runs_wrote_the_rows_are_those_of_the_judge(
    new_store: Factory,
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[list[tuple[str, int, int, int]]],
) -> None:
    store = new_store(tmp_path_factory.mktemp("store"))
    with store.writing("run-0") as run:  # numbers runs from 2 on, so that the version has known times before them
        run.write(SCORE, known_frame([("z", 0, 0, 0.0)]))
        run.finish(run_of((run.run_seq, run.learned_at), "run-0"))
    for number, step in enumerate(steps, 1):
        with store.writing(f"run-{number}") as run:
            run.write(SCORE, known_frame((who, day, known, number / 10) for who, day, known, op in step if op == VALUE))
            for op, write in ((TOMBSTONE, run.delete), (WITHDRAWN, run.withdraw)):
                places = dict.fromkeys((who, day, None) for who, day, _, its in step if its == op)
                write(SCORE, frame(SCORE, places).drop("value"))
            run.finish(run_of((run.run_seq, run.learned_at), f"run-{number}"))
    expected = {place: sorted(held) for place, held in judge(steps).items() if held}
    rows = [
        (*place, None if row.known > LATE else row.known, row.run + 1, row.op, row.value)
        for place, held in sorted(expected.items())
        for row in held
    ]
    others = pl.col("patient_id") != "z"
    assert told(store.scan(SCORE).filter(others)) == rows
    assert [row[:2] for row in told(store.current(SCORE).filter(others))] == sorted(expected)
    answering: dict[str, tuple[int, float | None]] = {}
    for (who, day), held in sorted(expected.items()):
        if held[-1].op != WITHDRAWN:
            answering[who] = (day, held[-1].value)
    latest = store.latest(SCORE).filter(others, pl.col("op") != WITHDRAWN)
    assert {who: (day, value) for who, day, _, _, _, value in told(latest)} == answering


def test_the_years_of_a_known_time_are_those_of_every_instant(store: OfflineStore) -> None:
    late = known_frame([("a", 1, 2, 0.2)]).with_columns(
        pl.lit(datetime(9999, 12, 31)).alias("known_at").cast(pl.Datetime("us"))
    )
    with store.writing("one") as run:
        run.write(SCORE, late)
        run.finish(run_of((run.run_seq, run.learned_at), "one"))
    assert store.scan(SCORE)["known_at"].to_list() == [datetime(9999, 12, 31)]
