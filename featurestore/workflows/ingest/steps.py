"""The steps of a backfill, and which targets a step has."""

from __future__ import annotations

from collections.abc import Sequence

from featurestore.errors import UsageError
from featurestore.offline.contract import OfflineStore
from featurestore.times import format_instant, now
from featurestore.workflows.ingest.events import IngestOptions, Step
from featurestore.workflows.ingest.taken import read_taken
from featurestore.workflows.ingest.targets import Target


def backfill_bounds(since: int | None, until: int | None, length: int | None, *, full: bool) -> tuple[int, int] | None:
    """From when to when (µs) a backfill goes; None where an ordinary run is asked for. Raises UsageError."""
    if since is None and (until is not None or length is not None):
        raise UsageError("--until and --step are parts of a backfill: they need --since")
    if full and (until is not None or length is not None):
        raise UsageError("--full computes all at once: it takes --since, and neither --until nor --step")
    return None if since is None or full else (since, now() if until is None else until)


def cut_steps(since: int, until: int, length: int | None) -> list[Step]:
    """Consecutive steps of at most ``length`` µs (None: one) from one instant up to another. Raises UsageError."""
    if until <= since:
        raise UsageError(
            f"--until {format_instant(until)} is not after --since {format_instant(since)}",
            hint="--since is included, --until is not",
        )
    if length is not None and length <= 0:
        raise UsageError("--step must be longer than 0", hint="for example --step 30d")
    ends = [] if length is None else list(range(since + length, until, length))
    return [*(Step(end, last=False) for end in ends), Step(until, last=True)]


def backfilled(store: OfflineStore, targets: Sequence[Target], options: IngestOptions) -> list[Target]:
    """The targets that a step is for: versions of the working tree that are not that far yet.

    Under ``--full`` all of them. Raises UsageError for a version that was ingested otherwise.
    """
    if options.step is None:
        return list(targets)
    chosen: list[Target] = []
    for target in targets:
        name, source = target.feature.name, target.source
        if target.feature.sources:
            raise UsageError(
                f"{name} can't be backfilled: it is made of several sources, {target.feature.source_name}",
                hint=f"featurestore ingest {name} reads them as a whole",
            )
        if source.event_time is None:
            raise UsageError(
                f"{name} can't be backfilled: its source {source.name!r} has no event_time",
                hint=f"featurestore ingest {name} reads it as a whole",
            )
        if target.hashed is None:
            continue  # an older version, which is active still and has its values
        position = store.position(target.version.id, source.name)
        taken = None if position is None else read_taken(position.cursor)
        if position is not None and (taken is None or taken.since is None or taken.since != options.since):
            raise UsageError(
                f"version {target.version.number} of {name} has values already, and is not backfilled",
                hint=f"featurestore ingest {name} --full --since T computes all from T on, --full alone all",
            )
        if taken is None or taken.clock is None or taken.clock < options.step.until - 1:
            chosen.append(target)
    return chosen
