"""Where the embedded history lies, and how to see at no cost whether it has changed. Does not import DuckDB."""

from __future__ import annotations

from pathlib import Path

from featurestore.config import Project

FILE = "history.duckdb"


def history_path(project: Project) -> Path:
    return project.state / FILE


def stamp_of(path: Path) -> str:
    """Which file it is and when it was last written to, together with what DuckDB has not yet moved into it.

    Every write moves it, also one that ends in a crash; so does a copy, or a backup put in its place.
    """
    return " ".join(_stat(file) for file in (path, path.with_name(f"{path.name}.wal")))


def _stat(path: Path) -> str:
    try:
        found = path.stat()
    except FileNotFoundError:
        return "-"
    return f"{found.st_ino:x}.{found.st_size:x}.{found.st_mtime_ns:x}.{found.st_ctime_ns:x}"
