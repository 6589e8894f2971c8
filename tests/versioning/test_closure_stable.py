"""What decides no value changes no version: formatting, imports, places, annotations, descriptions."""

from __future__ import annotations

from pathlib import Path

import pytest

from featurestore.versioning.analysis.tree import SourceTree
from featurestore.versioning.recipe.closure import capture
from tests.versioning.conftest import Projects, read_cases, write

LIB = {"features/lib.py": "import polars as pl\ndef scale(x):\n    return pl.lit(x)\nLIMIT = 3\n"}
BASE = "from features.lib import scale\ndef f(x):\n    return scale(x)\n"

SAME = read_cases("same")


@pytest.mark.parametrize("name", SAME)
def test_what_changes_no_value_changes_no_version(projects: Projects, name: str) -> None:
    before = projects.closure({"features/m.py": SAME[name]["before"], **LIB})
    after = projects.closure({"features/m.py": SAME[name]["after"], **LIB})
    assert before.canonical == after.canonical


def test_a_function_may_take_another_name(projects: Projects) -> None:
    text = "def f(x):\n    return f(x)\n"
    assert projects.closure(text).canonical == projects.closure(text.replace("f(x)", "other(x)"), "other").canonical


def test_a_helper_may_move_to_another_module(projects: Projects) -> None:
    before = projects.closure({"features/m.py": BASE, **LIB})
    moved = {
        "features/m.py": BASE.replace("features.lib", "tools.deep.there"),
        "tools/deep/there.py": LIB["features/lib.py"]
        .replace("import polars as pl", "from polars import lit")
        .replace("pl.lit", "lit"),
    }
    assert projects.closure(moved).canonical == before.canonical


def test_a_feature_may_move_to_another_module(projects: Projects) -> None:
    before = projects.closure({"features/m.py": BASE, **LIB})
    after = projects.closure({"features/deep/n.py": BASE, **LIB}, module="features.deep.n")
    assert after.canonical == before.canonical


def test_a_package_may_take_the_place_of_a_module(projects: Projects) -> None:
    before = projects.closure({"features/m.py": BASE, **LIB})
    package = {
        "features/m.py": BASE,
        "features/lib/__init__.py": "from .impl import scale\n",
        "features/lib/impl.py": LIB["features/lib.py"],
    }
    assert projects.closure(package).canonical == before.canonical


@pytest.mark.parametrize("ends", ["\r\n", "\r"])
def test_line_ends_and_a_byte_order_mark_change_nothing(tmp_path: Path, ends: str) -> None:
    text = '"""Doc."""\nK = """a\nb"""\ndef f(x):\n    return K, x\n'
    first, second = write(tmp_path / "a", {"m.py": text}), write(tmp_path / "b", {"m.py": ""})
    (tmp_path / "b" / "m.py").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", ends).encode())
    assert capture(first, "m", "f").canonical == capture(second, "m", "f").canonical


def test_the_working_folder_and_the_order_of_reading_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a", {"features/m.py": BASE, "features/n.py": BASE.replace("def f", "def g"), **LIB})
    one, other = SourceTree(tmp_path / "a"), SourceTree(tmp_path / "a")
    first = capture(one, "features.m", "f").canonical, capture(one, "features.n", "g").canonical
    monkeypatch.chdir("/")
    second = capture(other, "features.n", "g").canonical, capture(other, "features.m", "f").canonical
    assert first == second[::-1]


def test_a_folder_with_data_only_does_not_hide_a_package(projects: Projects) -> None:
    text = "import redis\ndef f():\n    return redis.call()\n"
    assert (
        projects.closure(text).canonical
        == projects.closure({"features/m.py": text, "redis/dump.csv": "a,b\n"}).canonical
    )


def test_our_own_package_beside_the_features_is_no_part_of_the_project(projects: Projects) -> None:
    text = "from featurestore import feature\n@feature(entity_type='p')\ndef f():\n    return 1\n"
    beside = {"features/m.py": text, "featurestore/__init__.py": "def feature(**k):\n    return 1\n"}
    assert projects.closure(text).canonical == projects.closure(beside).canonical
