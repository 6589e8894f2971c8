"""What a feature may return, and the error when it returns something else."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.errors import FeatureError
from featurestore.evaluation.declared_type import cast_value
from featurestore.evaluation.evaluate import SortedRows, collect, sort_rows
from featurestore.evaluation.results import check_frame
from featurestore.model import DataType, EntityType, Feature, Key, Source

PATIENT = EntityType("patient", (Key("patient_id", "string"),))
PAIR = EntityType("pair", (Key("store", "int"), Key("product", "string")))
JANUARY = datetime(2024, 1, 1, tzinfo=UTC)
MARCH = datetime(2024, 3, 1, tzinfo=UTC)


def feature(data_type: str = "float", entity_type: EntityType = PATIENT, source: Source | None = None) -> Feature:
    return Feature(
        name="f", function="f", module="features.m", path=Path("features/m.py"), line=1, entity_type=entity_type,
        data_type=DataType.parse(data_type), source=source or timed(), short=False,
    )  # fmt: skip


def timed(updated_at: str | None = None) -> Source:
    return Source("visits", "csv", event_time="at", updated_at=updated_at)


UNTIMED = Source("visits", "csv")


def rows(ids: list[str], times: list[datetime], source: Source | None = None, **columns: list[object]) -> SortedRows:
    frame = pl.DataFrame({"patient_id": ids, "at": times, **columns}).with_columns(
        pl.col("at").cast(pl.Datetime("us", "UTC"))
    )
    return sort_rows(frame, PATIENT, source or timed())


def checked(
    raw: Mapping[str, Any] | pl.DataFrame, given_rows: SortedRows, of: Feature | None = None
) -> list[tuple[object, ...]]:
    frame = raw if isinstance(raw, pl.DataFrame) else pl.DataFrame(raw, strict=False)
    return check_frame(
        of or feature(source=given_rows.source), frame, given_rows, lambda at: f"v.csv row {at + 1}", latest=None
    ).frame.rows()


def refused(raw: Mapping[str, Any] | pl.DataFrame, given_rows: SortedRows, of: Feature | None = None) -> str:
    with pytest.raises(FeatureError) as caught:
        checked(raw, given_rows, of)
    assert caught.value.hint
    return caught.value.message


def beside(source_rows: SortedRows, values: list[object]) -> pl.DataFrame:
    """What a function returns that leaves the rows as they are and computes a value for each."""
    return source_rows.frame.select(entity_id="patient_id", value=pl.Series(values, strict=False))


def naive(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None)


TWO = {"entity_id": ["a", "b"], "value": [1.0, 2.0]}


def test_absent_times_are_those_of_the_source_row_by_row() -> None:
    source_rows = rows(["a", "b"], [JANUARY, MARCH])
    assert checked(TWO, source_rows) == [("a", naive(JANUARY), 1.0), ("b", naive(MARCH), 2.0)]


def test_null_times_are_filled_and_given_ones_stay() -> None:
    raw = {**TWO, "computed_at": [None, JANUARY]}
    assert checked(raw, rows(["a", "b"], [MARCH, MARCH])) == [("a", naive(MARCH), 1.0), ("b", naive(JANUARY), 2.0)]


def test_null_times_of_other_rows_than_the_source_s_are_refused() -> None:
    message = refused({"entity_id": ["a"], "value": [1.0]}, rows(["a", "b"], [JANUARY, MARCH]))
    assert "computed_at is null in 1 of 1 rows" in message


def test_rows_that_have_changed_places_within_an_entity_get_no_times() -> None:
    source_rows = rows(["a", "a", "b"], [JANUARY, MARCH, MARCH], amount=[30, 10, 20])
    kept = source_rows.frame.select(entity_id="patient_id", value="amount")
    assert checked(kept, source_rows) == [("a", naive(JANUARY), 30), ("a", naive(MARCH), 10), ("b", naive(MARCH), 20)]
    moved = source_rows.frame.sort("patient_id", "amount").select(entity_id="patient_id", value="amount")
    assert "not the source's rows in the source's order" in refused(moved, source_rows)
    dated = source_rows.frame.sort("patient_id", "amount").select(
        entity_id="patient_id", value="amount", computed_at="at"
    )
    assert checked(dated, source_rows) == checked(kept, source_rows)


@pytest.mark.parametrize("lazy", [True, False])
def test_rows_that_have_stayed_in_place_get_the_source_s_times(*, lazy: bool) -> None:
    source_rows = rows(["a", "a", "b"], [JANUARY, MARCH, MARCH], amount=[30, 10, 20])
    frame = source_rows.frame.lazy() if lazy else collect(source_rows.frame.lazy()).lazy()
    for made in (
        frame.select(
            pl.col("patient_id").alias("entity_id"), pl.col("amount").cum_sum().over("patient_id").alias("value")
        ),
        frame.with_columns(value=pl.col("amount").shift(1))
        .rename({"patient_id": "entity_id"})
        .select("entity_id", "value"),
        frame.filter(pl.col("amount") > 0).select("patient_id", value="amount"),
    ):
        assert len(checked(collect(made), source_rows)) == 3


def test_updated_at_does_not_settle_rows_whose_places_are_not_known() -> None:
    source_rows = rows(["a", "a"], [JANUARY, JANUARY], timed("updated"), updated=[JANUARY, MARCH], v=[1.0, 2.0])
    moved = source_rows.frame.sort("v", descending=True).select(entity_id="patient_id", value="v", computed_at="at")
    with pytest.raises(FeatureError) as caught:
        checked(moved, source_rows)
    assert "which updated_at belongs to which is not known" in str(caught.value.hint)


def test_the_later_updated_row_wins_where_the_function_dates_rows_itself() -> None:
    source_rows = rows(["a", "a"], [JANUARY, MARCH], timed("updated"), updated=[MARCH, JANUARY], v=[1.0, 2.0])
    same_day = source_rows.frame.select(entity_id="patient_id", value="v", computed_at=pl.lit(MARCH))
    assert checked(same_day, source_rows) == [("a", naive(MARCH), 1.0)]


def test_without_times_the_later_updated_row_of_an_entity_wins() -> None:
    source = Source("visits", "csv", updated_at="updated")
    source_rows = rows(["a", "a", "b"], [JANUARY] * 3, source, updated=[MARCH, JANUARY, MARCH], v=[1.0, 2.0, 3.0])
    kept = source_rows.frame.select(entity_id="patient_id", value="v")
    assert checked(kept, source_rows) == [("a", 1.0), ("b", 3.0)]
    tied = rows(["a", "a"], [JANUARY] * 2, source, updated=[MARCH, MARCH], v=[1.0, 2.0])
    assert "two different values for patient_id=a: 1.0 (v.csv row 1) and 2.0 (v.csv row 2)" in refused(
        tied.frame.select(entity_id="patient_id", value="v"), tied
    )


def test_local_times_of_a_function_are_refused_where_the_source_is_not_in_utc() -> None:
    source = Source("visits", "csv", event_time="at", timezone="Europe/Paris")
    source_rows = rows(["a"], [JANUARY], source)
    local = pl.col("at").dt.convert_time_zone("Europe/Paris").dt.replace_time_zone(None)
    made = source_rows.frame.select(entity_id="patient_id", value=1.0, computed_at=local)
    assert refused(made, source_rows) == "computed_at has no zone, and the source's times are in Europe/Paris"
    assert "value has no zone" in refused(
        source_rows.frame.select(entity_id="patient_id", value=local), source_rows, feature("datetime", source=source)
    )
    said = source_rows.frame.select(
        entity_id="patient_id", value=1.0, computed_at=local.dt.replace_time_zone("Europe/Paris")
    )
    assert checked(said, source_rows) == [("a", naive(JANUARY), 1.0)]
    utc = rows(["a"], [JANUARY], Source("visits", "csv", event_time="at", timezone="Etc/UTC"))
    assert checked(utc.frame.select(entity_id="patient_id", value=1.0, computed_at=local), utc)


def test_times_of_a_function_are_rounded_up_to_the_microsecond() -> None:
    times = pl.Series([-1_999, 1_001, 2_000]).cast(pl.Datetime("ns", "UTC"))
    made = {"entity_id": ["a", "b", "c"], "value": [1.0] * 3, "computed_at": times}
    stored = [row[1] for row in checked(made, rows(["a"], [JANUARY]))]
    assert [(each - datetime(1970, 1, 1)) // timedelta(microseconds=1) for each in stored] == [-1, 2, 2]  # type: ignore[operator]


def test_without_any_time_a_row_is_as_of_now() -> None:
    frame = pl.DataFrame(TWO)
    result = check_frame(feature(source=UNTIMED), frame, rows(["a", "b"], [JANUARY, MARCH], UNTIMED), str, latest=None)
    assert not result.timed
    assert result.frame.columns == ["patient_id", "value"]


def test_rows_come_out_sorted_by_entity_and_time() -> None:
    raw = {"entity_id": ["b", "a", "a"], "value": [1.0, 2.0, 3.0], "computed_at": [JANUARY, MARCH, JANUARY]}
    assert [row[:2] for row in checked(raw, rows(["a"], [JANUARY]))] == [
        ("a", naive(JANUARY)), ("a", naive(MARCH)), ("b", naive(JANUARY)),
    ]  # fmt: skip


def test_equal_values_for_one_moment_collapse() -> None:
    source_rows = rows(["a", "a"], [JANUARY, JANUARY])
    assert len(checked(beside(source_rows, [float("nan")] * 2), source_rows)) == 1


def test_different_values_for_one_moment_fail_and_both_places_are_named() -> None:
    source_rows = rows(["b", "a", "a"], [JANUARY, JANUARY, JANUARY])
    message = refused(beside(source_rows, [1.0, 2.0, 3.0]), source_rows)
    assert "v.csv row 2" in message
    assert "v.csv row 3" in message
    assert "patient_id=a" in message


def test_of_two_values_for_one_moment_the_later_updated_one_wins() -> None:
    source = timed("updated")
    source_rows = rows(["a", "a"], [JANUARY, JANUARY], source, updated=[MARCH, JANUARY])
    values = source_rows.frame.with_columns(v=pl.when(pl.col("updated") == MARCH).then(2.0).otherwise(1.0))
    assert checked(beside(source_rows, values["v"].to_list()), source_rows)[0][2] == 2.0


def test_two_values_updated_at_the_same_time_fail() -> None:
    source = timed("updated")
    source_rows = rows(["a", "a"], [JANUARY, JANUARY], source, updated=[MARCH, MARCH])
    assert "two different values" in refused(beside(source_rows, [1.0, 2.0]), source_rows)


def test_rows_ahead_of_the_clock_are_left_out_and_counted() -> None:
    limit = int(datetime(2024, 2, 1, tzinfo=UTC).timestamp() * 1e6)
    result = check_frame(feature(), pl.DataFrame(TWO), rows(["a", "b"], [JANUARY, MARCH]), str, latest=limit)
    assert (result.frame.height, result.future) == (1, 1)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"entity_id": ["a"]}, "returned the columns entity_id; expected entity_id, value"),
        ({"id": ["a"], "value": [1.0]}, "returned the columns id, value"),
        ({"entity_id": ["a"], "value": [1.0], "extra": [1]}, "returned the columns entity_id, value, extra"),
        ({"entity_id": [None], "value": [1.0]}, "entity_id is null"),
        ({"entity_id": [1.5], "value": [1.0]}, "entity_id is Float64, but the key is declared as string"),
        ({"entity_id": [7], "value": [1.0]}, "entity_id is Int64, but the key is declared as string"),
        ({"entity_id": ["a"], "value": ["x"]}, "value is String, but the feature declares float"),
        ({"entity_id": ["a"], "value": [1.0], "computed_at": ["2024-01-01"]}, "computed_at is String, not a time"),
    ],
)
def test_a_wrong_frame_is_refused_with_what_was_expected(raw: dict[str, list[object]], said: str) -> None:
    assert said in refused(raw, rows(["a"], [JANUARY]))


def test_composite_keys_are_returned_by_name() -> None:
    source_rows = sort_rows(pl.DataFrame({"at": [JANUARY]}), PAIR, timed())
    raw = {"store": [1], "product": ["x"], "value": [1.0], "computed_at": [JANUARY]}
    assert checked(raw, source_rows, feature(entity_type=PAIR)) == [(1, "x", naive(JANUARY), 1.0)]
    assert "expected store, product, value" in refused(
        {"entity_id": ["1"], "value": [1.0]}, source_rows, feature(entity_type=PAIR)
    )


@pytest.mark.parametrize(
    ("data_type", "given_values", "stored"),
    [
        ("float", [1, None], [1.0, None]),
        ("float", [-0.0], [0.0]),
        ("int", [2.0, None], [2, None]),
        ("bool", [True, None], [True, None]),
        ("string", ["", None], ["", None]),
        ("date", [date(2024, 1, 1)], [date(2024, 1, 1)]),
        ("datetime", [JANUARY], [naive(JANUARY)]),
        ("list[float]", [[1, 2], None], [[1.0, 2.0], None]),
        ("list[float]", [[1.0, 2.0], [], [1.0]], [[1.0, 2.0], [], [1.0]]),
        ("float", [2**53, -(2**60), None], [float(2**53), -float(2**60), None]),
        ("float", [Decimal("0.1"), Decimal("123456789012345.5"), None], [0.1, 123456789012345.5, None]),
        ("float", [None], [None]),
    ],
)
def test_lossless_casts_are_made(data_type: str, given_values: list[object], stored: list[object]) -> None:
    found = cast_value(pl.Series("value", given_values), DataType.parse(data_type)).to_list()
    assert found == stored
    assert str(found) == str(stored), "−0.0 is stored as 0.0"


@pytest.mark.parametrize(
    ("data_type", "given_values", "said"),
    [
        ("int", [1.0, 2.5], "is not a whole number in row 2 (2.5)"),
        ("int", [float("nan")], "is not a whole number in row 1"),
        ("int", [True], "value is Boolean, but the feature declares int"),
        ("bool", [1], "value is Int64, but the feature declares bool"),
        ("date", [JANUARY], "but the feature declares date"),
        ("list[float, 2]", [[1.0, 2.0], [1.0]], "does not have 2 items in row 2"),
        ("float", [2**53, 2**53 + 1], "is not equal to any float in row 2 (9007199254740993)"),
        ("float", [Decimal("0.1"), Decimal("99999999999999999.99")], "float in row 2 (99999999999999999.99)"),
        ("list[float]", [[1], [0, 2**53 + 1]], "has an item that is not equal to any float in row 2"),
        ("datetime", pl.Series("value", [1_001]).cast(pl.Datetime("ns")), "is finer than a microsecond in row 1"),
        ("datetime", pl.Series("value", [2**50]).cast(pl.Datetime("ms")), "is not in the years 1 to 9999"),
        ("date", pl.Series("value", [2**30], pl.Int32).cast(pl.Date), "is not in the years 1 to 9999"),
        ("float", [timedelta(seconds=5)], "value is a duration, but the feature declares float"),
        ("float", [{"a": 1}], "value is a struct, but the feature declares float"),
        ("float", [[1.0, 2.0]], "value is lists of Float64, but the feature declares float"),
        ("list[float]", [["x"]], "but the feature declares list[float]"),
    ],
)
def test_a_lossy_cast_is_refused_naming_the_first_bad_row(
    data_type: str, given_values: list[object] | pl.Series, said: str
) -> None:
    with pytest.raises(FeatureError) as caught:
        cast_value(pl.Series("value", given_values), DataType.parse(data_type))
    assert said in caught.value.message
    assert "shape:" not in str(caught.value)
    assert caught.value.hint


IDS, DAYS = st.sampled_from("abc"), st.integers(1, 3)


@given(st.lists(st.tuples(IDS, DAYS, st.integers(1, 5), st.integers(0, 3)), max_size=12), st.randoms())
def test_with_updated_at_the_order_of_the_file_changes_nothing(
    data: list[tuple[str, int, int, int]], random: Random
) -> None:
    def outcome(items: list[tuple[str, int, int, int]]) -> object:
        ids, days, updates, values = (
            (list(column) for column in zip(*items, strict=True)) if items else ([], [], [], [])
        )
        times = [datetime(2024, 1, day, tzinfo=UTC) for day in days]
        updated = pl.Series([datetime(2024, 2, day, tzinfo=UTC) for day in updates], dtype=pl.Datetime("us", "UTC"))
        frame = pl.DataFrame(
            {"patient_id": ids, "at": times, "u": updated, "v": values},
            schema={"patient_id": pl.String, "at": pl.Datetime("us", "UTC"), "u": updated.dtype, "v": pl.Int64},
        )
        source_rows = sort_rows(frame, PATIENT, timed("u"))
        raw = source_rows.frame.select(pl.col("patient_id").alias("entity_id"), pl.col("v").alias("value"))
        try:
            return check_frame(feature(source=timed("u")), raw, source_rows, str, latest=None).frame.rows()
        except FeatureError:
            return "refused"

    shuffled = list(data)
    random.shuffle(shuffled)
    judge: dict[tuple[str, int], set[tuple[int, int]]] = {}
    for key, day, update, value in data:
        judge.setdefault((key, day), set()).add((update, value))
    ambiguous = any(len({v for u, v in seen if u == max(seen)[0]}) > 1 for seen in judge.values())
    expected = [(key, datetime(2024, 1, day), float(max(seen)[1])) for (key, day), seen in sorted(judge.items())]
    assert outcome(data) == outcome(shuffled) == ("refused" if ambiguous else expected)
