"""The house style: plain tables, dim labels, colour for meaning only. Data is text, never markup."""

from __future__ import annotations

from rich import box
from rich.table import Table
from rich.text import Text

from featurestore import times

GOOD, WARN, BAD, DIM, NAME = "green", "yellow", "red", "dim", "bold cyan"


def table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """A table with a ruled head and no other lines; ``right`` names the columns of numbers.

    The first column and the numbers are never broken: on a narrow terminal the others give way.
    """
    result = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", padding=(0, 1))
    for at, name in enumerate(columns):
        numbers = name in right
        result.add_column(name, justify="right" if numbers else "left", overflow="fold", no_wrap=numbers or at == 0)
    return result


def facts(rows: list[tuple[str, str | Text]]) -> Table:
    """Labels and values in two columns."""
    result = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    result.add_column(style=DIM, no_wrap=True)
    result.add_column(overflow="fold")
    for label, value in rows:
        result.add_row(label, value if isinstance(value, Text) else Text(value))
    return result


def status(word: str) -> Text:
    """A status in its colour."""
    style = {"ok": GOOD, "unchanged": DIM, "none": DIM, "partial": WARN, "failed": BAD, "new": GOOD, "changed": WARN}
    return Text(word, style=style.get(word, ""))


def number(value: object) -> str:
    """A number at six significant digits, as people read it; other things as text."""
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.6g}"


def instant(micros: int | None) -> str:
    """To the second, in UTC."""
    return "–" if micros is None else times.format_instant(micros // 1_000_000 * 1_000_000)


def plural(count: int, noun: str) -> str:
    """``1 row``, ``1,204 rows``."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
