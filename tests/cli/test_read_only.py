"""A project that may only be read: every command that reads answers."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Folder

PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1
READERS = (
    ["get", "patient", "001"], ["verify"], ["list"], ["show", "age_share"], ["runs"], ["history", "age_share", "001"],
    ["export", "age_share"], ["stats", "age_share"], ["doctor"],
    ["join", "labels.csv", "-f", "age_share", "--timestamp-column", "at"], ["lock", "--dry-run"], ["sync", "--dry-run"],
    ["delete", "patient", "001", "--dry-run"], ["delete", "patient", "001", "--erase", "--dry-run"],
    ["baseline", "age_share", "--dry-run"], ["ingest", "--dry-run"], ["ingest", "--dry-run", "--full"],
    ["ingest", "--dry-run", "--input", "visits.csv"], ["plan", "--stats"],
    ["check", "--fix", "--dry-run"], ["verify", "--fix", "--dry-run"],
)  # fmt: skip
RUN_ALL = """
import json, sys
from featurestore.cli.app import run
print(json.dumps([(words, run(words)) for words in json.loads(sys.argv[1])]))
"""


def like_anybody() -> None:
    """Root may write everywhere; without this capability its files are protected from it as from others."""
    if os.geteuid() == 0:
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)


@pytest.fixture
def locked(project: Folder) -> Iterator[Folder]:
    (project.root / "labels.csv").write_text("patient_id,at\n001,2024-03-01T00:00:00Z\n")
    project.run("ingest")
    project.run("sync")
    state = project.root / ".featurestore"
    paths = [*state.rglob("*"), state, project.root]
    for path in paths:
        path.chmod(0o500 if path.is_dir() else 0o400)
    yield project
    for path in reversed(paths):
        path.chmod(0o700 if path.is_dir() else 0o600)


def test_a_command_that_reads_needs_no_right_to_write(locked: Folder) -> None:
    """One process for all of them, since each would take most of its time to start."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALL, json.dumps(READERS)],
        capture_output=True, text=True, env=environment, preexec_fn=like_anybody, cwd=locked.root,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    codes = json.loads(done.stdout.splitlines()[-1])
    assert codes == [[words, 0] for words in READERS], done.stderr


@pytest.mark.parametrize("arguments", [["ingest", "--dry-run"], ["plan", "--stats"]], ids=" ".join)
def test_a_project_that_was_never_ingested_can_be_tried(project: Folder, arguments: list[str]) -> None:
    command = [sys.executable, "-m", "featurestore", "-C", str(project.root), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    project.root.chmod(0o500)
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, preexec_fn=like_anybody)
    finally:
        project.root.chmod(0o700)
    assert done.returncode == 0, done.stderr
    assert not (project.root / ".featurestore").exists()


def test_what_is_tried_on_a_copy_is_what_would_be_done(project: Folder) -> None:
    project.run("ingest")
    project.edit("visits.csv", "2024-02-01T00:00:00Z,51", "2024-02-01T00:00:00Z,61")
    wanted = project.json("ingest", "--dry-run")
    state = project.root / ".featurestore"
    state.chmod(0o500)
    command = [sys.executable, "-m", "featurestore", "-C", str(project.root), "ingest", "--dry-run", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, preexec_fn=like_anybody)
    finally:
        state.chmod(0o700)
    found = json.loads(done.stdout)
    for document in (wanted, found):
        for changing in ("run_id", "started_at", "finished_at", "duration_s"):
            del document[changing]
    assert found == wanted
    assert found["features"][0]["rows_corrected"] == 1


def test_a_command_that_writes_says_that_it_may_not(locked: Folder) -> None:
    command = [sys.executable, "-m", "featurestore", "-C", str(locked.root), "ingest"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, preexec_fn=like_anybody)
    assert done.returncode in (4, 12), done.stderr
    assert "ermission denied" in done.stderr
