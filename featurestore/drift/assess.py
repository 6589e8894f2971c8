"""Assesses what a run wrote of one feature: its statistics, its sample and its drift verdict.

`assess` never raises: the values are stored whether or not they can be measured, and the verdict reports what went
wrong.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from featurestore.drift.measure import first_verdict, measure
from featurestore.drift.methods import method_for
from featurestore.drift.row_values import describe_rows
from featurestore.drift.sample import Sample, draw, pack_sample, pool, unpack_sample
from featurestore.drift.verdict import Verdict
from featurestore.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from featurestore.config import DriftSettings
    from featurestore.drift.row_values import RowValues
    from featurestore.model import DataType, Json


@frozen
class ReferenceRuns:
    """The run or runs that a feature is compared with, by their stored samples, oldest first.

    ``run_id`` is that of the newest run; ``since`` that of the oldest if there are several. ``method`` is the drift
    method that was stored with the reference, None to take the samples'. ``sha256`` is the version that the runs wrote.
    """

    run_id: str
    blobs: tuple[bytes, ...]
    since: str | None = None
    method: str | None = None
    sha256: str | None = None

    def sample(self) -> Sample:
        """The samples of all runs as one. Raises ValueError for damaged bytes."""
        samples = [unpack_sample(blob) for blob in self.blobs]
        pooled = pool(samples, seed=samples[0].facts.seed)
        return Sample(pooled.values, replace(pooled.facts, method=self.method or pooled.facts.method))


@frozen
class Assessment:
    """What one run wrote of one feature, measured. ``sample`` is None only if not even the sample could be drawn."""

    verdict: Mapping[str, Json]
    statistics: Mapping[str, Json]
    sample: bytes | None


def assess(
    rows: RowValues,
    data_type: DataType,
    settings: DriftSettings,
    *,
    reference: ReferenceRuns | None,
    seed: int,
    previous: ReferenceRuns | None = None,
    learned_at: int | None = None,
    along: ReferenceRuns | None = None,
) -> Assessment:
    """Statistics, sample and verdict of the rows that a run wrote or corrected.

    Args:
        rows: At least one row.
        data_type: The type of ``value``.
        settings: Those of the feature (`DriftSettings.of`).
        reference: What this version is compared with; None makes this run the reference.
        previous: The version before, for a version's first run.
        seed: The same for all runs of a version.
        learned_at: When the run's values were learned (µs), for their freshness.
        along: Runs before this one whose values are judged together with its own.
    """
    statistics: dict[str, Json] = {}
    blob: bytes | None = None
    verdict: dict[str, Json]
    try:
        before = reference.sample() if reference else None
        statistics = describe_rows(rows, data_type, learned_at=learned_at, edges=before.facts.edges if before else None)
        method = before.facts.method if before else settings.method
        sample = draw(rows.values, data_type, statistics, method=method, seed=seed, limit=settings.sample)
        blob = pack_sample(sample)
        judged = sample if along is None else pool([*map(unpack_sample, along.blobs), sample], seed=seed)
        since = None if along is None else along.since or along.run_id
        verdict = replace(_judge(judged, before, settings, reference), since=since).json()
        if reference is None and previous is not None:
            beside = _judge(sample, previous.sample(), settings, previous)
            verdict["previous_version"] = {"sha256": previous.sha256, **beside.json()}
    except Exception as exc:  # noqa: BLE001  # measuring must not cost the run its values: it is reported instead
        verdict = _failed(exc, settings, reference).json()
    return Assessment(verdict, statistics, blob)


def _judge(sample: Sample, before: Sample | None, settings: DriftSettings, reference: ReferenceRuns | None) -> Verdict:
    """The verdict of a sample: compared with the reference's, or as the first of its version.

    The configured threshold applies only if it was set for the method that was stored with the reference.
    """
    method = method_for((before or sample).facts.method, before or sample)
    threshold = settings.threshold if method.name == settings.method else None
    if before is None or reference is None:
        return first_verdict(sample, threshold=threshold)
    verdict = measure(before, sample, threshold=threshold, reference_run=reference.run_id)
    return replace(verdict, reference_since=reference.since)


def _failed(exc: Exception, settings: DriftSettings, reference: ReferenceRuns | None) -> Verdict:
    reason = " ".join(f"{type(exc).__name__}: {exc}".split())[:200]
    return Verdict(
        method=settings.method,
        threshold=settings.threshold or 0.1,
        status=f"error: {reason}",
        reference_run=reference.run_id if reference else None,
    )
