"""The offline store's contracts. DuckDB and PostgreSQL implement them; one suite of tests proves both.

A store is five things that can be used, and faked, one by one: the `History` of values, the `AuditLog` of runs, the
`Samples` of drift, the `DataSets`, and the `RawRows` of sources that can't be read again. `OfflineStore` is all five,
and writes them in one transaction per run.

A store takes and returns sorted columns; it knows nothing of features' code, of joins or of files. History is one table
per version: the entity's keys by name, ``computed_at`` (when the value was true), ``run_seq`` (when it was learned),
``op`` (0 a value, 1 a tombstone, 2 withdrawn) and ``value`` in its own type; where the source says when each row was
known, ``known_at`` too. The rows of one (keys, computed_at) are a pair, and the latest learned, by (known_at, run_seq),
says what it is: where it is withdrawn, there is no such pair any more. Instants are microseconds, UTC, without a zone
(``pl.Datetime("us")``).

No connection outlives a call, because even a reader blocks a DuckDB writer. Only `OfflineStore.writing` holds one, for
the length of its transaction, under the project's lock.

Threads. Several threads of a process may share one store object, and each may call anything at any time. `reading` is
the calling thread's own: what it keeps open, and the state of the store it sees, is not that of another thread. A
writer waits for readers and readers for a writer; whoever would wait for its own thread gets a StoreError at once. An
open `RunTransaction` belongs to the thread that opened it. An iterator (`History.batches`, `DataSets.label_file`) is
used by one thread at a time, but it may be handed on.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import field
from typing import TYPE_CHECKING, Literal, Protocol

from featurestore.errors import FeatureStoreError, SetBackError
from featurestore.frozen import frozen
from featurestore.model import EntityType, Json, RejectedRow, Run, Scope, StoredVersion, VersionId
from featurestore.offline.partitions import ALL_KEYS, KeyRange, Keys
from featurestore.offline.totals import RunTotals, VersionTotals

if TYPE_CHECKING:
    import polars as pl

    from featurestore.offline.copies import Copies, Replacement
    from featurestore.registry.summary import FeatureSummary

VALUE, TOMBSTONE, WITHDRAWN = 0, 1, 2
UNTIL = 3  # among coming steps: the instant of the one after the last of them
Author = Literal["user", "snapshot", "returned"]


@frozen
class Position:
    """How far a version has read a source: what makes a second ingest of the same rows a no-op.

    Only the source understands ``cursor``.
    """

    version: VersionId
    source: str
    fingerprint: str
    cursor: Json
    run_seq: int


@frozen
class Written:
    """What a write did: row counts, and the values that were written or corrected (for statistics).

    ``values`` has the columns of the frame that was written, without the rows that were unchanged. ``deleted`` are
    those of the unchanged that met a tombstone. ``corrected_entities`` counts the entities of the corrected rows.
    """

    new: int
    corrected: int
    unchanged: int
    values: pl.DataFrame
    deleted: int = 0
    corrected_entities: int = 0


@frozen
class CommittedRun:
    """One committed run: its number, its id, and when its rows were learned (µs)."""

    run_seq: int
    run_id: str
    learned_at: int


@frozen
class Measures:
    """What a run measured of a version: statistics and verdict as they are stored, and the sample (None: none)."""

    run_id: str
    run_seq: int
    statistics: Mapping[str, Json] | None
    verdict: Mapping[str, Json] | None
    sample: bytes | None


@frozen
class Baseline:
    """What a version's runs are compared with: one run, or all runs of the last ``window`` µs before each.

    ``method`` is the drift method pinned with it; None where the sample itself has it.
    """

    run_seq: int | None
    window: int | None = None
    method: str | None = None


@frozen
class HistoryMark:
    """The state of a version's table: equal marks mean equal rows.

    ``store_id`` changes when the store is replaced or anything is erased; ``run_seq`` is the greatest in the table and
    ``run_id`` the id of that run, which no other run gets even in a store restored from a backup; ``rows`` counts rows.
    """

    store_id: str
    run_seq: int
    run_id: str
    rows: int


@frozen
class DataSetInput:
    """An input of a request-time feature: the version, its max_age (µs) then, and the rows its table had."""

    feature: str
    sha256: str
    number: int
    max_age: int | None
    rows: int


@frozen
class DataSetFeature:
    """One column of a data set: the version, its max_age (µs) then, and the rows its table had up to the run.

    ``role`` is whose feature it is, where several entities of a label are of its type. ``nulls`` counts the labels
    without a value; the ages (µs) are those of the values at the labels' times. They are None in data sets of before.
    ``inputs`` are those of a request-time feature, which has no table.
    """

    column_name: str
    feature: str
    sha256: str
    number: int
    max_age: int | None
    rows: int
    role: str | None = None
    nulls: int | None = None
    least_age: int | None = None
    mean_age: int | None = None
    greatest_age: int | None = None
    inputs: tuple[DataSetInput, ...] = ()


@frozen
class DataSetEntity:
    """The columns of a data set's labels that hold the keys of an entity type, or of a role of it."""

    type: str
    columns: tuple[str, ...]
    role: str | None = None


