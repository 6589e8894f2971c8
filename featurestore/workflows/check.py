"""Whether every feature's code has its version file, and whether every version file is intact.

For hooks and CI: reads files only, runs no user code, imports nothing heavy. With ``staged`` it checks what git
would commit, not the working tree.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from featurestore.config import FILE, Project, load_project
from featurestore.declared_files import DeclaredFiles
from featurestore.errors import FeatureStoreError, UsageError, VersionFileError, did_you_mean
from featurestore.evaluation.retention import check_retentions
from featurestore.frozen import frozen
from featurestore.registry.discovery import discover, named_files, unparsed_notes
from featurestore.registry.python_files import shown
from featurestore.registry.summary import FeatureSummary
from featurestore.regular import VERSION, read_own
from featurestore.versioning.analysis.tree import SourceTree
from featurestore.versioning.folder import files
from featurestore.versioning.folder.names import VersionName
from featurestore.versioning.folder.rehashed import read_recipes
from featurestore.versioning.known_hashes import KnownHashes
from featurestore.workflows.catalogue import Entry, read_entries
from featurestore.workflows.known_versions import RESTORE, KnownVersions, LostVersion, missing_from_head
from featurestore.workflows.lives import read_lives
from featurestore.workflows.summaries import current_summary, stored_summary

if TYPE_CHECKING:
    from featurestore.offline.contract import OfflineStore
    from featurestore.versioning.recipe.version_hash import VersionHash
    from featurestore.workflows.lock import LockResult

FindingKind = Literal["declaration", "missing", "clash", "damaged", "stranger", "conflict", "lost", "limit", "observed"]

FindLost = Callable[[Mapping[str, Sequence[VersionName]], Iterable[str]], list[LostVersion]]


@frozen
class CheckFinding:
    """One thing that is wrong: where (a path below the project, or path:line), what, and how to fix it."""

    kind: FindingKind
    where: str
    message: str
    hint: str


@frozen
class HashLimit:
    """Something that decides a feature's values and is not part of its hash.

    Worth knowing; a finding where it is about a module of the project (``kind`` is ``project``), or a check is strict.
    """

    feature: str
    where: str
    message: str
    kind: str


@frozen
class HashObservation:
    """Something that a feature's code met in a run, and that it does not declare. A finding where a check is strict."""

    feature: str
    kind: str
    what: str
    message: str
    hint: str


@frozen
class CheckResult:
    """How much was checked, what is wrong, and with ``fix`` what was written, or would be in a ``dry_run``.

    ``notes`` are about features that are not declared any more and were not retired, and about files without features
    that can't be parsed: no findings either.
    """

    features: int
    versions: int
    findings: tuple[CheckFinding, ...]
    limits: tuple[HashLimit, ...]
    observations: tuple[HashObservation, ...] = ()
    notes: tuple[str, ...] = ()
    fixed: LockResult | None = None
    dry_run: bool = False


def check(
    project: Project,
    paths: Sequence[Path] = (),
    *,
    fix: bool = False,
    dry_run: bool = False,
    staged: bool = False,
    strict: bool = False,
    open_offline: Callable[[Project], OfflineStore] | None = None,
) -> CheckResult:
    """Checks all features, or those whose code or version files are among ``paths``.

    ``fix`` writes missing version files first and settles clashes, and with ``dry_run`` only says what it would write;
    with ``strict`` whatever decides values and is not part of a hash is a finding. Raises UsageError for ``staged``
    outside git, and for a path that is of no file and that git doesn't know either.
    """
    for path in paths:
        _check_path(project, path)
    if staged:
        if fix:
            raise UsageError("--fix and --staged can't be combined", hint="--fix writes the working tree: git add it")
        return _judged(_check_staged(project, paths), strict=strict)
    fixed = None
    if fix:
        from featurestore.offline import open as stores  # as what writes files finishes erasures first
        from featurestore.workflows.lock import lock

        fixed = lock(project, dry_run=dry_run, skip_broken=True, open_offline=open_offline or stores.open_offline)
    lost = KnownVersions.of_summary(project, _summary(project)).lost
    result = _check(project, [_below(project, path) for path in paths], lost, project.known_hashes)
    return _judged(replace(result, fixed=fixed, dry_run=dry_run), strict=strict)


def _check_path(project: Project, path: Path) -> None:
    """Raises UsageError for a path of no file; one that git knows was removed, and a hook may well name it."""
    absolute = Path.cwd() / path
    if os.path.lexists(absolute):
        return
    from featurestore.registry.git import knows

    if not knows(project.root, absolute):
        hint = "name a file that is there, or one that git knows"
        raise UsageError(
            f"there is no file {path}", hint=did_you_mean(str(path), _files_near(project, absolute)) or hint
        )


