"""Sources that are files: which files, the hashes by which a change is noticed, and that what was hashed is read.

What every file type shares. A type adds how one open file is read; see `sources.csv`. Files are hashed, not parsed:
an unchanged source costs no heavy import. Commands that read no source load this module only for its settings, so
libraries are imported where they are used.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeAlias

from featurestore.errors import NothingToReadError, SourceError, UsageError, os_reason, plural
from featurestore.frozen import frozen
from featurestore.model import Json, Source
from featurestore.regular import in_home
from featurestore.sources.contract import Choose, Content, Cursor, Offer, Place, ProjectFolders, Report, Start
from featurestore.sources.hashes import FileHashes, FileState, is_fresh, state_of
from featurestore.toml import TomlTable

if TYPE_CHECKING:
    from featurestore.tables.batch import Batch

STDIN = "stdin"
_BLOCK = 1 << 20
_WORTH_A_THREAD = 48 << 20  # bytes
_NAMED = 3  # of files that are left out

MOST_TAIL = 256 << 20
"""Bytes that a file may have grown by and yet be read from where it ended: they are read at once."""

FindTail: TypeAlias = Callable[[IO[bytes], int], bytes | None]
"""What must stand before the bytes after the first so many, that they can be read alone; None where they can't."""

ReadFile: TypeAlias = Callable[[IO[bytes], str, Choose | None, Report], "Iterator[Batch]"]
"""Reads one open file: its stream, its name, which columns are needed (None: all), and where warnings go."""


ReadBundle: TypeAlias = Callable[[Iterable[tuple[str, bytes]], Report], "Iterator[Batch]"]
"""Reads small files, given by name and bytes, several at a time where that is possible."""

SMALL_FILE = 256 << 10
_BUNDLE = 16 << 20  # bytes of small files that are read together


@frozen
class FileSettings:
    """Where the files are: a path relative to the project, or a pattern. ``ignored`` are keys that have no effect.

    ``location`` is the path as featurestore.toml has it, for people: the variables in it may hold anything. With
    ``partitions`` each folder ``name=value`` of a path is a column.
    """

    path: str
    location: str
    ignored: tuple[str, ...] = ()
    partitions: bool = False

    @property
    def identity(self) -> Mapping[str, Json]:
        # Fingerprints of the first release hold a delimiter for every type; without it each stored one would change.
        return {"delimiter": ",", "partitions": True} if self.partitions else {"delimiter": ","}


def read_path(table: TomlTable) -> FileSettings:
    """The settings of a type that needs nothing but a path.

    The first release took a ``delimiter`` for every type; a type of that time still has the key, and says that it has
    no effect.
    """
    ignored = tuple(key for key in ("delimiter",) if key in table.data)
    return FileSettings(table.required_text("path"), written_path(table), ignored, read_partitions(table))


def named_in_files(source: Source) -> frozenset[str]:
    """The columns that a source's own settings name, as they are called in its files."""
    return frozenset(source.dialect.in_file(name) for name in (*source.roles, *source.id, *source.columns))


def read_partitions(table: TomlTable) -> bool:
    """Whether folders in paths are columns."""
    return bool(table.get("partitions", bool, False))


def written_path(table: TomlTable) -> str:
    """The path of a source as it is written, with its variables."""
    return str(table.data.get("path"))


@frozen
class HashedFile:
    """A file as it was hashed, and how to find the very same bytes again: the path and its state, or a copy.

    ``name`` is relative to the project if the file is inside it, ``stdin`` for a pipe. With ``fresh`` the file was
    written so shortly before that its state alone proves nothing. ``beginning`` is the SHA-256 of as many of its first
    bytes as there were when it was hashed before.
    """

    name: str
    size: int
    sha256: str
    path: Path
    state: FileState
    fresh: bool = False
    copy: IO[bytes] | None = None
    beginning: tuple[int, str] | None = None