@frozen
class DataSetSplit:
    """One part of a data set: the labels before ``end`` (µs) that are in none before; None for the last."""

    name: str
    end: int | None
    labels: int


@frozen
class DataSet:
    """All that it takes to make a training set again. Instants are microseconds.

    ``run_seq`` is the last run that the join could see and ``run_id`` its id. ``labels_name`` is the path as typed,
    ``labels_form`` its format. If ``labels_kept``, the file's bytes are stored under ``labels_sha256``; they were until
    ``labels_erased`` if an entity that they named was erased.
    ``content_sha256`` is of the table (`tables.content`), ``output_sha256`` of the file it was written to,
    ``batch_rows`` labels at a time. ``timezone`` is that of label times without one, ``delimiter`` that of a label CSV;
    with ``typed`` a file with types got the columns of such a CSV in theirs.

    ``entities`` are the label columns of all entity types and roles; of a data set of before, which has features of
    one type, ``entity_columns`` names them if they are not called like the keys. ``entity_type`` is None where there
    are several. ``lag`` (µs) was taken off the labels' times; ``times_suffix`` ends the names of columns with the
    values' times; ``split_column`` holds the part of each label. ``first`` and ``last`` are the labels' times.
    ``batch_rows`` labels at a time. ``timezone`` is that of label times without one, ``delimiter`` that of a label CSV,
    ``dialect`` the identity of its `Dialect`; with ``typed`` a file with types got the columns of such a CSV in theirs.
    ``request`` has the label columns that hold fields of a request and are called otherwise.
    """

    name: str
    made_at: int
    run_seq: int
    run_id: str
    features: tuple[DataSetFeature, ...]
    entity_type: str | None
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
    timezone: str | None = None
    delimiter: str = ","
    typed: bool = False
    entities: tuple[DataSetEntity, ...] = ()
    lag: int = 0
    times_suffix: str | None = None
    splits: tuple[DataSetSplit, ...] = ()
    split_column: str | None = None
    first: int | None = None
    last: int | None = None
    on_own_event: int | None = None
    dialect: Mapping[str, Json] = field(default_factory=dict)
    request: Mapping[str, str] = field(default_factory=dict)


@frozen
class Erasure:
    """An erasure that was committed, and has to be completed: copies removed, the disk rewritten.

    ``run_id`` is that of its run; ``online_key`` is where the entity's values are online, None once they are removed.
    """

    run_id: str
    online_key: str | None


@frozen
class RawBatch:
    """Rows of a source that can't be read again, as they came: its bytes are stored beside it (`RawRows.raw_bytes`).

    ``sequence`` rises with each batch of a source, from 1 on; ``run_seq`` is the run that stored it. ``content``
    identifies the rows, ``rows`` is their number, and ``facts`` is what else its writer wants to know of it.
    """

    source: str
    sequence: int
    run_seq: int
    rows: int
    content: str
    facts: Json = None


