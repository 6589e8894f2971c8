"""The project's names, followed across modules: which definition, module or package a name leads to.

One `ProjectNames` belongs to one `SourceTree` and remembers what it has worked out (symbol tables, resolved
names), so that features that share helpers share the work.
"""

from __future__ import annotations

import ast
import builtins

from featurestore.versioning.analysis.names import Definition, Dotted, Global, Hops, Key, Plain, ProjectModule
from featurestore.versioning.analysis.reach import MODULE_NAMES, imported, same
from featurestore.versioning.analysis.scopes import bound_by
from featurestore.versioning.analysis.symbols import Imported, SymbolTable
from featurestore.versioning.analysis.tree import SourceTree

BUILTINS = frozenset(dir(builtins))

LimitAt = tuple[str, int, str]
"""File, line and sentence of something that can't be followed."""


class ProjectNames:
    """Follows names through one tree."""

    def __init__(self, tree: SourceTree) -> None:
        self.tree = tree
        self._tables: dict[str, SymbolTable | None] = {}
        self._names: dict[Key, Global | None] = {}
        self._worlds: dict[str, ModuleWorld] = {}
        self._following: set[Key] = set()

    def table(self, module: str) -> SymbolTable | None:
        """The symbol table of a project module; None where there is no such file."""
        if module not in self._tables:
            found = self.tree.module(module) if self.tree.holds(module) else None
            self._tables[module] = None if found is None else SymbolTable(found)
        return self._tables[module]

    def is_module(self, name: str) -> bool:
        """Whether a dotted name is a module or folder of the project."""
        return self.tree.holds(name) and (self.table(name) is not None or self.tree.is_package(name))

    def member(self, module: str, name: str) -> Global | None:
        """``module.name``: what the module binds, else its submodule, else None."""
        key = (module, name)
        if key in self._names:
            return self._names[key]
        if key in self._following:  # two modules import a name from each other, and neither defines it
            return None
        self._following.add(key)
        try:
            found = self._member(module, name)
        finally:
            self._following.discard(key)
        if not self._following:
            self._names[key] = found
        return found

    def _member(self, module: str, name: str) -> Global | None:
        table = self.table(module)
        if table is not None:
            found = self._bound(table, name)
            if found is not None:
                return found
        submodule = f"{module}.{name}"
        return ProjectModule(submodule) if self.is_module(submodule) else None

    def _bound(self, table: SymbolTable, name: str) -> Global | None:
        """What the module's own statements bind the name to."""
        module = table.module.name
        imports = table.imports.get(name)
        if table.is_definition(name) or (imports and not same(self._follow_import(table, found) for found in imports)):
            return Definition(module, name, maybe=self._possible_modules(table, name))
        if imports:
            starred = [found for star in table.stars if (found := self._from_star(table, star, name)) is not None]
            if starred and not same([self._follow_import(table, imports[0]), *starred]):
                return Definition(module, name, maybe=self._possible_modules(table, name))
            return _through(self._follow_import(table, imports[0]), (module, name))
        return self._from_stars(table, name)

    def imports_of(self, module: str, name: str) -> list[tuple[int, Global]]:
        """What imports at the top of a module give to a name that is a definition there, each with its position."""
        table = self.table(module)
        if table is None:
            return []
        found = [(one.position, self._follow_import(table, one)) for one in table.imports.get(name, ())]
        for star in table.stars:
            target = self._from_star(table, star, name)
            if target is not None:
                found.append((star.position, target))
        return sorted(found, key=lambda one: one[0])

    def _follow_import(self, table: SymbolTable, found: Imported) -> Global:
        return imported(self.world(table.module.name), found.statement, found.alias)

    def _possible_modules(self, table: SymbolTable, name: str) -> tuple[str, ...]:
        """The project modules that a name with several bindings may be: imported in a ``try``, or one after another."""
        modules: dict[str, None] = {}
        submodule = f"{table.module.name}.{name}"  # whose first import replaces what the package bound
        if table.module.package and self.is_module(submodule):
            modules[submodule] = None
        world = self.world(table.module.name)
        for position in table.statements_of(name):
            bound = bound_by([table.body[position]], walrus=False)
            for node, alias in bound.imports.get(name, ()):
                target = imported(world, node, alias)
                if isinstance(target, ProjectModule):
                    modules[target.name] = None
        # Once a submodule of that name is imported, Python binds the name to it.
        if table.module.package and self.is_module(f"{table.module.name}.{name}"):
            modules[f"{table.module.name}.{name}"] = None
        return tuple(modules)

    def _from_stars(self, table: SymbolTable, name: str) -> Global | None:
        """What a name is that a star import of a project module provides; the last one counts."""
        for star in reversed(table.stars):
            found = self._from_star(table, star, name)
            if found is not None:
                return _through(found, (table.module.name, name))
        return None

    def _from_star(self, table: SymbolTable, star: Imported, name: str) -> Global | None:
        node = star.statement
        assert isinstance(node, ast.ImportFrom)
        origin = self.world(table.module.name).absolute(node.level, node.module or "")
        other = self.table(origin) if origin else None
        if other is None or not (name in other.exported if other.exported is not None else not name.startswith("_")):
            return None
        return self.member(other.module.name, name)

    def world(self, module: str) -> ModuleWorld:
        """The names as one module sees them."""
        if module not in self._worlds:
            self._worlds[module] = ModuleWorld(self, module)
        return self._worlds[module]


