"""Another face than the command line calls the workflows of the registry, in a few lines each."""

from __future__ import annotations

import pytest

from featurestore.config import load_project
from featurestore.errors import CancelledError
from featurestore.offline.open import open_offline
from featurestore.progress import Progress
from featurestore.workflows.catalogue import Filter, list_features, show_feature
from featurestore.workflows.check import check
from featurestore.workflows.diff import diff
from featurestore.workflows.lineage import trace
from featurestore.workflows.lock import lock
from featurestore.workflows.plan import plan
from featurestore.workflows.preview import preview
from tests.conftest import Folder


@pytest.fixture
def changed(project: Folder) -> Folder:
    """A feature with a history, whose code has changed since."""
    project.run("ingest")
    project.edit("features/cardiac.py", "/ 100", "/ 120")
    return project


def test_list_and_show(project: Folder) -> None:
    opened = load_project(project.root)
    (entry,) = list_features(opened, Filter(query="age")).entries
    assert (entry.feature.name, entry.active, entry.problem) == ("age_share", None, None)
    detail = show_feature(opened, "age_share")
    assert (detail.columns, detail.files) == (("age",), ())


def test_plan_with_statistics_and_lock(changed: Folder) -> None:
    opened = load_project(changed.root)
    planned = plan(opened)
    assert [(item.name, item.change, item.reasons) for item in planned.features] == [
        ("age_share", "changed", ("the function's code changed",))
    ]
    lines: list[str] = []
    (moved,) = preview(opened, open_offline(opened), planned, Progress(report=lines.append))
    assert moved.entities is not None
    assert (moved.entities.compared, moved.entities.changed) == (2, 2)
    assert sorted(lines) == ["computed age_share, version 1", "computed age_share, version 2"]
    assert [(item.version.number, item.what) for item in lock(opened).versions] == [(2, "written")]


def test_plan_with_statistics_can_be_cancelled(changed: Folder) -> None:
    opened = load_project(changed.root)
    with pytest.raises(CancelledError):
        preview(opened, open_offline(opened), plan(opened), Progress(cancelled=lambda: True))


def test_check(changed: Folder) -> None:
    opened = load_project(changed.root)
    (finding,) = check(opened).findings
    assert (finding.kind, finding.hint) == ("missing", "run featurestore lock age_share and git add features/.versions")
    assert not check(opened, fix=True).findings


def test_diff_of_code_and_of_values(changed: Folder) -> None:
    opened = load_project(changed.root)
    difference = diff(opened, "age_share")
    assert (difference.code.reasons, difference.values) == (("the function's code changed",), None)
    changed.run("ingest")
    values = diff(opened, "age_share", "1", "2", store=open_offline(opened)).values
    assert values is not None
    assert values.entities is not None
    assert values.entities.changed == 2


def test_lineage(changed: Folder) -> None:
    opened = load_project(changed.root)
    lineage = trace(opened, open_offline(opened), "age_share")
    assert ([item.number for item in lineage.detail.files], lineage.datasets) == ([1], ())
