"""One source's turn in a run: what both ways of computing it share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING

from featurestore import times
from featurestore.config import Project
from featurestore.frozen import frozen
from featurestore.model import KeyType, Source, VersionId
from featurestore.offline.contract import Position
from featurestore.progress import Progress
from featurestore.workflows.ingest.events import IngestOptions
from featurestore.workflows.ingest.needs import Needs
from featurestore.workflows.ingest.taken import Taken, read_taken

if TYPE_CHECKING:
    import polars as pl

# A position with rows that were ahead of the clock says in its fingerprint when the first of them is due.
DUE = " due "
FUTURE_TOLERANCE = 5 * 60 * 1_000_000
"""How far ahead of the clock a row may be and count all the same (µs)."""


@frozen
class Turn:
    """``keys`` are read as keys. ``clock`` (µs) is the time after which rows are set aside, ``latest`` the same, None
    where rows ahead of the clock are taken. ``moment`` (µs) is the present; in a step of a backfill it is later than
    the clock. ``last`` is what the last committed run has taken of the source.
    ``deleted`` has the marks of deleted entities (`offline.contract.History.deletions`) by entity type, those that come
    with this run as soon as they are known. ``looks_back``
    is a feature that reads the source with a lookback, where there is one; ``needs`` are the columns that are read.
    ``now`` (µs) is the clock of the run, up to which windows are known after it, and ``due`` has the entities of each
    version with steps of which something fell due since the last run. ``past`` are batches of a stream that went past
    its retention, each with its latest event time (µs).
    """

    project: Project
    source: Source
    keys: Mapping[str, KeyType]
    options: IngestOptions
    progress: Progress
    clock: int
    moment: int
    last: Taken | None
    deleted: dict[str, pl.DataFrame]
    now: int
    due: dict[VersionId, pl.DataFrame] = field(default_factory=dict)
    looks_back: str | None = None
    needs: Needs | None = None
    past: Mapping[str, int] = field(default_factory=dict)

    @property
    def keeping(self) -> str | None:
        """Why rows are kept after the run; None where they are not."""
        if self.source.keep_parsed:
            return "they are to be kept"
        if self.source.keep is not None:
            return f'keep = "{times.format_duration(self.source.keep)}" asks for it'
        if self.source.updated_at is not None:
            return "updated_at needs them: a state that comes late is told by what is held"
        if self.source.known_at is not None and self.source.id:
            return "known_at needs them: a row that moves was known where it was"
        return None if self.looks_back is None else f"the lookback of {self.looks_back} needs them"

    @property
    def latest(self) -> int | None:
        return None if self.options.allow_future else self.clock


THIS_RUN = (1 << 63) - 1
"""The number of the run that is being made, after all that are committed."""


def mark_due(fingerprint: str, due: int | None) -> str:
    """A fingerprint that also says when the first row or result that is ahead of the clock is due."""
    return fingerprint if due is None else f"{fingerprint}{DUE}{due}"


def mark_coming(fingerprint: str, first: int | None) -> str:
    """A fingerprint that also says when the first coming step is due: it falls due at the run's clock itself."""
    if first is None:
        return fingerprint
    taken, _, due = fingerprint.partition(DUE)
    coming = first + FUTURE_TOLERANCE
    return mark_due(taken, min(coming, int(due)) if due else coming)


def deleted_since(deleted: pl.DataFrame, position: Position) -> bool:
    """Whether an entity was deleted after a position was committed: what holds of it is written again.

    A snapshot deletes from its run on, when only rows ahead of the clock are dated later; what they gave is written
    again by a run after it. An entity that returned was still deleted for what that run evaluated.
    """
    back = deleted.filter(deleted["author"] == "returned")["run_seq"].max()
    if isinstance(back, int) and back >= position.run_seq:
        return True
    by_snapshot = deleted["author"] == "snapshot"
    others = deleted.filter(~by_snapshot)["run_seq"].max()
    if isinstance(others, int) and others > position.run_seq:
        return True
    run_seq = deleted["run_seq"]
    gone = deleted.filter(by_snapshot & (run_seq >= position.run_seq) & (run_seq != THIS_RUN))
    return gone.height > 0 and _has_rows_after(position, int(gone["deleted_at"].to_physical().min()))  # type: ignore[arg-type]


def _has_rows_after(position: Position, instant: int) -> bool:
    """Whether a row that was taken is dated after an instant (µs), as far as is known."""
    taken = read_taken(position.cursor)
    if taken is None:
        return True
    latest = max((each.high for each in taken.times.values() if each.high is not None), default=times.MIN_INSTANT)
    return min(latest, taken.clock or latest) > instant
