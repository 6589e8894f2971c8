"""Finds the features of a project by reading its files, never by running them.

Every ``.py`` file below ``features/`` that mentions featurestore is parsed; functions decorated with
``@feature(...)`` become `Feature` values. Each declaration that can't be used becomes a `BrokenDeclaration`, so that
one bad file never hides the others.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator

from featurestore.config import FILE, Project
from featurestore.declared_files import DeclaredFiles, NamedFiles
from featurestore.errors import (
    ConfigError,
    DeclarationError,
    FeatureStoreError,
    UsageError,
    VersionFileError,
    did_you_mean,
    nearest,
)
from featurestore.frozen import frozen
from featurestore.model import FEATURE_NAME, Feature, Problem
from featurestore.registry.declaration import declared_files, read_declaration
from featurestore.registry.decorators import (
    Decorated,
    LooseUse,
    bound_names,
    carried_names,
    declared_names,
    decorated,
    dotted,
    from_nowhere,
    loose_uses,
)
from featurestore.registry.inputs import InputFinder
from featurestore.registry.python_files import OddFile, PythonFile, python_files
from featurestore.versioning.analysis.tree import Module, SourceTree
from featurestore.versioning.folder.files import features_of, read_retired, versions_of

_CALLED_FEATURE = re.compile(rb"^@(?:\w+\.)*feature\b", re.MULTILINE)
# Where a name may be used or handed on: as a decorator or an argument, called, or imported.
_MENTION = (
    rb"[@(=,\[]\s*[\w.]*\b(?:%s)\b|\b(?:%s)(?:\s*\(|\s+as\b)|\bimport\s(?:.*\b(?:%s)\b|\s*\*)|^\s+(?:%s)\s*,?\s*$"
)


@frozen
class BrokenDeclaration:
    """A declaration that can't be used, by the name of its function or feature, or a file that can't be parsed."""

    name: str
    problem: Problem


@frozen
class Registry:
    """The features of the working tree, by name, and the declarations that can't be used.

    ``left_out`` are Python files that can't be modules, such as pipes and links that lead out of the project, and
    ``unread`` the problems of all files that may declare any feature, for all that is known.
    ``unparsed`` are of files that can't be parsed, and declare none; see `discover`.
    """

    features: tuple[Feature, ...]
    broken: tuple[BrokenDeclaration, ...]
    left_out: tuple[BrokenDeclaration, ...] = ()
    unread: tuple[Problem, ...] = ()
    unparsed: tuple[Problem, ...] = ()

    @property
    def problems(self) -> tuple[BrokenDeclaration, ...]:
        """All that is to be said about the files below ``features/``."""
        return (*self.broken, *self.left_out)

    def names(self) -> list[str]:
        return [feature.name for feature in self.features]


def discover(
    project: Project, tree: SourceTree, declared: DeclaredFiles | None = None, *, parse_all: bool = False
) -> Registry:
    """Reads all feature modules. Runs no user code and imports nothing of the user's.

    ``declared`` reads what they name in ``depends_on``; from the project's own files, where it is not given.
    ``parse_all`` parses the files without features too, which takes longer, to name those that can't be parsed.
    Raises ConfigError for drift settings of a feature that does not exist.
    """
    declared = declared or tree.attached(declared_files)
    features: list[Feature] = []
    broken: list[BrokenDeclaration] = []
    left_out: list[BrokenDeclaration] = []
    unread: list[BrokenDeclaration] = []
    files: list[PythonFile] = []
    for found in python_files(project, tree.fence):
        if isinstance(found, OddFile):
            (unread if found.unread else left_out).append(BrokenDeclaration(found.name, found.problem))
        else:
            files.append(found)
    for module, names in _declaring(tree, files, broken):
        for function, call in decorated(module, names):
            try:
                features.extend(read_declaration(project, tree, module, function, call, declared))
            except DeclarationError as exc:
                broken.append(BrokenDeclaration(function.name, _problem(exc)))
    duplicates = {name for name, count in Counter(item.name for item in features).items() if count > 1}
    for name in sorted(duplicates):
        places = [item.place for item in features if item.name == name]
        message = f"two features are named {name!r}: {' and '.join(places)}"
        broken.append(
            BrokenDeclaration(name, Problem("declaration", message, places[-1], "give one of them another name="))
        )
    unique = sorted((item for item in features if item.name not in duplicates), key=lambda item: item.name)
    unique = _with_inputs(project, tree, unique, broken)
    # What can't be read is a failure only where a feature is missing, which may be in there.
    if unread and _is_one_missing(project, features, {item.name for item in broken}):
        broken += unread
    else:
        left_out += unread
    unparsed = _unparsed(tree, files, {item.name for item in broken}) if parse_all else []
    unknown = [item.problem for item in broken if not FEATURE_NAME.fullmatch(item.name)]
    unknown += [item.problem for item in unread if item not in broken]
    registry = Registry(tuple(unique), tuple(broken), tuple(left_out), tuple(unknown), tuple(unparsed))
    _check_drift_rules(project, registry)
    return registry


def _with_inputs(
    project: Project, tree: SourceTree, features: list[Feature], broken: list[BrokenDeclaration]
) -> list[Feature]:
    """The features, the request-time ones among them with the hashes of their inputs, where these can be used."""
    if not any(feature.at_request for feature in features):
        return features
    finder = InputFinder(project, tree, features, {item.name for item in broken})
    found = []
    for feature in features:
        try:
            found.append(finder.bound(feature) if feature.at_request else feature)
        except DeclarationError as exc:
            broken.append(BrokenDeclaration(feature.name, _problem(exc)))
    return found


def _is_one_missing(project: Project, features: Iterable[Feature], broken: set[str]) -> bool:
    """Whether a feature has versions, though it is neither declared nor retired nor renamed."""
    known = {*broken, *(item.name for item in features), *(item.renamed_from for item in features)}
    return any(
        versions_of(project.versions, name) and not _is_retired(project, name)
        for name in features_of(project.versions)
        if name not in known
    )


def _is_retired(project: Project, name: str) -> bool:
    try:
        return read_retired(project.versions, name) is not None
    except VersionFileError:  # said by what needs to know
        return False


def _check_drift_rules(project: Project, registry: Registry) -> None:
    """Raises ConfigError for a rule of a feature that is neither declared nor has versions, or of a mistyped tag.

    Where a declaration is broken, nobody knows which features there are.
    """
    rules = project.drift
    if registry.broken or registry.left_out or not (rules.features or rules.tags):
        return
    names = {*registry.names(), *features_of(project.versions)}
    tags = {tag for feature in registry.features for tag in feature.tags}
    for kind, given, known in (("features", rules.features, names), ("tags", rules.tags, tags)):
        for name in given:
            close = nearest(name, known)
            if name not in known and (kind == "features" or close):
                what = f"drift.{kind}.{name} is not a {kind.removesuffix('s')}"
                hint = f"did you mean {close!r}?" if close else did_you_mean(name, known)
                raise ConfigError(what, where=str(project.root / FILE), hint=hint)


def _declaring(
    tree: SourceTree, files: list[PythonFile], broken: list[BrokenDeclaration]
) -> Iterator[tuple[Module, set[str]]]:
    """The modules that use the decorator, with the names that it has there; every other use of it is broken.

    Parsing takes longest, so that only those are parsed that mention featurestore, or what a module has made of it.
    """
    modules: dict[str, Module | None] = {}
    carriers: dict[tuple[str, str], None] = {}
    for file in files:
        named = b"featurestore" in file.data or b"\0" in file.data[:200]  # UTF-16 has the word in another form
        if not named and not _CALLED_FEATURE.search(file.data):
            continue
        module = modules[file.name] = _parsed(tree, file, broken)
        if module is not None:
            names = declared_names(module)
            broken += [_unimported(module, function) for function in from_nowhere(module, names)]
            uses = loose_uses(module, names)
            broken += [_loose(module, use) for use in uses]
            made = bound_names(module, uses)
            carriers.update({(module.name, name): None for name in {*made, *names} if "." not in name})
            yield module, names
    looked_for: set[tuple[str, str]] = set()
    while new := carriers.keys() - looked_for:
        looked_for |= new
        words = b"|".join(re.escape(name.encode()) for name in sorted({name for _, name in new}))
        mention = re.compile(_MENTION % (words, words, words, words), re.MULTILINE)
        for file in files:
            if not mention.search(file.data):
                continue
            if file.name not in modules:
                modules[file.name] = _parsed(tree, file, broken)
            module = modules[file.name]
            if module is not None:
                carriers.update(_carried(module, new, broken))


def _carried(
    module: Module, carriers: Iterable[tuple[str, str]], broken: list[BrokenDeclaration]
) -> dict[tuple[str, str], None]:
    """What a module makes of decorators that it has from other modules of the project: each use is broken."""
    names = carried_names(module, carriers)
    if not names:
        return {}
    for function, decorator in decorated(module, set(names)):
        target = decorator.func if isinstance(decorator, ast.Call) else decorator
        broken.append(
            BrokenDeclaration(
                function.name,
                Problem(
                    "declaration",
                    f"is decorated by {names[dotted(target)]}: a decorator that isn't imported from featurestore "
                    "itself can't be read without running it",
                    f"{module.path.as_posix()}:{function.lineno}",
                    "from featurestore import feature, and write @feature(…) above the function",
                ),
            )
        )
    uses = loose_uses(module, names)
    broken += [_loose(module, use) for use in uses]
    made = {*bound_names(module, uses), *(name for name in names if "." not in name)}
    return {(module.name, name): None for name in made}


def _unimported(module: Module, function: Decorated) -> BrokenDeclaration:
    return BrokenDeclaration(
        function.name,
        Problem(
            "declaration",
            "is decorated by feature, which is not imported",
            f"{module.path.as_posix()}:{function.lineno}",
            "write: from featurestore import feature",
        ),
    )


def _loose(module: Module, use: LooseUse) -> BrokenDeclaration:
    message = (
        f"{use.text} is used in another way than above a function: what it declares can't be read without running it"
    )
    where = f"{module.path.as_posix()}:{use.line}"
    return BrokenDeclaration(
        use.owner, Problem("declaration", message, where, "write @feature(…) above each function, with its arguments")
    )


def _parsed(tree: SourceTree, file: PythonFile, broken: list[BrokenDeclaration]) -> Module | None:
    try:
        return tree.module(file.name)
    except DeclarationError as exc:
        broken.append(BrokenDeclaration(file.path.as_posix(), _problem(exc)))
        return None


def _unparsed(tree: SourceTree, files: Iterable[PythonFile], broken: set[str]) -> list[Problem]:
    problems = []
    for file in files:
        if file.path.as_posix() not in broken:
            try:
                tree.module(file.name)
            except DeclarationError as exc:
                problems.append(_problem(exc))
    return problems


def unparsed_notes(registry: Registry, said: Iterable[Problem | None]) -> tuple[str, ...]:
    """A line for each file without features that can't be parsed, unless a feature's problem names it."""
    named = {problem.where for problem in said if problem is not None}
    return tuple(f"{item.where}: {item.message}" for item in registry.unparsed if item.where not in named)


def named_files(project: Project) -> list[str]:
    """The paths and patterns of ``depends_on`` in the project, in any feature. Opens none of the files."""
    tree = SourceTree(project.root)
    files = python_files(project, tree.fence)
    if not any(isinstance(found, PythonFile) and b"depends_on" in found.data for found in files):
        return []  # nearly always, and reading the declarations takes longer
    named = NamedFiles(project.root)
    discover(project, tree, named)
    return list(named.patterns)


def select(registry: Registry, names: tuple[str, ...] | list[str]) -> list[Feature]:
    """The named features in the order named; all of them when none is named. Raises what `unknown_feature` gives."""
    if not names:
        return list(registry.features)
    by_name = {feature.name: feature for feature in registry.features}
    for name in names:
        if name not in by_name:
            raise unknown_feature(registry, name)
    return [by_name[name] for name in dict.fromkeys(names)]


def unknown_feature(registry: Registry, name: str, others: Iterable[str] = ()) -> FeatureStoreError:
    """The error for a name that is not usable: what is wrong with its declaration, or the nearest name.

    A mistyped name is a UsageError in every command; ``others`` are names it may mean besides those declared.
    """
    for item in registry.problems:
        if item.name == name:
            return DeclarationError(item.problem.message, where=item.problem.where, hint=item.problem.hint)
    if registry.unread:
        problem, close = registry.unread[0], nearest(name, registry.names())
        hint = problem.hint if close is None else f"did you mean {close!r}?"
        message = f"whether {name} is declared is not known: {said_of_file(problem)}"
        return DeclarationError(message, where=problem.where, hint=hint)
    return UsageError(f"there is no feature {name!r}", hint=did_you_mean(name, {*registry.names(), *others}))


def said_of_file(problem: Problem) -> str:
    """What is wrong with a file of features, with the file first."""
    path = (problem.where or "").partition(":")[0]
    between = " " if problem.message.startswith(("is ", "can't ")) else ": "
    return f"{path}{between}{problem.message}"


def _problem(exc: DeclarationError) -> Problem:
    return Problem(exc.code, exc.message, exc.where, exc.hint)
