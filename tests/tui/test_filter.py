"""The language of the filter."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.tui.filter import Searchable, Term, narrowed, parse, searchable

FIELDS = ("tag", "owner", "status")
WORDS = {"tag": ["Cardiac", "age"], "owner": ["ada"], "status": ["active"]}
TEXT = "age_share Age as a share ada cardiac"


@dataclass(frozen=True)
class Item:
    searched: Searchable


ITEM = Item(searchable(TEXT, WORDS))


@pytest.mark.parametrize(
    ("text", "is_shown"),
    [
        ("", True), ("share", True), ("SHARE", True), ("chol", False), ("!chol", True), ("!share", False),
        ("tag:cardiac", True), ("tag:card", True), ("tag:diac", False), ("!tag:cardiac", False),
        ("tag:age owner:ada", True),
        ("tag:age owner:grace", False), ("status:active share", True), ("nofield:x", False), ("tag:", True),
        ("!", False), ("a:b", False),
    ],
)  # fmt: skip
def test_an_item_is_shown_where_every_term_holds(text: str, is_shown: bool) -> None:
    assert list(narrowed([ITEM], parse(text, FIELDS))) == ([ITEM] if is_shown else [])


def test_a_term_says_itself_as_it_was_typed() -> None:
    text = "age tag:cardiac !status:deprecated !x"
    assert " ".join(map(str, parse(text, FIELDS))) == text
    assert parse("tag:a", FIELDS) == (Term("tag", "a"),)


WORD = st.text(alphabet="abAB\n\0é", min_size=1, max_size=4)
WORD_TYPED = st.text(alphabet="abABé", min_size=1, max_size=2)


@given(
    st.lists(st.tuples(WORD, st.lists(WORD, max_size=3)), max_size=6),
    st.lists(st.tuples(st.sampled_from([None, "tag"]), WORD_TYPED, st.booleans()), max_size=3),
)
def test_many_items_are_narrowed_to_those_that_meet_every_term_in_their_order(
    given: list[tuple[str, list[str]]], typed: list[tuple[str | None, str, bool]]
) -> None:
    terms = parse(" ".join(str(Term(*each)) for each in typed), FIELDS)

    def holds(text: str, tags: list[str], field: str | None, word: str) -> bool:
        word = word.lower()
        if field is None:
            return word in text.lower()
        return any(tag.lower().replace("\0", "").startswith(word) for tag in tags)

    items = {at: Item(searchable(text, {"tag": tags})) for at, (text, tags) in enumerate(given)}
    shown = [
        items[at]
        for at, (text, tags) in enumerate(given)
        if all(holds(text, tags, field, word) != inverted for field, word, inverted in typed)
    ]
    assert [id(item) for item in narrowed(list(items.values()), terms)] == [id(item) for item in shown]
