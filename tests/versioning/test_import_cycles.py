"""Captured modules that import each other in a cycle load as in the project, whichever module is imported first."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.versioning.folder.versionfile import VersionFile
from featurestore.versioning.recipe.closure import capture
from featurestore.versioning.running.isolation import Isolation
from featurestore.versioning.running.modules import isolation_of, load_function, user_frame
from featurestore.versioning.running.replay import load, rehash
from tests.versioning.cycles import cycles
from tests.versioning.test_properties import Texts, written

CYCLES: dict[str, tuple[object, str, dict[str, str]]] = {  # each with its value, and the module the project loads first
    "an import of nothing that is used": (
        11,
        "two",
        {
            "two": "from m import C\nfrom lib import h\ndef f(): return h()\n",
            "lib": "import m\nB = 1\ndef h(): return m.C\n",
            "m": "from lib import B\nC = B + 10\n",
        },
    ),
    "a name taken off a module": (
        11,
        "m",
        {
            "two": "from lib import h\ndef f(): return h()\n",
            "lib": "import m\nB = 1\ndef h(): return m.C\n",
            "m": "import lib\nC = lib.B + 10\n",
        },
    ),
    "a module of a package": (
        11,
        "m",
        {
            "two": "from pack.lib import h\ndef f(): return h()\n",
            "pack.lib": "import m\nB = 1\ndef h(): return m.C\n",
            "m": "import pack.lib\nC = pack.lib.B + 10\n",
        },
    ),
    "a constant that is filled after it is made": (
        2,
        "m",
        {
            "two": "from lib import h\ndef f(): return h()\n",
            "lib": "import m\nB = []\nB.append(5)\nB.append(6)\ndef h(): return m.C\n",
            "m": "from lib import B\nC = len(B)\n",
        },
    ),
    "one that is filled before it has to be there": (
        2,
        "w",
        {
            "two": "from lib import h\ndef f(): return h()\n",
            "lib": (
                "import w\nB = []\nB.append(5)\nB.append(6)\nimport m\nX = m.C\nB.append(7)\n"
                "def h(): return X + w.nothing()\n"
            ),
            "w": "import lib\nimport m\ndef nothing(): return len(lib.B) - 3 + m.C - 2\n",
            "m": "from lib import B\nC = len(B)\n",
        },
    ),
    "three modules of which no one can be first": (
        222,
        "x",
        {
            "two": "from x import h\ndef f(): return h()\n",
            "x": "A = 1\nimport y as unused\nimport z\ndef h(): return z.R + z.g()\n",
            "y": "from x import A\nQ = A + 10\nfrom z import R\ndef last(): return R\n",
            "z": "from y import Q\nR = Q + 100\ndef g():\n    import y\n    return y.last()\n",
        },
    ),
    "a function that is called before its module has run": (
        2,
        "r",
        {
            "two": "from q import h\ndef f(): return h()\n",
            "q": "import p\nimport r\nB = 1\ndef h(): return r.X\n",
            "r": "import p\nX = p.h()\n",
            "p": "def h(): return Z\nfrom q import B\nZ = B + 1\n",
        },
    ),
    "an import in a function that is called at once": (
        13,
        "m",
        {
            "two": "from lib import h\ndef f(): return h()\n",
            "lib": (
                "def g():\n    from m import P\n    return P\nX = g()\nB = X + 1\n"
                "def h():\n    import m\n    return m.C\n"
            ),
            "m": "P = 1\nfrom lib import B\nC = B + 11\n",
        },
    ),
    "an import in a block": (
        11,
        "m",
        {
            "two": "from lib import h\ndef f(): return h()\n",
            "lib": "try:\n    import m\nexcept ValueError:\n    m = None\nB = 1\ndef h(): return m.C\n",
            "m": "from lib import B\nC = B + 10\n",
        },
    ),
    "imports that only a call makes": (
        11,
        "m",
        {
            "two": "def f():\n    from lib import h\n    return h()\n",
            "lib": "import m\nB = 1\ndef h(): return m.C\n",
            "m": "from lib import B\nC = B + 10\n",
        },
    ),
    "two constants that wait, one for the other's end": (
        1,
        "m",
        {
            "two": "import lib\nT = 1\ndef f(): return lib.h()\n",
            "lib": "import m\nB = []\nfrom x import K\nB.append(K)\ndef h(): return m.C\n",
            "m": "from lib import B\nC = len(B)\n",
            "x": "from two import T\nK = T\n",
        },
    ),
    "a module between, which has not to wait": (
        2,
        "m",
        {
            "two": "from lib import h\ndef f(): return h()\n",
            "lib": "from x import P\nB = P + 1\ndef h():\n    import m, x\n    return m.C + x.m.C - x.m.C\n",
            "x": "import m\nP = 1\n",
            "m": "from lib import B\nC = B\n",
        },
    ),
    "an import that may fail, of a module that has waited": (
        (11, 11),
        "m",
        {
            "two": (
                "from lib import h\ntry:\n    from m import C\nexcept ImportError:\n    C = None\n"
                "def f(): return C, h()\n"
            ),
            "lib": "import m\nB = 1\ndef h(): return m.C\n",
            "m": "from lib import B\nC = B + 10\n",
        },
    ),
    "what has run is not there twice": (
        [1, 2],
        "m",
        {
            "two": "from lib import h\ndef f(): return h()\n",
            "seen": "SEEN = []\ndef see(value):\n    SEEN.append(value)\n    return value\n",
            "lib": (
                "from seen import SEEN, see\nA = see(1)\nimport m\nB = see(2)\ndef h(): return SEEN[m.C - A - 2 :]\n"
            ),
            "m": "from lib import B\nC = B + 1\n",
        },
    ),
}


def project(texts: dict[str, str], module: str, first: Sequence[str] = ()) -> object:
    """What the project's ``f`` gives where those modules were loaded before."""
    tree = Texts(texts)
    for name in first:
        with isolation_of(tree, module).visible():
            importlib.import_module(name)
    return load_function(tree, module, "f")()


