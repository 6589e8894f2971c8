"""Whether an expression gives each row a value that depends on that row alone, found from its tree.

Only what is on the lists here counts as row by row; what a later Polars adds, or what nobody thought of, does not.
`Expr.meta.is_row_separable` is not asked: it says so of ``a / a.mean()`` too.
"""

from __future__ import annotations

import json
from typing import Any

import polars as pl

_PLAIN = frozenset(
    [
        "FillNull",
        "Log",
        "Log1p",
        "Exp",
        "Abs",
        "Negate",
        "Sign",
        "Floor",
        "Ceil",
        "Round",
        "RoundSF",
        "Clip",
        "Coalesce",
        "MaxHorizontal",
        "MinHorizontal",
        "SumHorizontal",
        "MeanHorizontal",
        "AsStruct",
        "Replace",
        "ReplaceStrict",
    ]
)
_FAMILIES = {
    "Pow": frozenset(["Generic", "Sqrt", "Cbrt"]),
    "Trigonometry": frozenset(
        [
            "Cos",
            "Cot",
            "Sin",
            "Tan",
            "ArcCos",
            "ArcSin",
            "ArcTan",
            "Cosh",
            "Sinh",
            "Tanh",
            "ArcCosh",
            "ArcSinh",
            "ArcTanh",
            "Degrees",
            "Radians",
        ]
    ),
    "Boolean": frozenset(
        [
            "IsNull",
            "IsNotNull",
            "Not",
            "IsNan",
            "IsNotNan",
            "IsFinite",
            "IsInfinite",
            "IsBetween",
            "IsIn",
            "AnyHorizontal",
            "AllHorizontal",
        ]
    ),
    "StringExpr": frozenset(
        [
            "StripChars",
            "StripCharsStart",
            "StripCharsEnd",
            "StripPrefix",
            "StripSuffix",
            "Contains",
            "StartsWith",
            "EndsWith",
            "LenChars",
            "LenBytes",
            "Slice",
            "Head",
            "Tail",
            "Lowercase",
            "Uppercase",
            "Titlecase",
            "Replace",
            "ConcatHorizontal",
            "Format",
            "Extract",
            "CountMatches",
            "Find",
            "ToInteger",
            "ZFill",
            "PadStart",
            "PadEnd",
            "Reverse",
            "Normalize",
            "Strptime",
        ]
    ),
    "TemporalExpr": frozenset(
        [
            "Millennium",
            "Century",
            "Year",
            "IsoYear",
            "Quarter",
            "Month",
            "Week",
            "WeekDay",
            "OrdinalDay",
            "Day",
            "Hour",
            "Minute",
            "Second",
            "Millisecond",
            "Microsecond",
            "Nanosecond",
            "IsLeapYear",
            "DaysInMonth",
            "Date",
            "Time",
            "TimeStamp",
            "Truncate",
            "OffsetBy",
            "MonthStart",
            "MonthEnd",
            "ConvertTimeZone",
            "ReplaceTimeZone",
            "CastTimeUnit",
            "BaseUtcOffset",
            "DSTOffset",
            "Combine",
            "DatetimeFunction",
            "TotalDays",
            "TotalHours",
            "TotalMinutes",
            "TotalSeconds",
            "TotalMilliseconds",
            "TotalMicroseconds",
            "TotalNanoseconds",
        ]
    ),
    "ListExpr": frozenset(["Sum", "Length", "Max", "Min", "Mean", "Get", "Contains", "Concat"]),
    "StructExpr": frozenset(("FieldByName",)),
}


def other_rows(expression: pl.Expr) -> str | None:
    """The first operation that may look at other rows, as Polars calls it; None where the expression is row by row."""
    try:
        tree = json.loads(expression.meta.serialize(format="json"))
    except (pl.exceptions.PolarsError, ValueError, RecursionError) as exc:
        return type(exc).__name__
    waiting = [tree]  # a loop, since a generated sum may be nested deeper than Python calls go
    while waiting:
        found, inner = _look(waiting.pop())
        if found is not None:
            return found
        waiting += reversed(inner)
    return None


def _look(node: Any) -> tuple[str | None, list[Any]]:
    """What is wrong with one node of the tree, and the nodes below it."""
    if not isinstance(node, dict) or len(node) != 1:
        return str(node), []
    ((kind, body),) = node.items()
    match kind:
        case "Column":
            return None, []
        case "Literal":
            return None if isinstance(body, dict) and body.keys() <= {"Dyn", "Scalar"} else "a series", []
        case "Alias":
            return None, [body[0]]
        case "Cast":
            return "a cast to categories" if "Categorical" in json.dumps(body["dtype"]) else None, [body["expr"]]
        case "BinaryExpr":
            return None, [body["left"], body["right"]]
        case "Ternary":
            return None, [body["predicate"], body["truthy"], body["falsy"]]
        case "Function":
            return _function(body["function"], body["input"]), body["input"]
    return str(next(iter(body))) if kind == "Agg" and isinstance(body, dict) else str(kind), []


def _function(function: Any, inputs: list[Any]) -> str | None:
    family, member = _named(function)
    if family in _PLAIN:
        return None
    name, options = _named(member)
    if family not in _FAMILIES:
        return family
    if name not in _FAMILIES[family]:
        return name
    if name == "IsIn":  # among the values of a column it looks at all of them
        return None if "Literal" in inputs[1] else "is_in() of a column"
    if name == "Strptime":  # without a format it is guessed from the first rows
        return None if options[1].get("format") else "parsing without a format"
    return None


def _named(tagged: Any) -> tuple[str, Any]:
    """The name of a node that is written as a name alone, or as a name with its options."""
    if isinstance(tagged, dict) and len(tagged) == 1:
        ((name, options),) = tagged.items()
        return str(name), options
    return str(tagged) if isinstance(tagged, str) else "", None
