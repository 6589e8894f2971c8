"""The contract of sources. Each type of source implements it in a module of its own; one suite of tests proves all.

A type reads its settings from its ``[sources.NAME]`` table and opens a source. An open source makes offers: what is
there to read now, found without parsing. A `Position` stores an offer's cursor, which only the type understands: the
files with their hashes, a column's greatest value, a topic's offsets. Importing a type, reading its settings and
making an offer must load nothing heavy: an unchanged source costs neither Polars nor a driver's warm-up.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from featurestore.frozen import frozen
from featurestore.model import Json, Source, SourceSettings
from featurestore.progress import SILENT, Progress
from featurestore.toml import TomlTable

if TYPE_CHECKING:
    import polars as pl

    from featurestore.tables.batch import Batch

Cursor: TypeAlias = Json
Choose: TypeAlias = Callable[[Sequence[str]], Collection[str]]
"""Takes the names of the columns that something has, and gives those that are needed."""
Report: TypeAlias = Callable[[str], None]
"""Takes a warning for people."""


@frozen
class Place:
    """Where a row is: in the source's own words, and by file and number where the source is files."""

    text: str
    file: str | None = None
    row: int | None = None


@frozen
class Content:
    """One thing that can be read by itself, and again, as a file: its name, what identifies its bytes, their number.

    Rows of a stream have an order: ``stream`` is the partition that a content's rows come from, and its place there.
    """

    name: str
    sha256: str
    size: int
    stream: tuple[int, int] | None = None


@frozen
class Start:
    """Where to begin in a content that has grown: after so many bytes, which hold so many rows."""

    size: int
    rows: int


@frozen
class Offer:
    """What a source has to read at one moment.

    ``content`` identifies the rows: equal contents, same rows. ``cursor`` is what a position stores. ``size`` is in
    bytes, where that is known. With ``once`` the source gives its rows only once, as a pipe does, and the offer holds
    the copy. ``contents`` are the parts that can be read one by one, in reading order; None where there are no parts.
    ``handle`` belongs to the type.
    """

    content: Mapping[str, Json]
    cursor: Cursor
    size: int | None = None
    contents: tuple[Content, ...] | None = None
    warnings: tuple[str, ...] = ()
    once: bool = False
    handle: object = field(default=None, repr=False, compare=False)


class OpenSource(Protocol):
    """One source, ready to be read."""

    @property
    def complete(self) -> bool:
        """Whether each batch names all columns of its origin. In JSON, for one, a null may be left out."""
        ...

    def offer(self) -> Offer:
        """What there is to read now. Raises SourceError where there is nothing, or it can't be read."""
        ...

    def missing(self, offer: Offer, cursor: Cursor) -> list[str]:
        """What the cursor of an earlier offer names and this offer no longer has, in the source's words."""
        ...

    def read(
        self, offer: Offer, *, since: Cursor = None, columns: Choose | None = None, report: Report
    ) -> Iterator[Batch]:
        """The rows of an offer in their order, in batches with one origin each; an origin without rows gives one.

        ``since`` is an earlier offer's cursor: a type that can begins there, the others read everything. ``columns``
        says which are needed (None: all); a type may leave out others, and then names them in the batch. Rows that the
        format makes unreadable are listed in the batch, whatever is needed. Raises SourceError for what can't be read
        at all, or has changed since it was offered.
        """
        ...

    def place(self, origin: str, row: int) -> Place:
        """Where a row of a batch is, given the batch's ``origin`` and the row's number in it."""
        ...


class ContentSource(OpenSource, Protocol):
    """A source whose offers name contents: each can be read by itself, and again."""

    def read(
        self,
        offer: Offer,
        *,
        since: Cursor = None,
        only: Mapping[str, Start | None] | None = None,
        columns: Choose | None = None,
        report: Report,
    ) -> Iterator[Batch]:
        """The same. ``only`` are the names of the contents to read, None for all.

        One with a `Start` that `can_start` allows is read from there.
        """
        ...

    def begins_with(self, offer: Offer, name: str, size: int, sha256: str) -> bool:
        """Whether the first ``size`` bytes of a content are another content."""
        ...

    def can_start(self, offer: Offer, name: str, size: int) -> bool:
        """Whether a content can be read from after its first ``size`` bytes, which held whole rows when last read."""
        ...


@frozen
class Finding:
    """One thing that was found out about a source, in words; a way out where it is wrong."""

    message: str
    hint: str | None = None
    wrong: bool = False


@runtime_checkable
class Server(Protocol):
    """A source that is a server."""

    def beginning(self, rows: int) -> OpenSource:
        """The same source with no more than so many of its rows: an offer reads all that it offers."""
        ...

    def examine(self) -> Iterator[Finding]:
        """What `doctor` says of it. Raises SourceError or ConfigError where it can't be read."""
        ...