def version_of(texts: dict[str, str], module: str = "two") -> VersionFile:
    return written(capture(Texts(texts), module, "f"), module)


@pytest.mark.parametrize("cycle", CYCLES)
def test_a_version_file_gives_what_the_project_gives(cycle: str) -> None:
    expected, first, texts = CYCLES[cycle]
    assert project(texts, "two", [first]) == expected
    version = version_of(texts)
    assert load(version)() == expected
    assert rehash(version).sha256 == version.sha256


@pytest.mark.parametrize("cycle", CYCLES)
def test_python_alone_does_not_load_it(cycle: str) -> None:
    version = version_of(CYCLES[cycle][2])
    with pytest.raises((ImportError, AttributeError, NameError)):
        load(version, Isolation)()


def test_modules_that_python_loads_keep_their_order() -> None:
    texts = {
        "two": "from lib import h\ndef f(): return h()\n",
        "lib": "import m\nB = 1\ndef h(): return m.C\n",
        "m": "try:\n    from lib import B\nexcept ImportError:\n    B = 5\nC = B\n",
    }
    assert project(texts, "two") == load(version_of(texts))() == 5


def test_statements_of_two_modules_that_need_each_other_fail_at_their_line() -> None:
    texts = {
        "two": "from m import C\nK = 1\ndef f(): return C\n",
        "m": "from lib import B\nC = B\n",
        "lib": "from m import C\nB = C\n",
    }
    version = version_of(texts)
    with pytest.raises(ImportError, match="cannot import name 'C' from 'm'") as caught:
        load(version)
    line = version.first_lines[[section.module for section in version.sections].index("lib")]
    assert user_frame(caught.value, Path("/nowhere")) == f"f/{version.name.path.name}:{line}"


