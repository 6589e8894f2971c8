"""What a run is asked for, and what computing it gives, one event at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING

from featurestore.frozen import frozen
from featurestore.model import EntityType, Problem, RejectedRow, Scalar, Scope, Source, StoredVersion
from featurestore.offline.contract import Position
from featurestore.sources.contract import Cursor
from featurestore.workflows.ingest.set_aside import SetAside
from featurestore.workflows.ingest.streams import Stream
from featurestore.workflows.ingest.targets import Target

if TYPE_CHECKING:
    import polars as pl

    from featurestore.evaluation.results import FeatureValues
    from featurestore.workflows.ingest.evaluating import Comparison, ValuesPart
    from featurestore.workflows.ingest.stepping import StepsPart


@frozen
class Step:
    """One step of a backfill: what is dated before ``until`` (µs). ``last`` says that no other one follows."""

    until: int
    last: bool


@frozen
class IngestOptions:
    """The flags of ``ingest`` that decide what is computed and which rows are rejected.

    The streams of ``restart`` begin where their settings say. About ``limit`` rows are fetched of each stream. Nothing
    is written that is dated before ``since`` (µs); ``step`` is that of a backfill.
    """

    input: str | None = None
    full: bool = False
    strict: bool = False
    allow_future: bool = False
    allow_shrunk: bool = False
    dry_run: bool = False
    restart: tuple[str, ...] = ()
    limit: int | None = None
    since: int | None = None
    step: Step | None = None


@frozen
class Read:
    """A source was read: which of its rows were rejected, what to warn of, and the types inferred for its columns.

    ``widened`` are the types of pinned columns that have another one from now on. ``lacking`` are sentences:
    which columns new rows lack that earlier ones had. ``columns`` are all that the source has.
    """

    source: Source
    rejected: tuple[RejectedRow, ...]
    warnings: tuple[str, ...]
    inferred: Mapping[str, Scalar]
    widened: Mapping[str, Scalar] = field(default_factory=dict)
    lacking: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()


@frozen
class Came:
    """What came of a source that can't be read again, to be stored once for all targets."""

    stream: Stream


@frozen
class Present:
    """Who is in a snapshot: ``entities`` has the key columns, those of rows that were set aside among them.

    ``untold`` are rows that were set aside and don't say whose they are. ``versions`` read the source. ``moves`` is
    what follows from it; None until that is known.
    """

    source: Source
    entity_type: EntityType
    entities: pl.DataFrame
    untold: int
    versions: tuple[StoredVersion, ...]
    moves: Moves | None = None


@frozen
class Moves:
    """Who is gone from a snapshot and deleted from the instant ``at`` (µs) on, and who is back (frames of key columns).

    ``refusal`` says who is gone and why nobody is deleted.
    """

    at: int
    gone: pl.DataFrame
    back: pl.DataFrame
    refusal: str | None = None


@frozen
class Noticed:
    """What was met while the rows of a source were evaluated, and should be known."""

    warnings: tuple[str, ...]


@frozen
class Frozen:
    """``rows`` came late: they lie at or before ``until`` (µs), up to which values stay as they are."""

    until: int
    rows: int


@frozen
class SourcePosition:
    """How far a target has come in one of its sources."""

    source: str
    fingerprint: str
    cursor: Cursor


@frozen
class Computed:
    """One target's rows, ready to be stored, and the position to store with them; of several sources also the others'.

    ``cursor`` is that of the source; an ``--input`` does not move it. ``comparison`` says what of the history is
    compared with the rows beside their own pairs, ``reason`` why ``rows_computed`` rows were evaluated, and
    ``rows_older`` how many new rows changed nothing, because a later ``updated_at`` is held. Where there are ``parts``,
    all values are in these; ``steps`` are what there is to store of a window, and ``result`` is empty then.
    """

    target: Target
    result: FeatureValues
    rows_read: int
    rows_rejected: int
    fingerprint: str
    cursor: Cursor
    scope: Scope
    rows_computed: int = 0
    reason: str | None = None
    rows_older: int = 0
    comparison: Comparison | None = None
    parts: Sequence[ValuesPart] = ()
    steps: Sequence[StepsPart] = ()
    frozen: Frozen | None = None
    others: Sequence[SourcePosition] = ()

    @property
    def positions(self) -> Sequence[SourcePosition]:
        """How far it has come in each of its sources."""
        return (SourcePosition(self.target.source.name, self.fingerprint, self.cursor), *self.others)

    @property
    def height(self) -> int:
        """How many values it has."""
        steps = sum(part.height for part in self.steps)
        return steps + self.result.frame.height + sum(part.frame.height for part in self.parts)

    def frames(self) -> Iterator[pl.DataFrame]:
        """Its values, a part at a time: keys, computed_at and value; of a feature without times without computed_at."""
        if not self.steps:
            yield self.result.frame
        yield from (part.frame.read() for part in self.parts)
        yield from (part.read().values for part in self.steps)


@frozen
class Unchanged:
    """A target that has taken these very rows already, but for those that were set aside then and still are."""

    target: Target
    positions: Sequence[Position]
    set_aside: SetAside | None = None


@frozen
class Empty:
    """A target of a source of which nothing ever came."""

    target: Target


@frozen
class Failed:
    """A target that can't be computed; nothing of it may be stored."""

    target: Target
    problem: Problem
    rows_read: int = 0
    rows_rejected: int = 0


Event = Read | Present | Came | Noticed | Computed | Unchanged | Empty | Failed
