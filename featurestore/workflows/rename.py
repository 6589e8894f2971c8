"""``rename``: the edits that give a feature another name, and what it brings from its former one.

The decorator says ``renamed_from``, so that every other checkout and store follows at its next ``ingest``. Nobody's
code is run, and what is written is read again before it counts.
"""

from __future__ import annotations

import ast
import keyword
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from featurestore.atomic import write_atomically
from featurestore.config import FILE, Project, load_project
from featurestore.errors import FeatureStoreError, StoreError, UsageError
from featurestore.frozen import frozen
from featurestore.model import FEATURE_NAME, Feature
from featurestore.offline.contract import OfflineStore
from featurestore.registry.decorators import declared_names
from featurestore.registry.discovery import Registry, discover, unknown_feature
from featurestore.registry.git import commit_of
from featurestore.versioning.analysis.tree import Module, SourceTree
from featurestore.versioning.folder import files
from featurestore.versioning.running.working_tree import hash_feature
from featurestore.workflows.erasure.completion import writing_turn
from featurestore.workflows.renaming import CarriedHistory, carry_histories, carry_versions


@frozen
class LineEdit:
    """One line of a file that is, or would be, written anew; ``file`` is below the project, ``line`` begins with 1."""

    file: str
    line: int
    before: str
    after: str


@frozen
class RenameResult:
    """What a rename did, or would do. ``changed`` is False where the feature had the new name already.

    ``versions`` are the numbers of the version files that were copied, ``history`` what the store carried over.
    ``warnings`` name the request-time features that have it as an input, whose code has to say the new name.
    """

    old: str
    new: str
    changed: bool
    edits: tuple[LineEdit, ...] = ()
    versions: tuple[int, ...] = ()
    history: CarriedHistory | None = None
    warnings: tuple[str, ...] = ()


def rename(project: Project, offline: OfflineStore, old: str, new: str, *, dry_run: bool = False) -> RenameResult:
    """Renames a declared feature, and carries over what is stored under its name.

    Raises UsageError or DeclarationError for names that don't fit, with nothing changed; VersionFileError, LockedError,
    StoreError.
    """
    if not FEATURE_NAME.fullmatch(new) or keyword.iskeyword(new):
        raise UsageError(f"{new!r} is not a feature name", hint="lower-case letters, digits and _")
    with writing_turn(project, offline, dry_run=dry_run):
        tree = SourceTree(project.root)
        registry = discover(project, tree)
        declared = {feature.name: feature for feature in registry.features}
        done = new in declared and declared[new].renamed_from == old and old not in declared
        if not done:
            _check(project, registry, old, new)
        edits = () if done else _edits(project, tree, declared[old], new)
        named = [name.number for name in files.versions_of(project.versions, old)]
        brings = not files.versions_of(project.versions, new)
        warnings = tuple(_said_of_inputs(registry, old, new))
        if dry_run:
            return RenameResult(old, new, not done, edits, tuple(named) if brings else (), warnings=warnings)
        if not done:
            sha256 = hash_feature(tree, declared[old], files.versions_of(project.versions, old)).sha256
            _write(project, declared[old], new, edits, sha256)
        registry = discover(project, SourceTree(project.root))
        chosen = [item for item in registry.features if item.name == new]
        carried = carry_versions(project, chosen, registry.names())
        history = carry_histories(offline, chosen, registry.names(), commit_of(project.root))
    changed = not done or bool(carried or history)
    copied, carried_over = tuple(named) if carried else (), history[0] if history else None
    return RenameResult(old, new, changed, edits, copied, carried_over, warnings)


def _said_of_inputs(registry: Registry, old: str, new: str) -> Iterator[str]:
    for feature in registry.features:
        if any(item.name == old for item in feature.inputs):
            yield (
                f"{feature.name} has the input {old} ({feature.place}): write {new} in its inputs= and where its code "
                f"names the column {old}; until then its declaration is broken, and its locked versions are served"
            )


