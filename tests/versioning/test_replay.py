"""Old versions run from their file alone, and prove that they are what they say."""

from __future__ import annotations

import re
import shutil
import sys
import threading
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from featurestore.versioning.analysis.tree import SourceTree
from featurestore.versioning.folder.files import write_version
from featurestore.versioning.folder.versionfile import VersionFile, read_version
from featurestore.versioning.recipe import hashing
from featurestore.versioning.recipe.hashing import version_hash
from featurestore.versioning.running.modules import load_function, user_frame
from featurestore.versioning.running.recipes import stored_hash
from featurestore.versioning.running.replay import load, rehash, verify
from tests.versioning.conftest import Projects, feature, write
from tests.versioning.test_closure_reach import LIB, WAYS, project

CREATED = 1_700_000_000_000_000


def freeze(
    tree: SourceTree, folder: Path, function: str = "f", module: str = "features.m", **facts: Any
) -> VersionFile:
    from featurestore.versioning.recipe.closure import capture

    hashed = version_hash(feature(function=function, module=module, **facts), capture(tree, module, function))
    written = write_version(folder / "features" / ".versions", hashed, created=CREATED, packages={})
    return verify(written.name.path)


def outcome(call: Callable[[], Any]) -> str:
    """What a call gives or raises, without what differs from one process to the next."""
    try:
        value = call()
    except Exception as exc:  # noqa: BLE001  # the error is the outcome
        return f"raised {type(exc).__name__}"
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


@pytest.mark.parametrize("way", WAYS)
def test_a_version_file_gives_what_the_project_gave(projects: Projects, tmp_path: Path, way: str) -> None:
    tree = projects.tree(project(way))
    live = outcome(lambda: load_function(tree, "features.m", "f")(480))
    version = freeze(tree, tmp_path / "out")
    shutil.rmtree(tree.root)
    assert outcome(lambda: load(version)(480)) == live


@pytest.mark.parametrize("way", WAYS)
def test_a_version_file_hashes_to_its_own_name_again(projects: Projects, tmp_path: Path, way: str) -> None:
    version = freeze(projects.tree(project(way)), tmp_path / "out")
    again = rehash(version)
    assert again.sha256 == version.sha256
    assert again.parts == version.parts


def test_two_versions_run_side_by_side(projects: Projects, tmp_path: Path) -> None:
    text = "def f(x):\n    from features.lib import scale\n    return scale(x)\n"
    old = load(freeze(projects.tree({"features/m.py": text, "features/lib.py": LIB}), tmp_path))
    new = load(freeze(projects.tree({"features/m.py": text, "features/lib.py": LIB.replace("240", "10")}), tmp_path))
    assert [old(480), new(480), old(480)] == [2.0, 48.0, 2.0]


def test_a_version_does_not_see_the_project_of_today(projects: Projects, tmp_path: Path) -> None:
    files = {
        "features/m.py": "def f(x):\n    from features.lib import scale\n    return scale(x)\n",
        "features/lib.py": LIB,
    }
    tree = projects.tree(files)
    old = load(freeze(tree, tmp_path))
    write(tree.root, {"features/lib.py": LIB.replace("240", "10")})
    new = load_function(SourceTree(tree.root), "features.m", "f")
    assert (old(480), new(480), old(480)) == (2.0, 48.0, 2.0)


def test_running_a_version_leaves_no_module_behind(projects: Projects, tmp_path: Path) -> None:
    before = set(sys.modules)
    load(freeze(projects.tree(project("re-export")), tmp_path))(1)
    assert not {name for name in set(sys.modules) - before if name.startswith("features")}


def test_a_traceback_names_the_version_file_and_its_line(projects: Projects, tmp_path: Path) -> None:
    text = "K = 1\n\n\ndef g():\n    # why\n    return 1 / 0\n\n\ndef f():\n    return g()\n"
    version = freeze(projects.tree(text), tmp_path)
    with pytest.raises(ZeroDivisionError) as caught:
        load(version)()
    place = user_frame(caught.value, tmp_path)
    assert place is not None
    path, _, line = place.rpartition(":")
    assert path.startswith("features/.versions/f/0001-")
    assert (tmp_path / path).read_text().splitlines()[int(line) - 1] == "    return 1 / 0"


