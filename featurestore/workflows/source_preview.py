"""What would be read of a source or a file: how its text is written, types, first rows, rows that would be set aside.

Reads the beginning only, and writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl

from featurestore import times
from featurestore.config import MEMORY, Project
from featurestore.dialect import STANDARD, Dialect
from featurestore.errors import UsageError, did_you_mean
from featurestore.frozen import frozen
from featurestore.model import KeyType, RejectedRow, Scalar, Source
from featurestore.registry.discovery import discover
from featurestore.regular import in_home
from featurestore.sources.catalogue import choose_table
from featurestore.sources.contract import Choose, Cursor, Offer, OpenSource, Place, ProjectFolders, Report, Server
from featurestore.sources.databases import DatabaseSettings
from featurestore.sources.detection import Detected, Question, detect_csv, detect_values, type_of_file
from featurestore.sources.files import FileSettings
from featurestore.sources.offers import open_source
from featurestore.sources.pinned_types import read_pins
from featurestore.sources.reading import SourceRows, read_rows
from featurestore.tables.batch import STRING, TEXT, Batch
from featurestore.versioning.analysis.tree import SourceTree

LOOKED_AT = 10_000  # rows
FUTURE_TOLERANCE = 5 * 60 * 1_000_000


@frozen
class PreviewColumn:
    """One column: its name, and in the file if that is another; its type, where that comes from, how times are written.

    ``origin`` is ``key``, ``declared``, ``pinned`` or ``inferred``; ``type`` is None for what has none, such as a
    column of nulls.
    """

    name: str
    in_file: str
    type: Scalar | None
    origin: str
    written: str | None = None


@frozen
class SourcePreview:
    """What would be read. ``source`` is the declared one, or the one that was detected.

    ``frame`` holds the first rows, ``rows_read`` counts those that were looked at, ``whole`` says that these were all.
    ``questions`` are what a file leaves open.
    """

    source: Source
    declared: bool
    columns: tuple[PreviewColumn, ...]
    frame: pl.DataFrame
    rows_read: int
    rows_rejected: int
    rejected: tuple[RejectedRow, ...]
    warnings: tuple[str, ...]
    whole: bool
    questions: tuple[Question, ...] = ()


@frozen
class Nowhere:
    """The folders of no project: nothing is pinned, nothing is stored."""

    root: Path
    memory: int = MEMORY

    @property
    def state(self) -> Path:
        return self.root / ".featurestore"

    @property
    def versions(self) -> Path:
        return self.root / ".featurestore" / "no versions"


def preview(project: Project | None, wanted: str, rows: int = 10, table: str | None = None) -> SourcePreview:
    """Previews a source of the project, or else a file. Raises UsageError where there is neither."""
    if project is not None and wanted in project.sources:
        return preview_source(project, wanted, rows)
    path = in_home(wanted)
    if not path.is_file():
        names = [] if project is None else list(project.sources)
        what = f"there is no source {wanted!r} and no such file"
        raise UsageError(what, hint=did_you_mean(wanted, names) or "name a file, or a source of featurestore.toml")
    return preview_file(path, rows, table)


def preview_source(project: Project, name: str, rows: int = 10, given: str | None = None) -> SourcePreview:
    """Previews a declared source; ``given`` (``--input``) is read in place of what its settings name."""
    source = project.sources[name]
    readers = [item for item in discover(project, SourceTree(project.root)).features if name in item.source_names]
    keys = {key.name: key.type for item in readers for key in item.entity_type.keys}
    found = open_source(project, source, given)
    # A server is asked for no more rows than are looked at; of a file the others are not read.
    first = found.beginning(LOOKED_AT + 1) if isinstance(found, Server) else found
    opened = _Beginning(first, LOOKED_AT)
    taken = _read(project, source, opened, keys)
    whole = opened.whole and (first is found or taken.rows_read <= LOOKED_AT)
    return _preview(project, source, keys, taken, rows, declared=True, whole=whole)


def preview_file(path: Path, rows: int = 10, table: str | None = None) -> SourcePreview:
    """Previews a file that nobody has described, as it would be detected."""
    folders = Nowhere(Path.cwd())
    source, detected = detect_source(folders, path, table)
    opened = _Beginning(open_source(folders, source, str(path.absolute())), LOOKED_AT)
    taken = _read(folders, source, opened, {})
    return _preview(folders, source, {}, taken, rows, declared=False, whole=opened.whole, detected=detected)


def detect_source(folders: ProjectFolders, path: Path, table: str | None = None) -> tuple[Source, Detected]:
    """The source that a file would be, called ``file``, and what its sample shows and leaves open."""
    source_type = type_of_file(path)
    if source_type == "csv":
        detected = detect_csv(path)
        return _source(path, source_type, None, detected.dialect), detected
    chosen = choose_table(path, source_type, table) if source_type in ("sqlite", "duckdb") else None
    sample, whole, numbers = sample_of(folders, path, source_type, chosen)
    detected = detect_values(sample, STANDARD, whole=whole, numbers=numbers)
    return _source(path, source_type, chosen, detected.dialect), detected


def sample_of(
    folders: ProjectFolders, path: Path, source_type: str, table: str | None
) -> tuple[pl.DataFrame, bool, set[str]]:
    """(the first rows of a file as they are in it, whether these are all, the columns whose texts are JSON numbers)."""
    source = _source(path, source_type, table, STANDARD)
    opened = _Beginning(open_source(folders, source, str(path.absolute())), LOOKED_AT)
    batches = [batch.normalized() for batch in opened.read(opened.offer(), report=_ignore)]
    kinds = [(name, kind) for batch in batches for name, kind in batch.kinds.items()]
    texts = {name for name, kind in kinds if kind.is_in([STRING, TEXT]).any()}
    frame = pl.concat([batch.frame for batch in batches], how="diagonal_relaxed")
    return frame, opened.whole, {name for name, _kind in kinds} - texts


def _source(path: Path, source_type: str, table: str | None, dialect: Dialect) -> Source:
    place = str(path)
    settings = FileSettings(place, place) if table is None else DatabaseSettings(place, place, table=table)
    return Source(name="file", type=source_type, settings=settings, dialect=dialect)


def _ignore(_warning: str) -> None:
    """It is warned of when the file is read."""


def _read(folders: ProjectFolders, source: Source, opened: OpenSource, keys: Mapping[str, KeyType]) -> SourceRows:
    return read_rows(folders, source, opened, opened.offer(), keys, latest=times.now() + FUTURE_TOLERANCE)


def _preview(
    folders: ProjectFolders,
    source: Source,
    keys: Mapping[str, KeyType],
    taken: SourceRows,
    rows: int,
    *,
    declared: bool,
    whole: bool,
    detected: Detected | None = None,
) -> SourcePreview:
    pins = read_pins(folders, source)
    columns = tuple(_column(source, keys, pins, taken.inferred, name) for name in taken.frame.columns)
    notes, questions = ((), ()) if detected is None else (detected.notes, detected.questions)
    notes += () if detected is None else tuple(each.note for each in detected.unlike.values())
    return SourcePreview(
        source, declared, columns, taken.frame.head(rows), taken.rows_read, taken.rejected_count, taken.rejected,
        (*taken.warnings, *notes), whole, questions,
    )  # fmt: skip


def _column(
    source: Source,
    keys: Mapping[str, KeyType],
    pins: Mapping[str, Scalar],
    inferred: Mapping[str, Scalar],
    name: str,
) -> PreviewColumn:
    times_of = source.dialect.time_format(name)
    written = times_of.format or (f"{times_of.unit} since 1970" if times_of.unit else None)
    kind: Scalar | None
    if name in keys:
        kind, origin = keys[name], "key"
    elif name in source.roles:
        kind, origin = "datetime", "declared"
    elif name in source.columns:
        kind, origin = source.columns[name].type, "declared"
    elif name in pins:
        kind, origin = pins[name], "pinned"
    else:
        kind, origin = "datetime" if written else inferred.get(name), "inferred"
    return PreviewColumn(name, source.dialect.in_file(name), kind, origin, written)


class _Beginning:
    """An open source of which only the first rows are read."""

    def __init__(self, opened: OpenSource, rows: int) -> None:
        self._opened, self._rows = opened, rows
        self.whole = True

    @property
    def complete(self) -> bool:
        return self._opened.complete

    def offer(self) -> Offer:
        return self._opened.offer()

    def missing(self, offer: Offer, cursor: Cursor) -> list[str]:
        return self._opened.missing(offer, cursor)

    def read(
        self, offer: Offer, *, since: Cursor = None, columns: Choose | None = None, report: Report
    ) -> Iterator[Batch]:
        count = 0
        for batch in self._opened.read(offer, since=since, columns=columns, report=report):
            if count >= self._rows and batch.frame.height:
                self.whole = False
                return
            yield batch
            count += batch.frame.height + batch.unreadable_count

    def place(self, origin: str, row: int) -> Place:
        return self._opened.place(origin, row)