def test_an_error_unrelated_to_the_cycle_is_raised_unchanged() -> None:
    texts = {
        "two": "from lib import h\ndef f(): return h()\n",
        "lib": "import m\nB = 1\ndef h(): return m.C\n",
        "m": "from lib import B\nC = B.upper() + nowhere\n",
    }
    with pytest.raises(AttributeError, match="'int' object has no attribute 'upper'"):
        load(version_of(texts))
    texts["m"] = "import lib\nC = lib.B + lib.none\n"
    with pytest.raises(AttributeError, match="module 'lib' has no attribute 'none'"):
        load(version_of(texts))
    texts["m"] = "from lib import B\nC = B + nowhere\n"
    with pytest.raises(NameError, match="name 'nowhere' is not defined"):
        load(version_of(texts))


def test_an_error_unrelated_to_the_cycle_runs_nothing_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "fs_test_loads", [], raising=False)
    text = "import sys\nK = sys.fs_test_loads.append(1)\nC = K or nowhere\ndef f(): return C\n"
    with pytest.raises(NameError, match="nowhere"):
        load(version_of({"two": text}))
    assert sys.fs_test_loads == [1]  # type: ignore[attr-defined]


def test_a_module_that_may_fail_is_not_run_again() -> None:
    texts = {
        "two": "try:\n    import bad\nexcept ValueError:\n    bad = None\ndef f(): return bad\n",
        "bad": "K = int('no')\ndef g(): return K\n",
    }
    assert load(version_of(texts))() is None


def test_a_cycle_that_fails_does_not_disturb_other_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "fs_test_loads", [], raising=False)
    texts = {
        "two": (
            "def f():\n    try:\n        from m import C\n    except ImportError:\n        from other import C\n"
            "    return C\n"
        ),
        "m": "from lib import B\nC = B + 1\n",
        "lib": "from m import C\nB = C + 1\n",
        "other": "import sys\nC = sys.fs_test_loads.append(3) or sys.fs_test_loads\n",
    }
    assert load(version_of(texts))() == [3]


def test_a_module_that_failed_leaves_none_of_those_it_imported_behind() -> None:
    texts = {
        "two": (
            "def f():\n    import pack.other\n    try:\n        from pack.lib import E\n    except ValueError:\n"
            "        E = pack.other.A\n    from pack import x\n    import pack.x as again\n    return x is again, E\n"
        ),
        "pack.lib": "import pack.x\nE = pack.x.fail()\n",
        "pack.x": "def fail(): raise ValueError\n",
        "pack.other": "A = 2\n",
    }
    assert project(texts, "two") == load(version_of(texts))() == (True, 2)


def test_a_submodule_is_an_attribute_of_its_package_for_every_module() -> None:
    texts = {
        "two": "import pack.lib\ndef f():\n    import pack.other\n    return pack.lib.B + pack.other.A\n",
        "pack.lib": "B = 1\n",
        "pack.other": "A = 2\n",
    }
    assert project(texts, "two") == load(version_of(texts))() == 3


def test_threads_that_import_a_cycle_at_once_share_its_modules() -> None:
    texts = {
        "two": "def f():\n    from lib import h\n    return h()\n",
        "lib": "import m\nB = object()\ndef h(): return m.C\n",
        "m": "from lib import B\nC = B\n",
    }
    function = load(version_of(texts))
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(function())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_annotations_stay_strings_where_the_module_asks_for_it() -> None:
    text = "from __future__ import annotations\nclass P:\n    a: nowhere\ndef f(): return P.__annotations__\n"
    assert load(version_of({"two": text}))() == {"a": "nowhere"}


@given(st.integers(0, 2**32))
def test_whichever_module_a_project_loads_first_its_version_file_gives_the_same(seed: int) -> None:
    texts, module = cycles(Random(seed))
    expected = set()
    for first in ([], *([name] for name in texts)):
        try:
            expected.add(project(texts, module, first))
        except (ImportError, AttributeError, NameError):  # a cycle that Python can't load from there
            continue
    if expected:
        version = version_of(texts, module)
        assert {load(version)()} == expected
        assert rehash(version).sha256 == version.sha256


@pytest.mark.nightly
def test_it_gives_the_same_for_thousands_of_cycles() -> None:
    for seed in range(5_000):
        test_whichever_module_a_project_loads_first_its_version_file_gives_the_same.hypothesis.inner_test(seed)  # type: ignore[attr-defined]