class FileSource:
    """`OpenSource` on files, given how one of them is read and what a row is called."""

    def __init__(
        self,
        folders: ProjectFolders,
        source: Source,
        given: str | None,
        read_file: ReadFile | None = None,
        *,
        complete: bool = True,
        row_word: str = "row",
        tail: FindTail | None = None,
        read_bundle: ReadBundle | None = None,
    ) -> None:
        assert isinstance(source.settings, FileSettings), "made by the type's own read_settings"
        self.complete = complete
        self._folders, self._name, self._given = folders, source.name, given
        self._path, self._location = source.settings.path, source.settings.location
        self._partitions, self._type = source.settings.partitions, source.type
        self._warnings = tuple(
            f"sources.{source.name}.{key} has no effect on {source.type} files" for key in source.settings.ignored
        )
        self._read_file, self._row_word, self._tail = read_file, row_word, tail
        self._read_bundle = None if self._partitions else read_bundle

    def offer(self) -> Offer:
        found = self._without_empty(self._find())
        if self._given is None:
            _refuse_odd(self._folders, found)
        hashes = FileHashes(self._folders.state, self._name)
        lines = self._type in ("csv", "ndjson")
        files = [_hash(self._folders, path, hashes, lines=lines) for path in found]
        if self._given is None:
            hashes.store()
        return Offer(
            content={"files": sorted([file.name, file.sha256] for file in files)},
            cursor={"files": {file.name: file.sha256 for file in files}},
            size=sum(file.size for file in files),
            contents=self._contents(files),
            warnings=self._warnings,
            once=any(file.copy is not None for file in files),
            handle=files,
        )

    def missing(self, offer: Offer, cursor: Cursor) -> list[str]:
        """The files that are no longer there, under any name: one that was renamed is not missing."""
        now = _files_of(offer.cursor)
        hashes = set(now.values())
        return sorted(name for name, sha256 in _files_of(cursor).items() if name not in now and sha256 not in hashes)

    def read(
        self,
        offer: Offer,
        *,
        since: Cursor = None,
        only: Mapping[str, Start | None] | None = None,
        columns: Choose | None = None,
        report: Report,
    ) -> Iterator[Batch]:
        assert isinstance(offer.handle, list), "an offer of this source"
        schemas, done = FileSchemas(), 0
        for file in offer.handle:
            if only is not None and file.name not in only:
                continue
            start = None if only is None else only[file.name]
            for batch in schemas.seen(self._batches(file, start, columns, report), complete=self.complete):
                yield replace(batch, read=done + batch.read)
            done += file.size
        schemas.report(report)

    def _batches(
        self, file: HashedFile, start: Start | None, columns: Choose | None, report: Report
    ) -> Iterator[Batch]:
        assert self._read_file is not None, "given, unless `read` is another"
        with open_hashed(file) as stream:
            if start is None or self._tail is None:
                batches = self._read_file(stream, file.name, columns, report)
            else:
                batches = self._read_tail(stream, start, file.name, columns, report)
            if self._partitions and (parts := partitions_of(file.name)):
                batches = (batch.with_constants(parts) for batch in batches)
            if self._tail is None:
                yield from batches
                return
            # A text format is read from its first byte to its last, and to cut it takes as long as what comes then.
            with ExitStack() as stack:
                if file.size > _WORTH_A_THREAD:
                    from featurestore.tables.ahead import one_ahead  # small files need no threads

                    batches = stack.enter_context(closing(one_ahead(batches)))
                for batch in batches:
                    yield replace(batch, read=0 if file.copy is not None else stream.tell())

    def read_together(
        self, offer: Offer, only: Mapping[str, Start | None] | None, columns: Choose | None, report: Report
    ) -> Iterator[Batch]:
        """`read` of all contents or of some; a batch may have the rows of many small ones (`Batch.parts`)."""
        read_bundle = self._read_bundle
        files = [] if read_bundle is None else _bundles(offer, only)
        if read_bundle is None or not any(len(bundle) > 1 for bundle in files):
            yield from self.read(offer, only=only, columns=columns, report=report)
            return
        schemas, done = FileSchemas(), 0
        for bundle in files:
            start = None if only is None else only[bundle[0].name]
            together = len(bundle) > 1
            batches = (
                read_bundle(map(_whole, bundle), report)
                if together
                else self._batches(bundle[0], start, columns, report)
            )
            for batch in schemas.seen(batches, complete=self.complete):
                yield replace(batch, read=done + batch.read)
            done += sum(file.size for file in bundle)
        schemas.report(report)

    def _read_tail(
        self, stream: IO[bytes], start: Start, name: str, columns: Choose | None, report: Report
    ) -> Iterator[Batch]:
        assert self._tail is not None, "`can_start` says so"
        assert self._read_file is not None, "given, unless `read` is another"
        header = self._tail(stream, start.size) or b""
        stream.seek(start.size)
        with BytesIO(header + stream.read()) as tail:
            for batch in self._read_file(tail, name, columns, report):
                yield batch.moved(start.rows)

    def can_start(self, offer: Offer, name: str, size: int) -> bool:
        if self._tail is None:
            return False
        file = _find_file(offer, name)
        if file.copy is not None or file.size - size > MOST_TAIL:
            return False
        with open_hashed(file) as stream:
            return self._tail(stream, size) is not None

    def begins_with(self, offer: Offer, name: str, size: int, sha256: str) -> bool:
        file = _find_file(offer, name)
        if file.size < size:
            return False
        if file.beginning is not None and file.beginning[0] == size:
            return self._identity(name, file.beginning[1]) == sha256
        with open_hashed(file) as stream:
            return self._identity(name, _digest_first(stream, size)) == sha256

    def _contents(self, files: Sequence[HashedFile]) -> tuple[Content, ...]:
        return tuple(Content(file.name, self._identity(file.name, file.sha256), file.size) for file in files)

    def _identity(self, name: str, sha256: str) -> str:
        """What identifies a file's rows: its bytes, and the columns that its path gives, where it gives any."""
        parts = partitions_of(name) if self._partitions else {}
        return f"{sha256}@{json.dumps(parts, sort_keys=True)}" if parts else sha256

    def place(self, origin: str, row: int) -> Place:
        return Place(f"{origin} {self._row_word} {row}", origin, row)

    def _find(self) -> list[Path | None]:
        """Paths in reading order; None means stdin. ``--input`` is relative to the current folder."""
        if self._given == "-":
            return [None]
        base, pattern = (self._folders.root, self._path) if self._given is None else (Path.cwd(), self._given)
        shown = self._location if self._given is None else self._given
        where = f"source {self._name}"
        pattern = str(in_home(pattern))
        path = base / pattern
        if path.is_dir():
            return list(self._in_folder(path, shown, where))
        files = _matching(base, pattern)
        if not files:
            fix = "" if self._given else f"; fix sources.{self._name}.path or give --input PATH"
            raise NothingToReadError(_none_there(shown), where=where, hint=f"looked in {base}{fix}")
        return list(files)

    def _without_empty(self, found: list[Path | None]) -> list[Path | None]:
        """Leaves empty files out, each with a warning; where all are, the first one is refused later."""
        empty = [path for path in found if path is not None and _is_empty(path)]
        if not empty or len(empty) == len(found):
            return found
        names = [_name(self._folders, path) for path in empty[:_NAMED]]
        more = f" and {len(empty) - _NAMED} more" if len(empty) > _NAMED else ""
        verb = "is" if len(empty) == 1 else "are"
        text = f"{', '.join(names)}{more} {verb} empty (0 bytes) and left out: still being written, or cut?"
        self._warnings = tuple(dict.fromkeys([*self._warnings, text]))
        return [path for path in found if path not in empty]

    def _in_folder(self, folder: Path, shown: str, where: str) -> list[Path]:
        """The files of a folder, and of those below it, that are named like files of the source's type."""
        suffixes = SUFFIXES.get(self._type, ())
        names = sorted(
            path.relative_to(folder)
            for path in folder.rglob("*")
            if path.is_file() and not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
        )
        found = [folder / name for name in names if is_named(name.name, suffixes)]
        if not found:
            raise NothingToReadError(
                f"{shown} is a folder without {self._type} files", where=where,
                hint=f"their names end with {', '.join(suffixes)}; other names need a pattern, such as "
                f"{shown.rstrip('/')}/*.dat",
            )  # fmt: skip
        if left := len(names) - len(found):
            other = next(name for name in names if folder / name not in set(found))
            text = (
                f"source {self._name}: left out in {shown}: {plural(left, 'file')} not named like {self._type}, "
                f"such as {other}"
            )
            self._warnings = (*self._warnings, *(() if text in self._warnings else (text,)))
        return found


