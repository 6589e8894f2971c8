"""The offline store's contract. DuckDB and PostgreSQL implement it; one suite of tests proves both.

A store hands over sorted columns and takes sorted columns; it knows nothing of features' code, of
joins or of files. History is one table per version: the entity's keys by name, ``computed_at`` (when
the value was true), ``run_seq`` (when it was learned), ``op`` (0 a value, 1 a tombstone) and ``value``
in its own type. Instants are microseconds, UTC, without a zone (``pl.Datetime("us")``).

No connection outlives a call: even a reader blocks a DuckDB writer. Only `writing` holds one, for the
length of its transaction, under the project's lock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from featurestore.model import Json, RejectedRow, Run, StoredVersion, VersionId
from featurestore.offline.partitions import EVERYTHING, Keys, Span

if TYPE_CHECKING:
    import polars as pl

VALUE, TOMBSTONE = 0, 1


@dataclass(frozen=True, slots=True)
class Position:
    """How far a version has read a source: what makes a second ingest of the same rows a no-op.

    Only the source understands ``cursor``.
    """

    version: VersionId
    source: str
    fingerprint: str
    cursor: Json
    run_seq: int


@dataclass(frozen=True, slots=True)
class Written:
    """What a write did: row counts, and the values that were written or corrected (for statistics).

    ``values`` has the columns of the frame that was written, without those rows already held.
    """

    new: int
    corrected: int
    unchanged: int
    values: pl.DataFrame


@dataclass(frozen=True, slots=True)
class Learned:
    """One committed run as time sees it: its place in the order, and when its rows were learned (µs)."""

    run_seq: int
    run_id: str
    learned_at: int


@dataclass(frozen=True, slots=True)
class Baseline:
    """What a version's runs are compared with: one run, or all runs of the last ``window`` µs before each.

    ``method`` is the drift method pinned with it; None where the sample itself has it.
    """

    run_seq: int | None
    window: int | None = None
    method: str | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """What a version's table holds, in few words: equal marks, equal rows.

    ``store_id`` names the store and everything ever removed from it; ``run_seq`` is the greatest in the table
    and ``run_id`` the id of that run, which a store set back to a backup would give to no other run; ``rows``
    counts the rows.
    """

    store_id: str
    run_seq: int
    run_id: str
    rows: int


@dataclass(frozen=True, slots=True)
class DataSetFeature:
    """One column of a data set: the version, its age limit (µs) then, and what its table held up to the run."""

    column_name: str
    feature: str
    sha256: str
    number: int
    max_age: int | None
    rows: int


@dataclass(frozen=True, slots=True)
class DataSet:
    """All that it takes to make a joined table again. Instants are microseconds.

    ``run_seq`` is the last run that was looked at and ``run_id`` its id. ``labels_name`` is the path as typed,
    ``labels_form`` its format; the file's bytes are kept under ``labels_sha256`` where ``labels_kept``, and were until
    ``labels_erased`` where an entity was erased that they named.
    ``content_sha256`` is of the table (`tables.content`), ``output_sha256`` of the file it was written to,
    ``batch_rows`` labels at a time.
    """

    name: str
    made_at: int
    run_seq: int
    run_id: str
    features: tuple[DataSetFeature, ...]
    entity_type: str
    entity_columns: tuple[str, ...]
    timestamp_column: str
    known: bool
    as_of: int | None
    labels_name: str
    labels_form: str
    labels_sha256: str
    labels_bytes: int
    labels_kept: bool
    rows: int
    content_sha256: str
    output_form: str | None
    output_sha256: str | None
    git_commit: str | None
    writer: str
    batch_rows: int
    labels_erased: int | None = None


class RunTransaction(Protocol):
    """One open run. Everything in it becomes visible at once, on leaving `OfflineStore.writing`, or never."""

    @property
    def run_seq(self) -> int: ...

    @property
    def learned_at(self) -> int:
        """max(clock, the previous run's learned_at + 1), in microseconds."""
        ...

    def write(self, version: StoredVersion, frame: pl.DataFrame, *, tolerance: float | None = None) -> Written:
        """Adds what is new or corrected.

        ``frame`` has the key columns, ``computed_at`` and ``value``, sorted by keys and computed_at, at most
        one row for each (keys, computed_at). A value already held as the latest learned one is left out: same
        bits after −0.0 → 0.0 and one NaN, or within the tolerance. So is what was deleted: a row that is read
        again does not bring back what a tombstone at its own (keys, computed_at) took away.

        Raises FeatureError, naming the row, where the store has no place for a value; nothing of the frame is
        written then, and the transaction goes on.
        """
        ...

    def write_changes(self, version: StoredVersion, frame: pl.DataFrame, *, tolerance: float | None = None) -> Written:
        """The same for a feature without times: only what differs from the entity's latest value is written.

        A tombstone since is no difference: the same value read again does not undo it.
        """
        ...

    def delete(self, version: StoredVersion, frame: pl.DataFrame) -> None:
        """Adds a tombstone for each (keys, computed_at) of ``frame``: from then on there is no value."""
        ...

    def erase(self, version: StoredVersion, frame: pl.DataFrame) -> int:
        """Removes every row of these entities (a frame of key columns): how many. Makes a new ``store_id``.

        Rows that were set aside go with them, where they hold all the keys of one of the entities.
        """
        ...

    def drop_labels(self, hashes: Collection[str]) -> None:
        """Removes the kept label files of these SHA-256s; the data sets that kept them say so from then on."""
        ...

    def reject(self, rows: Sequence[RejectedRow]) -> None:
        """Keeps rows that were set aside, under this run."""
        ...

    def set_position(self, position: Position) -> None: ...

    def keep_sample(self, version: VersionId, sample: bytes) -> None:
        """Keeps the bounded sample of what this run wrote of a version, for drift; opaque to the store."""
        ...

    def finish(self, run: Run) -> None:
        """Records the run itself: its features with statistics and drift. Called once, last."""
        ...


class OfflineStore(Protocol):
    """Reads open and close; writes happen in one transaction per run.

    ``warnings`` are what to say, once a command, of how the store is reached; known without reaching it.
    """

    @property
    def warnings(self) -> tuple[str, ...]: ...

    def writing(self, run_id: str, *, dry_run: bool = False) -> AbstractContextManager[RunTransaction]:
        """Opens the transaction of a run: commits on leaving; rolls back on an exception, and on a dry run.

        Raises TransientStoreError where the store let go in the middle and nothing of the run is kept, nor will be:
        a commit whose answer was lost is looked up before. Raises StoreError where that can't be told.
        """
        ...

    def purge(self) -> None:
        """Rewrites what lies on disk, so that what was erased is not there any more either."""
        ...

    def reading(self) -> AbstractContextManager[None]:
        """Keeps one connection for the reads inside: a burst of questions, never a pause for anything else."""
        ...

    def ready(self) -> AbstractContextManager[None]:
        """Keeps what makes the reads inside quick to begin. It may last: between them nobody is kept out."""
        ...

    def log(self, run: Run, rejected: Sequence[RejectedRow] = ()) -> None:
        """Records a run that committed nothing (failed or unchanged): no run_seq."""
        ...

    def position(self, version: VersionId, source: str) -> Position | None: ...

    def last_committed(self, feature: str) -> VersionId | None:
        """The version of the feature's latest committed run: the active one where no file names another."""
        ...

    def versions(self, feature: str | None = None) -> list[StoredVersion]:
        """Versions that have a table here, oldest first."""
        ...

    def runs(
        self,
        *,
        feature: str | None = None,
        status: str | None = None,
        last: int | None = None,
        run_id: str | None = None,
    ) -> list[Run]:
        """The audit log, newest first. ``run_id`` may be a unique prefix, or a run_seq in digits."""
        ...

    def rejected(self, run_id: str, limit: int | None = None) -> list[RejectedRow]: ...

    def learned(self) -> list[Learned]:
        """Every committed run in order of run_seq: turns ``--as-of`` and ``--known`` into run numbers."""
        ...

    def scan(
        self,
        version: StoredVersion,
        *,
        up_to_run: int | None = None,
        after_run: int | None = None,
        entities: pl.DataFrame | None = None,
    ) -> pl.DataFrame:
        """History sorted by (keys, computed_at, run_seq): key columns, computed_at, run_seq, op, value.

        ``entities`` (a frame of key columns) keeps only those; ``after_run`` only rows learned later. A version
        that has no table gives an empty frame of the right types.
        """
        ...

    def mark(self, version: StoredVersion, *, up_to_run: int | None = None) -> Mark | None:
        """What the version's table holds (of the runs up to that one); None where there is no row.

        What is derived from a table is checked by it at every use, so it must cost milliseconds whatever the
        table's size: a kept count rather than a scan (with ``up_to_run`` it may scan one column). History is
        append-only but for erasure, which must give the store a new ``store_id``.
        """
        ...

    def batches(self, version: StoredVersion, *, up_to_run: int | None = None) -> Iterator[pl.DataFrame]:
        """The same rows and columns as `scan`, in any order, in frames of at most about a million rows.

        Its memory is that of a few frames, whatever the table's size. The store may stay open while it is
        read, so it is to be read without a pause.
        """
        ...

    def latest(
        self,
        version: StoredVersion,
        *,
        after_run: int | None = None,
        up_to_run: int | None = None,
        span: Span = EVERYTHING,
    ) -> pl.DataFrame:
        """One row per entity of a span, the greatest (computed_at, run_seq), sorted; same columns as `scan`.

        ``after_run`` keeps only entities about whom something was learned later than that run.
        """
        ...

    def sample_keys(self, version: StoredVersion, every: int, *, after_run: int | None = None) -> list[Keys]:
        """The entities of some rows (learned after a run), each for about ``every`` rows that lie beside it.

        In any order. It costs a small part of reading the rows; of a small table there may be none.
        """
        ...

    def current(self, version: StoredVersion) -> pl.DataFrame:
        """One row per (keys, computed_at): the latest learned, sorted; same columns as `scan`."""
        ...

    def reference(self, version: VersionId) -> Baseline | None:
        """What the version is compared with: what `set_reference` named last, else its first run with a sample."""
        ...

    def set_reference(self, version: VersionId, baseline: Baseline) -> None: ...

    def sample(self, version: VersionId, run_seq: int) -> bytes | None:
        """The sample that `RunTransaction.keep_sample` kept."""
        ...

    def samples(self, version: VersionId, first: int, last: int, limit: int) -> dict[int, bytes]:
        """The samples of the runs from ``first`` to ``last``, both included, by run_seq: the newest ``limit``."""
        ...

    def datasets(self, name: str | None = None) -> list[DataSet]:
        """The data sets, oldest first; or the one of that name."""
        ...

    def keep_dataset(self, dataset: DataSet, labels: Iterable[bytes] | None) -> None:
        """Keeps a data set, in place of one of its name, and the parts (a few MB each) of its label file.

        One transaction. Label files that no data set keeps any more go with it.
        """
        ...

    def label_file(self, sha256: str) -> Iterator[bytes]:
        """The parts of a kept label file, in order; none where it is not kept."""
        ...