@frozen
class DroppedBatch:
    """A batch that went past its source's retention: its number, what an offer called its ``content``, and the latest
    event time of its rows (µs; None where no row was accepted).
    """

    source: str
    sequence: int
    content: str
    high: int | None


class HistoryWriter(Protocol):
    """The values of an open run. Used by the thread that opened the run."""

    def write(self, version: StoredVersion, frame: pl.DataFrame, *, tolerance: float | None = None) -> Written:
        """Adds what is new or corrected.

        ``frame`` has the key columns, ``computed_at`` and ``value``, sorted by keys and computed_at, at most one row
        for each (keys, computed_at). A value is left out that equals the latest learned one: the same bits after
        −0.0 → 0.0 and one NaN, or within the tolerance. So is a value that was deleted: reading a row again does not
        bring back what a tombstone at its own (keys, computed_at) took away. A pair that was withdrawn is not held:
        its value is new.

        With a column ``known_at`` a pair may have a row for each known time, and a value is compared with that of its
        own. The version's rows have known times from then on: earlier ones those of their runs.

        Raises FeatureError, naming the row, where the store can't represent a value; then nothing of the frame is
        written, and the transaction goes on.
        """
        ...

    def write_known(
        self, version: StoredVersion, frame: pl.DataFrame, withdrawn: pl.DataFrame, *, tolerance: float | None = None
    ) -> tuple[Written, int]:
        """`write` and `withdraw` of all that is known of some pairs: what each holds from which known time on.

        Both frames have ``known_at``. What a pair holds at other known times because a row had left it is what they say
        of that time. Returns what was written, and how many rows were withdrawn.
        """
        ...

    def write_changes(self, version: StoredVersion, frame: pl.DataFrame, *, tolerance: float | None = None) -> Written:
        """The same for a feature without times: only what differs from the entity's latest value is written.

        A tombstone since then is not a difference, nor is a withdrawal: reading the same value again undoes neither.
        """
        ...

    def write_parts(
        self, version: StoredVersion, parts: Iterable[Part], *, tolerance: float | None = None
    ) -> Iterator[Written]:
        """`write` for rows that come in parts, in order, of which no two have a pair in common.

        Each part is written when the iterator is asked for what was done with it. Raises FeatureError as `write` does,
        when parts were written already: whoever must not leave these asks `refuse` before.
        """
        ...

    def refuse(self, version: StoredVersion, frame: pl.DataFrame) -> None:
        """Raises the FeatureError that `write` would raise for this frame. Changes nothing."""
        ...

    @property
    def refuses_times_alone(self) -> bool:
        """Whether `refuse` says of the rows with the first and the last times what it says of all."""
        ...

    def pairs(
        self, version: StoredVersion, entities: pl.DataFrame | None = None, *, key_range: KeyRange = ALL_KEYS
    ) -> pl.DataFrame:
        """What each pair holds, this run's rows included: the key columns, computed_at, op and value, sorted.

        ``entities`` (a frame of key columns) or ``key_range`` selects entities. A version that has no table gives an
        empty frame.
        """
        ...

    def pairs_since(self, version: StoredVersion, entities: pl.DataFrame) -> pl.DataFrame:
        """`pairs` of some entities from an instant of each on, and the last pair before it.

        ``entities`` has the key columns and computed_at. For versions with steps: nothing of theirs is withdrawn.
        """
        ...

    def delete(self, version: StoredVersion, frame: pl.DataFrame) -> None:
        """Adds a tombstone for each (keys, computed_at) of ``frame``: from then on there is no value."""
        ...

    def mark_deleted(self, entity_type: EntityType, frame: pl.DataFrame, author: Author) -> None:
        """Records that entities were deleted: ``frame`` has the key columns and ``deleted_at``.

        From then on `write` puts a tombstone there for each of these entities, in every version that writes a row of
        it and has none: later versions, and those that had no row of it then.
        """
        ...

    def unmark_deleted(self, entity_type: EntityType, frame: pl.DataFrame) -> None:
        """Removes all marks of these entities (a frame of key columns)."""
        ...

    def append_rows(self, version: StoredVersion, frame: pl.DataFrame) -> None:
        """Adds rows of a version with steps as they are: the key columns, computed_at, run_seq (null: this run's), op
        and value. None of them has the (keys, computed_at, run_seq) of a stored one.
        """
        ...

    def coming(
        self, version: StoredVersion, entities: pl.DataFrame | None = None, *, key_range: KeyRange = ALL_KEYS
    ) -> pl.DataFrame:
        """`History.coming`, this run's lists included.

        ``entities`` (a frame of key columns) or ``key_range`` selects entities.
        """
        ...

    def replace_coming(self, version: StoredVersion, entities: pl.DataFrame, frame: pl.DataFrame) -> None:
        """Replaces the coming steps of ``entities`` by those of ``frame``: key columns, computed_at, op and value.

        A list has at least its row `UNTIL`; it gets the number of this run.
        """
        ...

    def first_coming(self, version: StoredVersion) -> int | None:
        """The first instant (µs) at which a coming step of any entity, or one after them, is due."""
        ...

    def mark_returned(self, entity_type: EntityType, frame: pl.DataFrame) -> None:
        """Ends the marks that snapshots have set for these entities (a frame of key columns).

        Their author is "returned" from then on, and their run this one: they divide nothing any more, but what
        was computed while they held is to be computed again.
        """
        ...

    def deletions(self, entity_type: EntityType) -> pl.DataFrame:
        """`History.deletions`, what this run marked included."""
        ...

    def withdraw(self, version: StoredVersion, frame: pl.DataFrame, *, of: int = VALUE) -> int:
        """Adds a withdrawn row for each (keys, computed_at) of ``frame`` that holds a value; returns how many.

        ``frame`` has each pair once. What was true then is answered by the pair before it from now on. A pair that
        this version does not have stays, and so does one that holds a tombstone; with ``of`` `TOMBSTONE` these are
        withdrawn, and values stay. With a column ``known_at`` a pair may be there for each known time, and is withdrawn
        from then on until a value is known there again; what it holds at that time counts.
        """
        ...

    def erase(self, version: StoredVersion, frame: pl.DataFrame) -> int:
        """Removes every row of these entities (a frame of key columns); returns how many. Changes the ``store_id``."""
        ...

    def drop(self, version: StoredVersion) -> int:
        """Removes all rows of a version, and all that was measured of them; returns how many. Changes the ``store_id``.

        What it has read is forgotten too, so that it can be computed again.
        """
        ...

    def carry(self, old: VersionId, version: StoredVersion) -> int:
        """Copies all that is stored of a version to the same version of a feature that is called otherwise.

        Its rows keep the runs that learned them; positions, samples and references come too. ``version`` has no rows
        yet. Returns the number of rows.
        """
        ...