def check_given(given: str) -> None:
    """Raises UsageError where ``--input`` names nothing that is there: a mistyped path is no failed run."""
    base, pattern = Path.cwd(), str(in_home(given))
    if given != "-" and not (base / pattern).is_dir() and not _matching(base, pattern):
        raise UsageError(f"--input: {_none_there(given)}", hint=f"looked in {base}; - is standard input")


def _matching(base: Path, pattern: str) -> list[Path]:
    """The file of that path below a folder, or those that match it as a pattern."""
    import glob

    if (base / pattern).exists():
        return [base / pattern]
    # Sorted, because the order of a folder depends on the file system, and rows that are equal stay in reading order.
    # Below the folder, not as a part of one pattern: its own name may hold [ ] or *.
    matches = sorted(glob.glob(pattern, root_dir=base, recursive=True))  # noqa: PTH207  # a pattern may be absolute
    return [base / name for name in matches if not (base / name).is_dir()]


def _none_there(pattern: str) -> str:
    import glob

    return f"no file matches {pattern}" if glob.has_magic(pattern) else f"{pattern} does not exist"


def _bundles(offer: Offer, only: Mapping[str, Start | None] | None) -> list[list[HashedFile]]:
    """The files to read, in order: small ones that follow each other together, all others alone."""
    assert isinstance(offer.handle, list), "an offer of this source"
    bundles: list[list[HashedFile]] = []
    room = 0
    for file in offer.handle:
        if only is not None and file.name not in only:
            continue
        whole = only is None or only[file.name] is None
        small = whole and file.copy is None and file.size <= SMALL_FILE
        if small and file.size <= room:
            bundles[-1].append(file)
        else:
            bundles.append([file])
            room = _BUNDLE if small else 0
        room -= file.size
    return bundles


