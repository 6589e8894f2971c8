"""An erasure that is killed at any step is completed by the next command, whatever it is: not one byte is left."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import cycle
from pathlib import Path

import duckdb
import pytest

from featurestore.config import load_project
from featurestore.offline.columns.build import refresh_columns
from featurestore.offline.duckdb import together
from featurestore.offline.open import open_offline
from featurestore.workflows.erasure import completion
from tests.conftest import Folder, uncaptured
from tests.erasure.contents import naming
from tests.erasure.killing import Killer, line_in

WHO = "zz-unmistakable"
# The entity, and values that no other has: of the text feature, of the number feature, of rows that were set aside.
NEEDLES = (b"unmistakable", b"quixotic", b"98765.25", b"987.6525")
TOML = """
[project]
name = "test"
[entity_types.patient]
keys = { patient_id = "string" }
[sources.visits]
type = "csv"
path = "visits*.csv"
event_time = "visit_at"
[sources.visits.columns]
age = { type = "float", min = 0, max = 200000 }
word = { type = "string" }
"""
FEATURES = """
import polars as pl

from featurestore import feature


@feature(entity_type="patient", data_type="float")
def age_share() -> pl.Expr:
    return pl.col("age") / 100


@feature(entity_type="patient", data_type="string")
def said() -> pl.Expr:
    return pl.col("word")


@feature(entity_type="patient", data_type="string", lookback="0")
def broken() -> pl.Expr:
    return pl.col("word").str.to_datetime("%Y", strict=True).cast(pl.String)
"""
FIRST = [f"p{n},2024-01-01T00:00:00Z,{n},word {n % 5}\n" for n in range(60)]
MINE = (
    f"{WHO},2024-01-01T00:00:00Z,98765.25,quixotic one\n{WHO},2024-01-02T00:00:00Z,98765.25,quixotic two\n"
    f"{WHO},2024-01-03T00:00:00Z,-98765.25,quixotic three\n{WHO},2024-01-04T00:00:00Z\n"
)
LATER = [f"p{n},2024-02-01T00:00:00Z,{n},word {n % 5}\n" for n in range(60)]
HEADER = "patient_id,visit_at,age,word\n"
LABELS = f"patient_id,at\np1,2024-03-01T00:00:00Z\n{WHO},2024-03-01T00:00:00Z\n"
# First rows of few rows lie in a table for each version, or, as those of many do, in one for all.
WAYS: Mapping[str, Mapping[str, int]] = {"apart": {}, "together": {"LEAST_ROWS": 1}}
# The nightly tests try every step, divided among as many tests, so that each of them comes to its end.
PARTS = 10
# Every command that writes; each in its turn comes after a kill.
NEXT: Sequence[tuple[str, ...]] = (
    ("ingest",), ("sync",), ("lock",), ("delete", "patient", "p2"), ("promote", "said", "1"), ("baseline", "said"),
    ("join", "others.csv", "-f", "said", "--timestamp-column", "at", "--dataset", "others"), ("verify", "--fix"),
    ("delete", "patient", WHO, "--erase", "--yes"), ("delete", "patient", "p3", "--erase", "--yes"),
)  # fmt: skip


def leave_traces(folder: Folder) -> None:
    """Makes a project in which the entity is everywhere; its rows are gone from the source by now."""
    folder.write({"featurestore.toml": TOML, "features/f.py": FEATURES, "labels.csv": LABELS})
    (folder.root / "others.csv").write_text("patient_id,at\np1,2024-03-01T00:00:00Z\n")
    visits = folder.root / "visits.csv"
    visits.write_text(HEADER + "".join(FIRST) + MINE)
    folder.run("ingest", code=3)
    visits.write_text(HEADER + "".join(FIRST) + MINE + "".join(LATER))
    folder.run("ingest", code=3)
    folder.run("sync")
    folder.run("list")
    for entity in ("p1", WHO, "p2"):
        folder.run("get", "patient", entity, "--log", str(folder.root / "requests.jsonl"))
    labels = str(folder.root / "labels.csv")
    folder.run("join", labels, "-f", "age_share,said", "--timestamp-column", "at", "--dataset", "trial")
    project = load_project(folder.root)
    store = open_offline(project)
    for version in store.versions():  # as a join of a large history makes them
        mark = store.mark(version)
        assert mark is not None
        assert refresh_columns(project.state, store, version, mark, project.memory)
    visits.write_text(HEADER + "".join(FIRST) + "".join(LATER))
    (folder.root / "labels.csv").unlink()


@pytest.fixture(scope="module", params=WAYS)
def way(request: pytest.FixtureRequest) -> Iterator[Mapping[str, int]]:
    """How first rows are written, here and in the commands that are killed."""
    way = WAYS[request.param]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in way.items():
            patch.setattr(together, name, value)
        yield way


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory, way: Mapping[str, int]) -> Path:
    """The project with the traces, made once. It is not changed."""
    root = tmp_path_factory.mktemp("life")
    leave_traces(Folder(root, uncaptured))
    with duckdb.connect(root / ".featurestore" / "history.duckdb", read_only=True) as connection:
        views = connection.execute("SELECT count(*) FROM duckdb_views() WHERE NOT internal").fetchall()
    assert views == [(2 if way else 0,)], "of both features, whose first rows lie in one table"
    return root


@pytest.fixture
def lived(life: Path, tmp_path: Path) -> Path:
    """A copy of the project with the traces."""
    return shutil.copytree(life, tmp_path / "project")


def left_in(folder: Path) -> list[str]:
    """The files of a folder in which a byte of the entity or its values is left, and fields of a history."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    found = [f"{path.name}: {needle.decode()}" for path in files for needle in NEEDLES if needle in path.read_bytes()]
    return found + [entry for path in files if path.suffix == ".duckdb" for entry in naming(path, NEEDLES)]


