"""Small projects on disk, and their closures."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from featurestore.model import DataType, EntityType, Feature, Key, Source
from featurestore.versioning.analysis.tree import SourceTree
from featurestore.versioning.recipe.closure import Closure, capture
from featurestore.versioning.recipe.hashing import version_hash
from featurestore.versioning.recipe.version_hash import VersionHash

Files = Mapping[str, str]
FIXTURES = Path(__file__).parents[2] / "fixtures" / "hash"
MODULE = "features.m"


def write(root: Path, files: Files) -> SourceTree:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(dedent(text).encode())
    return SourceTree(root)


class Projects:
    """Writes each project into a folder of its own."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._count = 0

    def tree(self, files: Files | str) -> SourceTree:
        self._count += 1
        given = {"features/m.py": files} if isinstance(files, str) else files
        return write(self._root / str(self._count), given)

    def closure(self, files: Files | str, function: str = "f", module: str = MODULE) -> Closure:
        return capture(self.tree(files), module, function)

    def hash(self, files: Files | str, function: str = "f", module: str = MODULE, **facts: Any) -> VersionHash:
        return version_hash(feature(function=function, module=module, **facts), self.closure(files, function, module))


def feature(**facts: object) -> Feature:
    given: dict[str, object] = {
        "name": "f", "function": "f", "module": MODULE, "path": Path("features/m.py"), "line": 1,
        "entity_type": EntityType("patient", (Key("patient_id", "string"),)), "data_type": DataType("float"),
        "source": Source("visits", "csv", event_time="visit_at"), "short": True, **facts,
    }  # fmt: skip
    return Feature(**given)  # type: ignore[arg-type]


@pytest.fixture
def projects(tmp_path: Path) -> Projects:
    return Projects(tmp_path)


def read_cases(name: str) -> dict[str, dict[str, Any]]:
    """Cases of code by name, from fixtures/hash."""
    return tomllib.loads((FIXTURES / f"{name}.toml").read_text(encoding="utf-8"))
