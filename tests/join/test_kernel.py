"""The kernel against the judge."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurestore.errors import StoreError
from featurestore.offline.contract import TOMBSTONE, WITHDRAWN
from featurestore.point_in_time import kernel
from tests.join.cases import PATIENT, Case, Label, Row, cases, history_frame, judge, label_frame, same
from tests.often import examples


def answers(case: Case) -> list[object]:
    """The kernel's answer to each label, in their order."""
    names = case.entity_type.key_names
    labels = label_frame(case.entity_type, case.labels)
    instants = labels["at"].to_physical().to_numpy()
    side = kernel.group_labels(labels.select(names), instants)
    last_run = len(case.learned) if case.as_of is None else sum(at <= case.as_of for at in case.learned)
    frame = history_frame(case.version, [row for row in case.rows if row.run <= last_run])
    runs = None
    if case.known:
        runs = kernel.Runs(np.arange(1, last_run + 1), np.array(case.learned[:last_run], dtype=np.int64))
    found = kernel.search(kernel.sort_history(frame, names), side, max_age=case.max_age, runs=runs)
    column = kernel.FeatureColumn(len(labels), frame["value"].dtype)
    column.fill(kernel.flatten(frame["value"]), found)
    return column.series().to_list()


def check(case: Case) -> None:
    found = answers(case)
    assert len(found) == len(case.labels)
    for label, answer in zip(case.labels, found, strict=True):
        assert same(answer, judge(case, label)), (label, answer)


@settings(max_examples=examples(50))
@given(cases(with_known_times=True))
def test_every_label_gets_what_the_judge_says(case: Case) -> None:
    check(case)


@st.composite
def late_cases(draw: st.DrawFn) -> Case:
    """Long histories of a few entities, most of them learned by one run long after they were true."""
    learned = tuple(sorted(draw(st.sets(st.integers(0, 45), min_size=1, max_size=4))))
    any_run, own = st.integers(1, len(learned)), draw(st.booleans())
    rows: list[Row] = []
    for key in "abc":
        usual, length = draw(any_run), draw(st.integers(0, 40))
        others = draw(st.dictionaries(st.integers(0, 40), any_run, max_size=3))
        rows += [
            Row((key,), at, run, float(len(rows) + at), known=learned[run - 1] if own else None)
            for at in range(length)
            for run in [others.get(at, usual)]
        ]
    labels = draw(st.lists(st.builds(Label, st.tuples(st.sampled_from("abc")), st.integers(0, 45)), max_size=12))
    return Case(PATIENT, "float", tuple(rows), learned, tuple(labels), known=True)


@settings(max_examples=examples(50))
@given(late_cases())
def test_a_known_row_is_found_behind_any_number_of_unknown_ones(case: Case) -> None:
    check(case)


@settings(max_examples=examples(50))
@given(cases(with_known_times=True), st.integers(1, 4))
def test_a_history_in_partitions_answers_as_the_whole(case: Case, count: int) -> None:
    names = case.entity_type.key_names
    labels = label_frame(case.entity_type, case.labels)
    side = kernel.group_labels(labels.select(names), labels["at"].to_physical().to_numpy())
    frame = history_frame(case.version, case.rows)
    partition = frame.select(names).hash_rows() % count
    column, rows = kernel.FeatureColumn(len(labels), frame["value"].dtype), 0
    for number in range(count):
        some = frame.filter(partition == number)
        found = kernel.search(kernel.sort_history(some, names), side, max_age=case.max_age)
        column.fill(kernel.flatten(some["value"]), found)
        rows += found.searched
    for label, answer in zip(case.labels, column.series().to_list(), strict=True):
        assert same(answer, judge(replace(case, known=False, as_of=None), label)), (label, answer)
    assert rows == len(
        {(row.key, row.at, row.run, row.known) for row in case.rows if row.key in {lab.key for lab in case.labels}}
    )


@pytest.mark.nightly
@settings(max_examples=10_000)
@given(cases(with_known_times=True) | late_cases())
def test_every_label_gets_what_the_judge_says_ten_thousand_times(case: Case) -> None:
    check(case)


