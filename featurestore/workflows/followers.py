"""The request-time features that are computed from a feature, and what the promotion of a version means for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from featurestore.config import Project
from featurestore.errors import FeatureStoreError, UsageError
from featurestore.frozen import frozen
from featurestore.model import StoredVersion
from featurestore.offline.contract import OfflineStore
from featurestore.versioning.folder import files
from featurestore.versioning.folder.versionfile import VersionFile, read_version
from featurestore.workflows.active import ActiveInput
from featurestore.workflows.lives import Lives
from featurestore.workflows.references import active_sha256, bind
from featurestore.workflows.request_time import active_file, pinned_files, request_time_names


@frozen
class Follower:
    """A version of a request-time feature that has the promoted one for an input."""

    name: str
    number: int


@frozen
class Followers:
    """What becomes of the request-time features of a promoted version.

    ``moved`` are their versions that are used with it; ``kept`` are promoted themselves, and go on with the versions of
    their inputs.
    """

    moved: tuple[Follower, ...] = ()
    kept: tuple[Follower, ...] = ()


NO_FOLLOWERS = Followers()


def followers_of(project: Project, store: OfflineStore, lives: Lives, version: StoredVersion) -> Followers:
    """The followers of a version that is to become the active one.

    Raises UsageError where a request-time feature that has an active version now would have none.
    """
    moved: list[Follower] = []
    kept: list[Follower] = []

    def after(name: str) -> str | None:
        return version.id.sha256 if name == version.id.feature else active_sha256(project, store, name)

    def before(name: str) -> str | None:
        return active_sha256(project, store, name)

    for name in request_time_names(project, lives):
        newest = _newest(project, name)
        if newest is None or version.id.feature not in _inputs_of(project, newest):
            continue
        try:
            found = active_file(project, name, after)
        except UsageError as exc:
            if not _has_active(project, name, before):
                continue
            raise UsageError(
                f"{name} has no version whose inputs are {version.id.feature}@{version.number} "
                "and the active versions of the others: it could not be computed any more",
                hint=f"check that code out and run featurestore lock {name}; or featurestore promote {name} VERSION, "
                "which then keeps the versions of its inputs",
            ) from exc
        fits = any(item.sha256 == version.id.sha256 for item in found.feature.inputs)
        (moved if fits else kept).append(Follower(name, found.number))
    return Followers(tuple(moved), tuple(kept))


def bound_versions(project: Project, store: OfflineStore, lives: Lives) -> list[StoredVersion]:
    """The versions that promoted request-time features have for inputs: they are fed and served, active or not."""
    return list(_bound(project, store, lives))


def _bound(project: Project, store: OfflineStore, lives: Lives) -> Iterator[StoredVersion]:
    for file in pinned_files(project, lives):
        with suppress(UsageError):  # an input without history: a read of the feature says so
            yield from bind(project, store, lives, file).inputs


def _inputs_of(project: Project, file: VersionFile) -> set[str]:
    return {files.called_now(project.versions, item.name) for item in file.feature.inputs}


def _newest(project: Project, name: str) -> VersionFile | None:
    names = files.versions_of(project.versions, name)
    try:
        return read_version(names[-1].path) if names else None
    except FeatureStoreError:
        return None


def _has_active(project: Project, name: str, active: ActiveInput) -> bool:
    try:
        active_file(project, name, active)
    except UsageError:
        return False
    return True
