"""The command line that gives what is shown, to copy."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from featurestore.tui.dialogs.dialog import Dialog
from featurestore.tui.texts import cell


class CommandDialog(Dialog[None]):
    heading = "The same from the command line"
    footing = "y copies · escape closes"

    DEFAULT_CSS = "CommandDialog > #frame > Static { padding: 1 0; }"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("y,enter,o", "copy", "Copy", show=False)]

    def __init__(self, line: str) -> None:
        super().__init__()
        self.line = line

    def parts(self) -> ComposeResult:
        line = cell(f"$ {self.line}", "bold")
        line.no_wrap = False
        yield Static(line, markup=False)

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(self.line)
        self.notify("copied the command line", timeout=3)
        self.leave(None)
