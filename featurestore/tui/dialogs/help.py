"""The keys that work now: those of the focused widget first, then those of its place, then those of everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rich.table import Table as Grid
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.dom import DOMNode
from textual.screen import Screen

from featurestore.tui.dialogs.dialog import Dialog
from featurestore.tui.location import PLACES
from featurestore.tui.texts import DIM
from featurestore.tui.widgets.page import Page

SPOKEN = {"question_mark": "?", "slash": "/", "left_square_bracket": "[", "right_square_bracket": "]"}
OTHERS = ("scroll_left", "scroll_right", "page_left", "page_right")  # Textual's, for what never is too wide here
KINDS = {"Table": "this list", "Page": "this page", "FilterInput": "this filter", "Input": "this field"}


class HelpDialog(Dialog[None]):
    heading = "Keys"

    DEFAULT_CSS = "HelpDialog > #frame > Page { height: auto; max-height: 100%; }"

    def __init__(self, below: Screen[object]) -> None:
        super().__init__()
        self._sections = list(_sections(below))

    def parts(self) -> ComposeResult:
        page = Page()
        yield page
        self.call_after_refresh(lambda: page.show(self.grid()))

    def on_mount(self) -> None:
        self.query_one(Page).focus()

    def grid(self) -> Grid:
        """Sections of keys with what they do."""
        grid = Grid(box=None, show_header=False, pad_edge=False, padding=(0, 3, 0, 0))
        grid.add_column(no_wrap=True, style="bold")
        grid.add_column()
        for at, (title, keys) in enumerate(self._sections):
            if at:
                grid.add_row("", "")
            grid.add_row(Text(title, style=DIM), "")
            for key, what in keys:
                grid.add_row(Text(f"  {key}"), Text(what))
        return grid


def use_of(key: str, nodes: Mapping[str, DOMNode]) -> str | None:
    """Which of these have a use for a key, and what it is: ``x (Swap) works in Diff (3)``."""
    found = {where: node._bindings.key_to_bindings.get(key) for where, node in nodes.items()}  # noqa: SLF001
    known = {where: bindings[0].description for where, bindings in found.items() if bindings}
    if not known:
        return None
    return f"{SPOKEN.get(key, key)} ({next(iter(known.values()))}) works in {' and in '.join(known)}"


def _sections(below: Screen[object]) -> Iterable[tuple[str, list[tuple[str, str]]]]:
    seen: set[str] = set()
    focused = below.focused
    widgets = [] if focused is None else [focused, *(item for item in focused.ancestors if item is not below)]
    for node in [*widgets, below.app]:
        keys = _keys(node._bindings.key_to_bindings.items(), seen)  # noqa: SLF001  # it has no public form
        if keys:
            yield _title(type(node).__name__, node.id), keys


def _title(kind: str, id_: str | None) -> str:
    if kind in KINDS:
        return KINDS[kind]
    return next((title for name, title in PLACES.items() if name == id_), "everywhere")


def _keys(bindings: Iterable[tuple[str, list[Binding]]], seen: set[str]) -> list[tuple[str, str]]:
    """Each description with its keys; a key that is bound nearer is not listed again."""
    by_what: dict[str, list[str]] = {}
    for key, items in bindings:
        for item in items:
            if key not in seen and item.description and not item.system and item.action not in OTHERS:
                by_what.setdefault(item.description, []).append(SPOKEN.get(key, key))
        seen.add(key)
    return [("  ".join(sorted(keys, key=len)), what) for what, keys in by_what.items()]
