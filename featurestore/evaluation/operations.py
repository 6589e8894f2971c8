"""Which operation of an expression looks at other rows than its own, or at other entities', found from its tree.

Only what is on the lists here counts as harmless; what a later Polars adds, or what nobody thought of, does not.
`Expr.meta.is_row_separable` is not asked: it says so of ``a / a.mean()`` too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any

import polars as pl

# Functions of one row at a time.
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
            "Split",
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
            "Duration",
            "ToString",
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

# Functions of a group's rows, which `over` calls for each group alone.
_OF_GROUPS = frozenset(
    [
        "CumSum", "CumCount", "CumMin", "CumMax", "CumProd", "Shift", "ShiftAndFill", "Diff", "Rank", "PctChange",
        "FillNullWithStrategy", "RollingExpr", "RollingExprBy", "EwmMean", "Interpolate", "Unique", "Reverse",
        "ArgSort", "ArgMax", "ArgMin", "Skew", "Kurtosis", "RLEID", "Quantile", "Product", "DropNulls", "DropNans",
    ]
)  # fmt: skip
_BOOLEANS_OF_GROUPS = frozenset(
    ["Any", "All", "IsFirstDistinct", "IsLastDistinct", "IsUnique", "IsDuplicated", "HasNulls"]
)
_AGGREGATIONS = frozenset(
    ["Sum", "Mean", "Min", "Max", "Median", "Std", "Var", "First", "Last", "NUnique", "Count", "FirstNonNull",
     "LastNonNull"]
)  # fmt: skip

# Where a user knows an operation by another name than its own in the tree, in snake case.
_SPOKEN = {
    "QCut": "qcut()",
    "AnonymousFunction": "a Python function (map_batches, map_elements)",
    "PythonUdf": "a Python function (map_batches, map_elements)",
    "FillNullWithStrategy": "fill_null(strategy=…)",
    "RLEID": "rle_id()",
    "Count": "count()",
    "Eval": "list.eval()",
    "NUnique": "n_unique()",
}


def other_rows(expression: pl.Expr) -> str | None:
    """The first operation that may look at other rows, in words; None where the expression is row by row."""
    return _first(expression, keys=None)


def other_entities(expression: pl.Expr, keys: Collection[str]) -> str | None:
    """The first operation that may look at other entities' rows, in words; None where there is none.

    ``keys`` are the entity's key columns: what runs ``over`` all of them sees the entity's own rows.
    """
    return _first(expression, keys=frozenset(keys))


def _first(expression: pl.Expr, keys: frozenset[str] | None) -> str | None:
    try:
        tree = json.loads(expression.meta.serialize(format="json"))
    except RecursionError:
        return "a tree that is too deep to be read"
    except Exception:  # noqa: BLE001  # to write down a Python function, Polars pickles it, which may raise anything
        return "an operation that Polars does not write down, such as a Python function,"
    # A loop, since a generated sum may be nested deeper than Python calls go. With each node: whether `over` runs it.
    waiting = [(tree, False)]
    while waiting:
        node, grouped = waiting.pop()
        if isinstance(node, dict) and "Over" in node and keys is not None and not grouped:
            problem, inner = _over(node["Over"], keys)
        elif grouped and (found := _look_in_group(node)) is not None:
            problem, inner = None, [(item, True) for item in found]
        else:
            problem, found = _look(node, grouped=grouped)
            inner = [(item, grouped) for item in found]
        if problem is not None:
            return problem
        waiting += reversed(inner)
    return None


def _over(body: dict[str, Any], keys: frozenset[str]) -> tuple[str | None, list[tuple[Any, bool]]]:
    """What is wrong with an ``over``, and the nodes below it."""
    parts = body["partition_by"]
    named = {part["Column"] for part in parts if isinstance(part, dict) and "Column" in part}
    if not keys <= named:
        return f"over() without {' and '.join(sorted(keys - named))}", []
    if body["mapping"] not in ("GroupsToRows", "Join"):
        return 'over(mapping_strategy="explode")', []
    order = [] if body["order_by"] is None else [body["order_by"][0]]
    return None, [(body["function"], True), *((item, False) for item in [*parts, *order])]


def _look(node: Any, *, grouped: bool) -> tuple[str | None, list[Any]]:
    """What is wrong with one node of the tree, and the nodes below it."""
    if not isinstance(node, dict) or len(node) != 1:
        return _spoken(str(node)), []
    ((kind, body),) = node.items()
    match kind:
        case "Column" | "Selector":
            return None, []
        case "Literal":
            return None if isinstance(body, dict) and body.keys() <= {"Dyn", "Scalar"} else "a series", []
        case "Alias":
            return None, [body[0]]
        case "RenameAlias":
            return None, [body["expr"]]
        case "Cast":
            return "a cast to categories" if "Categorical" in json.dumps(body["dtype"]) else None, [body["expr"]]
        case "BinaryExpr":
            return None, [body["left"], body["right"]]
        case "Ternary":
            return None, [body["predicate"], body["truthy"], body["falsy"]]
        case "Function":
            return _function(body["function"], body["input"], grouped=grouped), body["input"]
        case "Agg" if isinstance(body, dict):
            return _spoken(str(next(iter(body)))), []
    return _spoken(str(kind)), []


def _look_in_group(node: Any) -> list[Any] | None:
    """The nodes below one that looks at its group's rows; None for any other."""
    match node:
        case "Len":
            return []
        case {"Filter": {"input": inner, "by": by}}:
            return [inner, by]
        case {"SortBy": {"expr": inner, "by": by}}:
            return [inner, *by]
        case {"Sort": {"expr": inner}}:
            return [inner]
        case {"Slice": {"input": inner, "offset": offset, "length": length}}:
            return [inner, offset, length]
        case {"Agg": {**body}} if body.keys() <= _AGGREGATIONS:
            match next(iter(body.values())):
                case {"input": inner} | [inner, *_] | inner:  # alone, or with options
                    return [inner]
    return None


def _function(function: Any, inputs: list[Any], *, grouped: bool) -> str | None:
    family, member = _named(function)
    if family in _PLAIN:
        return None
    if grouped and family in _OF_GROUPS:
        return 'rank("random")' if family == "Rank" and "Random" in json.dumps(member) else None
    name, options = _named(member)
    if family not in _FAMILIES:
        return _spoken(family)
    if family == "Boolean" and grouped and name in _BOOLEANS_OF_GROUPS:
        return None
    if name not in _FAMILIES[family]:
        return _spoken(name)
    if name == "IsIn":  # among the values of a column it looks at all of them
        return None if "Literal" in inputs[1] else "is_in() of a column"
    if name == "Strptime":  # without a format it is guessed from the first rows
        return None if options[1].get("format") else "parsing without a format"
    return None


def _spoken(name: str) -> str:
    """An operation as its method is called: ``cum_sum()`` for ``CumSum``."""
    if name in _SPOKEN:
        return _SPOKEN[name]
    if not re.fullmatch(r"[A-Za-z]\w*", name):
        return "an unknown operation"
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower() + "()"


def _named(tagged: Any) -> tuple[str, Any]:
    """The name of a node that is written as a name alone, or as a name with its options."""
    if isinstance(tagged, dict) and len(tagged) == 1:
        ((name, options),) = tagged.items()
        return str(name), options
    return str(tagged) if isinstance(tagged, str) else "", None