@frozen
class RawPart:
    """Rows of a source that can't be read again, as they came: a batch that the history holds, or will hold.

    ``sequence`` rises with each batch of a source, ``content`` identifies its bytes, ``facts`` belong to the type.
    ``path`` is a file with the bytes; None where nobody needs them now.
    """

    name: str
    sequence: int
    content: str
    rows: int
    size: int
    facts: Json
    path: Path | None = None


@frozen
class Fetched:
    """What came of a source since a position: new batches, and the position behind them.

    ``waiting`` says what is there and could not be read yet, and why; ``whole`` is False where a limit ended it.
    ``drops`` are batches that the new ones replace: those after one sequence, up to another. ``notes`` are for people.
    With ``moved`` the position is to be stored although no row came.
    """

    cursor: Cursor
    parts: tuple[RawPart, ...]
    waiting: tuple[str, ...] = ()
    whole: bool = True
    drops: tuple[int, int] | None = None
    notes: tuple[str, ...] = ()
    moved: bool = False

    def replaces(self, sequence: int) -> bool:
        return self.drops is not None and self.drops[0] < sequence <= self.drops[1]


class Held(Protocol):
    """What the history holds of a source that can't be read again."""

    @property
    def parts(self) -> Sequence[RawPart]: ...

    @property
    def past(self) -> int | None:
        """The latest event time (µs) of rows that went past the source's retention; None where none did."""
        ...

    def open(self, part: RawPart) -> Path:
        """A file with the bytes of a batch. Raises StoreError, OSError."""
        ...


@runtime_checkable
class ComparingSource(Protocol):
    """A stream whose rows come again, so that what is new is known only beside what is held."""

    def compare_with(self, held: Held, *, full: bool) -> None:
        """To be called before `StreamSource.fetch`. With ``full`` all rows are read, and what was missed is taken."""
        ...


@frozen
class Deletions:
    """Entities that a source says are deleted: a frame of ``key``, a column of texts, and ``deleted_at``.

    What is no text is null there, and so is the instant where there is none.
    """

    key: str
    frame: pl.DataFrame


class StreamSource(ContentSource, Protocol):
    """A source that can't be read again: what is new is fetched once, kept in the history, and read from there."""

    def fetch(
        self,
        before: Cursor,
        folder: Path,
        sequence: int,
        *,
        restart: bool = False,
        limit: int | None = None,
        progress: Progress = SILENT,
    ) -> Fetched:
        """What came since a position (None: none yet), as files in a folder, numbered from after ``sequence`` on.

        With ``restart`` it begins where the source's settings say. After about ``limit`` rows it ends. Raises
        SourceError where the source is not the one that was read before, or has lost what was not read yet.
        """
        ...

    def offer_of(self, parts: Sequence[RawPart]) -> Offer:
        """The offer of these batches. One with a path can be read."""
        ...

    def settled(self, part: RawPart, cursor: Cursor) -> bool:
        """Whether no later reading looks at a batch, so that it may go once its rows are needed no more."""
        ...

    def deleted(self, parts: Sequence[RawPart]) -> Deletions | None:
        """Which entities some batches say are deleted; None where the source does not say that."""
        ...

    def commit(self, cursor: Cursor) -> None:
        """Tells the source how far it was read, where somebody there wants to know. Raises SourceError."""
        ...


@runtime_checkable
class ErasableSource(StreamSource, Protocol):
    """A stream whose rows can be taken out of a batch, where an entity is erased."""

    def reread(self) -> OpenSource | None:
        """What it would be read from again, as it is now; None where nothing is read twice."""
        ...

    def without(self, part: RawPart, rows: Collection[int], keys: Sequence[str], folder: Path) -> RawPart | None:
        """A batch without some of its rows, by their numbers, and without what else names these keys.

        None where all of it stays.
        """
        ...

    def whole_again(self, cursor: Cursor) -> Cursor:
        """The position from which the next fetch brings all of what was taken out, as far as `reread` still has it.

        Without it a reading by the same position might bring a part of it.
        """
        ...


class ProjectFolders(Protocol):
    """The folders of a project that sources use, and about how many bytes of memory its commands may take."""

    @property
    def memory(self) -> int: ...

    @property
    def root(self) -> Path: ...

    @property
    def state(self) -> Path: ...

    @property
    def versions(self) -> Path: ...


class SourceType(Protocol):
    """A type of source, as its module has it."""

    @property
    def KEYS(self) -> tuple[str, ...]:  # noqa: N802  # a constant of the module
        """The keys that the type reads in addition to the common ones."""
        ...

    def read_settings(self, table: TomlTable) -> SourceSettings:
        """The type's own settings. Raises ConfigError naming the key."""
        ...

    def open_source(self, folders: ProjectFolders, source: Source, given: str | None = None) -> OpenSource:
        """Opens a source, reading nothing yet; ``given`` (``--input``) takes the place of what its settings name."""
        ...
