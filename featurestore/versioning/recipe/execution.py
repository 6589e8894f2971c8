"""What importing a feature's module executes, in which order, and which statements may matter to which names.

The module's own statements run, and before them those of the packages around it; an import statement runs the module
that it imports, in its place. Functions that are called then run their own imports.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Set

from featurestore.errors import DeclarationError
from featurestore.frozen import frozen
from featurestore.versioning.analysis.effect import CALLED, Effect
from featurestore.versioning.analysis.effects import Effects
from featurestore.versioning.analysis.names import WHOLE, Definition, Key
from featurestore.versioning.analysis.project import LimitAt, ProjectNames
from featurestore.versioning.analysis.scopes import running
from featurestore.versioning.analysis.symbols import SymbolTable
from featurestore.versioning.recipe.definitions import Definitions

Place = tuple[str, int]
"""A top-level statement: its module, and its position there."""

_INSIDE = re.compile(r"(?:^[ \t]|[:;]).*\bimport\b", re.MULTILINE)


@frozen
class Impact:
    """What a statement may matter to: the names ``meets``, and everything where ``outside``."""

    meets: frozenset[Key]
    outside: bool


def bound_at(place: Place, name: str) -> Key:
    """What one statement binds a name to, apart from what others do."""
    return (place[0], f"{name}@{place[1]}")


def unmarked(key: Key) -> Key:
    """The name itself."""
    return (key[0], key[1].partition("@")[0])


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
        found = [item for item in ast.walk(table.body[position]) if isinstance(item, ast.Import | ast.ImportFrom)]
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
        for alias in node.names:
            names: Iterable[str] = [alias.name]
            if alias.name == "*":
                other = project.table(origin)
                names = sorted(other.exported or ()) if other is not None else ()
            yield from (f"{origin}.{name}" for name in names if project.is_module(f"{origin}.{name}"))


class Execution:
    """What a list of modules executes when they are imported one after another."""

    def __init__(self, definitions: Definitions, effects: Effects, imports: Imports, roots: Iterable[str]) -> None:
        self.order: dict[Place, int] = {}
        self.modules: dict[str, Place | None] = {}  # each with the statement by which it runs
        self._definitions = definitions
        self._project = definitions.project
        self._effects = effects
        self._imports = imports
        self._touching: defaultdict[Key, list[Place]] = defaultdict(list)
        self._active: list[Place] = []
        self._run(roots)
        self._impacts: dict[Place, Impact] = {}
        self.meeting: defaultdict[Key, list[Place]] = defaultdict(list)
        self.outside: list[Place] = []
        for place in self._active:
            impact = self.impact(place)
            for key in impact.meets:
                self.meeting[key].append(place)
            if impact.outside:
                self.outside.append(place)

    def effect(self, place: Place) -> Effect:
        """A statement's effect, with what the functions do that it calls."""
        table = self._project.table(place[0])
        assert table is not None
        return self._effects.settled(self._effects.of_statement(table, place[1]))

    def has_effect(self, place: Place) -> bool:
        """Whether a statement may change anything."""
        return place in self._impacts

    def impact(self, place: Place) -> Impact:
        """What a statement may matter to."""
        impact = self._impacts.get(place)
        if impact is None:
            impact = self._impacts[place] = self._impact(place)
        return impact

    def bound(self, place: Place) -> list[str]:
        """The names that a statement binds."""
        table = self._project.table(place[0])
        return table.bound.get(place[1], []) if table is not None else []

    def links(self, place: Place) -> set[Key]:
        """The names whose objects a statement uses: those of the functions that it calls included."""
        effect = self.effect(place)
        found = set(effect.used)
        code = [key for key, _, _ in effect.calls] + list(effect.opened)
        return found | (self._mentioned(code) if code else set())

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
            place = self.modules.get(module)
            if module in seen or place is None:
                continue
            seen.add(module)
            pending.append(place[0])
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
        if self._effects.value_of(key).kind in ("constant", "function"):
            return []
        return [
            (path, changed[key], f"{name!r} is changed at run time by {function[1]}()")
            for position in range(len(table.body))
            for function in self._effects.bodies(table, position)
            if "." not in function[1]
            for changed in [self._effects.of_body(function).changed]
            if key in changed
        ]

    # Running

    def _plain_imports(self, module: str) -> list[int]:
        table = self._table(module)
        body = table.body if table is not None else []
        return [position for position, node in enumerate(body) if isinstance(node, ast.Import | ast.ImportFrom)]

    def _now(self, module: str, position: int) -> list[str]:
        table = self._project.table(module)
        return self._imports.now(table, position) if table is not None else []

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
            for name in self._imports.now(table, position):
                yield name, place
            effect = self._effects.of_statement(table, position)
            if not effect.is_inert:
                for name in self._called_imports(effect):
                    yield name, place
                settled = self._effects.settled(effect)
                if settled.touched or settled.opened or settled.outside:
                    self._active.append(place)
                    for key in settled.touched:
                        self._touching[key].append(place)
            self.order[place] = len(self.order)

    def _table(self, module: str) -> SymbolTable | None:
        try:
            return self._project.table(module)
        except DeclarationError:  # it can't be parsed, and so it can't run
            return None

    def _called_imports(self, effect: Effect) -> Iterator[str]:
        for place in self._places([*(key for key, _, _ in effect.calls), *effect.opened]):
            table = self._project.table(place[0])
            if table is not None:
                yield from self._imports.later(table, place[1])

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

    def _places(self, functions: Iterable[Key]) -> list[Place]:
        """The statements of functions and of everything that they mention."""
        seen: dict[Key, None] = {}
        found: dict[Place, None] = {}
        pending = [(module, name.partition(".")[0].removesuffix(CALLED)) for module, name in functions]
        while pending:
            key = pending.pop()
            if key in seen:
                continue
            seen[key] = None
            for place in self._binding(key):
                if place not in found:
                    found[place] = None
                    table = self._project.table(place[0])
                    assert table is not None
                    pending += self._definitions.statement(table, place[1]).mentions
        return list(found)

    def _mentioned(self, functions: Iterable[Key]) -> set[Key]:
        found: set[Key] = set()
        for place in self._places(functions):
            table = self._project.table(place[0])
            assert table is not None
            found |= self._definitions.statement(table, place[1]).mentions
        return found

    def _impact(self, place: Place) -> Impact:
        effect = self.effect(place)
        outside, rebound = effect.outside, set(effect.rebound)
        touched = self._closed(effect.touched)
        if effect.opened:
            more, bound, worse = self._opened(effect.opened)
            rebound |= bound
            touched |= more
            outside |= worse
        return Impact(frozenset(rebound) | frozenset(key for key in touched if self._has_state(key)), outside)

    def _closed(self, keys: Iterable[Key]) -> set[Key]:
        """These names, and the names of all objects that theirs may be or contain.

        A name that one statement binds together with another is there as ``name@position``: two loops that use the
        same variable don't share its value.
        """
        found: set[Key] = set()
        pending = list(keys)
        while pending:
            key = pending.pop()
            if key in found:
                continue
            if key[1].endswith(CALLED):
                pending += self._mentioned([key])
                continue
            found.add(key)
            if self._is_definition(key):
                targets = [target for _, target in self._project.imports_of(*key)]
                pending += [target.key for target in targets if isinstance(target, Definition)]
            for place in (*self._binding(key), *self._touching.get(key, ())):
                pending += self.links(place)
                for name in self.bound(place):
                    if (mark := bound_at(place, name)) not in found:
                        found.add(mark)
                        for other in self._touching.get((place[0], name), ()):
                            pending += self.links(other)
        return found

    def _opened(self, keys: Iterable[Key]) -> tuple[set[Key], set[Key], bool]:
        """What the code of these objects may touch and rebind when it runs, and whether it reaches outside."""
        touched: set[Key] = set()
        rebound: set[Key] = set()
        outside = False
        seen: set[Place] = set()
        pending = list(self._closed(keys))
        done: set[Key] = set()
        while pending:
            key = pending.pop()
            key = (key[0], key[1].removesuffix(CALLED))
            if key in done:
                continue
            done.add(key)
            for place in (*self._binding(key), *self._touching.get(key, ())):
                if place in seen:
                    continue
                seen.add(place)
                table = self._project.table(place[0])
                assert table is not None
                for function in self._effects.bodies(table, place[1]):
                    body = Effect()
                    body.calls = [(function, frozenset(), frozenset())]
                    settled = self._effects.settled(body)
                    touched |= settled.touched
                    rebound |= settled.rebound
                    outside |= settled.outside
                    pending += settled.opened
                pending += self._definitions.statement(table, place[1]).mentions
        return self._closed(touched), rebound, outside

    def _has_state(self, key: Key) -> bool:
        """Whether a name's object can be changed at all: not where it is bound to constants only."""
        return self._effects.value_of(unmarked(key)).kind != "constant"


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
