"""The definitions that a closure may hold, each as the canonical pieces of its statements.

One `Definitions` belongs to one `ProjectNames`. Each statement is walked once, however many features reach it.
"""

from __future__ import annotations

from featurestore.versioning.analysis.limits import Kind
from featurestore.versioning.analysis.names import WHOLE, Definition, Global, Key
from featurestore.versioning.analysis.project import ProjectNames
from featurestore.versioning.analysis.symbols import SymbolTable
from featurestore.versioning.analysis.tree import too_deep
from featurestore.versioning.recipe.canonical import Walk
from featurestore.versioning.recipe.grammar import Mention, OwnName, Piece


class EncodedStatement:
    """One top-level statement of a module: its canonical pieces (``out``) and what it needs.

    ``segments`` are the pieces with the texts between mentions joined and encoded, ``mentions`` the definitions that
    it mentions. The other attributes are those of `Walk`.
    """

    __slots__ = (
        "defaults", "dotted", "hops", "limits", "mentions", "module", "modules", "out", "position", "reads",
        "segments", "strings",
    )  # fmt: skip

    def __init__(self, table: SymbolTable, position: int, walk: Walk) -> None:
        self.module = table.module.name
        self.position = position
        self.out = walk.out
        self.segments = _compress(walk.out)
        self.mentions = frozenset(piece.key for piece in self.segments if isinstance(piece, Mention))
        self.strings = walk.strings
        self.reads = walk.reads
        self.dotted = walk.dotted
        self.hops = walk.hops
        self.modules = walk.modules
        self.limits: list[tuple[str, int, str, Kind, tuple[str | None, ...]]] = [
            (table.module.path.as_posix(), *limit) for limit in walk.limits
        ]
        self.defaults = walk.defaults


class EncodedDefinition:
    """A definition: the statements that bind a name. ``aliases`` are imports."""

    __slots__ = ("aliases", "key", "statements")

    def __init__(self, key: Key, statements: list[EncodedStatement]) -> None:
        self.key = key
        self.statements = statements
        self.aliases: list[tuple[str, Global, int]] = []


class Definitions:
    """Encodes the definitions of one tree, each on first use; ``full`` with docstrings and annotations."""

    def __init__(self, project: ProjectNames, *, full: bool = False) -> None:
        self.project = project
        self.full = full
        self._statements: dict[tuple[str, int], EncodedStatement] = {}
        self._definitions: dict[Key, EncodedDefinition] = {}

    def at(self, key: Key) -> EncodedDefinition:
        """The statements behind a definition, encoded."""
        definition = self._definitions.get(key)
        if definition is None:
            definition = self._whole(key[0]) if key[1] == WHOLE else self._of_name(key)
            self._definitions[key] = definition
        return definition

    def _of_name(self, key: Key) -> EncodedDefinition:
        module, name = key
        table = self.project.table(module)
        assert table is not None
        imported = self.project.imports_of(module, name)
        positions = [at for at in table.statements_of(name) if at not in dict(imported) or at in table.bound]
        definition = EncodedDefinition(key, [self.statement(table, position) for position in positions])
        # An import is written with its place among the statements, since a star may be cut down to a name.
        definition.aliases = [(name, target, sum(position < at for position in positions)) for at, target in imported]
        return definition

    def _whole(self, module: str) -> EncodedDefinition:
        """A module taken as a value: everything in it counts."""
        table = self.project.table(module)
        if table is None:
            return EncodedDefinition((module, WHOLE), [])
        world = self.project.world(module)
        positions = sorted({position for name in table.names() for position in table.statements_of(name)})
        imports = {
            imported.position
            for name, many in table.imports.items()
            if not table.is_definition(name)
            for imported in many
        }
        statements = [self.statement(table, position) for position in positions if position not in imports]
        definition = EncodedDefinition((module, WHOLE), statements)
        for name in table.names():
            target = world.lookup(name)
            if not (isinstance(target, Definition) and target.module == module):
                definition.aliases.append((name, target, 0))
        return definition

    def statement(self, table: SymbolTable, position: int) -> EncodedStatement:
        """A top-level statement, encoded."""
        at = (table.module.name, position)
        statement = self._statements.get(at)
        if statement is None:
            walk = Walk(self.project.world(table.module.name), walrus=table.walrus, full=self.full)
            try:
                walk.statement(table.body[position])
            except (RecursionError, MemoryError) as exc:
                raise too_deep(table.module.path, table.body[position].lineno) from exc
            statement = self._statements[at] = EncodedStatement(table, position, walk)
        return statement


def _compress(out: list[Piece]) -> list[bytes | Mention | OwnName]:
    """Joins the texts between mentions. A constant may contain half of a surrogate pair, hence ``surrogatepass``."""
    segments: list[bytes | Mention | OwnName] = []
    start = 0
    for at in [*(at for at, piece in enumerate(out) if piece.__class__ is not str), len(out)]:
        if start < at:
            segments.append("".join(out[start:at]).encode("utf-8", "surrogatepass"))  # type: ignore[arg-type]  # texts
        segments += out[at : at + 1]  # type: ignore[arg-type]  # a mention or a name, and at the end nothing
        start = at + 1
    return segments
