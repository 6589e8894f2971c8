"""Which rows of its source a feature's values depend on: as declared, or as found in its expression."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featurestore import times
from featurestore.model import Feature, Scope

if TYPE_CHECKING:
    import polars as pl


def declared_scope(feature: Feature) -> Scope | None:
    """The scope as the declaration has it: by ``scope=``, ``lookback=`` or ``window=``, or by the long form.

    None for an expression without either: its scope is found once it is built.
    """
    if feature.window is not None:
        return Scope("entity", None, f'window="{times.format_duration(feature.window)}" is declared', declared=True)
    if feature.at_request:
        return Scope("row", 0, "it is computed at the request", declared=False)
    kind, lookback = feature.scope, feature.lookback
    if kind is None and lookback is None:
        if feature.short:
            return None
        return Scope("source", None, "a function that takes a frame may look at all of it", declared=False)
    if kind == "row" or lookback == 0:
        reason = 'scope="row" is declared' if kind else 'lookback="0" is declared'
        return Scope("row", 0, reason, declared=True)
    given = [f'scope="{kind}"'] if kind else []
    given += [f'lookback="{times.format_duration(lookback)}"'] if lookback is not None else []
    verb = "is" if len(given) == 1 else "are"
    return Scope(kind or "entity", lookback, f"{' and '.join(given)} {verb} declared", declared=True)


def scope_of(feature: Feature, expression: pl.Expr | None = None) -> Scope:
    """The scope of a feature; ``expression`` is what the function of the short form returned.

    An expression that was not built yet (None) may look at anything.
    """
    known = declared_scope(feature)
    if known is not None:
        return known
    if expression is None:
        return Scope("source", None, "the expression has not been built yet", declared=False)
    from featurestore.evaluation.operations import other_entities, other_rows  # imports Polars

    if other_rows(expression) is None:
        return Scope("row", 0, "every operation takes one row at a time", declared=False)
    keys = feature.entity_type.key_names
    further = other_entities(expression, keys)
    if further is None:
        reason = f"what looks at other rows runs over({', '.join(keys)})"
        return Scope("entity", None, reason, declared=False)
    return Scope("source", None, f"{further} may look at other entities' rows", declared=False)
