"""Verdicts on drift, and what a run is compared with, in words: what text and Markdown both say."""

from __future__ import annotations

from collections.abc import Sequence

from featurestore import times
from featurestore.offline.contract import Baseline
from featurestore.render.words import number
from featurestore.workflows.drift.timeline import DriftResult, Point

BY_CHANCE = "within chance"


def verdict(point: Point) -> str:
    """The status of a run's verdict with its reasons.

    A score above the threshold is no drift where chance alone gives as much; that is said, or it looks like a mistake.
    """
    if point.reasons:
        return f"{point.status}: {', '.join(point.reasons)}"
    return f"{point.status}: {BY_CHANCE}" if is_above(point) and not point.detected else point.status


def is_above(point: Point) -> bool:
    """Whether the score is above its threshold, which alone is no drift."""
    return point.score is not None and point.threshold is not None and point.score > point.threshold


def measured_by(result: DriftResult) -> str:
    """How a feature's drift is measured, and what its next run is compared with."""
    last = result.points[-1]
    method = result.baseline.method if result.baseline and result.baseline.method else last.verdict.get("method", "")
    described = f"by {method}, drift above {number(last.threshold)}"
    if result.baseline is None:
        return f"{described}; there is no reference yet"
    return f"{described}; the next run is compared with {compared_with(result.baseline, None, result.points)}"


def compared_with(baseline: Baseline, run: Point | None, points: Sequence[Point] = ()) -> str:
    """A reference in words: its run, where that is known, or the span of time that it covers."""
    if baseline.window is not None:
        return f"the runs of the {times.format_duration(baseline.window)} before it"
    reference = run or next((point for point in points if point.run_seq == baseline.run_seq), None)
    return f"run {reference.run_id}" if reference else f"run number {baseline.run_seq}"
