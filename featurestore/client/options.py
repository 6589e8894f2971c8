"""Keywords as the workflows take them: times, durations and columns in the forms that Python and the command have."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from featurestore import times
from featurestore.errors import UsageError
from featurestore.given import read_duration, read_instant

if TYPE_CHECKING:
    from featurestore.dialect import Dialect
    from featurestore.workflows.join.question import EntityColumns
    from featurestore.workflows.join.splits import Splits

_INSIDE = ("featurestore", "contextlib")

Instant = str | date | datetime
Duration = str | timedelta
Columns = str | Sequence[str]
Entities = Mapping[str, Columns | tuple[str, Columns]]


class FeatureStoreWarning(UserWarning):
    """What a command would have warned of on stderr."""


def warn(messages: Iterable[str]) -> None:
    """Warns whoever called into this package."""
    level, frame = 2, sys._getframe(1)  # noqa: SLF001  # as warnings itself finds a caller
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _INSIDE:
        level, frame = level + 1, frame.f_back
    for message in messages:
        warnings.warn(message, FeatureStoreWarning, stacklevel=level)


def instant(name: str, given: Instant | None) -> int | None:
    """Microseconds since 1970 UTC. A time without a zone is UTC, which is warned of. Raises UsageError."""
    text = given.isoformat() if isinstance(given, date) else given
    if text is not None and not isinstance(text, str):
        raise UsageError(f"{name}={given!r} is not a time", hint="a datetime, or a text in ISO 8601")
    return read_instant(f"{name}=", text, lambda message: warn([message]))


def duration(name: str, given: Duration | None) -> int | None:
    """Microseconds. Raises UsageError."""
    if isinstance(given, timedelta):
        return given // timedelta(microseconds=1)
    if given is not None and not isinstance(given, str):
        raise UsageError(f"{name}={given!r} is not a duration", hint="a timedelta, or a text like '36h'")
    return read_duration(f"{name}=", given)


def names(name: str, given: Sequence[str] | None) -> list[str]:
    """A list of names. Raises UsageError for one text, whose letters would be taken for names."""
    if isinstance(given, str | bytes):
        raise UsageError(f"{name} is a list of names, not {given!r}", hint=f"write [{given!r}]")
    return [] if given is None else list(given)


def entity_columns(given: Entities | None) -> list[EntityColumns]:
    """``{"customer": "buyer_id", "payer": ("customer", "from_id"), "shop": ["country", "shop_id"]}``: an entity type
    with its columns, or a role with its entity type and its columns. Raises UsageError.
    """
    from featurestore.workflows.join.question import EntityColumns

    found = []
    for name, value in (given or {}).items():
        if isinstance(value, tuple):
            if len(value) != 2 or not isinstance(value[0], str):
                hint = "a role is a tuple of its entity type and its columns; several columns are a list"
                raise UsageError(f"entities[{name!r}] can't be {value!r}", hint=hint)
            found.append(EntityColumns(value[0], _columns(value[1]), name))
        else:
            found.append(EntityColumns(name, _columns(value)))
    return found


def splits(given: Mapping[str, Instant | None] | None, column: str) -> Splits | None:
    """``{"train": "2024-01-01", "test": None}``: the instant before which each part but the last ends."""
    if given is None:
        return None
    from featurestore.workflows.join.splits import make_splits

    return make_splits(tuple((name, instant(f"split[{name!r}]", end)) for name, end in given.items()), column)


def timezone(given: str | None) -> str | None:
    """A time zone that this machine knows. Raises UsageError."""
    if given is not None and not times.is_zone(given):
        raise UsageError(f"timezone={given!r} is not a time zone", hint="for example Europe/Paris")
    return given


def dialect(delimiter: str, settings: Mapping[str, Any] | None) -> Dialect:
    """How a label file is written. Raises UsageError, ConfigError."""
    from featurestore.workflows.label_dialect import read_label_dialect
    from featurestore.workflows.table_files import parse_delimiter

    given = {"delimiter": parse_delimiter("delimiter", delimiter), **(settings or {})}
    return read_label_dialect(given, "dialect")


def _columns(given: Columns) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)
