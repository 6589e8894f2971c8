"""Tables that fit: which columns give way on a narrow screen, and how, is said by their kind.

A value is never hidden, but for what nobody reads on a screen, and a number never broken. An identifier is cut in the
middle, because its ends tell it from others, and less where they don't. Where that is not enough, the columns that can
be spared go.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Literal

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.text import Text

from featurestore.frozen import frozen
from featurestore.render.printable import printable
from featurestore.render.text.style import line

Cell = str | Text
Kind = Literal["fixed", "number", "name", "id", "value", "words", "line"]

# How narrow a column may become before others are spared. A value that is a UUID or an instant stays in one line.
NARROWEST = {"name": 24, "id": 12, "value": 36, "words": 24, "line": 16}
# Which columns get the room that is left over, and which give way, down to what, where even that is not enough.
WIDENED = ("value", "name", "id", "words", "line")
NARROWED = (
    ("line", 8), ("words", 12), ("name", 16), ("value", 28), ("id", 8), ("value", 20), ("name", 8), ("value", 8),
    ("words", 8),
)  # fmt: skip
GAP, TIGHT_GAP = 3, 2
MOST_SHOWN = 10_000  # characters of a cell: to fold a text of 30 MB takes minutes
NUMERIC = re.compile(r"–|null|deleted|-?[\d,]+(\.\d+)?(e[-+]\d+)?")


@frozen
class Column:
    """A column and what becomes of it where there is little room.

    ``fixed`` and ``number`` (flush right) stay as they are, an ``id`` and, after it, a ``name`` are cut in the middle,
    a ``value`` and ``words`` are folded, a ``line`` is cut at its end. Columns with a ``spare`` may be left out,
    the greatest number first.
    """

    title: str
    kind: Kind = "fixed"
    style: str = ""
    spare: int = 0


@frozen
class FittedTable:
    """A table that is laid out for the width it is drawn on."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Text, ...], ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from _lines(self, console, options.max_width)

    def left_out(self, room: int) -> list[str]:
        """The titles of the columns that there is no room for."""
        shown = len(_without_spare(self, room).columns)
        by_need = sorted(self.columns, key=lambda column: column.spare)
        gone = set(map(id, by_need[shown:]))
        return [column.title for column in self.columns if id(column) in gone]

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        width = min(_taken(_natural(self), GAP), options.max_width)
        return Measurement(width, width)


def table(columns: Sequence[Column], rows: Iterable[Sequence[Cell]]) -> FittedTable:
    """A table with a ruled head and no other lines. Columns that are empty in every row are left out."""
    texts = tuple(tuple(_readable(cell if isinstance(cell, Text) else line(cell)) for cell in row) for row in rows)
    cells = list(zip(*texts, strict=True)) or [()] * len(columns)
    fitting = [_aligned(column, below) for column, below in zip(columns, cells, strict=True)]
    return _reduced(
        FittedTable(tuple(fitting), texts), [not texts or any(cell.plain for cell in below) for below in cells]
    )


def _readable(cell: Text) -> Text:
    """The cell, or as much of it as can be shown."""
    if len(cell.plain) <= MOST_SHOWN:
        return cell
    rest = f"… (the first {MOST_SHOWN:,} of {len(cell.plain):,} characters; --json gives them all)"
    return Text(cell.plain[:MOST_SHOWN] + rest, style=cell.style)


def middle_cut(text: str, width: int) -> str:
    """The text in so many character cells: where it is longer, its two ends with an ellipsis between them."""
    if cell_len(text) <= width:
        return text
    head, tail = width // 2, (width - 1) // 2
    # Half of a wide character is no character: its cell is left empty at the end, not beside the ellipsis.
    return f"{set_cell_size(text, head).rstrip(' ')}…{set_cell_size(text[::-1], tail)[::-1].lstrip(' ')}"


def _distinct_width(cells: Iterable[Text], fewest: int) -> int:
    """The width, from ``fewest`` on, in which identifiers that differ are still different when they are cut."""
    texts = {cell.plain for cell in cells}
    longest = max(map(cell_len, texts), default=0)
    width = fewest
    while width < longest and len({middle_cut(text, width) for text in texts}) < len(texts):
        width += 4
    return min(width, max(longest, fewest))


def _aligned(column: Column, cells: Sequence[Text]) -> Column:
    """A column of values, flush right where all of them are numbers."""
    is_numeric = column.kind == "value" and bool(cells) and all(NUMERIC.fullmatch(cell.plain) for cell in cells)
    return replace(column, kind="number") if is_numeric else column


