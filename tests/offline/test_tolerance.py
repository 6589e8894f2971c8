"""Which values are the value that is held: null, NaN, infinities and extremes beside a tolerance, on every store."""

import math
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from featurestore.errors import FeatureError
from featurestore.offline.contract import OfflineStore
from featurestore.offline.instants import outermost_rows, refuse_impossible
from featurestore.times import MAX_INSTANT, MIN_INSTANT
from tests.offline.conftest import Factory
from tests.offline.history import START, frame, learn, version
from tests.often import examples

FLOATS = st.sampled_from(
    [None, math.nan, math.inf, -math.inf, 0.0, 1.0, 1.05, 1.5, -1.0, 1e300, 1.7976931348623157e308, -1.7e308, 5e-324]
)
INTEGERS = st.sampled_from([None, 0, 1, 2, -1, 2**53 + 1, 2**63 - 1, 2**63 - 2, -(2**63), -(2**63) + 1])
TOLERANCES = st.sampled_from([None, 0.0, 0.5, 1.0, 1e9, 1e300, math.inf])


def is_same(held: float | None, new: float | None, tolerance: float | None) -> bool:
    """The judge, in exact numbers."""
    if held is None or new is None:
        return held is new
    if math.isnan(held) or math.isnan(new):
        return math.isnan(held) and math.isnan(new)
    if held == new:
        return True
    if tolerance is None or math.isinf(held) or math.isinf(new):
        return False
    if isinstance(held, int):
        return tolerance == math.inf or abs(held - new) <= math.floor(tolerance)
    return abs(held - new) <= tolerance


@pytest.mark.parametrize(("data_type", "values"), [("float", FLOATS), ("int", INTEGERS)])
@pytest.mark.parametrize("with_times", [True, False])
@settings(max_examples=examples(4), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_one_definition_says_which_values_are_the_same(
    new_store: Factory,
    data_type: str,
    values: st.SearchStrategy[float | None],
    *,
    with_times: bool,
    data: st.DataObject,
) -> None:
    pairs = data.draw(st.lists(st.tuples(values, values), min_size=1, max_size=8))
    tolerance = data.draw(TOLERANCES)
    of = version(data_type)
    with TemporaryDirectory() as folder:
        store: OfflineStore = new_store(Path(folder))
        learn(store, of, [(f"e{at}", 0, held) for at, (held, _) in enumerate(pairs)], "r1")
        incoming = [(f"e{at}", 0, new) for at, (_, new) in enumerate(pairs)]
        written = learn(store, of, incoming, "r2", tolerance=tolerance, with_times=with_times)
    expected = {f"e{at}" for at, (held, new) in enumerate(pairs) if not is_same(held, new, tolerance)}
    assert set(written.values["patient_id"]) == expected
    assert written.unchanged == len(pairs) - len(expected)
    assert (written.corrected if with_times else written.new) == len(expected)


def test_a_correction_to_null_and_one_from_null_are_stored(store: OfflineStore) -> None:
    of = version()
    learn(store, of, [("a", 0, 1.5), ("b", 0, None)], "r1", tolerance=0.1)
    written = learn(store, of, [("a", 0, None), ("b", 0, 2.5)], "r2", tolerance=0.1)
    assert written.corrected == 2
    assert store.current(of).select("patient_id", "value").rows() == [("a", None), ("b", 2.5)]


def test_rows_that_met_a_tombstone_are_counted(store: OfflineStore) -> None:
    of = version()
    learn(store, of, [("a", 0, 1.0), ("b", 0, 1.0)], "r1")
    deleted = store.scan(of).filter(patient_id="a").select("patient_id", "computed_at")
    with store.writing("r2") as run:
        run.delete(of, deleted)
    written = learn(store, of, [("a", 0, 2.0), ("b", 0, 1.0), ("c", 0, 1.0)], "r3")
    assert (written.new, written.unchanged, written.deleted) == (1, 2, 1)
    assert store.latest(of).filter(patient_id="a")["computed_at"].to_list() == [START]


@pytest.mark.parametrize("micros", [MAX_INSTANT + 1, MIN_INSTANT - 1])
@pytest.mark.parametrize("with_times", [True, False])
def test_instants_outside_the_years_do_not_come_in(store: OfflineStore, micros: int, *, with_times: bool) -> None:
    of = version("datetime")
    learn(store, of, [("a", 0, START)], "r1")
    value = pl.Series([micros]).cast(pl.Datetime("us"))
    rows = frame(of, [("b", 0, START)])
    with store.writing("r2") as run:
        write = run.write if with_times else run.write_changes
        with pytest.raises(FeatureError, match=r"patient_id='b'.* value is not in the years 1 to 9999"):
            write(of, rows.with_columns(value=value))
        with pytest.raises(FeatureError, match="computed_at is not in the years"):
            write(of, rows.with_columns(computed_at=value))
        assert write(of, rows).new == 1


def test_dates_outside_the_years_do_not_come_in(store: OfflineStore) -> None:
    of = version("date")
    rows = frame(of, [("b", 0, date(2024, 1, 1))]).with_columns(
        value=pl.Series([3_000_000], dtype=pl.Int32).cast(pl.Date)
    )
    with store.writing("r1") as run, pytest.raises(FeatureError, match="value is not in the years"):
        run.write(of, rows)


@given(st.lists(st.integers(-(2**62), 2**62) | st.none(), min_size=1, max_size=8), st.booleans())
def test_the_outermost_rows_are_refused_where_all_are(times: list[int | None], of_value: bool) -> None:
    schema = {"patient_id": pl.String(), "computed_at": pl.Datetime("us"), "value": pl.Datetime("us")}
    columns = ([0] * len(times), times) if of_value else (times, [None] * len(times))
    physical = {"patient_id": ["a"] * len(times), "computed_at": columns[0], "value": columns[1]}
    rows = pl.DataFrame(physical, schema=dict.fromkeys(schema, pl.Int64) | {"patient_id": pl.String}).cast(
        pl.Schema(schema)
    )
    found = []
    for each in (rows, outermost_rows(rows)):
        try:
            refuse_impossible(version("datetime"), each)
            found.append(False)
        except FeatureError:
            found.append(True)
    assert found[0] == found[1] == any(at is not None and not MIN_INSTANT <= at <= MAX_INSTANT for at in times)