def test_annotations_need_not_be_there(projects: Projects, tmp_path: Path) -> None:
    text = (
        "from typing import TYPE_CHECKING\nimport numpy as np\nif TYPE_CHECKING:\n    from nowhere import Frame\n"
        "Alias = dict\ndef f(x: 'Frame', y: np.ndarray = 1, *z: Alias) -> Alias[int, Alias]:\n"
        "    a: np.x = x\n    return a + y\n"
    )
    version = freeze(projects.tree(text), tmp_path)
    assert load(version)(1) == 2
    assert "numpy" not in version.name.path.read_text().partition("# /// module")[2].partition("def f")[0]


def test_dataclasses_and_named_tuples_keep_their_annotations(projects: Projects, tmp_path: Path) -> None:
    text = (
        "from __future__ import annotations\nfrom dataclasses import dataclass, field\n"
        "from typing import ClassVar, NamedTuple\n"
        "@dataclass\nclass P:\n    a: int\n    k: ClassVar[int] = 3\n    b: list[int] = field(default_factory=list)\n"
        "class T(NamedTuple):\n    x: int\n    y: int = 2\ndef f(x):\n    return P(x), P.k, T(x)\n"
    )
    version = freeze(projects.tree(text), tmp_path)
    assert repr(load(version)(1)) == "(P(a=1, b=[]), 3, T(x=1, y=2))"


@pytest.mark.parametrize(
    "signature", ["df: pl.LazyFrame", "df: 'pl.LazyFrame'", "df: Frame", "df: polars.LazyFrame", "df: LazyFrame, k=1"]
)
def test_a_function_that_wants_a_lazy_frame_still_says_so(projects: Projects, tmp_path: Path, signature: str) -> None:
    text = (
        f"import polars, polars as pl\nfrom polars import LazyFrame\nFrame = pl.LazyFrame\n"
        f"def f({signature}):\n    return df\n"
    )
    version = freeze(projects.tree(text), tmp_path, short=False)
    assert version.lazy
    assert load(version).__annotations__["df"].endswith("LazyFrame")


def test_a_frame_is_not_lazy_by_itself(projects: Projects, tmp_path: Path) -> None:
    assert not freeze(projects.tree("import polars as pl\ndef f(df: pl.DataFrame): ...\n"), tmp_path).lazy


def test_comments_and_code_are_stored_as_written(projects: Projects, tmp_path: Path) -> None:
    text = (
        "import os\nimport polars as pl\n\n# Why it is 3.\nK = 3  # three\n\n\n# What f does.\n"
        "def f(x):  # one\n    # two\n    return (x\n        + K), pl.a\n"
    )
    body = freeze(projects.tree(text), tmp_path).sections[0].text
    assert body == (
        "import polars as pl\n\n# Why it is 3.\nK = 3  # three\n\n\n# What f does.\n"
        "def f(x):  # one\n    # two\n    return (x\n        + K), pl.a\n"
    )


def test_the_decorator_is_left_out_whatever_its_shape(projects: Projects, tmp_path: Path) -> None:
    text = (
        "import functools, featurestore as fs\nfrom featurestore import feature as declare\n"
        "@functools.cache\n@declare(\n    entity_type='p',  # @@\n    data_type='int',\n)\n"
        "# why\ndef g(x):\n    return x\n"
        "@(\n    fs.feature(entity_type='p')\n)\n@functools.cache\ndef f(x):\n    return g(x)\n"
    )
    version = freeze(projects.tree(text), tmp_path)
    assert "featurestore" not in version.sections[0].text
    assert version.sections[0].text.count("@functools.cache") == 2
    assert load(version)(4) == 4


def test_statements_that_share_a_line_are_cut_apart(projects: Projects, tmp_path: Path) -> None:
    version = freeze(projects.tree("A = 1; B = 'é'; C = 3; D = undefined\ndef f(): return B, C\n"), tmp_path)
    assert "A = 1" not in version.sections[0].text
    assert load(version)() == ("é", 3)


