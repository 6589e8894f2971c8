"""Two versions of a feature compared: their code, and the values that the offline store has of them.

The code of a version is its whole closure, from its version file; that of the working tree is read as it is
hashed. Comparing code imports nothing heavy, as long as the summary of the audit log fits.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from featurestore.arguments import metadata_of
from featurestore.config import FILE, Project, load_project
from featurestore.declared_files import DeclaredFiles
from featurestore.errors import UsageError, VersionFileError
from featurestore.frozen import frozen
from featurestore.model import EntityType, Json, StoredVersion, VersionId
from featurestore.registry.discovery import discover, named_files, unknown_feature
from featurestore.registry.git import export_declared, export_revision, way_to_revisions
from featurestore.versioning.analysis.tree import SourceTree
from featurestore.versioning.explain import explain
from featurestore.versioning.folder import files
from featurestore.versioning.folder.names import VersionName
from featurestore.versioning.folder.versionfile import read_version
from featurestore.versioning.running.recipes import current_parts
from featurestore.workflows.catalogue import Entry, find_feature, read_entries
from featurestore.workflows.summaries import current_summary

if TYPE_CHECKING:
    import polars as pl

    from featurestore.drift.version_changes import EntityComparison
    from featurestore.offline.contract import OfflineStore

WORKTREE = "worktree"


@frozen
class Side:
    """One side of a comparison: a version file, or the working tree, whose ``number`` is None before it is locked.

    ``source`` is the name of the source, ``code`` the closure's text by module.
    """

    label: str
    number: int | None
    sha256: str
    source: str | None
    code: Mapping[str, str]
    parts: Mapping[str, str]


@frozen
class CodeDiff:
    """The code of two versions, why it differs, and the metadata that changed since the last lock (old, new).

    ``note`` says why the sides are those that they are, where nothing else could be compared.
    """

    feature: str
    old: Side
    new: Side
    reasons: tuple[str, ...]
    metadata: Mapping[str, tuple[Json, Json]]
    note: str | None = None

    @property
    def code_changed(self) -> bool:
        return self.old.sha256 != self.new.sha256


@frozen
class ValueDiff:
    """The values of two versions: statistics of their histories, and the latest values of their entities.

    A side without history has no statistics; then nothing is compared. ``entities`` is None where the entity types or
    the data types differ. ``at_request`` says that values are computed at the request: there is no history to come.
    """

    old: Mapping[str, Json] | None
    new: Mapping[str, Json] | None
    shift: Mapping[str, Json]
    entities: EntityComparison | None
    at_request: bool = False


@frozen
class Difference:
    """Two versions compared. ``values`` is None where only the code was asked for.

    ``entity_type`` is that of the feature's history; None without one.
    """

    code: CodeDiff
    values: ValueDiff | None = None
    entity_type: EntityType | None = None


def diff(
    project: Project,
    feature: str,
    old: str | None = None,
    new: str | None = None,
    *,
    revision: str | None = None,
    store: OfflineStore | None = None,
    tolerance: float = 0.0,
) -> Difference:
    """Compares two versions as `diff_code` names them; with a store their values too, as `compare_values` does."""
    code = diff_code(project, feature, old, new, revision=revision)
    if store is None:
        return Difference(code)
    entity_type = next((version.entity_type for version in store.versions(feature)), None)
    return Difference(code, compare_values(store, code, tolerance=tolerance, memory=project.memory), entity_type)


def diff_code(
    project: Project, feature: str, old: str | None = None, new: str | None = None, *, revision: str | None = None
) -> CodeDiff:
    """Compares the code of two versions, or with ``revision`` the code at a git revision with that of a version.

    ``old`` and ``new`` are numbers, hash prefixes or ``worktree``. With neither: the active version against the
    working tree if that differs or there is no other, else the previous version against the active one. With one: that
    version against the working tree. Raises UsageError or VersionFileError for a version or revision that is not there.
    """
    if revision is not None and new is not None:
        raise UsageError("a git revision is compared with one version, and two are named", hint="name at most one")
    tree = SourceTree(project.root)
    registry = discover(project, tree)
    declared = [item for item in registry.features if item.name == feature]
    entry = read_entries(project, tree, declared, current_summary(project))[0] if declared else None
    versions = files.versions_of(project.versions, feature)
    if entry is None and not versions:
        raise unknown_feature(registry, feature, files.all_versions(project.versions))
    if revision is not None:
        before, after = _revision_side(project, feature, revision), _side(project, feature, old or WORKTREE, entry)
    elif old is None:
        before, after = _default_sides(feature, entry, versions)
    else:
        before = _side(project, feature, old, entry)
        after = _side(project, feature, new or WORKTREE, entry)
    lone = old is None and revision is None and after.label == WORKTREE and before.sha256 == after.sha256
    return CodeDiff(
        feature=feature,
        old=before,
        new=after,
        reasons=tuple(explain(before.parts, after.parts)) if before.sha256 != after.sha256 else (),
        metadata=_metadata(project, entry) if entry is not None and after.label == WORKTREE else {},
        note=f"{feature} has only one version, and the working tree does not differ from it" if lone else None,
    )


def compare_values(
    store: OfflineStore, difference: CodeDiff, *, tolerance: float = 0.0, memory: int = 2_000_000_000
) -> ValueDiff:
    """Compares the histories of both versions, within about so many bytes of memory.

    Statistics are of the latest learned value of every (entity, computed_at), so that it does not matter whether a
    version was computed by one run or by fifty.
    """
    from featurestore.drift.version_changes import combine, compare_entities, shift
    from featurestore.workflows.partitions import key_ranges

    with store.reading():
        stored = {version.id: version for version in store.versions(difference.feature)}
        sides: list[StoredVersion | None] = [
            stored.get(VersionId(difference.feature, side.sha256)) for side in (difference.old, difference.new)
        ]
        described = [None if side is None else _describe(store, side, memory) for side in sides]
        before, after = sides
        if before is None or after is None:
            at_request = difference.old.source is None and difference.new.source is None
            return ValueDiff(described[0], described[1], {}, None, at_request)
        comparable = before.entity_type == after.entity_type and before.data_type == after.data_type
        entities = None
        if comparable:
            keys = after.entity_type.key_names
            entities = combine(
                compare_entities(
                    _values(store.latest(before, key_range=each)), _values(store.latest(after, key_range=each)), keys,
                    after.data_type, tolerance,
                )
                for each in key_ranges(store, [before, after], memory)
            )  # fmt: skip
    return ValueDiff(described[0], described[1], shift(described[0] or {}, described[1] or {}), entities)


def _describe(store: OfflineStore, version: StoredVersion, memory: int) -> dict[str, Json]:
    from featurestore.drift.large import describe_all
    from featurestore.workflows.partitions import key_ranges

    ranges = key_ranges(store, [version], memory)
    held = (_values(store.current(version, key_range=each))["value"] for each in ranges)
    return describe_all(held, version.data_type, memory)


def _values(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows of history that are values."""
    from featurestore.offline.contract import VALUE

    return rows.filter(rows["op"] == VALUE)


