"""What a backup has beside the tables: version files, and kept rows of files that are gone.

Rows of files that are there are parsed again; those of files that are gone can't be, and features may look back at
them (`parsed.rows`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from featurestore.atomic import replace_atomically, write_atomically
from featurestore.config import Project
from featurestore.errors import FeatureStoreError, from_os_error
from featurestore.frozen import frozen
from featurestore.model import FEATURE_NAME
from featurestore.offline.contract import OfflineStore
from featurestore.offline.ownership import FILE as PROJECT_ID
from featurestore.parsed.index import Index, index_text, parse_index, read_index, write_index
from featurestore.regular import DERIVED, VERSION, read_own
from featurestore.workflows.backup.archive import Archive, ArchiveWriter
from featurestore.workflows.ingest.taken import read_taken

VERSIONS, ROWS = "versions/", "rows/"
_INDEX = "index.json"
_TEMPORARY = re.compile(r"\..*\.tmp")
_KEPT_FILE = re.compile(r"[0-9a-f]{32}\.parquet")
_LONGEST = 1_000


@frozen
class VersionFiles:
    """The version files of a backup beside those of a project: which ones it lacks, and which ones differ.

    The names are relative to ``features/.versions``.
    """

    missing: tuple[str, ...] = ()
    different: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.missing, *self.different)


def version_files(project: Project) -> Iterator[tuple[str, bytes]]:
    """The files in ``features/.versions``, by name. Raises StoreError, FeatureStoreError."""
    try:
        for folder, folders, names in os.walk(project.versions):
            folders.sort()
            for name in sorted(names):
                path = Path(folder, name)
                if not _TEMPORARY.fullmatch(name):
                    yield _name_of(project, path), read_own(path, VERSION)
    except OSError as exc:
        raise from_os_error(exc) from exc


def _name_of(project: Project, path: Path) -> str:
    name = path.relative_to(project.versions).as_posix()
    if not _is_safe(name):
        raise FeatureStoreError("has a name that a backup can't have", where=str(path), hint="rename it")
    return name


def compare_versions(project: Project, archive: Archive) -> VersionFiles:
    """Raises DamagedError for a backup with names that no project has, FeatureStoreError for links in the way.

    A project that has an id keeps it.
    """
    missing, different = [], []
    for member in archive.members.values():
        if not member.name.startswith(VERSIONS):
            continue
        name = member.name.removeprefix(VERSIONS)
        path = _place(project, archive, name)
        if not os.path.lexists(path):
            missing.append(name)
        elif name != PROJECT_ID and sha256(_read(path)).hexdigest() != member.sha256:
            different.append(name)
    return VersionFiles(tuple(missing), tuple(different))


def _read(path: Path) -> bytes:
    try:
        return read_own(path, VERSION)
    except OSError as exc:
        raise from_os_error(exc) from exc


def _place(project: Project, archive: Archive, name: str) -> Path:
    """Where a version file goes. Never out of ``features/.versions``, nor through a link."""
    if not _is_safe(name) or archive.members[VERSIONS + name].size > VERSION:
        raise archive.damaged(f"has a version file {name!r}, which no project has")
    path = project.versions
    for part in name.split("/"):
        if path.is_symlink() or (os.path.lexists(path) and not path.is_dir()):
            raise FeatureStoreError(
                "is not a folder: version files are not written there", where=str(path), hint="move it away"
            )
        path /= part
    return path


def _is_safe(name: str) -> bool:
    """Whether a relative name leads to a file inside, on every system."""
    parts = name.split("/")
    odd = any(
        part in ("", ".", "..") or part != part.strip() or re.search(r"[\\:\x00-\x1f\x7f]", part) for part in parts
    )
    return not odd and len(name) <= _LONGEST and name.isprintable()


def write_versions(project: Project, archive: Archive, files: VersionFiles) -> None:
    """Writes what the project lacks, and what differs. Used in `atomic.together`. Raises OSError, DamagedError."""
    for name in files.all:
        write_atomically(_place(project, archive, name), archive.read(VERSIONS + name))


# --- kept rows -------------------------------------------------------------------------------------------


def add_rows(project: Project, store: OfflineStore, writer: ArchiveWriter) -> int:
    """Adds the kept rows of contents that are gone; returns how many files of rows these are."""
    count = 0
    for path in sorted(project.state.glob(f"rows/*/{_INDEX}")):
        source, index = path.parent.name, _of_gone(store, path.parent.name, read_index(path))
        there = []
        for name in index.files:
            with suppress(FileNotFoundError):  # a run may have dropped it just now: nothing needs it any more
                data = read_own(path.parent / name, DERIVED)
                writer.add(f"{ROWS}{source}/{name}", data)
                there.append(name)
        if there:
            writer.add(f"{ROWS}{source}/{_INDEX}", index_text(_in_files(index, there)))
        count += len(there)
    return count


def _in_files(index: Index, names: Collection[str]) -> Index:
    """The part of an index that is about contents which lie in some of its files."""
    contents = {sha: kept for sha, kept in index.contents.items() if {piece.file for piece in kept.pieces} <= {*names}}
    return Index(contents, {name: index.files[name] for name in names}, index.dropped)


def _of_gone(store: OfflineStore, source: str, index: Index) -> Index:
    """The part of an index that is about contents which can't be read again."""
    with store.reading():
        taken = [each for position in store.positions(source) if (each := read_taken(position.cursor)) is not None]
    gone = {content for each in taken for content in (*each.missed, *each.replaced)}
    contents = {sha: kept for sha, kept in index.contents.items() if sha in gone}
    files = {piece.file for kept in contents.values() for piece in kept.pieces}
    return Index(
        contents,
        {name: item for name, item in index.files.items() if name in files},
        {sha: high for sha, high in index.dropped.items() if sha in gone},
    )


def write_rows(project: Project, archive: Archive) -> None:
    """Adds the kept rows of a backup to those of the project. Raises OSError, DamagedError."""
    for source, names in _rows_of(archive).items():
        folder = project.state / "rows" / source
        added = parse_index(archive.read(f"{ROWS}{source}/{_INDEX}"))
        pieces = {piece.file for kept in added.contents.values() for piece in kept.pieces}
        if added.files.keys() != names or not pieces <= names:
            raise archive.damaged(f"has other kept rows of {source} than it says")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        index = read_index(folder / _INDEX)
        fresh = {sha: kept for sha, kept in added.contents.items() if sha not in index.contents}
        wanted = {piece.file for kept in fresh.values() for piece in kept.pieces} - index.files.keys()
        for name in wanted:
            with replace_atomically(folder / name, mode=0o600) as file:
                file.write(archive.read(f"{ROWS}{source}/{name}"))
        index.contents |= fresh
        index.files |= {name: added.files[name] for name in wanted}
        index.dropped = {**added.dropped, **index.dropped}
        write_index(folder / _INDEX, index)


def _rows_of(archive: Archive) -> Mapping[str, set[str]]:
    """The files of kept rows by source."""
    found: dict[str, set[str]] = {}
    for member in archive.members.values():
        if not member.name.startswith(ROWS):
            continue
        source, _, name = member.name.removeprefix(ROWS).partition("/")
        sound = FEATURE_NAME.fullmatch(source) and (name == _INDEX or _KEPT_FILE.fullmatch(name))
        if not sound or member.size > DERIVED or f"{ROWS}{source}/{_INDEX}" not in archive.members:
            raise archive.damaged(f"has a file {member.name!r}, which no project has")
        found.setdefault(source, set()).update({name} - {_INDEX})
    return found
