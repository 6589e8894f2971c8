"""``lock`` writes the version files and the metadata that `plan` shows, and settles what a merge left behind.

Reads and writes files only, runs no user code, and imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Literal

from featurestore.atomic import together
from featurestore.config import FILE, Project
from featurestore.errors import DeclarationError, StoreError, VersionFileError, os_reason
from featurestore.frozen import frozen
from featurestore.locking import write_lock
from featurestore.model import Problem
from featurestore.offline.contract import OfflineStore
from featurestore.offline.open import open_offline
from featurestore.registry.discovery import discover, select
from featurestore.registry.git import commit_of
from featurestore.regular import SETTINGS, VERSION, Fence, read_own
from featurestore.versioning.analysis.tree import SourceTree
from featurestore.versioning.folder import conflicts, files
from featurestore.versioning.folder.names import VersionName
from featurestore.versioning.folder.versionfile import is_file_of
from featurestore.versioning.known_hashes import store_known
from featurestore.versioning.recipe.version_hash import VersionHash
from featurestore.versioning.running.recipes import update_recipes
from featurestore.workflows.catalogue import Entry, read_entries
from featurestore.workflows.erasure.completion import complete_if_flagged
from featurestore.workflows.known_versions import KnownVersions
from featurestore.workflows.renaming import carry_versions
from featurestore.workflows.summaries import current_summary

MOST_PLACES = 5


@frozen
class LockedVersion:
    """A version file that `lock` wrote or renumbered, or whose feature's metadata it wrote."""

    name: str
    version: VersionName
    what: Literal["written", "renumbered", "metadata"]


@frozen
class LockResult:
    """What was written: version files, and the files (below the project) whose merge conflict was settled."""

    versions: tuple[LockedVersion, ...] = ()
    settled: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.versions or self.settled)


def lock(
    project: Project,
    names: Sequence[str] = (),
    *,
    dry_run: bool = False,
    skip_broken: bool = False,
    open_offline: Callable[[Project], OfflineStore] = open_offline,
) -> LockResult:
    """Writes the version files and the metadata that `plan` shows, and settles conflicts and clashes of numbers.

    Makes no version the active one. Raises DeclarationError for a name that is not declared and, unless
    ``skip_broken``, for any declaration that can't be used; VersionFileError for what a person has to settle, such as
    a reference by a number that is to move; StoreError where a file can't be written.
    """
    with nullcontext() if dry_run else write_lock(project):
        if not dry_run:
            complete_if_flagged(project, open_offline)
        tree = SourceTree(project.root)
        registry = discover(project, tree)
        if registry.broken and not names and not skip_broken:
            raise _unusable([item.problem for item in registry.broken])
        settled = tuple(path.relative_to(project.root).as_posix() for path in _settle(project, dry_run=dry_run))
        if settled and dry_run:  # what comes after it can't be read before
            return LockResult(settled=settled)
        chosen = select(registry, list(names))
        if not dry_run:
            carry_versions(project, chosen, [*registry.names(), *(item.name for item in registry.broken)])
        entries = read_entries(project, tree, chosen, promotions=False)
        problems = [entry.problem for entry in entries if entry.problem is not None]
        if problems and not skip_broken:
            raise _unusable(problems)
        new = any(entry.working is None for entry in entries)
        clashing = any(files.clashes(entry.versions) for entry in entries)
        known = KnownVersions.of_summary(project, current_summary(project).features if new or clashing else {})
        if clashing:
            _refuse_ambiguous(project, entries, known)
        commit = commit_of(project.root) if new and not dry_run else None
        try:
            with together():
                done = [item for entry in entries for item in _lock(project, entry, known, commit, dry_run=dry_run)]
        except OSError as exc:
            raise StoreError(f"can't be written: {os_reason(exc)}", where=str(project.versions)) from exc
        if not dry_run and not names and not problems:
            store_known(project.known_hashes, tree, _verified(project, entries))
        return LockResult(tuple(done), settled)


def _verified(project: Project, entries: Iterable[Entry]) -> Iterator[tuple[VersionHash, bytes]]:
    """The hashes whose version files are intact, with the bytes of these."""
    for entry in entries:
        hashed = entry.hashed
        assert hashed is not None  # there are no problems
        for name in files.versions_of(project.versions, entry.feature.name):
            if name.short == hashed.short and is_file_of(data := read_own(name.path, VERSION), hashed):
                yield hashed, data


def _settle(project: Project, *, dry_run: bool) -> Iterable[Path]:
    """Settles the files with conflict markers. Raises VersionFileError for one that a person has to settle."""
    found = sorted(conflicts.conflicting(project.versions))
    for path in found:  # first whether all can be, so that nothing is done halfway
        conflicts.settle(path, dry_run=True)
    for path in found if not dry_run else ():
        conflicts.settle(path)
    return found


