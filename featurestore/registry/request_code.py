"""What the code of a request-time feature says without being run: that it looks at other rows than the request's.

Only what stands there in so many words is found, as ``pl.col("amount").mean()`` in a function that does nothing but
assign and return. All else is found by the tree of the expression, once it is built (`evaluation.request_time`).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from featurestore.registry.decorators import dotted
from featurestore.versioning.analysis.tree import Module

OF_MANY_ROWS = frozenset(
    [
        "sum", "mean", "median", "min", "max", "std", "var", "first", "last", "n_unique", "count", "len", "quantile",
        "product", "mode", "arg_max", "arg_min", "skew", "kurtosis", "null_count", "cum_sum", "cum_count", "cum_min",
        "cum_max", "cum_prod", "shift", "diff", "pct_change", "rank", "over", "rolling", "rolling_sum", "rolling_mean",
        "rolling_min", "rolling_max", "rolling_std", "rolling_var", "rolling_median", "rolling_sum_by",
        "rolling_mean_by", "rolling_min_by", "rolling_max_by", "ewm_mean", "interpolate", "sort", "sort_by", "unique",
        "value_counts", "head", "tail", "slice", "filter", "drop_nulls", "drop_nans", "explode", "implode", "gather",
        "reverse", "shuffle", "sample", "top_k", "bottom_k", "forward_fill", "backward_fill", "qcut", "is_unique",
        "is_duplicated", "is_first_distinct", "is_last_distinct", "map_batches", "map_elements",
    ]
)  # fmt: skip
"""Methods of `polars.Expr` that look at several rows, whatever they are called with."""
AGGREGATES = frozenset(
    ["sum", "mean", "median", "min", "max", "std", "var", "first", "last", "n_unique", "count", "len", "quantile",
     "cum_sum", "corr", "cov"]
)  # fmt: skip
"""Functions of `polars` that do."""
_EXPRESSIONS = frozenset(
    ["col", "lit", "when", "coalesce", "concat_str", "format", "struct", "max_horizontal", "min_horizontal",
     "sum_horizontal", "mean_horizontal", "any_horizontal", "all_horizontal"]
)  # fmt: skip
_NAMESPACES = frozenset(["str", "dt", "list", "arr", "struct", "cat", "bin"])


def looks_at_other_rows(module: Module, function: ast.FunctionDef) -> tuple[str, int] | None:
    """The first operation in a function's code that looks at several rows, with its line; None where none is seen."""
    if not all(isinstance(item, ast.Assign | ast.AnnAssign | ast.Return | ast.Expr) for item in function.body):
        return None  # what is run then, only a run tells
    reader = _Reader(_names_of_polars(module.tree))
    for statement in function.body:
        found = next(reader.operations(statement), None)
        if found is not None:
            return found
        reader.note(statement)
    return None


def _names_of_polars(tree: ast.Module) -> frozenset[str]:
    names = (alias for item in tree.body if isinstance(item, ast.Import) for alias in item.names)
    return frozenset(alias.asname or alias.name for alias in names if alias.name == "polars")


class _Reader:
    """Tells expressions of Polars from other values in straight code."""

    def __init__(self, polars: frozenset[str]) -> None:
        self._polars = polars
        self._held: set[str] = set()  # names that hold expressions

    def note(self, statement: ast.stmt) -> None:
        """Takes the names that a statement gives to values."""
        if isinstance(statement, ast.Assign):
            targets, value = statement.targets, statement.value
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            targets, value = [statement.target], statement.value
        else:
            return
        is_one = self._is_expression(value)
        for name in (node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)):
            if is_one and all(isinstance(target, ast.Name) for target in targets):
                self._held.add(name)
            else:
                self._held.discard(name)

    def operations(self, statement: ast.stmt) -> Iterator[tuple[str, int]]:
        """Operations of several rows, in the order of their lines."""
        found = []
        for node in ast.walk(statement):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            name, line = node.func.attr, node.func.end_lineno or node.lineno
            of_expression = name in OF_MANY_ROWS and self._is_expression(node.func.value)
            if of_expression or (name in AGGREGATES and dotted(node.func.value) in self._polars):
                found.append((f"{name}()", line))
        yield from sorted(found, key=lambda each: each[1])

    def _is_expression(self, node: ast.expr) -> bool:
        match node:
            case ast.Name(id=name):
                return name in self._held
            case ast.BinOp(left=left, right=right):
                return self._is_expression(left) or self._is_expression(right)
            case ast.Compare(left=left, comparators=others):
                return any(map(self._is_expression, [left, *others]))
            case ast.UnaryOp(operand=operand):
                return self._is_expression(operand)
            case ast.Call(func=ast.Attribute(value=value, attr=name)):
                if dotted(value) in self._polars:
                    return name in _EXPRESSIONS | AGGREGATES
                if isinstance(value, ast.Attribute) and value.attr in _NAMESPACES:
                    return self._is_expression(value.value)
                return self._is_expression(value)
        return False
