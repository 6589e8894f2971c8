"""What is typed behind ``/``: words that an item's text must have, ``field:word``, and ``!`` before what must not.

    age tag:cardiac !status:deprecated

All terms must hold. Letters are compared without case; a field matches where any of its words begins with the term's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Term:
    """One condition. ``field`` is None for text that may stand anywhere."""

    field: str | None
    word: str
    inverted: bool = False

    def __str__(self) -> str:
        return f"{'!' if self.inverted else ''}{f'{self.field}:' if self.field else ''}{self.word}"


@dataclass(frozen=True, slots=True)
class Searchable:
    """What an item is searched by: all of its text in lower case, and the words of each field."""

    text: str
    fields: Mapping[str, Sequence[str]]


def parse(text: str, fields: Collection[str]) -> tuple[Term, ...]:
    """The terms of a filter. A word before a colon that is not one of the fields is text like any other."""
    terms = []
    for piece in text.lower().split():
        inverted = piece.startswith("!") and len(piece) > 1
        body = piece[1:] if inverted else piece
        name, colon, word = body.partition(":")
        if colon and name in fields:
            if word:  # not before its word is typed
                terms.append(Term(name, word, inverted))
        else:
            terms.append(Term(None, body, inverted))
    return tuple(terms)


def searchable(text: str, fields: Mapping[str, Sequence[str]]) -> Searchable:
    """An item's texts, prepared once for any number of filters."""
    return Searchable(text.lower(), {name: [word.lower() for word in words] for name, words in fields.items()})


def matches(item: Searchable, terms: Sequence[Term]) -> bool:
    """Whether an item meets every term."""
    return all(_holds(item, term) != term.inverted for term in terms)


def _holds(item: Searchable, term: Term) -> bool:
    if term.field is None:
        return term.word in item.text
    return any(word.startswith(term.word) for word in item.fields.get(term.field, ()))
