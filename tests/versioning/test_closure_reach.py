"""What a function reaches is part of its version; what it does not reach is not."""

from __future__ import annotations

import pytest

from featurestore.errors import DeclarationError
from featurestore.versioning.recipe.closure import capture
from tests.versioning.conftest import Projects, read_cases

LIB = "def scale(x):\n    return x / LIMIT\nLIMIT = 240\ndef other(x):\n    return x\n"

WAYS = read_cases("reach")
DIFFERENT = read_cases("different")
TWO = {"features/a.py": "def h(x):\n    return x\n", "features/b.py": "def h(x):\n    return x + 1\n"}


def project(way: str, lib: str = LIB, beside: str = "") -> dict[str, str]:
    """A project that reaches ``scale`` of features/lib.py in one of the ways."""
    return {"features/m.py": WAYS[way]["code"] + beside, "features/lib.py": lib, **WAYS[way].get("files", {})}


@pytest.mark.parametrize("way", WAYS)
def test_a_helper_that_changes_changes_the_version(projects: Projects, way: str) -> None:
    before = projects.closure(project(way))
    after = projects.closure(project(way, LIB.replace("x / LIMIT", "x * LIMIT")))
    assert before.canonical != after.canonical
    assert {("features.lib", "scale"), ("features.lib", "*")} & {node.key for node in before.definitions}


@pytest.mark.parametrize("way", WAYS)
def test_a_constant_that_a_helper_uses_changes_the_version(projects: Projects, way: str) -> None:
    before = projects.closure(project(way))
    after = projects.closure(project(way, LIB.replace("240", "230")))
    assert before.canonical != after.canonical


@pytest.mark.parametrize("way", [way for way in WAYS if way not in ("module as a value", "module kept in a constant")])
def test_a_definition_that_is_not_reached_changes_nothing(projects: Projects, way: str) -> None:
    before = projects.closure(project(way))
    longer = LIB.replace("def other(x):\n    return x", "def other(x):\n    return x + 1\nNEW = 3")
    after = projects.closure(project(way, longer, beside="\ndef beside():\n    return 7\n"))
    assert before.canonical == after.canonical


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_changes_the_values_changes_the_version(projects: Projects, name: str) -> None:
    before = projects.closure({"features/m.py": DIFFERENT[name]["before"], **TWO})
    after = projects.closure({"features/m.py": DIFFERENT[name]["after"], **TWO})
    assert before.canonical != after.canonical


def test_integers_of_thousands_of_digits_differ(projects: Projects) -> None:
    before, after = (
        projects.closure(f"def f():\n    return {number:#x}\n") for number in (1 << 20000, (1 << 20000) + 1)
    )
    assert before.canonical != after.canonical


def test_a_function_that_is_not_there_is_refused_with_its_file(projects: Projects) -> None:
    with pytest.raises(DeclarationError, match=r"features/m\.py: there is no function 'g'"):
        projects.closure("def f(): ...\n", "g")


def test_a_module_that_is_not_there_is_refused(projects: Projects) -> None:
    with pytest.raises(DeclarationError, match=r"features/n\.py"):
        projects.closure("def f(): ...\n", module="features.n")


def test_a_helper_that_cannot_be_parsed_is_named_with_its_line(projects: Projects) -> None:
    tree = projects.tree(
        {"features/m.py": "from .bad import g\ndef f():\n    return g()\n", "features/bad.py": "\n\ndef g(:\n"}
    )
    with pytest.raises(DeclarationError, match=r"features/bad\.py:3"):
        capture(tree, "features.m", "f")


def test_a_chain_of_a_thousand_links_is_hashed(projects: Projects) -> None:
    chain = "".join(f".when(x > {i}).then({i})" for i in range(500))
    before = projects.closure(f"def f(x):\n    return x{chain}\n")
    after = projects.closure(f"def f(x):\n    return x{chain.replace('then(499)', 'then(498)')}\n")
    assert before.canonical != after.canonical


@pytest.mark.parametrize("value", [" + ".join(["x"] * 60_000), "(" * 10_000 + "1" + ")" * 10_000])
def test_code_that_is_nested_too_deeply_is_refused_with_its_line(projects: Projects, value: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        projects.closure(f"x = 1\nK = {value}\ndef f():\n    return K\n")
    assert caught.value.where == "features/m.py:2"
