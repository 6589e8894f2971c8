"""Rows with a known time of their own: the writing of both stores.

Where a source says when each of its rows was known, a pair (keys, computed_at) may have several rows: one for each
known time, and of one known time the corrections that later runs brought. The greatest (known_at, run_seq) says what
the pair holds. A row that is known elsewhere later withdraws its pair from that known time on. What no source said, a
deletion or another withdrawal, was known from its run on.
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

    def learned_times(self) -> pl.DataFrame: ...

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
    value that comes back to a pair that a run withdrew is known from this run on too; what the source's known times
    withdrew they bring back.
    """
    pair = _pair(version)
    given = KNOWN in frame.columns
    held = run.rows_at(version, frame.select(pair).unique()).sort(*pair, KNOWN, "run_seq", maintain_order=True)
    tops = _tops(run, pair, held)
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


def withdrawals(run: KnownRun, version: StoredVersion, frame: pl.DataFrame) -> pl.DataFrame:
    """Of pairs with the known times from which they are withdrawn those that hold a value there."""
    pair = _pair(version)
    held = run.rows_at(version, frame.select(pair).unique()).sort(*pair, KNOWN, "run_seq", maintain_order=True)
    deleted = held.unique(pair, keep="last", maintain_order=True).filter(pl.col("op") == TOMBSTONE)
    before = held.unique([*pair, KNOWN], keep="last", maintain_order=True).select(*pair, KNOWN, "op")
    asked = frame.join(deleted, on=pair, how="anti").sort(KNOWN)
    found = asked.join_asof(before.sort(KNOWN), on=KNOWN, by=pair, check_sortedness=False)
    return found.filter(pl.col("op") == VALUE).select(*pair, KNOWN).sort(*pair, KNOWN)


def with_held_times(
    run: KnownRun, version: StoredVersion, frame: pl.DataFrame, withdrawn: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """All that is known of some pairs, with what answers at the other known times that they hold.

    A row that is known later than others that came before it may change what answered where a row had left. What a row
    of its own said, which is no more since its file was written over, was known then and stays.
    """
    pair = _pair(version)
    nothing = pl.lit(None, frame.schema["value"]).alias("value")
    given = pl.concat([
        frame.select(*pair, KNOWN, "value", pl.lit(VALUE, pl.Int8).alias("op")),
        withdrawn.select(*pair, KNOWN, nothing, pl.lit(WITHDRAWN, pl.Int8).alias("op")),
    ])  # fmt: skip
    held = run.rows_at(version, given.select(pair).unique())
    first = held.filter(pl.col("op") == VALUE).group_by(*pair, "value").agg(pl.col(KNOWN).min().alias(_LAST_KNOWN))
    last = held.sort(KNOWN, "run_seq").unique([*pair, KNOWN], keep="last", maintain_order=True)
    last = last.join(first, on=[*pair, "value"], how="left", nulls_equal=True)
    last = last.join(run.learned_times(), on="run_seq", how="left")
    again = pl.when(pl.col("op") == VALUE).then(pl.col(_LAST_KNOWN) < pl.col(KNOWN))
    by_source = pl.col(KNOWN) < pl.col("learned_at").fill_null(_now(run))
    asked = last.filter(again.otherwise((pl.col("op") == WITHDRAWN) & by_source))
    asked = asked.join(given, on=[*pair, KNOWN], how="anti").select(*pair, KNOWN).sort(KNOWN)
    found = asked.join_asof(given.sort(KNOWN), on=KNOWN, by=pair, check_sortedness=False)
    values = found.filter(pl.col("op") == VALUE).select(frame.columns)
    gone = found.filter(pl.col("op") == WITHDRAWN).select(withdrawn.columns)
    return pl.concat([frame, values]).sort(*pair, KNOWN), pl.concat([withdrawn, gone]).sort(*pair, KNOWN)


def _tops(run: KnownRun, pair: list[str], held: pl.DataFrame) -> pl.DataFrame:
    """What each pair holds; withdrawn only where a run said so, and not a source's known time."""
    tops = held.unique(pair, keep="last", maintain_order=True)
    withdrawn = pl.col("op") == WITHDRAWN
    if tops.select(withdrawn.any()).item():
        tops = tops.join(run.learned_times(), on="run_seq", how="left", maintain_order="left")
        by_run = pl.col(KNOWN) >= pl.col("learned_at").fill_null(_now(run))
        tops = tops.with_columns(pl.when(withdrawn & ~by_run).then(VALUE).otherwise("op").alias("op"))
    return tops.select(*pair, pl.col("op").alias(_TOP), pl.col(KNOWN).alias(_LAST_KNOWN))


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
