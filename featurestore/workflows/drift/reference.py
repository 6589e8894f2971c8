"""Finds what a version's runs are compared with."""

from __future__ import annotations

from collections.abc import Sequence

from featurestore import times
from featurestore.drift.assess import ReferenceRuns
from featurestore.drift.measure import LEAST_VALUES
from featurestore.drift.sample import unpack_sample
from featurestore.model import VersionId
from featurestore.offline.contract import Baseline, CommittedRun, OfflineStore

MOST_RUNS = 200
MOST_TOGETHER = 2_000
"""Runs whose values are judged together: more than a stream makes in an hour."""


def find_reference(
    store: OfflineStore, version: VersionId, learned: Sequence[CommittedRun], *, now: int | None = None
) -> ReferenceRuns | None:
    """What a run at ``now`` (µs, the clock's time if None) of a version is compared with; None for its first run.

    A rolling reference is the runs in its window before ``now``, at most the newest `MOST_RUNS`. If there are none in
    the window, it is the newest run before it.
    """
    baseline = find_baseline(store, version)
    if baseline is None:
        return None
    if baseline.window is None:
        blob = None if baseline.run_seq is None else store.sample(version, baseline.run_seq)
        if blob is None or baseline.run_seq is None:
            return None
        return ReferenceRuns(_run_ids(learned)[baseline.run_seq], (blob,), method=baseline.method)
    past = [item for item in learned if now is None or item.learned_at < now]
    start = (times.now() if now is None else now) - baseline.window
    inside = [item.run_seq for item in past if item.learned_at >= start]
    runs = pool_runs(store, version, learned, inside[0], inside[-1], method=baseline.method) if inside else None
    if runs is None and past:
        runs = pool_runs(store, version, learned, past[0].run_seq, past[-1].run_seq, method=baseline.method, limit=1)
    return runs


def find_baseline(store: OfflineStore, version: VersionId) -> Baseline | None:
    """What a version's next run is compared with; None before its first.

    Where nobody has named a reference it is the first run, or where that has too few values to be compared with, the
    first of the newest `MOST_RUNS` that has enough.
    """
    baseline = store.reference(version)
    if baseline is None or baseline.run_seq is None or baseline.method is not None:
        return baseline
    blob = store.sample(version, baseline.run_seq)
    if blob is None or not _is_too_small(blob):
        return baseline
    later = store.samples(version, baseline.run_seq + 1, (1 << 62), MOST_RUNS)
    enough = (run_seq for run_seq, blob in later.items() if not _is_too_small(blob))
    return Baseline(next(enough, baseline.run_seq))


def _is_too_small(blob: bytes) -> bool:
    try:
        facts = unpack_sample(blob).facts
    except ValueError:  # damaged: said where it is measured
        return False
    return facts.kind != "none" and facts.finite < LEAST_VALUES


def find_previous(store: OfflineStore, version: VersionId, learned: Sequence[CommittedRun]) -> ReferenceRuns | None:
    """All stored samples of the version before, with which a version's first run is also compared."""
    last = store.last_committed(version.feature)
    if last is None or last == version or not learned:
        return None
    return pool_runs(store, last, learned, learned[0].run_seq, learned[-1].run_seq)


def pool_runs(
    store: OfflineStore,
    version: VersionId,
    learned: Sequence[CommittedRun],
    first: int,
    last: int,
    *,
    method: str | None = None,
    limit: int = MOST_RUNS,
) -> ReferenceRuns | None:
    """The runs from ``first`` to ``last`` (run_seq) as one reference, at most the newest ``limit`` of them.

    None if no sample of them is stored.
    """
    samples = store.samples(version, first, last, limit)
    if not samples:
        return None
    ids = _run_ids(learned)
    runs = list(samples)
    since = ids[runs[0]] if len(runs) > 1 else None
    return ReferenceRuns(ids[runs[-1]], tuple(samples.values()), since, method, version.sha256)


def _run_ids(learned: Sequence[CommittedRun]) -> dict[int, str]:
    return {item.run_seq: item.run_id for item in learned}
