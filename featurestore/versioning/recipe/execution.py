"""What importing a feature's module executes, in which order, and which statements may matter to which names.

The module's own statements run, and before them those of the packages around it; an import statement runs the module
that it imports, in its place. Functions that are called then run their own imports.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Set

from featurestore.errors import DeclarationError
from featurestore.versioning.analysis.effects import Effect, Effects, changed_by_functions
from featurestore.versioning.analysis.names import WHOLE, Definition, Key
from featurestore.versioning.analysis.project import LimitAt, ProjectNames
from featurestore.versioning.analysis.scopes import running
from featurestore.versioning.analysis.symbols import SymbolTable
from featurestore.versioning.analysis.walking import statements_of
from featurestore.versioning.recipe.definitions import Definitions

Place = tuple[str, int]
"""A top-level statement: its module, and its position there."""

# From the last separator on: a table of a megabyte on one line would otherwise be read once for each of its colons.
_INSIDE = re.compile(r"^[ \t].*\bimport\b|[:;][^\n:;]*\bimport\b", re.MULTILINE)


class Imports:
    """The modules that the statements of a tree import, when they run or in functions that are called later."""

    def __init__(self, project: ProjectNames) -> None:
        self._project = project
        self._inside: dict[str, bool] = {}

    def now(self, table: SymbolTable, position: int) -> list[str]:
        """The modules that a statement imports when it runs."""
        node = table.body[position]
        if isinstance(node, ast.Import | ast.ImportFrom):
            return list(self._of(table, node))
        if not self._has_inside(table):
            return []
        found = [item for item in running(node) if isinstance(item, ast.Import | ast.ImportFrom)]
        found.sort(key=lambda item: (item.lineno, item.col_offset))
        return [name for item in found for name in self._of(table, item)]

    def later(self, table: SymbolTable, position: int) -> list[str]:
        """All modules that a statement may import, the functions in it included."""
        if not self._has_inside(table):
            return []
        found = [item for item in statements_of(table.body[position]) if isinstance(item, ast.Import | ast.ImportFrom)]
        found.sort(key=lambda item: (item.lineno, item.col_offset))
        return [name for item in found for name in self._of(table, item)]

    def _has_inside(self, table: SymbolTable) -> bool:
        name = table.module.name
        if name not in self._inside:
            self._inside[name] = _INSIDE.search(table.module.text) is not None
        return self._inside[name]

    def _of(self, table: SymbolTable, node: ast.Import | ast.ImportFrom) -> Iterator[str]:
        project = self._project
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if project.tree.holds(alias.name))
            return
        origin = project.world(table.module.name).absolute(node.level, node.module or "")
        if origin is None or not project.tree.holds(origin):
            return
        yield origin
        yield from self._by_getattr(origin, node)
        for alias in node.names:
            names: Iterable[str] = [alias.name]
            if alias.name == "*":
                other = project.table(origin)
                names = (other.exported or ()) if other is not None else ()
            yield from (f"{origin}.{name}" for name in names if project.is_module(f"{origin}.{name}"))

    def _by_getattr(self, origin: str, node: ast.ImportFrom) -> Iterator[str]:
        """What a module's ``__getattr__`` imports when it is asked for a name."""
        table = self._project.table(origin)
        if table is not None and any(self._project.member(origin, alias.name) is None for alias in node.names):
            for position in table.bindings.get("__getattr__", ()):
                yield from self.later(table, position)


