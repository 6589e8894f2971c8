"""What a run computes: for each feature the working tree's version and, where another one is active, that too.

A promoted version is computed from its version file, so that it gets new values even after the code has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featurestore import times
from featurestore.atomic import together
from featurestore.config import Project
from featurestore.declared_files import kept
from featurestore.errors import FeatureStoreError, StoreError, VersionFileError, os_reason
from featurestore.frozen import frozen
from featurestore.model import Feature, FeatureRun, Problem, Source, StoredVersion, VersionId
from featurestore.offline.contract import OfflineStore
from featurestore.registry.git import committed
from featurestore.versioning.analysis.tree import SourceTree
from featurestore.versioning.folder import files
from featurestore.versioning.folder.copies import folder_of
from featurestore.versioning.folder.names import VersionName
from featurestore.versioning.folder.observed import Observation, undeclared, write_observed
from featurestore.versioning.folder.versionfile import VersionFile, read_version
from featurestore.versioning.recipe.closure import Closure
from featurestore.versioning.recipe.hashing import RECIPES, named_among, seen_among
from featurestore.versioning.recipe.version_hash import VersionHash
from featurestore.versioning.running import replay
from featurestore.versioning.running.modules import isolation_of, load_function
from featurestore.versioning.running.recipes import update_recipes
from featurestore.versioning.running.working_tree import hash_feature
from featurestore.workflows.known_versions import KnownVersions
from featurestore.workflows.lives import read_lives
from featurestore.workflows.request_time import pinned_files

if TYPE_CHECKING:
    from featurestore.versioning.running.watch import Imported, Watch


def _anywhere() -> None:
    return None


def _unknown() -> None:
    return None


@frozen
class Target:
    """A feature at one version, how its function is loaded, and the folder that it runs in, if it needs one.

    ``watch`` sees what its code meets; there is none for a version that comes from its file, which nobody will change.
    With ``new`` no version file has this code yet; ``hashed`` is what the file will be written from (None for a
    version that comes from its file). ``closure`` gives its code, None where that can't be parsed. With
    ``reactivates`` another version was the last to commit, and this one has values from before.
    """

    feature: Feature
    version: StoredVersion
    load: Callable[[], Callable[..., Any]]
    folder: Callable[[], Path | None] = _anywhere
    watch: Watch | None = None
    hashed: VersionHash | None = None
    closure: Callable[[], Closure | None] = _unknown
    new: bool = False
    reactivates: bool = False

    @property
    def place(self) -> str:
        return self.feature.place

    def watching(self) -> AbstractContextManager[None]:
        """While its modules are imported and its function runs."""
        return nullcontext() if self.watch is None else self.watch.watching()

    @property
    def observed(self) -> tuple[Observation, ...]:
        """What its code met so far, and does not declare."""
        if self.watch is None or self.hashed is None:
            return ()
        module = self.feature.module
        modules = isolation_of(self.hashed.closure.project.tree, module).imported_by(module)
        return undeclared(self.feature, self.watch.observations(modules))

    def names_among(self, columns: Sequence[str]) -> list[str]:
        """The columns of its source that its code can name."""
        closure = self.closure()
        return list(columns) if closure is None else named_among(self.feature, closure, columns)

    def seen_among(self, columns: Sequence[str]) -> list[str]:
        """The columns of its source that its code can see."""
        closure = self.closure()
        return list(columns) if closure is None else seen_among(self.feature, closure, columns)

    @property
    def source(self) -> Source:
        """Its source; the first of several."""
        assert self.feature.source is not None, "a feature without a source is not a target"
        return self.feature.source


def find_targets(
    project: Project, store: OfflineStore, tree: SourceTree, features: Sequence[Feature]
) -> tuple[list[Target], list[FeatureRun]]:
    """The targets of some features, and a failed run for each feature whose code can't be hashed.

    Features without a source have no targets: there is nothing to compute them from before a request.
    """
    usable = committed(project.root) if project.require_committed else None
    bound = _bound(project, features)
    known = KnownVersions(project, lambda name: {item.id.sha256: item.number for item in store.versions(name)})
    targets: list[Target] = []
    failed: list[FeatureRun] = []
    for feature in features:
        if feature.source is None:
            continue
        try:
            target = _working(project, store, tree, feature, usable, known)
            targets += [target, *_beside(project, target, bound.get(feature.name, ()))]
        except StoreError:
            raise  # not the feature's failure: the store refuses for the next one too
        except FeatureStoreError as exc:
            problem = Problem(exc.code, exc.message, exc.where or feature.place, exc.hint)
            failed.append(FeatureRun(feature.name, str(feature.source_name), "failed", error=problem))
    return targets, failed


def write_version_files(project: Project, targets: Sequence[Target], commit: str | None) -> None:
    """Writes the version file and the metadata of each target of the working tree. Raises StoreError."""
    try:
        with together():
            for target in targets:
                if target.hashed is not None:
                    if target.new:
                        write_version(project, target.hashed, commit, target.version.number)
                    files.write_metadata(project.versions, target.feature)
                    write_observed(project.versions, target.feature.name, target.version.id.sha256, target.observed)
    except OSError as exc:
        raise StoreError(f"can't be written: {os_reason(exc)}", where=str(project.versions)) from exc


def note_recipes(project: Project, targets: Sequence[Target]) -> None:
    """Writes down which versions of an older recipe are the working tree's: listings then need not work it out."""
    with suppress(OSError), together():
        for target in targets:
            if target.hashed is not None and target.hashed.recipe < max(RECIPES):
                names = files.versions_of(project.versions, target.feature.name)
                update_recipes(project.versions, target.feature.name, names)


