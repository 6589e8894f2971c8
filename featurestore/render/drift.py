"""How drift looks: the timeline of a feature, the page of all of them, and a reference that was named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from featurestore import times
from featurestore.model import Json, StoredVersion
from featurestore.offline.contract import Baseline
from featurestore.render.charts import columns, spark, thin
from featurestore.render.style import BAD, DIM, GOOD, NAME, WARN, instant, number, plural, table
from featurestore.workflows.drift.baseline import BaselineResult
from featurestore.workflows.drift.overview import DriftRow
from featurestore.workflows.drift.recompute import Recomputed
from featurestore.workflows.drift.report import ReportResult
from featurestore.workflows.drift.timeline import DriftResult, Point

if TYPE_CHECKING:
    from rich.console import Console

HEIGHT = 8
SPARK = 24


def drift_json(result: DriftResult) -> dict[str, Json]:
    """One feature's timeline, oldest first: each run with its whole verdict."""
    return {
        **_version_json(result.version),
        "reference": None if result.baseline is None else _baseline_json(result.baseline),
        "runs": [_point_json(point) for point in result.points],
    }


def page_json(rows: Sequence[DriftRow]) -> dict[str, Json]:
    """All features, worst first: each with its last run's verdict, and since which run it has drifted."""
    return {
        "features": [
            {
                **_version_json(row.version),
                **_point_json(row.last),
                "since_run": row.since.run_id if row.since else None,
                "since": times.format_instant(row.since.started_at) if row.since else None,
            }
            for row in rows
        ]
    }


def recomputed_json(found: Sequence[Recomputed]) -> dict[str, Json]:
    """Each recorded verdict with the one reached again, and the keys in which they differ."""
    return {
        "checked": sum(item.again is not None for item in found),
        "different": sum(bool(item.differs) for item in found),
        "runs": [
            {
                **_version_json(item.version),
                "run_id": item.point.run_id,
                "recorded": dict(item.point.verdict),
                "recomputed": None if item.again is None else dict(item.again),
                "differs": list(item.differs),
            }
            for item in found
        ],
    }


def baseline_json(result: BaselineResult, *, dry_run: bool) -> dict[str, Json]:
    return {
        **_version_json(result.version),
        "run_id": result.run.run_id if result.run else None,
        **_baseline_json(result.baseline),
        "changed": result.changed,
        "dry_run": dry_run,
    }


def report_json(result: ReportResult) -> dict[str, Json]:
    return {"feature": result.version.id.feature, "run_id": result.point.run_id, "report": str(result.path)}


def draw_drift(console: Console, result: DriftResult) -> None:
    """The score of each run as a column, its threshold across, and the runs below."""
    title = f"{result.version.id.feature}@{result.version.number}"
    console.print(Text.assemble((title, NAME), (f"  {result.version.id.short}", DIM)))
    console.print(Text(_measured(result) + "\n", style=DIM))
    scores = thin([point.score for point in result.points], max(8, console.width - 12))
    known = [score for score in scores if score is not None]
    threshold = next((point.threshold for point in reversed(result.points) if point.threshold is not None), None)
    if len(known) > 1 and threshold is not None:
        _draw_columns(console, scores, max(*known, threshold * 1.25), threshold)
    draw_points(console, result.points)


def draw_page(console: Console, rows: Sequence[DriftRow]) -> None:
    """One line a feature, worst first."""
    if not rows:
        console.print("no feature has a run yet; featurestore ingest makes one")
        return
    right = ("score", "limit", "run", "against")
    grid = table("feature", "drift", "score", "limit", "runs", "since", "run", "against", right=right)
    for row in rows:
        last, since = row.last, row.since
        grid.add_row(
            Text(f"{row.version.id.feature}@{row.version.number}", style=NAME), _word(last), _short(last.score),
            _short(last.threshold), Text(spark(thin([point.score for point in row.points], SPARK)), style=NAME),
            f"{since.run_seq}, {instant(since.started_at)[:10]}" if since else "", str(last.run_seq),
            _number_of(last.reference_run, row.points),
        )  # fmt: skip
    console.print(grid)
    drifted = sum(row.last.detected for row in rows)
    console.print(Text(f"\n{drifted:,} of {plural(len(rows), 'feature')} drifted", style=WARN if drifted else GOOD))


def draw_recomputed(console: Console, found: Sequence[Recomputed]) -> None:
    """What came out otherwise, and how many came out the same."""
    different = [item for item in found if item.differs]
    for item in different:
        console.print(Text(f"{item.version.id.feature}@{item.version.number} {item.point.run_id}", style=NAME))
        for key in item.differs:
            recorded, again = item.point.verdict.get(key), (item.again or {}).get(key)
            console.print(Text(f"  {key}: {recorded} was recorded, {again} comes out", style=BAD))
    gone = sum(item.again is None for item in found)
    same = len(found) - gone - len(different)
    console.print(f"{plural(same, 'verdict')} came out the same, {len(different):,} otherwise")
    if gone:
        console.print(Text(f"{plural(gone, 'verdict')} without a sample to measure again", style=DIM))


def draw_baseline(console: Console, result: BaselineResult, *, dry_run: bool) -> None:
    name, what = f"{result.version.id.feature}@{result.version.number}", _described(result.baseline, result.run)
    if not result.changed:
        console.print(f"{name} is compared with {what} already; nothing changed")
    elif dry_run:
        console.print(f"would compare {name} with {what}, by {result.method}")
    else:
        console.print(f"{name} is compared with {what} from the next run on, by {result.method}")