def _check(project: Project, registry: Registry, old: str, new: str) -> None:
    if old not in registry.names():
        raise unknown_feature(registry, old)
    if new == old:
        raise UsageError(f"{old} has that name already")
    taken = {*registry.names(), *(item.name for item in registry.broken)}
    if new in taken or files.versions_of(project.versions, new):
        hint = "choose another name" if new in taken else f"featurestore show {new} says what it was"
        raise UsageError(f"there is, or was, a feature {new} already", hint=hint)
    (feature,) = (item for item in registry.features if item.name == old)
    if feature.params:
        raise UsageError(
            f"{old} is one of a family, whose name is made of its params",
            where=feature.place,
            hint="declare it on its own, or write name= and renamed_from= by hand",
        )


def _edits(project: Project, tree: SourceTree, feature: Feature, new: str) -> tuple[LineEdit, ...]:
    """The lines of the declaration and of featurestore.toml that name the feature."""
    module = tree.module(feature.module)
    assert module is not None, "the feature was found in it"
    function, call = _declaration(module, feature, new)
    spots = [*_name_spots(project, module, function, call, feature.name, new), _former_spot(module, call, feature.name)]
    path = project.root / module.path
    return (*_lines_of(path, module.path.as_posix(), spots), *_toml_edits(project, feature.name, new))


@frozen
class _Spot:
    """A piece of a line to replace: the line from 1, columns in bytes of UTF-8, and the text that comes there."""

    line: int
    start: int
    end: int
    text: str


def _declaration(module: Module, feature: Feature, new: str) -> tuple[ast.FunctionDef, ast.Call]:
    names = declared_names(module)
    for node in module.tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == feature.function:
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) in names:
                    return node, decorator
    raise _by_hand(feature, new)


def _name_spots(
    project: Project, module: Module, function: ast.FunctionDef, call: ast.Call, old: str, new: str
) -> Iterator[_Spot]:
    """Where the name stands: in ``name=``, else the function's own name, unless something else uses that."""
    given = next((item.value for item in call.keywords if item.arg == "name"), None)
    if given is not None:
        if not isinstance(given, ast.Constant) or given.lineno != given.end_lineno:
            where = f"{module.path.as_posix()}:{given.lineno}"
            raise UsageError("name= is not written out there", where=where, hint="write the new name by hand")
        yield _Spot(given.lineno, given.col_offset, given.end_col_offset or 0, f'"{new}"')
    elif _uses(project, old) == 1 and new not in _names_in(module):
        line = module.text.split("\n")[function.lineno - 1].encode()
        at = line.index(old.encode(), line.index(b"def ", function.col_offset) + 4)
        yield _Spot(function.lineno, at, at + len(old), new)
    else:
        yield _after_arguments(module, call, f'name="{new}"')


def _former_spot(module: Module, call: ast.Call, old: str) -> _Spot:
    """Where ``renamed_from`` says the former name."""
    before = next((item.value for item in call.keywords if item.arg == "renamed_from"), None)
    if before is not None:
        return _Spot(before.lineno, before.col_offset, before.end_col_offset or 0, f'"{old}"')
    return _after_arguments(module, call, f'renamed_from="{old}"')


def _after_arguments(module: Module, call: ast.Call, text: str) -> _Spot:
    """Behind the last argument, on a line of its own where that stands on one."""
    last = call.keywords[-1].value
    line, column = last.end_lineno or 1, last.end_col_offset or 0
    begins = module.text.split("\n")[call.keywords[-1].lineno - 1]
    indent = begins[: len(begins) - len(begins.lstrip())]
    own_line = call.lineno != call.keywords[-1].lineno
    return _Spot(line, column, column, f",\n{indent}{text}" if own_line else f", {text}")


def _uses(project: Project, name: str) -> int:
    """How often a name occurs in the project's code, strings and comments included."""
    word = re.compile(rb"\b" + name.encode() + rb"\b")
    return sum(len(word.findall(path.read_bytes())) for path in _code_of(project.root))


def _names_in(module: Module) -> set[str]:
    """The names of things in a module's code."""
    names: set[str] = set()
    for node in ast.walk(module.tree):
        match node:
            case ast.Name(id=name) | ast.arg(arg=name) | ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.alias(name=name, asname=given):
                names.add(given or name.partition(".")[0])
    return names


