"""What is made of a large file, piece by piece, while the piece before is used."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def one_ahead(items: Iterator[Item]) -> Generator[Item, None, None]:
    """The items, in order; the next one is made on a thread of its own. Close it before what the items are made of."""
    with ThreadPoolExecutor(1, "ahead") as worker:  # waits for the item that is being made, whatever happens
        coming = worker.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = worker.submit(next, items, None)
            yield item
