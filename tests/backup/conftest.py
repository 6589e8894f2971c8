"""The project with something of everything, made once on each kind of store, with a backup of it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.backup.project import live
from tests.conftest import Folder, uncaptured


@dataclass(frozen=True)
class Made:
    """A project's folder, and a backup of it. They are not changed."""

    root: Path
    backup: Path


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The project with an embedded history."""
    root = tmp_path_factory.mktemp("made")
    folder = Folder(root / "shop", uncaptured)
    live(folder)
    folder.run("sync")
    folder.run("backup", str(root / "shop.backup"))
    return Made(folder.root, root / "shop.backup")


@pytest.fixture
def lived(made: Made, folder: Folder) -> Folder:
    """A copy of the project as it was backed up."""
    shutil.copytree(made.root, folder.root, dirs_exist_ok=True)
    folder.run("list")
    return folder


@pytest.fixture
def cloned(lived: Folder) -> Folder:
    """A checkout of the project on another machine: what git has of it, without the local state."""
    shutil.rmtree(lived.root / ".featurestore")
    shutil.rmtree(lived.root / "features" / ".versions")
    return lived
