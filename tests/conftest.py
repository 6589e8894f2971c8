"""A project to write to and the command line to run, in this process: what most tests need."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import settings

from featurestore.cli.app import run

settings.register_profile("everyday", deadline=None, print_blob=True)  # a failure shows how to repeat it
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


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("FEATURESTORE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "140")


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
    folder.write({"featurestore.toml": TOML, "features/cardiac.py": AGE, "visits.csv": VISITS})
    return folder
