"""Pairs of projects written to fool the hash: proved by running both sides, then judged.

Where the values differ the hash must, or a limit be reported, or what the code met while it ran; where only what is
promised not to count differs, the hash must be the same; and the version file of the first, alone, must give the
first's values. What does not hold yet is listed in fixtures/hash/wrong.txt, and has to be taken from that list when
it does.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from featurestore.config import load_project
from featurestore.registry.discovery import discover
from featurestore.versioning.analysis.tree import SourceTree
from featurestore.versioning.folder.files import write_version
from featurestore.versioning.folder.names import VersionName
from featurestore.versioning.known_hashes import KnownHashes, store_known
from featurestore.versioning.recipe.closure import capture
from featurestore.versioning.recipe.hashing import version_hash
from featurestore.versioning.recipe.version_hash import VersionHash
from tests.versioning.conftest import FIXTURES
from tests.versioning.pairs import Files, Pair, read_pairs
from tests.versioning.worker import Worker, feature_of

PAIRS = read_pairs()
WRONG = set((FIXTURES / "wrong.txt").read_text(encoding="utf-8").splitlines())


def cases(test: str) -> list[object]:
    """The pairs by name; those on the list of wrong ones are expected to fail, and may not hold."""
    marks = [pytest.mark.xfail(strict=True)]
    return [pytest.param(name, marks=marks if f"{test} {name}" in WRONG else [], id=name) for name in PAIRS]


class Proofs:
    """The pairs' projects on disk, each written and run once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._workers = {forks: Worker(forks=forks) for forks in (False, True)}
        self._places: dict[int, Path] = {}
        self._live: dict[Path, Any] = {}

    def close(self) -> None:
        for worker in self._workers.values():
            worker.close()

    def _worker(self, pair: Pair) -> Worker:
        return self._workers["alone" in pair.flags or pair.name.startswith("effects/")]

    def root(self, files: Files) -> Path:
        """The folder of one side of a pair."""
        if id(files) not in self._places:
            root = self._places[id(files)] = self._folder / str(len(self._places))
            for name, text in files.items():
                path = root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(text.encode())
        return self._places[id(files)]

    def live(self, pair: Pair, files: Files) -> Any:
        """The values that `ingest` would compute, and the columns that the source declares."""
        root = self.root(files)
        if root not in self._live:
            self._live[root] = self._worker(pair).ask(task="live", root=str(root), cwd=str(root))
        assert "values" in self._live[root], self._live[root]
        return self._live[root]

    def alone(self, pair: Pair, file: Path, columns: dict[str, str], cwd: Path) -> Any:
        """The outcome of a version file by itself."""
        return self._worker(pair).ask(task="file", path=str(file), columns=columns, cwd=str(cwd))


@pytest.fixture(scope="module")
def proofs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proofs]:
    made = Proofs(tmp_path_factory.mktemp("pairs"))
    yield made
    made.close()


@pytest.fixture
def pair(request: pytest.FixtureRequest) -> Pair:
    found = PAIRS[request.node.callspec.params["name"]]
    for package in ("pydantic", "dotenv"):
        if any(f"import {package}" in text for text in found.before.values()):
            pytest.importorskip(package)
    if "eager" in found.flags and sys.version_info >= (3, 14):
        pytest.skip("annotations are not evaluated")
    return found


def hashed(root: Path) -> VersionHash:
    """The version of a project's feature that is judged."""
    tree = SourceTree(root)
    registry = discover(load_project(root), tree)
    assert not registry.broken
    feature = feature_of(registry.features)
    return version_hash(feature, capture(tree, feature.module, feature.function))


@pytest.mark.parametrize("name", PAIRS)
def test_both_sides_prove_the_verdict(pair: Pair, proofs: Proofs, name: str) -> None:
    before, after = proofs.live(pair, pair.before)["values"], proofs.live(pair, pair.after)["values"]
    assert (before != after) == (pair.verdict == "differ"), (before, after)


@pytest.mark.parametrize("name", cases("hash"))
def test_the_hash_follows_the_values(pair: Pair, proofs: Proofs, name: str) -> None:
    before, after = hashed(proofs.root(pair.before)), hashed(proofs.root(pair.after))
    if pair.verdict == "equal":
        assert before.sha256 == after.sha256
    elif before.sha256 == after.sha256:
        assert "follow" not in pair.flags
        assert before.limits or proofs.live(pair, pair.before)["observed"]
        assert after.limits or proofs.live(pair, pair.after)["observed"]


@pytest.mark.parametrize("name", cases("file"))
def test_the_version_file_alone_gives_the_values(pair: Pair, proofs: Proofs, tmp_path: Path, name: str) -> None:
    version = hashed(proofs.root(pair.before))
    written = write_version(tmp_path / "features" / ".versions", version, created=0, packages={})
    live = proofs.live(pair, pair.before)
    alone = proofs.alone(pair, written.name.path, live["columns"], tmp_path)
    if alone.get("values") != live["values"]:
        assert version.limits or live["observed"], alone


def test_what_is_known_of_one_side_is_not_taken_for_the_other(proofs: Proofs, tmp_path: Path) -> None:
    wrong = []
    for name, pair in PAIRS.items():
        sides = [proofs.root(files) for files in (pair.before, pair.after)]
        before, after = (hashed(root) for root in sides)
        known = tmp_path / f"{len(name)}.json"
        store_known(known, before.closure.project.tree, [(before, b"")])
        versions = [VersionName(1, before.short, known), VersionName(2, after.short, known)]
        for root, right in zip(sides, (before, after), strict=True):
            found = KnownHashes(known, SourceTree(root)).find(right.feature, versions)
            if found is not None and (found.sha256, found.limits) != (right.sha256, right.limits):
                wrong.append(name)
            if root is sides[0] and found is None:
                wrong.append(f"{name} is not known")
    assert not wrong


def test_the_list_of_what_is_wrong_names_pairs() -> None:
    assert {line.partition(" ")[0] for line in WRONG} <= {"hash", "file"}
    assert {line.partition(" ")[2] for line in WRONG} <= PAIRS.keys()
