"""What can't be followed is said, with its place and a sentence; what can be followed is not."""

from __future__ import annotations

import pytest

from featurestore.versioning.recipe.closure import Closure
from tests.versioning.conftest import Projects, read_cases

LIB = {"features/lib.py": "K = 1\ndef scale(x):\n    return x\n"}

LIMITED = read_cases("limited")
UNLIMITED = read_cases("unlimited")


@pytest.mark.parametrize("name", LIMITED)
def test_what_cannot_be_followed_is_reported_with_its_line(projects: Projects, name: str) -> None:
    case = LIMITED[name]
    limits = projects.closure({"features/m.py": case["code"], **LIB}).limits
    assert [limit.place for limit in limits if case["says"] in limit.message] == [f"features/m.py:{case['line']}"]


@pytest.mark.parametrize("name", UNLIMITED)
def test_what_can_be_followed_has_no_limit(projects: Projects, name: str) -> None:
    assert projects.closure({"features/m.py": UNLIMITED[name]["code"], **LIB}).limits == ()


def test_a_limit_in_a_helper_names_the_helpers_file(projects: Projects) -> None:
    files = {
        "features/m.py": "from .n import g\ndef f():\n    return g()\n",
        "features/n.py": "def g():\n    return vars()\n",
    }
    assert [limit.place for limit in projects.closure(files).limits] == ["features/n.py:2"]


def test_a_module_taken_as_a_value_counts_whole(projects: Projects) -> None:
    text = "from features import lib\ndef f(x):\n    return getattr(lib, x)\n"
    before = projects.closure({"features/m.py": text, **LIB})
    after = projects.closure({"features/m.py": text, "features/lib.py": LIB["features/lib.py"] + "NEW = 1\n"})
    assert before.canonical != after.canonical


def test_other_packages_are_named_without_the_standard_library(projects: Projects) -> None:
    text = (
        "import os, numpy.random as r\nfrom polars import col\ndef f():\n    import scipy.stats\n"
        "    return os.a, r.b, col, scipy.stats.c\n"
    )
    assert projects.closure(text).third_party == ("numpy", "polars", "scipy")


def test_column_names_are_found_among_the_texts(projects: Projects) -> None:
    text = (
        "import polars as pl\nfrom .lib import g\nW = {'age': 1}\ndef f(d):\n    'doc'\n"
        "    return d.filter(sex=1), pl.col.chol, W, g('ca')\n"
    )
    files = {"features/m.py": text, "features/lib.py": "def g(x):\n    return x['thal']\n"}
    assert {"age", "sex", "chol", "ca", "thal"} <= projects.closure(files).strings
    assert "doc" not in projects.closure(files).strings


@pytest.mark.parametrize("patching", ["features/__init__.py", "features/setup.py"])
def test_an_assignment_by_any_imported_module_counts(projects: Projects, patching: str) -> None:
    def closure(value: int) -> Closure:
        files = {
            "features/m.py": "from features import lib\nimport features.setup\ndef f():\n    return lib.scale(lib.K)\n",
            "features/setup.py": "",
            **LIB,
            patching: f"import features.lib as lib\n\nlib.K = {value}\nlib.other = 4\n",
        }
        return projects.closure(files)

    before, after = closure(3), closure(4)
    assert before.canonical != after.canonical
    assert before.limits == ()
    assert (
        "lib.other"
        not in {section.module: section.text for section in before.sections}[
            patching.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        ]
    )


def test_a_broken_module_that_nothing_reaches_is_no_obstacle(projects: Projects) -> None:
    files = {"features/m.py": "import features.broken\ndef f():\n    return 1\n", "features/broken.py": "def ("}
    assert projects.closure(files).limits == ()
