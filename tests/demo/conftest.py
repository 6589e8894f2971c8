"""The command line as a user starts it: a process of its own, in the folder of a project."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import pytest

CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("FEATURESTORE_")}


@dataclass(frozen=True)
class Ran:
    stdout: str
    stderr: str

    @property
    def json(self) -> dict[str, Any]:
        return cast("dict[str, Any]", json.loads(self.stdout))


class Featurestore(Protocol):
    """Runs ``featurestore ARGUMENTS`` in a folder and checks its exit code."""

    def __call__(self, *arguments: str, cwd: Path, exit_code: int = 0) -> Ran: ...


@pytest.fixture(scope="session")
def featurestore() -> Featurestore:
    """Runs ``featurestore ARGUMENTS`` in a folder and checks its exit code."""

    def run(*arguments: str, cwd: Path, exit_code: int = 0) -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", "featurestore", *arguments],
            cwd=cwd, env=CLEAN | {"NO_COLOR": "1"}, capture_output=True, text=True, encoding="utf-8", timeout=120,
        )  # fmt: skip
        said = f"featurestore {' '.join(arguments)}\n{done.stdout}{done.stderr}"
        assert done.returncode == exit_code, said
        return Ran(done.stdout, done.stderr)

    return run