A = ("a",)


def answer(*rows: Row, at: int, learned: tuple[int, ...] = (0, 1, 2), **options: object) -> object:
    case = Case(PATIENT, "float", rows, learned, (Label(A, at),), **options)  # type: ignore[arg-type]
    return answers(case)[0]


def test_the_greatest_computed_at_wins_and_among_equals_the_last_run() -> None:
    rows = (Row(A, 1, 3, 1.0), Row(A, 5, 1, 2.0), Row(A, 5, 2, 3.0), Row(A, 6, 1, 4.0))
    assert answer(*rows, at=5) == 3.0


def test_the_known_time_of_a_row_goes_before_its_run() -> None:
    rows = (Row(A, 1, 2, 1.0, known=3), Row(A, 1, 1, 2.0, known=5), Row(A, 1, 3, 1.5, known=3))
    assert answer(*rows, at=9) == 2.0
    assert [answer(*rows, at=at, known=True) for at in (2, 3, 4, 5)] == [None, 1.5, 1.5, 2.0]
    assert answer(*rows, at=4, known=True, as_of=1) == 1.0, "--as-of still means runs"


def test_a_value_of_the_labels_own_instant_counts_and_one_of_the_next_does_not() -> None:
    assert answer(Row(A, 5, 1, 1.0), at=5) == 1.0
    assert answer(Row(A, 6, 1, 1.0), at=5) is None


def test_a_stored_null_wins_over_an_older_number() -> None:
    assert answer(Row(A, 1, 1, 1.0), Row(A, 2, 1, None), at=5) is None


def test_a_tombstone_hides_everything_before_it_and_nothing_after() -> None:
    rows = (Row(A, 1, 1, 1.0), Row(A, 3, 2, None, TOMBSTONE), Row(A, 5, 3, 5.0))
    assert [answer(*rows, at=at) for at in (2, 3, 4, 5)] == [1.0, None, None, 5.0]


def test_a_withdrawn_pair_is_passed_over_by_those_who_see_that_it_is() -> None:
    rows = (Row(A, 1, 1, 1.0), Row(A, 3, 1, 3.0), Row(A, 3, 2, None, WITHDRAWN), Row(A, 3, 3, 3.5))
    assert answer(*rows[:3], at=4) == 1.0
    assert answer(*rows, at=4) == 3.5
    assert [answer(*rows, at=at, learned=(1, 5, 7), known=True) for at in (4, 5, 6, 7)] == [3.0, 1.0, 1.0, 3.5]
    assert answer(*rows[:3], at=4, max_age=2) is None, "the age is that of the value that answers"
    assert answer(Row(A, 1, 1, None, TOMBSTONE), *rows[1:3], at=4) is None


@pytest.mark.parametrize("one_by_one", [False, True])
def test_an_entity_that_lost_thousands_of_pairs_is_answered_by_the_first(one_by_one: bool) -> None:
    count = 3_000
    kept = Row(A, 0, 1, 0.5)
    lost = [Row(A, at, 1, 1.0) for at in range(1, count)]
    gone = [Row(A, at, 2 + (count - at if one_by_one else 0), None, WITHDRAWN) for at in range(1, count)]
    learned = tuple(range(-2 * count, 0))
    assert answer(kept, *lost, *gone, at=count, learned=learned) == 0.5
    assert answer(kept, *lost, *gone, at=count, learned=learned, known=True) == 0.5
    assert answer(*lost, *gone, at=count, learned=learned) is None


def test_a_value_exactly_max_age_old_still_counts() -> None:
    assert answer(Row(A, 0, 1, 1.0), at=7, max_age=7) == 1.0
    assert answer(Row(A, 0, 1, 1.0), at=8, max_age=7) is None


def test_rows_learned_after_the_label_do_not_count_with_known() -> None:
    rows = [Row(A, at, 3, 9.0) for at in range(1, 1000)]
    assert answer(Row(A, 0, 1, 1.0), *rows, at=1000, learned=(0, 1, 1001), known=True) == 1.0
    assert answer(*rows, at=1000, learned=(0, 1, 1001), known=True) is None
    assert answer(*rows, at=1001, learned=(0, 1, 1001), known=True) == 9.0


