"""The features that the project declares, with their versions and a summary of their history: ``list`` and ``show``.

Runs no user code. Reads files only, as long as the summary of the audit log fits the store (`workflows.summaries`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from featurestore.config import Project
from featurestore.errors import FeatureStoreError, NoVersionError, UsageError, VersionFileError, did_you_mean
from featurestore.evaluation.scope import declared_scope
from featurestore.frozen import frozen
from featurestore.model import STATUSES, Feature, Json, Problem, Scope
from featurestore.registry.discovery import BrokenDeclaration, Registry, discover, unknown_feature
from featurestore.registry.summary import FeatureSummary
from featurestore.sources.pinned_types import read_pins
from featurestore.versioning.analysis.tree import SourceTree
from featurestore.versioning.folder.files import (
    RETIRED,
    FeatureFiles,
    features_of,
    list_files,
    read_active,
    resolve,
    split_reference,
    versions_of,
)
from featurestore.versioning.folder.names import VersionName
from featurestore.versioning.folder.observed import Observation, read_observed, undeclared
from featurestore.versioning.known_hashes import KnownHashes
from featurestore.versioning.recipe.version_hash import Limit, VersionHash
from featurestore.workflows.active import ActiveVersion, active_version, fitting_version
from featurestore.workflows.feature_sets import ModelUse, models_using, parse_asked
from featurestore.workflows.lives import Lives, locked_metadata, read_lives
from featurestore.workflows.summaries import CurrentSummary, current_summary, stored_summary

if TYPE_CHECKING:
    from featurestore.versioning.folder.versionfile import VersionFile
    from featurestore.versioning.recipe.closure import Closure

METADATA = ("description", "owner", "tags", "status", "max_age")
"""What is declared of a feature as a whole, and not of a version."""


@frozen
class Entry:
    """A feature of the working tree with its hash, its versions, and the summary of its history.

    ``hashed`` is None where the code can't be hashed, and ``problem`` says why. ``damaged`` says
    why the file can't be read that tells which version is active; then ``active`` is None.
    """

    feature: Feature
    hashed: VersionHash | None
    problem: Problem | None
    files: FeatureFiles
    summary: FeatureSummary
    active_sha256: str | None
    promoted_at: int | None
    online: bool = False
    damaged: Problem | None = None

    @property
    def versions(self) -> tuple[VersionName, ...]:
        """Its version files, by number."""
        return self.files.versions

    @property
    def active_since(self) -> int | None:
        """When the active version became active (µs): when it was promoted, or its first run."""
        return self.promoted_at if self.promoted_at is not None else self.summary.committed_since

    @property
    def statistics(self) -> Json:
        """The active version's statistics in the last run that wrote values of it."""
        return self.statistics_of(self.active_sha256 or "")

    def statistics_of(self, sha256: str) -> Json:
        return (self.summary.statistics or {}).get(sha256)

    @property
    def scope(self) -> Scope | None:
        """The working tree's scope: as declared, else as a run found it; None before the first run of an expression."""
        return self.scope_of(self.hashed.sha256 if self.hashed else self.active_sha256 or "")

    def scope_of(self, sha256: str) -> Scope | None:
        """The scope of a version whose declaration ``feature`` has."""
        declared = declared_scope(self.feature)
        found = (self.summary.scopes or {}).get(sha256)
        return declared if declared is not None or not isinstance(found, dict) else Scope(**found)

    @property
    def drift(self) -> Json:
        """The active version's drift verdict in that run."""
        return self.drift_of(self.active_sha256 or "")

    def drift_of(self, sha256: str) -> Json:
        return (self.summary.drift or {}).get(sha256)

    @property
    def active(self) -> VersionName | None:
        """The active version's file; None before the first run."""
        return self.version_of(self.active_sha256)

    @property
    def working(self) -> VersionName | None:
        """The version file of the working tree's code; None before it is locked."""
        return self.version_of(self.hashed.sha256 if self.hashed else None)

    def observed(self, project: Project) -> tuple[Observation, ...]:
        """What a run saw the working tree's code meet, and its declaration does not name."""
        if self.hashed is None or self.working is None:
            return ()
        return undeclared(self.feature, read_observed(project.versions, self.feature.name, self.hashed.sha256))

    def version_of(self, sha256: str | None) -> VersionName | None:
        return next((name for name in self.versions if sha256 is not None and sha256.startswith(name.short)), None)


@frozen
class Catalogue:
    """The selected features, by name, the declarations that can't be used, and warnings about what is shown."""

    entries: tuple[Entry, ...]
    broken: tuple[BrokenDeclaration, ...]
    warnings: tuple[str, ...] = ()


