"""Every pair's code is the same version on every Python, under formatters and with other line ends."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from featurestore.config import load_project
from featurestore.registry.discovery import discover
from featurestore.versioning.analysis.tree import SourceTree
from tests.versioning.pair_forms import forms
from tests.versioning.pairs import read_pairs
from tests.versioning.test_golden import pythons
from tests.versioning.worker import feature_of

ROOT = Path(__file__).parents[2]
FORMATS = {
    "narrow": ["--line-length=40", "--config", "format.line-ending='cr-lf'", "--preview"],
    "wide": ["--line-length=320", "--config", "format.skip-magic-trailing-comma=true"],
    "single quotes": ["--config", "format.quote-style='single'", "--config", "format.indent-style='tab'"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first side of each pair, in one folder."""
    made = tmp_path_factory.mktemp("pairs")
    places: dict[str, tuple[str, str, str]] = {}
    for number, pair in enumerate(read_pairs().values()):
        root = made / str(number)
        for name, text in pair.before.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())
        feature = feature_of(discover(load_project(root), SourceTree(root)).features)
        places[pair.name] = (root.name, feature.module, feature.function)
    (made / "places.json").write_text(json.dumps(places), encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def ours(folder: Path) -> dict[str, str]:
    return forms(folder)


def different(one: dict[str, str], other: dict[str, str]) -> list[str]:
    assert one.keys() == other.keys()
    return [name for name in one if one[name] != other[name]]


@pytest.mark.parametrize(("version", "python"), sorted(pythons().items()))
def test_every_python_gives_the_same_version(folder: Path, ours: dict[str, str], version: str, python: str) -> None:
    if version == f"{sys.version_info[0]}.{sys.version_info[1]}":
        pytest.skip("this Python")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "random"}
    command = [python, str(ROOT / "tests/versioning/pair_forms.py"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert different(ours, json.loads(done.stdout)) == []


@pytest.mark.parametrize("name", FORMATS)
def test_a_formatter_changes_no_version(folder: Path, ours: dict[str, str], tmp_path: Path, name: str) -> None:
    ruff = shutil.which("ruff", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if ruff is None:
        pytest.skip("ruff is not installed")
    copy = shutil.copytree(folder, tmp_path / "pairs")
    command = [ruff, "format", "--isolated", "--target-version=py311", *FORMATS[name], "--quiet", "."]
    subprocess.run(command, cwd=copy, check=True)
    assert different(ours, forms(copy)) == []
