"""Whether a text names an entity: for what is stored of it in sentences and raw rows rather than under its keys."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any


def naming(keys: Sequence[str | int]) -> Callable[[str], bool]:
    """A test of texts: does one have all these keys, each as a word of its own? ``7`` is not in ``2017``.

    A key that is a number is found however it is written: ``7`` in ``007`` too.
    """
    words = [re.compile(_number(key) if isinstance(key, int) else _word(key)) for key in keys]
    return lambda text: all(word.search(text) for word in words)


def texts_in(value: Any) -> Iterator[str]:
    """The texts in a JSON value, at any depth."""
    if isinstance(value, str):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from texts_in(each)


def _number(key: int) -> str:
    return rf"(?<!\w){'-' if key < 0 else ''}0*{abs(key)}(?!\w)"


def _word(key: str) -> str:
    before = r"(?<!\w)" if re.match(r"\w", key) else ""
    after = r"(?!\w)" if re.search(r"\w\Z", key) else ""
    return before + re.escape(key) + after
