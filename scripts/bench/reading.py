"""What the benchmarks of sources share: a project on one source, and a process that reads all its rows."""

from __future__ import annotations

import sys
from pathlib import Path

PROJECT = """\
[project]
name = "bench"
[entity_types.user]
keys = { user_id = "string" }
[sources.events]
"""
_READ = """\
from pathlib import Path
from featurestore.config import load_project
from featurestore.sources.offers import open_source
from featurestore.sources.reading import read_rows
project = load_project(Path({folder!r}))
source = project.sources["events"]
opened = open_source(project, source)
{offer}
assert read_rows(project, source, opened, offer, {{"user_id": "string"}}).frame.height == {rows}
"""
OFFER = "offer = opened.offer()"


def make_project(folder: Path, source: str) -> None:
    """A project on a source with these settings."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "featurestore.toml").write_text(PROJECT + source, encoding="utf-8")


def reading(folder: str, rows: int, offer: str = OFFER) -> list[str]:
    """The command that reads the rows of a project's source; ``offer`` are the lines that make its offer."""
    return [sys.executable, "-c", _READ.format(folder=folder, rows=rows, offer=offer)]
