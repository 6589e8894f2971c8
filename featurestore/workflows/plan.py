"""What the working tree would change, and why; and the writing of it: version files and metadata.

Reads files only, runs no user code, and imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from featurestore import times
from featurestore.config import Project
from featurestore.errors import DeclarationError, StoreError
from featurestore.locking import write_lock
from featurestore.registry.discovery import Broken, discover, select
from featurestore.registry.git import commit_of
from featurestore.versioning.analysis.tree import SourceTree
from featurestore.versioning.folder import files
from featurestore.versioning.folder.versionfile import VersionName, read_version
from featurestore.versioning.recipe.hashing import explain
from featurestore.workflows.catalogue import Entry, read_entries
from featurestore.workflows.summaries import current_summary

Change = Literal["new", "changed", "metadata", "removed", "none"]


@dataclass(frozen=True, slots=True)
class PlannedFeature:
    """One feature: what would change and why.

    ``old`` is the version the working tree is compared with (the active one, else the last written), ``locked``
    the version file that already holds the working tree's code.
    """

    name: str
    change: Change
    reasons: tuple[str, ...] = ()
    old: VersionName | None = None
    old_sha256: str | None = None
    new_sha256: str | None = None
    locked: VersionName | None = None
    next_number: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The features that were asked for, by name, and the declarations that can't be used."""

    features: tuple[PlannedFeature, ...]
    broken: tuple[Broken, ...]
    warnings: tuple[str, ...] = ()

    @property
    def changes(self) -> tuple[PlannedFeature, ...]:
        return tuple(item for item in self.features if item.change != "none")


@dataclass(frozen=True, slots=True)
class LockedVersion:
    """A version file, and whether it was just written, renumbered, or only had its metadata written."""

    name: str
    version: VersionName
    what: Literal["written", "renumbered", "metadata"]


def plan(project: Project, names: Sequence[str] = ()) -> Plan:
    """Compares the working tree with the versions. Raises DeclarationError for a name that is neither."""
    tree = SourceTree(project.root)
    registry = discover(project, tree)
    held = files.all_versions(project.versions)
    known = {*registry.names(), *(item.name for item in registry.broken)}
    removed = [name for name in held if name not in known and (not names or name in names)]
    declared = [name for name in names if name not in removed]
    history = current_summary(project)
    entries = read_entries(project, tree, select(registry, declared) if declared or not names else [], history)
    renamed = {entry.feature.renamed_from for entry in entries if entry.feature.renamed_from}
    planned = [_planned(entry) for entry in entries]
    planned += [_removed(name, held[name], renamed=name in renamed) for name in removed]
    broken = [*registry.broken, *(Broken(entry.feature.name, entry.problem) for entry in entries if entry.problem)]
    return Plan(tuple(sorted(planned, key=lambda item: item.name)), tuple(broken), history.warnings)


def lock(project: Project, names: Sequence[str] = (), *, dry_run: bool = False) -> list[LockedVersion]:
    """Writes the version files and the metadata that `plan` shows, and settles clashes of numbers.

    Activates nothing. Raises DeclarationError for a name that is not declared, StoreError where it can't write.
    """
    with write_lock(project):
        tree = SourceTree(project.root)
        registry = discover(project, tree)
        entries = read_entries(project, tree, select(registry, list(names)))
        for entry in entries:
            if entry.problem is not None and names:
                raise DeclarationError(entry.problem.message, where=entry.problem.where, hint=entry.problem.hint)
        writes = not dry_run and any(entry.working is None for entry in entries)
        commit = commit_of(project.root) if writes else None
        try:
            return [done for entry in entries for done in _lock(project, entry, commit, dry_run=dry_run)]
        except OSError as exc:
            raise StoreError(f"can't be written: {exc.strerror}", where=str(project.versions)) from exc


def _lock(project: Project, entry: Entry, commit: str | None, *, dry_run: bool) -> list[LockedVersion]:
    name, folder = entry.feature.name, project.versions
    if entry.hashed is None:
        return []
    done: list[LockedVersion] = []
    if files.clashes(entry.versions):
        moved = [] if dry_run else files.renumber(folder, name)
        done += [LockedVersion(name, after, "renumbered") for _, after in moved]
    if entry.working is None:
        number = entry.versions[-1].number + 1 if entry.versions else 1
        path = folder / name / VersionName.file_name(number, entry.hashed.sha256)
        written = (
            VersionName(number, entry.hashed.short, path)
            if dry_run
            else files.write_version(folder, entry.hashed, created=times.now(), commit=commit).name
        )
        done.append(LockedVersion(name, written, "written"))
        if not dry_run:
            files.write_metadata(folder, entry.feature)
    elif files.metadata_changes(folder, entry.feature) or files.read_metadata(folder, name) is None:
        if not dry_run:
            files.write_metadata(folder, entry.feature)
        done.append(LockedVersion(name, entry.working, "metadata"))
    return done


def _planned(entry: Entry) -> PlannedFeature:
    name, hashed = entry.feature.name, entry.hashed
    old = entry.active or (entry.versions[-1] if entry.versions else None)
    if hashed is None:
        return PlannedFeature(name, "none", old=old, reasons=("its code can't be hashed",))
    following = entry.versions[-1].number + 1 if entry.versions else 1
    if old is None:
        reason = f"renamed from {entry.feature.renamed_from}" if entry.feature.renamed_from else "declared"
        return PlannedFeature(name, "new", (reason,), new_sha256=hashed.sha256, next_number=following)
    if old.short != hashed.short:
        before = read_version(old.path)
        reasons = tuple(explain(before.parts, hashed.parts))
        return PlannedFeature(name, "changed", reasons, old, before.sha256, hashed.sha256, entry.working, following)
    metadata = files.metadata_changes(old.path.parent.parent, entry.feature)
    if metadata:
        reasons = (f"metadata only: {', '.join(metadata)}",)
        return PlannedFeature(name, "metadata", reasons, old, hashed.sha256, hashed.sha256, entry.working)
    return PlannedFeature(name, "none", (), old, hashed.sha256, hashed.sha256, entry.working)


def _removed(name: str, versions: Sequence[VersionName], *, renamed: bool) -> PlannedFeature:
    last = versions[-1]
    reason = "renamed" if renamed else "no longer declared; its versions and history stay"
    return PlannedFeature(name, "removed", (reason,), last, read_version(last.path).sha256)
