"""A feature's statistics: one run's distribution, and how it moved from run to run."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from featurestore.frozen import frozen
from featurestore.render.charts import bar, spark
from featurestore.render.distribution import bars, counts, moments
from featurestore.render.text.drift import points_table, verdict_with_score
from featurestore.render.text.style import DIM, NAME, facts
from featurestore.render.text.table import Column, table
from featurestore.render.words import instant, number
from featurestore.workflows.drift.timeline import number as numeric
from featurestore.workflows.stats import StatsResult

BAR_WIDTH = 40


def stats_page(result: StatsResult) -> RenderableType:
    """The run's numbers, its histogram, the mean over the runs, and their drift."""
    version, shown = result.version, result.shown
    title = f"{version.id.feature}@{version.number}"
    means = [numeric(point.statistics.get("mean")) for point in result.points]
    return Group(
        Text.assemble((title, NAME), f"  {version.data_type}", (f"  {version.id.short}", DIM)),
        *_held(result),
        Text(f"\nwhat run {shown.run_id} brought, {instant(shown.started_at)}\n", style=DIM),
        Numbers((*counts(shown.statistics), ("drift", verdict_with_score(shown))), tuple(moments(shown.statistics))),
        *_histogram(bars(shown.statistics)),
        *([MeanLine(tuple(means))] if sum(mean is not None for mean in means) > 1 else []),
        points_table(result.points),
    )


def _held(result: StatsResult) -> list[RenderableType]:
    """All values that are held now, which one run seldom brings."""
    if result.held is None:
        return [Text(f"held now: {result.rows:,} rows of history\n")] if result.rows else []
    return [Text("held now\n", style=DIM), Numbers(tuple(counts(result.held)), tuple(moments(result.held)))]


@frozen
class Numbers:
    """Counts, and the moments: side by side where there is room, else a line each."""

    counts: tuple[tuple[str, str | Text], ...]
    moments: tuple[tuple[str, str], ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = sum(3 + max(len(name), len(value)) for name, value in self.moments)
        if width > options.max_width:
            yield facts([*self.counts, *self.moments])
            return
        yield facts(self.counts)
        if self.moments:
            yield table([Column(name, "number") for name, _ in self.moments], [[value for _, value in self.moments]])


@frozen
class MeanLine:
    """The mean of each run as a sparkline between the first and the last: as many of the newest as fit."""

    means: tuple[float | None, ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        present = [mean for mean in self.means if mean is not None]
        label, ends = "mean over the runs  ", f"  {number(present[0])} → {number(present[-1])}"
        room = max(8, options.max_width - len(label) - len(ends))
        yield Text.assemble(label, (spark(self.means[-room:]), NAME), ends)


def _histogram(rows: Sequence[tuple[str, int]]) -> list[RenderableType]:
    if not rows:
        return []
    largest = max(count for _, count in rows)
    columns = [Column("values", "value"), Column("rows", "number"), Column("", style=NAME, spare=1)]
    return [table(columns, [(label, f"{count:,}", bar(count, largest, BAR_WIDTH)) for label, count in rows])]
