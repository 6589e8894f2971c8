"""What a name in the code stands for once scopes and imports are followed.

Each of these has ``hops``: the imports it was reached through, as (module, bound name). The captured sections need
those imports to run.
"""

from __future__ import annotations

import ast
from typing import Protocol

Key = tuple[str, str]
Hops = tuple[Key, ...]

WHOLE = "*"
"""In place of a name: the whole module, which is part of the closure because some code uses it as a value."""


class Local:
    """A variable of a function, class or comprehension. ``maybe`` are the project modules that it may be."""

    __slots__ = ("hops", "maybe", "name")

    def __init__(self, name: str, maybe: tuple[str, ...] = (), hops: Hops = ()) -> None:
        self.name, self.maybe, self.hops = name, maybe, hops


class Definition:
    """A name that statements of a project module bind. ``maybe`` are the project modules that it may be."""

    __slots__ = ("hops", "maybe", "module", "name")

    def __init__(self, module: str, name: str, hops: Hops = (), maybe: tuple[str, ...] = ()) -> None:
        self.module, self.name, self.hops, self.maybe = module, name, hops, maybe

    @property
    def key(self) -> Key:
        return (self.module, self.name)


class ProjectModule:
    """A module or package of the project."""

    __slots__ = ("hops", "name")

    def __init__(self, name: str, hops: Hops = ()) -> None:
        self.name, self.hops = name, hops


class Dotted:
    """Something of another package, by its dotted name. ``missing``: it should be in the project, and is not."""

    __slots__ = ("hops", "missing", "name")

    def __init__(self, name: str, hops: Hops = (), *, missing: bool = False) -> None:
        self.name, self.hops, self.missing = name, hops, missing


class Plain:
    """A name that no statement of the project binds: a builtin, or an undefined name, where ``known`` is false.

    ``limit`` says why it can't be followed, and ``ours`` whether a module of the project should bind it.
    """

    __slots__ = ("hops", "known", "limit", "name", "ours")

    def __init__(self, name: str, *, known: bool, limit: str | None = None, ours: bool = True, hops: Hops = ()) -> None:
        self.name, self.known, self.limit, self.ours, self.hops = name, known, limit, ours, hops


Global = Definition | ProjectModule | Dotted | Plain
Referent = Local | Global


class World(Protocol):
    """What a walk asks about names that are bound outside the statement it is in."""

    module: str

    @property
    def file(self) -> str:
        """The module's file, below the project's root."""
        ...

    def assigned(self, module: str, name: str) -> tuple[ast.expr, World] | None:
        """The value of a name of a project module that is assigned once, and the names as that module sees them."""
        ...

    def lookup(self, name: str) -> Global:
        """A name at module level."""
        ...

    def member(self, module: str, name: str) -> Global | None:
        """``module.name`` of a project module; None where nothing in the project binds it."""
        ...

    def imported(self, level: int, module: str, name: str | None) -> Global:
        """What ``from module import name`` binds, or ``import module`` where name is None."""
        ...