@pytest.fixture
def killer(tmp_path_factory: pytest.TempPathFactory, way: Mapping[str, int]) -> Iterator[Killer]:
    with Killer(tmp_path_factory.mktemp("killer"), settings={together.__name__: way}) as started:
        yield started


def try_all(killer: Killer, base: Path, every: int, first: int = 0, left: Callable[[Path], list[str]] = left_in) -> int:
    """Kills an erasure at every so many of its steps, each in a copy; returns how often the next command took it up."""
    copy = base.parent / "copy"

    def fresh() -> None:
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(base, copy)

    fresh()
    whole = killer.run(copy, "delete", "patient", WHO, "--erase", "--yes", watch=True)
    assert whole.code == 0, whole.said
    assert left(copy) == []
    taken_up = 0
    commands = cycle(NEXT)
    for point in whole.lines[first::every]:
        fresh()
        assert killer.run(copy, "delete", "patient", WHO, "--erase", "--yes", before=point).code is None, point
        words = [str(copy / word) if word.endswith(".csv") else word for word in next(commands)]
        after = killer.run(copy, *words)
        assert after.code in (0, 3), f"{point}, {words}: {after.code}\n{after.said}"
        if killer.run(copy, "history", "said", WHO).said.count("quixotic"):
            # Nothing of it was committed: then it is as if it had never begun.
            again = killer.run(copy, "delete", "patient", WHO, "--erase", "--yes")
            assert again.code == 0, f"{point}: {again.said}"
        else:
            taken_up += 1
        assert left(copy) == [], f"{point}, then {words}"
        rest = [path.name for path in (copy / ".featurestore").iterdir()]
        assert not [name for name in rest if "fresh" in name or name.endswith((".tmp", ".wal", ".spill"))], point
        assert "erasing" not in rest, point
    shutil.rmtree(copy)
    return taken_up


def test_the_traces_are_everywhere_before(life: Path) -> None:
    found = {entry.partition(":")[0] for entry in left_in(life / ".featurestore")}
    assert {"history.duckdb", "online.sqlite", "summary.json", "entities.arrow"} <= found
    assert "requests.jsonl" in {entry.partition(":")[0] for entry in left_in(life)}


def test_an_erasure_that_is_killed_is_completed_by_the_next_command(lived: Path, killer: Killer) -> None:
    assert try_all(killer, lived, every=130) > 1


@pytest.mark.parametrize(
    "words", [("sync",), ("lock",), ("check", "--fix"), ("delete", "patient", WHO, "--erase", "--yes")]
)
def test_the_command_that_completes_it_says_so(lived: Path, killer: Killer, words: Sequence[str]) -> None:
    begun = killer.run(lived, "delete", "patient", WHO, "--erase", "--yes", before=line_in(completion._remove_derived))
    assert begun.code is None
    said = [killer.run(lived, *words).said for _ in range(2)]
    assert [completion.COMPLETED in text for text in said] == [True, False]
    assert "nothing to do: nothing is stored" not in said[0]


@pytest.mark.nightly
@pytest.mark.parametrize("part", range(PARTS))
def test_at_every_step(lived: Path, killer: Killer, part: int) -> None:
    assert try_all(killer, lived, every=PARTS, first=part) > 2


@pytest.mark.parametrize("file_bytes", [1_000, 20_000, 200_000, 700_000])
def test_what_a_full_disk_breaks_off_succeeds_the_second_time(lived: Path, killer: Killer, file_bytes: int) -> None:
    words = ("delete", "patient", WHO, "--erase", "--yes")
    broken = killer.run(lived, *words, file_bytes=file_bytes)
    assert broken.code in (0, 12), broken.said
    if broken.code:
        assert len([line for line in broken.said.splitlines() if line.startswith("error: ")]) == 1
    again = killer.run(lived, *words)
    assert again.code == 0, again.said
    assert left_in(lived) == []
