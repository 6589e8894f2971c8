"""The one place that opens DuckDB: no extension is ever downloaded, and time zones are UTC."""

from __future__ import annotations

from pathlib import Path

import duckdb

from featurestore.signals import interrupt_on_signal

# Past this DuckDB spills to disk: an ingestion must fit beside it in 1.5 GB.
MEMORY = 512_000_000


def connect(path: Path | None = None, *, memory: int = MEMORY, spill: Path | None = None) -> duckdb.DuckDBPyConnection:
    """Opens a database file, or one in memory, to work with so many bytes. Raises duckdb.Error.

    What does not fit goes to the folder ``spill``; of a file, to one beside it.
    """
    settings: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "memory_limit": f"{memory // 1_000_000}MB",
        "preserve_insertion_order": "true",
    }
    if path is not None:
        spill = spill_beside(path)
    if spill is not None:
        settings["temp_directory"] = str(spill)
    connection = duckdb.connect(str(path or ":memory:"), config=settings)
    interrupt_on_signal(connection)
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def spill_beside(path: Path) -> Path:
    return path.with_suffix(".spill")
