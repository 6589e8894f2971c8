"""The language of the filter."""

import pytest

from featurestore.tui.filter import Term, matches, parse, searchable

FIELDS = ("tag", "owner", "status")
WORDS = {"tag": ["Cardiac", "age"], "owner": ["ada"], "status": ["active"]}
ITEM = searchable("age_share Age as a share ada cardiac", WORDS)


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
    assert matches(ITEM, parse(text, FIELDS)) is is_shown


def test_a_term_says_itself_as_it_was_typed() -> None:
    text = "age tag:cardiac !status:deprecated !x"
    assert " ".join(map(str, parse(text, FIELDS))) == text
    assert parse("tag:a", FIELDS) == (Term("tag", "a"),)
