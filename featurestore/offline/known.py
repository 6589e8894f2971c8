"""Rows with a known time of their own: the writing of both stores.

Where a source says when each of its rows was known, a pair (keys, computed_at) may have several rows: one for each
known time, and of one known time the corrections that later runs brought. The greatest (known_at, run_seq) says what
the pair holds. What no source said, a deletion or a withdrawal, was known from its run on.
"""

from __future__ import annotations

from typing import Protocol

import polars as pl

from featurestore.model import DataType, StoredVersion
from featurestore.offline.comparison import is_close
from featurestore.offline.contract import TOMBSTONE, VALUE, WITHDRAWN, Written
from featurestore.tables.types import INSTANT

KNOWN = "known_at"
_TOP, _LAST_KNOWN = "top op", "last known"
_HELD_OP, _HELD = "held op", "held value"


class KnownRun(Protocol):
    """What it takes of an open run."""

    @property
    def learned_at(self) -> int: ...

    def rows_at(self, version: StoredVersion, pairs: pl.DataFrame) -> pl.DataFrame: ...

    def append(self, version: StoredVersion, frame: pl.DataFrame, op: int) -> None: ...


def known_now(run: KnownRun, version: StoredVersion, rows: pl.DataFrame) -> pl.DataFrame:
    """Rows that are known from this run on, each after all that its pair has."""
    pair = _pair(version)
    held = run.rows_at(version, rows.select(pair).unique()).group_by(pair).agg(pl.col(KNOWN).max())
    joined = rows.join(held, on=pair, how="left", maintain_order="left")
    return joined.with_columns(pl.max_horizontal(KNOWN, _now(run)).alias(KNOWN)).select(*rows.columns, KNOWN)


def write_known(run: KnownRun, version: StoredVersion, frame: pl.DataFrame, tolerance: float | None) -> Written:
    """Adds what is new or corrected, compared with the row of the same known time.

    Without known times in the frame a value is compared with what its pair holds, and is known from this run on. A
    value that comes back to a pair that was withdrawn is known from this run on too.
    """
    pair = _pair(version)
    given = KNOWN in frame.columns
    held = run.rows_at(version, frame.select(pair).unique()).sort(*pair, KNOWN, "run_seq", maintain_order=True)
    tops = held.unique(pair, keep="last", maintain_order=True)
    tops = tops.select(*pair, pl.col("op").alias(_TOP), pl.col(KNOWN).alias(_LAST_KNOWN))
    same = [*pair, KNOWN] if given else pair
    before = held.unique(same, keep="last", maintain_order=True)
    before = before.select(*same, pl.col("op").alias(_HELD_OP), pl.col("value").alias(_HELD))
    found = frame.join(tops, on=pair, how="left", maintain_order="left")
    found = found.join(before, on=same, how="left", maintain_order="left")
    if not given:
        found = found.with_columns(pl.max_horizontal(_LAST_KNOWN, _now(run)).alias(KNOWN))
    back = _is(_TOP, WITHDRAWN) & pl.struct(pair).is_last_distinct()
    held_value = _is(_HELD_OP, VALUE)
    changed = found.filter(~_is(_TOP, TOMBSTONE) & (back | ~held_value | ~_equal(version.data_type, tolerance)))
    changed = changed.with_columns(
        corrects=held_value & ~_is(_TOP, WITHDRAWN),
        known_at=pl.when(_is(_TOP, WITHDRAWN)).then(_after(run, back)).otherwise(KNOWN),
    )
    run.append(version, changed.select(*pair, "value", KNOWN), VALUE)
    corrected = int(changed["corrects"].sum())
    deleted = int((found[_TOP] == TOMBSTONE).sum() or 0)
    values = changed.select(frame.columns)
    return Written(changed.height - corrected, corrected, frame.height - changed.height, values, deleted)


def _pair(version: StoredVersion) -> list[str]:
    return [*version.entity_type.key_names, "computed_at"]


def _now(run: KnownRun) -> pl.Expr:
    return pl.lit(run.learned_at, pl.Int64).cast(INSTANT)


def _after(run: KnownRun, back: pl.Expr) -> pl.Expr:
    """The known time of a value of a withdrawn pair: the last of them answers again, and was withdrawn until now."""
    return pl.when(back).then(pl.max_horizontal(KNOWN, _LAST_KNOWN, _now(run))).otherwise(KNOWN)


def _is(column: str, op: int) -> pl.Expr:
    return (pl.col(column) == op).fill_null(value=False)


def _equal(data_type: DataType, tolerance: float | None) -> pl.Expr:
    held, new = pl.col(_HELD), pl.col("value")
    return held.eq_missing(new) | is_close(held, new, data_type, tolerance)
