"""The run as any face calls it: a project, a store, a request, and progress that may cancel it."""

from __future__ import annotations

from pathlib import Path

import pytest

from featurestore.config import load_project
from featurestore.errors import CancelledError
from featurestore.offline.open import open_offline
from featurestore.progress import Progress
from featurestore.workflows.ingest.events import IngestOptions
from featurestore.workflows.ingest.ingest import IngestRequest, ingest
from tests.conftest import Folder

MORE = """
[sources.labs]
type = "csv"
path = "labs.csv"
event_time = "at"
"""
CHOL = """
import polars as pl

from featurestore import feature


@feature(entity_type="patient", data_type="float", source="labs")
def chol() -> pl.Expr:
    return pl.col("chol")


@feature(entity_type="patient", data_type="float", source="labs")
def chol_frame(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(pl.col("patient_id"), pl.col("chol").alias("value"), pl.col("at").alias("computed_at"))
"""


@pytest.fixture
def two_sources(project: Folder) -> Folder:
    toml = (project.root / "featurestore.toml").read_text()
    labs = "patient_id,at,chol\n001,2024-01-01,1.5\n"
    project.write({"featurestore.toml": toml + MORE, "features/labs.py": CHOL, "labs.csv": labs})
    project.edit("features/cardiac.py", 'data_type="float")', 'data_type="float", source="visits")')
    return project


def files(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if "__pycache__" not in path.parts}


def test_a_run_is_a_call_and_its_steps_are_reported(two_sources: Folder) -> None:
    project, lines = load_project(two_sources.root), list[str]()
    result = ingest(project, open_offline(project), IngestRequest(), Progress(lines.append))
    assert [(item.name, item.rows_written) for item in result.run.features] == [
        ("age_share", 3), ("chol", 1), ("chol_frame", 1),
    ]  # fmt: skip
    assert result.exit_code() == 0
    assert {"reading visits", "reading visits: 3 rows, 100%", "reading labs"} <= set(lines)
    assert [line for line in lines if "done" in line] == [
        "age_share: 3 rows; 1 of 3 features done", "chol_frame: 1 rows; 2 of 3 features done",
        "chol: 1 rows; 3 of 3 features done",
    ]  # fmt: skip
    again = ingest(project, open_offline(project), IngestRequest(options=IngestOptions(full=True)))
    assert {item.status for item in again.run.features} == {"unchanged"}


@pytest.mark.parametrize("pending_bytes", [0, 1 << 20])
def test_a_run_that_is_cancelled_anywhere_leaves_nothing(two_sources: Folder, pending_bytes: int) -> None:
    project, before = load_project(two_sources.root), files(two_sources.root)
    asked = allowed = 0

    def cancelled() -> bool:
        nonlocal asked
        asked += 1
        return asked > allowed

    request = IngestRequest(pending_bytes=pending_bytes)
    while True:
        asked, allowed = 0, allowed + 1
        try:
            result = ingest(project, open_offline(project), request, Progress(cancelled=cancelled))
        except CancelledError:
            assert open_offline(project).runs() == []
            left = {name for name in files(two_sources.root) - before if not name.startswith(".featurestore")}
            assert left == set()
            continue
        break
    assert allowed > 8
    assert result.run.run_seq == 1
    assert [item.rows_written for item in result.run.features] == [3, 1, 1]
    assert {"features/.versions/labs.columns.toml", "features/.versions/chol"} <= files(two_sources.root)


def test_a_run_that_commits_nothing_pins_nothing(two_sources: Folder) -> None:
    two_sources.write({"features/labs.py": CHOL.replace('pl.col("chol")', 'pl.col("chold")')})
    assert {item["status"] for item in two_sources.json("ingest", "--source", "labs", code=4)["features"]} == {"failed"}
    assert not (two_sources.root / "features/.versions/labs.columns.toml").exists()
