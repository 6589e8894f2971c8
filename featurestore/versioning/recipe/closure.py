"""The closure of a feature: its function and everything in the project that the function reaches.

`capture` follows names, not files: only the statements that are reached belong to a closure. What can't be followed
without running the code is listed as limits, for people to read.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from functools import cached_property

from featurestore.errors import DeclarationError
from featurestore.frozen import frozen
from featurestore.versioning.analysis.columns import ColumnUse, column_use
from featurestore.versioning.analysis.names import WHOLE, Dotted, Key
from featurestore.versioning.analysis.project import ProjectNames
from featurestore.versioning.analysis.tree import SourceTree, without_collecting
from featurestore.versioning.recipe.assembly import Assembly
from featurestore.versioning.recipe.definitions import Definitions, EncodedDefinition, EncodedStatement
from featurestore.versioning.recipe.execution import Execution, Executions
from featurestore.versioning.recipe.parts import parts_of, wants_lazy
from featurestore.versioning.recipe.sections import Section, sections_of
from featurestore.versioning.recipe.version_hash import Limit


@frozen
class Closure:
    """A feature's code. ``canonical`` is what is hashed; the rest is for explaining and running it.

    ``strings`` are all text constants and attributes of ``pl.col``, among them the columns that the code names.
    ``dotted`` are the names of other packages, such as ``polars.col``. ``running`` are the statements that count
    because of what they do when they run, ``ordered`` the modules of those whose order counts. In a ``full`` form
    docstrings and annotations count, because they may be read.
    """

    module: str
    function: str
    canonical: bytes
    strings: frozenset[str]
    dotted: frozenset[str]
    definitions: tuple[EncodedDefinition, ...] = field(repr=False, compare=False)
    statements: tuple[EncodedStatement, ...] = field(repr=False, compare=False)
    running: tuple[EncodedStatement, ...] = field(repr=False, compare=False)
    ordered: frozenset[str] = field(repr=False, compare=False)
    execution: Execution = field(repr=False, compare=False)
    full: bool = field(repr=False, compare=False)
    project: ProjectNames = field(repr=False, compare=False)

    @cached_property
    def limits(self) -> tuple[Limit, ...]:
        """What can't be followed in the closure, sorted by place."""
        limits = {Limit(*limit) for statement in self.statements for limit in statement.limits}
        hops = {hop for statement in self.statements for hop in statement.hops}
        keys = {*hops, *(definition.key for definition in self.definitions)}
        limits.update(Limit(*limit) for key in keys for limit in self.execution.run_time_limits(key))
        limits.update(Limit(*limit) for limit in self.execution.unfinished_stars)
        return _merged(limits)

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """The captured statements by module, with their imports: together they run without the project."""
        return sections_of(self)

    @cached_property
    def columns(self) -> ColumnUse:
        """The columns that the code names, or may name."""
        return column_use(self.project, [(statement.module, statement.position) for statement in self.statements])

    @cached_property
    def parts(self) -> Mapping[str, str]:
        """Each part by a readable name, with the digest of its own code: what `explain` compares."""
        return parts_of(self.project, self.definitions, self.running)

    @cached_property
    def lazy(self) -> bool:
        """Whether the function's first argument is annotated as a ``polars.LazyFrame``."""
        return wants_lazy(self.project, self.definitions[0], self.function)

    @property
    def modules(self) -> frozenset[str]:
        """The project modules that hold some of the closure's code."""
        return frozenset(statement.module for statement in self.statements)

    @property
    def third_party(self) -> tuple[str, ...]:
        """The packages that the closure uses, without the standard library."""
        tops = {name.partition(".")[0] for name in self.dotted}
        return tuple(sorted(tops - sys.stdlib_module_names - {""}))

    @property
    def helpers(self) -> tuple[str, ...]:
        """The project's definitions that the function reaches, by dotted name."""
        return tuple(".".join(definition.key) for definition in self.definitions[1:] if definition.key[1] != WHOLE)


def _merged(limits: Iterable[Limit]) -> tuple[Limit, ...]:
    """The limits sorted by place; what is said twice of a line is said once, of all the files."""
    files: dict[Limit, dict[str | None, None]] = {}
    for limit in limits:
        files.setdefault(replace(limit, files=()), {}).update(dict.fromkeys(limit.files))
    found = [
        replace(limit, files=tuple(sorted(names, key=lambda name: (name is None, name or ""))))
        for limit, names in files.items()
    ]
    return tuple(sorted(found, key=lambda limit: (limit.path, limit.line, limit.message, limit.kind)))


class _Closures:
    """The closures of one tree, each captured once: the members of a family share theirs."""

    def __init__(self, tree: SourceTree) -> None:
        project = ProjectNames(tree)
        self.executions = Executions(Definitions(project))
        self.full = Definitions(project, full=True)
        self.captured: dict[Key, Closure] = {}


def capture(tree: SourceTree, module: str, function: str) -> Closure:
    """The closure of a function at the top level of a project module.

    Raises DeclarationError where there is no such function, or where a file of the closure can't be parsed.
    """
    closures = tree.attached(_Closures)
    key = (module, function)
    closure = closures.captured.get(key)
    if closure is None:
        with without_collecting():
            closure = closures.captured[key] = _capture(closures, key)
    return closure


def _capture(closures: _Closures, root: Key) -> Closure:
    module, function = root
    executions = closures.executions
    project = executions.definitions.project
    table = project.table(module)
    if table is None or not table.is_definition(function):
        path = module.replace(".", "/") + ".py" if table is None else table.module.path.as_posix()
        raise DeclarationError(f"there is no function {function!r}", where=path)
    assembly = Assembly(executions, executions.definitions, root, reads=frozenset())
    canonical = assembly.write()
    reads = frozenset().union(*(statement.reads for statement in assembly.statements))
    if reads:
        assembly = Assembly(executions, closures.full if "text" in reads else executions.definitions, root, reads)
        canonical = assembly.write()
    return Closure(
        module=module,
        function=function,
        canonical=canonical,
        strings=frozenset().union(*(statement.strings for statement in assembly.statements)),
        dotted=_dotted(assembly),
        definitions=tuple(assembly.definitions),
        statements=tuple(assembly.statements),
        running=tuple(assembly.running),
        ordered=frozenset(module for module, _ in assembly.ordered),
        full="text" in reads,
        execution=assembly.execution,
        project=project,
    )


def _dotted(assembly: Assembly) -> frozenset[str]:
    names: set[str] = set()
    for definition in assembly.definitions:
        names.update(target.name for _, target, _ in definition.aliases if isinstance(target, Dotted))
    for statement in assembly.statements:
        names |= statement.dotted
    return frozenset(names)