def _whole(file: HashedFile) -> tuple[str, bytes]:
    with open_hashed(file) as stream:
        return file.name, stream.read()


class FileSchemas:
    """Which columns the files of a source have, to say where they differ."""

    def __init__(self) -> None:
        self._columns: dict[str, frozenset[str]] = {}

    def seen(self, batches: Iterable[Batch], *, complete: bool) -> Iterator[Batch]:
        """The batches; where each names all columns of its files, notes them by the first of each file."""
        for batch in batches:
            columns = frozenset(batch.names) if complete else frozenset()
            for name, _ in batch.parts or ((batch.origin, 0),):
                self._columns.setdefault(name, columns)
            yield batch

    def report(self, report: Report) -> None:
        """Says, once for each column, which files lack it, and which has it."""
        having = {column: name for name, columns in self._columns.items() for column in columns}
        for column in sorted(having):
            without = [name for name, columns in self._columns.items() if column not in columns]
            if without:
                more = f" and {plural(len(without) - 1, 'more file')}" if len(without) > 1 else ""
                lack = "have" if more else "has"
                report(f"{without[0]}{more} {lack} no column {column!r}, which {having[column]} has: it is null there")


SUFFIXES: Mapping[str, tuple[str, ...]] = {
    "csv": (".csv", ".tsv", ".txt"), "parquet": (".parquet", ".pq"), "arrow": (".arrow", ".feather", ".ipc"),
    "ndjson": (".jsonl", ".ndjson", ".json"), "sqlite": (".sqlite", ".sqlite3", ".db"), "duckdb": (".duckdb", ".db"),
}  # fmt: skip
"""How files of a type are named, in a folder that a path names."""

