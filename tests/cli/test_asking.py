"""What can't be taken back is asked about on a terminal; a script, cron or a hook has nobody to answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Folder


def on_terminal(root: Path, *arguments: str, answer: str) -> subprocess.CompletedProcess[str]:
    """Runs a command line whose standard input is a terminal, on which somebody types."""
    person, terminal = os.openpty()
    try:
        os.write(person, answer.encode())
        command = [sys.executable, "-m", "featurestore", "-C", str(root), *arguments]
        return subprocess.run(command, stdin=terminal, capture_output=True, text=True, timeout=60, check=False)
    finally:
        os.close(person)
        os.close(terminal)


@pytest.mark.parametrize("command", ["delete patient 001 --erase", "retire age_share --erase"])
def test_erasing_asks_on_a_terminal_and_nowhere_else(two_versions: Folder, command: str) -> None:
    if command.startswith("retire"):
        (two_versions.root / "features/cardiac.py").unlink()
    before = two_versions.json("runs")
    words = command.split()
    refused = on_terminal(two_versions.root, *words, answer="n\n")
    assert "for good" in refused.stderr
    assert refused.stderr.endswith("? [y/N] error: cancelled: nothing was changed\n")
    assert (refused.returncode, refused.stdout) == (130, "")
    assert two_versions.json("runs") == before
    assert "for good" not in on_terminal(two_versions.root, *words, "--dry-run", answer="").stderr
    assert two_versions.json("runs") == before
    refused = on_terminal(two_versions.root, *words, "--json", answer="\n")
    assert json.loads(refused.stdout)["error"]["code"] == "cancelled"
    agreed = on_terminal(two_versions.root, *words, answer="y\n")
    assert "erased" in agreed.stdout + agreed.stderr
    assert len(two_versions.json("runs")["runs"]) == len(before["runs"]) + 1


def test_a_script_is_not_asked(two_versions: Folder) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "featurestore", "-C", two_versions.root, "delete", "patient", "001", "--erase"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "erased patient 001" in ran.stdout
    assert "?" not in ran.stderr
