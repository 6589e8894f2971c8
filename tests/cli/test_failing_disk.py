"""A disk that fails once: the command says so, and the same command succeeds once the disk answers again."""

from __future__ import annotations

import errno
import fcntl
import os

import pytest

from tests.conftest import Folder

LABELS = "patient_id,at\n001,2024-02-02T00:00:00Z\n"
COMMANDS = [
    "ingest",
    "lock",
    "baseline age_share",
    "promote age_share 1",
    "delete patient 001 --yes",
    "delete patient 001 --erase --yes",
    "rename age_share age_part",
    "join {root}/labels.csv --timestamp-column at -f age_share --dataset first --output {root}/joined.csv",
]


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.partition(" {")[0])
def test_an_error_at_the_lock_is_no_defect_and_passes(
    project: Folder, monkeypatch: pytest.MonkeyPatch, command: str, number: int
) -> None:
    project.write({"labels.csv": LABELS})
    project.run("ingest")
    words = command.format(root=project.root).split()
    failing, real = [number], fcntl.flock

    def flock(descriptor: int, operation: int) -> None:
        if failing:
            raise OSError(failing.pop(), os.strerror(number))
        real(descriptor, operation)

    monkeypatch.setattr("featurestore.locking.fcntl.flock", flock)
    error = project.json(*words, code=12)["error"]
    assert error["code"] == "store"
    assert os.strerror(number).lower() in error["message"].lower() or "full" in error["message"]
    ran = project.run(*words, code=3 if "--erase" in words else 0)
    assert "error" not in ran.err
