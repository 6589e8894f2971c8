"""Times: ISO 8601 in, instants in UTC out, the same on a machine in any zone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.tables.iso8601 import parse_column, parse_dates
from tests.sources.conftest import Shops

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def at(*parts: int, zone: str = "UTC") -> datetime:
    return datetime(*parts, tzinfo=ZoneInfo(zone)).astimezone(UTC)  # type: ignore[arg-type,misc]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-01-31", at(2024, 1, 31)),
        ("2024-01-31T07:05", at(2024, 1, 31, 7, 5)),
        ("2024-01-31 07:05:09", at(2024, 1, 31, 7, 5, 9)),
        ("2024-01-31T07:05:09Z", at(2024, 1, 31, 7, 5, 9)),
        ("2024-01-31 07:05:09 UTC", at(2024, 1, 31, 7, 5, 9)),
        ("2024-01-31T07:05:09.5Z", at(2024, 1, 31, 7, 5, 9, 500_000)),
        ("2024-01-31T07:05:09,123456789Z", at(2024, 1, 31, 7, 5, 9, 123_456)),
        ("1969-12-31T23:59:59.9999999Z", at(1969, 12, 31, 23, 59, 59, 999_999)),
        ("2024-01-31T07:05:09+05:30", at(2024, 1, 31, 1, 35, 9)),
        ("2024-01-31T07:05:09-0330", at(2024, 1, 31, 10, 35, 9)),
        ("2024-01-31 07:05:09+02", at(2024, 1, 31, 5, 5, 9)),
        ("2000-02-29", at(2000, 2, 29)),
        ("0001-01-01T00:00:00Z", at(1, 1, 1)),
        ("9999-12-31T23:59:59.999999Z", at(9999, 12, 31, 23, 59, 59, 999_999)),
        ("0001-01-01T00:00:00+01:00", None),
        ("9999-12-31T23:59:59-01:00", None),
        ("1900-02-29", None), ("2024-13-01", None), ("2024-00-01", None), ("2024-01-00", None), ("2024-04-31", None),
        ("2024-01-01T24:00:00", None), ("2024-01-01T00:60:00", None), ("2024-01-01T00:00:60", None),
        ("2024-01-01T00:00:00+24:00", None), ("2024-01-01T00:00:00+00:60", None), ("2024-1-1", None),
        ("2024-01-01T00", at(2024, 1, 1)), ("2024-01-01T00:00:00 ", at(2024, 1, 1)), (" 2024-01-01", at(2024, 1, 1)),
        ("2024-01-01t00:00:00z", at(2024, 1, 1)), ("20240101T000000", at(2024, 1, 1)), ("2024-W01-1", at(2024, 1, 1)),
        ("2024-01-01T070509,5+01", at(2024, 1, 1, 6, 5, 9, 500_000)),
        ("2024-01-01T07:05:09+05:30:09", at(2024, 1, 1, 1, 35)),
        ("2024-01-01T", None), ("20240101", None), ("2024-01-01T00:00:00.", None), ("2024-01-01_00:00", None),
        ("2024-01-01T00:00\t", None), ("2024-01", None), ("2024-001", None), ("2024-W60-1", None),
        ("10000-01-01", None),
        ("-2024-01-01", None), ("２０２４-01-01", None), ("2024-01-01T00:00:00Z+01", None), ("x", None), ("", None),
    ],
)  # fmt: skip
def test_what_is_read_is_iso_8601_and_nothing_else(text: str, moment: datetime | None) -> None:
    read = parse_column(pl.Series([text]))
    assert bool(read.valid[0]) == (moment is not None)
    if moment is not None:
        assert EPOCH + timedelta(microseconds=int(read.micros[0])) == moment
        assert bool(read.naive[0]) == (not re.search(r"(Z|z|UTC|[+-]\d\d(:?\d\d)*)$", text[10:]))


MOMENTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30))
OFFSETS = st.one_of(st.none(), st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))))


def test_times_among_texts_of_many_lengths_are_read() -> None:
    texts = ["x" * length for length in range(1, 64)]
    times = ["2024-01-01T00:00:00Z", " 2024-W01-1 ", "20240101T000000Z", None]
    read = parse_column(pl.Series([*texts, *times, *texts]))
    assert read.valid.tolist() == [False] * 63 + [True] * 3 + [False] * 64


@given(st.lists(st.tuples(MOMENTS, OFFSETS, st.booleans(), st.sampled_from(["T", " "])), max_size=30))
def test_layouts_may_be_mixed_in_one_column(rows: list[tuple[datetime, timezone | None, bool, str]]) -> None:
    texts: list[str | None] = []
    expected: list[datetime | None] = []
    for moment, zone, short, gap in rows:
        value = moment.replace(tzinfo=zone, microsecond=0) if short else moment.replace(tzinfo=zone)
        texts += [value.isoformat(sep=gap), None, "not a time"]
        expected += [value.replace(tzinfo=value.tzinfo or UTC), None, None]
    read = parse_column(pl.Series(texts, dtype=pl.String))
    found = [
        EPOCH + timedelta(microseconds=int(m)) if ok else None for m, ok in zip(read.micros, read.valid, strict=True)
    ]
    assert found == expected


@given(st.lists(st.one_of(st.none(), st.dates().map(str)), max_size=20))
def test_dates_are_days(texts: list[str | None]) -> None:
    days, valid = parse_dates(pl.Series(texts, dtype=pl.String))
    assert [
        (EPOCH + timedelta(days=int(d))).date().isoformat() if ok else None for d, ok in zip(days, valid, strict=True)
    ] == texts


NEW_YORK = 'type = "csv"\npath = "visits.csv"\nevent_time = "at"\ntimezone = "America/New_York"'


def test_local_times_are_read_in_the_zone_of_the_source(shops: Shops) -> None:
    shop = shops(NEW_YORK)
    shop.write(
        "visits.csv",
        "id,at\na,2024-07-01 12:00\nb,2024-01-01\nc,2024-07-01T12:00:00Z\nd,2024-03-10 01:59:59\ne,2024-03-10 03:00\n",
    )
    taken = shop.read()
    assert taken.frame["at"].dtype == pl.Datetime("us", "UTC")
    assert taken.frame["at"].to_list() == [
        at(2024, 7, 1, 12, zone="America/New_York"),
        at(2024, 1, 1, zone="America/New_York"),
        at(2024, 7, 1, 12),
        at(2024, 3, 10, 6, 59, 59),
        at(2024, 3, 10, 7),
    ]
    assert not taken.warnings


def test_local_times_that_never_happened_or_happened_twice_are_rejected(shops: Shops) -> None:
    shop = shops(NEW_YORK)
    shop.write("visits.csv", "id,at\na,2024-03-10 02:30\nb,2024-11-03 01:30\nc,2024-11-03 01:30-05:00\nd,\n")
    taken = shop.read()
    assert taken.frame["at"].to_list() == [at(2024, 11, 3, 6, 30)]
    skipped, twice, empty = shop.rejected(taken)
    ways = ('nonexistent = "forward" takes it', 'write its offset, or say which: ambiguous = "earliest" or "latest"')
    zone = "in America/New_York: clocks went"
    assert skipped == (1, "at", f"'2024-03-10 02:30' never happened {zone} forward; {ways[0]}")
    assert twice == (2, "at", f"'2024-11-03 01:30' happened twice {zone} back; {ways[1]}")
    assert empty == (4, "at", "event time is null")


def test_a_clock_change_does_not_make_a_column_of_times_text(shops: Shops) -> None:
    shop = shops(NEW_YORK.replace('event_time = "at"', ""))
    shop.write("visits.csv", "id,at\na,2024-03-10 02:30\nb,2024-03-11 02:30\n")
    taken = shop.read()
    assert taken.inferred == {"at": "datetime"}
    assert (taken.frame.height, taken.rejected_count) == (1, 1)


def test_parquet_times_without_a_zone_are_read_in_the_zone_of_the_source(shops: Shops) -> None:
    shop = shops(NEW_YORK.replace("csv", "parquet"))
    moments = [datetime(2024, 7, 1, 12), datetime(2024, 3, 10, 2, 30), None]
    pl.DataFrame({"id": ["a", "b", "c"], "at": moments}).write_parquet(shop.root / "visits.parquet")
    taken = shop.read()
    assert taken.frame["at"].to_list() == [at(2024, 7, 1, 16)]
    assert [row.reason.partition(": ")[0] for row in taken.rejected] == [
        "'2024-03-10 02:30:00.000000' never happened in America/New_York",
        "event time is null",
    ]


@pytest.mark.parametrize("kind", ["csv", "parquet", "ndjson"])
def test_times_without_any_zone_are_utc_and_that_is_said(kind: str, shops: Shops) -> None:
    shop = shops(f'type = "{kind}"\npath = "visits.{kind}"\nevent_time = "at"')
    frame = pl.DataFrame({"id": ["a"], "at": [datetime(2024, 7, 1, 12)]})
    getattr(frame, f"write_{kind}")(shop.root / f"visits.{kind}")
    taken = shop.read()
    assert taken.frame["at"].to_list() == [at(2024, 7, 1, 12)]
    (warning,) = taken.warnings
    assert "visits: the times in at have no zone and are taken as UTC" in warning
    assert 'timezone = "UTC" in [sources.visits]' in warning


def test_a_date_is_the_start_of_its_day_in_the_zone(shops: Shops) -> None:
    shop = shops(NEW_YORK + '\n[sources.visits.columns]\nat = { type = "date", min = "2024-01-02" }')
    shop.write("visits.csv", "id,at\na,2024-01-02\nb,2024-01-01\n")
    taken = shop.read()
    assert taken.frame["at"].to_list() == [at(2024, 1, 2, 5)]
    assert shop.rejected(taken) == [(2, "at", "'2024-01-01' is below the minimum 2024-01-02")]


SCRIPT = """
import sys
from pathlib import Path
from featurestore.config import load_project
from featurestore.sources.offers import fingerprint, open_source
from featurestore.sources.reading import read_rows
project = load_project(Path(sys.argv[1]))
source = project.sources["visits"]
opened = open_source(project, source)
taken = read_rows(project, source, opened, opened.offer(), {"id": "string"})
print(taken.frame["at"].to_physical().to_list(), taken.rejected_count, fingerprint(source, opened.offer(), {}))
"""


def test_the_zone_of_the_machine_changes_nothing(shops: Shops) -> None:
    shop = shops(NEW_YORK)
    shop.write(
        "visits.csv",
        "id,at\na,2024-03-10 02:30\nb,2024-11-03 01:30\nc,2024-07-01T12:00:00\nd,2024-07-01T12:00:00+05:30\n"
        "e,1900-01-01\n",
    )
    said = {
        zone: subprocess.run(
            [sys.executable, "-c", SCRIPT, str(shop.root)],
            env={**os.environ, "TZ": zone}, capture_output=True, text=True, check=True,
        ).stdout
        for zone in ("UTC", "America/New_York", "Asia/Kolkata")
    }  # fmt: skip
    assert len(set(said.values())) == 1, said
    assert said["UTC"].startswith("[1719849600000000, 1719815400000000, ")
