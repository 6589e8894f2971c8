"""The line under a list: what is shown of how many, and the field that narrows it down."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Static


class FilterInput(Input):
    """The field of a filter: enter and down go to the list, escape empties it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,down", "leave", "To the list", show=True, key_display="enter"),
        Binding("escape", "clear", "Clear the filter", show=True),
    ]

    class Left(Message):
        """The list is wanted now."""

    def action_leave(self) -> None:
        self.post_message(self.Left())

    def action_clear(self) -> None:
        self.value = ""
        self.post_message(self.Left())


class FilterBar(Horizontal):
    """A filter with its count. Its input sends `Input.Changed` at each letter."""

    DEFAULT_CSS = """
    FilterBar { height: 1; background: $panel; padding: 0 1; }
    FilterBar > #slash { width: 2; color: $primary; text-style: bold; display: none; }
    FilterBar > FilterInput {
        width: 1fr; height: 1; border: none; padding: 0; background: $panel; display: none;
        &:focus { border: none; background-tint: $foreground 0%; }
    }
    FilterBar.-open > #slash, FilterBar.-open > FilterInput { display: block; }
    FilterBar > #count { width: 1fr; color: $text-muted; text-wrap: nowrap; text-overflow: ellipsis; }
    FilterBar.-open > #count { width: auto; padding-left: 2; }
    """

    def __init__(self, placeholder: str) -> None:
        super().__init__()
        self.input = FilterInput(placeholder=placeholder)
        self._count = Static("", id="count", markup=False)

    def compose(self) -> ComposeResult:
        yield Static("/ ", id="slash", markup=False)
        yield self.input
        yield self._count

    def open(self) -> None:
        """Shows the field and goes to it."""
        self.add_class("-open")
        self.input.focus()

    def close_if_empty(self) -> None:
        self.set_class(bool(self.input.value), "-open")

    def show(self, text: Text) -> None:
        """What the list has, in words."""
        self._count.update(text)
