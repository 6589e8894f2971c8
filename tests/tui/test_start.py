"""What the interface costs to start, and that nothing else pays for it."""

from __future__ import annotations

from pathlib import Path

from tests.render.test_imports import loaded

HEAVY = {"polars", "duckdb", "numpy", "pyarrow", "redis", "scipy", "git", "sqlite3"}


def test_the_first_frame_needs_no_data_library(tmp_path: Path) -> None:
    found = loaded("import featurestore.tui.app", tmp_path)
    assert "textual" in found
    assert found & HEAVY == set()


def test_other_commands_import_neither_textual_nor_gitpython(past: Path) -> None:
    lines = ("list", "plan", "check", "runs", "drift", "doctor", "status", "--help")
    code = f"""
import io, sys
from featurestore.cli.app import run
sys.stdout = sys.stderr = io.StringIO()
for line in {lines!r}:
    run(["-C", {str(past)!r}, *line.split()])
sys.stderr = sys.__stderr__
"""
    assert loaded(code, past) & {"textual", "git", "featurestore.tui"} == set()
