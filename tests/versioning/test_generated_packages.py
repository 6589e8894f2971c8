"""What Python executes when it imports a feature's module, and what stands in the feature's version file.

What must hold: a module that runs when the feature's module is imported, and has an effect on what the function
reaches, is a section of the version file; modules with definitions only need not be. And the version file alone gives
what the project gives, which says more: the effects come in the same order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurestore.versioning.analysis.tree import SourceTree
from featurestore.versioning.recipe.closure import capture
from featurestore.versioning.running.modules import load_function
from featurestore.versioning.running.replay import load, rehash
from tests.often import examples
from tests.versioning.conftest import write
from tests.versioning.packages import TOP, files, packages
from tests.versioning.test_properties import written
from tests.versioning.worker import Worker

MODULE = f"{TOP}.m"


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    made = Worker(forks=False)
    yield made
    made.close()


def judge(worker: Worker, root: Path, seed: int) -> None:
    texts = packages(Random(seed))
    tree = write(root / str(seed), files(texts))
    python = worker.ask(task="import", root=str(tree.root), module=MODULE, function="f", cwd=str(tree.root))
    if "error" in python:  # a cycle, or a name that nobody has
        return
    ours = load_function(SourceTree(tree.root), MODULE, "f")()
    assert json.loads(json.dumps(ours)) == python["value"], "the project runs otherwise than Python runs it"
    closure = capture(tree, MODULE, "f")
    sections = {section.module for section in closure.sections}
    if closure.limits:
        return
    noisy = {f"{TOP}.{name}" for name in python["value"]}
    if not noisy <= set(python["modules"]):
        return  # a module ran and then failed, in a try and in the middle of a cycle: what is cut down need not fail
    assert noisy <= sections, noisy - sections
    version = written(closure, MODULE)
    try:
        value = load(version)()
    except ImportError:
        # A star in the middle of a cycle gives what is there so far; cut down to one name, it asks for that name. Such
        # a file does not run, which is said, and gives no other value.
        assert any("import *" in text for text in texts.values())
        return
    assert value == python["value"]
    assert rehash(version).sha256 == version.sha256


@given(st.integers(0, 2**32))
@settings(max_examples=examples(15))
def test_every_module_that_runs_and_counts_is_in_the_version_file(
    worker: Worker, tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    judge(worker, tmp_path_factory.mktemp("packages"), seed)


@pytest.mark.nightly
def test_it_holds_for_thousands_of_packages(worker: Worker, tmp_path: Path) -> None:
    for seed in range(3_000):
        judge(worker, tmp_path, seed)
