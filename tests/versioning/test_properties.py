"""Generated pairs of programs that must be one version, and pairs that must be two, judged by Python itself."""

from __future__ import annotations

import ast
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from featurestore.versioning.analysis.names import Global, Plain
from featurestore.versioning.analysis.tree import Module, SourceTree
from featurestore.versioning.folder.names import VersionName
from featurestore.versioning.folder.versionfile import VersionFile, parse_version, write_text
from featurestore.versioning.recipe.canonical import Walk
from featurestore.versioning.recipe.closure import Closure, capture
from featurestore.versioning.recipe.hashing import version_hash
from featurestore.versioning.running.modules import load_function
from featurestore.versioning.running.replay import load, rehash
from tests.often import examples
from tests.versioning.conftest import feature
from tests.versioning.graphs import Graph, graphs, is_reached
from tests.versioning.programs import global_names, mutations, normal_form, program
from tests.versioning.soups import shown, soup


class Texts(SourceTree):
    """A project that lies nowhere: modules by name."""

    def __init__(self, texts: dict[str, str]) -> None:
        super().__init__(Path("/nowhere"))
        self._texts = texts

    def is_package(self, name: str) -> bool:
        return any(other.startswith(f"{name}.") for other in self._texts)

    def _read(self, name: str) -> Module | None:
        text = self._texts.get(name)
        return None if text is None else Module(name, Path(f"{name}.py"), text, ast.parse(text), package=False)

    def _has_python(self, top: str) -> bool:
        return any(name.partition(".")[0] == top for name in self._texts)


def canonical(text: str) -> bytes:
    return capture(Texts({"m": text}), "m", "f").canonical


class Listening:
    """A world in which nothing is defined, and that remembers what it was asked for."""

    module, file = "m", "m.py"

    def __init__(self) -> None:
        self.asked: set[str] = set()

    def assigned(self, module: str, name: str) -> None:
        return None

    def lookup(self, name: str) -> Global:
        self.asked.add(name)
        return Plain(name, known=True)

    def member(self, module: str, name: str) -> Global | None:
        raise AssertionError((module, name))

    def imported(self, level: int, module: str, name: str | None) -> Global:
        return Plain(f"{level}{module}.{name}", known=True)


seeds = st.integers(0, 2**32)
sizes = st.integers(0, 3)


@given(seeds, sizes)
@example(1760, 3)  # imports of a function with ... between them
def test_a_program_is_one_version_however_it_is_written(seed: int, size: int) -> None:
    made = program(seed, size)
    first, second = made(Random(seed)), made(Random(seed + 1))
    assert canonical(first) == canonical(second) == canonical(ast.unparse(ast.parse(first)))


@given(seeds, sizes)
def test_programs_are_one_version_exactly_when_python_says_they_are_the_same(seed: int, size: int) -> None:
    style = Random(seed)
    text = program(seed, size, bare=True)(style)
    for changed in mutations(text, style):
        assert (canonical(text) == canonical(changed)) == (normal_form(text) == normal_form(changed)), changed


@given(seeds)
def test_two_different_small_programs_have_different_forms(seed: int) -> None:
    one, two = (program(number, 0, bare=True)(Random(0)) for number in (seed, seed + 1))
    assert (canonical(one) == canonical(two)) == (normal_form(one) == normal_form(two))


@given(seeds, sizes)
def test_names_are_global_exactly_where_python_says_so(seed: int, size: int) -> None:
    text = program(seed, size, bare=True)(Random(0))
    world = Listening()
    Walk(world).statement(ast.parse(text).body[0])
    sure, perhaps = global_names(text)
    assert sure <= world.asked | {"__class__"}
    assert world.asked <= sure | perhaps


@given(graphs(), st.data())
def test_a_helper_counts_exactly_when_it_is_reached(graph: Graph, data: st.DataObject) -> None:
    changed = data.draw(st.sampled_from(graph.names()))
    before = capture(Texts(graph.texts()), graph.module, "f").canonical
    after = capture(Texts(graph.texts(changed)), graph.module, "f").canonical
    assert (before != after) == is_reached(graph, changed)