def _files_near(project: Project, missing: Path) -> Iterator[str]:
    """The files that a mistyped path may mean, as seen from here: what is beside it, and the project's code."""
    with suppress(OSError):
        for path in (*missing.parent.iterdir(), *project.features.rglob("*.py")):
            if path.is_file() and ".versions" not in path.parts:
                yield os.path.relpath(path)


def _summary(project: Project) -> Mapping[str, FeatureSummary]:
    """What the store's summary says; nothing where there is no store, or it can't be read now."""
    stored = stored_summary(project)
    if stored is not None:
        return stored.features
    try:
        return current_summary(project).features
    except FeatureStoreError:
        return {}


def _judged(result: CheckResult, *, strict: bool) -> CheckResult:
    """The same with the findings that its limits and observations are."""
    found = [
        CheckFinding("limit", limit.where, f"the hash of {limit.feature} is limited: {limit.message}", "")
        for limit in result.limits
        if strict or limit.kind == "project"
    ]
    found += [CheckFinding("observed", item.feature, item.message, item.hint) for item in result.observations if strict]
    return replace(result, findings=(*result.findings, *found))


def _check_staged(project: Project, paths: Sequence[Path]) -> CheckResult:
    import tempfile  # 5 ms that a check of the working tree doesn't need

    from featurestore.registry.git import export_declared, export_index, has_git

    if not has_git():
        raise UsageError("--staged needs git, and it is not installed, or not on the PATH", hint="install git")
    with tempfile.TemporaryDirectory(prefix="featurestore-") as folder:
        root = Path(folder)
        if not export_index(project.root, root):
            raise UsageError("--staged needs a git repository", where=str(project.root))
        if not (root / FILE).exists():
            raise UsageError(f"{FILE} is not staged or committed", hint=f"git add {FILE}")
        staged = load_project(root)
        patterns = named_files(staged)
        if patterns:
            export_declared(project.root, root, patterns)
        declared = DeclaredFiles(root, exported=True)
        lost = partial(missing_from_head, project.root, staged=True)
        return _check(staged, [_below(project, path) for path in paths], lost, project.known_hashes, declared)


def _check(
    project: Project, paths: Sequence[str], find_lost: FindLost, hashes: Path, declared: DeclaredFiles | None = None
) -> CheckResult:
    tree = SourceTree(project.root)
    registry = discover(project, tree, declared, parse_all=True)
    check_retentions(registry.features)
    known = KnownHashes(hashes, tree)
    listed_entries = read_entries(project, tree, registry.features, promotions=False, known=known)
    entries = {entry.feature.name: entry for entry in listed_entries}
    chosen = [entry for entry in entries.values() if not paths or _touches(entry, paths)]
    selected = {entry.feature.name for entry in chosen}
    findings = [
        CheckFinding("declaration", item.problem.where or item.name, item.problem.message, item.problem.hint or "")
        for item in registry.problems
        if not paths or (item.problem.where or "").partition(":")[0] in paths
    ]
    findings += [finding for entry in chosen for finding in _missing(entry)]
    versions = 0
    lives = read_lives(project, registry)
    folders = files.features_of(project.versions)
    removed = [name for name in folders if lives.is_removed(name) and files.versions_of(project.versions, name)]
    all_versions: dict[str, Sequence[VersionName]] = {}
    for name in folders:
        if not paths or name in selected or _in_folder(name, paths):
            entry = entries.get(name)
            listed = entry.files if entry is not None else files.list_files(project.versions, name)
            findings += _check_own_files(project, name, listed, entry)
            if listed.versions:
                all_versions[name] = listed.versions
                versions += len(listed.versions)
                findings += _check_folder(project, name, listed, entry, known)
    findings += _check_pins(project)
    findings += [
        _lost(item)
        for item in find_lost(all_versions, registry.names())
        if not paths or item.feature in selected or item.path in paths
    ]
    limits = [
        HashLimit(entry.feature.name, limit.place, limit.message, limit.kind)
        for entry in chosen
        if entry.hashed is not None
        for limit in entry.hashed.limits
    ]
    observations = [
        HashObservation(
            entry.feature.name, item.kind, item.what, f"its code {item.text}, which is not part of its hash", item.hint
        )
        for entry in chosen
        for item in entry.observed(project)
    ]
    unparsed = unparsed_notes(registry, (entry.problem for entry in entries.values()))
    notes = (
        *lives.notes(removed),
        *(line for line in unparsed if not paths or line.partition(":")[0] in paths),
    )
    return CheckResult(len(chosen), versions, tuple(findings), tuple(limits), tuple(observations), notes)


def _missing(entry: Entry) -> list[CheckFinding]:
    name = entry.feature.name
    if entry.problem is not None:
        where = entry.problem.where or entry.feature.place
        return [CheckFinding("declaration", where, entry.problem.message, entry.problem.hint or "")]
    if entry.working is not None:
        return []
    message = f"the code of {name} has no version file"
    hint = f"run featurestore lock {name} and git add features/.versions"
    return [CheckFinding("missing", entry.feature.place, message, hint)]


