"""``stats --markdown``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featurestore.render.charts import bar
from featurestore.render.distribution import bars, counts, moments
from featurestore.render.markdown.cells import cell, table
from featurestore.render.markdown.drift import points_table
from featurestore.render.words import instant, number

if TYPE_CHECKING:
    from featurestore.workflows.stats import StatsResult

BAR_WIDTH = 20


def stats_page(result: StatsResult) -> str:
    """A run's numbers, its histogram, and the runs."""
    version, shown = result.version, result.shown
    rows = [(label, cell(value)) for label, value in (*counts(shown.statistics), *moments(shown.statistics))]
    held = result.held
    lines = [
        f"### `{version.id.feature}@{version.number}`",
        "",
        f"Run `{shown.run_id}`, {instant(shown.started_at)}, version `{version.id.short}`, {version.data_type}.",
        *(
            []
            if held is None
            else [f"Held now: {number(held['count'])} values of {number(held['entities'])} entities."]
        ),
        "",
        "| | |",
        "|---|--:|",
        *(f"| {label} | {value} |" for label, value in rows),
    ]
    histogram = bars(shown.statistics)
    if histogram:
        largest = max(count for _, count in histogram)
        drawn = [(cell(label), f"{count:,}", bar(count, largest, BAR_WIDTH)) for label, count in histogram]
        lines += ["", *table(("values", "rows", ""), drawn, right=("rows",))]
    return "\n".join([*lines, "", *points_table(result.points)])
