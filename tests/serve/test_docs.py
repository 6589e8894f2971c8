"""The curl lines of the README and of docs/http.md are executed."""

from __future__ import annotations

import itertools
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Folder
from tests.serve.conftest import serving

ROOT = Path(__file__).parents[2]
LINES = {
    page: re.findall(r"^ *\$ (curl .*)$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    for page in ("README.md", "docs/http.md")
}


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_curl_lines_of_the_pages_are_answered(folder: Folder) -> None:
    folder.run("init", str(folder.root / "heart"), "--demo")
    heart = Folder(folder.root / "heart", folder._capture)
    heart.run("ingest", "age_normalized")
    heart.run("sync")
    assert [len(lines) for lines in LINES.values()] == [1, 3]
    with serving(heart.root) as url:
        for line in itertools.chain.from_iterable(LINES.values()):
            words = [word.replace("localhost:8000", url) for word in shlex.split(line)]
            done = subprocess.run([*words, "--fail-with-body"], cwd=heart.root, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout
            assert "age_normalized" in done.stdout
