"""Two texts of code side by side or one above the other, with what changed within a line marked."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from itertools import zip_longest

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from featurestore.frozen import frozen
from featurestore.render.text.style import line
from featurestore.render.unified import CONTEXT

SIDE_BY_SIDE_WIDTH, NUMBER_WIDTH = 116, 4
REMOVED, ADDED, REMOVED_WORD, ADDED_WORD = "red", "green", "reverse red", "reverse green"

Row = tuple[int | None, Text, int | None, Text]


@frozen
class CodeComparison:
    """The sections that differ: side by side from 116 columns on, one above the other where there are fewer.

    A terminal of 120 leaves the interface 117.
    """

    old: Mapping[str, str]
    new: Mapping[str, str]
    labels: tuple[str, str]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        names = dict.fromkeys([*self.old, *self.new])
        sections = [(name, self.old.get(name, "").splitlines(), self.new.get(name, "").splitlines()) for name in names]
        for at, (name, before, after) in enumerate(item for item in sections if item[1] != item[2]):
            yield line(("\n" if at else "") + name, "bold")
            if options.max_width >= SIDE_BY_SIDE_WIDTH:
                yield _side_by_side(before, after, self.labels, options.max_width)
            else:
                yield from _stacked(before, after)


def _side_by_side(old: list[str], new: list[str], labels: tuple[str, str], width: int) -> RenderableType:
    groups = list(_groups(old, new))
    longest = max(cell_len(text.plain) for group in groups for row in group for text in (row[1], row[3]))
    grid = Table(
        box=None, pad_edge=False, padding=(0, 1), header_style="dim", width=min(width, 2 * (longest + NUMBER_WIDTH + 4))
    )
    for label in labels:
        grid.add_column("", justify="right", style="dim", width=NUMBER_WIDTH, no_wrap=True)
        grid.add_column(line(label), ratio=1, overflow="fold")
    for group in groups:
        for at, (old_number, old_text, new_number, new_text) in enumerate(group):
            if at == 0 and grid.row_count:
                grid.add_row("", Text("⋯", style="dim"), "", Text("⋯", style="dim"))
            grid.add_row(_number(old_number), old_text, _number(new_number), new_text)
    return grid


def _stacked(old: list[str], new: list[str]) -> Iterator[Text]:
    for at, group in enumerate(_groups(old, new)):
        if at:
            yield Text("")
        removed: list[Text] = []
        added: list[Text] = []
        for old_number, old_text, new_number, new_text in group:
            if old_number is not None and new_number is not None and not old_text.style:
                yield from (*removed, *added)
                removed, added = [], []
                yield Text("  ") + old_text
            else:
                removed += [] if old_number is None else [Text("- ", style=REMOVED) + old_text]
                added += [] if new_number is None else [Text("+ ", style=ADDED) + new_text]
        yield from (*removed, *added)


def _groups(old: list[str], new: list[str]) -> Iterator[list[Row]]:
    """Each change with its context, as rows of (old line number, old, new line number, new)."""
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for group in matcher.get_grouped_opcodes(CONTEXT):
        rows: list[Row] = []
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                rows += [
                    (i + 1, Text(old[i]), j + 1, Text(new[j]))
                    for i, j in zip(range(i1, i2), range(j1, j2), strict=True)
                ]
            else:
                rows += [_changed(i, j, old, new) for i, j in zip_longest(range(i1, i2), range(j1, j2))]
        yield rows


def _changed(i: int | None, j: int | None, old: list[str], new: list[str]) -> Row:
    if i is None or j is None:
        before = Text("") if i is None else Text(old[i], style=REMOVED)
        after = Text("") if j is None else Text(new[j], style=ADDED)
    else:
        before, after = _words(old[i], new[j])
    return (None if i is None else i + 1, before, None if j is None else j + 1, after)


def _words(old: str, new: str) -> tuple[Text, Text]:
    """Two versions of one line with the words that differ marked; two lines with little in common have no marks."""
    before, after = Text(old, style=REMOVED), Text(new, style=ADDED)
    one, other = _split(old), _split(new)
    matcher = difflib.SequenceMatcher(None, one, other, autojunk=False)
    if matcher.ratio() < 0.5:
        return before, after
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        if tag != "equal":
            before.stylize(REMOVED_WORD, len("".join(one[:i1])), len("".join(one[:i2])))
            after.stylize(ADDED_WORD, len("".join(other[:j1])), len("".join(other[:j2])))
    return before, after


def _split(text: str) -> list[str]:
    """Words, numbers with their decimals, and every other character by itself."""
    return re.findall(r"\d+(?:\.\d+)?|\w+|\s+|.", text)


def _number(line_number: int | None) -> str:
    return "" if line_number is None else str(line_number)
