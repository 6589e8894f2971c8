"""A table with its filter below it, and between them how many of the items are shown."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Generic, TypeVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Input

from featurestore.errors import plural
from featurestore.tui.filter import Searched, Term, narrowed, parse
from featurestore.tui.widgets.columns import Measured
from featurestore.tui.widgets.filterbar import FilterBar, FilterInput
from featurestore.tui.widgets.table import Table

Item = TypeVar("Item", bound=Searched)


class FilteredTable(Vertical, Generic[Item]):
    """The words of the line below are the count, what ``remarks`` says of the items in sight, and the order."""

    def __init__(
        self,
        table: Table[Item],
        fields: Collection[str],
        placeholder: str,
        remarks: Callable[[Sequence[Item]], Text],
        nothing_yet: Callable[[], str],
    ) -> None:
        super().__init__()
        self.table = table
        self.terms: tuple[Term, ...] = ()
        self.instead: str | None = None
        """What stands in the place of the count, until all items are there."""
        self._fields, self._remarks, self._nothing_yet = fields, remarks, nothing_yet
        self._bar = FilterBar(placeholder)
        self._counted = Text()

    def compose(self) -> ComposeResult:
        yield self.table
        yield self._bar

    def open_filter(self) -> None:
        self._bar.open()

    def set_items(self, items: Measured[Item]) -> None:
        self.table.set_items(items)
        self._count()

    @on(Input.Changed)
    def _narrow(self, event: Input.Changed) -> None:
        event.stop()
        self.terms = parse(event.value, self._fields)
        self.table.set_filter(partial(narrowed, terms=self.terms) if self.terms else None)
        self._count()

    @on(FilterInput.Left)
    def _to_the_list(self) -> None:
        self._bar.close_if_empty()
        self.table.focus()

    @on(Table.Sorted)
    def _say(self) -> None:
        order = f" · {self.table.sorting}" if self.table.sorting else ""
        self._bar.show(Text.assemble(self._counted, order))

    def _count(self) -> None:
        """Says how many there are; an order changes nothing about that, and need not count again."""
        shown, all_, noun = len(self.table.view), len(self.table.items), self.table.noun
        count = plural(all_, noun) if shown == all_ else f"{shown:,} of {plural(all_, noun)}"
        self._counted = Text.assemble(count if self.instead is None else self.instead, self._remarks(self.table.view))
        if self.terms and all_:
            empty = f"No {noun} matches.\n\nEscape in the filter shows them all again."
        else:
            empty = self._nothing_yet()
        self.table.set_empty(Text(empty))
        self._say()
