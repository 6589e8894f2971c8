"""A feature may be declared and never materialised: without a source it has a version, and no runs or history."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from featurestore.arguments import ARGUMENTS, Declaration
from featurestore.config import load_project
from featurestore.model import Source
from featurestore.offline.open import open_offline
from featurestore.registry.discovery import discover
from featurestore.versioning.analysis.tree import SourceTree
from featurestore.versioning.folder.versionfile import read_version
from featurestore.workflows.ingest.targets import find_targets
from tests.conftest import Folder
from tests.versioning.conftest import Projects, feature

RATIO = """
import polars as pl

from featurestore import feature


@feature(entity_type="patient", data_type="float", tags=["request"])
def ratio() -> pl.Expr:
    return pl.col("chol") / pl.col("age")
"""


@pytest.fixture
def both(project: Folder, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """A project with a feature of each kind. A tag declares the one without a source, whatever else may."""
    parse = ARGUMENTS["source"].parse

    def parse_source(declaration: Declaration, name: str) -> Source | None:
        tags = declaration.values.get("tags") or []
        return None if isinstance(tags, list) and "request" in tags else parse(declaration, name)

    monkeypatch.setitem(ARGUMENTS, "source", replace(ARGUMENTS["source"], parse=parse_source))
    project.write({"features/request.py": RATIO})
    return project


def test_it_is_listed_and_shown_without_a_source(both: Folder) -> None:
    listed = {item["name"]: item["source"] for item in both.json("list")["features"]}
    assert listed == {"age_share": "visits", "ratio": None}
    assert [item["name"] for item in both.json("list", "--source", "visits")["features"]] == ["age_share"]
    shown = both.json("show", "ratio")
    assert (shown["source"], shown["columns"], shown["last_run"]) == (None, [], None)
    assert both.json("lineage", "ratio")["source"] is None
    for command in (["list"], ["show", "ratio"], ["lineage", "ratio"], ["plan"]):
        assert "ratio" in both.run(*command).out


def test_it_has_versions(both: Folder) -> None:
    assert {item["name"]: item["change"] for item in both.json("plan")["features"]}["ratio"] == "new"
    both.json("lock")
    both.edit("features/request.py", '/ pl.col("age")', '/ pl.col("age") * 2')
    (planned,) = (item for item in both.json("plan")["features"] if item["name"] == "ratio")
    assert planned["reasons"] == ["the function's code changed"]
    both.json("lock")
    assert both.json("check") == {
        "features": 2,
        "versions": 3,
        "findings": [],
        "limits": [],
        "observations": [],
        "notes": [],
        "fixed": [],
        "dry_run": False,
    }
    sides = both.json("diff", "ratio", "1", "2", "--code")
    assert (sides["old"]["data_source"], sides["code_changed"]) == (None, True)


def test_its_version_file_has_no_source(both: Folder) -> None:
    both.json("lock", "ratio")
    (path,) = Path(both.root / "features/.versions/ratio").glob("0001-*.py")
    assert read_version(path).feature.source is None
    assert "[source]" not in path.read_text()


def test_runs_do_not_compute_it(both: Folder) -> None:
    assert list(both.features()) == ["age_share"]
    project = load_project(both.root)
    tree = SourceTree(project.root)
    features = discover(project, tree).features
    store = open_offline(project)
    with store.reading():
        targets, failed = find_targets(project, store, tree, features)
    assert ([target.feature.name for target in targets], failed) == (["age_share"], [])


@pytest.mark.parametrize("command", [["plan", "--stats"], ["diff", "ratio", "1", "2"], ["drift"], ["sync"], ["doctor"]])
def test_no_command_expects_a_history_of_it(both: Folder, command: list[str]) -> None:
    both.features()
    both.json("lock")
    both.edit("features/request.py", '/ pl.col("age")', '/ pl.col("age") * 2')
    both.json("lock")
    both.json(*command)


def test_a_source_changes_the_hash_and_having_none_is_not_a_source_called_none(tmp_path: Path) -> None:
    code = "def f(): return 1\n"
    projects = Projects(tmp_path)
    with_source, without = projects.hash(code), projects.hash(code, source=None)
    assert with_source.sha256 != without.sha256
    assert {name: value for name, value in with_source.parts.items() if name not in without.parts} == {
        "source": "visits",
        "source event_time": "visit_at",
    }
    assert feature(source=None).source_name is None
