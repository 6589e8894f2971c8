"""Progress of long calls: a line below the cell in a notebook, and nothing elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

from featurestore.progress import SILENT, Progress

EVERY_SECONDS = 0.2


@contextmanager
def progress(given: Progress | None) -> Iterator[Progress]:
    """The caller's own progress, else a line in a notebook, which goes when the call ends."""
    display = None if given is not None else _display()
    if display is None:
        yield given or SILENT
        return
    shown_at = 0.0

    def report(line: str) -> None:
        nonlocal shown_at
        if time.monotonic() - shown_at >= EVERY_SECONDS:
            shown_at = time.monotonic()
            display.update(_Line(line))

    try:
        yield Progress(report)
    finally:
        display.update(_Line(""))


def _display() -> Any:
    """A place below the running cell; None outside of a notebook."""
    if "ipykernel" not in sys.modules:
        return None
    from IPython.display import display

    return display(_Line(""), display_id=True)  # type: ignore[no-untyped-call]


class _Line:
    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text

    def _repr_html_(self) -> str:
        return f"<small>{escape(self._text)}</small>"
