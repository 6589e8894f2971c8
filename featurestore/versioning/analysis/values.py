"""What is known of the values of names and expressions without running anything: a kind, and sometimes a name."""

from __future__ import annotations

import ast

from featurestore.versioning.analysis import inert
from featurestore.versioning.analysis.names import Key


class Value:
    """What is known of an expression's value: a kind, as in `inert`, and a name where it has one."""

    __slots__ = ("base", "key", "kind", "name", "node")

    def __init__(
        self,
        kind: str,
        *,
        name: str = "",
        key: Key | None = None,
        base: Value | None = None,
        node: ast.expr | None = None,
    ) -> None:
        self.kind, self.name, self.key, self.base, self.node = kind, name, key, base, node


OBJECT = Value("object")
CONSTANT = Value("constant")
PLAIN = Value("plain")
DATA = Value("data")
CONTAINER = Value("container")

VALUES = {
    "constant": CONSTANT,
    "plain": PLAIN,
    "data": DATA,
    "object": OBJECT,
    "class": PLAIN,
}
"""By the kinds of `inert`."""
UNCHANGING = {"constant", "plain", "data", "package", "function", "class", "builtin", "module", "lambda"}
"""Values whose operators and conversions run no code that could change anything."""


def kind_of_call(name: str) -> str | None:
    """The kind of an inert call of another package: by its name, or as a method of an inert class or value."""
    kind = inert.PACKAGES.get(name)
    while kind is None and name:
        name = name.rpartition(".")[0]
        kind = "plain" if inert.PACKAGES.get(name) in ("plain", "class") else None
    return kind
