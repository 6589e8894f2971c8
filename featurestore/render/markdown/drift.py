"""``drift --markdown``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from featurestore.render.markdown.cells import cell, table
from featurestore.render.verdicts import measured_by, verdict
from featurestore.render.words import instant, minute, number

if TYPE_CHECKING:
    from featurestore.workflows.drift.overview import DriftRow
    from featurestore.workflows.drift.timeline import DriftResult, Point


def drift_page(result: DriftResult) -> str:
    """One feature's drift from run to run."""
    title = f"### Drift of `{result.version.id.feature}@{result.version.number}`"
    return "\n".join([title, "", f"Measured {measured_by(result)}.", "", *points_table(result.points)])


def overview_page(rows: Sequence[DriftRow]) -> str:
    """All features, worst first."""
    head = ("feature", "drift", "score", "threshold", "since", "run", "against")
    return "\n".join(table(head, map(_row, rows), right=("score", "threshold")))


def points_table(points: Sequence[Point]) -> list[str]:
    """The lines of a table of the runs."""
    rows = [
        (
            f"`{point.run_id}`", instant(point.started_at), number(point.statistics.get("count")),
            number(point.statistics.get("mean")), number(point.score), cell(verdict(point)),
        )
        for point in points
    ]  # fmt: skip
    return table(("run", "started", "values", "mean", "score", "drift"), rows, right=("values", "mean", "score"))


def _row(row: DriftRow) -> tuple[str, ...]:
    last, since = row.last, row.since
    return (
        f"`{row.version.id.feature}@{row.version.number}`", cell(verdict(last)), number(last.score),
        number(last.threshold), minute(since.started_at) if since else "", f"`{last.run_id}`",
        f"`{last.reference_run}`" if last.reference_run else "",
    )  # fmt: skip
