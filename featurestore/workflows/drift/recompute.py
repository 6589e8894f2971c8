"""Computes recorded verdicts again, from the samples that are stored with the runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from featurestore.config import Project
from featurestore.drift.assess import ReferenceRuns
from featurestore.drift.measure import first_verdict, measure
from featurestore.drift.sample import Sample, pool, unpack_sample
from featurestore.frozen import frozen
from featurestore.model import Json, StoredVersion, VersionId
from featurestore.offline.contract import OfflineStore
from featurestore.progress import SILENT, Progress
from featurestore.workflows.drift.overview import watched_versions
from featurestore.workflows.drift.reference import MOST_TOGETHER, pool_runs
from featurestore.workflows.drift.timeline import Point, points_of
from featurestore.workflows.references import resolve_one


@frozen
class Recomputed:
    """A recorded verdict beside the recomputed one; ``again`` is None where it can't be computed."""

    version: StoredVersion
    point: Point
    again: Mapping[str, Json] | None

    @property
    def differs(self) -> tuple[str, ...]:
        """The keys in which the two verdicts differ by more than rounding."""
        if self.again is None:
            return ()
        return tuple(key for key, value in self.again.items() if not _is_same(self.point.verdict.get(key), value))


def _is_same(recorded: Json, again: Json) -> bool:
    """Whether two values are equal; numbers up to their last digits, which NumPy rounds as the processor does best."""
    if isinstance(recorded, float) and isinstance(again, float):
        return math.isclose(recorded, again, rel_tol=1e-9, abs_tol=1e-12)
    return recorded == again


class StoredSamples:
    """The stored samples of one version."""

    def __init__(self, store: OfflineStore, version: VersionId) -> None:
        self._store, self._version = store, version
        self._learned = store.committed_runs()
        self._numbers = {item.run_id: item.run_seq for item in self._learned}

    def current(self, point: Point) -> Sample | None:
        """The sample of the point's own run, or of all that were judged together with it.

        None if it is not stored. Raises ValueError for damaged bytes.
        """
        first = self._numbers.get(str(point.verdict.get("since")), point.run_seq)
        blobs = self._store.samples(self._version, first, point.run_seq, MOST_TOGETHER)
        if point.run_seq not in blobs:
            return None
        samples = [unpack_sample(blob) for blob in blobs.values()]
        pooled = pool(samples, seed=samples[0].facts.seed)
        remade = any(sample.facts.remade for sample in samples)
        return Sample(pooled.values, replace(pooled.facts, remade=remade))

    def reference(self, point: Point) -> ReferenceRuns | None:
        """What the point's run was compared with; None if it was the reference itself, or that is not stored."""
        last = self._numbers.get(point.reference_run or "")
        if last is None:
            return None
        since = point.verdict.get("reference_since")
        start = self._numbers.get(since, last) if isinstance(since, str) else last
        method = point.verdict.get("method")
        return pool_runs(
            self._store, self._version, self._learned, start, last, method=method if isinstance(method, str) else None
        )


def recompute(
    project: Project, store: OfflineStore, name: str | None = None, *, progress: Progress = SILENT
) -> list[Recomputed]:
    """Recomputes every recorded verdict of one feature (``name``, ``name@2``), or of all; they should be equal.

    Raises UsageError for a name that is not a feature's.
    """
    versions = watched_versions(project, store) if name is None else [resolve_one(project, store, name)]
    results = []
    with store.reading():
        for at, version in enumerate(versions, start=1):
            progress(f"recomputing {version.id.feature}: {at} of {len(versions)}")
            samples = StoredSamples(store, version.id)
            for point in points_of(store, version):
                progress.check()
                if point.verdict:
                    results.append(Recomputed(version, point, _measure_again(samples, point)))
    return results


def _measure_again(samples: StoredSamples, point: Point) -> Mapping[str, Json] | None:
    """The recomputed verdict of a point.

    None if a sample is missing, or was drawn again after an erasure, or the recorded verdict is an error.
    """
    current = samples.current(point)
    if current is None or current.facts.remade or point.status.startswith("error"):
        return None
    if point.reference_run is None:
        method = point.verdict.get("method")
        facts = replace(current.facts, method=method) if isinstance(method, str) else current.facts
        return first_verdict(Sample(current.values, facts), threshold=point.threshold).json()
    reference = samples.reference(point)
    if reference is None:
        return None
    before = reference.sample()
    if before.facts.remade:
        return None
    verdict = measure(before, current, threshold=point.threshold, reference_run=point.reference_run)
    since = point.verdict.get("since")
    verdict = replace(verdict, since=since if isinstance(since, str) else None)
    return replace(verdict, reference_since=reference.since).json()