class AuditWriter(Protocol):
    """The record of an open run. Used by the thread that opened the run."""

    def reject(self, rows: Sequence[RejectedRow]) -> None:
        """Stores the rows that this run rejected."""
        ...

    def set_position(self, position: Position) -> None: ...

    def set_scope(self, version: VersionId, scope: Scope) -> None:
        """Stores the scope of a version that has a table: as declared, or as this run found it."""
        ...

    def finish(self, run: Run) -> None:
        """Records the run itself: its features with statistics and drift. Called once, last."""
        ...


class RawWriter(Protocol):
    """The raw rows of an open run. Used by the thread that opened the run."""

    def put_raw(self, batch: RawBatch, parts: Iterable[bytes]) -> None:
        """Stores a batch and its bytes, in parts of a few MB each, in place of one of its source and sequence."""
        ...

    def drop_raw(self, source: str, up_to: int, *, after: int = 0) -> None:
        """Removes the batches of a source after one sequence, up to another."""
        ...

    def set_source_position(self, source: str, cursor: Json) -> None:
        """Stores how far a source has been read, for all versions; None forgets it."""
        ...


class Part(Protocol):
    """Some rows of a version on disk: keys, computed_at, value."""

    @property
    def height(self) -> int: ...

    @property
    def common(self) -> Hashable:
        """Whatever is the same for another part says that both have the very same keys and times; None says nothing."""
        ...

    def read(self) -> pl.DataFrame: ...


