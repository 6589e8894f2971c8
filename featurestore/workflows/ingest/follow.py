"""Follows streams: one bounded run after another, until somebody ends it. The lock is let go between two runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from featurestore import times
from featurestore.config import Project
from featurestore.errors import CancelledError, FeatureStoreError, LockedError, NewerFormatError, StoreError, UsageError
from featurestore.frozen import frozen
from featurestore.model import VersionId
from featurestore.offline.contract import OfflineStore
from featurestore.progress import SILENT, Progress
from featurestore.sources.types import STREAMS
from featurestore.workflows.ingest.ingest import IngestRequest, IngestResult, ingest

EVERY = "10s"
MOST_ROWS = 100_000
DRIFT_SECONDS = 3600.0


@frozen
class FollowRound:
    """One run, or why it could not be made, and when (µs)."""

    at: int
    result: IngestResult | None = None
    error: FeatureStoreError | None = None


def follow(
    project: Project,
    store: OfflineStore,
    request: IngestRequest,
    every_s: float,
    *,
    most_rows: int = MOST_ROWS,
    sleep: Callable[[float], object] = time.sleep,
    now: Callable[[], float] = time.monotonic,
    progress: Progress = SILENT,
) -> Iterator[FollowRound]:
    """Makes a run of at most about ``most_rows`` records of each stream, waits until ``every_s`` seconds have passed
    since it began, and so on, until ``progress`` is cancelled or the caller stops iterating. Where records are left the
    next run follows at once. Drift is measured in the first run, and in the first of each hour that stores values, over
    all values that were stored since it was measured last.

    A store or a source that can't be reached, and a lock that is held, never end it; other errors do before a run has
    succeeded, and NewerFormatError always. Raises UsageError where no source is a stream.
    """
    request = streams_of(project, request)
    measured: float | None = None
    succeeded = False
    since: dict[VersionId, int] = {}
    while True:
        began = now()
        due = request.drift and (measured is None or began - measured >= DRIFT_SECONDS)
        options = replace(request.options, limit=most_rows)
        more = False
        try:
            result = ingest(project, store, replace(request, options=options, drift=due, drift_since=since), progress)
        except (NewerFormatError, CancelledError):
            raise
        except FeatureStoreError as exc:
            if not (succeeded or isinstance(exc, StoreError | LockedError)):
                raise
            yield FollowRound(times.now(), error=exc)
        else:
            succeeded, more = True, result.more
            if due and result.run.run_seq is not None:
                measured = began
                for item in result.run.features:
                    if item.drift is not None and item.sha256 is not None:
                        since[VersionId(item.name, item.sha256)] = result.run.run_seq
            request = replace(request, options=replace(request.options, restart=(), full=False))
            yield FollowRound(times.now(), result=result)
        progress.check()
        if not more:
            sleep(max(0.0, every_s - (now() - began)))
        progress.check()


def streams_of(project: Project, request: IngestRequest) -> IngestRequest:
    """The request for streams alone. Raises UsageError where there is none, or another source is named."""
    others = [name for name in request.sources if name in project.sources and project.sources[name].type not in STREAMS]
    if others:
        raise UsageError(f"--follow is for streams, and source {others[0]} is {project.sources[others[0]].type}")
    streams = tuple(name for name, source in project.sources.items() if source.type in STREAMS)
    if not streams:
        raise UsageError("--follow is for streams, and no source is one", hint="featurestore ingest reads all others")
    return replace(request, sources=request.sources or streams)