def _code_of(root: Path) -> Iterator[Path]:
    """The Python files of a project, without hidden folders and virtual environments."""
    for folder, folders, names in os.walk(root):
        inside = [name for name in folders if not name.startswith(".")]
        folders[:] = [name for name in inside if not os.path.exists(os.path.join(folder, name, "pyvenv.cfg"))]  # noqa: PTH110, PTH118
        yield from (Path(folder, name) for name in sorted(names) if name.endswith(".py"))


def _lines_of(path: Path, shown: str, spots: Sequence[_Spot]) -> Iterator[LineEdit]:
    """The lines with their pieces replaced, the last piece of a line first."""
    lines = path.read_bytes().split(b"\n")
    for number in sorted({spot.line for spot in spots}):
        line = lines[number - 1]
        # From behind, so that columns stay right; two pieces at one place come in the order in which they are given.
        here = [(spot.start, place, spot) for place, spot in enumerate(spots) if spot.line == number]
        for _, _, spot in sorted(here, reverse=True):
            line = line[: spot.start] + spot.text.encode() + line[spot.end :]
        yield LineEdit(shown, number, lines[number - 1].decode(), line.decode())


def _toml_edits(project: Project, old: str, new: str) -> Iterator[LineEdit]:
    """The lines of featurestore.toml in which a feature set, a model or a drift rule names the feature."""
    section = ""
    for number, line in enumerate((project.root / FILE).read_text(encoding="utf-8").split("\n"), 1):
        header = re.match(r"\s*\[([^\[\]]+)\]", line)
        section = header[1].strip() if header else section
        after = line
        if header and section == f"drift.features.{old}":
            after = line.replace(f"drift.features.{old}", f"drift.features.{new}", 1)
        elif section.startswith(("feature_sets.", "models.")):
            named = rf"""(["'])((?:[^"'=]*=)?(?:\w+\.)?){re.escape(old)}(@\w+)?\1"""
            after = re.sub(named, rf"\g<1>\g<2>{new}\g<3>\g<1>", line)
        if after != line:
            yield LineEdit(FILE, number, line, after)


def _write(project: Project, feature: Feature, new: str, edits: Sequence[LineEdit], sha256: str) -> None:
    """Writes the edits; puts everything back where the outcome is not the same code under the new name."""
    before = {name: (project.root / name).read_bytes() for name in dict.fromkeys(edit.file for edit in edits)}
    try:
        for name, data in before.items():
            lines = data.split(b"\n")
            for edit in edits:
                if edit.file == name:
                    lines[edit.line - 1] = edit.after.encode()
            _replace(project.root / name, b"\n".join(lines))
        same = _hash_of(project, feature.name, new) == sha256
    except BaseException as exc:
        _put_back(project, before)
        if isinstance(exc, OSError):
            raise StoreError(f"can't be written: {exc.strerror}", where=str(exc.filename)) from exc
        raise
    if not same:
        _put_back(project, before)
        raise _by_hand(feature, new)


def _put_back(project: Project, before: Mapping[str, bytes]) -> None:
    for name, data in before.items():
        _replace(project.root / name, data)


def _replace(path: Path, data: bytes) -> None:
    """Writes a file of the user's, which keeps its permissions, and stays where a link leads to it."""
    target = path.resolve()
    if target.read_bytes() != data:
        write_atomically(target, data, mode=target.stat().st_mode & 0o777)


def _hash_of(project: Project, old: str, new: str) -> str | None:
    """The hash of the feature as it is declared now under its new name; None where it is not, or not as renamed."""
    try:
        tree = SourceTree(project.root)
        for feature in discover(load_project(project.root), tree).features:
            if feature.name == new and feature.renamed_from == old:
                return hash_feature(tree, feature, files.versions_of(project.versions, old)).sha256
    except FeatureStoreError:
        pass
    return None


def _by_hand(feature: Feature, new: str) -> UsageError:
    return UsageError(
        f"{feature.name} can't be renamed automatically",
        where=feature.place,
        hint=f'write its new name and renamed_from="{feature.name}" by hand, then run featurestore lock {new}',
    )