@given(graphs(), st.data())
def test_where_helpers_lie_and_how_they_are_imported_counts_nothing(graph: Graph, data: st.DataObject) -> None:
    other = graph.moved(data.draw(st.randoms(use_true_random=False)))
    one = capture(Texts(graph.texts()), graph.module, "f").canonical
    assert one == capture(Texts(other.texts()), other.module, "f").canonical


CYCLE = Graph(  # f's module imports C, which f does not use, and so m before lib: lib before m does not load in Python
    uses={"f": ("h",), "h": ("C",), "B": (), "C": ("B",), "D": ("C",)},
    places={"f": "pack.two", "h": "lib", "B": "lib", "C": "m", "D": "pack.two"},
    ways={("f", "h"): 0, ("h", "C"): 2, ("C", "B"): 0, ("D", "C"): 0},
)


@given(graphs())
@example(CYCLE)
def test_a_version_file_gives_what_the_project_gives(graph: Graph) -> None:
    tree = Texts(graph.texts())
    try:
        expected = load_function(tree, graph.module, "f")()
    except (ImportError, AttributeError):  # an import cycle that Python can't load
        return
    version = written(capture(tree, graph.module, "f"), graph.module)
    assert load(version)() == expected
    assert rehash(version).sha256 == version.sha256


def value_of(texts: dict[str, str]) -> object:
    """What the feature of a soup returns; None where it raises."""
    try:
        with redirect_stdout(StringIO()):
            return shown(load_function(Texts(texts), "m", "f")())
    except Exception:  # noqa: BLE001  # a cycle, or a number that does not fit
        return None


@given(seeds)
@settings(max_examples=examples(10))
def test_whatever_changes_the_values_changes_the_version(seed: int) -> None:
    made = soup(seed)
    value = value_of(made.texts())
    before = capture(Texts(made.texts()), "m", "f")
    rng = Random(seed)
    others = [made.texts(place) for place in rng.sample(range(len(made.numbers)), min(len(made.numbers), 4))]
    shorter = list(made.shorter())
    others += [other.texts() for other in rng.sample(shorter, min(len(shorter), 4))]
    for other in others:
        changed = value_of(other)
        if value is not None and changed not in (None, value):
            after = capture(Texts(other), "m", "f")
            assert before.canonical != after.canonical or before.limits, (made.texts(), other)


@given(seeds)
@settings(max_examples=examples(15))
def test_a_version_file_keeps_every_change(seed: int) -> None:
    tree = Texts(soup(seed).texts())
    value = value_of(soup(seed).texts())
    if value is None:
        return
    closure = capture(tree, "m", "f")
    version = written(closure, "m")
    assert rehash(version).closure.canonical == closure.canonical
    with redirect_stdout(StringIO()):
        assert closure.limits or shown(load(version)()) == value


def written(closure: Closure, module: str) -> VersionFile:
    """A closure's version file, in memory."""
    hashed = version_hash(feature(module=module), closure)
    name = VersionName(1, hashed.short, Path(f"/nowhere/f/0001-{hashed.short}.py"))
    return parse_version(name, write_text(hashed, created=0, packages={}))


PROMISES: dict[Callable[..., None], bool] = {  # each with whether it takes a size
    test_a_program_is_one_version_however_it_is_written: True,
    test_programs_are_one_version_exactly_when_python_says_they_are_the_same: True,
    test_two_different_small_programs_have_different_forms: False,
    test_names_are_global_exactly_where_python_says_so: True,
    test_whatever_changes_the_values_changes_the_version: False,
    test_a_version_file_keeps_every_change: False,
}


@pytest.mark.nightly
@pytest.mark.parametrize("promise", PROMISES)
def test_promises_hold_for_thousands_of_programs(promise: Any) -> None:
    for seed in range(5_000):
        promise.hypothesis.inner_test(*((seed, seed % 5) if PROMISES[promise] else (seed,)))
