"""A distribution in words and bars, and how two of them differ: what text and Markdown both show of statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from featurestore.model import Json
from featurestore.render.words import number
from featurestore.workflows.drift.timeline import number as numeric

MOMENTS = ("mean", "std", "min", "p01", "p05", "p25", "p50", "p75", "p95", "p99", "max")
COMPARED = ("count", "null_count", "distinct", *MOMENTS)
COMPARED_BRIEFLY = tuple(name for name in COMPARED if name not in ("p01", "p25", "p75", "p99"))

Statistics = Mapping[str, Json]
Shift = tuple[str, str, str, str]


def shifts(
    old: Statistics | None, new: Statistics | None, shift: Statistics | None, names: Sequence[str] = COMPARED
) -> list[Shift]:
    """Name, old, new and difference of the statistics that either side has."""
    old, new, shift = old or {}, new or {}, shift or {}
    return [
        (name, number(old.get(name)), number(new.get(name)), number(shift[name]) if name in shift else "")
        for name in names
        if name in old or name in new
    ]


def moments(statistics: Statistics) -> list[tuple[str, str]]:
    """Mean, standard deviation, extremes and percentiles, of what has them."""
    return [(name, number(statistics[name])) for name in MOMENTS if name in statistics]


def counts(statistics: Statistics) -> list[tuple[str, str]]:
    """How many values there are, of which kinds, and of which times."""
    rows = [("values", number(statistics.get("count")))]
    for name, label in (("null_count", "nulls"), ("nan_count", "NaN"), ("infinite_count", "infinite")):
        if statistics.get(name):
            rows.append((label, number(statistics[name])))
    if "distinct" in statistics:
        about = "about " if statistics.get("distinct_approximate") else ""
        rows.append(("distinct", about + number(statistics["distinct"])))
    if "entities" in statistics:
        rows.append(("entities", number(statistics["entities"])))
    for name in ("event_time", "length"):
        span = statistics.get(name)
        if isinstance(span, dict):
            rows.append((name.replace("_", " "), f"{number(span['min'])} – {number(span['max'])}"))
    freshness = numeric(statistics.get("freshness_s"))
    if freshness is not None:
        rows.append(("newest value", f"{_age(freshness)} old when learned"))
    if "mean" not in statistics and "min" in statistics:  # dates and datetimes
        rows += [("first", number(statistics["min"])), ("last", number(statistics["max"]))]
    return rows


def bars(statistics: Statistics) -> list[tuple[str, int]]:
    """Labels and counts to draw: the bins of the histogram, or the most frequent values."""
    top, histogram = statistics.get("top"), statistics.get("histogram")
    if isinstance(top, list):
        return [(_quoted(item["value"]), item["count"]) for item in top]
    if not isinstance(histogram, dict) or not histogram["counts"]:
        return []
    edges: Sequence[float] = histogram["edges"]
    bins = [
        (f"{low:.4g} – {high:.4g}", count)
        for low, high, count in zip(edges[:-1], edges[1:], histogram["counts"], strict=True)
    ]
    below, above = histogram.get("below", 0), histogram.get("above", 0)
    start = [(f"below {edges[0]:.4g}", below)] if below else []
    return start + bins + ([(f"above {edges[-1]:.4g}", above)] if above else [])


def _age(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.1f} s"


def _quoted(value: Json) -> str:
    """A value, in quotes where it is empty, has spaces at its ends or several lines."""
    plain = value if isinstance(value, str) else number(value)
    return plain if plain and plain == plain.strip() and "\n" not in plain else repr(plain)
