"""Which of the rows that a reading gave are others than those that are held."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from featurestore.frozen import frozen

_KEY, _ROW = ["key", "other key"], ["row", "other row"]
_TIMES = "times"


@frozen
class Known:
    """``new`` says of each row that came whether it is new. Of a reading of everything, ``unmoved`` counts those whose
    row was another with the same value of the cursor, ``gone`` the rows that are held and did not come.
    """

    new: pl.Series
    unmoved: int = 0
    gone: int = 0


def hashed(frame: pl.DataFrame, names: Sequence[str], keys: Sequence[str], cursor: str) -> pl.DataFrame:
    """128 bits of each row and of its keys, and the value of its cursor. A column that is not there is null."""
    missing = [pl.lit(None).alias(name) for name in dict.fromkeys([*names, *keys, cursor]) if name not in frame.columns]
    frame = frame.with_columns(missing)
    whole, key = frame.select(names), frame.select(keys or names)
    return pl.DataFrame({
        "key": key.hash_rows(1), "other key": key.hash_rows(2), "row": whole.hash_rows(1),
        "other row": whole.hash_rows(2), "cursor": frame[cursor].to_physical().cast(pl.Int64),
    })  # fmt: skip


def compare(rows: pl.DataFrame, held: pl.DataFrame, *, keyed: bool, whole: bool) -> Known:
    """Compares rows with those that are held, which are in the order in which they came.

    ``keyed`` rows are compared with the last one of their key, others by how often they stand there.
    """
    return _by_key(rows, held, whole=whole) if keyed else _by_count(rows, held, whole=whole)


def _by_key(rows: pl.DataFrame, held: pl.DataFrame, *, whole: bool) -> Known:
    last = held.unique(_KEY, keep="last", maintain_order=True)
    found = rows.join(last, on=_KEY, how="left", maintain_order="left", suffix=" held")
    same = pl.all_horizontal([pl.col(name) == pl.col(f"{name} held") for name in _ROW]).fill_null(value=False)
    new = found.select((~same).alias("new"))["new"]
    if not whole:
        return Known(new)
    was_there = pl.col("row held").is_not_null()
    unmoved = found.filter(was_there & ~same & pl.col("cursor").eq_missing(pl.col("cursor held"))).height
    return Known(new, unmoved, last.join(rows, on=_KEY, how="anti").height)


def _by_count(rows: pl.DataFrame, held: pl.DataFrame, *, whole: bool) -> Known:
    counts = held.group_by(_ROW).agg(pl.len().alias(_TIMES))
    numbered = rows.with_columns(pl.int_range(pl.len()).over(_ROW).alias("number"))
    found = numbered.join(counts, on=_ROW, how="left", maintain_order="left")
    new = found.select((pl.col("number") >= pl.col(_TIMES).fill_null(0)).alias("new"))["new"]
    if not whole:
        return Known(new)
    here = rows.group_by(_ROW).agg(pl.len().alias("here"))
    both = counts.join(here, on=_ROW, how="left").with_columns(pl.col("here").fill_null(0))
    gone = both.select((pl.col(_TIMES) - pl.col("here").cast(pl.Int64)).clip(0).sum()).item()
    return Known(new, 0, int(gone or 0))
