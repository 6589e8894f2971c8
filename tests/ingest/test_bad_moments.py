"""Files that change at the wrong moment: the result is right, or the run is refused and nothing is half done."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from featurestore import times
from featurestore.sources.contract import Offer
from featurestore.sources.files import FileSource
from tests.conftest import VISITS, Folder

MORE = "003,2024-03-01T00:00:00Z,40,\n"


def grows(path: Path) -> None:
    path.write_text(path.read_text() + MORE)


@pytest.mark.parametrize("happens", [Path.unlink, grows])
def test_a_file_that_goes_or_grows_between_look_and_read_fails_the_run_whole(
    project: Folder, happens: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    look = FileSource.offer
    project.write({"visits2.csv": VISITS.replace("2024", "2025")})

    def offer(self: FileSource) -> Offer:
        offered = look(self)
        happens(project.root / "visits2.csv")
        return offered

    with monkeypatch.context() as patched:
        patched.setattr(FileSource, "offer", offer)
        assert "visits2.csv" in project.run("ingest", code=4).err
    assert not (project.root / "features/.versions/age_share").exists()
    project.write({"visits2.csv": VISITS.replace("2024", "2025") + MORE})
    assert project.features()["age_share"]["rows_written"] == 7


def test_a_clock_that_is_set_back_takes_nothing_back(project: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that were not ahead once are not ahead again, and runs go on being numbered and dated in order."""
    project.run("ingest")
    late = round(datetime(2024, 1, 20, tzinfo=UTC).timestamp() * 1_000_000)
    monkeypatch.setattr(times, "now", lambda: late)  # a row of February was taken before
    assert project.features("--full")["age_share"]["rows_corrected"] == 0
    project.write({"visits2.csv": VISITS.replace("2024", "2023")})
    feature = project.features()["age_share"]
    assert (feature["rows_written"], feature["rows_withdrawn"], feature["rows_rejected"]) == (3, 0, 0)
    assert feature["status"] == "ok"
    values = project.json("history", "age_share", "001")["values"]
    assert [each["computed_at"][:7] for each in values] == ["2023-01", "2023-02", "2024-01", "2024-02"]
    learned = {each["computed_at"][:4]: each["ingested_at"] for each in values}
    assert learned["2023"] > learned["2024"]
    assert project.features()["age_share"]["status"] == "unchanged"


@pytest.mark.parametrize("quiet", [True, False])
def test_the_clock_of_a_run_that_wrote_nothing_is_not_taken_back_either(
    project: Folder, monkeypatch: pytest.MonkeyPatch, *, quiet: bool
) -> None:
    """A row of March is ahead of a clock that stands in February, unless a run was made in April."""

    def at(day: datetime) -> None:
        monkeypatch.setattr(times, "now", lambda: round(day.replace(tzinfo=UTC).timestamp() * 1_000_000))

    at(datetime(2024, 2, 20))
    project.run("ingest")
    at(datetime(2024, 4, 1))
    if quiet:
        assert project.features()["age_share"]["status"] == "unchanged"
    at(datetime(2024, 2, 21))
    project.write({"visits2.csv": VISITS.lstrip().splitlines(keepends=True)[0] + MORE})
    feature = project.features(code=0 if quiet else 3)["age_share"]
    assert (feature["rows_written"], feature["rows_rejected"]) == ((1, 0) if quiet else (0, 1))
    if quiet:  # the run is dated after the one that wrote nothing
        (value,) = project.json("history", "age_share", "003")["values"]
        assert value["ingested_at"].startswith("2024-04-01T00:00:00.000001")


def test_a_file_with_the_time_and_size_of_the_one_before_it_is_read(project: Folder) -> None:
    project.run("ingest")
    path = project.root / "visits.csv"
    before = path.stat()
    path.write_text(path.read_text().replace("Z,50,", "Z,55,"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert project.features()["age_share"]["rows_corrected"] == 1
