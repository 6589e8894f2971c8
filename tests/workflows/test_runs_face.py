"""Another face than the command line ingests, looks at the runs, and promotes, in a few lines each."""

from __future__ import annotations

import pytest

from featurestore.config import load_project
from featurestore.errors import CancelledError, VersionFileError
from featurestore.offline.open import open_offline
from featurestore.online.open import open_online
from featurestore.progress import Progress
from featurestore.workflows.ingest.events import IngestOptions
from featurestore.workflows.ingest.ingest import IngestRequest, ingest
from featurestore.workflows.promote import promote
from featurestore.workflows.runs import list_runs, show_run
from tests.conftest import Folder

LATE = "patient_id,visit_at,age,chol\n003,2024-03-01T00:00:00Z,70,1\n004,2024-03-02T00:00:00Z,400,2\n"


def test_ingest_and_its_run(project: Folder) -> None:
    project.write({"visits-late.csv": LATE})
    opened = load_project(project.root)
    store = open_offline(opened)
    lines: list[str] = []
    result = ingest(opened, store, IngestRequest(), Progress(report=lines.append))
    assert (result.run.status, result.exit_code()) == ("partial", 3)
    assert [(item.rows_written, item.rows_rejected) for item in result.run.features] == [(4, 1)]
    assert "age_share: 4 rows; 1 of 1 features done" in lines
    (run,) = list_runs(opened, store, feature="age_share", status="partial")
    detail = show_run(store, "1")
    assert run.run_id == detail.run.run_id == result.run.run_id
    assert [(row.place, row.column) for row in detail.rejected] == [("visits-late.csv row 2", "age")]


def test_a_dry_run_and_a_cancelled_one_leave_no_run(project: Folder) -> None:
    opened = load_project(project.root)
    store = open_offline(opened)
    planned = ingest(opened, store, IngestRequest(options=IngestOptions(dry_run=True)))
    assert [item.rows_written for item in planned.run.features] == [3]
    with pytest.raises(CancelledError):
        ingest(opened, store, IngestRequest(), Progress(cancelled=lambda: True))
    assert list_runs(opened, store) == []


def test_promote_and_back(project: Folder) -> None:
    project.run("ingest")
    project.edit("features/cardiac.py", "/ 100", "/ 120")
    project.run("ingest")
    opened = load_project(project.root)
    offline, online = open_offline(opened), open_online(opened)
    back = promote(opened, offline, online, "age_share", "1")
    assert (back.version.number, back.before and back.before.number, back.changed) == (1, 2, True)
    assert not promote(opened, offline, online, "age_share", "1").changed
    assert promote(opened, offline, online, "age_share", "2", dry_run=True).changed
    with pytest.raises(VersionFileError):
        promote(opened, offline, online, "age_share", "7")
