"""What ``render`` costs: documents, Markdown and lines for stderr import neither Rich nor a data library."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from pathlib import Path

from featurestore.render import json, markdown, text
from tests.conftest import Folder
from tests.golden.folder import lay_down

HEAVY = {"rich", "polars", "numpy", "duckdb", "pyarrow", "redis", "scipy"}
ANSWERS = (
    "list", "show age_share", "plan", "lock", "check", "ingest", "sync", "runs", "runs 1", "diff age_share 1 1",
    "promote age_share 1", "lineage age_share", "join labels.csv -f age_share --timestamp-column at --dataset trial",
    "join labels.csv -f age_share --timestamp-column at --dry-run", "dataset", "dataset trial --verify",
    "get patient p0", "history age_share p0", "export age_share", "verify", "stats age_share", "drift",
    "drift age_share", "drift --recompute", "baseline age_share 1", "delete patient p0 --dry-run", "doctor",
    "show nothing_like_it", "init other",
)  # fmt: skip


def loaded(code: str, cwd: Path) -> set[str]:
    """The modules that a process of its own has loaded after some code."""
    script = f"{code}\nimport sys\nsys.stderr.write(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], cwd=cwd, capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def modules(package: str, path: list[str]) -> list[str]:
    return [f"{package}.{item.name}" for item in pkgutil.iter_modules(path)]


def test_documents_markdown_and_lines_import_nothing_heavy(tmp_path: Path) -> None:
    names = [
        *modules("featurestore.render.json", list(json.__path__)),
        *modules("featurestore.render.markdown", list(markdown.__path__)),
        "featurestore.render.lines",
        "featurestore.render.text",
    ]
    found = loaded(f"import {', '.join(names)}", tmp_path)
    assert set(names) <= found
    assert found & HEAVY == set()


def test_no_answer_in_json_imports_rich(folder: Folder) -> None:
    lay_down(folder)
    code = f"""
import io, sys
from featurestore.cli.app import run
sys.stderr = io.StringIO()
for line in {ANSWERS!r}:
    run([*line.split(), "--json"])
sys.stderr = sys.__stderr__
"""
    assert "rich" not in loaded(code, folder.root)


def test_each_topic_has_its_document_and_its_text() -> None:
    # What a server says while it runs are lines on stderr.
    assert set(json.__all__) - {"serve"} == set(text.__all__)
