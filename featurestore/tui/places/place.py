"""What the five places have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar, cast

from textual.containers import Vertical

from featurestore.tui.actions import Action, Impossible
from featurestore.tui.data import FeatureList
from featurestore.tui.location import Location, PlaceName
from featurestore.tui.widgets.bars import Hint
from featurestore.tui.widgets.page import Page
from featurestore.tui.widgets.table import Table

if TYPE_CHECKING:
    from featurestore.tui.app import FeatureStoreApp

Result = TypeVar("Result")
Taking = Callable[[], None]


class Place(Vertical):
    """One of the five. ``location`` is what it shows; it is shown anew with `visit`, and read anew with `reload`."""

    DEFAULT_CSS = "Place { height: 1fr; }"
    name_: PlaceName
    hints: tuple[Hint, ...]

    def __init__(self) -> None:
        super().__init__(id=self.name_)
        self.location = Location(self.name_)

    @property
    def tui(self) -> FeatureStoreApp:
        return cast("FeatureStoreApp", self.app)

    def visit(self, location: Location) -> None:
        """Shows a location of this place, and takes the focus."""
        self.location = location

    def prepare(self, listed: FeatureList) -> Taking:
        """The features were read, again perhaps: works out, in a thread, what takes time, and returns what shows it."""
        return lambda: None

    def reload(self) -> None:
        """Reads what is shown again, because something has changed."""

    def redraw(self) -> None:
        """Draws again what depends on the clock."""

    @property
    def promotion(self) -> Action | Impossible:
        """The version to promote, or why there is none."""
        return Impossible("a version is promoted in Feature (2), under Versions")

    @property
    def baseline(self) -> Action | Impossible:
        """The run to make the reference, or why there is none."""
        return Impossible("a run is made the reference in Drift (4), among the runs of a feature")

    @property
    def words(self) -> list[str] | None:
        """The command that gives the same; None where the app works it out from the location."""
        return None

    @property
    def copied(self) -> str:
        """What ``y`` copies: what is under the cursor."""
        focused = self.screen.focused
        if isinstance(focused, Table):
            return focused.current_cell
        if isinstance(focused, Page):
            return focused.text
        return ""

    @property
    def subject(self) -> str | None:
        """The feature that is looked at, for the places that are about one."""
        return self.location.feature

    def load(self, what: str, work: Callable[[], Result], done: Callable[[Result], None]) -> None:
        """Reads something in a thread; ``what`` replaces what was being read under that name."""
        self.tui.load(f"{self.name_} {what}", work, done, self.failed)

    def failed(self, what: str, error: Exception) -> None:
        """Something could not be read; what is shown stays."""
        self.tui.show_error(error)