def _refuse_ambiguous(project: Project, entries: Sequence[Entry], known: KnownVersions) -> None:
    """Raises VersionFileError where feature sets name versions by a number that two have, or that is to move.

    Nobody can say which of them is meant, but whoever wrote it: the error names every line, and what can stand there.
    """
    found: dict[str, tuple[str, str]] = {}
    for entry in entries:
        name = entry.feature.name
        if not files.clashes(entry.versions):
            continue
        moving = {before.number for before, _ in files.renumbering(entry.versions, known.held(name)).moved}
        lists = [(f"feature_sets.{name}", each) for name, each in project.feature_sets.items()]
        lists += [(f"models.{name}", each) for name, each in project.models.items()]
        for set_name, listed in lists:
            for reference in listed.features:
                feature, _, wanted = reference.rpartition("=")[-1].partition("@")
                if feature.rpartition(".")[-1] == name and wanted.isdecimal() and int(wanted) in moving:
                    found.setdefault(reference, (set_name, _way_out(reference, entry, int(wanted))))
    if found:
        raise _ambiguous(project, found)


def _way_out(reference: str, entry: Entry, number: int) -> str:
    """What can stand in place of a reference: the same by the digits of a hash."""
    before = reference.rpartition("@")[0]
    return " or ".join(f'"{before}@{item.short}"' for item in entry.versions if item.number == number)


def _ambiguous(project: Project, found: Mapping[str, tuple[str, str]]) -> VersionFileError:
    """The error for references (with their sets, and what can stand there instead)."""
    (set_name, _), *others = found.values()
    more = f"; the same goes for {len(others)} other reference{'s' * (len(others) > 1)}" if others else ""
    return VersionFileError(
        f"{set_name} says {next(iter(found))}, but several versions have that number, and only one can keep it{more}",
        where=str(project.root / FILE),
        hint="; ".join(
            f"write {options} in place of {reference}{_lines(project, reference)}"
            for reference, (_, options) in found.items()
        )
        + "; then run featurestore lock again",
    )


def _lines(project: Project, reference: str) -> str:
    """Where a feature set's reference is written: `` (line 12)``."""
    text = Fence(project.root).read(project.root / FILE, SETTINGS).decode("utf-8", "replace")
    found = [
        str(number)
        for number, line in enumerate(text.splitlines(), 1)
        if not line.lstrip().startswith("#") and (f'"{reference}"' in line or f"'{reference}'" in line)
    ]
    return f" (line{'s' if len(found) > 1 else ''} {', '.join(found)})" if found else ""


def _unusable(problems: Sequence[Problem]) -> DeclarationError:
    """The error for declarations that can't be used: the first one, and where the others are."""
    first, *others = problems
    message = first.message
    if others:
        places = ", ".join(str(item.where) for item in others[:MOST_PLACES])
        message += f"; and {len(others)} more can't be used: {places}" + (", …" if len(others) > MOST_PLACES else "")
    return DeclarationError(message, where=first.where, hint=first.hint)


def _lock(
    project: Project, entry: Entry, known: KnownVersions, commit: str | None, *, dry_run: bool
) -> list[LockedVersion]:
    name, folder = entry.feature.name, project.versions
    if entry.hashed is None:
        return []
    done: list[LockedVersion] = []
    if files.clashes(entry.versions):
        held = known.held(name)
        moved = files.renumbering(entry.versions, held).moved if dry_run else files.renumber(folder, name, held)
        done += [LockedVersion(name, after, "renumbered") for _, after in moved]
    if entry.working is None:
        number = known.number_for(name, files.versions_of(folder, name), entry.hashed.sha256)
        path = folder / name / VersionName.file_name(number, entry.hashed.sha256)
        written = VersionName(number, entry.hashed.short, path)
        if not dry_run:
            written = _write(project, entry.hashed, commit, number)
            files.write_metadata(folder, entry.feature)
        done.append(LockedVersion(name, written, "written"))
    elif _metadata_differs(folder, entry):
        if not dry_run:
            files.write_metadata(folder, entry.feature)
        done.append(LockedVersion(name, entry.working, "metadata"))
    if not dry_run:
        update_recipes(folder, name, entry.versions)
    return done


def _metadata_differs(folder: Path, entry: Entry) -> bool:
    """Whether the metadata file is missing, damaged, or not that of the working tree."""
    try:
        known = files.read_metadata(folder, entry.feature.name)
    except VersionFileError:
        return True
    return known is None or bool(files.metadata_changes(folder, entry.feature))


def _write(project: Project, hashed: VersionHash, commit: str | None, number: int) -> VersionName:
    from featurestore.workflows.ingest.targets import (
        write_version,  # imports the offline store, which plan and check don't need
    )

    return write_version(project, hashed, commit, number).name