def _lines(whole: FittedTable, console: Console, room: int) -> Iterator[Segment]:
    """The table as text, line by line: the head, a rule, the rows, and an empty line before and after.

    Written out here, because Rich's own table measures and wraps each cell: 0.2 ms a row of seven.
    """
    shown = _without_spare(whole, room)
    if not shown.columns:
        return
    gap = GAP if _taken(_narrowest(shown), GAP) <= room else TIGHT_GAP
    widths = _widths(shown, room - _taken([0] * len(shown.columns), gap))
    columns = list(zip(shown.columns, widths, strict=True))
    length = _taken(widths, gap)
    heads = [Text(printable(column.title), style="bold") for column in shown.columns]
    yield from (Segment(" " * length), Segment.line())
    yield from _row(columns, heads, gap, console)
    yield from (Segment(f" {'─' * (length - 2)} "), Segment.line())
    for row in shown.rows:
        yield from _row(columns, row, gap, console)
    yield from (Segment(" " * length), Segment.line())


def _row(columns: Sequence[tuple[Column, int]], cells: Iterable[Text], gap: int, console: Console) -> Iterator[Segment]:
    """A row, of as many lines as its tallest cell has."""
    blocks = [_block(cell, column, width, console) for (column, width), cell in zip(columns, cells, strict=True)]
    for at in range(max(map(len, blocks))):
        yield Segment(" ")
        for (column, width), block, after in zip(columns, blocks, [gap] * (len(blocks) - 1) + [1], strict=True):
            text = block[at] if at < len(block) else Text("")
            space = " " * (width - cell_len(text.plain))
            right = column.kind == "number"
            yield Segment(space if right else "")
            # Rich leaves the style of a text that has no others to whoever draws it.
            style = console.get_style(column.style) + console.get_style(text.style)
            yield from Segment.apply_style(text.render(console), style)
            yield Segment(" " * after if right else space + " " * after)
        yield Segment.line()


def _block(cell: Text, column: Column, width: int, console: Console) -> list[Text]:
    """The lines of a cell, none wider than its column."""
    if _width(cell) <= width:
        return list(cell.split("\n")) if "\n" in cell.plain else [cell]
    if column.kind in ("id", "name"):
        return [Text(middle_cut(cell.plain, width), style=cell.style)]
    if column.kind in ("value", "words"):
        return list(cell.wrap(console, width, overflow="fold"))
    lines = list(cell.split("\n"))
    for text in lines:
        text.truncate(width, overflow="ellipsis")  # a number that lost its last digits would be another one
        if text.plain.endswith(" …"):  # half of a wide character leaves a blank
            text.right_crop(2)
            text.append("…")
    return lines


def _without_spare(whole: FittedTable, room: int) -> FittedTable:
    """The table with no more columns than there is room for."""
    shown = whole
    while _taken(_narrowest(shown), TIGHT_GAP) > room:
        spare = max((column.spare for column in shown.columns), default=0)
        if not spare:
            break
        shown = _reduced(shown, [column.spare != spare for column in shown.columns])
    return shown


def _reduced(whole: FittedTable, wanted: Sequence[bool]) -> FittedTable:
    """The table with only the columns that are wanted."""
    places = [at for at, is_wanted in enumerate(wanted) if is_wanted]
    return FittedTable(
        tuple(whole.columns[at] for at in places), tuple(tuple(row[at] for at in places) for row in whole.rows)
    )


def _natural(whole: FittedTable) -> list[int]:
    """How wide each column would like to be."""
    return [
        max([cell_len(column.title), *(_width(row[at]) for row in whole.rows)])
        for at, column in enumerate(whole.columns)
    ]


def _narrowest(whole: FittedTable) -> list[int]:
    return [
        min(natural, max(_fewest(whole, at, NARROWEST.get(column.kind, natural)), cell_len(column.title)))
        for at, (column, natural) in enumerate(zip(whole.columns, _natural(whole), strict=True))
    ]


def _fewest(whole: FittedTable, at: int, fewest: int) -> int:
    """How narrow a column may become: no more than leaves its identifiers different."""
    is_cut = whole.columns[at].kind in ("id", "name")
    return _distinct_width((row[at] for row in whole.rows), fewest) if is_cut else fewest


def _widths(shown: FittedTable, room: int) -> list[int]:
    """What each column gets: no less than its narrowest, and then what is left over, first the values."""
    natural, widths = _natural(shown), _narrowest(shown)
    for kind in WIDENED:
        for at, column in enumerate(shown.columns):
            if column.kind == kind:
                widths[at] = min(natural[at], widths[at] + max(0, room - sum(widths)))
    for kind, least in NARROWED:
        for at, column in enumerate(shown.columns):
            if column.kind == kind and sum(widths) > room:
                fewest = _fewest(shown, at, least)
                widths[at] = max(min(widths[at], fewest), widths[at] - (sum(widths) - room))
    while sum(widths) > max(room, len(widths)):  # a screen too narrow for any table: some of each column
        widths[widths.index(max(widths))] -= 1
    return widths


def _width(cell: Text) -> int:
    return max(map(cell_len, cell.plain.split("\n")))


def _taken(widths: Sequence[int], gap: int) -> int:
    """The width of a table: its columns, the gaps between them, and an edge on either side."""
    return sum(widths) + gap * (len(widths) - 1) + 2
