"""A project's modules run from the text that was hashed, as Python would run them, apart from all others."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from featurestore.errors import FeatureError
from featurestore.versioning.analysis.tree import SourceTree
from featurestore.versioning.running.modules import isolation_of, load_function, user_frame
from tests.versioning.conftest import Projects, write


def test_an_edit_of_equal_size_within_the_same_second_is_seen(tmp_path: Path) -> None:
    write(tmp_path, {"features/m.py": "def f():\n    return 0.25\n"})
    os.utime(tmp_path / "features/m.py", (1_000_000_000, 1_000_000_000))
    first = load_function(SourceTree(tmp_path), "features.m", "f")
    write(tmp_path, {"features/m.py": "def f():\n    return 0.30\n"})
    os.utime(tmp_path / "features/m.py", (1_000_000_000, 1_000_000_000))
    second = load_function(SourceTree(tmp_path), "features.m", "f")
    assert (first(), second()) == (0.25, 0.30)


def test_byte_code_is_neither_written_nor_read(tmp_path: Path) -> None:
    files = {
        "features/m.py": "from features.lib import g\ndef f():\n    return g()\n",
        "features/lib.py": "def g():\n    return 1\n",
    }
    load_function(write(tmp_path, files), "features.m", "f")()
    assert not list(tmp_path.rglob("*.pyc"))


def test_what_runs_is_what_was_parsed_whatever_is_saved_meanwhile(tmp_path: Path) -> None:
    tree = write(tmp_path, {"features/m.py": "def f():\n    return 1\n"})
    tree.module("features.m")
    write(tmp_path, {"features/m.py": "def f():\n    return 2\n"})
    assert load_function(tree, "features.m", "f")() == 1


def test_two_projects_with_the_same_module_names_do_not_meet(projects: Projects) -> None:
    text = "from features.lib import K\ndef f():\n    from features import lib\n    return K, lib.K\n"
    one = load_function(projects.tree({"features/m.py": text, "features/lib.py": "K = 1\n"}), "features.m", "f")
    two = load_function(projects.tree({"features/m.py": text, "features/lib.py": "K = 2\n"}), "features.m", "f")
    assert [one(), two(), one()] == [(1, 1), (2, 2), (1, 1)]


def test_a_module_that_raises_fails_alone(projects: Projects) -> None:
    tree = projects.tree(
        {"features/bad.py": "def f(): ...\nraise ValueError('no')\n", "features/m.py": "def f():\n    return 1\n"}
    )
    with pytest.raises(ValueError, match="no"):
        load_function(tree, "features.bad", "f")
    assert load_function(tree, "features.m", "f")() == 1


def test_a_module_that_raised_is_run_again_when_asked_again(projects: Projects) -> None:
    tree = projects.tree(
        {
            "features/m.py": (
                "import os\nif os.environ['FS_TEST_FAIL'] == '1':\n    raise IsADirectoryError\n"
                "def f():\n    return 1\n"
            )
        }
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FS_TEST_FAIL", "1")
        with pytest.raises(IsADirectoryError):
            load_function(tree, "features.m", "f")
        patch.setenv("FS_TEST_FAIL", "0")
        assert load_function(tree, "features.m", "f")() == 1


def test_folders_without_init_are_packages(projects: Projects) -> None:
    files = {"features/m.py": "from tools.deep import g\ndef f():\n    return g.K\n", "tools/deep/g.py": "K = 5\n"}
    assert load_function(projects.tree(files), "features.m", "f")() == 5


def test_packages_run_their_init_first(projects: Projects) -> None:
    files = {
        "features/m.py": (
            "import tools.deep.g\ndef f():\n    return tools.deep.g.K, tools.deep.NAME, __name__, __package__\n"
        ),
        "tools/__init__.py": "SEEN = []\n",
        "tools/deep/__init__.py": "from tools import SEEN\nNAME = __name__\nSEEN.append(NAME)\n",
        "tools/deep/g.py": "from .. import SEEN\nK = list(SEEN)\n",
    }
    assert load_function(projects.tree(files), "features.m", "f")() == (
        ["tools.deep"],
        "tools.deep",
        "features.m",
        "features",
    )


def test_cycles_work_as_in_python(projects: Projects) -> None:
    files = {
        "features/m.py": "from features import a\ndef f():\n    return a.one()\n",
        "features/a.py": "import features.b as b\ndef one():\n    return b.two()\ndef three():\n    return 3\n",
        "features/b.py": (
            "from features import a\nimport features.a as same\ndef two():\n    return a.three(), a is same\n"
        ),
    }
    assert load_function(projects.tree(files), "features.m", "f")() == (3, True)


def test_a_cycle_that_python_refuses_is_refused(projects: Projects) -> None:
    files = {
        "features/m.py": "from features.a import x\ndef f(): ...\n",
        "features/a.py": "from features.m import f\nx = 1\n",
    }
    with pytest.raises(ImportError):
        load_function(projects.tree(files), "features.m", "f")


def test_a_missing_module_says_its_name(projects: Projects) -> None:
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'features\.none'") as caught:
        load_function(projects.tree("import features.none\ndef f(): ...\n"), "features.m", "f")
    assert caught.value.name == "features.none"


def test_star_imports_and_module_getattr_work(projects: Projects) -> None:
    files = {
        "features/m.py": (
            "from features.lib import *\nfrom features.lib import dynamic\ndef f():\n    return A, dynamic, sub.S\n"
        ),
        "features/lib/__init__.py": (
            "__all__ = ['A', 'sub']\nA = 1\ndef __getattr__(name):\n    if name == 'dynamic':\n"
            "        return 2\n    raise AttributeError(name)\n"
        ),
        "features/lib/sub.py": "S = 3\n",
    }
    assert load_function(projects.tree(files), "features.m", "f")() == (1, 2, 3)


def test_importlib_finds_the_project_while_a_function_runs(projects: Projects) -> None:
    text = (
        "import importlib\ndef f(name):\n"
        "    return importlib.import_module(name).K, importlib.import_module('.fs_test', __package__).K\n"
    )
    tree = projects.tree({"features/m.py": text, "features/fs_test.py": "K = 1\n"})
    assert load_function(tree, "features.m", "f")("features.fs_test") == (1, 1)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("features.fs_test")


def test_visible_modules_can_be_imported_by_the_rest_of_the_process(projects: Projects) -> None:
    tree = projects.tree({"features/fs_test_only.py": "K = 1\ndef f(): ...\n"})
    with isolation_of(tree, "features.fs_test_only").visible():
        assert importlib.import_module("features.fs_test_only").K == 1
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("features.fs_test_only")


def test_what_was_imported_before_is_there_again_afterwards(
    projects: Projects, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = type(sys)("features")
    monkeypatch.setitem(sys.modules, "features", mine)
    load_function(projects.tree("def f():\n    return 1\n"), "features.m", "f")()
    assert sys.modules["features"] is mine


def test_dataclasses_with_text_annotations_are_made_while_functions_run(projects: Projects) -> None:
    text = (
        "from __future__ import annotations\nimport dataclasses, typing\ndef f():\n"
        "    @dataclasses.dataclass\n    class P:\n        a: typing.ClassVar[int] = 1\n"
        "        b: int = 2\n    return P()\n"
    )
    assert load_function(projects.tree(text), "features.m", "f")().b == 2


def test_a_function_may_import_later_in_another_thread(projects: Projects) -> None:
    text = "def f():\n    def later():\n        from features.lib import K\n        return K\n    return later\n"
    later = load_function(projects.tree({"features/m.py": text, "features/lib.py": "K = 7\n"}), "features.m", "f")()
    seen: list[int] = []
    threads = [threading.Thread(target=lambda: seen.append(later())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [7] * 8


def test_a_name_that_is_not_a_function_after_the_import_is_an_error(projects: Projects) -> None:
    with pytest.raises(FeatureError, match="has no function 'f'"):
        load_function(projects.tree("def f(): ...\ndel f\n"), "features.m", "f")


def test_the_deepest_line_of_the_users_code_is_found(projects: Projects) -> None:
    files = {
        "features/m.py": "from .lib import g\ndef f():\n    return g()\n",
        "features/lib.py": "import json\ndef g():\n\n    return json.loads('{')\n",
    }
    tree = projects.tree(files)
    with pytest.raises(ValueError, match="Expecting") as caught:
        load_function(tree, "features.m", "f")()
    assert user_frame(caught.value, tree.root) == "features/lib.py:4"


def test_an_error_on_import_is_located_too(projects: Projects) -> None:
    tree = projects.tree("x = 1\n\n1 / 0\ndef f(): ...\n")
    with pytest.raises(ZeroDivisionError) as caught:
        load_function(tree, "features.m", "f")
    assert user_frame(caught.value, tree.root) == "features/m.py:3"


def test_an_error_of_ours_has_no_line_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        1 / 0  # noqa: B018
    assert user_frame(caught.value, tmp_path) is None


def test_a_module_of_the_project_hides_an_installed_one_for_the_project_only(projects: Projects) -> None:
    tree = projects.tree(
        {"features/m.py": "import colorsys\ndef f():\n    return colorsys.MINE\n", "colorsys.py": "MINE = 1\n"}
    )
    assert load_function(tree, "features.m", "f")() == 1
    import colorsys

    assert hasattr(colorsys, "rgb_to_hls")


LIGHT = """
import sys
import featurestore.versioning.recipe.closure, featurestore.versioning.recipe.hashing
import featurestore.versioning.folder.files
heavy = {"polars", "numpy", "duckdb", "importlib.metadata", "subprocess", "typer", "rich", "difflib"} & set(sys.modules)
print(sorted(heavy))
"""


def test_hashing_and_listing_import_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_one_module_of_features_does_to_a_helper_reaches_no_other(projects: Projects) -> None:
    """The version of ``b`` does not hold ``a``, so that its values can't depend on whether ``a`` runs beside it."""
    tree = projects.tree(
        {
            "features/consts.py": "RATE = 2\n",
            "features/a.py": "from features import consts\nconsts.RATE = 99\ndef f():\n    return consts.RATE\n",
            "features/b.py": "from features import consts\ndef f():\n    return consts.RATE\n",
        }
    )
    one, other = load_function(tree, "features.a", "f"), load_function(tree, "features.b", "f")
    assert (one(), other(), one()) == (99, 2, 99)
