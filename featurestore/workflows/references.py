"""Resolves ``name``, ``name@2`` or ``name@1f2e3d4c`` to a version that has history in the offline store.

A number is what the version files say today; values are stored by hash, so a renumbered version keeps its history.
An age limit is what the declaration says today, whatever it was when the version was first stored.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from featurestore.config import Project
from featurestore.errors import FeatureStoreError, UsageError, did_you_mean
from featurestore.model import StoredVersion, VersionId
from featurestore.offline.contract import AuditLog, OfflineStore
from featurestore.registry.discovery import discover, is_in_doubt, unknown_feature
from featurestore.versioning.analysis.tree import SourceTree
from featurestore.versioning.folder import files
from featurestore.workflows.active import active_version
from featurestore.workflows.lives import read_lives


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference as it was typed, and the version it stands for.

    ``note`` is what to say of a feature that is not declared any more.
    """

    text: str
    version: StoredVersion
    note: str | None = None


def resolve(project: Project, store: OfflineStore, references: Iterable[str]) -> list[Reference]:
    """The versions that references name, in order. Raises UsageError or VersionFileError (exit code 2).

    A version without history is refused: there is nothing to answer from.
    """
    lives = read_lives(project)
    with store.reading():
        versions = [(text, _resolve(project, store, text)) for text in references]
    return [
        Reference(text, replace(version, max_age=lives.max_age(version)), lives.note(version.id.feature))
        for text, version in versions
    ]


def resolve_one(project: Project, store: OfflineStore, reference: str) -> StoredVersion:
    """The version that one reference names."""
    return resolve(project, store, [reference])[0].version


def active_versions(project: Project, store: OfflineStore, names: Iterable[str] = ()) -> list[StoredVersion]:
    """The active version of each named feature; of every feature that has history where none is named."""
    with store.reading():
        wanted = list(names) or sorted({version.id.feature for version in store.versions()})
        return [_resolve(project, store, name) for name in wanted]


def active_id(project: Project, store: AuditLog, feature: str) -> VersionId | None:
    """The active version (`workflows.active`); None before the first run."""

    def last_committed() -> str | None:
        version = store.last_committed(feature)
        return None if version is None else version.sha256

    sha256 = active_version(files.read_active(project.versions, feature), last_committed).sha256
    return None if sha256 is None else VersionId(feature, sha256)


def _resolve(project: Project, store: OfflineStore, text: str) -> StoredVersion:
    feature, wanted = files.split_reference(text)
    stored = store.versions(feature)
    if wanted is None:
        active = active_id(project, store, feature)
        if active is None:
            raise _no_history(project, feature)
        return _with_history(project, stored, active.sha256, text)
    by_hash = [
        version for version in stored if len(wanted) >= files.SHORTEST_PREFIX and version.id.sha256.startswith(wanted)
    ]
    if len(by_hash) == 1:
        return _numbered(project, by_hash[0])
    if not files.versions_of(project.versions, feature):
        raise _no_history(project, feature)
    return _with_history(project, stored, files.resolve(project.versions, feature, wanted).short, text)


def _with_history(project: Project, stored: list[StoredVersion], sha256: str, text: str) -> StoredVersion:
    for version in stored:
        if version.id.sha256.startswith(sha256):
            return _numbered(project, version)
    name = text.partition("@")[0]
    raise UsageError(f"{text} has no history in this store", hint=f"run featurestore ingest {name} with that code")


def _numbered(project: Project, version: StoredVersion) -> StoredVersion:
    """The version with the number that its file has today."""
    for name in files.versions_of(project.versions, version.id.feature):
        if name.short == version.id.short:
            return replace(version, number=name.number)
    return version


def _no_history(project: Project, feature: str) -> FeatureStoreError:
    registry = discover(project, SourceTree(project.root))
    declared = registry.names()
    if feature in declared or files.versions_of(project.versions, feature):
        return UsageError(f"{feature} has no history yet", hint=f"run featurestore ingest {feature}")
    if is_in_doubt(registry, feature):
        return unknown_feature(registry, feature)
    return UsageError(f"there is no feature {feature!r}", hint=did_you_mean(feature, declared))
