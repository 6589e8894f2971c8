"""One of a few, from a list."""

from __future__ import annotations

from collections.abc import Sequence

from textual import on
from textual.app import ComposeResult

from featurestore.tui.dialogs.dialog import Dialog
from featurestore.tui.texts import DIM, cell
from featurestore.tui.widgets.columns import Column
from featurestore.tui.widgets.table import Table

Choice = tuple[str, str]


class ChoiceDialog(Dialog[str]):
    """Gives the first text of the chosen pair; the second says what it is."""

    footing = "enter chooses · escape closes"

    DEFAULT_CSS = "ChoiceDialog > #frame > Table { height: auto; max-height: 20; min-height: 3; }"

    def __init__(self, heading: str, choices: Sequence[Choice], chosen: str | None = None) -> None:
        super().__init__()
        self.heading = heading
        self._choices, self._chosen = choices, chosen
        columns = [
            Column[Choice]("version", lambda item: cell(item[0], "bold"), lambda item: item[0]),
            Column[Choice]("", lambda item: cell(item[1], DIM), grow=True, least=4),
        ]
        self._table: Table[Choice] = Table(columns, lambda item: item[0], noun="version")

    def parts(self) -> ComposeResult:
        yield self._table

    def on_mount(self) -> None:
        self._table.styles.height = min(20, len(self._choices) + 1)
        self._table.set_items(self._choices)
        if self._chosen is not None:
            self._table.select(self._chosen)
        self._table.focus()

    @on(Table.Chosen)
    def _take(self, message: Table.Chosen) -> None:
        self.leave(message.item[0])
