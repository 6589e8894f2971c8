"""A project to write to and the command line to run, in this process: what most tests need."""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import settings

from featurestore.cli.app import run
from tests.often import AT_NIGHT, EVERY_DAY, NIGHTLY

pytest_plugins = [
    "tests.services",
    "tests.services_kafka",
    "tests.services_postgres",
]  # one server each, for the modules of all folders

# Tests whose examples take long have fewer: `tests.often.examples`. A failure shows how to repeat it.
settings.register_profile("everyday", deadline=None, print_blob=True, max_examples=EVERY_DAY)
settings.register_profile(NIGHTLY, deadline=None, print_blob=True, max_examples=EVERY_DAY * AT_NIGHT)
settings.load_profile("everyday")

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
age = { type = "int", min = 0, max = 120 }
chol = { type = "float" }
"""
AGE = """
import polars as pl

from featurestore import feature


@feature(entity_type="patient", data_type="float")
def age_share() -> pl.Expr:
    return pl.col("age") / 100
"""
VISITS = """
patient_id,visit_at,age,chol
001,2024-01-01T00:00:00Z,50,200.5
001,2024-02-01T00:00:00Z,51,210
002,2024-01-15T00:00:00Z,60,
"""
PROJECT = {"featurestore.toml": TOML, "features/cardiac.py": AGE, "visits.csv": VISITS}


@pytest.fixture(autouse=True, scope="session")
def _no_settings_from_outside() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as environment:
        for name in os.environ:
            if name.startswith("FEATURESTORE_"):
                environment.delenv(name)
        environment.setenv("NO_COLOR", "1")
        environment.setenv("COLUMNS", "140")
        yield


@dataclass(frozen=True)
class Ran:
    """The outcome of one command line."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Folder:
    """A project folder under test: writes files and runs command lines."""

    def __init__(self, root: Path, capture: Callable[[], tuple[str, str]]) -> None:
        self.root = root
        self._capture = capture

    def write(self, files: Mapping[str, str]) -> None:
        """Writes files, dedented and without their first empty line."""
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(text).lstrip("\n"), encoding="utf-8")

    def edit(self, name: str, old: str, new: str) -> None:
        """Replaces text in a file; it must be there."""
        path = self.root / name
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{old!r} is not in {name}"
        path.write_text(text.replace(old, new), encoding="utf-8")

    def run(self, *arguments: str, code: int = 0) -> Ran:
        """Runs ``featurestore ARGUMENTS`` on this project and checks its exit code."""
        self._capture()
        exit_code = run(["-C", str(self.root), *arguments])
        out, err = self._capture()
        assert exit_code == code, f"featurestore {' '.join(arguments)}: exit {exit_code}\n{out}{err}"
        return Ran(exit_code, out, err)

    def json(self, *arguments: str, code: int = 0) -> Any:
        return self.run(*arguments, "--json", code=code).json

    def features(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """Runs ``ingest`` and returns its features by name."""
        return {item["name"]: item for item in self.json("ingest", *arguments, code=code)["features"]}


def uncaptured() -> tuple[str, str]:
    """Nothing that was said: for a project that is made once for many tests, when there is no ``capsys`` yet."""
    return "", ""


@pytest.fixture
def folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Folder:
    """An empty folder."""

    def capture() -> tuple[str, str]:
        captured = capsys.readouterr()
        return captured.out, captured.err

    return Folder(tmp_path, capture)


@pytest.fixture
def project(folder: Folder) -> Folder:
    """A small project: two patients, three visits, one feature."""
    folder.write(PROJECT)
    return folder


@pytest.fixture(scope="session")
def _ingested_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Folder(tmp_path_factory.mktemp("ingested"), uncaptured)
    made.write(PROJECT)
    made.run("ingest")
    return made.root


@pytest.fixture(scope="session")
def _two_versions_once(_ingested_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Folder(tmp_path_factory.mktemp("two") / "versions", uncaptured)
    shutil.copytree(_ingested_once, made.root)
    made.edit("features/cardiac.py", "/ 100", "/ 50")
    made.run("ingest")
    return made.root


@pytest.fixture
def ingested(folder: Folder, _ingested_once: Path) -> Folder:
    """A copy of the small project as its first ingest has left it."""
    return _copied(_ingested_once, folder)


@pytest.fixture
def two_versions(folder: Folder, _two_versions_once: Path) -> Folder:
    """A copy of it after one more: age_share is divided by 100 in version 1, by 50 in version 2, the active one."""
    return _copied(_two_versions_once, folder)


Once = Callable[[Callable[[Folder], object], Folder], Folder]
"""Puts into a folder a copy of what a function makes of an empty one, which is called for the first test only."""


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    made: dict[Callable[[Folder], object], Path] = {}

    def copy(make: Callable[[Folder], object], folder: Folder) -> Folder:
        if make not in made:
            first = Folder(tmp_path_factory.mktemp("once") / "made", uncaptured)
            first.root.mkdir()
            make(first)
            made[make] = first.root
        return _copied(made[make], folder)

    return copy


def _copied(made: Path, folder: Folder) -> Folder:
    shutil.copytree(made, folder.root, dirs_exist_ok=True)
    folder.run("list")  # writes the summary anew, which knows its history's file from a copy of it
    return folder
