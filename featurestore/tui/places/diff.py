"""Two versions of a feature, or one and the working tree: their code, what moved, and which entities moved most."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from rich.console import Group, RenderableType
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from featurestore.errors import FeatureStoreError
from featurestore.render.text.diff import diff_page
from featurestore.tui.data import FeatureList
from featurestore.tui.dialogs.choice import Choice, ChoiceDialog
from featurestore.tui.location import Location
from featurestore.tui.places.place import Place, Taking
from featurestore.tui.texts import BAD, DIM, block, hint
from featurestore.tui.widgets.page import Page
from featurestore.workflows.diff import CodeDiff, Difference, Side


class DiffPlace(Place):
    name_ = "diff"
    hints = (
        ("left_square_bracket", "[", "Old version"), ("right_square_bracket", "]", "New version"), ("x", "x", "Swap"),
        ("o", "o", "Command"), ("question_mark", "?", "Keys"),
    )  # fmt: skip
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left_square_bracket", "choose('old')", "Old version", show=False),
        Binding("right_square_bracket", "choose('new')", "New version", show=False),
        Binding("x", "swap", "Swap", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.page = Page("difference")
        self._code: CodeDiff | None = None

    def compose(self) -> ComposeResult:
        yield self.page

    def visit(self, location: Location) -> None:
        if location.feature is None:
            listed = self.tui.listed
            known = self.location.feature or (listed.rows[0].name if listed and listed.rows else None)
            if known is None:
                self.page.show(hint("Nothing to compare.\n\n1 lists the features; d on one compares its versions."))
                self.page.focus()
                return
            self.tui.replace_here(Location("diff", known))
            location = self.tui.here
        another = location != self.location or self._code is None
        super().visit(location)
        self.page.focus()
        if another:
            self.page.show(hint(f"Comparing the versions of {location.feature} …"), top=True)
            self._code = None
            self.reload()

    def prepare(self, listed: FeatureList) -> Taking:
        def take() -> None:
            if self.location.feature is None and self.tui.place is self and listed.rows:
                self.visit(self.tui.here)

        return take

    def reload(self) -> None:
        name, old, new = self.location.feature, self.location.old, self.location.new
        if name is None:
            return

        def show_code(code: CodeDiff) -> None:
            self._code = code
            if self.tui.place is self:
                self.location = Location("diff", name, old=_reference(code.old), new=_reference(code.new))
                self.tui.replace_here(self.location)
            self._show(Difference(code), hint("\nComparing their values …"))
            self.load("values", lambda: self.tui.data.value_difference(code), lambda found: self._show(found, None))

        self.load("code", lambda: self.tui.data.code_difference(name, old, new), show_code)

    def _show(self, found: Difference, below: RenderableType | None) -> None:
        page = diff_page(found.code, found.values, found.entity_type)
        self.page.show(page if below is None else Group(page, below))

    def failed(self, what: str, error: Exception) -> None:
        if self._code is not None or not isinstance(error, FeatureStoreError):
            super().failed(what, error)
            return
        text = block(str(error), BAD if error.exit_code != 2 else "")
        text.append_text(block(f"\n\n{error.hint or 'escape goes back'}", DIM))
        self.page.show(text)

    def action_swap(self) -> None:
        if self._code is None:
            self.notify("there are no two versions here to swap", severity="warning")
            return
        old, new = self.location.old, self.location.new
        self.tui.replace_here(replace(self.location, old=new, new=old))
        self.visit(self.tui.here)

    def action_choose(self, side: str) -> None:
        name = self.location.feature
        if name is None:
            self.notify("there is no feature here to compare", severity="warning")
            return

        def ask(choices: list[Choice]) -> None:
            chosen = self.location.old if side == "old" else self.location.new
            heading = f"The {side} version of {name}"
            self.tui.push_screen(ChoiceDialog(heading, choices, chosen), lambda found: self._chosen(side, found))

        self.load("choices", lambda: self.tui.data.version_choices(name), ask)

    def _chosen(self, side: str, found: str | None) -> None:
        if found is None:
            return
        here = self.location
        old, new = (found, here.new) if side == "old" else (here.old, found)
        if old is None:  # nothing could be compared so far
            old = "worktree" if found != "worktree" else found
        self.tui.replace_here(replace(here, old=old, new=new or "worktree"))
        self.visit(self.tui.here)


def _reference(side: Side) -> str:
    """The side as ``diff`` takes it."""
    return side.label.removeprefix("version ")
