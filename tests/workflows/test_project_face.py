"""Doctor and init from another face than the command line: plain calls, with progress and cancellation as values."""

from __future__ import annotations

from pathlib import Path

import pytest

from featurestore.errors import CancelledError
from featurestore.progress import Progress
from featurestore.workflows.doctor import examine
from featurestore.workflows.init import init
from tests.conftest import Folder


def test_init_and_doctor(tmp_path: Path) -> None:
    made = init(tmp_path / "heart", name="heart", demo=True)
    assert "featurestore.toml" in made.created
    steps: list[str] = []
    checks = examine(made.root, progress=Progress(report=steps.append))
    assert not [check for check in checks if check.state == "fail"]
    assert steps == ["git and disk", "configuration", "features", "lock", "sources", "offline", "online"]


def test_doctor_is_cancelled_between_two_areas(project: Folder) -> None:
    steps: list[str] = []
    with pytest.raises(CancelledError):
        examine(project.root, progress=Progress(report=steps.append, cancelled=lambda: "features" in steps))
    assert steps[-1] == "features"
