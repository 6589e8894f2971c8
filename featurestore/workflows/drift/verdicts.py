"""The samples that runs kept, and what they say when they are measured again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from featurestore.drift.assess import Reference
from featurestore.drift.measure import first, measure
from featurestore.drift.sample import Sample, unpack_sample
from featurestore.model import Json, VersionId
from featurestore.offline.contract import OfflineStore
from featurestore.workflows.drift.baseline import between
from featurestore.workflows.drift.timeline import Point


class Samples:
    """The kept samples of one version."""

    def __init__(self, store: OfflineStore, version: VersionId) -> None:
        self._store, self._version = store, version
        self._learned = store.learned()
        self._numbers = {item.run_id: item.run_seq for item in self._learned}

    def current(self, point: Point) -> Sample | None:
        """What the point's own run kept. Raises ValueError for damaged bytes."""
        blob = self._store.sample(self._version, point.run_seq)
        return None if blob is None else unpack_sample(blob)

    def reference(self, point: Point) -> Reference | None:
        """What the point's run was compared with; None where it was the reference itself, or that is gone."""
        last = self._numbers.get(point.reference_run or "")
        if last is None:
            return None
        since = point.verdict.get("reference_since")
        start = self._numbers.get(since, last) if isinstance(since, str) else last
        method = point.verdict.get("method")
        return between(
            self._store, self._version, self._learned, start, last, method=method if isinstance(method, str) else None
        )


def measure_again(samples: Samples, point: Point) -> Mapping[str, Json] | None:
    """The verdict of a point once more; None where a sample is missing or the recorded verdict is an error."""
    current = samples.current(point)
    if current is None or point.status.startswith("error"):
        return None
    if point.reference_run is None:
        method = point.verdict.get("method")
        pinned = replace(current.facts, method=method) if isinstance(method, str) else current.facts
        return first(Sample(current.values, pinned), threshold=point.threshold).json()
    reference = samples.reference(point)
    if reference is None:
        return None
    verdict = measure(reference.sample(), current, threshold=point.threshold, reference_run=point.reference_run)
    return replace(verdict, reference_since=reference.since).json()