@frozen
class Filter:
    """Which features to list: those that meet every condition that is set."""

    query: str | None = None
    entity_type: str | None = None
    tag: str | None = None
    status: str | None = None
    owner: str | None = None
    source: str | None = None


@frozen
class Detail:
    """Everything that the files say about one feature.

    One that is not declared any more is described by its last version file and metadata; ``note`` says what became of
    it, and ``retired`` whether it was retired. ``models`` are those that it is an input of, and ``taken_by`` the
    request-time features. ``scopes_checked`` says whether runs check that its scope holds.

    Where a version was named, ``version`` is its file, and everything but the list of versions describes it;
    ``version_hash`` is the hash of its code where the working tree has another.
    """

    entry: Entry
    closure: Closure | None
    columns: tuple[str, ...]
    files: tuple[VersionFile, ...]
    observed: tuple[Observation, ...] = ()
    warnings: tuple[str, ...] = ()
    note: str | None = None
    retired: bool = False
    models: tuple[str, ...] = ()
    taken_by: tuple[str, ...] = ()
    scopes_checked: bool = True
    version: VersionFile | None = None
    version_hash: VersionHash | None = None

    @property
    def limits(self) -> tuple[Limit, ...]:
        """What decides its values and is not part of its hash."""
        hashed = self.version_hash or self.entry.hashed
        return hashed.limits if hashed else ()

    @property
    def is_active(self) -> bool:
        """Whether what is described is the active version, or the feature as a whole."""
        return self.version is None or self.version.sha256 == self.entry.active_sha256

    @property
    def last_run(self) -> tuple[str, int] | None:
        """The id and the start of the last run that committed the version that was named, else the feature."""
        summary = self.entry.summary
        if self.version is not None:
            found = (summary.last_runs or {}).get(self.version.sha256)
            return (str(found[0]), int(found[1])) if isinstance(found, list) else None
        if summary.last_run is None or summary.last_run_at is None:
            return None
        return summary.last_run, summary.last_run_at

    @property
    def scope(self) -> Scope | None:
        return self.entry.scope if self.version is None else self.entry.scope_of(self.version.sha256)

    @property
    def statistics(self) -> Json:
        """Of the version that was named, else of the active one."""
        return self.entry.statistics if self.version is None else self.entry.statistics_of(self.version.sha256)

    @property
    def drift(self) -> Json:
        """The same of the drift verdict."""
        return self.entry.drift if self.version is None else self.entry.drift_of(self.version.sha256)


def list_features(project: Project, wanted: Filter, tree: SourceTree | None = None) -> Catalogue:
    """The features of the working tree. Raises UsageError for an entity type, source or status that doesn't exist.

    ``tree`` is what the code is read through, for whoever wants it to let go of the code.
    """
    _check("entity type", wanted.entity_type, project.entity_types)
    _check("source", wanted.source, project.sources)
    _check("status", wanted.status, STATUSES)
    tree = tree or SourceTree(project.root)
    registry = discover(project, tree)
    history = current_summary(project)
    features = [item for item in registry.features if _matches(item, wanted)]
    known = KnownHashes(project.known_hashes, tree)
    entries = tuple(read_entries(project, tree, features, history, known=known))
    return Catalogue(entries, (*registry.problems, *damaged_files(entries)), history.warnings)


def refresh(project: Project, known: Catalogue) -> Catalogue:
    """The same features with their versions and their history as they are now, where no code has changed since.

    Reads and hashes no code, which is most of what a listing costs.
    """
    history = current_summary(project)
    entries = tuple(
        _entry_of(
            project, item.feature, list_files(project.versions, item.feature.name), history, item.hashed, item.problem
        )
        for item in known.entries
    )
    undeclared = [item for item in known.broken if item not in damaged_files(known.entries)]
    return Catalogue(entries, (*undeclared, *damaged_files(entries)), history.warnings)


def damaged_files(entries: Iterable[Entry]) -> list[BrokenDeclaration]:
    """The features whose active version is not known, since its file is damaged."""
    return [BrokenDeclaration(entry.feature.name, entry.damaged) for entry in entries if entry.damaged]


def show_feature(project: Project, reference: str) -> Detail:
    """One feature in detail, or the version of it that is named; also one that was removed or retired.

    Raises DeclarationError for any other name, UsageError for a reference that can't be read, NoVersionError.
    """
    name, wanted = split_reference(reference) if "@" in reference else (reference, None)
    tree = SourceTree(project.root)
    registry = discover(project, tree)
    history = current_summary(project)
    lives = read_lives(project, registry)
    if lives.note(name) is not None and versions_of(project.versions, name):
        detail = _gone(project, name, lives, history)
    else:
        (entry,) = read_entries(project, tree, [find_feature(registry, name)], history)
        versions = _read_versions(entry.versions)
        closure = entry.hashed.closure if entry.hashed else None
        columns = _columns_of(project, entry.feature, closure) if closure else ()
        detail = Detail(
            entry, closure, columns, versions, entry.observed(project), (*history.warnings, *_damage(entry)),
            scopes_checked=project.check_scopes,
        )  # fmt: skip
    if wanted is not None:
        detail = _of_version(project, detail, resolve(project.versions, name, wanted))
    models = tuple(dict.fromkeys(use.model for use in uses_of(project, detail)))
    return replace(detail, models=models, taken_by=() if detail.note else _taken_by(registry, name, detail.version))


