"""Where the embedded history is, and whether it has changed, without importing DuckDB."""

from __future__ import annotations

from pathlib import Path

from featurestore.config import Project

FILE = "history.duckdb"
LOCAL = "embedded"  # the store's name in `last_run`: a project may be moved


def history_path(project: Project) -> Path:
    return project.state / FILE


def wal_of(path: Path) -> Path:
    """The write-ahead log of a database file: what was committed and is not in the file itself yet."""
    return path.with_name(f"{path.name}.wal")


def stamp_of(path: Path) -> str:
    """Identifies a database file and its last change, including the write-ahead log next to it.

    Every write changes the stamp, also one that ends in a crash; so does a copy, or a backup put in its place.
    """
    return " ".join(_stat(file) for file in (path, wal_of(path)))


def _stat(path: Path) -> str:
    try:
        found = path.stat()
    except FileNotFoundError:
        return "-"
    return f"{found.st_ino:x}.{found.st_size:x}.{found.st_mtime_ns:x}.{found.st_ctime_ns:x}"
