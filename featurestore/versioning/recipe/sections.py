"""The source text of a closure: for each module, the captured statements and the imports that they need."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from featurestore.frozen import frozen
from featurestore.versioning.analysis.names import Definition, Key, ProjectModule
from featurestore.versioning.analysis.project import ProjectNames
from featurestore.versioning.analysis.reach import Reach
from featurestore.versioning.analysis.scopes import blocks
from featurestore.versioning.analysis.symbols import Imported, SymbolTable
from featurestore.versioning.analysis.tree import SourceTree

if TYPE_CHECKING:
    from featurestore.versioning.recipe.closure import Closure


@frozen
class Section:
    """The captured part of one module. ``package``: the module is an ``__init__.py``, which relative imports need."""

    module: str
    text: str
    package: bool = False


class _Needed:
    """What is captured of one module: positions of statements, names from its imports, and modules that these run."""

    def __init__(self) -> None:
        self.statements: set[int] = set()
        self.names: set[str] = set()
        self.executed: dict[int, list[str]] = {}


def sections_of(closure: Closure) -> tuple[Section, ...]:
    """One section per module, sorted by name. Modules that run but of which nothing counts have an empty one."""
    project = closure.project
    needed = _needed_of(closure)
    sections = []
    for module in sorted({*needed, *closure.execution.modules}):
        table = project.table(module) if module in needed else None
        text = _Writer(project, table, needed).write() if table is not None else ""
        if not text and any(other.startswith(f"{module}.") for other in needed):
            continue
        found = project.tree.module(module) if module not in needed else None
        if module in needed or found is not None:
            package = found.package if found is not None else table is None or table.module.package
            sections.append(Section(module, text, package=package))
    return tuple(sections)


def _needed_of(closure: Closure) -> dict[str, _Needed]:
    needed: defaultdict[str, _Needed] = defaultdict(_Needed)
    hops: set[Key] = set()
    modules: set[str] = set()
    for definition in closure.definitions:
        modules.add(definition.key[0])
        for alias, target, _ in definition.aliases:
            hops.update([(definition.key[0], alias), *target.hops])
            if isinstance(target, ProjectModule):
                modules.add(target.name)
    for encoded in closure.statements:
        needed[encoded.module].statements.add(encoded.position)
        hops.update(encoded.hops)
        modules.update(encoded.modules)
    for module, name in hops:
        needed[module].names.add(name)
    for module in [*needed, *modules] if closure.full else ():
        table = closure.project.table(module)
        if table is not None and ast.get_docstring(table.module.tree) is not None:
            needed[module].statements.add(0)
    running = closure.ordered | {encoded.module for encoded in closure.running}
    for module, position, name in closure.execution.leading(running | _replacing(closure.project, modules)):
        needed[module].executed.setdefault(position, []).append(name)
    return {module: needed[module] for module in {*needed, *modules}}  # some modules are only imported, and stay empty


def _replacing(project: ProjectNames, modules: Iterable[str]) -> set[str]:
    """The modules whose import replaces something of the same name that their package defines."""
    found = set()
    for module in modules:
        package, _, name = module.rpartition(".")
        table = project.table(package) if package else None
        if table is not None and table.is_definition(name):
            found.add(module)
    return found


class _Writer:
    """Cuts one module's captured statements out of its text."""

    def __init__(self, project: ProjectNames, table: SymbolTable, needed: dict[str, _Needed]) -> None:
        self._project = project
        self._table = table
        self._needed = needed
        self._body = table.body
        self._texts = project.tree.attached(_Texts).of(project, table)

    def write(self) -> str:
        """The section's text, ending in a line feed; empty where nothing of the module is needed."""
        own = self._needed[self._table.module.name]
        texts: dict[int, str] = {position: self._texts.text(position) for position in own.statements}
        for position, text in self._imports(own.names, own.executed):
            texts.setdefault(position, text)
        if not texts:
            return ""
        for position, statement in enumerate(self._body):
            if isinstance(statement, ast.ImportFrom) and self._is_always_kept(statement):
                texts[position] = self._texts.text(position)
        pieces: list[str] = []
        previous: int | None = None
        for position in sorted(texts):
            if previous is not None:
                pieces.append("\n" * self._gap(previous, position))
            pieces.append(texts[position] + "\n")
            previous = position
        return "".join(pieces)

    def _is_always_kept(self, statement: ast.ImportFrom) -> bool:
        """Whether it imports from ``__future__``, or is a star import of another package: that may provide any name."""
        if statement.level:
            return False
        star = statement.names[0].name == "*" and not self._project.tree.holds(statement.module or "")
        return star or statement.module == "__future__"

    def _gap(self, previous: int, position: int) -> int:
        """The number of blank lines between two captured statements, as formatters put them."""
        definitions = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        first, second = self._body[previous], self._body[position]
        if isinstance(first, definitions) or isinstance(second, definitions):
            return 2
        imports = ast.Import | ast.ImportFrom
        return int(isinstance(first, imports) != isinstance(second, imports))

    def _imports(self, names: Iterable[str], executed: Mapping[int, Sequence[str]]) -> list[tuple[int, str]]:
        """Import lines for these names, and for what modules do when they run; cut down to that."""
        wanted: dict[int, list[ast.alias]] = {}
        found: list[tuple[int, str]] = []
        for name in sorted(names):
            for imported in self._table.imports.get(name, ()):
                if self._is_captured(imported):
                    wanted.setdefault(imported.position, []).append(imported.alias)
            found += self._from_stars(name)
        for position, modules in executed.items():
            wanted.setdefault(position, []).extend(self._executing(position, modules))
        for position, aliases in wanted.items():
            statement = self._body[position]
            assert isinstance(statement, ast.Import | ast.ImportFrom)
            kept = [alias for alias in statement.names if alias in aliases]
            if len(kept) == len(statement.names):
                found.append((position, self._texts.text(position)))
            elif kept:
                found.append((position, _import_line(statement, kept)))
            elif position not in dict(found):
                # Under names that nothing uses.
                lines = (f"import {module} as _{module.replace('.', '_')}_" for module in executed[position])
                found.append((position, "\n".join(lines)))
        merged: dict[int, str] = {}
        for position, text in found:
            merged[position] = f"{merged[position]}\n{text}" if position in merged else text
        return list(merged.items())

    def _executing(self, position: int, modules: Sequence[str]) -> list[ast.alias]:
        """The parts of an import statement by which modules run."""
        node = self._body[position]
        if isinstance(node, ast.Import):
            return [alias for alias in node.names if alias.name in modules]
        assert isinstance(node, ast.ImportFrom)
        origin = self._project.world(self._table.module.name).absolute(node.level, node.module or "")
        return [alias for alias in node.names if f"{origin}.{alias.name}" in modules]

    def _is_captured(self, imported: Imported) -> bool:
        """Whether the module of ``import a.b`` is part of the closure, or of another package."""
        name = imported.alias.name
        if isinstance(imported.statement, ast.ImportFrom) or not self._project.tree.holds(name):
            return True
        return any(module == name or module.startswith(f"{name}.") for module in self._needed)

    def _from_stars(self, name: str) -> list[tuple[int, str]]:
        """A star import, cut down to the name. Each counts where other statements bind the name too, else the last."""
        module = self._table.module.name
        target = self._project.member(module, name)
        counts_each = isinstance(target, Definition) and target.module == module
        if name in self._table.imports and not counts_each:
            return []  # a plain import gives the same thing
        positions = {at for at, _ in self._project.imports_of(module, name)}
        stars = [star for star in self._table.stars if star.position in positions]
        if not counts_each:
            stars = stars[-1:]
        return [(star.position, _import_line(star.statement, [ast.alias(name)])) for star in stars]


