"""Whether every feature's code has its version file, and every version file is what it says.

For hooks and CI: reads files only, runs no user code, imports nothing heavy. With ``staged`` it judges what
git would commit, not what lies in the working tree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from featurestore.config import FILE, Project, load_project
from featurestore.errors import FeatureStoreError, UsageError
from featurestore.registry.discovery import discover
from featurestore.registry.git import export_index
from featurestore.versioning.analysis.tree import SourceTree
from featurestore.versioning.folder import files
from featurestore.versioning.running.replay import verify
from featurestore.workflows.catalogue import Entry, read_entries
from featurestore.workflows.plan import LockedVersion, lock

Kind = Literal["declaration", "missing", "clash", "damaged", "stranger"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: where (a path below the project, or path:line), what, and the mend."""

    kind: Kind
    where: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Limited:
    """Something that a feature's hash can't follow; no finding, but worth knowing."""

    feature: str
    where: str
    message: str


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What was looked at, what is wrong, and with ``fix`` what was written to mend it."""

    features: int
    versions: int
    findings: tuple[Finding, ...]
    limits: tuple[Limited, ...]
    fixed: tuple[LockedVersion, ...] = ()


def check(project: Project, paths: Sequence[Path] = (), *, fix: bool = False, staged: bool = False) -> CheckResult:
    """Checks all features, or those that the named files take part in.

    ``fix`` writes missing version files first and settles clashes. Raises UsageError for ``staged`` outside git.
    """
    if staged:
        if fix:
            raise UsageError("--fix writes the working tree, and --staged looks at the index", hint="leave one out")
        import tempfile  # 2 ms that a check of the working tree doesn't need

        with tempfile.TemporaryDirectory(prefix="featurestore-") as folder:
            root = Path(folder)
            if not export_index(project.root, root):
                raise UsageError("--staged needs a git repository", where=str(project.root))
            if not (root / FILE).exists():
                raise UsageError(f"{FILE} is not staged or committed", hint=f"git add {FILE}")
            return _check(load_project(root), [_below(project, path) for path in paths])
    fixed = tuple(lock(project)) if fix else ()
    return replace(_check(project, [_below(project, path) for path in paths]), fixed=fixed)


def _check(project: Project, paths: Sequence[str]) -> CheckResult:
    tree = SourceTree(project.root)
    registry = discover(project, tree)
    held = files.all_versions(project.versions)
    entries = read_entries(project, tree, registry.features)
    chosen = [entry for entry in entries if not paths or _touches(entry, paths)]
    named = {entry.feature.name for entry in chosen}
    folders = [name for name in held if not paths or name in named or _in_folder(name, paths)]
    findings = [
        Finding("declaration", item.problem.where or item.name, item.problem.message, item.problem.hint or "")
        for item in registry.broken
        if not paths or (item.problem.where or "").partition(":")[0] in paths
    ]
    findings += [finding for entry in chosen for finding in _missing(entry)]
    findings += [finding for name in folders for finding in _folder(project, name)]
    limits = [
        Limited(entry.feature.name, limit.place, limit.message)
        for entry in chosen
        if entry.hashed is not None
        for limit in entry.hashed.closure.limits
    ]
    return CheckResult(len(chosen), sum(len(held[name]) for name in folders), tuple(findings), tuple(limits))


def _missing(entry: Entry) -> list[Finding]:
    name = entry.feature.name
    if entry.problem is not None:
        where = entry.problem.where or entry.feature.place
        return [Finding("declaration", where, entry.problem.message, entry.problem.hint or "")]
    if entry.working is not None:
        return []
    message = f"the code of {name} has no version file"
    hint = f"run featurestore lock {name} and git add features/.versions"
    return [Finding("missing", entry.feature.place, message, hint)]


def _folder(project: Project, feature: str) -> list[Finding]:
    findings = []
    names = files.versions_of(project.versions, feature)
    for group in files.clashes(names):
        shown = " and ".join(name.path.name for name in group)
        where = _shown(project, group[0].path.parent)
        message = f"one number or version twice: {shown}"
        findings.append(Finding("clash", where, message, f"run featurestore lock {feature}"))
    findings += [
        Finding("stranger", _shown(project, path), "is not a version file", "move it out of the folder")
        for path in files.strangers(project.versions, feature)
    ]
    for name in names:
        try:
            verify(name.path)
        except FeatureStoreError as exc:
            findings.append(Finding("damaged", _shown(project, name.path), exc.message, exc.hint or ""))
    return findings


def _touches(entry: Entry, paths: Sequence[str]) -> bool:
    """Whether a feature's closure has code in one of the files."""
    if entry.hashed is None:
        return entry.feature.path.as_posix() in paths
    modules = {node.key[0] for node in entry.hashed.closure.nodes} | {entry.feature.module}
    reached = {f"{module.replace('.', '/')}{ending}" for module in modules for ending in (".py", "/__init__.py")}
    return FILE in paths or not reached.isdisjoint(paths)


def _in_folder(feature: str, paths: Sequence[str]) -> bool:
    return any(path.startswith(f"features/.versions/{feature}/") for path in paths)


def _below(project: Project, path: Path) -> str:
    absolute = Path.cwd() / path
    return absolute.relative_to(project.root).as_posix() if absolute.is_relative_to(project.root) else path.as_posix()


def _shown(project: Project, path: Path) -> str:
    return path.relative_to(project.root).as_posix()
