"""Items that are made one ahead are those that were made, whatever ends it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from featurestore.tables.ahead import one_ahead


def test_all_items_come_in_order() -> None:
    assert list(one_ahead(iter(range(100)))) == list(range(100))
    assert list(one_ahead(iter([]))) == []


def test_the_next_item_is_made_while_one_is_used() -> None:
    made = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        made.set()
        yield 2

    found = one_ahead(items())
    assert next(found) == 1
    assert made.wait(20)
    assert list(found) == [2]


def test_an_error_comes_behind_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("cut")

    found = one_ahead(items())
    assert next(found) == 1
    with pytest.raises(ValueError, match="cut"):
        next(found)


def test_closed_it_makes_nothing_any_more() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    found = one_ahead(items())
    next(found)
    found.close()
    count = len(made)
    assert count <= 2
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]
    assert len(made) == count
