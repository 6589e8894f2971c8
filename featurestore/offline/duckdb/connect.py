"""The only place that opens DuckDB: it never downloads an extension, and its time zone is UTC."""

from __future__ import annotations

from pathlib import Path

import duckdb

from featurestore.errors import ConfigError
from featurestore.signals import interrupt_on_signal

# Beyond this DuckDB spills to disk: an ingestion must fit into 1.5 GB together with it.
MEMORY = 512_000_000
LEAST_MEMORY = 64_000_000
"""What a transaction that writes needs, whatever the project may use."""

_leaves_a_core = False


def leave_a_core() -> None:
    """What this process opens from now on leaves a core to an interface that must answer while DuckDB computes."""
    global _leaves_a_core
    _leaves_a_core = True


def connect(path: Path | None = None, *, memory: int = MEMORY, spill: Path | None = None) -> duckdb.DuckDBPyConnection:
    """Opens a database file, or a database in memory, with so many bytes to work with. Raises duckdb.Error.

    What does not fit is written to the folder ``spill``; for a file, to a folder next to it.
    """
    settings: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "memory_limit": f"{memory // 1_000_000}MB",
        "preserve_insertion_order": "true",
    }
    if path is not None:
        check_path(path)
        spill = spill_beside(path)
    if spill is not None:
        settings["temp_directory"] = str(spill)
    connection = duckdb.connect(str(path or ":memory:"), config=settings)
    interrupt_on_signal(connection)
    connection.execute("SET TimeZone = 'UTC'")
    if _leaves_a_core:
        (cores,) = connection.execute("SELECT current_setting('threads')").fetchall()[0]
        connection.execute(f"SET threads = {max(1, cores - 1)}")
    return connection


def check_path(path: Path) -> None:
    """Raises ConfigError for a path that DuckDB takes apart: it looks for the write-ahead log before the first ?."""
    if "?" in str(path):
        raise ConfigError(
            "DuckDB can't use a file whose path holds a ?",
            where=str(path),
            hint="move the project to another folder, or keep its history in PostgreSQL ([offline] url)",
        )


def spill_beside(path: Path) -> Path:
    return path.with_suffix(".spill")
