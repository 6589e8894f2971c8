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
from featurestore.model import Problem
from featurestore.registry.discovery import BrokenDeclaration, Registry, discover, select
from featurestore.registry.git import commit_of
from featurestore.versioning.analysis.tree import SourceTree
from featurestore.versioning.explain import explain
from featurestore.versioning.folder import files
from featurestore.versioning.folder.versionfile import VersionName, read_version
from featurestore.versioning.recipe.closure import Limit
from featurestore.versioning.recipe.hashing import VersionHash
from featurestore.workflows.catalogue import Entry, read_entries
from featurestore.workflows.lives import read_lives
from featurestore.workflows.remarks import version_remarks
from featurestore.workflows.renaming import carry_versions
from featurestore.workflows.summaries import current_summary

MOST_PLACES = 5

Change = Literal["new", "changed", "metadata", "removed", "none"]


@frozen
class PlannedFeature:
    """What would change of one feature, and why.

    ``old`` is the version that the working tree is compared with (the active one, else the last written); ``locked``
    is the version file of the working tree's code, where there is one. ``limits`` are what decides the values of a new
    or changed feature and is not part of its hash.
    """

    name: str
    change: Change
    reasons: tuple[str, ...] = ()
    old: VersionName | None = None
    old_sha256: str | None = None
    new_sha256: str | None = None
    locked: VersionName | None = None
    next_number: int | None = None
    limits: tuple[Limit, ...] = ()


@frozen
class VersionPlan:
    """The selected features, by name, the declarations that can't be used, and the files that can't be modules."""

    features: tuple[PlannedFeature, ...]
    broken: tuple[BrokenDeclaration, ...]
    warnings: tuple[str, ...] = ()
    left_out: tuple[BrokenDeclaration, ...] = ()

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
    lives = read_lives(project, registry)
    left = [name for name in versions if name not in present and (not names or name in names)]
    removed = [name for name in left if lives.retired(name) is None]
    declared = [name for name in names if name not in left]
    history = current_summary(project)
    entries = read_entries(project, tree, select(registry, declared) if declared or not names else [], history)
    renamed = {entry.feature.renamed_from for entry in entries if entry.feature.renamed_from}
    planned = [_planned(entry) for entry in entries]
    planned += [_removed(name, versions[name], registry, renamed=name in renamed) for name in removed]
    broken = [
        *registry.broken,
        *(BrokenDeclaration(entry.feature.name, entry.problem) for entry in entries if entry.problem),
    ]
    remarks = [
        line
        for entry, item in zip(entries, planned, strict=False)
        if item.change in ("new", "changed") and item.locked is None and entry.hashed is not None
        for line in version_remarks(entry.hashed)
    ]
    warnings = (*history.warnings, *remarks)
    return VersionPlan(tuple(sorted(planned, key=lambda item: item.name)), tuple(broken), warnings, registry.left_out)


def lock(
    project: Project, names: Sequence[str] = (), *, dry_run: bool = False, skip_broken: bool = False
) -> list[LockedVersion]:
    """Writes the version files and the metadata that `plan` shows, and settles clashes of numbers.

    Makes no version the active one. Raises DeclarationError for a name that is not declared and, unless
    ``skip_broken``, for any declaration that can't be used, StoreError where a file can't be written. Nothing was
    written then.
    """
    with write_lock(project):
        tree = SourceTree(project.root)
        registry = discover(project, tree)
        chosen = select(registry, list(names))
        if not dry_run:
            carry_versions(project, chosen, [*registry.names(), *(item.name for item in registry.broken)])
        entries = read_entries(project, tree, chosen)
        problems = [entry.problem for entry in entries if entry.problem is not None]
        problems = problems if names else [*(item.problem for item in registry.broken), *problems]
        if problems and not skip_broken:
            raise _unusable(problems)
        writes = not dry_run and any(entry.working is None for entry in entries)
        commit = commit_of(project.root) if writes else None
        try:
            return [done for entry in entries for done in _lock(project, entry, commit, dry_run=dry_run)]
        except OSError as exc:
            raise StoreError(f"can't be written: {os_reason(exc)}", where=str(project.versions)) from exc


def _unusable(problems: Sequence[Problem]) -> DeclarationError:
    """The error for declarations that can't be used: the first one, and where the others are."""
    first, *others = problems
    message = first.message
    if others:
        places = ", ".join(str(item.where) for item in others[:MOST_PLACES])
        message += f"; and {len(others)} more can't be used: {places}" + (", …" if len(others) > MOST_PLACES else "")
    return DeclarationError(message, where=first.where, hint=first.hint)


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
        return PlannedFeature(
            name, "new", (reason,), new_sha256=hashed.sha256, next_number=following, limits=hashed.limits
        )
    if old.short != hashed.short:
        before = read_version(old.path)
        reasons = tuple(explain(before.parts, hashed.parts))
        return PlannedFeature(
            name, "changed", reasons, old, before.sha256, hashed.sha256, entry.working, following, hashed.limits
        )
    metadata = files.metadata_changes(old.path.parent.parent, entry.feature)
    if metadata:
        reasons = (f"metadata only: {', '.join(metadata)}",)
        return PlannedFeature(name, "metadata", reasons, old, hashed.sha256, hashed.sha256, entry.working)
    return PlannedFeature(name, "none", (), old, hashed.sha256, hashed.sha256, entry.working)


def _removed(name: str, versions: Sequence[VersionName], registry: Registry, *, renamed: bool) -> PlannedFeature:
    last = versions[-1]
    if registry.problems:
        feature = read_version(last.path).feature
        stem = feature.module.replace(".", "/")
        for item in registry.problems:
            place = (item.problem.where or "").partition(":")[0]
            if place in (f"{stem}.py", f"{stem}/__init__.py") and item.name in (place, feature.function):
                return PlannedFeature(name, "none", (f"its declaration in {place} can't be used",), last)
    reason = "renamed" if renamed else "no longer declared; its versions and history remain"
    return PlannedFeature(name, "removed", (reason,), last, read_version(last.path).sha256)