def drift_markdown(result: DriftResult) -> str:
    title = f"### Drift of `{result.version.id.feature}@{result.version.number}`"
    return "\n".join([title, "", _measured(result) + ".", "", *points_markdown(result.points)])


def page_markdown(rows: Sequence[DriftRow]) -> str:
    lines = ["| feature | drift | score | threshold | since | run | against |", "|---|---|---:|---:|---|---|---|"]
    for row in rows:
        last, since = row.last, row.since
        lines.append(
            f"| `{row.version.id.feature}@{row.version.number}` | {_word(last)} | {number(last.score)} "
            f"| {number(last.threshold)} | {instant(since.started_at)[:16] if since else ''} | `{last.run_id}` "
            f"| {f'`{last.reference_run}`' if last.reference_run else ''} |"
        )
    return "\n".join(lines)


def status_text(point: Point) -> Text:
    """The status of a run's verdict in its colour, with the score and the reasons where there are any."""
    style = {"ok": GOOD, "drifted": WARN}.get(point.status, BAD if point.status.startswith("error") else DIM)
    score = "" if point.score is None else f", score {number(point.score)} of {number(point.threshold)}"
    why = f" ({', '.join(point.reasons)})" if point.reasons else ""
    return Text(f"{point.status}{why}{score}", style=style)


def draw_points(console: Console, points: Sequence[Point]) -> None:
    """One line a run, oldest first; the reference by its number."""
    right = ("#", "values", "mean", "score", "against")
    grid = table("#", "run", "started", "values", "mean", "score", "drift", "against", right=right)
    for point in points:
        count, mean = point.statistics.get("count"), point.statistics.get("mean")
        grid.add_row(
            str(point.run_seq), Text(point.run_id, style=NAME), instant(point.started_at)[:16], number(count),
            number(mean), number(point.score), _word(point), _number_of(point.reference_run, points),
        )  # fmt: skip
    console.print(grid)
    for point in points:
        before = point.verdict.get("previous_version")
        if isinstance(before, dict):
            said = f"its first run against the version before ({str(before['sha256'])[:12]}): {before['status']}"
            console.print(Text(f"{said}, score {number(before['score'])}", style=DIM))


def points_markdown(points: Sequence[Point]) -> list[str]:
    """The lines of a Markdown table of the runs."""
    lines = ["| run | started | values | mean | score | drift |", "|---|---|---:|---:|---:|---|"]
    for point in points:
        count, mean = point.statistics.get("count"), point.statistics.get("mean")
        lines.append(
            f"| `{point.run_id}` | {instant(point.started_at)} | {number(count)} | {number(mean)} "
            f"| {number(point.score)} | {_word(point)} |"
        )
    return lines


def _draw_columns(console: Console, scores: Sequence[float | None], top: float, threshold: float) -> None:
    level = min(HEIGHT - 1, int(threshold / top * HEIGHT))
    for row, line in enumerate(columns(scores, top, threshold, HEIGHT)):
        place = HEIGHT - 1 - row
        label = f"{top:.2f}" if row == 0 else f"{threshold:.2f}" if place == level else "0" if place == 0 else ""
        style = WARN if place >= level else NAME
        console.print(Text.assemble((f"{label:>6} ", DIM), (line, style)))


def _short(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _number_of(run_id: str | None, points: Sequence[Point]) -> str:
    """The number of a run among these; its id where it is none of them."""
    return next((str(point.run_seq) for point in points if point.run_id == run_id), run_id or "")


def _word(point: Point) -> Text:
    why = f": {', '.join(point.reasons)}" if point.reasons else ""
    style = WARN if point.detected else BAD if point.status.startswith("error") else DIM
    return Text(point.status + why, style=style)


def _measured(result: DriftResult) -> str:
    last = result.points[-1]
    method = result.baseline.method if result.baseline and result.baseline.method else last.verdict.get("method", "")
    next_against = _described(result.baseline, None, result.points) if result.baseline else "nothing yet"
    return f"by {method}, drift above {number(last.threshold)}; the next run is compared with {next_against}"


def _described(baseline: Baseline, run: Point | None, points: Sequence[Point] = ()) -> str:
    if baseline.window is not None:
        return f"the runs of the {times.format_duration(baseline.window)} before it"
    known = run or next((point for point in points if point.run_seq == baseline.run_seq), None)
    return f"run {known.run_id}" if known else f"run number {baseline.run_seq}"


def _version_json(version: StoredVersion) -> dict[str, Json]:
    return {"feature": version.id.feature, "version": version.number, "sha256": version.id.sha256}


def _point_json(point: Point) -> dict[str, Json]:
    verdict: dict[str, Json] = dict(point.verdict) or {"detected": False, "status": point.status, "score": None}
    return {
        "run_id": point.run_id,
        "run_seq": point.run_seq,
        "started_at": times.format_instant(point.started_at),
        **verdict,
    }


def _baseline_json(baseline: Baseline) -> dict[str, Json]:
    window = None if baseline.window is None else times.format_duration(baseline.window)
    return {"run_seq": baseline.run_seq, "window": window, "method": baseline.method}
