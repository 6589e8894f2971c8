"""A table that draws only the rows in sight, so that 100,000 cost no more than 20.

It shows items, whatever they are, through columns; it sorts and filters them, and keeps the cursor on an item, not on a
line, when the items are replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, ClassVar, Generic, TypeVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from featurestore.render.text.table import middle_cut
from featurestore.tui.widgets.columns import GAP, Column, Fitted, Measured, fit, natural_widths

Item = TypeVar("Item")
HEAD = 1
UP, DOWN = "▲", "▼"


def sorted_by(sort: Callable[[Item], Any], items: Sequence[Item], *, reverse: bool = False) -> list[Item]:
    """Sorted, and last what has no value (None), whichever way the others go."""
    values = [sort(item) for item in items]
    valued = [(value, item) for value, item in zip(values, items, strict=True) if value is not None]
    valued.sort(key=itemgetter(0), reverse=reverse)
    return [item for _, item in valued] + [item for value, item in zip(values, items, strict=True) if value is None]


class Table(ScrollView, Generic[Item], can_focus=True):
    """Items in rows. ``key`` names an item across replacements; ``noun`` what an item is called, for messages."""

    DEFAULT_CSS = """
    Table {
        height: 1fr;
        overflow-x: hidden;
        scrollbar-size-vertical: 1;
        & > .table--head { color: $text-muted; text-style: bold; }
        & > .table--column { color: $primary; text-style: bold underline; }
        & > .table--cursor { background: $block-cursor-blurred-background; }
        & > .table--empty { color: $text-muted; }
        &:focus > .table--cursor { background: $block-cursor-background; color: $block-cursor-foreground; }
        &:ansi:focus > .table--cursor { background: ansi_default; color: ansi_default; text-style: reverse; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"table--head", "table--column", "table--cursor", "table--empty"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "step(1)", "Down", show=False),
        Binding("k,up", "step(-1)", "Up", show=False),
        Binding("g,home", "first", "First row", show=False),
        Binding("G,end", "last", "Last row", show=False),
        Binding("ctrl+d,pagedown", "page(1)", "Page down", show=False),
        Binding("ctrl+u,pageup", "page(-1)", "Page up", show=False),
        Binding("h,left", "column(-1)", "Column to the left", show=False),
        Binding("l,right", "column(1)", "Column to the right", show=False),
        Binding("s", "sort", "Sort by the column; again: the other way", show=False),
        Binding("enter", "choose", "Open", show=False),
    ]

    class Moved(Message):
        """The cursor is on another item, or on none."""

        def __init__(self, table: Table[Any]) -> None:
            super().__init__()
            self.table = table

        @property
        def control(self) -> Table[Any]:
            return self.table

    class Chosen(Message):
        """An item was opened: with enter, or a click where the cursor was."""

        def __init__(self, table: Table[Any], item: Any) -> None:
            super().__init__()
            self.table, self.item = table, item

        @property
        def control(self) -> Table[Any]:
            return self.table

    class Sorted(Message):
        """The order is another one."""

        def __init__(self, table: Table[Any]) -> None:
            super().__init__()
            self.table = table

        @property
        def control(self) -> Table[Any]:
            return self.table

    def __init__(
        self,
        columns: Sequence[Column[Item]],
        key: Callable[[Item], str],
        *,
        noun: str = "row",
        id: str | None = None,  # noqa: A002  # Textual's name for it
    ) -> None:
        super().__init__(id=id)
        self.noun = noun
        self._columns, self._key = tuple(columns), key
        self._items: Sequence[Item] = ()
        self._view: Sequence[Item] = ()
        self._ordered: Sequence[Item] = ()
        self._narrow: Callable[[Sequence[Item]], Sequence[Item]] | None = None
        self._natural: list[int] = natural_widths(self._columns, ())
        self._fitted: Fitted[Item] | None = None
        self._strips: dict[tuple[int, bool, bool], Strip] = {}
        self._empty = Text("")
        self._cursor = 0
        self._column = 0
        self._sort: int | None = None
        self._reverse = False

    # What it shows

    @property
    def items(self) -> Sequence[Item]:
        """All items, in the order in which they were given."""
        return self._items

    @property
    def view(self) -> Sequence[Item]:
        """The items in sight or a scroll away: filtered and sorted."""
        return self._view

    @property
    def current(self) -> Item | None:
        """The item under the cursor."""
        return self._view[self._cursor] if self._cursor < len(self._view) else None

    @property
    def current_cell(self) -> str:
        """The text of the cell under the cursor, whole."""
        item = self.current
        return "" if item is None else self._columns[self._column].show(item).plain

    @property
    def cursor(self) -> int:
        return self._cursor

    @property
    def sorting(self) -> str:
        """``sorted by score, falling``; nothing in the order of the items themselves."""
        if self._sort is None:
            return ""
        return f"sorted by {self._columns[self._sort].title}{', falling' if self._reverse else ''}"

    def measured(self, items: Sequence[Item]) -> Measured[Item]:
        """Items with the widths that their columns would like, which a thread may work out: of many it takes long."""
        return Measured(items, natural_widths(self._columns, items))

    def set_items(self, items: Sequence[Item] | Measured[Item]) -> None:
        """Replaces the items. The cursor stays on its item, and the item on its line."""
        found = items if isinstance(items, Measured) else self.measured(items)
        self._items, self._natural = found.items, found.natural
        self._order()

    def set_filter(self, narrow: Callable[[Sequence[Item]], Sequence[Item]] | None) -> None:
        """Shows only those of the items that ``narrow`` leaves, in their order; all of them with None."""
        self._narrow = narrow
        self._rearrange()

    def set_empty(self, text: Text) -> None:
        """What to say where there is no row."""
        self._empty = text
        self.redraw()

    def sort_by(self, title: str, *, reverse: bool = False) -> None:
        self._sort = next(at for at, column in enumerate(self._columns) if column.title == title)
        self._column = self._sort
        self._reverse = reverse
        self._order()

    def select(self, key: str) -> bool:
        """Puts the cursor on the item of that key; False where it is not in the view."""
        at = next((at for at, item in enumerate(self._view) if self._key(item) == key), None)
        if at is not None:
            self._move(at)
        return at is not None

    # Keys

    def action_step(self, by: int) -> None:
        self._move(self._cursor + by)

    def action_first(self) -> None:
        self._move(0)

    def action_last(self) -> None:
        self._move(len(self._view) - 1)

    def action_page(self, by: int) -> None:
        self._move(self._cursor + by * max(1, self._rows_in_sight - 1))

    def action_column(self, by: int) -> None:
        shown = self._layout().at
        place = shown.index(self._column) if self._column in shown else 0
        self._column = shown[(place + by) % len(shown)]
        self.redraw()

    def action_sort(self) -> None:
        if self._columns[self._column].sort is None:
            self.app.notify(f"{self._columns[self._column].title}: nothing to sort by", severity="warning")
            return
        self._reverse = self._sort == self._column and not self._reverse
        self._sort = self._column
        self._order()
        self.post_message(self.Sorted(self))

    def action_choose(self) -> None:
        item = self.current
        if item is None:
            self.app.notify(f"there is no {self.noun} here to open", severity="warning")
        else:
            self.post_message(self.Chosen(self, item))

    # Mouse

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None:
            return
        if offset.y < HEAD:
            self._sort_at(offset.x)
            return
        at = int(self.scroll_offset.y) + offset.y - HEAD
        if at >= len(self._view):
            return
        same = at == self._cursor and self.has_focus
        self._move(at)
        if same or event.chain > 1:
            self.action_choose()

    def _sort_at(self, x: int) -> None:
        fitted, left = self._layout(), 1
        for at, width in zip(fitted.at, fitted.widths, strict=True):
            if left <= x < left + width:
                self._column = at
                self.action_sort()
                return
            left += width + GAP

    # Drawing

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        base = self.rich_style
        if y < HEAD:
            return self._head(width)
        if not self._view:
            return self._empty_line(y - HEAD, width)
        at = int(self.scroll_offset.y) + y - HEAD
        if at >= len(self._view):
            return Strip.blank(width, base)
        key = (at, at == self._cursor, self.has_focus)
        strip = self._strips.get(key)
        if strip is None:
            strip = self._strips[key] = self._row(self._view[at], width, is_cursor=at == self._cursor)
        return strip

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._strips.clear()

    def on_resize(self) -> None:
        self._fitted = None
        self._strips.clear()
        self._keep_in_sight()

    def on_focus(self) -> None:
        self.redraw()

    def on_blur(self) -> None:
        self.redraw()

    @property
    def _rows_in_sight(self) -> int:
        return max(1, self.scrollable_content_region.height - HEAD)

    def _layout(self) -> Fitted[Item]:
        if self._fitted is None:
            self._fitted = fit(self._columns, self._natural, max(1, self.scrollable_content_region.width - 2))
        return self._fitted

    def _head(self, width: int) -> Strip:
        fitted = self._layout()
        plain = self.get_component_rich_style("table--head")
        chosen = self.get_component_rich_style("table--column")
        segments = [Segment(" ", plain)]
        for column, size, at in zip(fitted.columns, fitted.widths, fitted.at, strict=True):
            arrow = "" if at != self._sort else DOWN if self._reverse else UP
            title = set_cell_size(column.title, min(size, cell_len(column.title)))
            style = chosen if at == self._column and self.has_focus else plain
            pad = " " * (size - cell_len(title))
            # The arrow stands in the gap, so that no column gets wider by being sorted.
            after = arrow + ("" if column.right else pad) + " " * (GAP - len(arrow))
            segments += [Segment(pad, plain)] if column.right else []
            segments += [Segment(title, style), Segment(after, plain)]
        return Strip(segments).adjust_cell_length(width, plain)

    def _row(self, item: Item, width: int, *, is_cursor: bool) -> Strip:
        base = self.get_component_rich_style("table--cursor") if is_cursor else self.rich_style
        fitted = self._layout()
        segments = [Segment(" ", base)]
        for column, size in zip(fitted.columns, fitted.widths, strict=True):
            segments += self._cell(column, column.show(item), size, base)
            segments.append(Segment(" " * GAP, base))
        return Strip(segments).adjust_cell_length(width, base)

    def _cell(self, column: Column[Item], text: Text, size: int, base: Style) -> list[Segment]:
        if text.cell_len > size:
            text = text.copy()
            if column.cut_middle:
                text = Text(middle_cut(text.plain, size), style=text.style)
            else:
                text.truncate(size, overflow="ellipsis")
        drawn = self._drawn(text, base)
        pad = Segment(" " * max(0, size - text.cell_len), base)
        return [pad, *drawn] if column.right else [*drawn, pad]

    def _drawn(self, text: Text, base: Style) -> list[Segment]:
        """A text as segments. Most cells have one style, which need not go through Rich's rendering of spans."""
        if base.reverse:  # in a terminal's own colours, where those of a cell would be patches on the line
            return [Segment(text.plain, base)]
        get_style = self.app.console.get_style
        # Rich gives the parts of a text their styles, and leaves that of the whole to whoever draws it.
        whole = base + get_style(text.style, default=Style.null()) if text.style else base
        spans = text.spans
        if not spans:
            return [Segment(text.plain, whole)]
        if len(spans) == 1 and spans[0].start == 0 and spans[0].end >= len(text.plain):
            return [Segment(text.plain, whole + get_style(spans[0].style, default=Style.null()))]
        return list(Segment.apply_style(text.render(self.app.console), whole))

    def _empty_line(self, y: int, width: int) -> Strip:
        style = self.get_component_rich_style("table--empty")
        lines = list(self._empty.wrap(self.app.console, max(10, width - 4)))
        at = y - max(1, (self._rows_in_sight - len(lines)) // 3)
        if not 0 <= at < len(lines):
            return Strip.blank(width, self.rich_style)
        segments = [Segment("  ", style), *Segment.apply_style(lines[at].render(self.app.console), style)]
        return Strip([item for item in segments if item.text != "\n"]).adjust_cell_length(width, style)

    # Keeping its place

    def _order(self) -> None:
        """Sorts the items. A filter keeps their order, so that no letter of it sorts them again."""
        sort = None if self._sort is None else self._columns[self._sort].sort
        self._ordered = self._items if sort is None else sorted_by(sort, self._items, reverse=self._reverse)
        self._rearrange()

    def _rearrange(self) -> None:
        """Works out the view again, with the cursor on the item that it is on now."""
        before, line = self.current, self._cursor - int(self.scroll_offset.y)
        view = self._ordered if self._narrow is None else self._narrow(self._ordered)
        self._view = view
        self._fitted = None
        if before is not None:
            found = self._place_of(before, view)
            self._cursor = min(self._cursor, max(0, len(view) - 1)) if found is None else found
        else:
            self._cursor = 0
        self.virtual_size = Size(self.scrollable_content_region.width, len(view) + HEAD)
        if before is not None and line >= 0:
            self.scroll_to(y=max(0, self._cursor - line), animate=False, immediate=True)
        self._keep_in_sight()
        self.redraw()
        self.post_message(self.Moved(self))

    def _place_of(self, item: Item, view: Sequence[Item]) -> int | None:
        """Where an item is, or the one that has taken its place."""
        at = next((at for at, other in enumerate(view) if other is item), None)
        if at is None:
            key = self._key(item)
            at = next((at for at, other in enumerate(view) if self._key(other) == key), None)
        return at

    def _move(self, at: int) -> None:
        at = max(0, min(at, len(self._view) - 1))
        moved = at != self._cursor
        before, self._cursor = self._cursor, at
        self._keep_in_sight()
        if moved:
            self._refresh_row(before)
            self._refresh_row(at)
            self.post_message(self.Moved(self))

    def _refresh_row(self, at: int) -> None:
        y = at - int(self.scroll_offset.y) + HEAD
        self.refresh(Region(0, y, self.scrollable_content_region.width, 1))

    def _keep_in_sight(self) -> None:
        top, rows = int(self.scroll_offset.y), self._rows_in_sight
        if self._cursor < top:
            self.scroll_to(y=self._cursor, animate=False, immediate=True)
        elif self._cursor >= top + rows:
            self.scroll_to(y=self._cursor - rows + 1, animate=False, immediate=True)

    def redraw(self) -> None:
        """Draws the rows again: what they show may depend on the time."""
        self._strips.clear()
        self.refresh()
