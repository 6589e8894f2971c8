"""How a feature's statistics look: the answer of ``stats``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from featurestore import times
from featurestore.model import Json
from featurestore.render.charts import bar, spark, thin
from featurestore.render.drift import draw_points, points_markdown, status_text
from featurestore.render.style import DIM, NAME, facts, instant, number, table
from featurestore.workflows.drift.timeline import number as numeric
from featurestore.workflows.stats import StatsResult

if TYPE_CHECKING:
    from rich.console import Console

MOMENTS = ("mean", "std", "min", "p01", "p05", "p25", "p50", "p75", "p95", "p99", "max")
BAR_WIDTH = 40


def stats_json(result: StatsResult) -> dict[str, Json]:
    """The keys of ``stats --json``."""
    version = result.version
    return {
        "feature": version.id.feature,
        "version": version.number,
        "sha256": version.id.sha256,
        "run_id": result.shown.run_id,
        "statistics": dict(result.shown.statistics),
        "drift": [
            {
                "run_id": point.run_id, "started_at": times.format_instant(point.started_at), "score": point.score,
                "detected": point.detected, "status": point.status, "mean": numeric(point.statistics.get("mean")),
                "count": point.statistics.get("count"),
            }
            for point in result.points
        ],
    }  # fmt: skip


def draw_stats(console: Console, result: StatsResult) -> None:
    """The run's numbers, its histogram, the mean over the runs, and their drift."""
    version, shown = result.version, result.shown
    title = f"{version.id.feature}@{version.number}"
    console.print(Text.assemble((title, NAME), f"  {version.data_type}", (f"  {version.id.short}", DIM)))
    console.print(Text(f"run {shown.run_id}, {instant(shown.started_at)}\n", style=DIM))
    console.print(facts([*_counted(shown.statistics), ("drift", status_text(shown))]))
    moments = [(name, shown.statistics[name]) for name in MOMENTS if name in shown.statistics]
    if moments:
        grid = table(*(name for name, _ in moments), right=MOMENTS)
        grid.add_row(*(number(value) for _, value in moments))
        console.print(grid)
    _draw_bars(console, _bars(shown.statistics))
    means = [numeric(point.statistics.get("mean")) for point in result.points]
    known = [mean for mean in means if mean is not None]
    if len(known) > 1:
        line = spark(thin(means, console.width - 60))
        ends = f"{number(known[0])} → {number(known[-1])}"
        console.print(Text.assemble("\nmean over the runs  ", (line, NAME), f"  {ends}"))
    console.print()
    draw_points(console, result.points)


def stats_markdown(result: StatsResult) -> str:
    """The same as Markdown, for a pull request or a page."""
    version, shown = result.version, result.shown
    lines = [
        f"### `{version.id.feature}@{version.number}`",
        "",
        f"Run `{shown.run_id}`, {instant(shown.started_at)}, version `{version.id.short}`, {version.data_type}.",
        "",
        "| | |",
        "|---|---:|",
        *(f"| {label} | {_cell(value)} |" for label, value in _counted(shown.statistics)),
        *(f"| {name} | {number(shown.statistics[name])} |" for name in MOMENTS if name in shown.statistics),
    ]
    bars = _bars(shown.statistics)
    if bars:
        largest = max(count for _, count in bars)
        lines += ["", "| values | rows | |", "|---|---:|---|"]
        lines += [f"| {_cell(label)} | {count:,} | {bar(count, largest, 20)} |" for label, count in bars]
    return "\n".join([*lines, "", *points_markdown(result.points)])


def _counted(statistics: Mapping[str, Json]) -> list[tuple[str, str | Text]]:
    found: list[tuple[str, str | Text]] = [("values", number(statistics.get("count")))]
    for name, label in (("null_count", "nulls"), ("nan_count", "NaN"), ("infinite_count", "infinite")):
        if statistics.get(name):
            found.append((label, number(statistics[name])))
    if "distinct" in statistics:
        about = "about " if statistics.get("distinct_approximate") else ""
        found.append(("distinct", about + number(statistics["distinct"])))
    if "entities" in statistics:
        found.append(("entities", number(statistics["entities"])))
    for name in ("event_time", "length"):
        span = statistics.get(name)
        if isinstance(span, dict):
            found.append((name.replace("_", " "), f"{number(span['min'])} – {number(span['max'])}"))
    freshness = numeric(statistics.get("freshness_s"))
    if freshness is not None:
        found.append(("newest value", f"{_age(freshness)} old when learned"))
    if "mean" not in statistics and "min" in statistics:  # dates and datetimes
        found += [("first", number(statistics["min"])), ("last", number(statistics["max"]))]
    return found


def _age(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.1f} s"


def _bars(statistics: Mapping[str, Json]) -> list[tuple[str, int]]:
    """Labels and counts to draw: the bins of the histogram, or the commonest values."""
    top, histogram = statistics.get("top"), statistics.get("histogram")
    if isinstance(top, list):
        return [(_shown(item["value"]), item["count"]) for item in top]
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


def _shown(value: Json) -> str:
    plain = str(value)
    return plain if plain and plain == plain.strip() else repr(plain)


def _draw_bars(console: Console, bars: Sequence[tuple[str, int]]) -> None:
    if not bars:
        return
    largest = max(count for _, count in bars)
    grid = table("values", "rows", "", right=("rows",))
    for label, count in bars:
        grid.add_row(Text(label), f"{count:,}", Text(bar(count, largest, BAR_WIDTH), style=NAME))
    console.print(grid)


def _cell(value: str | Text) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
