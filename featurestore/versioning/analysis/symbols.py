"""One module's top level: which statements bind each name.

A name bound by a single plain import is an alias, and the import is not part of the code. Any other name is a
definition: all the statements that bind it.
"""

from __future__ import annotations

import ast
from functools import cached_property

from featurestore.versioning.analysis.scopes import bound_by, import_name
from featurestore.versioning.analysis.tree import Module
from featurestore.versioning.analysis.walking import statements_of


class Imported:
    """One name bound by a plain import at the top level."""

    __slots__ = ("alias", "name", "position", "statement")

    def __init__(self, name: str, position: int, statement: ast.Import | ast.ImportFrom, alias: ast.alias) -> None:
        self.name, self.position, self.statement, self.alias = name, position, statement, alias


class SymbolTable:
    """The symbol table of a module. Positions are indexes of its top-level statements."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.body = module.tree.body
        self.lines = module.text.split("\n")
        # To look for `:=` in every expression is slow, and most modules have none.
        self.walrus = ":=" in module.text
        self.bindings: dict[str, list[int]] = {}
        self.imports: dict[str, list[Imported]] = {}
        self.stars: list[Imported] = []
        for position, statement in enumerate(self.body):
            self._read(position, statement)

    def _read(self, position: int, statement: ast.stmt) -> None:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            if isinstance(statement, ast.ImportFrom) and statement.module == "__future__" and not statement.level:
                return
            for alias in statement.names:
                if alias.name == "*":
                    self.stars.append(Imported("*", position, statement, alias))
                else:
                    name = import_name(statement, alias)
                    self.imports.setdefault(name, []).append(Imported(name, position, statement, alias))
            return
        if isinstance(statement, ast.FunctionDef | ast.ClassDef) and not self.walrus:
            names = {statement.name}
        else:
            names = bound_by([statement], walrus=self.walrus, annotated=False).everything()
        for name in names:
            self.bindings.setdefault(name, []).append(position)

    def names(self) -> list[str]:
        """Every name bound at the top level, without those of star imports."""
        return sorted({*self.bindings, *self.imports, *self.assigned_by_functions})

    def statements_of(self, name: str) -> list[int]:
        """The positions of all statements that bind the name, including imports, and functions that assign it."""
        positions = set(self.bindings.get(name, ()))
        if name in self.imports:
            positions.update(found.position for found in self.imports[name])
        positions.update(position for position, _ in self.assigned_by_functions.get(name, ()))
        return sorted(positions)

    def is_definition(self, name: str) -> bool:
        """Whether anything but plain imports binds the name."""
        return name in self.bindings or name in self.assigned_by_functions

    @cached_property
    def bound(self) -> dict[int, list[str]]:
        """The names that each statement binds."""
        found: dict[int, list[str]] = {}
        for name, positions in self.bindings.items():
            for position in positions:
                found.setdefault(position, []).append(name)
        return found

    @cached_property
    def exported(self) -> tuple[str, ...] | None:
        """The names of a literal ``__all__``; None where there is none, or it is computed.

        In their order, in which a star imports them where they are submodules.
        """
        positions = self.bindings.get("__all__", [])
        if len(positions) != 1 or self.module.text.count("__all__") != 1:
            return None
        statement = self.body[positions[0]]
        value = statement.value if isinstance(statement, ast.Assign | ast.AnnAssign) else None
        if not isinstance(value, ast.List | ast.Tuple):
            return None
        items = [item.value for item in value.elts if isinstance(item, ast.Constant)]
        return tuple(str(item) for item in items) if len(items) == len(value.elts) else None

    @cached_property
    def assigned_by_functions(self) -> dict[str, list[tuple[int, int]]]:
        """Names that functions assign with ``global``, each with the (statement position, line) of every place."""
        if "global" not in self.module.text:
            return {}
        found: dict[str, list[tuple[int, int]]] = {}
        for position, statement in enumerate(self.body):
            for item in sorted(statements_of(statement), key=lambda item: item.lineno):
                for name in item.names if isinstance(item, ast.Global) else ():
                    found.setdefault(name, []).append((position, item.lineno))
        return found