class RunTransaction(HistoryWriter, AuditWriter, RawWriter, Protocol):
    """One open run. Everything in it becomes visible at once, on leaving `OfflineStore.writing`, or never."""

    @property
    def run_seq(self) -> int: ...

    @property
    def learned_at(self) -> int:
        """max(clock, the previous run's learned_at + 1), in microseconds."""
        ...

    def begin_writing(self) -> None:
        """Begins to write what was taken, if the store can do that beside what the caller does next."""
        ...

    def store_sample(self, version: VersionId, sample: bytes) -> None:
        """Stores the sample of what this run wrote of a version; opaque to the store."""
        ...

    def drop_labels(self, hashes: Collection[str]) -> None:
        """Removes the stored label files with these SHA-256s; their data sets record that they were erased."""
        ...

    def begin_erasure(self, online_key: str | None) -> None:
        """Records that this run erases an entity, or (without a key) versions.

        `OfflineStore.erasures` has it until it is complete.
        """
        ...

    def replace_measures(self, version: VersionId, measures: Measures) -> None:
        """Stores what an earlier run measured of a version, made again, in place of what it had stored."""
        ...

    def erase_rejected(self, keys: Sequence[str | int]) -> None:
        """Removes rejected rows that name an entity, with all its keys."""
        ...

    def replace_position(self, position: Position) -> None:
        """Stores another cursor at a position that there is."""
        ...

    def rename_file(self, source: str, old: str, new: str) -> None:
        """Gives the file of rejected rows another name."""
        ...

    def drop_errors(self, keys: Sequence[str | int], keep: Collection[str]) -> int:
        """Removes the texts of recorded errors, which may quote values. Returns how many.

        Of the features ``keep`` only those go that name an entity, with all its keys.
        """
        ...


class Readable(Protocol):
    """What can be read in one go. Threads may share it; `reading` is each thread's own."""

    def reading(self) -> AbstractContextManager[None]:
        """Keeps one connection for the reads inside, which all see the same state of the store. May be nested.

        For a burst of questions, never across a pause: it keeps writers out.
        """
        ...


