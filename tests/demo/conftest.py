"""The command line on the example and on the article's project, in this process.

``test_readme.py`` and ``test_scripts.py`` start it as a user does.
"""

import io
import json
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import pytest

from featurestore.cli.app import run


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

    def run_in(*arguments: str, cwd: Path, exit_code: int = 0) -> Ran:
        out, err = io.BytesIO(), io.BytesIO()
        talk, news = _text_to(out), _text_to(err)  # kept, because one that is gone closes what is under it
        with chdir(cwd), redirect_stdout(talk), redirect_stderr(news):
            code = run(list(arguments))
        ran = Ran(out.getvalue().decode(), err.getvalue().decode())
        assert code == exit_code, f"featurestore {' '.join(arguments)}\n{ran.stdout}{ran.stderr}"
        return ran

    return run_in


def _text_to(stream: io.BytesIO) -> io.TextIOWrapper:
    return io.TextIOWrapper(stream, encoding="utf-8", write_through=True)
