"""Drift: the timeline of a feature, all features at a glance, and a reference that was set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from featurestore.errors import plural
from featurestore.frozen import frozen
from featurestore.render.charts import LINE, columns, spark
from featurestore.render.text.style import BAD, DIM, GOOD, NAME, WARN, line
from featurestore.render.text.table import Column, table
from featurestore.render.verdicts import compared_with, measured_by, verdict
from featurestore.render.words import instant, minute, number, score
from featurestore.workflows.drift.baseline import BaselineResult
from featurestore.workflows.drift.overview import DriftRow
from featurestore.workflows.drift.timeline import DriftResult, Point

if TYPE_CHECKING:
    from featurestore.workflows.drift.recompute import Recomputed  # imports Polars
    from featurestore.workflows.drift.report import ReportResult

HEIGHT = 8
SPARK_WIDTH = 24
LABEL_WIDTH = 12
WIDEST = 7  # cells of a bar and the gap after it
NUMBERED = 5  # cells that take the number of a run


def drift_page(result: DriftResult) -> RenderableType:
    """The score of each run as a bar, its threshold across, and the runs below."""
    title = f"{result.version.id.feature}@{result.version.number}"
    return Group(
        Text.assemble((title, NAME), (f"  {result.version.id.short}", DIM)),
        line(f"measured {measured_by(result)}\n", DIM),
        Scores(result.points),
        points_table(result.points),
    )


def overview_table(rows: Sequence[DriftRow]) -> RenderableType:
    """One line a feature, worst first."""
    if not rows:
        return line("no feature has a run yet; featurestore ingest makes one")
    columns = [
        Column("feature", "name", NAME), Column("drift", "words"), Column("score", "number"),
        Column("limit", "number"), Column("runs", style=NAME, spare=3), Column("since", spare=2),
        Column("run", "number", spare=1), Column("against", "number", spare=1),
    ]  # fmt: skip
    drifted = sum(row.last.detected for row in rows)
    summary = f"{drifted:,} of {plural(len(rows), 'feature')} drifted"
    return Group(table(columns, map(_row_cells, rows)), Text(summary, style=WARN if drifted else GOOD))


def recomputed_lines(verdicts: Sequence[Recomputed]) -> RenderableType:
    """What came out differently, and how many verdicts came out the same."""
    different = [item for item in verdicts if item.differs]
    lines: list[Text] = []
    for item in different:
        lines.append(line(f"{item.version.id.feature}@{item.version.number} {item.point.run_id}", NAME))
        for key in item.differs:
            recorded, again = item.point.verdict.get(key), (item.again or {}).get(key)
            lines.append(line(f"  {key}: {recorded} was recorded, {again} was recomputed", BAD))
    gone = sum(item.again is None for item in verdicts)
    same = len(verdicts) - gone - len(different)
    lines.append(line(f"{plural(same, 'verdict')} came out the same, {len(different):,} differently"))
    if gone:
        lines.append(line(f"{plural(gone, 'verdict')} without a stored sample can't be recomputed", DIM))
    return Group(*lines)


def baseline_line(result: BaselineResult, *, dry_run: bool) -> RenderableType:
    name, reference = f"{result.version.id.feature}@{result.version.number}", compared_with(result.baseline, result.run)
    if not result.changed:
        return line(f"{name} is already compared with {reference}; nothing changed")
    if dry_run:
        return line(f"would compare {name} with {reference}, by {result.method}")
    return line(f"{name} is compared with {reference} from the next run on, by {result.method}")


def report_line(result: ReportResult) -> RenderableType:
    return line(f"{'would write' if result.dry_run else 'wrote'} {result.path}")


def verdict_with_score(point: Point) -> Text:
    """A run's verdict in its colour, with its score where there is one."""
    style = {"ok": GOOD, "drifted": WARN}.get(point.status, BAD if point.status.startswith("error") else DIM)
    scored = "" if point.score is None else f", score {score(point.score)}, limit {score(point.threshold)}"
    return line(verdict(point) + scored, style)


def points_table(points: Sequence[Point]) -> RenderableType:
    """One line a run, oldest first; the reference by its number."""
    columns = [
        Column("#", "number"), Column("run", style=NAME, spare=1), Column("started", spare=3),
        Column("values", "number"), Column("mean", "number", spare=2), Column("score", "number"),
        Column("drift", "words"), Column("against", "number"),
    ]  # fmt: skip
    rows = [
        (
            str(point.run_seq), point.run_id, minute(point.started_at), number(point.statistics.get("count")),
            number(point.statistics["mean"]) if "mean" in point.statistics else "", score(point.score), _verdict(point),
            _run_number(point.reference_run, points),
        )
        for point in points
    ]  # fmt: skip
    return Group(table(columns, rows), *_previous_versions(points))


@frozen
class Scores:
    """The score of each run as a vertical bar, with the threshold across; the newest that there is room for.

    ``wide`` bars fill the room where there are few, with the numbers of the runs below; ``height`` is in lines.
    """

    points: tuple[Point, ...]
    wide: bool = False
    height: int = HEIGHT

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room = max(8, options.max_width - LABEL_WIDTH)
        points = self.points[-room:]
        scores = [point.score for point in points]
        present = [value for value in scores if value is not None]
        threshold = next((point.threshold for point in reversed(self.points) if point.threshold is not None), None)
        if len(present) < 2 or threshold is None:
            return
        top = max(*present, threshold * 1.25)
        step = max(1, min(WIDEST, room // len(points))) if self.wide else 1
        level = min(self.height - 1, int(threshold / top * self.height))
        for row, bars in enumerate(columns(scores, top, threshold, self.height)):
            height = self.height - 1 - row
            label = f"{top:.2f}" if row == 0 else f"{threshold:.2f}" if height == level else "0" if height == 0 else ""
            drawn = "".join(bar * (step - 1) + (bar if step == 1 or bar == LINE else " ") for bar in bars)
            yield Text.assemble((f"{label:>6} ", DIM), (drawn, WARN if height >= level else NAME))
        if step >= NUMBERED:
            yield Text(" " * 7 + "".join(f"{point.run_seq:<{step}}"[:step] for point in points).rstrip(), style=DIM)


def _row_cells(row: DriftRow) -> tuple[str | Text, ...]:
    last, since = row.last, row.since
    return (
        f"{row.version.id.feature}@{row.version.number}", _verdict(last), score(last.score), score(last.threshold),
        spark([point.score for point in row.points[-SPARK_WIDTH:]]),
        f"{since.run_seq}, {instant(since.started_at)[:10]}" if since else "", str(last.run_seq),
        _run_number(last.reference_run, row.points),
    )  # fmt: skip


def _previous_versions(points: Sequence[Point]) -> list[Text]:
    """How the first run of a version compares with the version before it."""
    lines = []
    for point in points:
        before = point.verdict.get("previous_version")
        if isinstance(before, dict):
            what = f"its first run against the previous version ({str(before['sha256'])[:12]}): {before['status']}"
            lines.append(line(f"{what}, score {number(before['score'])}", DIM))
    return lines


def _run_number(run_id: str | None, points: Sequence[Point]) -> str:
    """The number of a run among these; its id where it is none of them."""
    return next((str(point.run_seq) for point in points if point.run_id == run_id), run_id or "")


def _verdict(point: Point) -> Text:
    style = WARN if point.detected else BAD if point.status.startswith("error") else DIM
    return line(verdict(point), style)