class History(Readable, Protocol):
    """The values of every version. Threads may share it."""

    def versions(self, feature: str | None = None) -> list[StoredVersion]:
        """Versions that have a table here, oldest first."""
        ...

    def scan(
        self,
        version: StoredVersion,
        *,
        up_to_run: int | None = None,
        after_run: int | None = None,
        dated_after: int | None = None,
        entities: pl.DataFrame | None = None,
        key_range: KeyRange = ALL_KEYS,
    ) -> pl.DataFrame:
        """History sorted by (keys, computed_at, run_seq): key columns, computed_at, run_seq, op, value.

        Of a version whose rows have known times by (keys, computed_at, known_at, run_seq), with ``known_at`` last.
        ``entities`` (a frame of key columns) or ``key_range`` selects entities; ``after_run`` selects rows learned
        later, ``dated_after`` those dated after an instant (µs). A version that has no table gives an empty frame of
        the right types.
        """
        ...

    def mark(self, version: StoredVersion, *, up_to_run: int | None = None) -> HistoryMark | None:
        """What the version's table holds (of the runs up to that one); None where there is no row.

        What is derived from a table is checked by it at every use, so it must take milliseconds whatever the table's
        size: a stored count rather than a scan (with ``up_to_run`` it may scan one column). History is append-only
        but for erasure, which must give the store a new ``store_id``.
        """
        ...

    def batches(self, version: StoredVersion, *, up_to_run: int | None = None) -> Iterator[pl.DataFrame]:
        """The same rows and columns as `scan`, in any order, in frames of at most about a million rows.

        Takes the memory of a few frames, whatever the table's size. The store may stay open while it is read, so it
        is to be read without a pause.
        """
        ...

    def latest(
        self,
        version: StoredVersion,
        *,
        after_run: int | None = None,
        up_to_run: int | None = None,
        at: int | None = None,
        due_after: int | None = None,
        entities: pl.DataFrame | None = None,
        key_range: KeyRange = ALL_KEYS,
    ) -> pl.DataFrame:
        """One row per entity of a partition, sorted by keys: what answers now; same columns as `scan`.

        That is the latest row of the last pair that is not withdrawn. Its ``run_seq`` is that of the run that last
        changed the answer: the greatest among the rows of its pair and of the withdrawn pairs after it. Of an entity
        whose pairs are all withdrawn comes the first one, withdrawn, with the greatest run_seq of all.

        Rows dated after the instant ``at`` (µs) are passed over: their time has not come. ``entities`` (a frame of key
        columns) or ``key_range`` selects entities, and ``after_run`` those about whom something was learned later than
        that run and, with ``due_after``, those who have a row dated after that instant, up to ``at``.
        """
        ...

    def scope(self, version: VersionId) -> Scope | None:
        """The scope of a version: as declared, or as a run found it; None before its first run."""
        ...

    def has_known(self, version: VersionId) -> bool:
        """Whether the rows of the version have known times of their own."""
        ...

    def has_withdrawn(self, version: VersionId) -> bool:
        """Whether a pair of the version was ever withdrawn."""
        ...

    def coming(
        self,
        version: StoredVersion,
        *,
        due: int | None = None,
        after_run: int | None = None,
        entities: pl.DataFrame | None = None,
        key_range: KeyRange = ALL_KEYS,
    ) -> pl.DataFrame:
        """The coming steps of a version: columns and order of `scan`, each with the number of its list.

        Beside its steps each list has a row `UNTIL`, dated at the step after them, and at the end of the year 9999
        where there is none. They are rows of the history whose time may not have come: what is read with them is to be
        read in the same `reading`. ``due`` (µs) selects the rows up to an instant, ``after_run`` the lists that a later
        run has changed, ``entities`` (a frame of key columns) or ``key_range`` those of some entities.
        """
        ...

    def horizon(self, version: VersionId) -> int | None:
        """The last of the `horizons`; None for a version without steps."""
        ...

    def horizons(self, version: VersionId) -> list[int]:
        """Up to which instants (µs) the runs of a version with steps have known its values, those of quiet runs too."""
        ...

    def deletions(self, entity_type: EntityType) -> pl.DataFrame:
        """The marks of deleted entities, sorted: key columns, deleted_at, run_seq, author. See `mark_deleted`.

        Those whose author is "returned" hold no more.

        A deletion divides an entity: what is dated up to then is made of its rows up to then, what is dated later of
        its later rows.
        """
        ...

    def newest(
        self, version: StoredVersion, *, after_run: int | None = None, up_to_run: int | None = None
    ) -> int | None:
        """The greatest computed_at (µs) of the rows learned after one run, up to another; None where there are none."""
        ...

    def oldest(self, version: StoredVersion) -> int | None:
        """The least computed_at (µs) of the rows; None where there are none."""
        ...

    def sample_keys(self, version: StoredVersion, every: int, *, after_run: int | None = None) -> list[Keys]:
        """The entities of some rows (learned after a run), each standing for about ``every`` neighbouring rows.

        Rows of the history and coming steps, in any order. It costs a small part of reading the rows; of a small table
        there may be none.
        """
        ...

    def current(self, version: StoredVersion, *, key_range: KeyRange = ALL_KEYS) -> pl.DataFrame:
        """One row per (keys, computed_at) of a partition: the latest learned, sorted; same columns as `scan`."""
        ...


