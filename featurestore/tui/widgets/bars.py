"""The two lines at the top: the places, the state of what is shown, and the way to where one is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Static

from featurestore.tui.location import PlaceName
from featurestore.tui.texts import DIM, cell

Hint = tuple[str, str, str]
"""A key as Textual calls it, as people do, and what it does."""


class PlaceTab(Static):
    """A place's key and name; a click goes there."""

    class Clicked(Message):
        def __init__(self, name: PlaceName) -> None:
            super().__init__()
            self.name = name

    def __init__(self, number: int, name: PlaceName, title: str) -> None:
        super().__init__(Text.assemble((f"{number} ", DIM), title), markup=False)
        self._place = name

    def on_click(self) -> None:
        self.post_message(self.Clicked(self._place))


class TopBar(Horizontal):
    """The places on the left, the state on the right."""

    DEFAULT_CSS = """
    TopBar { height: 1; background: $panel; }
    TopBar > PlaceTab { width: auto; padding: 0 1; color: $text-muted; }
    TopBar > PlaceTab:hover { background: $boost; }
    TopBar > PlaceTab.-here { color: $text; text-style: bold; background: $background; }
    TopBar > #state { width: 1fr; text-align: right; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def __init__(self, places: Mapping[PlaceName, str]) -> None:
        super().__init__()
        self._tabs = {name: PlaceTab(at, name, title) for at, (name, title) in enumerate(places.items(), 1)}
        self._state = Static("", id="state", markup=False)

    def compose(self) -> ComposeResult:
        yield from self._tabs.values()
        yield self._state

    def mark(self, here: str) -> None:
        """Marks the place where one is."""
        for name, tab in self._tabs.items():
            tab.set_class(name == here, "-here")

    def show_state(self, text: Text) -> None:
        self._state.update(text)


class Crumbs(Static):
    """Where one is, outermost first, and at the right what is special about this session."""

    DEFAULT_CSS = """
    Crumbs { height: 1; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def __init__(self) -> None:
        super().__init__("", markup=False)

    def show(self, names: Sequence[str], note: str = "") -> None:
        text = Text()
        for at, name in enumerate(names):
            text.append(" › " if at else "", style=DIM)
            text.append_text(cell(name, "bold" if at == len(names) - 1 else DIM))
        if note:
            text.append(f"   {note}", style="yellow")
        self.update(text)


class KeyHint(Static):
    """A key with what it does; a click presses it."""

    def __init__(self, hint: Hint) -> None:
        key, shown, what = hint
        super().__init__(Text.assemble((shown, "bold blue"), " ", what), markup=False)
        self._key = key

    def on_click(self) -> None:
        self.app.simulate_key(self._key)


class KeyBar(Horizontal):
    """The five keys that matter where one is."""

    DEFAULT_CSS = """
    KeyBar { height: 1; background: $panel; }
    KeyBar > KeyHint { width: auto; padding: 0 2 0 1; color: $text-muted; }
    KeyBar > KeyHint:hover { background: $boost; }
    """

    def show(self, hints: Sequence[Hint]) -> None:
        with self.app.batch_update():
            self.remove_children()
            self.mount(*(KeyHint(hint) for hint in hints))
