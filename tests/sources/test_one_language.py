"""One language of instants: what one door takes, all take, and read alike."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from featurestore.cli.options import instant
from featurestore.cli.session import Session
from featurestore.errors import ConfigError, SourceError, UsageError
from featurestore.tables.instants import read_instants
from featurestore.tables.iso8601 import parse_column
from featurestore.times import EPOCH, MICROSECOND, parse_instant
from tests.sources.conftest import Shop, Shops

SEVEN = datetime(2024, 1, 31, 7, tzinfo=UTC)
FIVE_PAST = SEVEN + timedelta(minutes=5)
EXACT = FIVE_PAST + timedelta(seconds=9)
HALF = EXACT + timedelta(microseconds=500_000)

ACCEPTED = {
    "2024-01-31": datetime(2024, 1, 31, tzinfo=UTC),
    "2024-W05-3": datetime(2024, 1, 31, tzinfo=UTC),
    "2024-01-31T07": SEVEN,
    "2024-01-31T07:05": FIVE_PAST,
    "2024-01-31 07:05:09": EXACT,
    "2024-01-31t07:05:09z": EXACT,
    "2024-01-31T07:05:09Z": EXACT,
    "2024-01-31 07:05:09 UTC": EXACT,
    "2024-01-31T07:05:09.5Z": HALF,
    "2024-01-31T07:05:09,500000000Z": HALF,
    "2024-01-31T12:35:09+05:30": EXACT,
    "2024-01-31T12:35:09+0530": EXACT,
    "2024-01-31 09:05:09+02": EXACT,
    "2024-01-31T12:35:18.5+05:30:09": HALF,
    "20240131T070509Z": EXACT,
    "20240131 0705": FIVE_PAST,
    " 2024-01-31T07:05 ": FIVE_PAST,
}
REFUSED = [
    "20240131", "1706684709", "31/01/2024", "2024-1-31", "2024-01", "2024-031", "2024-01-31T24:00", "2024-02-30",
    "2024-01-31T07:05:60", "2024-01-31_07:05", "2024-01-31T07:05:09.", "2024-01-31T07.5", "2024-01-31T7:05",
    "2024-01-31T07:05+24:00", "2024-01-31T07:05+01:60", "2024-01-31T07:05 CET", "0001-01-01T00:00+01:00",
    "9999-12-31T23:59-01:00", "2024-W60-1", "now", "",
]  # fmt: skip


def micros(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND


def shop_of(shops: Shops, text: str, minimum: str = "") -> Shop:
    more = f'[sources.visits.columns]\nat = {{ type = "datetime", min = "{minimum}" }}' if minimum else ""
    shop = shops(f'type = "csv"\npath = "visits.csv"\nevent_time = "at"\n{more}')
    shop.write("visits.csv", f'id,at\na,"{text}"\n')
    return shop


@pytest.mark.parametrize("text", ACCEPTED)
def test_what_one_door_takes_all_take(text: str, shops: Shops) -> None:
    expected = micros(ACCEPTED[text])
    assert parse_instant(text)[0] == expected
    assert instant(Session(), "--as-of", text) == expected
    assert read_instants(pl.Series("at", [text]), "labels.csv").micros.tolist() == [expected]
    assert shop_of(shops, text).read().frame["at"].to_physical().to_list() == [expected]
    before, exactly = ACCEPTED[text] - timedelta(microseconds=1), ACCEPTED[text]
    rows = shop_of(shops, before.isoformat(), minimum=text).read()
    assert rows.rejected_count == 1
    assert shop_of(shops, exactly.isoformat(), minimum=text).read().rejected_count == 0


@pytest.mark.parametrize("text", ["2024-01-31T07:05:09,500000001Z", "20240131 070509.500000999"])
def test_below_a_microsecond_rows_are_rounded_up_and_all_else_down(text: str, shops: Shops) -> None:
    down = micros(HALF)
    assert parse_instant(text)[0] == instant(Session(), "--as-of", text) == down
    assert read_instants(pl.Series("at", [text]), "labels.csv").micros.tolist() == [down]
    assert shop_of(shops, text).read().frame["at"].to_physical().to_list() == [down + 1]


@pytest.mark.parametrize("text", REFUSED)
def test_what_one_door_refuses_all_refuse(text: str, shops: Shops) -> None:
    with pytest.raises(ValueError, match=r"not a time|not in the years"):
        parse_instant(text)
    with pytest.raises(UsageError, match=r"is not a time|is not in the years 1 to 9999"):
        instant(Session(), "--as-of", text)
    with pytest.raises(SourceError, match="is not a time"):
        read_instants(pl.Series("at", [text]), "labels.csv")
    assert shop_of(shops, text).read().frame.height == 0
    if text:
        with pytest.raises(ConfigError, match=r"at\.min is not a time"):
            shop_of(shops, "2024-01-31", minimum=text).read()


LAYOUTS = st.sampled_from([*ACCEPTED, *REFUSED])
MUTATIONS = st.lists(st.tuples(st.integers(0, 40), st.sampled_from("0123456789TtZz:-+., W")), max_size=3)


@given(LAYOUTS, MUTATIONS, st.booleans())
@example("2024-01-31T07:05:09+00:00", [], False)
@example("2024-01-31T07:05:09,500000001Z", [], True)
def test_a_column_is_read_as_its_texts_are(text: str, mutations: list[tuple[int, str]], up: bool) -> None:
    for at, character in mutations:
        text = text[:at] + character + text[at + 1 :]
    parsed = parse_column(pl.Series([text, None, text]), up=up)
    try:
        expected: tuple[int, bool] | None = parse_instant(text, up=up)
    except ValueError:
        expected = None
    assert parsed.valid.tolist() == [expected is not None, False, expected is not None]
    if expected is not None:
        assert (int(parsed.micros[2]), bool(parsed.naive[2])) == expected
