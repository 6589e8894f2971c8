"""Whatever git can commit the hooks can check: links within a repository, submodules, sparse checkouts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import AGE, TOML, VISITS, Folder
from tests.hooks.test_hooks import git

IMPORTS = "import polars as pl\nfrom features.lib.h import FACTOR"
HELPED = AGE.replace("/ 100", "/ FACTOR").replace("import polars as pl", IMPORTS)


@pytest.fixture
def repository(folder: Folder) -> Folder:
    """A repository with a project in a folder of it, whose feature needs ``features/lib/h.py``."""
    git(folder.root, "init", "-qb", "main")
    files = {"featurestore.toml": TOML, "visits.csv": VISITS, "features/cardiac.py": HELPED}
    folder.write({f"ml/shop/{name}": text for name, text in files.items()})
    return folder


def findings(repository: Folder, *options: str, code: int = 0) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = repository.json("-C", str(shop(repository)), "check", *options, code=code)["findings"]
    return found


def shop(repository: Folder) -> Path:
    return repository.root / "ml/shop"


def lock(repository: Folder) -> None:
    repository.run("-C", str(shop(repository)), "lock")
    git(repository.root, "add", "-A")


def changed_in_index(repository: Folder, name: str) -> None:
    """The helper is another one now; it is staged, and no version file has it."""
    repository.write({name: "FACTOR = 80\n"})
    git(repository.root, "add", name)


def test_a_linked_helper_is_checked_as_it_is_staged(repository: Folder) -> None:
    repository.write({"common/h.py": "FACTOR = 90\n"})
    (shop(repository) / "features/lib").mkdir()
    (shop(repository) / "features/lib/h.py").symlink_to("../../../../common/h.py")
    lock(repository)
    assert findings(repository, "--staged") == findings(repository) == []
    changed_in_index(repository, "common/h.py")
    assert [item["kind"] for item in findings(repository, "--staged", code=1)] == ["missing"]
    git(repository.root, "commit", "-qm", "one")
    diff = repository.json("-C", str(shop(repository)), "diff", "age_share", "--rev", "HEAD", "--code")
    assert diff["code_changed"] is False


def test_a_linked_folder_is_checked_as_it_is_staged(repository: Folder) -> None:
    repository.write({"common/code/h.py": "FACTOR = 90\n", "common/code/deep/x.py": "X = 1\n"})
    repository.write({"common/more.py": "Y = 1\n"})
    (repository.root / "common/code/deep/up").symlink_to("..")
    (repository.root / "common/code/again.py").symlink_to("../more.py")
    (shop(repository) / "features/lib").symlink_to("../../../common/code")
    lock(repository)
    assert findings(repository, "--staged") == []
    changed_in_index(repository, "common/code/h.py")
    assert [item["kind"] for item in findings(repository, "--staged", code=1)] == ["missing"]


def test_a_chain_of_links_and_a_circle(repository: Folder) -> None:
    repository.write({"common/h.py": "FACTOR = 90\n"})
    (repository.root / "common/two.py").symlink_to("h.py")
    (shop(repository) / "features/lib").mkdir()
    (shop(repository) / "features/lib/h.py").symlink_to("../../../../common/two.py")
    lock(repository)
    assert findings(repository, "--staged") == []
    (repository.root / "common/two.py").unlink()
    (repository.root / "common/two.py").symlink_to("../ml/shop/features/lib/h.py")
    git(repository.root, "add", "-A")
    assert {item["kind"] for item in findings(repository, "--staged", code=1)} == {"declaration"}


@pytest.mark.parametrize("target", ["/etc/hostname", "../../../../../elsewhere/h.py", "nowhere.py"])
def test_a_link_that_git_cannot_follow_is_named(repository: Folder, target: str) -> None:
    lib = shop(repository) / "features/lib"
    lib.mkdir()
    repository.write({"ml/shop/features/lib/h.py": "FACTOR = 90\n"})
    lock(repository)
    (lib / "h.py").unlink()
    (lib / "h.py").symlink_to(target)
    git(repository.root, "add", "-A")
    found = findings(repository, "--staged", code=1)
    assert any(item["where"] == "features/lib/h.py" and "is a link" in item["message"] for item in found)


def test_helpers_in_a_submodule_are_those_of_its_commit(repository: Folder, tmp_path_factory: Any) -> None:
    library = tmp_path_factory.mktemp("library")
    git(library, "init", "-qb", "main")
    (library / "h.py").write_text("FACTOR = 90\n")
    git(library, "add", ".")
    git(library, "commit", "-qm", "one")
    allowed = ("-c", "protocol.file.allow=always")
    git(repository.root, *allowed, "submodule", "-q", "add", str(library), "ml/shop/features/lib")
    lock(repository)
    assert findings(repository, "--staged") == findings(repository) == []
    inside = shop(repository) / "features/lib"
    (inside / "h.py").write_text("FACTOR = 80\n")
    assert findings(repository, "--staged") == [], "the submodule's commit is what will be committed"
    git(inside, "commit", "-qam", "two")
    git(repository.root, "add", "-A")
    assert [item["kind"] for item in findings(repository, "--staged", code=1)] == ["missing"]


def test_a_submodule_that_is_not_there_is_named(repository: Folder) -> None:
    repository.write({"ml/shop/features/lib/h.py": "FACTOR = 90\n"})
    lock(repository)
    git(repository.root, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},ml/shop/features/team")
    ran = repository.run("-C", str(shop(repository)), "check", "--staged", code=4)
    assert "features/team: is a submodule, and its commit is not here" in ran.err
    assert "git submodule update --init features/team" in ran.err
    git(repository.root, "update-index", "--force-remove", "ml/shop/features/team")
    git(repository.root, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},ml/shop/data")
    assert findings(repository, "--staged") == [], "data may be elsewhere"


@pytest.mark.parametrize("options", [[], ["--sparse-index"]])
def test_a_sparse_checkout_has_the_rest_in_its_index(repository: Folder, options: list[str]) -> None:
    repository.write({"ml/shop/features/lib/h.py": "FACTOR = 90\n", "ml/shop/docs/x.md": "x\n", "other/y.txt": "y\n"})
    lock(repository)
    git(repository.root, "commit", "-qm", "one")
    git(repository.root, "sparse-checkout", "init", "--cone", *options)
    git(repository.root, "sparse-checkout", "set", "ml/shop/docs")
    assert not (shop(repository) / "features").exists()
    assert (shop(repository) / "featurestore.toml").exists(), "the files of the folders on the way are there"
    assert findings(repository, "--staged") == []
    repository.write({"ml/shop/docs/x.md": "z\n"})
    git(repository.root, "add", "ml/shop/docs")
    assert findings(repository, "--staged") == []
