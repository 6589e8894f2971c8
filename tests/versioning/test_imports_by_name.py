"""A module that ``importlib.import_module`` imports by a literal name is followed, as an import statement is."""

from __future__ import annotations

import pytest

from featurestore.versioning.recipe.closure import Closure
from tests.versioning.conftest import Projects

WAYS = {
    "by the module": "import importlib\ndef f():\n    return importlib.import_module('features.lib').K\n",
    "by another name": "import importlib as il\ndef f():\n    return il.import_module('features.lib').K\n",
    "by the function": 'from importlib import import_module\ndef f():\n    return import_module("features.lib").K\n',
    "in the function": "def f():\n    import importlib\n    return importlib.import_module('features.lib').K\n",
    "relative": "import importlib\ndef f():\n    return importlib.import_module('.lib', __package__).K\n",
    "relative to a name": "import importlib\ndef f():\n    return importlib.import_module('.lib', 'features').K\n",
    "by a keyword": (
        "from importlib import import_module\ndef f():\n    return import_module('.lib', package='features').K\n"
    ),
    "as a value": "import importlib\nlib = importlib.import_module('features.lib')\ndef f():\n    return lib.K\n",
    "as a local value": (
        "import importlib\ndef f():\n    lib = importlib.import_module('features.lib')\n    return lib.K\n"
    ),
}


def closure(projects: Projects, code: str, lib: str = "K = 1\n") -> Closure:
    return projects.closure({"features/m.py": code, "features/lib.py": lib})


@pytest.mark.parametrize("way", WAYS)
def test_another_value_there_is_another_version(projects: Projects, way: str) -> None:
    before, after = (closure(projects, WAYS[way], f"K = {value}\n") for value in (1, 2))
    assert before.canonical != after.canonical
    assert all(limit.kind != "project" for limit in before.limits)
    assert not any("computed name" in limit.message for limit in before.limits)


@pytest.mark.parametrize("way", [way for way in WAYS if "value" not in way])
def test_an_attribute_is_followed_alone_and_is_no_limit(projects: Projects, way: str) -> None:
    before, after = (closure(projects, WAYS[way], lib) for lib in ("K = 1\n", "K = 1\nOTHER = 2\n"))
    assert before.limits == ()
    assert before.canonical == after.canonical


def test_a_function_that_is_reached_so_runs_from_its_version_file(projects: Projects) -> None:
    from featurestore.versioning.running.modules import load_function

    code = "import importlib\ndef f():\n    return importlib.import_module('features.lib').scale(2)\n"
    tree = projects.tree({"features/m.py": code, "features/lib.py": "K = 3\ndef scale(x):\n    return K * x\n"})
    assert load_function(tree, "features.m", "f")() == 6
    sections = closure(projects, code, "K = 3\ndef scale(x):\n    return K * x\n").definitions
    assert [".".join(definition.key) for definition in sections] == [
        "features.m.f",
        "features.lib.scale",
        "features.lib.K",
    ]


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        ("importlib.import_module('math').pi", None, ""),
        ("importlib.import_module('time').time()", "clock", "the time of the run"),
        ("importlib.import_module('features.nowhere').K", "project", "features.nowhere.K is not in the project"),
        ("importlib.import_module('features.' + 'lib').K", "project", "computed name"),
        ("importlib.import_module('.lib', PACKAGE).K", "project", "computed name"),
        ("(lambda m: m.pi)(importlib.import_module('math'))", "code", "what is used of module math is not followed"),
    ],
)
def test_of_another_package_or_nowhere(projects: Projects, code: str, kind: str | None, said: str) -> None:
    limits = closure(projects, f"import importlib\nPACKAGE = 'features'\ndef f():\n    return {code}\n").limits
    assert [limit.kind for limit in limits] == ([] if kind is None else [kind])
    assert all(said in limit.message for limit in limits)