_PACKED = (".gz", ".zst", ".bz2", ".xz", ".zip")
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


def is_named(name: str, suffixes: tuple[str, ...]) -> bool:
    """Whether a file is named like those of a type, packed or not."""
    lowered = name.lower()
    for packed in _PACKED:
        lowered = lowered.removesuffix(packed)
    return lowered.endswith(suffixes)


def partitions_of(name: str) -> Mapping[str, str | None]:
    """The columns that the folders of a path are: ``year=2024/month=1/part.csv``."""
    from urllib.parse import unquote

    pairs = [part.partition("=") for part in name.split("/")[:-1] if "=" in part]
    return {unquote(key): None if value == _NO_VALUE else unquote(value) for key, _, value in pairs if key}


@contextmanager
def open_hashed(file: HashedFile) -> Iterator[IO[bytes]]:
    """Opens a file and makes sure that the bytes read are the bytes that were hashed.

    Raises SourceError when the file was touched between the hash and the end of the reading.
    """
    if file.copy is not None:
        file.copy.seek(0)
        yield file.copy
        return
    with _open(file.name, file.path) as stream:
        _check(file.name, file.state, os.fstat(stream.fileno()))
        try:
            yield stream
        except SourceError:
            _check(file.name, file.state, os.fstat(stream.fileno()))  # what changed meanwhile may look damaged
            raise
        if file.fresh:
            stream.seek(0)
            if _digest(stream) != file.sha256:
                raise _still_written(file.name)
        _check(file.name, file.state, os.fstat(stream.fileno()))
        try:
            # The name as well: another file may have been moved into its place.
            _check(file.name, file.state, file.path.stat())
        except OSError as exc:
            raise _still_written(file.name) from exc


def _find_file(offer: Offer, name: str) -> HashedFile:
    assert isinstance(offer.handle, list), "an offer of this source"
    found: HashedFile = next(file for file in offer.handle if file.name == name)
    return found


def _files_of(cursor: Cursor) -> Mapping[str, str]:
    files = cursor.get("files") if isinstance(cursor, dict) else None
    return files if isinstance(files, dict) else {}


def _hash(folders: ProjectFolders, path: Path | None, hashes: FileHashes, *, lines: bool) -> HashedFile:
    if path is None:
        return _copy(folders, STDIN, sys.stdin.buffer)
    name = _name(folders, path)
    with _open(name, path) as stream:
        before = os.fstat(stream.fileno())
        if not stat.S_ISREG(before.st_mode):
            return _copy(folders, name, stream)
        _check_size(name, before.st_size)
        state = state_of(before)
        sha256, beginning = hashes.find(name, state), None
        if sha256 is None:
            if lines:
                sha256, beginning = _digest_lines(stream, name, hashes.size_before(name))
            else:
                sha256 = _digest(stream)
            _check(name, state, os.fstat(stream.fileno()))
            hashes.add(name, state, sha256)
    return HashedFile(name, before.st_size, sha256, path, state, is_fresh(state), beginning=beginning)


def _refuse_odd(folders: ProjectFolders, paths: Iterable[Path | None]) -> None:
    """Raises SourceError for a pipe or a device that the project names: it comes with a clone, and may never end."""
    for path in paths:
        if path is not None and path.exists() and not path.is_file():
            raise SourceError(
                "is not a regular file: a pipe or a device is read only where you name it yourself",
                where=_name(folders, path),
                hint="name it with --input",
            )


