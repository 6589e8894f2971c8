"""A project works wherever it lies: what a path holds is never taken for a pattern, nor for somebody's home."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

import featurestore
from featurestore.config import load_project
from featurestore.offline.columns.build import find_columns, refresh_columns
from featurestore.offline.open import open_offline
from tests.conftest import Folder, uncaptured


@pytest.mark.parametrize("name", ["work [2024]", "it's 100% #1;x {a}", "~nobody-here"])
def test_a_project_in_a_folder_of_an_odd_name(
    ingested: Folder, tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    moved = Folder(shutil.copytree(ingested.root, tmp_path_factory.mktemp("odd") / name), uncaptured)
    moved.run("ingest", "--full")
    moved.run("sync")
    moved.run("preview", "visits")
    project = load_project(moved.root)
    store = open_offline(project)
    version = store.versions()[0]
    mark = store.mark(version)
    assert mark is not None
    assert refresh_columns(project.state, store, version, mark, project.memory)
    found = find_columns(project.state, version, mark, project.memory)
    assert found is not None
    assert found.partitions[0].entities().height


def test_a_home_that_nobody_has_is_a_folder_that_is_not_there(project: Folder) -> None:
    assert "no featurestore.toml" in project.run("-C", "~nobody-here", "list", code=10).err
    project.edit("featurestore.toml", "visits*.csv", "~nobody-here/*.csv")
    assert "no file matches ~nobody-here/*.csv" in project.run("ingest", code=4).err


def test_no_path_is_read_by_polars_as_a_pattern() -> None:
    package = Path(featurestore.__file__).parent
    calls = re.compile(r"pl\.(?:read|scan)_(?:parquet|ipc|csv|ndjson)\w*\(([^\n]+)")
    found = [
        f"{path.name}: {call[1]}"
        for path in package.rglob("*.py")
        for call in calls.finditer(path.read_text(encoding="utf-8"))
        if not re.search(r"glob=False|BytesIO|pread|\.open\(|\bstream\b", call[1])
    ]
    assert found == []
