"""The drift workflows as another face calls them: a project, a store, plain arguments, values that come back."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from featurestore.config import Project, load_project
from featurestore.errors import CancelledError, UsageError
from featurestore.offline.contract import OfflineStore
from featurestore.offline.open import open_offline
from featurestore.progress import Progress
from featurestore.workflows.drift.baseline import set_baseline
from featurestore.workflows.drift.overview import overview
from featurestore.workflows.drift.recompute import recompute
from featurestore.workflows.drift.report import write_report
from featurestore.workflows.drift.timeline import timeline
from featurestore.workflows.stats import stats
from tests.conftest import Folder

DAY = 86_400_000_000


@pytest.fixture
def project(project: Folder) -> Project:
    """A project whose feature, ``age_share``, has two runs; in the second everybody is older."""
    (project.root / "visits.csv").unlink()
    for month, age in ((1, 50), (2, 70)):
        ages = np.random.default_rng(month).normal(age, 5, 100).astype(int)
        lines = [f"{row:03d},2024-{month:02d}-01T00:00:00Z,{value},200" for row, value in enumerate(ages)]
        text = "patient_id,visit_at,age,chol\n" + "\n".join(lines) + "\n"
        (project.root / f"visits{month}.csv").write_text(text, encoding="utf-8")
        project.run("ingest")
    return load_project(project.root)


@pytest.fixture
def store(project: Project) -> OfflineStore:
    return open_offline(project)


def test_all_features_at_a_glance(project: Project, store: OfflineStore) -> None:
    (row,) = overview(project, store)
    assert (row.version.id.feature, row.last.detected, row.since) == ("age_share", True, row.last)
    assert [point.detected for point in row.points] == [False, True]


def test_the_timeline_of_one_feature(project: Project, store: OfflineStore) -> None:
    result = timeline(project, store, "age_share")
    assert [point.score is not None for point in result.points] == [True, True]
    assert result.points[-1].reasons[0] == "score"
    assert result.baseline is not None
    assert timeline(project, store, "age_share@1", last=1).points == result.points[-1:]


def test_recomputed_verdicts_are_equal_and_progress_is_reported(project: Project, store: OfflineStore) -> None:
    lines: list[str] = []
    verdicts = recompute(project, store, progress=Progress(lines.append))
    assert [item.differs for item in verdicts] == [(), ()]
    assert all(item.again is not None for item in verdicts)
    assert lines == ["recomputing age_share: 1 of 1"]
    assert recompute(project, store, "age_share") == verdicts


def test_long_work_can_be_cancelled(project: Project, store: OfflineStore) -> None:
    with pytest.raises(CancelledError):
        recompute(project, store, progress=Progress(cancelled=lambda: True))
    with pytest.raises(CancelledError):
        write_report(project, store, "age_share", project.root / "x.html", progress=Progress(cancelled=lambda: True))
    assert not (project.root / "x.html").exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what Evidently imports
@pytest.mark.skipif(importlib.util.find_spec("evidently") is None, reason="the extra `report` is not installed")
def test_the_report(project: Project, store: OfflineStore, tmp_path: Path) -> None:
    result = write_report(project, store, "age_share", tmp_path / "drift.html")
    assert result.point == timeline(project, store, "age_share").points[-1]
    assert "<html" in result.path.read_text(encoding="utf-8")


def test_statistics_of_a_run(project: Project, store: OfflineStore) -> None:
    last, first = stats(project, store, "age_share"), stats(project, store, "age_share", run="1")
    assert (last.shown, first.shown) == (last.points[-1], last.points[0])
    assert first.shown.statistics["count"] == 100


def test_a_reference_is_set_once_and_may_be_tried_out(project: Project, store: OfflineStore) -> None:
    tried = set_baseline(project, store, "age_share", run="2", dry_run=True)
    done = set_baseline(project, store, "age_share", run="2")
    again = set_baseline(project, store, "age_share", run="2")
    assert (tried.changed, done.changed, again.changed) == (True, True, False)
    assert done.run is not None
    assert (done.baseline.run_seq, done.run.run_seq) == (2, 2)


def test_a_rolling_reference(project: Project, store: OfflineStore) -> None:
    result = set_baseline(project, store, "age_share", window="30d")
    assert (result.run, result.baseline.window) == (None, 30 * DAY)
    assert timeline(project, store, "age_share").baseline == result.baseline
    with pytest.raises(UsageError, match="can't be combined"):
        set_baseline(project, store, "age_share", run="1", window="30d")
