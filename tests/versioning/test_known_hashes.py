"""What `lock` found out of the code is used as long as it holds: whatever changes, a listing says what is there."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.config import load_project
from featurestore.versioning.recipe import closure
from featurestore.versioning.running import working_tree
from featurestore.workflows.catalogue import Filter, list_features
from featurestore.workflows.check import check
from featurestore.workflows.lock import lock
from tests.conftest import TOML, Folder

FEATURES = """
import json

import polars as pl

from features.lib import scale
from featurestore import feature


@feature(entity_type="patient", data_type="float", depends_on=["weights.json"])
def scaled() -> pl.Expr:
    return scale.scaled(pl.col("age")) * json.load(open("weights.json"))["a"]


@feature(entity_type="patient", data_type="float")
def plain() -> pl.Expr:
    return pl.col("age") * 1.0
"""
FILES = {
    "featurestore.toml": TOML,
    "features/m.py": FEATURES,
    "features/lib/__init__.py": "",
    "features/lib/scale.py": "def scaled(column):\n    return column * 2.0\n",
    "weights.json": '{"a": 2}',
}
RUNS = "from . import scale\nscale.scaled = abs\n"
KNOWN = Path(".featurestore/known_hashes.json")


@pytest.fixture
def known(folder: Folder) -> Folder:
    folder.write(FILES)
    folder.run("lock")
    return folder


@pytest.fixture
def followed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The functions whose code is followed from now on."""
    names: list[str] = []
    capture = closure.capture

    def noted(tree: Any, module: str, function: str) -> closure.Closure:
        names.append(function)
        return capture(tree, module, function)

    monkeypatch.setattr(working_tree, "capture", noted)
    return names


def hashes(root: Path) -> dict[str, str | None]:
    entries = list_features(load_project(root), Filter()).entries
    return {entry.feature.name: entry.hashed.sha256 if entry.hashed else None for entry in entries}


def test_what_has_not_changed_is_not_followed_again(known: Folder, followed: list[str]) -> None:
    before = known.json("list")
    known.run("plan")
    known.run("check")
    assert followed == []
    (known.root / KNOWN).unlink()
    assert known.json("list") == before
    assert followed == ["plain", "scaled"]


def test_nothing_but_lock_writes_it(known: Folder) -> None:
    (known.root / KNOWN).unlink()
    for command in ("list", "plan", "check"):
        known.run(command)
    assert not (known.root / KNOWN).exists()
    known.run("lock", "--dry-run")
    assert not (known.root / KNOWN).exists()


def shadow(folder: Folder) -> None:
    """A package takes the place of a module."""
    folder.write({"features/lib/scale/__init__.py": "def scaled(column):\n    return column * 5.0\n"})


CHANGES: dict[str, Callable[[Folder], object]] = {
    "a helper": lambda it: it.edit("features/lib/scale.py", "2.0", "3.0"),
    "what runs at import": lambda it: it.write(
        {"features/lib/__init__.py": "from . import scale\nscale.scaled = abs\n"}
    ),
    "a package in its place": shadow,
    "a module named like a package": lambda it: it.write({"polars.py": "col = None\n"}),
    "a declared type": lambda it: it.edit("featurestore.toml", 'age = { type = "int",', 'age = { type = "float",'),
    "a declared file": lambda it: it.write({"weights.json": '{"a": 3}'}),
    "a declaration": lambda it: it.edit("features/m.py", '"float")\ndef plain', '"int")\ndef plain'),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_decides_a_hash_is_noticed(known: Folder, change: str) -> None:
    before = hashes(known.root)
    CHANGES[change](known)
    after = hashes(known.root)
    assert after != before
    (known.root / KNOWN).unlink()
    assert after == hashes(known.root)


def test_a_helper_that_can_not_be_parsed_is_looked_at_every_time(known: Folder) -> None:
    known.edit("features/lib/scale.py", "def scaled(column):", "def scaled(column:")
    assert hashes(known.root)["scaled"] is None
    known.run("lock", code=2)
    known.edit("features/lib/scale.py", "def scaled(column:", "def scaled(column):")
    assert hashes(known.root)["scaled"] is not None


def test_a_damaged_version_file_is_found(known: Folder) -> None:
    (path,) = (known.root / "features/.versions/plain").glob("0001-*.py")
    path.write_text(path.read_text().replace("* 1.0", "* 2.0"))
    assert "damaged" in {item["kind"] for item in known.json("check", code=1)["findings"]}


def test_one_that_came_with_a_clone_is_not_used(known: Folder, tmp_path: Path) -> None:
    document = json.loads((known.root / KNOWN).read_text())
    for record in document["features"].values():
        record["limits"] = [["features/m.py", 1, "invented", "code", []]]
    at = (known.root / KNOWN).stat()
    (known.root / KNOWN).write_text(json.dumps(document))
    os.utime(known.root / KNOWN, ns=(at.st_mtime_ns, at.st_mtime_ns))
    assert any(limit.message == "invented" for limit in check(load_project(known.root)).limits), "it is ours"
    cloned = Path(shutil.copytree(known.root, tmp_path / "clone"))
    assert not any(limit.message == "invented" for limit in check(load_project(cloned)).limits)


@pytest.mark.parametrize("contents", ["", "[]", "{", '{"file": 1}', "null", '{"file": [1, 2, 3], "answers": {}}'])
def test_one_that_is_damaged_is_not_used(known: Folder, contents: str) -> None:
    before = hashes(known.root)
    (known.root / KNOWN).write_text(contents)
    assert hashes(known.root) == before


NAMES = ["features/lib/scale.py", "features/lib/__init__.py", "scale.py", "features/lib/scale/__init__.py"]
TEXTS = [None, "def scaled(column):\n    return column * 2.0\n", "from features.lib import m\n", "scaled = abs\n"]
EDITS = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(TEXTS), st.booleans()), max_size=5)


@given(edits=EDITS)
def test_after_any_edits_a_listing_is_the_one_without_it(tmp_path_factory: pytest.TempPathFactory, edits: Any) -> None:
    root = tmp_path_factory.mktemp("known")
    Folder(root, lambda: ("", "")).write(FILES)
    lock(load_project(root))
    for name, text, locked in edits:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True) if text is None else path.write_text(text)
        if locked:
            lock(load_project(root), skip_broken=True)
        found = hashes(root)
        kept = (root / KNOWN).replace(root / "kept.json")
        assert found == hashes(root)
        kept.replace(root / KNOWN)