def _check_folder(
    project: Project, feature: str, listed: files.FeatureFiles, entry: Entry | None, known: KnownHashes
) -> list[CheckFinding]:
    findings = []
    for group in files.clashes(listed.versions):
        names = " and ".join(name.path.name for name in group)
        where = _shown(project, group[0].path.parent)
        message = f"these files have the same number or the same version: {names}"
        findings.append(CheckFinding("clash", where, message, f"run featurestore lock {feature}"))
    findings += [
        CheckFinding("stranger", _shown(project, path), "is not a version file", "move it out of the folder")
        for path in listed.strangers
    ]
    for name in listed.versions:
        try:
            _verify(name, entry, known)
        except FeatureStoreError as exc:
            findings.append(_unreadable(project, name.path, exc))
    return findings


def _lost(item: LostVersion) -> CheckFinding:
    known = "the store has values of it" if item.known_by == "store" else "git knows it"
    message = f"version {item.number} of {item.feature} ({item.short}) has no file, and {known}"
    if item.reused:
        message += f"; {item.feature}@{item.number} is another version now"
    return CheckFinding("lost", item.path, message, RESTORE)


def _check_own_files(
    project: Project, feature: str, listed: files.FeatureFiles, entry: Entry | None
) -> list[CheckFinding]:
    """What is wrong with the metadata and the promotion that are stored beside the versions."""
    findings = []
    reads: list[Callable[[Path, str], object]] = [read_recipes, *([files.read_active] if listed.promoted else [])]
    if listed.versions and not (entry is not None and files.is_locked_metadata(project.versions, entry.feature)):
        reads.append(files.read_metadata)
    for read in reads:
        try:
            read(project.versions, feature)
        except VersionFileError as exc:
            findings.append(_unreadable(project, Path(exc.where or ""), exc))
    return findings


def _unreadable(project: Project, path: Path, exc: FeatureStoreError) -> CheckFinding:
    """A file of ours that can't be used: what a merge left in it, or what else is wrong."""
    from featurestore.versioning.folder import conflicts

    try:
        conflicting = conflicts.has_markers(read_own(path, VERSION))
    except OSError:
        conflicting = False
    if conflicting:
        message = "contains merge conflict markers"
        return CheckFinding("conflict", _shown(project, path), message, "run featurestore lock, which settles most")
    return CheckFinding("damaged", _shown(project, path), exc.message, exc.hint or "")


def _check_pins(project: Project) -> list[CheckFinding]:
    """What is wrong with the files of the types of undeclared columns."""
    from featurestore.sources.pinned_types import pins_path, read_pins

    findings = []
    for source in project.sources.values():
        try:
            read_pins(project, source)
        except VersionFileError as exc:
            findings.append(_unreadable(project, pins_path(project, source), exc))
    return findings


def _verify(name: VersionName, entry: Entry | None, known: KnownHashes) -> None:
    """Raises VersionFileError for a damaged version file.

    Most files are of the working tree's versions, whose code was just hashed: there it is enough to compare texts.
    """
    if entry is not None and entry.hashed is not None and entry.hashed.short == name.short:
        try:
            data = read_own(name.path, VERSION)
            if known.is_verified(entry.feature.name, data) or _is_file_of(data, entry.hashed):
                if entry.feature.depends_on.files:
                    from featurestore.versioning.folder.copies import verify_copies

                    verify_copies(name.path, entry.feature)
                return
        except OSError:
            pass  # reported below
    from featurestore.versioning.running.replay import verify

    verify(name.path)


def _is_file_of(data: bytes, hashed: VersionHash) -> bool:
    from featurestore.versioning.folder.versionfile import is_file_of  # 10 ms that known hashes save

    return is_file_of(data, hashed)


def _touches(entry: Entry, paths: Sequence[str]) -> bool:
    """Whether one of the files contains code of a feature's closure."""
    if entry.hashed is None:
        return entry.feature.path.as_posix() in paths
    modules = entry.hashed.outline.modules | {entry.feature.module}
    reached = {f"{module.replace('.', '/')}{ending}" for module in modules for ending in (".py", "/__init__.py")}
    reached.update(file.path for file in entry.feature.depends_on.files)
    return FILE in paths or not reached.isdisjoint(paths)


def _in_folder(feature: str, paths: Sequence[str]) -> bool:
    return any(path.startswith(f"features/.versions/{feature}/") for path in paths)


def _below(project: Project, path: Path) -> str:
    absolute = Path.cwd() / path
    return absolute.relative_to(project.root).as_posix() if absolute.is_relative_to(project.root) else path.as_posix()


def _shown(project: Project, path: Path) -> str:
    return shown(path.relative_to(project.root))
