"""What is typed behind ``/``: words that an item's text must have, ``field:word``, and ``!`` before what must not.

    age tag:cardiac !status:deprecated

All terms must hold. Letters are compared without case; a field matches where any of its words begins with the term's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol, TypeVar

from featurestore.frozen import frozen

BEFORE = "\0"
"""Stands before each word of a field, so that how a word begins can be found in all of them at once."""


@frozen
class Term:
    """One condition. ``field`` is None for text that may stand anywhere."""

    field: str | None
    word: str
    inverted: bool = False

    def __str__(self) -> str:
        return f"{'!' if self.inverted else ''}{f'{self.field}:' if self.field else ''}{self.word}"


@frozen
class Searchable:
    """What an item is searched by: all of its text in lower case, and the words of each field, joined by `BEFORE`."""

    text: str
    fields: Mapping[str, str]


class Searched(Protocol):
    """An item that can be filtered."""

    @property
    def searched(self) -> Searchable: ...


Item = TypeVar("Item", bound=Searched)


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
    return Searchable(text.lower(), {name: "".join(map(_begun, words)) for name, words in fields.items()})


def narrowed(items: Sequence[Item], terms: Sequence[Term]) -> Sequence[Item]:
    """The items that meet every term, in their order.

    Of 100,000 items each letter must be answered at once, so each term is one loop over them that calls nothing.
    """
    for term in terms:
        wanted = not term.inverted
        if term.field is None:
            word = term.word
            items = [item for item in items if (word in item.searched.text) is wanted]
        else:
            field, word = term.field, _begun(term.word)
            items = [item for item in items if (word in item.searched.fields.get(field, "")) is wanted]
    return items


def _begun(word: str) -> str:
    return BEFORE + word.lower().replace(BEFORE, "")