def write_version(project: Project, hashed: VersionHash, commit: str | None, number: int) -> files.WrittenVersion:
    """Writes a version file, dated now and with the git commit of the run. Raises OSError."""
    return files.write_version(project.versions, hashed, created=times.now(), commit=commit, number=number)


def _imported(_: SourceTree) -> Imported:
    """What the modules of a tree meet while they are imported, each once for all features."""
    return {}


def _working(
    project: Project,
    store: OfflineStore,
    tree: SourceTree,
    feature: Feature,
    usable: frozenset[str] | None,
    known: KnownVersions,
) -> Target:
    """The working tree's version. ``usable`` are the committed version files, where only those may be used."""
    from featurestore.versioning.running.watch import Watch  # `lock` imports this module, and runs nothing

    names = files.versions_of(project.versions, feature.name)
    hashed = hash_feature(tree, feature, names)
    written = next((name for name in names if name.short == hashed.short), None)
    if usable is not None and (written is None or not _needed(written, feature, project.root) <= usable):
        raise VersionFileError(
            "its version file is not committed, and [versions] require_committed asks for that",
            where=feature.place,
            hint=f"run featurestore lock {feature.name}, then git add and commit features/.versions",
        )
    number = written.number if written else known.number_for(feature.name, names, hashed.sha256)
    version_id = VersionId(feature.name, hashed.sha256)
    folder = project.root if feature.depends_on.files else None
    last = store.last_committed(feature.name)
    return Target(
        feature=feature,
        version=_stored(version_id, number, feature, feature.max_age),
        load=lambda: load_function(tree, feature.module, feature.function, folder),
        folder=lambda: folder,
        watch=Watch(project.root, tree.attached(_imported)),
        hashed=hashed,
        closure=lambda: hashed.closure,
        new=written is None,
        reactivates=last not in (None, version_id) and version_id in {item.id for item in store.versions(feature.name)},
    )


def _stored(version: VersionId, number: int, feature: Feature, max_age: int | None) -> StoredVersion:
    steps = feature.window is not None
    return StoredVersion(version, number, feature.entity_type, feature.data_type, max_age, steps=steps)


def _needed(written: VersionName, feature: Feature, root: Path) -> set[str]:
    """The files that a version runs from, as paths below the project."""
    copies = [folder_of(written.path) / file.path for file in kept(feature.depends_on.files)]
    return {path.relative_to(root).as_posix() for path in (written.path, *copies)}


def file_target(project: Project, working: Feature, file: VersionFile) -> Target:
    """A version as its file has it, computed from today's source. ``working`` is the feature as declared today."""
    sources = tuple(_source_of(project, working.source, old) for old in file.feature.reads)
    several = sources if len(sources) > 1 else ()
    feature = replace(file.feature, name=working.name, source=sources[0], sources=several)
    version_id = VersionId(working.name, file.sha256)
    version = _stored(version_id, file.name.number, feature, working.max_age)
    return Target(
        feature=feature,
        version=version,
        load=lambda: replay.load(file),
        folder=lambda: replay.folder_of(file),
        closure=cache(lambda: _closure_of(file)),
    )


def _closure_of(file: VersionFile) -> Closure | None:
    with suppress(FeatureStoreError):
        return replay.closure_of(file)
    return None


def _beside(project: Project, target: Target, bound: Iterable[str]) -> list[Target]:
    """The versions that are fed beside the working tree's: the promoted one, and those ``bound`` to others."""
    name = target.feature.name
    active = files.read_active(project.versions, name)
    wanted = dict.fromkeys([*([] if active is None else [active.sha256]), *bound])
    wanted.pop(target.version.id.sha256, None)
    found = [read_version(files.resolve(project.versions, name, sha256).path) for sha256 in wanted]
    return [file_target(project, target.feature, file) for file in found if file.feature.materialised]


def _bound(project: Project, features: Iterable[Feature]) -> Mapping[str, list[str]]:
    """The versions (SHA-256) of each feature that promoted request-time features have for inputs."""
    if not any(feature.materialised for feature in features):
        return {}
    found: dict[str, list[str]] = {}
    for file in pinned_files(project, read_lives(project)):
        for item in file.feature.inputs:
            found.setdefault(files.called_now(project.versions, item.name), []).append(item.sha256)
    return found


def _source_of(project: Project, working: Source | None, old: Source) -> Source:
    """Where an old version reads: its own source's rows as its header has them typed, from today's path."""
    source = project.sources.get(old.name, working or old)
    return replace(
        source, event_time=old.event_time, timezone=old.timezone, updated_at=old.updated_at, valid=old.valid,
        known_at=old.known_at,
    )  # fmt: skip
