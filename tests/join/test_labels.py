"""Label tables: which columns are keys and times, and how they are read."""

import io
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.errors import SourceError, UsageError
from featurestore.model import EntityType
from featurestore.point_in_time.labels import read_entities, read_times
from featurestore.tables.instants import DATES, NAIVE, read_instants
from featurestore.times import parse_instant
from tests.join.cases import ACCOUNT, PATIENT, SHELF
from tests.join.tables import read_table

AT = "2024-01-01T00:00:00Z"


@dataclass(frozen=True)
class Read:
    keys: pl.DataFrame
    instants: list[int]
    warnings: tuple[str, ...]


def read(
    frame: pl.DataFrame, entity_type: EntityType = PATIENT, *, timestamp_column: str = "at", **options: Any
) -> Read:
    """Keys and times, with what had to be assumed for either."""
    entities = read_entities(frame, entity_type, options.pop("entity_columns", ()), name="labels.csv", **options)
    times = read_times(frame, timestamp_column, name="labels.csv", **options)
    return Read(entities.keys, times.instants.tolist(), (*entities.warnings, *times.warnings))


def test_keys_are_found_by_their_own_names_else_a_single_one_as_entity_id() -> None:
    both = pl.DataFrame({"entity_id": ["x"], "patient_id": ["007"], "at": [AT]})
    assert read(both).keys["patient_id"].to_list() == ["007"]
    assert read(both.drop("patient_id")).keys["patient_id"].to_list() == ["x"]


def test_composite_keys_are_named_in_their_order() -> None:
    frame = pl.DataFrame({"p": ["tea"], "s": ["7"], "at": [AT]})
    assert read(frame, SHELF, entity_columns=("s", "p")).keys.rows() == [(7, "tea")]
    with pytest.raises(UsageError, match=r"shelf has 2 key columns \(shop, product\), not 1"):
        read(frame, SHELF, entity_columns=("s",))


def test_a_missing_column_gets_the_nearest_and_all_columns_as_a_hint() -> None:
    frame = pl.DataFrame({"patient": ["x"], "at": [AT]})
    with pytest.raises(UsageError, match="no column patient_id for the keys of patient") as failed:
        read(frame)
    assert failed.value.hint == "did you mean --entity patient=patient? the columns are: patient, at"
    labels = pl.DataFrame({"patient_id": ["x"], "diagnosed_at": [AT]})
    with pytest.raises(UsageError, match="no column 'diagnosed'") as failed:
        read(labels, timestamp_column="diagnosed")
    assert (
        failed.value.hint == "did you mean --timestamp-column diagnosed_at? the columns are: patient_id, diagnosed_at"
    )
    with pytest.raises(UsageError, match="no column 'q'"):
        read(frame, entity_columns=("q",))


@pytest.mark.parametrize("text", ["seven", "7.0", "1e3", " 7", "7_0", "", "9223372036854775808", "٣"])
def test_text_that_is_not_an_int_is_named_with_its_row(text: str) -> None:
    frame = pl.DataFrame({"account": ["7", None, text], "at": [AT] * 3})
    with pytest.raises(SourceError, match=r"labels\.csv, row 3: .* is not an int"):
        read(frame, ACCOUNT)


def test_int_keys_are_read_from_text_and_from_any_integer() -> None:
    texts = pl.DataFrame({"account": ["7", "0", None, "-9223372036854775808"], "at": [AT] * 4})
    assert read(texts, ACCOUNT).keys["account"].to_list() == [7, 0, None, -(2**63)]
    small = pl.DataFrame({"account": pl.Series([7, None], dtype=pl.UInt8), "at": [AT] * 2})
    assert read(small, ACCOUNT).keys["account"].to_list() == [7, None]


@pytest.mark.parametrize("text", ["07", "+7", "-0", " 7", "0007"])
def test_a_label_has_an_int_key_in_the_one_way_that_sources_have_it(text: str) -> None:
    """A source sets such a text aside; a label with it must not get the values of 7."""
    with pytest.raises(SourceError, match="is not an int key"):
        read(pl.DataFrame({"account": ["7", text], "at": [AT] * 2}), ACCOUNT)


def test_string_keys_are_never_changed() -> None:
    nasty = ["007", "7", " 7", "", "é", "e\u0301", "x\ny"]
    assert read(pl.DataFrame({"patient_id": nasty, "at": [AT] * 7})).keys["patient_id"].to_list() == nasty


def test_numbers_for_a_string_key_are_taken_as_their_digits_with_a_warning() -> None:
    labels = read(pl.DataFrame({"patient_id": [7], "at": [AT]}))
    assert labels.keys["patient_id"].to_list() == ["7"]
    assert "taken as their digits" in labels.warnings[0]


