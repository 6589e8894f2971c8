"""What ingest calls for each feature after its rows are written: one function, which never raises.

    assess(
        rows: pl.DataFrame,            # Written.values: the key columns, computed_at, value; sorted by the keys
        keys: Sequence[str],           # the names of the key columns
        data_type: DataType,
        settings: DriftSettings,       # those of the feature: DriftSettings.of(name, tags)
        *,
        reference: Reference | None,   # what this version is compared with; None makes this run the reference
        previous: Reference | None,    # the version before, for a version's first run
        seed: int,                     # int(sha256[:8], 16): the same for all runs of a version
        learned_at: int | None = None, # µs, for freshness
    ) -> Assessment                    # .verdict and .statistics for FeatureRun, .sample for the store

The store keeps ``sample`` for (feature, sha256, run_seq) whenever rows were written. An assessment of no
rows is not worth asking for (a run that writes nothing records no point).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from featurestore.drift.measure import first, measure
from featurestore.drift.methods import method_for
from featurestore.drift.sample import Sample, draw, pack_sample, pool, unpack_sample
from featurestore.drift.statistics import describe_rows
from featurestore.drift.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

    from featurestore.config import DriftSettings
    from featurestore.model import DataType, Json


@dataclass(frozen=True, slots=True)
class Reference:
    """The run or runs that a feature is compared with: the newest one's id, and the samples the store kept.

    ``since`` is the oldest run's id where there are several. ``method`` is pinned with the reference; None
    leaves it to the samples. ``sha256`` is told where the reference is another version's.
    """

    run_id: str
    blobs: tuple[bytes, ...]
    since: str | None = None
    method: str | None = None
    sha256: str | None = None

    def sample(self) -> Sample:
        """All of it as one sample. Raises ValueError for damaged bytes."""
        samples = [unpack_sample(blob) for blob in self.blobs]
        pooled = pool(samples, seed=samples[0].facts.seed)
        return Sample(pooled.values, replace(pooled.facts, method=self.method or pooled.facts.method))


@dataclass(frozen=True, slots=True)
class Assessment:
    """What one run says of one feature. ``sample`` is None only where even sampling failed."""

    verdict: Mapping[str, Json]
    statistics: Mapping[str, Json]
    sample: bytes | None


def assess(
    rows: pl.DataFrame,
    keys: Sequence[str],
    data_type: DataType,
    settings: DriftSettings,
    *,
    reference: Reference | None,
    seed: int,
    previous: Reference | None = None,
    learned_at: int | None = None,
) -> Assessment:
    """Statistics, sample and verdict of the rows that a run wrote or corrected. See the module for the arguments."""
    statistics: dict[str, Json] = {}
    blob: bytes | None = None
    verdict: dict[str, Json]
    try:
        before = reference.sample() if reference else None
        statistics = describe_rows(
            rows, keys, data_type, learned_at=learned_at, edges=before.facts.edges if before else None
        )
        method = before.facts.method if before else settings.method
        sample = draw(rows["value"], data_type, statistics, method=method, seed=seed, limit=settings.sample)
        blob = pack_sample(sample)
        verdict = judge(sample, before, settings, reference).json()
        if reference is None and previous is not None:
            told = judge(sample, previous.sample(), settings, previous)
            verdict["previous_version"] = {"sha256": previous.sha256, **told.json()}
    except Exception as exc:  # noqa: BLE001  # whatever it is, the values are written: it is reported, not raised
        verdict = _failed(exc, settings, reference).json()
    return Assessment(verdict, statistics, blob)


def judge(sample: Sample, before: Sample | None, settings: DriftSettings, reference: Reference | None) -> Verdict:
    """The verdict of a sample: against the reference's, or as the first of its version.

    A threshold that was set for another method than the one pinned with the reference does not apply.
    """
    method = method_for((before or sample).facts.method, before or sample)
    threshold = settings.threshold if method.name == settings.method else None
    if before is None or reference is None:
        return first(sample, threshold=threshold)
    verdict = measure(before, sample, threshold=threshold, reference_run=reference.run_id)
    return replace(verdict, reference_since=reference.since)


def _failed(exc: Exception, settings: DriftSettings, reference: Reference | None) -> Verdict:
    reason = " ".join(f"{type(exc).__name__}: {exc}".split())[:200]
    return Verdict(
        method=settings.method,
        threshold=settings.threshold or 0.1,
        status=f"error: {reason}",
        reference_run=reference.run_id if reference else None,
    )