class AuditLog(Readable, Protocol):
    """The record of all runs, and what each version has read. Threads may share it."""

    def stamp(self) -> str:
        """The state of the audit log: as long as it is the same, no run was committed.

        It may change without a commit. An embedded store must answer without being opened.
        """
        ...

    def summarize(self) -> dict[str, FeatureSummary]:
        """What there is to say of each feature that was ever committed, in a few queries whatever the number of runs.

        Deletions are not a feature's last run.
        """
        ...

    def log(self, run: Run, rejected: Sequence[RejectedRow] = ()) -> None:
        """Records a run that committed nothing (failed or unchanged): no run_seq."""
        ...

    def position(self, version: VersionId, source: str) -> Position | None: ...

    def positions(self, source: str) -> list[Position]:
        """The last position of every version that has read a source, oldest first."""
        ...

    def positions_with(self, text: str) -> list[Position]:
        """All positions whose cursor has a text somewhere, those too that later ones have superseded."""
        ...

    def last_committed(self, feature: str) -> VersionId | None:
        """The version of the feature's latest committed run: the active one where no file names another."""
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

    def run_totals(self, *, feature: str | None = None, last: int, skip: int = 0) -> list[RunTotals]:
        """The same order of runs, each added up to one line: ``last`` of them after the ``skip`` newest.

        Of a ``feature``, those that took it, with the counts of that feature alone.
        """
        ...

    def version_totals(self, *, last: int) -> dict[VersionId, VersionTotals]:
        """Every version that a run has computed: the rows written, and the drift scores of its ``last`` newest runs."""
        ...

    def rejected(self, run_id: str, limit: int | None = None) -> list[RejectedRow]: ...

    def count_naming(self, keys: Sequence[str | int]) -> int:
        """How many rejected rows and recorded errors name an entity, with all its keys."""
        ...

    def count_details(self, before: int) -> int:
        """How many runs that ended before an instant (µs) still have details that `drop_details` would drop."""
        ...

    def committed_runs(self) -> list[CommittedRun]:
        """Every committed run in order of run_seq: turns ``--as-of`` and ``--known`` into run numbers."""
        ...

    def next_clock(self) -> int:
        """The clock of a run that begins now, or a microsecond after the last one where the clock was set back (µs).

        Runs that wrote nothing count too; those that failed do not.
        """
        ...


class Samples(Readable, Protocol):
    """What drift is measured with. Threads may share it."""

    def reference(self, version: VersionId) -> Baseline | None:
        """What the version is compared with: what `set_reference` named last, else its first run with a sample."""
        ...

    def set_reference(self, version: VersionId, baseline: Baseline) -> None: ...

    def sample(self, version: VersionId, run_seq: int) -> bytes | None:
        """The sample that `RunTransaction.store_sample` stored."""
        ...

    def samples(self, version: VersionId, first: int, last: int, limit: int) -> dict[int, bytes]:
        """The samples of the runs from ``first`` to ``last``, both included, by run_seq: the newest ``limit``."""
        ...


class DataSets(Readable, Protocol):
    """Data sets and their label files. Threads may share it."""

    def datasets(self, name: str | None = None) -> list[DataSet]:
        """The data sets, oldest first; or the one of that name."""
        ...

    def store_dataset(self, dataset: DataSet, labels: Iterable[bytes] | None) -> None:
        """Stores a data set, in place of one of its name, and its label file in parts of a few MB each.

        One transaction. It also removes label files that no data set uses any more.
        """
        ...

    def label_file(self, sha256: str) -> Iterator[bytes]:
        """The parts of a stored label file, in order; none where it is not stored."""
        ...


