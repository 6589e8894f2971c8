"""The tables of a store as members of a backup: compressed Arrow streams, in the types that every store has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl

from featurestore.errors import DamagedError, SourceError
from featurestore.tables.arrow_streams import read_frames
from featurestore.workflows.backup.archive import Archive

TABLES = "tables/"


def table_member(table: str) -> str:
    """The name of the member that holds a table."""
    return f"{TABLES}{table}.arrow.zst"


@contextmanager
def read_table(archive: Archive, table: str, limit: int) -> Iterator[Iterator[pl.DataFrame]]:
    """The rows of a table, read in messages of at most about ``limit`` bytes. Raises DamagedError."""
    name = table_member(table)
    if name not in archive.members:
        raise archive.damaged(f"has no table {table}")
    try:
        with archive.open(name) as source:
            yield read_frames(source, limit)
    except SourceError as exc:
        raise archive.damaged(f"{name} in it {exc.message}", exc.hint) from exc
    except DamagedError as exc:
        raise archive.damaged(exc.message, exc.hint) if exc.where is None else exc from exc
