"""Joins the canonical bytes of a closure's statements.

The canonical bytes of a closure are, for each definition in the order of first mention (the feature's
function is 0)::

    "(" number " =" name statements ")"      the name of number 0 is left out
    statement   "(s" number " " code ")"     the first time, as `canonical` writes it; later "(s" number ")"

then, for each statement that runs at import and may matter to what the closure reaches so far, ``(runs statement)``
in the order in which they run, and the definitions that they mention; and again, until there are no more. Where
statements may depend on each other's effects, their order follows: ``(order s… )``.
"""

from __future__ import annotations

import ast
from collections.abc import Set

from featurestore.versioning.analysis.names import WHOLE, Definition, Global, Key, ProjectModule
from featurestore.versioning.recipe.definitions import Definitions, EncodedDefinition, EncodedStatement
from featurestore.versioning.recipe.execution import Execution, Executions, Place
from featurestore.versioning.recipe.grammar import OwnName, constant


class Assembly:
    """Numbers the definitions of a closure in the order of first mention, and writes each once.

    ``running`` are the statements that belong to the closure because of what they do when they run. ``reads`` is what
    code of the closure reads of texts: the ``name`` of the function, the ``module``.
    """

    def __init__(self, executions: Executions, definitions: Definitions, root: Key, reads: Set[str]) -> None:
        self.definitions: list[EncodedDefinition] = []
        self.statements: list[EncodedStatement] = []
        self.running: list[EncodedStatement] = []
        self._all = definitions
        self._reads = reads
        self._executions = executions
        self._root = root
        self._numbers = {root: 0}
        self._order = [root]
        self._sharing: dict[Key, None] = {}
        self._lazy: dict[str, None] = {}
        self._statement_numbers: dict[Place, int] = {}
        self._chunks: list[bytes] = []
        self.execution: Execution
        self.ordered: list[Place] = []

    def write(self) -> bytes:
        """Writes the closure from its root on, and fills the lists. Called once."""
        written = 0
        while True:
            while written < len(self._order):
                self._definition(written, self._order[written])
                written += 1
            self.execution = self._executions.of((self._root[0], *self._lazy))
            found = self._mattering()
            if not found:
                break
            for place in found:
                table = self._all.project.table(place[0])
                assert table is not None
                statement = self._all.statement(table, place[1])
                self.running.append(statement)
                self._chunks.append(b"(runs ")
                self._statement(statement)
                for key in sorted(self._executions.effects.of_statement(table, place[1]).deletes):
                    self._mention(key)
                self._chunks.append(b")")
        return b"".join((*self._chunks, *self._sequence(), *self._texts()))

    @property
    def modules(self) -> list[str]:
        """The modules of the closure, by first mention."""
        return list(dict.fromkeys(name for one in self.statements for name in (one.module, *one.modules)))

    def _texts(self) -> list[bytes]:
        """The docstring and the ``__future__`` of each module, where they may be read."""
        texts: list[bytes] = []
        for module in self.modules if self._all.full else ():
            table = self._all.project.table(module)
            text = ast.get_docstring(table.module.tree, clean=False) if table is not None else None
            if text is not None:
                texts.append(f"(doc {constant(text)})".encode("utf-8", "surrogatepass"))
        return texts

    def _definition(self, number: int, key: Key) -> None:
        definition = self._all.at(key)
        self.definitions.append(definition)
        self._sharing[key] = None
        # The feature's own function is the same code under any name.
        name = "" if key == self._root else key[1]
        self._chunks.append(b"(%d =%s " % (number, name.encode()))
        for statement in definition.statements:
            self._statement(statement)
        for alias, target, after in definition.aliases:
            self._chunks.append(b"(Import G:%s %d " % (alias.encode(), after))
            self._target(target)
            self._chunks.append(b")")
        self._chunks.append(b")")

    def _statement(self, statement: EncodedStatement) -> None:
        chunks = self._chunks
        place = (statement.module, statement.position)
        seen = self._statement_numbers.get(place)
        if seen is not None:
            chunks.append(b"(s%d)" % seen)
            return
        self._statement_numbers[place] = len(self.statements)
        chunks.append(b"(s%d " % len(self.statements))
        if "module" in self._reads:
            chunks.append(b"@%s " % statement.module.encode())
        self.statements.append(statement)
        table = self._all.project.table(statement.module)
        assert table is not None
        for name in table.bound.get(statement.position, ()):
            self._sharing[place[0], name] = None
        for name in self._executions.imports.later(table, statement.position):
            self._lazy[name] = None
        for segment in statement.segments:
            if isinstance(segment, bytes):
                chunks.append(segment)
            elif isinstance(segment, OwnName):
                own = (statement.module, segment.name) == self._root and "name" not in self._reads
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

    def _mattering(self) -> list[Place]:
        """The statements not yet written that may matter to what is reached, in the order in which they run."""
        execution = self.execution
        found = dict(execution.outside)
        for key in self._sharing:
            found.update(dict.fromkeys(execution.touching(key)))
        found.update(dict.fromkeys(execution.causes([*(one.module for one in self.running), *(at[0] for at in found)])))
        done = {(statement.module, statement.position) for statement in self.running}
        return sorted(found.keys() - done, key=execution.order.__getitem__)

    def _sequence(self) -> list[bytes]:
        """The order of statements that change something or depend on such changes.

        Uses the captured statements only, so that it is the same for a version file.
        """
        execution = self.execution
        places = self._statement_numbers
        running = [(one.module, one.position) for one in self.running]
        changed = {
            definition.key
            for definition in self.definitions
            if len(definition.statements) + len(definition.aliases) > 1
        }
        changed.update(key for place in running for key in execution.changeable(place))
        outside = any(place in execution.outside for place in running)
        if not changed and not outside:
            return []
        self.ordered = sorted(
            (
                place
                for place in places
                if place in execution.order and (place in running or self._depends(place, changed, outside=outside))
            ),
            key=execution.order.__getitem__,
        )
        if len(self.ordered) < 2:
            return []
        return [b"(order %s)" % b"".join(b"s%d " % places[place] for place in self.ordered)]

    def _depends(self, place: Place, changed: Set[Key], *, outside: bool) -> bool:
        """Whether it matters when a statement runs, beside those that change something."""
        table = self._all.project.table(place[0])
        assert table is not None
        execution, effects = self.execution, self._executions.effects
        names = table.bound.get(place[1], ())
        inert = effects.of_statement(table, place[1]).is_inert and not execution.uses(place)
        if inert and all(len(table.bindings[name]) == 1 for name in names):
            return False  # a constant: it only has to come before its use
        if any((place[0], name) in changed for name in names):
            return True
        if effects.is_deferred(table, place[1]):
            return False
        return (outside and execution.runs(place)) or not changed.isdisjoint(execution.uses(place))