def _digest(stream: BufferedReader) -> str:
    from hashlib import file_digest

    return file_digest(stream, "sha256").hexdigest()


def _digest_lines(stream: BufferedReader, name: str, size: int | None) -> tuple[str, tuple[int, str] | None]:
    """The hash of a text file, and that of its first ``size`` bytes if it has so many.

    A line that no row can be ends it at once, however much follows.
    """
    from hashlib import sha256

    from featurestore.tables.blocks import MAX_LINE
    from featurestore.tables.packed import packed_by

    if packed_by(stream.peek(10)[:10]) is not None:
        return _digest(stream), None
    digest, line, read = sha256(), 0, 0
    beginning: tuple[int, str] | None = None
    while block := stream.read(_BLOCK):
        if size is not None and read < size <= read + len(block):
            first = digest.copy()
            first.update(block[: size - read])
            beginning = size, first.hexdigest()
        digest.update(block)
        read += len(block)
        end = block.rfind(b"\n")
        end = block.rfind(b"\r") if end < 0 else end
        line = line + len(block) if end < 0 else len(block) - end - 1
        if line > MAX_LINE:
            what = f"has a line of more than {MAX_LINE >> 20} MiB"
            raise SourceError(what, where=name, hint="is this a file of rows at all?")
    return digest.hexdigest(), beginning


def _digest_first(stream: IO[bytes], size: int) -> str:
    from hashlib import sha256

    digest = sha256()
    while size and (block := stream.read(min(size, _BLOCK))):
        digest.update(block)
        size -= len(block)
    return digest.hexdigest()


def _copy(folders: ProjectFolders, name: str, stream: IO[bytes]) -> HashedFile:
    """Copies a pipe to an unnamed temporary file, which goes with the offer."""
    import tempfile
    from hashlib import sha256

    folder = folders.state
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        copy = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # it lives as long as the offer
        digest = sha256()
        while block := _read_block(name, stream):
            digest.update(block)
            copy.write(block)
        copy.flush()
        size = copy.tell()
    except OSError as exc:
        raise SourceError(f"can't be copied: {os_reason(exc)}", where=name, hint=f"is {folder} writable?") from exc
    _check_size(name, size)
    return HashedFile(name, size, digest.hexdigest(), Path(name), (0, 0, 0, 0, 0), copy=copy)


def _read_block(name: str, stream: IO[bytes]) -> bytes:
    try:
        return stream.read(_BLOCK)
    except OSError as exc:
        raise SourceError(f"can't be read: {os_reason(exc)}", where=name) from exc


def _is_empty(path: Path) -> bool:
    try:
        found = path.stat()
    except OSError:
        return False  # said where it is opened
    return stat.S_ISREG(found.st_mode) and not found.st_size


def _check_size(name: str, size: int) -> None:
    if not size:
        raise NothingToReadError(
            "is empty: 0 bytes", where=name, hint="is it still being written, or was the export cut?"
        )


def _open(name: str, path: Path) -> BufferedReader:
    try:
        return path.open("rb")
    except OSError as exc:
        raise SourceError(f"can't be read: {os_reason(exc)}", where=name) from exc


def _name(folders: ProjectFolders, path: Path) -> str:
    absolute = Path(os.path.abspath(path))  # noqa: PTH100  # a symbolic link keeps the name that the user gave it
    try:
        return absolute.relative_to(folders.root).as_posix()
    except ValueError:
        return absolute.as_posix()


def _check(name: str, state: FileState, status: os.stat_result) -> None:
    # But for the time of change, which a new link or another owner moves while the bytes stay.
    if state_of(status)[:-1] != state[:-1]:
        raise _still_written(name)


def _still_written(name: str) -> SourceError:
    return SourceError(
        "changed while it was read: it is still being written",
        where=name,
        hint="write it under another name and move it into place when it is complete, then run ingest again",
    )
