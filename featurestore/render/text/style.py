"""The house style: dim labels, and colour for meaning only. Data is text, never markup."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.text import Text

from featurestore.render.printable import printable

if TYPE_CHECKING:
    from rich.table import Table

GOOD, WARN, BAD, DIM, NAME = "green", "yellow", "red", "dim", "bold cyan"

STATUSES = {"ok": GOOD, "unchanged": DIM, "none": DIM, "partial": WARN, "failed": BAD, "new": GOOD, "changed": WARN}


def line(text: str, style: str = "") -> Text:
    """Text that may hold data: its control characters are written out."""
    return Text(printable(text), style=style)


def status(word: str) -> Text:
    """A status in its colour."""
    return line(word, STATUSES.get(word, ""))


def facts(rows: Iterable[tuple[str, str | Text]]) -> Table:
    """Labels and values in two columns."""
    from rich.table import Table  # with what it imports 5 ms, which a list has no use for

    result = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    result.add_column(style=DIM, no_wrap=True)
    result.add_column(overflow="fold")
    for label, value in rows:
        result.add_row(line(label), value if isinstance(value, Text) else line(value))
    return result