class Execution:
    """What a list of modules executes when they are imported one after another."""

    def __init__(self, definitions: Definitions, effects: Effects, imports: Imports, roots: Iterable[str]) -> None:
        self.order: dict[Place, int] = {}
        self.modules: dict[str, Place | None] = {}  # each with the statement by which it runs
        self.acting: dict[Place, None] = {}
        self.outside: dict[Place, None] = {}
        self._definitions = definitions
        self._project = definitions.project
        self._effects = effects
        self._imports = imports
        self._importers: dict[str, list[Place]] = {}
        self._finished: set[str] = set()
        self.unfinished_stars: list[LimitAt] = []
        self._uses: dict[Place, set[Key]] = {}
        self._runs: dict[Place, list[Place]] = {}
        self._changeable: dict[Place, set[Key]] = {}
        self._changed: dict[str, dict[str, list[tuple[str, int]]]] = {}
        self._run(roots)
        self._groups = _Groups()
        for place in self.acting:
            self._groups.add(place, self.changeable(place))

    def touching(self, key: Key) -> list[Place]:
        """The statements that may change what a name stands for when they run."""
        return [*self._groups.of(key), *self._groups.of((key[0], WHOLE))]

    def changeable(self, place: Place) -> set[Key]:
        """The names that stand for something that a statement may change, itself or by the code that it may run."""
        known = self._changeable.get(place)
        if known is not None:
            return known
        effects = [self._effect(place), *(self._effects_of_bodies(place) if self._effect(place).calls else ())]
        reaches = any(effect.reaches for effect in effects)
        keys = {key for key in self.uses(place) if self._effects.has_state(key) or (reaches and self._is_code(key))}
        known = self._changeable[place] = keys.union(*(effect.changes for effect in effects))
        return known

    def uses(self, place: Place) -> set[Key]:
        """All names that a statement uses, directly or through what they are bound to."""
        found = self._uses.get(place)
        if found is None:
            found = self._uses[place] = self._closed([*self._mentions(place), *self._effect(place).changes])
        return found

    def _closed(self, keys: Iterable[Key]) -> set[Key]:
        """These names, and all that they are bound to."""
        found: set[Key] = set()
        pending = list(keys)
        while pending:
            key = pending.pop()
            if key not in found:
                found.add(key)
                imported = self._project.imports_of(*key) if self._is_definition(key) else []
                pending += [target.key for _, target in imported if isinstance(target, Definition)]
                for other in self._binding(key):
                    pending += self._mentions(other)
        return found

    def runs(self, place: Place) -> bool:
        """Whether a statement calls anything when it runs."""
        return self._effect(place).runs

    def leading(self, modules: Set[str]) -> Iterator[tuple[str, int, str]]:
        """The imports at the top of modules (module, position, what is imported) by which these modules come to run."""
        if not modules:
            return
        imports = {
            module: [
                (position, name) for position in self._plain_imports(module) for name in self._now(module, position)
            ]
            for module in self.modules
        }
        leads = set(modules)
        while True:
            more = {
                module
                for module in self.modules.keys() - leads
                if any(self._leads(name, leads) for _, name in imports[module])
            }
            if not more:
                break
            leads |= more
        for module in self.modules:
            yield from ((module, position, name) for position, name in imports[module] if self._leads(name, leads))

    def causes(self, modules: Iterable[str]) -> Iterator[Place]:
        """The statements, other than imports at the top of a module, by which modules come to run."""
        seen: set[str] = set()
        pending = list(modules)
        while pending:
            module = pending.pop()
            first = self.modules.get(module)
            if module in seen or first is None:
                continue
            seen.add(module)
            pending.append(first[0])
            # The first may be under a condition that does not hold, and a later one then the cause.
            for place in dict.fromkeys([first, *self._importers.get(module, ())]):
                table = self._project.table(place[0])
                if table is not None and not isinstance(table.body[place[1]], ast.Import | ast.ImportFrom):
                    yield place

    def run_time_limits(self, key: Key) -> list[LimitAt]:
        """The limits of a module's name: which functions assign or change it when they are called."""
        module, name = key
        table = self._project.table(module)
        if table is None:
            return []
        path = table.module.path.as_posix()
        if name in table.assigned_by_functions:
            _, line = table.assigned_by_functions[name][0]
            message = f"{name!r} is assigned at run time (global {name}); that value is not part of the hash"
            return [(path, line, message)]
        if self._effects.kind_of(key) in ("constant", "code"):
            return []
        changed = self._changed_by_functions(module)
        return [(path, line, f"{name!r} is changed at run time by {by}()") for by, line in changed.get(name, ())]

    def _changed_by_functions(self, module: str) -> dict[str, list[tuple[str, int]]]:
        """The module's names that its functions change when they are called: by which function, and in which line."""
        if module not in self._changed:
            table = self._project.table(module)
            self._changed[module] = changed_by_functions(table) if table is not None else {}
        return self._changed[module]

    # Running

    def _plain_imports(self, module: str) -> list[int]:
        table = self._table(module)
        body = table.body if table is not None else []
        return [position for position, node in enumerate(body) if isinstance(node, ast.Import | ast.ImportFrom)]

    def _now(self, module: str, position: int) -> list[str]:
        table = self._project.table(module)
        return self._imports.now(table, position) if table is not None else []

    def _later(self, place: Place) -> list[str]:
        table = self._project.table(place[0])
        return self._imports.later(table, place[1]) if table is not None else []

    def _leads(self, name: str, leads: Set[str]) -> bool:
        """Whether importing a module, and so the packages around it, runs one of these."""
        while name:
            if name in leads:
                return True
            name = name.rpartition(".")[0]
        return False

    def _run(self, roots: Iterable[str]) -> None:
        for root in roots:
            stack = [self._steps(root, None)]
            while stack:
                found = next(stack[-1], None)
                if found is None:
                    stack.pop()
                else:
                    stack.append(self._steps(*found))

    def _steps(self, module: str, by: Place | None) -> Iterator[tuple[str, Place | None]]:
        """Runs a module's statements, and yields the modules that have to run at each point, each with its import."""
        if module in self.modules:
            return
        parent = module.rpartition(".")[0]
        if parent and parent not in self.modules:
            yield parent, by
        if module in self.modules:  # the package has imported it
            return
        self.modules[module] = by
        table = self._table(module)
        if table is None:
            return
        for position in range(len(table.body)):
            place = (module, position)
            self._note_unfinished_star(table, position)
            for name in self._imports.now(table, position):
                self._importers.setdefault(name, []).append(place)
                yield name, place
            effect = self._effects.of_statement(table, position)
            if not effect.is_inert:
                outside = effect.outside
                if effect.calls:
                    outside |= any(each.outside for each in self._effects_of_bodies(place))
                    for other in self._code(place):
                        for name in self._later(other):
                            yield name, place
                self.acting[place] = None
                if outside:
                    self.outside[place] = None
            self.order[place] = len(self.order)
        self._finished.add(module)

    def _note_unfinished_star(self, table: SymbolTable, position: int) -> None:
        """A star import of a module that is just being imported gives the names that are there so far."""
        node = table.body[position]
        if not isinstance(node, ast.ImportFrom) or node.names[0].name != "*":
            return
        origin = self._project.world(table.module.name).absolute(node.level, node.module or "")
        if origin in self.modules and origin not in self._finished:
            message = (
                f"`from {origin} import *` runs while {origin} is being imported; which names it gives is not followed"
            )
            self.unfinished_stars.append((table.module.path.as_posix(), node.lineno, message))

    def _table(self, module: str) -> SymbolTable | None:
        try:
            return self._project.table(module)
        except DeclarationError:  # it can't be parsed, and so it can't run
            return None

    # Names

    def _binding(self, key: Key) -> list[Place]:
        module, name = key
        table = self._table(module)
        if table is None or name == WHOLE:
            return []
        return [(module, position) for position in table.statements_of(name)]

    def _is_definition(self, key: Key) -> bool:
        table = self._table(key[0])
        return table is not None and (table.is_definition(key[1]) or key[1] in table.imports)

    def _mentions(self, place: Place) -> Set[Key]:
        table = self._project.table(place[0])
        assert table is not None
        return self._definitions.statement(table, place[1]).mentions

    def _code(self, place: Place) -> list[Place]:
        """The statements whose functions a statement may run."""
        found = self._runs.get(place)
        if found is None:
            table = self._project.table(place[0])
            assert table is not None
            keys = self._effects.keys_of_decorators(table, place[1])
            used = self.uses(place) if keys is None else self._closed(keys)
            found = self._runs[place] = list(dict.fromkeys(other for key in used for other in self._binding(key)))
        return found

    def _effect(self, place: Place) -> Effect:
        table = self._project.table(place[0])
        assert table is not None
        return self._effects.of_statement(table, place[1])

    def _effects_of_bodies(self, place: Place) -> Iterator[Effect]:
        for other in self._code(place):
            table = self._project.table(other[0])
            assert table is not None
            yield self._effects.of_bodies(table, other[1])

    def _is_code(self, key: Key) -> bool:
        return self._effects.kind_of(key) == "code"