def _of_version(project: Project, detail: Detail, name: VersionName) -> Detail:
    """The same of one version: as its file has it, where the working tree has other code."""
    entry = detail.entry
    file = next(file for file in detail.files if file.name == name)
    if entry.hashed is not None and entry.hashed.sha256 == file.sha256:
        return replace(detail, version=file)
    from featurestore.versioning.running.replay import rehash  # follows code

    hashed, feature = rehash(file), _of_file(project, file, {name: getattr(entry.feature, name) for name in METADATA})
    observed = undeclared(feature, read_observed(project.versions, feature.name, file.sha256))
    return replace(
        detail, entry=replace(entry, feature=feature), closure=hashed.closure, observed=observed,
        columns=_columns_of(project, feature, hashed.closure), version=file, version_hash=hashed,
    )  # fmt: skip


def uses_of(project: Project, detail: Detail) -> tuple[ModelUse, ...]:
    """The models that a feature is an input of; where a version was named, those that take that one."""
    name, file = detail.entry.feature.name, detail.version
    uses = models_using(project, name)
    if file is None:
        return uses
    pinned = {use: parse_asked(use.reference).reference.partition("@")[2] for use in uses}
    return tuple(use for use in uses if (_is_named(project, file, pinned[use]) if pinned[use] else detail.is_active))


def _is_named(project: Project, file: VersionFile, wanted: str) -> bool:
    try:
        return resolve(project.versions, file.feature.name, wanted).short == file.name.short
    except NoVersionError:
        return False


def _taken_by(registry: Registry, name: str, version: VersionFile | None) -> tuple[str, ...]:
    """The request-time features that have a feature, or the version of it that is named, for an input."""
    return tuple(
        each.name
        for each in registry.features
        if any(item.name == name and (version is None or item.sha256 == version.sha256) for item in each.inputs)
    )


def _read_versions(names: Iterable[VersionName]) -> tuple[VersionFile, ...]:
    from featurestore.versioning.folder.versionfile import read_version  # a listing reads none

    return tuple(read_version(name.path) for name in names)


def _damage(entry: Entry) -> list[str]:
    """What to warn of where the active version of a feature that is shown is not known."""
    found = entry.damaged
    return [f"which version is active is not known: {found.where}: {found.message}; {found.hint}"] if found else []


def _columns_of(project: Project, feature: Feature, closure: Closure) -> tuple[str, ...]:
    """The columns of its sources that the code names: of those that are declared, and those whose types are pinned."""
    use, several = closure.columns, len(feature.reads) > 1
    found: list[str] = []
    for source in feature.reads:
        declared, pinned = list(source.columns), {}
        with suppress(FeatureStoreError):  # `check` says what is wrong with the file
            pinned = read_pins(project, source)
        # A name that is computed may be any of those that are declared.
        names = [name for name in [*declared, *pinned] if name in use.texts or (use.computed and name in declared)]
        found += [f"{source.name}.{name}" if several else name for name in names]
    return tuple(found)


def _gone(project: Project, name: str, lives: Lives, history: CurrentSummary) -> Detail:
    """A feature that is not declared any more, from its last version file and its metadata."""
    listed = list_files(project.versions, name)
    versions = _read_versions(listed.versions)
    feature = _as_locked(project, versions[-1])
    entry = _entry_of(project, feature, listed, history, None, None)
    note, retired = lives.note(name), lives.retired(name) is not None
    return Detail(
        entry, None, (), versions, (), (*history.warnings, *_damage(entry)), note, retired,
        scopes_checked=project.check_scopes,
    )  # fmt: skip


def _as_locked(project: Project, version: VersionFile) -> Feature:
    """A feature as its last version file and its metadata have it. Raises VersionFileError for damaged metadata."""
    return _of_file(project, version, locked_metadata(project.versions, version.feature.name) or {})


def _of_file(project: Project, version: VersionFile, metadata: Mapping[str, Any]) -> Feature:
    """A feature as a version file has it, with the sources as they are declared now."""
    known = version.feature
    path = version.name.path.relative_to(project.root)
    source = None if known.source is None else project.sources.get(known.source.name, known.source)
    sources = tuple(project.sources.get(each.name, each) for each in known.sources)
    return replace(known, path=path, source=source, sources=sources, **metadata)


