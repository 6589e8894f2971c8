"""What a feature module imports: the ``@feature`` decorator.

The declaration is read from the source text, never from a running module, so the decorator only has
to leave the function as it is and remember that it was declared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


def feature(
    *,
    entity_type: str,
    data_type: str,
    name: str | None = None,
    source: str | None = None,
    description: str = "",
    owner: str = "",
    tags: Sequence[str] = (),
    status: Literal["experimental", "active", "deprecated"] = "active",
    max_age: str | None = None,
    scope: Literal["row", "entity", "source"] | None = None,
    lookback: str | None = None,
    window: str | None = None,
    every: str | None = None,
    delay: str | None = None,
    tolerance: float | None = None,
    params: Mapping[str, Sequence[Any]] | None = None,
    depends_on: Sequence[str] = (),
    renamed_from: str | None = None,
    inputs: Sequence[str] = (),
    request: Mapping[str, str] | None = None,
    sources: Sequence[str] = (),
) -> Callable[[Function], Function]:
    """Declares a function as a feature.

    Long form: the function takes a Polars frame (``pl.DataFrame``, or ``pl.LazyFrame`` when annotated
    so) and returns one with ``entity_id`` (or the key columns by name), ``value`` and, optionally,
    ``computed_at`` (UTC). Short form: it takes no frame and returns one expression over the source's
    columns.

    With ``inputs`` it is a request-time feature: it takes no frame and returns one expression over the values of
    these features, the fields of ``request``, and ``request_time``. It has no source and no history, and is computed
    when it is asked for.

    Arguments must be literals or module constants, so that a feature can be found and hashed without
    running anyone's code.

    Args:
        entity_type: An entity type of featurestore.toml.
        data_type: ``bool``, ``int``, ``float``, ``string``, ``date``, ``datetime``, ``list[float]``
            or ``list[float, N]``.
        name: The feature's name; the function's by default. ``{param}`` parts name a family.
        source: A source of featurestore.toml; needless where the project has only one.
        description: One line for people.
        owner: Who to ask.
        tags: Words to find it by.
        status: ``experimental``, ``active`` or ``deprecated``.
        max_age: How old a value may be and still be an answer, as ``36h`` or ``365d``.
        scope: Which rows a value depends on: its own (``row``), those of its entity (``entity``) or any
            (``source``). By default a function is ``source``, and an expression's scope is found in its code.
        lookback: How far before a value's time the rows that it depends on reach, as ``30d``; ``0`` for its own
            row alone. Without ``scope`` these are the rows of its entity.
        window: How long a row counts, as ``30d``: the value at a time is the expression over the entity's rows of that
            long before it. Only for the short form. May name a param, as ``{days}d``.
        every: The value changes only at multiples of this, as ``1h``.
        delay: How long after its event time a row can be used, as ``2h``: its value is dated that
            much later.
        tolerance: Two numbers no further apart than this are the same value.
        params: Keyword arguments of a family of features, each with its list of values.
        depends_on: Files whose content decides the values, as paths or patterns (``sql/*.sql``) relative to the
            project's folder, which is the current one while the function runs.
        renamed_from: The former name, so that a rename is not a new feature.
        inputs: The features that a request-time feature is computed from, all of its entity type.
        request: The fields of a request that it takes, with their types: ``{"amount": "float"}``.
        sources: The sources of a feature that is made of several, in place of ``source``. The function takes a frame
            for each, in this order, with all its rows, and returns ``computed_at`` where any of them has event times.
    """

    def keep(function: Function) -> Function:
        return function

    return keep