class _Groups:
    """Names that statements use together: from then on they may stand for one object, or one may hold the other's."""

    def __init__(self) -> None:
        self._parents: dict[Key, Key] = {}
        self._members: dict[Key, list[Place]] = {}

    def add(self, place: Place, keys: Iterable[Key]) -> None:
        """Joins the groups of these names to one, which has this statement too."""
        roots = {self._root(key) for key in keys}
        if not roots:
            return
        first, *others = sorted(roots)
        members = self._members.setdefault(first, [])
        for root in others:
            self._parents[root] = first
            members += self._members.pop(root, [])
        members.append(place)

    def of(self, key: Key) -> list[Place]:
        """The statements of a name's group."""
        return self._members.get(self._root(key), []) if key in self._parents else []

    def _root(self, key: Key) -> Key:
        self._parents.setdefault(key, key)
        while self._parents[key] != key:
            self._parents[key] = self._parents[self._parents[key]]
            key = self._parents[key]
        return key


class Executions:
    """The executions of one tree."""

    def __init__(self, definitions: Definitions) -> None:
        self.definitions = definitions
        self.effects = Effects(definitions.project)
        self.imports = Imports(definitions.project)
        self._done: dict[tuple[str, ...], Execution] = {}

    def of(self, roots: tuple[str, ...]) -> Execution:
        """What these modules execute."""
        execution = self._done.get(roots)
        if execution is None:
            execution = self._done[roots] = Execution(self.definitions, self.effects, self.imports, roots)
        return execution