def locked_names(project: Project) -> list[str]:
    """The features that have versions and are not retired. Opens no file, and tells nothing of what is not locked."""
    return [name for name in features_of(project.versions) if not (project.versions / name / RETIRED).exists()]


def locked_entries(project: Project, names: Iterable[str]) -> Iterator[Entry]:
    """Features as they were last locked, without what the code says now: what can be told at once in a large project.

    Those whose files are damaged are left out; the full listing says what is wrong with them.
    """
    stored = stored_summary(project)
    history = CurrentSummary({} if stored is None else stored.features)
    for name in names:
        listed = list_files(project.versions, name)
        with suppress(VersionFileError):
            for version in _read_versions(listed.versions[-1:]):
                yield _entry_of(project, _as_locked(project, version), listed, history, None, None)


def find_feature(registry: Registry, name: str) -> Feature:
    """The declared feature of that name. Raises DeclarationError with the nearest one."""
    for feature in registry.features:
        if feature.name == name:
            return feature
    raise unknown_feature(registry, name)


def read_entries(
    project: Project,
    tree: SourceTree,
    features: Iterable[Feature],
    history: CurrentSummary | None = None,
    *,
    promotions: bool = True,
    known: KnownHashes | None = None,
) -> list[Entry]:
    """Hashes features, but for those whose hashes are ``known``, and finds their versions.

    Without ``history`` the entries say nothing of runs, and without ``promotions`` nothing of which version is active.
    """
    runs = history or CurrentSummary({})
    return [_entry(project, tree, feature, runs, known, promotions=promotions) for feature in features]


def _entry(
    project: Project,
    tree: SourceTree,
    feature: Feature,
    history: CurrentSummary,
    known: KnownHashes | None,
    *,
    promotions: bool,
) -> Entry:
    hashed, problem = None, None
    listed = list_files(project.versions, feature.name)
    try:
        hashed = known.find(feature, listed.versions) if known is not None else None
        if hashed is None:
            from featurestore.versioning.running.working_tree import hash_feature  # follows code: 10 ms to import

            hashed = hash_feature(tree, feature, listed.versions)
    except FeatureStoreError as exc:
        problem = Problem(exc.code, exc.message, exc.where or feature.place, exc.hint)
    return _entry_of(project, feature, listed, history, hashed, problem, promotions=promotions)


def _entry_of(
    project: Project,
    feature: Feature,
    listed: FeatureFiles,
    history: CurrentSummary,
    hashed: VersionHash | None,
    problem: Problem | None,
    *,
    promotions: bool = True,
) -> Entry:
    summary = history.features.get(feature.name, FeatureSummary())
    damaged = None
    active = ActiveVersion(None)
    try:
        promoted = read_active(project.versions, feature.name) if promotions and listed.promoted else None
        active = active_version(promoted, lambda: _last_used(project, feature, history, promotions=promotions))
    except VersionFileError as exc:  # which version is active is not known then, of this feature alone
        damaged = Problem(exc.code, exc.message, exc.where, exc.hint)
    return Entry(
        feature=feature,
        hashed=hashed,
        problem=problem,
        files=listed,
        summary=summary,
        active_sha256=active.sha256,
        promoted_at=active.promoted_at,
        online=feature.name in history.online,
        damaged=damaged,
    )


def _last_used(project: Project, feature: Feature, history: CurrentSummary, *, promotions: bool) -> str | None:
    """The version of the last committed run; of a request-time feature the newest that fits its inputs."""

    def committed(name: str) -> str | None:
        return history.features.get(name, FeatureSummary()).committed_sha256

    def active(name: str) -> str | None:
        return active_version(read_active(project.versions, name), lambda: committed(name)).sha256

    if not feature.at_request:
        return committed(feature.name)
    return fitting_version(project.versions, feature.name, active) if promotions else None


def _matches(feature: Feature, wanted: Filter) -> bool:
    text = " ".join((feature.name, feature.description, *feature.tags)).lower()
    return (
        (wanted.query is None or wanted.query.lower() in text)
        and wanted.entity_type in (None, feature.entity_type.name)
        and (wanted.tag is None or wanted.tag in feature.tags)
        and wanted.status in (None, feature.status)
        and wanted.owner in (None, feature.owner)
        and (wanted.source is None or wanted.source in feature.source_names)
    )


def _check(what: str, name: str | None, existing: Iterable[str] | Sequence[str]) -> None:
    if name is not None and name not in existing:
        raise UsageError(f"there is no {what} {name!r}", hint=did_you_mean(name, existing))
