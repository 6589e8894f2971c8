"""``plan`` compares the working tree with the versions.

Reads files only, runs no user code, and imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from featurestore.config import Project
from featurestore.evaluation.retention import check_retentions
from featurestore.frozen import frozen
from featurestore.model import Problem, Scope
from featurestore.registry.discovery import BrokenDeclaration, Registry, discover, select, unparsed_notes
from featurestore.versioning.analysis.tree import SourceTree
from featurestore.versioning.explain import explain
from featurestore.versioning.folder import files
from featurestore.versioning.folder.names import VersionName
from featurestore.versioning.folder.versionfile import VersionFile, read_version
from featurestore.versioning.known_hashes import KnownHashes
from featurestore.versioning.recipe.version_hash import Limit, VersionHash
from featurestore.workflows.catalogue import Entry, damaged_files, read_entries
from featurestore.workflows.feature_sets import models_using
from featurestore.workflows.known_versions import KnownVersions
from featurestore.workflows.lives import read_lives
from featurestore.workflows.remarks import version_remarks
from featurestore.workflows.summaries import current_summary

Change = Literal["new", "changed", "metadata", "removed", "none"]


@frozen
class NextIngest:
    """What the next run computes, as far as files say: everything, or what is new, and why."""

    whole: bool
    reason: str


@frozen
class PlannedFeature:
    """What would change of one feature, and why.

    ``old`` is the version that the working tree is compared with (the active one, else the last written); ``locked``
    is the version file of the working tree's code, where there is one. ``limits`` are what decides the values of a new
    or changed feature and is not part of its hash. ``ingest`` is what the next run computes, None of a feature that no
    run computes. ``promoted`` says that ``old`` was promoted, and that the code of a
    changed feature is therefore not what is used. ``models`` are those that the change touches. ``scope`` is None where
    no run has found it yet.
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
    promoted: bool = False
    models: tuple[str, ...] = ()
    scope: Scope | None = None
    ingest: NextIngest | None = None

    @property
    def is_pending(self) -> bool:
        """Whether there is something left to do: not where a version was promoted, and the code is that of another."""
        return self.change != "none" and not (self.promoted and self.locked is not None)


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


def plan(project: Project, names: Sequence[str] = ()) -> VersionPlan:
    """Compares the working tree with the versions.

    Raises DeclarationError for a name that is neither declared nor has versions.
    """
    tree = SourceTree(project.root)
    registry = discover(project, tree, parse_all=True)
    check_retentions(registry.features)
    versions = files.all_versions(project.versions)
    present = {*registry.names(), *(item.name for item in registry.broken)}
    lives = read_lives(project, registry)
    left = [name for name in versions if name not in present and (not names or name in names)]
    damaged = {name: damage for name in left if (damage := lives.damage(name)) is not None}
    removed = [name for name in left if name not in damaged and lives.retired(name) is None]
    declared = [name for name in names if name not in left]
    history = current_summary(project)
    chosen = select(registry, declared) if declared or not names else []
    entries = read_entries(project, tree, chosen, history, known=KnownHashes(project.known_hashes, tree))
    renamed = {entry.feature.renamed_from for entry in entries if entry.feature.renamed_from}
    known = KnownVersions.of_summary(project, history.features)
    planned = [replace(_planned(entry, known), scope=entry.scope, ingest=_next_ingest(entry)) for entry in entries]
    planned += [_removed(name, versions[name], registry, renamed=name in renamed) for name in removed]
    planned = [replace(item, models=_touched(project, item)) for item in planned]
    broken = [
        *registry.broken,
        *(BrokenDeclaration(entry.feature.name, entry.problem) for entry in entries if entry.problem),
        *damaged_files(entries),
        *(
            BrokenDeclaration(name, Problem(exc.code, exc.message, exc.where, exc.hint))
            for name, exc in damaged.items()
        ),
    ]
    remarks = [
        line
        for entry, item in zip(entries, planned, strict=False)
        if item.change in ("new", "changed") and item.locked is None and entry.hashed is not None
        for line in version_remarks(entry.hashed)
    ]
    warnings = (*history.warnings, *remarks, *unparsed_notes(registry, (item.problem for item in broken)))
    return VersionPlan(tuple(sorted(planned, key=lambda item: item.name)), tuple(broken), warnings, registry.left_out)


def _touched(project: Project, item: PlannedFeature) -> tuple[str, ...]:
    """The models that a change touches: of new code those that name no version, of a removal all."""
    uses = models_using(project, item.name) if item.is_pending else ()
    every = item.change == "removed" or any("max_age" in reason for reason in item.reasons)
    follow = item.change == "changed"
    return tuple(dict.fromkeys(use.model for use in uses if every or (follow and not use.pinned)))


def _planned(entry: Entry, known: KnownVersions) -> PlannedFeature:
    name, hashed = entry.feature.name, entry.hashed
    old = entry.active or (entry.versions[-1] if entry.versions else None)
    if hashed is None:
        return PlannedFeature(name, "none", old=old, reasons=("its code can't be hashed",))
    if old is None:
        reason = f"renamed from {entry.feature.renamed_from}" if entry.feature.renamed_from else "declared"
        following = known.number_for(name, entry.versions, hashed.sha256)
        return PlannedFeature(
            name, "new", (reason,), new_sha256=hashed.sha256, next_number=following, limits=hashed.limits
        )
    if old.short != hashed.short:
        before = read_version(old.path)
        reasons = tuple(_reasons(before, hashed))
        following = known.number_for(name, entry.versions, hashed.sha256)
        return PlannedFeature(
            name, "changed", reasons, old, before.sha256, hashed.sha256, entry.working, following, hashed.limits,
            promoted=entry.promoted_at is not None,
        )  # fmt: skip
    metadata = files.metadata_changes(old.path.parent.parent, entry.feature)
    if metadata:
        reasons = (f"metadata only: {', '.join(metadata)}",)
        return PlannedFeature(name, "metadata", reasons, old, hashed.sha256, hashed.sha256, entry.working)
    return PlannedFeature(name, "none", (), old, hashed.sha256, hashed.sha256, entry.working)


def _next_ingest(entry: Entry) -> NextIngest | None:
    """What the next run computes of the working tree's version; what is new in its source no file here says."""
    if not entry.feature.materialised or entry.hashed is None:
        return None
    if entry.hashed.sha256 not in (entry.summary.scopes or {}):
        return NextIngest(True, "new version" if entry.working is None else "this version has not run yet")
    if entry.scope is not None and entry.scope.kind == "source":
        return NextIngest(False, "by what is new: the whole source, where anything is")
    return NextIngest(False, "by what is new")


def _reasons(before: VersionFile, now: VersionHash) -> list[str]:
    if before.recipe == now.recipe:
        return explain(before.parts, now.parts)
    from featurestore.versioning.running.recipes import reasons  # only for versions of an older recipe

    return reasons(before, now)


def _removed(name: str, versions: Sequence[VersionName], registry: Registry, *, renamed: bool) -> PlannedFeature:
    last = versions[-1]
    if registry.problems:
        feature = read_version(last.path).feature
        stem = feature.module.replace(".", "/")
        for item in registry.problems:
            place = (item.problem.where or "").partition(":")[0]
            of_it = place in (f"{stem}.py", f"{stem}/__init__.py") or f"{stem}/".startswith(f"{place}/")
            if of_it and item.name in (place, feature.function):
                return PlannedFeature(name, "none", (f"its declaration in {place} can't be used",), last)
    reason = "renamed" if renamed else "no longer declared; its versions and history remain"
    return PlannedFeature(name, "removed", (reason,), last, read_version(last.path).sha256)
