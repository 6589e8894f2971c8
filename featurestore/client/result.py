"""Results as frozen values, with the fields of the documents that ``--json`` prints.

A subclass names its fields by annotations only: they are what type checkers and editors know, and say which fields hold
results of their own. The document stays the contract: a field that it has is there, whether it is named or not.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Mapping, Sequence
from copy import deepcopy
from functools import lru_cache
from html import escape
from typing import Any, NoReturn, cast, get_args, get_type_hints

from featurestore.model import Json

SHOWN_ROWS = 100


class Result:
    """A frozen value made of a JSON document. Lists come as tuples, objects inside as results or as copies.

    Equal documents are equal results. ``to_dict`` gives the document.
    """

    __slots__ = ("_document",)
    _document: dict[str, Json]

    def __init__(self, document: Mapping[str, Json]) -> None:
        object.__setattr__(self, "_document", dict(document))

    def __getattr__(self, name: str) -> Any:
        try:
            value = self._document[name]
        except KeyError:
            raise AttributeError(f"{type(self).__name__} has no field {name!r}") from None
        return _wrapped(value, _inner_results(cast("Hashable", type(self))).get(name))

    def __setattr__(self, name: str, _value: object) -> NoReturn:
        raise AttributeError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"cannot delete field {name!r}")

    def __dir__(self) -> Iterator[str]:
        yield from (*self._document, "to_dict")

    def __eq__(self, other: object) -> bool:
        return self._document == other._document if isinstance(other, Result) else NotImplemented

    def __hash__(self) -> int:
        return hash(json.dumps(self._document, sort_keys=True, default=str))

    def __reduce__(self) -> tuple[type[Result], tuple[dict[str, Json]]]:
        return type(self), (self._document,)

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._document)
        return f"{type(self).__name__}({fields})"

    def to_dict(self) -> dict[str, Json]:
        """The document, as ``--json`` prints it; a copy."""
        return deepcopy(self._document)

    def _repr_html_(self) -> str:
        """A table for notebooks: one row per record where the document is a list of them, else one per field."""
        records = [
            value for value in self._document.values() if isinstance(value, list) and value and _is_record(value[0])
        ]
        facts = {name: value for name, value in self._document.items() if value not in records}
        return "".join([_facts_table(facts), *(_records_table(each) for each in records)])


@lru_cache
def _inner_results(kind: Hashable) -> dict[str, type[Result]]:
    """The fields that hold results, with their types."""
    found = {}
    for name, hint in get_type_hints(kind).items():
        for each in (hint, *get_args(hint)):
            if isinstance(each, type) and issubclass(each, Result):
                found[name] = each
    return found


def _wrapped(value: Json, kind: type[Result] | None) -> Any:
    if isinstance(value, list):
        return tuple(_wrapped(item, kind) for item in value)
    if isinstance(value, Mapping):
        return kind(value) if kind else deepcopy(value)
    return value


def _is_record(value: Json) -> bool:
    return isinstance(value, Mapping)


def _facts_table(facts: Mapping[str, Json]) -> str:
    rows = "".join(f"<tr><th>{escape(name)}</th>{_cell(value)}</tr>" for name, value in facts.items())
    return f"<table>{rows}</table>" if rows else ""


def _records_table(records: Sequence[Json]) -> str:
    shown = [item for item in records[:SHOWN_ROWS] if isinstance(item, dict)]
    names = list(dict.fromkeys(name for item in shown for name in item))
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    rows = "".join(f"<tr>{''.join(_cell(item.get(name)) for name in names)}</tr>" for item in shown)
    more = len(records) - len(shown)
    rest = f"<p>and {more:,} more</p>" if more > 0 else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{rest}"


def _cell(value: Json) -> str:
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
    return f"<td>{escape(text)}</td>"
