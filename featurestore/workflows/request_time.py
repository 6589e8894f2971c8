"""Request-time features: which there are, and which version of one is used.

Such a feature has no history. The versions of its inputs stand in its version file by their hashes, so that a version
of it is used with those and no others. Reads files only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from featurestore.config import Project
from featurestore.errors import FeatureStoreError, UsageError
from featurestore.frozen import frozen
from featurestore.model import Feature, StoredVersion
from featurestore.versioning.analysis.tree import SourceTree
from featurestore.versioning.folder import files
from featurestore.workflows.active import ActiveInput, active_input, active_version, fitting_version
from featurestore.workflows.lives import Lives

if TYPE_CHECKING:
    from featurestore.versioning.folder.versionfile import VersionFile


@frozen
class BoundVersion:
    """A version of a request-time feature, and the stored versions of its inputs, in their order.

    ``max_age`` of an input is the one that holds for it now. One that was renamed has its new name.
    """

    file: VersionFile
    inputs: tuple[StoredVersion, ...]

    @property
    def named(self) -> list[tuple[str, StoredVersion]]:
        """The inputs by the names that the code has for them."""
        return [(item.name, version) for item, version in zip(self.file.feature.inputs, self.inputs, strict=True)]


def request_time_names(project: Project, lives: Lives) -> list[str]:
    """The request-time features that are declared, and those that were not retired and whose code is gone or broken."""
    found = [name for name, feature in lives.declared.items() if feature.at_request]
    others = (name for name in files.features_of(project.versions) if name not in lives.declared)
    return sorted([*found, *(n for n in others if not lives.is_left(n) and _newest_is_at_request(project, n))])


def is_request_time(project: Project, lives: Lives, name: str) -> bool:
    """Whether a feature is computed at the request: as declared; one whose code is gone, as in its newest version."""
    declared = lives.declared.get(name)
    return declared.at_request if declared is not None else _newest_is_at_request(project, name)


def read_named(project: Project, name: str, wanted: str) -> VersionFile | None:
    """The version file of that number or hash prefix, where it is of a request-time feature; None for any other."""
    from featurestore.versioning.folder.versionfile import read_version

    version = read_version(files.resolve(project.versions, name, wanted).path)
    return version if version.feature.at_request else None


def active_file(project: Project, name: str, active: ActiveInput) -> VersionFile:
    """The file of the active version: the promoted one, else the newest that all its inputs' active versions fit.

    Raises UsageError where there is none, VersionFileError for a damaged file.
    """
    from featurestore.versioning.folder.versionfile import read_version

    promoted = files.read_active(project.versions, name)
    found = active_version(promoted, lambda: fitting_version(project.versions, name, active)).sha256
    if found is not None:
        return read_version(files.resolve(project.versions, name, found).path)
    names = files.versions_of(project.versions, name)
    if not names:
        raise UsageError(f"{name} has no versions yet", hint=f"run featurestore lock {name}")
    inputs = read_version(names[-1].path).feature.inputs
    without = [item.name for item in inputs if active_input(project.versions, item.name, active) is None]
    if without:
        text = f"{name} can't be computed: its input {without[0]} has no active version"
        raise UsageError(text, hint=f"run featurestore ingest {without[0]}")
    raise UsageError(
        f"no version of {name} fits the active versions of its inputs: {', '.join(item.name for item in inputs)}",
        hint=f"run featurestore lock {name}, or promote versions that fit each other",
    )


def check_computable(bound: BoundVersion) -> None:
    """Builds and tries a version of a request-time feature, as a join or a read would.

    Raises FeatureError for one that is not row by row, or can't be computed otherwise; VersionFileError.
    """
    from featurestore.evaluation.request_time import load_computation  # most callers compute nothing

    load_computation(bound.file, {name: item.data_type.kind for name, item in bound.named})


def uncomputable(project: Project, tree: SourceTree, features: Sequence[Feature]) -> Iterator[FeatureStoreError]:
    """What is wrong with the request-time features among some, of those whose code is locked: no run computes them."""
    kinds = {feature.name: feature.data_type.kind for feature in features}
    for feature in features:
        names = files.versions_of(project.versions, feature.name) if feature.at_request else ()
        if not names or not all(item.name in kinds for item in feature.inputs):
            continue
        from featurestore.evaluation.request_time import load_computation
        from featurestore.versioning.folder.versionfile import read_version
        from featurestore.versioning.running.working_tree import hash_feature

        try:
            short = hash_feature(tree, feature, names).short
            for name in names:
                if name.short == short:
                    load_computation(read_version(name.path), kinds)
        except FeatureStoreError as exc:
            exc.where = feature.place  # and not the version file, which nobody edits
            yield exc


def pinned_files(project: Project, lives: Lives) -> Iterator[VersionFile]:
    """The promoted versions of request-time features: they keep their inputs' versions, whichever are active."""
    for name in request_time_names(project, lives):
        with suppress(FeatureStoreError):  # `check` says what is wrong with the files
            if files.read_active(project.versions, name) is not None:
                yield active_file(project, name, lambda _: None)


def _newest_is_at_request(project: Project, name: str) -> bool:
    from featurestore.versioning.folder.versionfile import read_version

    names = files.versions_of(project.versions, name)
    try:
        return bool(names) and read_version(names[-1].path).feature.at_request
    except FeatureStoreError:
        return False
