"""How nodes and constants are written: the tables of recipe 2. The format is described in `canonical`."""

from __future__ import annotations

import ast

from featurestore.versioning.analysis.names import Key

# Fields of each node, in canonical order. Nodes with a method of their own in `canonical.Walk` are not here.
FIELDS = {
    "Assign": "targets value", "Return": "value",
    "While": "test body orelse",
    "If": "test body orelse", "With": "items body", "AsyncWith": "items body", "withitem": "context_expr optional_vars",
    "Match": "subject cases", "match_case": "pattern guard body", "Raise": "exc cause",
    "Try": "body handlers orelse finalbody", "TryStar": "body handlers orelse finalbody",
    "ExceptHandler": "type name body", "Assert": "test msg", "Break": "", "Continue": "",
    "BoolOp": "op values", "NamedExpr": "target value", "BinOp": "left op right", "UnaryOp": "op operand",
    "IfExp": "test body orelse", "Dict": "keys values", "Set": "elts", "Await": "value", "Yield": "value",
    "YieldFrom": "value", "Compare": "left ops comparators", "Subscript": "value slice", "Starred": "value",
    "List": "elts", "Tuple": "elts", "Slice": "lower upper step", "MatchValue": "value", "MatchSequence": "patterns",
    "MatchMapping": "keys patterns rest", "MatchClass": "cls patterns kwd_attrs kwd_patterns", "MatchStar": "name",
    "MatchAs": "pattern name", "MatchOr": "patterns", "TypeVar": "name bound default_value",
    "ParamSpec": "name default_value", "TypeVarTuple": "name default_value",
    "And": "", "Or": "", "Add": "", "Sub": "", "Mult": "", "MatMult": "", "Div": "", "Mod": "", "Pow": "", "LShift": "",
    "RShift": "", "BitOr": "", "BitXor": "", "BitAnd": "", "FloorDiv": "", "Invert": "", "Not": "", "UAdd": "",
    "USub": "", "Eq": "", "NotEq": "", "Lt": "", "LtE": "", "Gt": "", "GtE": "", "Is": "", "IsNot": "", "In": "",
    "NotIn": "",
}  # fmt: skip
DROPPED = {"ctx", "kind", "type_comment"}


class Mention:
    """In the walk's output: a mention of a definition of the project, which gets its number in the closure."""

    __slots__ = ("key",)

    def __init__(self, key: Key) -> None:
        self.key = key


class OwnName:
    """In the walk's output: the name of a top-level function or class, which is left out for the feature itself."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


Piece = str | Mention | OwnName


def constant(value: object) -> str:
    """A constant with its type: 1, 1.0, True and "1" are four constants, and 0.0 and -0.0 two."""
    if value.__class__ is int:  # not in decimal, where Python refuses to convert more than 4,300 digits
        return f"i{value:x} "
    if isinstance(value, str):
        return f"'{len(value)}:{value}"
    if value is None or isinstance(value, bool):
        return f"{value} "
    if isinstance(value, float):
        return f"f{value.hex()} "
    if isinstance(value, complex):
        return f"c{value.real.hex()},{value.imag.hex()} "
    if isinstance(value, bytes):
        return f"b{value.hex()} "
    if value is Ellipsis:
        return "Ellipsis "
    raise TypeError(f"a constant of type {type(value).__name__}")


class _Shapes(dict[type[ast.AST], tuple[str, tuple[str, ...]]]):
    """How each node opens, and its fields; the fields of a node that recipe 2 does not list are sorted by name."""

    def __missing__(self, kind: type[ast.AST]) -> tuple[str, tuple[str, ...]]:
        name = kind.__name__
        fields = FIELDS[name].split() if name in FIELDS else sorted(set(kind._fields) - DROPPED)
        shape = self[kind] = (f"({name} " if fields else f"({name} )", tuple(fields))
        return shape


SHAPES = _Shapes()
