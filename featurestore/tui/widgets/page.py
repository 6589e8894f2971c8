"""A renderable of `render.text` in a frame that scrolls, with the same keys as a table."""

from __future__ import annotations

from typing import ClassVar

from rich.console import RenderableType
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static


class Page(VerticalScroll, can_focus=True):
    """One renderable. Showing another keeps the scroll unless it is of something else (``top``)."""

    DEFAULT_CSS = """
    Page { padding: 0 1; scrollbar-size-vertical: 1; height: 1fr; }
    Page > Static { width: 100%; height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "scroll_down", "Down", show=False),
        Binding("k,up", "scroll_up", "Up", show=False),
        Binding("g,home", "scroll_home", "To the top", show=False),
        Binding("G,end", "scroll_end", "To the end", show=False),
        Binding("ctrl+d,pagedown", "page_down", "Page down", show=False),
        Binding("ctrl+u,pageup", "page_up", "Page up", show=False),
    ]

    def __init__(self, id: str | None = None) -> None:  # noqa: A002  # Textual's name for it
        super().__init__(id=id)
        self._body = Static("", markup=False)

    def compose(self) -> ComposeResult:
        yield self._body

    @property
    def text(self) -> str:
        """What is shown, as plain text without the spaces at the ends of lines."""
        width, height = self._body.size
        lines = [self._body.render_line(y).text.rstrip() for y in range(height)] if width else []
        return "\n".join(lines).strip("\n")

    def show(self, renderable: RenderableType, *, top: bool = False) -> None:
        """Replaces what is shown."""
        self._body.update(renderable)
        if top:
            self.scroll_home(animate=False)