def _default_sides(feature: str, entry: Entry | None, versions: list[VersionName]) -> tuple[Side, Side]:
    if entry is not None and entry.damaged is not None:
        raise VersionFileError(entry.damaged.message, where=entry.damaged.where, hint=entry.damaged.hint)
    active = (entry.active if entry else None) or (versions[-1] if versions else None)
    if active is None:
        raise UsageError(f"{feature} has no versions yet", hint=f"run featurestore ingest {feature}")
    if entry is not None and entry.hashed is not None and entry.hashed.short != active.short:
        return _file_side(active), _working_side(entry)
    others = [version for version in versions if version.short != active.short]
    earlier = [version for version in others if version.number < active.number] or others
    if not earlier and entry is not None:
        return _file_side(active), _working_side(entry)  # nothing to compare: the same code
    if not earlier:
        raise UsageError(
            f"{feature} has only one version, and is not declared any more",
            hint=f"featurestore show {feature} says what it was",
        )
    return _file_side(earlier[-1]), _file_side(active)


def _revision_side(project: Project, feature: str, revision: str) -> Side:
    """A feature at a git revision: its code and its configuration."""
    with tempfile.TemporaryDirectory(prefix="featurestore-") as folder:
        if not export_revision(project.root, revision, Path(folder)):
            raise UsageError(f"git has no revision {revision!r} here", hint=way_to_revisions(project.root))
        if not (Path(folder) / FILE).exists():
            raise UsageError(f"there is no {FILE} at {revision}", hint="name a later revision")
        then = load_project(Path(folder))
        tree = SourceTree(then.root)
        patterns = named_files(then)
        if patterns:
            export_declared(project.root, then.root, patterns, revision)
        declared = discover(then, tree, DeclaredFiles(then.root, exported=True))
        (entry,) = read_entries(then, tree, [find_feature(declared, feature)])
        return replace(_working_side(entry), label=revision)


def _side(project: Project, feature: str, wanted: str, entry: Entry | None) -> Side:
    if wanted == WORKTREE:
        if entry is None:
            raise UsageError(f"{feature} is not declared in the working tree", hint="name two versions")
        return _working_side(entry)
    _, at = files.split_reference(f"{feature}@{wanted}")
    return _file_side(files.resolve(project.versions, feature, at or wanted))


def _working_side(entry: Entry) -> Side:
    hashed = entry.hashed
    if hashed is None:
        problem = entry.problem
        raise UsageError(
            problem.message if problem else "its code can't be hashed", where=problem.where if problem else None
        )
    number = entry.working.number if entry.working else None
    code = {section.module: section.text for section in hashed.closure.sections}
    return Side(WORKTREE, number, hashed.sha256, entry.feature.source_name, code, hashed.parts)


def _file_side(name: VersionName) -> Side:
    version = read_version(name.path)
    code = {section.module: section.text for section in version.sections}
    parts = current_parts(version)
    return Side(f"version {name.number}", name.number, version.sha256, version.feature.source_name, code, parts)


def _metadata(project: Project, entry: Entry) -> dict[str, tuple[Json, Json]]:
    locked = files.read_metadata(project.versions, entry.feature.name) or {}
    today = metadata_of(entry.feature)
    return {name: (locked[name], today[name]) for name in today if name in locked and locked[name] != today[name]}