@pytest.mark.parametrize("before", range(9))
@pytest.mark.parametrize("late", range(1, 9))
def test_the_search_for_a_known_row_ends_at_the_entitys_first_row(before: int, late: int) -> None:
    other = tuple(Row(("0",), at, 1, -1.0) for at in range(before))
    rows = tuple(Row(A, at, 2, 9.0) for at in range(1, late + 1))
    first = Row(A, 0, 1, 1.0)
    assert answer(*other, *rows, at=50, learned=(0, 99), known=True) is None
    assert answer(*other, first, *rows, at=50, learned=(0, 99), known=True) == 1.0


def test_a_null_key_is_equal_to_nothing() -> None:
    case = Case(PATIENT, "float", (Row(("null",), 0, 1, 1.0), Row(("",), 0, 1, 2.0)), (0,), (Label((None,), 5),))
    assert answers(case) == [None]


def test_no_labels_or_no_history_is_not_an_error() -> None:
    assert answers(Case(PATIENT, "string", (), (0,), (Label(A, 1),))) == [None]
    assert answers(Case(PATIENT, "string", (Row(A, 1, 1, "x"),), (0,), ())) == []


@pytest.mark.parametrize("frame", [
    pl.DataFrame({"k": ["a", "a"], "computed_at": [2, 1], "run_seq": [1, 1]}),
    pl.DataFrame({"k": ["a", "a"], "computed_at": [1, 1], "run_seq": [2, 1]}),
    pl.DataFrame({"k": ["a", "b", "a"], "computed_at": [1, 1, 2], "run_seq": [1, 1, 1]}),
])  # fmt: skip
def test_an_unsorted_history_is_refused_not_searched(frame: pl.DataFrame) -> None:
    typed = frame.with_columns(pl.col("computed_at").cast(pl.Datetime("us")), op=pl.lit(0, pl.Int8), value=pl.lit(1.0))
    with pytest.raises(StoreError, match="unsorted"):
        kernel.sort_history(typed, ("k",))


def test_labels_of_several_batches_come_back_in_their_order() -> None:
    generator = np.random.default_rng(7)
    keys = np.sort(generator.integers(0, 500, 20_000))
    times = generator.integers(0, 1_000, 20_000)
    runs = generator.integers(1, 5, 20_000)
    history = (
        pl.DataFrame({"k": keys, "computed_at": times, "run_seq": runs})
        .unique()
        .sort("k", "computed_at", "run_seq")
        .with_columns(pl.col("computed_at").cast(pl.Datetime("us")), op=pl.lit(0, pl.Int8))
    )
    asked, at = generator.integers(0, 520, 60_000), generator.integers(-10, 1_010, 60_000)
    side = kernel.group_labels(pl.DataFrame({"k": asked}), at)
    found = kernel.search(kernel.sort_history(history, ("k",)), side)
    nearest = (
        pl.DataFrame({"k": asked, "at": at})
        .with_row_index("place")
        .sort("at")
        .join_asof(
            history.with_row_index("row").with_columns(at=pl.col("computed_at").to_physical()).sort("at", "run_seq"),
            on="at",
            by="k",
            check_sortedness=False,
        )
        .sort("place")
    )
    answer = np.full(len(at), kernel.NONE)
    answer[found.label_rows] = found.history_rows
    assert np.array_equal(answer, nearest["row"].cast(pl.Int64).fill_null(-1).to_numpy())


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3) | st.integers(2**63 - 4, 2**63 - 1), max_size=40))
def test_labels_are_grouped_whatever_integers_their_keys_are(keys: list[int]) -> None:
    side = kernel.group_labels(pl.DataFrame({"k": keys}, schema={"k": pl.Int64}), np.arange(len(keys)))
    assert side.entities["k"].to_list() == sorted(set(keys))
    assert sorted(side.label_rows.tolist()) == list(range(len(keys)))
    grouped = side.entities["k"].to_numpy()[side.entity_rows].tolist()
    assert [keys[row] for row in side.label_rows.tolist()] == grouped == sorted(keys)
