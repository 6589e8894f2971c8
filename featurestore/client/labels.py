"""Tables that Python hands in: frames of several libraries, and files. None of the libraries is imported for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from featurestore.errors import UsageError

if TYPE_CHECKING:
    import polars as pl

KINDS = "a Polars or pandas DataFrame, an Arrow table, a DuckDB relation, or the path of a file"


def as_path(table: Any) -> Path | None:
    """The file that a table is in; None for one in memory."""
    return Path(table) if isinstance(table, str | Path) else None


def as_frame(table: Any, what: str) -> pl.DataFrame:
    """A table in memory as Polars has it, without a copy where that is possible.

    A named index of a pandas frame becomes columns. Raises UsageError naming ``what`` for anything that is no table.
    """
    import polars as pl

    if isinstance(table, pl.DataFrame):
        return table
    if isinstance(table, pl.LazyFrame):
        return table.collect()
    if is_pandas(table):
        named = any(name is not None for name in table.index.names)
        return pl.from_pandas(table, include_index=named)
    if hasattr(table, "__arrow_c_stream__"):
        return pl.DataFrame(table)
    raise UsageError(f"{what} can't be {type(table).__name__}", hint=f"give {KINDS}")


def is_pandas(table: Any) -> bool:
    """Whether it is a pandas DataFrame; without importing pandas, which nobody has to have."""
    kind = type(table)
    return kind.__name__ == "DataFrame" and kind.__module__.partition(".")[0] == "pandas"
