"""An action: it asks first and names the command, then shows what the command says, and how it ended."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Button, Static

from featurestore.tui.actions import OUTCOMES, Action, Running
from featurestore.tui.dialogs.dialog import Dialog
from featurestore.tui.texts import BAD, DIM, GOOD, WARN, block, cell

MOST_LINES = 500


class ActionDialog(Dialog[bool]):
    """Gives whether the command was run."""

    footing = "enter runs it · escape does not"

    DEFAULT_CSS = """
    ActionDialog > #frame > #said { height: auto; max-height: 60vh; padding: 0; scrollbar-size-vertical: 1; }
    ActionDialog > #frame > #said > Static { height: auto; }
    ActionDialog > #frame > #line { padding: 1 0; height: auto; }
    ActionDialog > #frame > #end { height: auto; display: none; }
    ActionDialog > #frame > Horizontal { height: 2; align-horizontal: right; padding-top: 1; }
    ActionDialog > #frame > Horizontal > Button {
        margin-left: 2; height: 1; min-width: 10; border: none; text-style: bold;
        &:focus { text-style: bold; background: $primary; color: $background; }
        &:ansi:focus { text-style: reverse; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,enter", "run", "Run it", show=False),
        Binding("n,escape,q", "close", "Don't, cancel, or close", show=False),
        Binding("j,down", "scroll(1)", "Down", show=False),
        Binding("k,up", "scroll(-1)", "Up", show=False),
    ]

    def __init__(self, action: Action, root: Path, line: str) -> None:
        super().__init__()
        self.heading = cell(action.title).plain
        self._action, self._root, self._line = action, root, line
        self._command: Running | None = None
        self._lines: list[Text] = []
        self.code: int | None = None
        self._cancelled = False

    def parts(self) -> ComposeResult:
        what = Text.assemble(f"This will {self._action.what}:\n\n", (f"$ {cell(self._line).plain}", "bold"))
        yield Static(what, id="line", markup=False)
        with VerticalScroll(id="said", can_focus=False):
            yield Static("", markup=False)
        yield Static("", id="end", markup=False)
        with Horizontal():
            yield Button("Run", id="run")
            yield Button("Don't", id="close")

    def on_mount(self) -> None:
        self.query_one("#run").focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "run":
            self.action_run()
        else:
            self.action_close()

    @property
    def at_work(self) -> bool:
        return self._command is not None and self.code is None

    def action_run(self) -> None:
        if self._command is None and self.code is None:
            self.run_worker(self._run(), exclusive=True)
        elif self.code is not None:
            self.leave(True)

    def action_close(self) -> None:
        if self.at_work:
            assert self._command is not None
            self._command.cancel()
            self._cancelled = True
            self._end("cancelling …", WARN)
        elif self._command is None and self.code is None:
            self.leave(False)
        else:
            self.leave(True)

    def action_scroll(self, by: int) -> None:
        self.query_one("#said", VerticalScroll).scroll_relative(y=by, animate=False)

    async def on_unmount(self) -> None:
        """Left while it runs: the command is cancelled, not orphaned."""
        if self.at_work:
            assert self._command is not None
            self._command.cancel()

    async def _run(self) -> None:
        self.query_one("#run").display = False
        close = self.query_one("#close", Button)
        close.label = "Cancel"
        close.focus()
        self._foot("escape cancels")
        self._end("starting …", DIM)
        width = max(40, self.query_one("#said").size.width - 1)
        try:
            self._command = await Running.start(self._action.words, self._root, width)
        except OSError as exc:
            self.code = 70
            self._end(f"the command can't be started: {exc}", BAD)
            return
        try:
            self.code = await self._command.finish(self._take)
        except asyncio.CancelledError:
            self._command.cancel()
            raise
        style = GOOD if self.code == 0 else WARN if self.code in (1, 3, 130) else BAD
        self._end(f"{OUTCOMES.get(self.code, 'ended')} (exit code {self.code})", style)
        close.label = "Close"
        self._foot("escape closes")

    def _take(self, line: str, is_result: bool) -> None:
        if not is_result and line.lstrip().partition(" ")[0].replace(".", "").isdigit():
            self._end(line.strip(), DIM)  # a step, with its seconds
            return
        style = BAD if line.startswith("error:") else WARN if line.startswith("warning:") else "" if is_result else DIM
        self._lines = [*self._lines[-MOST_LINES:], block(line, style)]
        said = self.query_one("#said", VerticalScroll)
        said.query_one(Static).update(Text("\n").join(self._lines))
        said.scroll_end(animate=False)

    def _end(self, text: str, style: str) -> None:
        end = self.query_one("#end", Static)
        end.display = True
        end.update(cell(text, style))

    def _foot(self, text: str) -> None:
        self.query_one("#frame").border_subtitle = text