@pytest.mark.parametrize("values", [[7.0], [True], [date(2024, 1, 1)]])
@pytest.mark.parametrize("kind", [PATIENT, ACCOUNT])
def test_no_other_type_is_a_key(values: list[object], kind: EntityType) -> None:
    frame = pl.DataFrame({"patient_id": values, "account": values, "at": [AT]})
    with pytest.raises(UsageError, match="but the key"):
        read(frame, kind)


def test_a_row_without_a_time_is_named() -> None:
    frame = pl.DataFrame({"patient_id": ["a", "b", "c"], "at": [AT, None, None]})
    with pytest.raises(SourceError, match=r"labels\.csv, row 2 \(and 1 more\): no time in column 'at'"):
        read(frame)


@pytest.mark.parametrize(
    "text", ["yesterday", "", "2024-02-30", "2024-01-01T00:00:60Z", "2024-01-01T25:00:00Z", "1704067200", "0000-01-01"]
)
def test_a_time_that_cannot_be_read_is_named_with_its_row(text: str) -> None:
    frame = pl.DataFrame({"patient_id": ["a", "b"], "at": [AT, text]})
    with pytest.raises(SourceError, match=r"labels\.csv, row 2: .* is not a time"):
        read(frame)


def test_a_time_in_another_format_is_refused_with_the_option_that_reads_it() -> None:
    with pytest.raises(SourceError) as caught:
        read(pl.DataFrame({"patient_id": ["a"], "at": ["31.03.2026 10:00"]}))
    assert "--format-of 'at=%d.%m.%Y %H:%M'" in str(caught.value.hint)


def test_numbers_are_not_times() -> None:
    with pytest.raises(UsageError, match="holds Int64, not times"):
        read(pl.DataFrame({"patient_id": ["a"], "at": [1_704_067_200]}))


def test_assumptions_about_times_are_reported_once() -> None:
    texts = ["2024-01-01", "2024-01-02", "2024-01-01T00:00:00", "2024-01-01 00:00", AT]
    labels = read(pl.DataFrame({"patient_id": ["a"] * 5, "at": texts}))
    assert labels.warnings == (f"labels.csv, column 'at': {NAIVE}", f"labels.csv, column 'at': {DATES}")
    assert not read(pl.DataFrame({"patient_id": ["a"], "at": [AT]})).warnings


NEW_YORK = timezone(timedelta(hours=-5))


@pytest.mark.parametrize(("column", "micros", "assumed"), [
    (pl.Series([datetime(2024, 1, 1, tzinfo=UTC)]), 1_704_067_200_000_000, ()),
    (pl.Series([datetime(2024, 1, 1)]), 1_704_067_200_000_000, (NAIVE,)),
    (pl.Series([datetime(2024, 1, 1, 5)]).dt.replace_time_zone("America/New_York"), 1_704_103_200_000_000, ()),
    (pl.Series([date(2024, 1, 1)]), 1_704_067_200_000_000, (DATES,)),
    (pl.Series([1_704_067_200_000]).cast(pl.Datetime("ms", "UTC")), 1_704_067_200_000_000, ()),
    (pl.Series([1_500]).cast(pl.Datetime("ns", "UTC")), 1, ()),
    (pl.Series([-1]).cast(pl.Datetime("ns", "UTC")), -1, ()),
    (pl.Series(["2024-01-01T00:00:00+02:00"]), 1_704_060_000_000_000, ()),
    (pl.Series(["2024-01-01T00:00:00.25Z"], dtype=pl.Categorical), 1_704_067_200_250_000, ()),
])  # fmt: skip
def test_times_of_every_type_become_instants(column: pl.Series, micros: int, assumed: tuple[str, ...]) -> None:
    found = read_instants(column.alias("at"), "labels")
    assert found.micros.tolist() == [micros]
    assert found.assumed == assumed


zones = st.sampled_from((None, UTC, NEW_YORK, timezone(timedelta(hours=5, minutes=30))))
spellings = st.builds(
    lambda moment, zone, separator, digits, z: (
        moment.replace(tzinfo=zone).isoformat(separator, timespec=digits).replace("+00:00", z)
    ),
    st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)),
    zones,
    st.sampled_from("T "),
    st.sampled_from(("auto", "minutes", "seconds", "milliseconds", "microseconds")),
    st.sampled_from(("Z", "+00:00")),
)


@given(st.lists(spellings, min_size=1, max_size=5))
def test_a_column_of_texts_is_read_as_each_text_alone_would_be(texts: list[str]) -> None:
    found = read_instants(pl.Series("at", texts), "labels")
    assert found.micros.tolist() == [parse_instant(text)[0] for text in texts]
    assert (NAIVE in found.assumed) == any(parse_instant(text)[1] for text in texts)


def test_labels_may_come_from_a_stream_as_from_a_file(tmp_path: Path) -> None:
    text = "patient_id,at\n007,2024-01-01T00:00:00Z\n"
    (tmp_path / "labels.csv").write_text(text)
    assert read_table(io.BytesIO(text.encode())).equals(read_table(tmp_path / "labels.csv"))
