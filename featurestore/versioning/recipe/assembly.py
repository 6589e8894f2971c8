"""The canonical bytes of a closure, put together from those of its statements.

The canonical bytes of a closure are, for each definition in the order of first mention (the feature's
function is 0)::

    "(" number " =" name statements ")"      the name of number 0 is left out
    statement   "(s" number " " code ")"     the first time, as `canonical` writes it; later "(s" number ")"

and, where statements of one module may see each other's effects, their order: ``(order s… )``.
"""

from __future__ import annotations

from featurestore.versioning.analysis.names import WHOLE, Definition, Global, Key, ProjectModule
from featurestore.versioning.analysis.project import Analysis, Encoded, Node
from featurestore.versioning.recipe.grammar import Own


class Assembly:
    """Numbers the definitions of a closure as they are met, and writes each once."""

    def __init__(self, analysis: Analysis, root: Key) -> None:
        self.nodes: list[Node] = []
        self.encodeds: list[Encoded] = []
        self._analysis = analysis
        self._root = root
        self._numbers = {root: 0}
        self._order = [root]
        self._statements: dict[int, int] = {}
        self._chunks: list[bytes] = []

    def write(self) -> bytes:
        """Walks the closure from its root on. Called once; `nodes` and `encodeds` are filled by it."""
        chunks = self._chunks
        for number, key in enumerate(self._order):  # grows as definitions are mentioned
            node = self._analysis.node(key)
            self.nodes.append(node)
            name = "" if key == self._root else key[1]
            chunks.append(b"(%d =%s " % (number, name.encode()))
            for encoded in node.statements:
                self._statement(encoded)
            for alias, target in node.aliases:
                chunks.append(b"(Import G:%s " % alias.encode())
                self._target(target)
                chunks.append(b")")
            chunks.append(b")")
        return b"".join((*chunks, *self._sequence()))

    def _statement(self, encoded: Encoded) -> None:
        chunks = self._chunks
        seen = self._statements.get(id(encoded))
        if seen is not None:
            chunks.append(b"(s%d)" % seen)
            return
        self._statements[id(encoded)] = len(self.encodeds)
        chunks.append(b"(s%d " % len(self.encodeds))
        self.encodeds.append(encoded)
        for segment in encoded.segments:
            if isinstance(segment, bytes):
                chunks.append(segment)
            elif isinstance(segment, Own):
                own = (encoded.module, segment.name) == self._root
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
        """The order, within each module, of statements that change something or see what others changed.

        Decided by the captured statements alone, so that a version file decides the same.
        """
        changed = {node.key for node in self.nodes if node.changed}
        state = {node.key for node in self.nodes if node.holds_state}
        if not changed and not state:
            return []
        late = self._changes_later()
        several = {id(encoded) for node in self.nodes if node.changed for encoded in node.statements}
        modules: dict[str, list[tuple[int, int]]] = {}
        for number, encoded in enumerate(self.encodeds):
            calls = encoded.calls_now and (late or encoded.now & state)
            if id(encoded) in several or encoded.now & changed or (calls and encoded.now):
                modules.setdefault(encoded.module, []).append((encoded.position, number))
        ordered = [sorted(found) for found in modules.values() if len(found) > 1]
        return [b"(order %s)" % b"".join(b"s%d " % number for _, number in found) for found in ordered]

    def _changes_later(self) -> bool:
        """Whether a function of the closure changes something of it when it is called."""
        for module, name in self._numbers:
            table = self._analysis.table(module)
            changed = table.changed_by_functions.get(name, ()) if table is not None else ()
            if any((module, other) in self._numbers for other in changed):
                return True
        return False
