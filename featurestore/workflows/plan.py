"""``plan`` compares the working tree with the versions; ``lock`` writes the version files and metadata it shows.

Reads and writes files only, runs no user code, and imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from featurestore.config import Project
from featurestore.errors import DeclarationError, StoreError, os_reason
from featurestore.frozen import frozen
from featurestore.locking import write_lock
from featurestore.registry.discovery import BrokenDeclaration, discover, select
from featurestore.registry.git import commit_of
from featurestore.versioning.analysis.tree import SourceTree
from featurestore.versioning.explain import explain
from featurestore.versioning.folder import files
from featurestore.versioning.folder.versionfile import VersionName, read_version
from featurestore.versioning.recipe.hashing import VersionHash
from featurestore.workflows.catalogue import Entry, read_entries
from featurestore.workflows.summaries import current_summary

Change = Literal["new", "changed", "metadata", "removed", "none"]


@frozen
class PlannedFeature:
    """What would change of one feature, and why.

    ``old`` is the version that the working tree is compared with (the active one, else the last written); ``locked``
    is the version file of the working tree's code, where there is one.
    """

    name: str
    change: Change
    reasons: tuple[str, ...] = ()
    old: VersionName | None = None
    old_sha256: str | None = None
    new_sha256: str | None = None
    locked: VersionName | None = None
    next_number: int | None = None


@frozen
class VersionPlan:
    """The selected features, by name, and the declarations that can't be used."""

    features: tuple[PlannedFeature, ...]
    broken: tuple[BrokenDeclaration, ...]
    warnings: tuple[str, ...] = ()

    @property
    def changes(self) -> tuple[PlannedFeature, ...]:
        return tuple(item for item in self.features if item.change != "none")


@frozen
class LockedVersion:
    """A version file that `lock` wrote or renumbered, or whose feature's metadata it wrote."""

    name: str
    version: VersionName
    what: Literal["written", "renumbered", "metadata"]


def plan(project: Project, names: Sequence[str] = ()) -> VersionPlan:
    """Compares the working tree with the versions.

    Raises DeclarationError for a name that is neither declared nor has versions.
    """
    tree = SourceTree(project.root)
    registry = discover(project, tree)
    versions = files.all_versions(project.versions)
    present = {*registry.names(), *(item.name for item in registry.broken)}
    removed = [name for name in versions if name not in present and (not names or name in names)]
    declared = [name for name in names if name not in removed]
    history = current_summary(project)
    entries = read_entries(project, tree, select(registry, declared) if declared or not names else [], history)
    renamed = {entry.feature.renamed_from for entry in entries if entry.feature.renamed_from}
    planned = [_planned(entry) for entry in entries]
    planned += [_removed(name, versions[name], renamed=name in renamed) for name in removed]
    broken = [
        *registry.broken,
        *(BrokenDeclaration(entry.feature.name, entry.problem) for entry in entries if entry.problem),
    ]
    return VersionPlan(tuple(sorted(planned, key=lambda item: item.name)), tuple(broken), history.warnings)


def lock(project: Project, names: Sequence[str] = (), *, dry_run: bool = False) -> list[LockedVersion]:
    """Writes the version files and the metadata that `plan` shows, and settles clashes of numbers.

    Makes no version the active one. Raises DeclarationError for a name that is not declared, StoreError where a
    file can't be written.
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
            raise StoreError(f"can't be written: {os_reason(exc)}", where=str(project.versions)) from exc


def _lock(project: Project, entry: Entry, commit: str | None, *, dry_run: bool) -> list[LockedVersion]:
    name, folder = entry.feature.name, project.versions
    if entry.hashed is None:
        return []
    done: list[LockedVersion] = []
    if files.clashes(entry.versions):
        moved = [] if dry_run else files.renumber(folder, name)
        done += [LockedVersion(name, after, "renumbered") for _, after in moved]
    if entry.working is None:
        written = _next_name(entry, folder) if dry_run else _write(project, entry.hashed, commit)
        done.append(LockedVersion(name, written, "written"))
        if not dry_run:
            files.write_metadata(folder, entry.feature)
    elif files.metadata_changes(folder, entry.feature) or files.read_metadata(folder, name) is None:
        if not dry_run:
            files.write_metadata(folder, entry.feature)
        done.append(LockedVersion(name, entry.working, "metadata"))
    return done


def _next_name(entry: Entry, folder: Path) -> VersionName:
    assert entry.hashed is not None
    number = entry.versions[-1].number + 1 if entry.versions else 1
    path = folder / entry.feature.name / VersionName.file_name(number, entry.hashed.sha256)
    return VersionName(number, entry.hashed.short, path)


def _write(project: Project, hashed: VersionHash, commit: str | None) -> VersionName:
    from featurestore.workflows.ingest.targets import (
        write_version,  # imports the offline store, which plan and check don't need
    )

    return write_version(project, hashed, commit).name


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
    reason = "renamed" if renamed else "no longer declared; its versions and history remain"
    return PlannedFeature(name, "removed", (reason,), last, read_version(last.path).sha256)