class RawRows(Readable, Protocol):
    """Rows of sources that can't be read again, in batches, each the bytes of a file. Threads may share it."""

    def raw_batches(self, source: str | None = None, *, after: int = 0) -> list[RawBatch]:
        """The batches of a source (None: of all) after a sequence, by source and sequence."""
        ...

    def raw_bytes(self, batch: RawBatch) -> Iterator[bytes]:
        """The bytes of a batch in parts, in order; none where it is not stored any more."""
        ...

    def dropped_batches(self, source: str) -> list[DroppedBatch]:
        """The batches of a source that `OfflineStore.drop_batches` dropped, by sequence."""
        ...

    def source_position(self, source: str) -> Json:
        """What `RawWriter.set_source_position` stored last; None where nothing was."""
        ...


class OfflineStore(History, AuditLog, Samples, DataSets, RawRows, Protocol):
    """All five, and the transaction that writes them. Threads may share it.

    ``name`` says which store it is, in messages and for comparison; it holds no secret. ``warnings`` are what to say,
    once a command, of how the store is reached. Both are known without reaching it.
    """

    @property
    def name(self) -> str: ...

    @property
    def warnings(self) -> tuple[str, ...]: ...

    def writing(
        self, run_id: str, *, dry_run: bool = False, clock: int | None = None
    ) -> AbstractContextManager[RunTransaction]:
        """Opens the transaction of a run: commits on leaving; rolls back on an exception, and on a dry run.

        ``clock`` (µs) is that of the run, by default the time now.

        Raises TransientStoreError where the connection was lost and nothing of the run was committed, nor will be: a
        commit whose answer was lost is looked up before. Raises StoreError where that can't be found out.
        """
        ...

    def drop_details(self, before: int) -> None:
        """Drops the details of runs that ended before an instant (µs): see `offline.retention`. One transaction."""
        ...

    def drop_batches(self, batches: Sequence[DroppedBatch]) -> None:
        """Drops raw rows past a retention, and records it. One transaction, which is no run."""
        ...

    @property
    def notices(self) -> tuple[str, ...]:
        """What to say, once a command, of the state in which the store was found when it was last opened."""
        ...

    def note(self, notice: str) -> None:
        """Adds a notice: of what this process did to the store beside what it was asked for."""
        ...

    def set_back(self) -> SetBackError | None:
        """What a writer is told where the store lacks the last run committed from here; None where all is well."""
        ...

    def catch_up(self) -> None:
        """Records the last run beside the store, by which `set_back` knows it, where that could not be done before."""
        ...

    def missing_right(self) -> FeatureStoreError | None:
        """What a run would be told that may not write; None where it may. Changes nothing."""
        ...

    def erasures(self) -> list[Erasure]:
        """The erasures that are not complete, oldest first."""
        ...

    def set_erasures(self, erasures: Sequence[Erasure]) -> None:
        """Replaces the record of those that are not complete."""
        ...

    def purge(self) -> str | None:
        """Rewrites what lies on disk, so that what was erased is not there any more either.

        Says, with the way out, who keeps it there, where somebody does; then the erasure is not complete.
        """
        ...

    def copies(self) -> AbstractContextManager[Copies]:
        """The store as it is now, table by table, for a backup. It keeps no writer out for longer than it must.

        Not inside `reading`. Raises NewerFormatError, and ForeignStoreError for a store of another project.
        """
        ...

    def replacing(self, format_: int, store_id: str) -> AbstractContextManager[Replacement]:
        """Fills a store with tables of a format: it takes the place of what is there on leaving, all at once.

        Where an exception is raised, nothing is changed. What is there need not be readable. The caller holds the
        project's lock. ``store_id`` is a UUID.
        """
        ...

    def ready(self) -> AbstractContextManager[None]:
        """Keeps what makes the reads inside, of any thread, quick to begin. Keeps nobody out, so it may last."""
        ...