def test_code_may_hold_what_looks_like_a_marker(projects: Projects, tmp_path: Path) -> None:
    text = 'K = """\n# ///\n\n# /// module features.other\n"""\n# /// featurestore\ndef f():\n    return K\n'
    assert load(freeze(projects.tree(text), tmp_path))() == "\n# ///\n\n# /// module features.other\n"


def test_packages_and_relative_imports_keep_their_level(projects: Projects, tmp_path: Path) -> None:
    files = {
        "features/deep/m.py": "from . import api\nfrom ..lib import scale\ndef f(x):\n    return api.two(scale(x))\n",
        "features/deep/api/__init__.py": "from .two import two\n",
        "features/deep/api/two.py": (
            "from ...lib import LIMIT\ndef two(x):\n    from .. import api\n    return x * LIMIT, api.two is two\n"
        ),
        "features/lib.py": LIB,
    }
    version = freeze(projects.tree(files), tmp_path, module="features.deep.m")
    assert load(version)(240) == (240.0, True)
    assert [section.module for section in version.sections if section.package] == ["features.deep.api"]


def test_code_runs_in_other_threads_and_after_the_call(projects: Projects, tmp_path: Path) -> None:
    text = (
        "def f():\n    def later(x):\n        from features.lib import scale\n"
        "        return scale(x)\n    return later\n"
    )
    later = load(freeze(projects.tree({"features/m.py": text, "features/lib.py": LIB}), tmp_path))()
    results: list[float] = []
    thread = threading.Thread(target=lambda: results.append(later(480)))
    thread.start()
    thread.join()
    assert results == [2.0]


def test_a_version_gives_its_values_with_polars(projects: Projects, tmp_path: Path) -> None:
    import polars as pl

    def text(weight: float) -> str:
        return (
            f"import polars as pl\nfrom .lib import half\nW = {weight}\ndef f():\n    return half(pl.col('age')) * W\n"
        )

    lib = {"features/lib.py": "def half(x):\n    return x / 2\n"}
    rows = pl.DataFrame({"age": [40, 60]})
    versions = [freeze(projects.tree({"features/m.py": text(weight), **lib}), tmp_path) for weight in (0.25, 0.30)]
    assert [version.number for version in versions] == [1, 2]
    values = [rows.select(value=load(read_version(version.name.path))())["value"].to_list() for version in versions]
    assert values == [[5.0, 7.5], [6.0, 9.0]]


def test_names_of_another_packages_star_import_are_there(projects: Projects, tmp_path: Path) -> None:
    text = "import os\nfrom math import *\nK = floor(2.5)\ndef f():\n    return K + ceil(1.5)\n"
    assert load(freeze(projects.tree(text), tmp_path))() == 4


def test_annotations_of_a_class_are_stored_wherever_it_is(projects: Projects, tmp_path: Path) -> None:
    text = (
        "class C:\n    if 1:\n        a: int\n    def m(self, b: nowhere) -> nowhere:\n"
        "        c: nowhere = 1\ndef f():\n    return C\n"
    )
    assert load(freeze(projects.tree(text), tmp_path))().__annotations__ == {"a": int}


def test_a_chain_of_a_thousand_links_runs(projects: Projects, tmp_path: Path) -> None:
    chain = "".join(f".replace('{i}', '')" for i in range(500))
    assert load(freeze(projects.tree(f"def f(x: str) -> str:\n    return x{chain}\n"), tmp_path))("a1") == "a"


def test_a_new_recipe_renumbers_nothing(projects: Projects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "K = 1\ndef f():\n    return K\n"
    old = freeze(projects.tree(text), tmp_path)
    monkeypatch.setitem(hashing.RECIPES, 3, lambda feature, closure: sha256(b"3" + closure.canonical).hexdigest())
    assert verify(old.name.path).recipe == 2
    same, changed = projects.hash(f"# moved\n{text}"), projects.hash(text.replace("1", "2"))
    assert (same.recipe, changed.recipe) == (3, 3)
    assert stored_hash(same, [old.name]).sha256 == old.sha256
    assert stored_hash(changed, [old.name]) is changed
    new = freeze(projects.tree(text.replace("1", "2")), tmp_path)
    assert (new.number, new.recipe) == (2, 3)
    assert stored_hash(changed, [old.name, new.name]) is changed
