"""A dialog in the middle of the screen; escape closes it."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

Result = TypeVar("Result")


class Dialog(ModalScreen[Result]):
    """``heading`` stands in the border; `parts` composes what is inside."""

    DEFAULT_CSS = """
    Dialog { align: center middle; background: $background 60%; }
    Dialog > #frame {
        width: 90%; max-width: 100; height: auto; max-height: 90%;
        border: round $primary; border-title-color: $primary; border-title-style: bold;
        border-subtitle-color: $text-muted;
        background: $surface; padding: 0 1;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "close", "Close", show=False)]

    heading = ""
    footing = "escape closes"

    def parts(self) -> ComposeResult:
        yield from ()

    def compose(self) -> ComposeResult:
        with Vertical(id="frame") as frame:
            yield from self.parts()
        frame.border_title = self.heading
        frame.border_subtitle = self.footing

    def action_close(self) -> None:
        self.leave(self.closed_with)

    def leave(self, result: Result | None) -> None:
        """Closes the dialog, unless a key that was pressed just before has closed it already."""
        if self.is_active:
            self.dismiss(result)

    @property
    def closed_with(self) -> Any:
        """What the dialog gives to whoever opened it, when it is closed."""
        return None
