"""The statistics of a column of values, in numbers that are valid JSON.

These are the keys that ``stats --json`` prints. ``count`` counts the values that are not null (NaN is a value), so
there are ``count + null_count`` rows. Moments, percentiles, ``min``, ``max`` and the histogram are over the finite
values only; NaN and infinities are counted separately.

Percentiles are interpolated linearly between the two closest ranks (rank ``p·(n-1)``, NumPy's default). ``std`` is that
of the sample (n - 1), null for a single value. Everything is computed on the sorted values, so that the order of the
rows does not change a single bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from featurestore.times import format_instant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from featurestore.model import DataType, Json

PERCENTILES = {"p01": 0.01, "p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95, "p99": 0.99}
BINS = 20
TOP_VALUES = 10
EXACT_ROWS = 200_000
TEXT_SHOWN = 120
_TOGETHER = 1 << 16  # values

Numbers = NDArray[np.float64] | NDArray[np.int64]


def describe(values: pl.Series, data_type: DataType, *, edges: Sequence[float] | None = None) -> dict[str, Json]:
    """The statistics of one column, in the keys of ``stats --json``.

    Numbers have moments, percentiles and a ``histogram``; text and booleans have ``top``, a list of ``{value, count}``;
    dates and datetimes have ``min`` and ``max`` as ISO text; lists have the range of their ``length``. ``edges`` are
    those of the reference's histogram, so that runs can be compared: values outside them are counted in the histogram's
    ``below`` and ``above``. ``distinct_approximate`` and ``top_approximate`` are present, and true, for a text column
    that was too large to count exactly.
    """
    present = values.drop_nulls()
    counted: dict[str, Json] = {"count": len(present), "null_count": len(values) - len(present)}
    if data_type.numeric:
        return counted | _numbers(present, edges)
    if data_type.kind in ("string", "bool"):
        return counted | _categories(present)
    if data_type.kind in ("date", "datetime"):
        return counted | _instants(present, data_type)
    return counted | _lists(present)


def _numbers(present: pl.Series, edges: Sequence[float] | None) -> dict[str, Json]:
    values = _sorted(present.cast(pl.Float64 if present.dtype.is_float() else pl.Int64))
    ordered = values[: int(np.searchsorted(values, np.nan))] if values.dtype.kind == "f" else values
    finite = _finite(ordered)
    nans = len(values) - len(ordered)
    statistics: dict[str, Json] = {
        "nan_count": nans,
        "infinite_count": len(ordered) - len(finite),
        "distinct": _distinct(ordered) + (1 if nans else 0),
        "mean": None, "std": None, "min": None, **dict.fromkeys(PERCENTILES), "max": None,
    }  # fmt: skip
    if len(finite):
        statistics["mean"], statistics["std"] = _moments(finite)
        statistics["min"], statistics["max"] = finite[0].item(), finite[-1].item()
        statistics |= {name: _percentile(finite, share) for name, share in PERCENTILES.items()}
    statistics["histogram"] = histogram(finite, edges)
    return statistics


def _sorted(values: pl.Series) -> Numbers:
    """The values from the lowest to the highest, NaN at the end."""
    if not values.dtype.is_float():
        return values.sort(multithreaded=False).to_numpy()
    # As integers, which Polars sorts in half of the time. One thread does it with less work than several do.
    keys = _in_order_of_bits(values.fill_nan(np.nan).to_numpy().view(np.int64))
    return _in_order_of_bits(pl.Series(keys).sort(multithreaded=False).to_numpy()).view(np.float64)


def _in_order_of_bits(bits: NDArray[np.int64]) -> NDArray[np.int64]:
    """The bits of floats as integers in the order of the floats; and of such integers the bits.

    A higher float has higher bits, but among negative ones, of which all bits but the sign are turned over.
    """
    return bits ^ ((bits >> 63) & np.int64(2**63 - 1))


def _finite(ordered: Numbers) -> Numbers:
    if ordered.dtype.kind != "f":
        return ordered
    first, last = np.searchsorted(ordered, -np.inf, side="right"), np.searchsorted(ordered, np.inf, side="left")
    return ordered[int(first) : int(last)]


def _distinct(ordered: Numbers) -> int:
    return 1 + int(np.count_nonzero(ordered[1:] != ordered[:-1])) if len(ordered) else 0


def _moments(finite: Numbers) -> tuple[float, float | None]:
    # The sum of values near the largest double overflows, so they are scaled by the largest.
    with np.errstate(over="ignore", invalid="ignore"):
        mean, spread = float(finite.mean()), _spread(finite) if len(finite) > 1 else None
    if not np.isfinite(mean) or (spread is not None and not np.isfinite(spread)):
        scale = float(max(abs(finite[0]), abs(finite[-1])))
        small = finite / scale
        mean = float(small.mean()) * scale
        spread = None if spread is None else min(_spread(small) * scale, float(np.finfo(np.float64).max))
    return mean, spread


def _spread(finite: Numbers) -> float:
    """The standard deviation, without a copy of all values: what few of them differ by is in the cache."""
    mean = finite.mean()
    squares = [np.square(finite[at : at + _TOGETHER] - mean).sum() for at in range(0, len(finite), _TOGETHER)]
    return float(np.sqrt(np.sum(squares) / (len(finite) - 1)))


def _percentile(finite: Numbers, share: float) -> float:
    rank = share * (len(finite) - 1)
    below = int(rank)
    above = min(below + 1, len(finite) - 1)
    return interpolate(float(finite[below]), float(finite[above]), rank - below)


def interpolate(low: float, high: float, weight: float) -> float:
    """The value between two neighbours, of which the higher one has so much weight."""
    # Equal neighbours as they are, since the sum may round. And a sum, since high - low may overflow.
    return low if weight == 0 or low == high else low * (1 - weight) + high * weight


def bin_edges(finite: Numbers) -> list[float]:
    """Edges of a histogram over sorted finite values: `BINS` equal bins, or one per value of a few integers."""
    low, high = float(finite[0]), float(finite[-1])
    if finite.dtype.kind == "i" and high - low < BINS:
        return [low - 0.5 + step for step in range(int(high - low) + 2)]
    if low == high:
        margin, largest = max(0.5, abs(low) * 1e-9), float(np.finfo(np.float64).max)
        return [max(low - margin, -largest), min(low + margin, largest)]
    share = np.linspace(0.0, 1.0, BINS + 1)
    # Not low + (high - low) * share: the difference of two large numbers may overflow.
    edges = low * (1 - share) + high * share
    edges[0], edges[-1] = low, high
    return [float(edge) for edge in np.unique(edges)]  # values that differ in the last bit only give fewer bins


def histogram(finite: Numbers, edges: Sequence[float] | None) -> dict[str, Json]:
    """How many of the sorted finite values lie between two edges each, by default those of `bin_edges`."""
    if not edges:
        edges = bin_edges(finite) if len(finite) else []
    if not edges:
        return {"edges": [], "counts": [], "below": 0, "above": 0}
    values = finite.astype(np.float64, copy=False)
    cuts = np.searchsorted(values, np.asarray(edges, dtype=np.float64), side="left")
    cuts[-1] = np.searchsorted(values, edges[-1], side="right")  # the last bin includes its upper edge
    return {
        "edges": [float(edge) for edge in edges],
        "counts": [int(count) for count in np.diff(cuts)],
        "below": int(cuts[0]),
        "above": len(values) - int(cuts[-1]),
    }


def _categories(present: pl.Series) -> dict[str, Json]:
    name = present.name
    if len(present) > EXACT_ROWS and present.dtype == pl.String:
        distinct = int(present.to_frame().select(pl.all().approx_n_unique()).item())
        if distinct > EXACT_ROWS // 10:
            # Counting a million different texts takes longer than writing them, so the candidates come from an
            # even sample. Their counts are over all rows.
            candidates = _ranked(present.gather_every(len(present) * 2 // EXACT_ROWS)).head(TOP_VALUES)[name]
            top = _ranked(present.filter(present.is_in(candidates.implode())))
            return {"distinct": distinct, "distinct_approximate": True, "top": _top(top), "top_approximate": True}
    counts = _ranked(present)
    return {"distinct": counts.height, "top": _top(counts.head(TOP_VALUES))}


def _ranked(present: pl.Series) -> pl.DataFrame:
    counts = present.value_counts(name="count")
    return counts.sort("count", present.name, descending=[True, False])


def _top(counts: pl.DataFrame) -> list[Json]:
    return [{"value": shown_value(value), "count": count} for value, count in counts.iter_rows()]


def shown_value(value: Json) -> Json:
    """A value as statistics have it: long texts cut."""
    return value[:TEXT_SHOWN] + "…" if isinstance(value, str) and len(value) > TEXT_SHOWN else value


def _instants(present: pl.Series, data_type: DataType) -> dict[str, Json]:
    date = data_type.kind == "date"
    steps = present.cast(pl.Date if date else pl.Datetime("us")).to_physical().sort().to_numpy()
    if not len(steps):
        return {"distinct": 0, "min": None, "max": None}
    first, last = (format_step(int(step), data_type) for step in (steps[0], steps[-1]))
    return {"distinct": _distinct(steps), "min": first, "max": last}


def format_step(step: int, data_type: DataType) -> str:
    """A date, of days since 1970, or a datetime, of microseconds, as ISO text."""
    if data_type.kind == "date":
        return format_instant(step * 86_400_000_000)[:10]
    return format_instant(step)


def _lists(present: pl.Series) -> dict[str, Json]:
    lengths = (present.list.len() if isinstance(present.dtype, pl.List) else present.arr.len()).to_numpy()
    return {"length": {"min": int(lengths.min()), "max": int(lengths.max())} if len(lengths) else None}