class _Statements:
    """The texts of a module's statements, each cut out once for all the features that hold it."""

    def __init__(self, project: ProjectNames, table: SymbolTable) -> None:
        self._project = project
        self._table = table
        self._lines = table.module.text.split("\n")
        self._body = table.body
        self._texts: dict[int, str] = {}

    def text(self, position: int) -> str:
        """A statement with the comments right above it, without ``@feature``."""
        if position not in self._texts:
            self._texts[position] = self._cut(position)
        return self._texts[position]

    def _cut(self, position: int) -> str:
        node = self._body[position]
        first, last = _first_line(node, self._lines), node.end_lineno or node.lineno
        shared = any(
            other is not node and other.lineno <= last and (other.end_lineno or other.lineno) >= first
            for other in self._body[max(position - 1, 0) : position + 2]
        )
        if shared:
            return ast.get_source_segment(self._table.module.text, node) or ""
        dropped = self._feature_lines(node, first, last)
        comments = first
        while comments > 1 and self._lines[comments - 2].startswith("#"):
            comments -= 1
        numbers = [*range(comments, first), *range(first, last + 1)]
        return "\n".join(self._lines[number - 1] for number in numbers if number not in dropped)

    def _feature_lines(self, statement: ast.stmt, first: int, last: int) -> set[int]:
        """The lines of ``@feature`` decorators, which are not part of the code."""
        if not any("@" in line for line in self._lines[first - 1 : last]):
            return set()
        dropped: set[int] = set()
        reach = Reach(self._project.world(self._table.module.name))
        pending = [statement]
        while pending:
            node = pending.pop()
            for block in blocks(node):
                pending += block
            decorators: list[ast.expr] = getattr(node, "decorator_list", [])
            starts = [*(_at_line(decorator, self._lines) for decorator in decorators), node.lineno]
            for decorator, start, end in zip(decorators, starts, starts[1:], strict=False):
                if reach.is_feature(decorator):
                    dropped.update(range(start, end))
        return dropped


class _Texts:
    """The statements of a tree's modules."""

    def __init__(self, _tree: SourceTree) -> None:
        self._modules: dict[str, _Statements] = {}

    def of(self, project: ProjectNames, table: SymbolTable) -> _Statements:
        name = table.module.name
        if name not in self._modules:
            self._modules[name] = _Statements(project, table)
        return self._modules[name]


def _first_line(node: ast.stmt, lines: Sequence[str]) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(_at_line(decorator, lines) for decorator in decorators[:1])])


def _at_line(decorator: ast.expr, lines: Sequence[str]) -> int:
    """The line of a decorator's ``@``, which may be above the expression where that is in parentheses."""
    line = decorator.lineno
    while line > 1 and not lines[line - 1].lstrip().startswith("@"):
        line -= 1
    return line


def _import_line(statement: ast.Import | ast.ImportFrom, aliases: Iterable[ast.alias]) -> str:
    names = ", ".join(f"{alias.name} as {alias.asname}" if alias.asname else alias.name for alias in aliases)
    if isinstance(statement, ast.Import):
        return f"import {names}"
    return f"from {'.' * statement.level}{statement.module or ''} import {names}"
