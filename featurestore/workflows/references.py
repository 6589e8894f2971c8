"""Resolves ``name``, ``name@2`` or ``name@1f2e3d4c`` to a version that has history in the offline store.

A number is what the version files say today; values are stored by hash, so a renumbered version keeps its history.
An age limit is what the declaration says today, whatever it was when the version was first stored.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from featurestore.config import Project
from featurestore.errors import FeatureStoreError, NoVersionError, UsageError
from featurestore.frozen import frozen
from featurestore.model import StoredVersion, VersionId
from featurestore.offline.contract import AuditLog, OfflineStore
from featurestore.registry.discovery import discover, unknown_feature
from featurestore.versioning.analysis.tree import SourceTree
from featurestore.versioning.folder import files
from featurestore.workflows.active import active_version
from featurestore.workflows.lives import Lives, read_lives
from featurestore.workflows.request_time import BoundVersion, active_file, is_request_time, read_named

if TYPE_CHECKING:
    from featurestore.versioning.folder.versionfile import VersionFile


@frozen
class Reference:
    """A reference as it was typed, and the version it stands for.

    ``note`` is what to say of a feature that is not declared any more. ``bound`` is there for a request-time feature,
    whose ``version`` no store holds.
    """

    text: str
    version: StoredVersion
    note: str | None = None
    bound: BoundVersion | None = None


def resolve(project: Project, store: OfflineStore, references: Iterable[str]) -> list[Reference]:
    """The versions that references name, in order. Raises UsageError or VersionFileError (exit code 2).

    A version without history is refused: there is nothing to answer from.
    """
    lives = read_lives(project)
    with store.reading():
        return [_reference(project, store, lives, text) for text in references]


def resolve_one(project: Project, store: OfflineStore, reference: str) -> StoredVersion:
    """The version that one reference names. Raises UsageError for a request-time feature, which has no history."""
    found = resolve(project, store, [reference])[0]
    if found.bound is not None:
        text = f"{reference} is computed when it is asked for, from other features and a request: it has no history"
        raise UsageError(text, hint="featurestore get computes it for a request, and featurestore join for labels")
    return found.version


def bind(project: Project, store: OfflineStore, lives: Lives, file: VersionFile) -> BoundVersion:
    """A request-time feature's version with the stored versions of its inputs. Raises UsageError for one not there."""
    inputs = []
    with store.reading():
        for item in file.feature.inputs:
            now = files.called_now(project.versions, item.name)
            stored = [version for version in store.versions(now) if version.id.sha256 == item.sha256]
            stored = stored or store.versions(item.name)  # its history was not carried over yet
            version = _with_history(project, stored, item.sha256, f"{item.name}@{item.sha256[:12]}")
            inputs.append(replace(version, max_age=lives.max_age(version)))
    return BoundVersion(file, tuple(inputs))


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


def active_sha256(project: Project, store: OfflineStore, feature: str) -> str | None:
    """The SHA-256 of `active_id`."""
    active = active_id(project, store, feature)
    return None if active is None else active.sha256


def _reference(project: Project, store: OfflineStore, lives: Lives, text: str) -> Reference:
    file = _request_time_file(project, store, lives, text)
    if file is None:
        version = _resolve(project, store, text)
        version = replace(version, max_age=lives.max_age(version))
        return Reference(text, version, lives.note(version.id.feature))
    feature = file.feature
    version_id = VersionId(feature.name, file.sha256)
    version = StoredVersion(version_id, file.number, feature.entity_type, feature.data_type)
    return Reference(text, version, lives.note(feature.name), bind(project, store, lives, file))


def _request_time_file(project: Project, store: OfflineStore, lives: Lives, text: str) -> VersionFile | None:
    """The version file of a request-time feature that a reference names; None where it names any other."""
    name, wanted = files.split_reference(text)
    if wanted is None:
        if not is_request_time(project, lives, name):
            return None
        return active_file(project, name, lambda item: active_sha256(project, store, item))
    if store.versions(name) and not is_request_time(project, lives, name):
        return None
    try:
        return read_named(project, name, wanted)
    except NoVersionError:
        return None  # said by what looks for it in the history


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
    return unknown_feature(registry, feature, files.all_versions(project.versions))
