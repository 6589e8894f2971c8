"""Golden vectors: the canonical form of every syntax node, the same on every Python that is found."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from featurestore.versioning.analysis.tree import SourceTree
from featurestore.versioning.recipe.grammar import FIELDS
from featurestore.versioning.recipe.hashing import version_hash
from tests.versioning.conftest import FIXTURES, Projects, feature
from tests.versioning.vectors import canonical_forms, modules, nodes_without_vector

VECTORS = FIXTURES / "recipe2"
ROOT = Path(__file__).parents[2]


@cache
def golden() -> dict[str, str]:
    found: dict[str, str] = json.loads((VECTORS / "golden.json").read_text(encoding="utf-8"))
    return found


def pythons() -> dict[str, str]:
    """Every Python from 3.11 up on the PATH and where pyenv and uv keep theirs, one of each minor version."""
    names = [shutil.which(f"python3.{minor}") for minor in range(11, 20)]
    places = (Path.home() / ".pyenv/versions", Path.home() / ".local/share/uv/python")
    installed = [str(path) for place in places for path in sorted(place.glob("*/bin/python3"))]
    found: dict[str, str] = {}
    for python in [sys.executable, *installed, *filter(None, names)]:
        ask = "import sys; print('%d.%d' % sys.version_info[:2])"
        done = subprocess.run([python, "-S", "-c", ask], capture_output=True, text=True)
        version = done.stdout.strip()
        if done.returncode == 0 and tuple(map(int, version.split("."))) >= (3, 11):
            found.setdefault(version, python)
    return found


@pytest.mark.parametrize(("version", "python"), sorted(pythons().items()))
def test_every_python_gives_the_same_bytes(version: str, python: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "random"}
    done = subprocess.run(
        [python, str(ROOT / "tests/versioning/vectors.py"), str(VECTORS)],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    forms = {name: form for name, form in golden().items() if int(name[2:5]) <= int(version.replace(".", ""))}
    assert found["forms"] == forms
    assert found["missing"] == [], f"Python {version} has syntax without a golden vector"


def test_this_python_gives_the_golden_bytes() -> None:
    assert canonical_forms(VECTORS).items() <= golden().items()


def test_every_node_of_this_grammar_has_a_vector() -> None:
    assert nodes_without_vector(VECTORS) == []


def test_every_vector_of_this_grammar_is_golden() -> None:
    ours = {name.partition(".")[0] for name in golden()}
    assert set(modules(VECTORS)) <= ours == {path.stem for path in VECTORS.glob("py*.py")}


def test_no_two_vectors_are_the_same() -> None:
    assert len(set(golden().values())) == len(golden())


def test_the_written_fields_are_those_of_this_grammar() -> None:
    import ast

    for name, fields in FIELDS.items():
        kind = getattr(ast, name, None)
        known = set(fields.split()) - {"default_value"}  # of type parameters, since Python 3.13
        assert kind is None or known <= set(kind._fields), name


def test_a_version_hash_of_recipe_2_never_changes(projects: Projects) -> None:
    code = "import polars as pl\nLIMIT = 240\ndef f(days=7):\n    return pl.col('chol') / LIMIT * days\n"
    facts: dict[str, Any] = {
        "params": {"days": 7, "rate": 0.5, "name": "é", "on": True},
        "lookback": 86_400_000_000,
        "tolerance": 1e-9,
    }
    assert projects.hash(code, **facts).sha256 == PINNED


def test_vectors_do_not_depend_on_the_order_in_which_they_are_hashed() -> None:
    from featurestore.versioning.recipe.closure import capture

    forward, backward = SourceTree(VECTORS), SourceTree(VECTORS)
    names = [name for name in golden() if name.startswith("py311.")]
    first = {name: capture(forward, *name.split(".")).canonical for name in names}
    assert {name: capture(backward, *name.split(".")).canonical for name in reversed(names)} == first


def test_facts_are_hashed_as_they_are_written_down(projects: Projects) -> None:
    from hashlib import sha256

    closure = projects.closure("def f():\n    return 1\n")
    text = (
        "featurestore recipe 2\n='9:data_type'5:float='11:entity_type'7:patient='4:form'5:short"
        "='4:keys[['10:patient_id'6:string]]='6:source'6:visits='17:source event_time'8:visit_at"
        "(0 = (s0 (FunctionDef = [](arguments [][][]--[][])[(Return i1 )])))"
    )
    assert version_hash(feature(), closure).sha256 == sha256(text.encode()).hexdigest()


PINNED = "7dd600fb0a094f71c92c3c4f3620ed6d3b399ec71918e11b5800533119f4dfe7"


@pytest.mark.parametrize(
    "options",
    [
        ["--line-length=40"],
        ["--line-length=320"],
        ["--config", "format.quote-style='single'", "--config", "format.skip-magic-trailing-comma=true"],
        ["--config", "format.indent-style='tab'", "--config", "format.line-ending='cr-lf'", "--preview"],
    ],
)
def test_a_formatter_changes_no_version(tmp_path: Path, options: list[str]) -> None:
    ruff = shutil.which("ruff", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if ruff is None:
        pytest.skip("ruff is not installed")
    folder = shutil.copytree(VECTORS, tmp_path / "vectors")
    unsupported = [path for path in folder.glob("py*.py") if path.stem not in modules(folder)]
    for path in unsupported:
        path.unlink()
    before = (folder / "py311.py").read_bytes()
    target = max(modules(folder))
    imports = [ruff, "check", "--isolated", "--select=I", "--fix", "--quiet", "."]
    for command in (imports, [ruff, "format", "--isolated", f"--target-version={target}", *options, "."]):
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    assert (folder / "py311.py").read_bytes() != before
    assert canonical_forms(folder).items() <= golden().items()
