"""Joins the canonical bytes of a closure's statements.

The canonical bytes of a closure are, for each definition in the order of first mention (the feature's
function is 0)::

    "(" number " =" name statements ")"      the name of number 0 is left out
    statement   "(s" number " " code ")"     the first time, as `canonical` writes it; later "(s" number ")"

and, where statements of one module may depend on each other's effects, their order: ``(order s… )``.
"""

from __future__ import annotations

from featurestore.versioning.analysis.names import WHOLE, Definition, Global, Key, ProjectModule
from featurestore.versioning.recipe.definitions import Definitions, EncodedDefinition, EncodedStatement
from featurestore.versioning.recipe.grammar import OwnName


class Assembly:
    """Numbers the definitions of a closure in the order of first mention, and writes each once."""

    def __init__(self, definitions: Definitions, root: Key) -> None:
        self.definitions: list[EncodedDefinition] = []
        self.statements: list[EncodedStatement] = []
        self._all = definitions
        self._root = root
        self._numbers = {root: 0}
        self._order = [root]
        self._statement_numbers: dict[int, int] = {}
        self._chunks: list[bytes] = []

    def write(self) -> bytes:
        """Writes the closure from its root on, and fills `definitions` and `statements`. Called once."""
        chunks = self._chunks
        for number, key in enumerate(self._order):  # grows as definitions are mentioned
            definition = self._all.at(key)
            self.definitions.append(definition)
            # The feature's own function is the same code under any name.
            name = "" if key == self._root else key[1]
            chunks.append(b"(%d =%s " % (number, name.encode()))
            for statement in definition.statements:
                self._statement(statement)
            for alias, target in definition.aliases:
                chunks.append(b"(Import G:%s " % alias.encode())
                self._target(target)
                chunks.append(b")")
            chunks.append(b")")
        return b"".join((*chunks, *self._sequence()))

    def _statement(self, statement: EncodedStatement) -> None:
        chunks = self._chunks
        seen = self._statement_numbers.get(id(statement))
        if seen is not None:
            chunks.append(b"(s%d)" % seen)
            return
        self._statement_numbers[id(statement)] = len(self.statements)
        chunks.append(b"(s%d " % len(self.statements))
        self.statements.append(statement)
        for segment in statement.segments:
            if isinstance(segment, bytes):
                chunks.append(segment)
            elif isinstance(segment, OwnName):
                own = (statement.module, segment.name) == self._root
                chunks.append(b"= " if own else b"=%s " % segment.name.encode())
            else:
                self._mention(segment.key)
        chunks.append(b")")

    def _target(self, target: Global) -> None:
        if isinstance(target, Definition):
            self._mention(target.key)
        elif isinstance(target, ProjectModule):
            self._mention((target.name, WHOLE))
        else:
            self._chunks.append(b"T:%s " % target.name.encode())

    def _mention(self, key: Key) -> None:
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._order)
            self._order.append(key)
        self._chunks.append(b"#%d " % number)

    def _sequence(self) -> list[bytes]:
        """The order, within each module, of statements that change something or depend on such changes.

        Uses the captured statements only, so that it is the same for a version file.
        """
        changed = {definition.key for definition in self.definitions if definition.changed}
        state = {definition.key for definition in self.definitions if definition.holds_state}
        if not changed and not state:
            return []
        late = self._changes_later()
        several = {
            id(statement)
            for definition in self.definitions
            if definition.changed
            for statement in definition.statements
        }
        modules: dict[str, list[tuple[int, int]]] = {}
        for number, statement in enumerate(self.statements):
            calls = statement.calls_now and (late or statement.now & state)
            if id(statement) in several or statement.now & changed or (calls and statement.now):
                modules.setdefault(statement.module, []).append((statement.position, number))
        ordered = [sorted(found) for found in modules.values() if len(found) > 1]
        return [b"(order %s)" % b"".join(b"s%d " % number for _, number in found) for found in ordered]

    def _changes_later(self) -> bool:
        """Whether a function of the closure changes something of it when it is called."""
        for module, name in self._numbers:
            table = self._all.project.table(module)
            changed = table.changed_by_functions.get(name, ()) if table is not None else ()
            if any((module, other) in self._numbers for other in changed):
                return True
        return False
