"""How far back a feature's values look, and whether its source keeps rows for as long."""

from __future__ import annotations

from collections.abc import Iterable

from featurestore import times
from featurestore.errors import ConfigError
from featurestore.evaluation.scope import declared_scope
from featurestore.model import Feature, Scope, Source
from featurestore.sources.types import is_stream


def looks_back(feature: Feature, scope: Scope) -> int | None:
    """How far before a value (µs) a row may lie that it depends on; None where any may."""
    if feature.window is None:
        return scope.lookback
    return feature.window + (feature.delay or 0) + (feature.every or 0)


def check_retention(source: Source, feature: Feature, scope: Scope) -> None:
    """Raises ConfigError where a source drops rows that a feature may still look at."""
    if source.keep is None or scope.kind == "row":
        return
    if scope.kind == "source" and not is_stream(source):
        return  # it takes the files that are there
    reach = looks_back(feature, scope)
    if reach is not None and reach <= source.keep:
        return
    what = f'[sources.{source.name}] keep = "{times.format_duration(source.keep)}" is shorter than what {feature.name}'
    if reach is None:
        whose = "its entity" if scope.kind == "entity" else "the source"
        far, hint = f"all rows of {whose} ({scope.reason})", "leave keep out, or declare lookback="
    else:
        far, hint = _declared(feature), f'keep = "{times.format_duration(reach)}" or longer, or declare less'
    raise ConfigError(f"{what} looks back on: {far}", where=feature.place, hint=hint)


def _declared(feature: Feature) -> str:
    """``window="30d" + delay="2h"``."""
    names = ("lookback",) if feature.window is None else ("window", "delay", "every")
    spans = {name: getattr(feature, name) for name in names}
    return " + ".join(f'{name}="{times.format_duration(span)}"' for name, span in spans.items() if span)


def check_retentions(features: Iterable[Feature]) -> None:
    """The same for what declarations say. Raises ConfigError."""
    for feature in features:
        scope = declared_scope(feature)
        if scope is not None:
            for source in feature.reads:
                check_retention(source, feature, scope)
