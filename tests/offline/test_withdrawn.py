"""A withdrawn pair, in every store: it answers no more, and what answers in its stead has the number of that run."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from featurestore.model import StoredVersion, VersionId
from featurestore.offline.contract import TOMBSTONE, VALUE, WITHDRAWN, OfflineStore
from tests.offline.conftest import Factory
from tests.offline.history import PAIR, START, frame, learn, run_of, version
from tests.often import examples
from tests.online.cases import answers_of

SCORE, STOCK = version(), version("int", PAIR, "stock")
Place = tuple[object, ...]


def withdraw(store: OfflineStore, of: StoredVersion, places: Sequence[Place], run_id: str = "withdrawn") -> int:
    """One run that withdraws (keys…, day); gives how many it did."""
    pairs = frame(of, [(*place, None) for place in places]).drop("value")
    with store.writing(run_id) as run:
        count = run.withdraw(of, pairs)
        run.finish(run_of((run.run_seq, run.learned_at), run_id))
    return count


def delete(store: OfflineStore, of: StoredVersion, places: Sequence[Place], run_id: str) -> None:
    with store.writing(run_id) as run:
        run.delete(of, frame(of, [(*place, None) for place in places]).drop("value"))
        run.finish(run_of((run.run_seq, run.learned_at), run_id))


def answered(store: OfflineStore, of: StoredVersion, **options: Any) -> list[tuple[object, ...]]:
    """(keys…, day, run_seq, op, value) of `latest`."""
    return store.latest(of, **options).with_columns(pl.col("computed_at").dt.ordinal_day() - 1).rows()


def test_the_pair_before_answers_under_the_number_of_the_run_that_withdrew(store: OfflineStore) -> None:
    learn(store, SCORE, [("a", 1, 0.1), ("a", 3, 0.3), ("b", 2, 0.2)], "one")
    assert not store.has_withdrawn(SCORE.id)
    assert withdraw(store, SCORE, [("a", 3)]) == 1
    assert store.has_withdrawn(SCORE.id)
    assert answered(store, SCORE) == [("a", 1, 2, VALUE, 0.1), ("b", 2, 1, VALUE, 0.2)]
    assert answered(store, SCORE, after_run=1) == [("a", 1, 2, VALUE, 0.1)]
    assert answered(store, SCORE, up_to_run=1) == [("a", 3, 1, VALUE, 0.3), ("b", 2, 1, VALUE, 0.2)]


def test_an_entity_without_any_pair_left_is_answered_by_nothing(store: OfflineStore) -> None:
    learn(store, STOCK, [(1, "x", 1, 5), (1, "x", 2, 6)], "one")
    withdraw(store, STOCK, [(1, "x", 1)], "two")
    withdraw(store, STOCK, [(1, "x", 2)], "three")
    assert answered(store, STOCK) == [(1, "x", 1, 3, WITHDRAWN, None)]


def test_a_value_that_comes_back_is_new_again(store: OfflineStore) -> None:
    learn(store, SCORE, [("a", 1, 0.1), ("a", 3, 0.3)], "one")
    withdraw(store, SCORE, [("a", 3)])
    again = learn(store, SCORE, [("a", 1, 0.1), ("a", 3, 0.3)], "two")
    assert (again.new, again.corrected, again.unchanged, again.deleted) == (1, 0, 1, 0)
    assert answered(store, SCORE) == [("a", 3, 3, VALUE, 0.3)]


def test_only_what_holds_a_value_is_withdrawn(store: OfflineStore) -> None:
    assert withdraw(store, SCORE, [("a", 1)], "nothing yet") == 0
    learn(store, SCORE, [("a", 1, 0.1), ("a", 2, None), ("b", 1, 0.2)], "one")
    delete(store, SCORE, [("b", 1)], "two")
    places = [("a", 1), ("a", 2), ("a", 3), ("b", 1), ("c", 1)]
    assert withdraw(store, SCORE, places, "three") == 2
    assert withdraw(store, SCORE, places, "four") == 0
    current = store.current(SCORE)
    assert current["op"].to_list() == [WITHDRAWN, WITHDRAWN, TOMBSTONE]


def test_without_times_the_same_value_again_does_not_undo_it(store: OfflineStore) -> None:
    learn(store, SCORE, [("a", 1, 0.1)], "one", with_times=False)
    withdraw(store, SCORE, [("a", 1)])
    assert learn(store, SCORE, [("a", 5, 0.1)], "two", with_times=False).unchanged == 1
    assert learn(store, SCORE, [("a", 6, 0.2)], "three", with_times=False).new == 1


def test_a_renamed_feature_keeps_what_was_withdrawn(store: OfflineStore) -> None:
    learn(store, SCORE, [("a", 1, 0.1), ("a", 3, 0.3)], "one")
    withdraw(store, SCORE, [("a", 3)])
    renamed = StoredVersion(VersionId("mark", SCORE.id.sha256), 1, SCORE.entity_type, SCORE.data_type)
    with store.writing("carried") as run:
        assert run.carry(SCORE.id, renamed) == 3
        run.finish(run_of((run.run_seq, run.learned_at), "carried"))
    assert answered(store, renamed) == answered(store, SCORE) == [("a", 1, 2, VALUE, 0.1)]


STEPS = st.lists(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.integers(0, 3), st.sampled_from((VALUE, VALUE, WITHDRAWN, TOMBSTONE))),
        min_size=1, max_size=5, unique_by=lambda step: step[:2],
    ),
    min_size=1, max_size=5,
)  # fmt: skip


@settings(max_examples=examples(4), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_whatever_runs_wrote_the_answers_are_those_of_the_judge(
    new_store: Factory,
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[list[tuple[str, int, int]]],
) -> None:
    store = new_store(tmp_path_factory.mktemp("store"))
    for number, step in enumerate(steps, 1):
        with store.writing(f"run-{number}") as run:
            of_op = {
                op: frame(SCORE, [(who, day, number / 10) for who, day, its in step if its == op]) for op in range(3)
            }
            run.write(SCORE, of_op[VALUE])
            run.delete(SCORE, of_op[TOMBSTONE].drop("value"))
            run.withdraw(SCORE, of_op[WITHDRAWN].drop("value"))
            run.finish(run_of((run.run_seq, run.learned_at), f"run-{number}"))
    rows, keys = store.scan(SCORE), ["patient_id"]
    assert store.latest(SCORE).equals(answers_of(rows, keys))
    some = pl.DataFrame({"patient_id": ["b", "nobody"]})
    assert store.latest(SCORE, entities=some).equals(answers_of(rows.join(some, on=keys, how="semi"), keys))
    at = START + timedelta(days=1)
    micros = int((at - START.replace(year=1970)).total_seconds() * 1_000_000)
    early = rows.filter((pl.col("computed_at") <= at) & (pl.col("run_seq") < len(steps)))
    assert store.latest(SCORE, at=micros, up_to_run=len(steps) - 1).equals(answers_of(early, keys))
