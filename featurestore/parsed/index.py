"""What is kept of a source's rows: contents, each with the pieces of files that hold its rows. One JSON file a source.

A content is the bytes of one file (or database) by their hash, however the file is called. It is kept for one way of
reading: the settings, rules and keys that `reading_of` hashes, and the types of columns, which are with the content.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from operator import attrgetter
from pathlib import Path
from typing import Any

from featurestore.atomic import write_atomically
from featurestore.frozen import frozen
from featurestore.model import Json, KeyType, RejectedRow, Scalar, Source
from featurestore.regular import DERIVED, read_own
from featurestore.sources.offers import reading_settings

FORMAT = 1
# To be raised where the same bytes are read as other rows.
READER = 4


@frozen
class Piece:
    """Consecutive rows of a file of kept rows, and their lowest and highest event time (µs; None without times)."""

    file: str
    start: int
    rows: int
    low: int | None
    high: int | None


@frozen
class Kept:
    """A content that is kept. ``rows`` are those that were read, ``last`` is the number of the last of them.

    ``columns`` has the types that its columns were read with; None for one that has nulls alone, or a type of its own,
    and for one of ``unread``: those of the content's columns whose values are not kept, since nobody needed them.
    ``misfits`` and ``misfit_counts`` are those of `sources.column_types.ColumnTypes`: rows that some columns set aside.
    """

    sha256: str
    size: int
    reading: str
    columns: Mapping[str, Scalar | None]
    pieces: tuple[Piece, ...]
    rows: int
    last: int
    rejected_count: int = 0
    rejected: tuple[RejectedRow, ...] = ()
    misfits: tuple[RejectedRow, ...] = ()
    misfit_counts: tuple[tuple[tuple[str, ...], int], ...] = ()
    unread: frozenset[str] = frozenset()

    @property
    def low(self) -> int | None:
        return min((piece.low for piece in self.pieces if piece.low is not None), default=None)

    @property
    def high(self) -> int | None:
        return max((piece.high for piece in self.pieces if piece.high is not None), default=None)

    @property
    def accepted(self) -> int:
        return sum(piece.rows for piece in self.pieces)


@frozen
class KeptFile:
    """A file of kept rows: how many, its size in bytes, and its CRC-32.

    ``ranges`` are the lowest and the highest value of columns that rows are looked up by; where a column is not among
    them they may be anything. ``row_bytes`` is how much memory a row takes.
    """

    rows: int
    size: int
    crc: int
    ranges: Mapping[str, tuple[int, int] | tuple[str, str]] = field(default_factory=dict)
    row_bytes: int | None = None


@dataclass(slots=True)
class Index:
    """All that is kept of one source. ``dropped`` has the latest event time (µs) of rows that went, by content."""

    contents: dict[str, Kept] = field(default_factory=dict)
    files: dict[str, KeptFile] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)


def reading_of(source: Source, keys: Mapping[str, KeyType], library: str) -> str:
    """What decides how the bytes of a source become rows, but for the types of undeclared columns, as a hash.

    ``library`` is the version of the library that parses.
    """
    document = {"reader": READER, "library": library, "keys": dict(keys), **reading_settings(source)}
    return hashlib.sha256(json.dumps(document, sort_keys=True, default=str).encode()).hexdigest()


def read_index(path: Path) -> Index:
    """The index; an empty one where it is missing, damaged or of another release: all is parsed again then."""
    try:
        return parse_index(read_own(path, DERIVED))
    except OSError:
        return Index()


def parse_index(text: bytes) -> Index:
    """The index in a file's bytes; an empty one as for `read_index`."""
    try:
        document = json.loads(text)
        if document["format"] != FORMAT:
            return Index()
        return Index(
            contents={item["sha256"]: _read_kept(item) for item in document["contents"]},
            files={name: KeptFile(**item) for name, item in document["files"].items()},
            dropped={str(sha256): int(high) for sha256, high in document["dropped"].items()},
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return Index()


def write_index(path: Path, index: Index) -> None:
    """Writes it where it is another than the one that is there. Raises OSError."""
    text = index_text(index)
    with suppress(OSError):
        if read_own(path, DERIVED) == text:
            return  # it is on disk already, and to flush it takes longer than to read it
    write_atomically(path, text, mode=0o600)


def index_text(index: Index) -> bytes:
    """The bytes of an index's file."""
    document: dict[str, Json] = {
        "format": FORMAT,
        "contents": [_kept_json(kept) for kept in index.contents.values()],
        "files": {name: asdict(item) for name, item in index.files.items()},
        "dropped": dict(index.dropped),
    }
    return json.dumps(document, ensure_ascii=True).encode()


def _kept_json(kept: Kept) -> dict[str, Json]:
    return {
        "sha256": kept.sha256, "size": kept.size, "reading": kept.reading, "columns": dict(kept.columns),
        "pieces": [[piece.file, piece.start, piece.rows, piece.low, piece.high] for piece in kept.pieces],
        "rows": kept.rows, "last": kept.last, "rejected_count": kept.rejected_count,
        "rejected": [_row_json(row) for row in kept.rejected],
        "misfits": [_row_json(row) for row in kept.misfits],
        "misfit_counts": [[list(columns), count] for columns, count in kept.misfit_counts],
        "unread": sorted(kept.unread),
    }  # fmt: skip


_FIELDS = tuple(field.name for field in fields(RejectedRow))
_facts = attrgetter(*_FIELDS)


def _row_json(row: RejectedRow) -> dict[str, Json]:
    """The row as `asdict` gives it, which copies all that is in it: with thousands of rows that is half of a run."""
    return dict(zip(_FIELDS, _facts(row), strict=True))


def _read_kept(item: Mapping[str, Any]) -> Kept:
    given = dict(item)
    given["pieces"] = tuple(Piece(*piece) for piece in given["pieces"])
    given["rejected"] = tuple(RejectedRow(**row) for row in given["rejected"])
    given["misfits"] = tuple(RejectedRow(**row) for row in given.get("misfits", ()))
    given["misfit_counts"] = tuple((tuple(columns), count) for columns, count in given.get("misfit_counts", ()))
    given["unread"] = frozenset(given.get("unread", ()))
    return Kept(**given)