class ModuleWorld:
    """The names outside a statement, as the statements of one module see them."""

    def __init__(self, project: ProjectNames, module: str) -> None:
        self.module = module
        self._project = project
        self._found: dict[str, Global] = {}

    @property
    def file(self) -> str:
        """The module's file, below the project's root."""
        table = self._project.table(self.module)
        return "" if table is None else table.module.path.as_posix()

    def assigned(self, module: str, name: str) -> tuple[ast.expr, ModuleWorld] | None:
        """The value of a name of a project module that is assigned once, and the names as that module sees them."""
        table = self._project.table(module)
        positions = [] if table is None else table.statements_of(name)
        if table is None or len(positions) != 1:
            return None
        statement = table.body[positions[0]]
        if not isinstance(statement, ast.Assign | ast.AnnAssign) or statement.value is None:
            return None
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        named = any(isinstance(target, ast.Name) and target.id == name for target in targets)
        return (statement.value, self._project.world(module)) if named else None

    def lookup(self, name: str) -> Global:
        """A name at module level, else a builtin, else a name that nothing binds."""
        found = self._found.get(name)
        if found is None:
            found = self._found[name] = self._lookup(name)
        return found

    def _lookup(self, name: str) -> Global:
        table = self._project.table(self.module)
        assert table is not None
        found = self._project._bound(table, name)  # noqa: SLF001  # the analysis's own view of one module
        if found is not None:
            return found
        known = name in BUILTINS or name in MODULE_NAMES
        for star in table.stars:
            node = star.statement
            assert isinstance(node, ast.ImportFrom)
            origin = self.absolute(node.level, node.module or "")
            if origin is None or self._project.table(origin) is None:
                limit = f"`from {origin} import *` can't be followed, and {name!r} may come from it"
                ours = origin is None or self._project.tree.holds(origin)
                return Plain(name, known=known, limit=limit, ours=ours)
        return Plain(name, known=known)

    def member(self, module: str, name: str) -> Global | None:
        """``module.name`` of a project module."""
        return self._project.member(module, name)

    def absolute(self, level: int, module: str) -> str | None:
        """The absolute name of a relative import; None where it leads out of the project."""
        if not level:
            return module
        table = self._project.table(self.module)
        parts = self.module.split(".")
        drop = level - 1 if table is not None and table.module.package else level
        if drop > len(parts):
            return None
        base = parts[: len(parts) - drop]
        return ".".join([*base, module] if module else base)

    def imported(self, level: int, module: str, name: str | None) -> Global:
        """What an import statement gives."""
        origin = self.absolute(level, module)
        project = self._project
        if origin is None:
            return Dotted(f"{'.' * level}{module}" + (f".{name}" if name else ""), missing=True)
        inside = project.tree.holds(origin)
        if name is None:
            if inside and project.is_module(origin):
                return ProjectModule(origin)
            return Dotted(origin, missing=inside)
        if not inside:
            return Dotted(f"{origin}.{name}" if origin else name, missing=bool(level))
        found = project.member(origin, name) if project.is_module(origin) else None
        submodule = f"{origin}.{name}"  # what a package's own `from . import name` binds
        if found is None and project.is_module(submodule):
            found = ProjectModule(submodule)
        return found or Dotted(submodule, missing=True)


def _through(target: Global, hop: Key) -> Global:
    """The same target, reached through one more import."""
    hops: Hops = (hop, *target.hops)
    if isinstance(target, Definition):
        return Definition(target.module, target.name, hops, target.maybe)
    if isinstance(target, ProjectModule):
        return ProjectModule(target.name, hops)
    if isinstance(target, Dotted):
        return Dotted(target.name, hops, missing=target.missing)
    return Plain(target.name, known=target.known, limit=target.limit, ours=target.ours, hops=hops)
