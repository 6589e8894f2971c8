"""The application: the places, the way between them, what is read in threads, and when it is read again.

It never writes and holds no store open. What changes something is a command of its own, which `tui.actions` starts.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from textual import events, on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.screen import Screen
from textual.widgets import ContentSwitcher

from featurestore.errors import FeatureStoreError
from featurestore.render.words import age
from featurestore.tui import commands
from featurestore.tui.actions import Action, action_for
from featurestore.tui.data import Data, FeatureList, LockedPage, RunRow, State
from featurestore.tui.dialogs.command import CommandDialog
from featurestore.tui.dialogs.help import HelpDialog, use_of
from featurestore.tui.dialogs.run import ActionDialog
from featurestore.tui.location import PLACES, Location, PlaceName
from featurestore.tui.palette import Palette
from featurestore.tui.places.diff import DiffPlace
from featurestore.tui.places.drift import DriftPlace
from featurestore.tui.places.feature import FeaturePlace
from featurestore.tui.places.features import FeaturesPlace
from featurestore.tui.places.place import Place, Taking
from featurestore.tui.places.runs import RunsPlace
from featurestore.tui.texts import BAD, DIM, WARN, block, cell
from featurestore.tui.themes import ANSI_DARK, ANSI_LIGHT, DARK, LIGHT, THEMES
from featurestore.tui.widgets.bars import Crumbs, KeyBar, PlaceTab, TopBar
from featurestore.tui.widgets.table import Table

Result = TypeVar("Result")
LOOK_SECONDS, LOOK_SHARE = 1.0, 20.0
LOOKING = "look"
SERVER_SECONDS = 5.0
"""How often a store on a server is asked: each time over a connection of its own."""
REDRAW_SECONDS = 20.0
"""How often ages are drawn anew."""
MOST_BACK = 100
SWITCH_SECONDS = 0.001
"""How long a thread that reads may keep Python from answering a key."""
EXIT_TERMINATED = 143
LEAVING_SECONDS = 3.0
"""How long a terminal has to be restored after a signal to end. Nothing is held that would have to be closed."""


class FeatureStoreApp(App[int]):
    """``featurestore tui`` on one project."""

    TITLE = "featurestore"
    CSS_PATH = "style.tcss"
    COMMANDS: ClassVar[Any] = {Palette}
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(str(at), f"place('{name}')", title, show=False)
            for at, (name, title) in enumerate(PLACES.items(), 1)
        ),
        Binding("escape", "step_back", "One step back", show=False),
        Binding("question_mark", "help", "Keys", show=False),
        Binding("ctrl+p", "command_palette", "Find any action, feature or run", show=False),
        Binding("y", "copy", "Copy what is under the cursor", show=False),
        Binding("o", "command", "The command line that gives the same", show=False),
        Binding("i", "act('ingest')", "Ingest", show=False),
        Binding("u", "act('sync')", "Sync the online store", show=False),
        Binding("w", "act('lock')", "Write version files (lock)", show=False),
        Binding("p", "act('promote')", "Promote a version", show=False),
        Binding("b", "act('baseline')", "Make a run the reference", show=False),
        Binding("r", "reload", "Read everything again", show=False),
        Binding("q,ctrl+c,ctrl+q", "quit", "Leave", show=False),
    ]

    class Loaded(Message):
        """A thread has read something, or failed."""

        def __init__(self, group: str, token: int, finish: Callable[[], None]) -> None:
            super().__init__()
            self.group, self.token, self.finish = group, token, finish

    def __init__(self, data: Data, *, read_only: bool = False, theme: str | None = None, folder: Path | None = None):
        # With the terminal's own colours, NO_COLOR leaves none at all; shades of ours would be black on black in some.
        super().__init__(ansi_color=True if "NO_COLOR" in os.environ else None)
        for each in THEMES:
            self.register_theme(each)
        self.data = data
        self.read_only = read_only
        self.listed: FeatureList | None = None
        self._folder = folder or Path.cwd()
        self._theme_name = theme
        self._places: dict[PlaceName, Place] = {
            place.name_: place for place in (FeaturesPlace(), FeaturePlace(), DiffPlace(), DriftPlace(), RunsPlace())
        }
        # By name, since a query looks at the screen on top, which may be a dialog.
        self._top, self._crumbs, self._keys = TopBar(PLACES), Crumbs(), KeyBar()
        self._switcher = ContentSwitcher(*self._places.values(), initial="features")
        self._way: list[Location] = [Location()]
        self._last: dict[PlaceName, Location] = {}
        self._tokens: dict[str, int] = {}
        self._looking = False
        self._token = 0
        self._state: State | None = None
        self._server = ""
        self._read_at: float | None = None
        self._reading: set[str] = set()
        self._drawn_at = 0.0
        self._problem: str | None = None
        self._holder: str | None = None

    # Drawing

    def compose(self) -> ComposeResult:
        yield self._top
        yield self._crumbs
        yield self._switcher
        yield self._keys

    def on_mount(self) -> None:
        self.ansi_theme_dark, self.ansi_theme_light = ANSI_DARK, ANSI_LIGHT
        self.theme = self._fitting_theme(self._theme_name or DARK.name)
        self.animation_level = "none"
        sys.setswitchinterval(SWITCH_SECONDS)
        self._listen_for_the_end()
        self._arrive()
        self.set_timer(LOOK_SECONDS, self._look)
        if self.data.project.offline_url is not None:
            self.set_interval(SERVER_SECONDS, self._ask_server)
        self.call_after_refresh(self._read_first)

    def on_unmount(self) -> None:
        gc.unfreeze()  # or what is left at the end is taken for a leak

    def _fitting_theme(self, wanted: str) -> str:
        """The theme; with 16 colours or none the terminal's own fit best, in which ours could not show the cursor."""
        plain = self.no_color or self.console.color_system in (None, "standard")
        if self.is_headless or not plain:
            return wanted
        return {DARK.name: "ansi-dark", LIGHT.name: "ansi-light"}.get(wanted, wanted)

    def _listen_for_the_end(self) -> None:
        """SIGTERM and SIGHUP leave in good order, so that the terminal is as it was before."""
        import asyncio
        import signal

        if self.is_headless or threading.current_thread() is not threading.main_thread():
            return  # there is no terminal to restore, and the signal is for whoever runs the program
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._terminate)

    def _terminate(self) -> None:
        """Leaves, and does not wait for a terminal that is gone, to which Textual goes on writing."""
        self.exit(EXIT_TERMINATED)
        late = threading.Timer(LEAVING_SECONDS, os._exit, [EXIT_TERMINATED])
        late.daemon = True
        late.start()

    # Ways

    @property
    def here(self) -> Location:
        return self._way[-1]

    @property
    def place(self) -> Place:
        return self._places[self.here.place]

    def go(self, location: Location) -> None:
        """Goes to a location; escape leads back."""
        if location != self.here:
            self._way = [*self._way[-MOST_BACK:], location]
        self._arrive()

    def replace_here(self, location: Location) -> None:
        """Says more exactly where one is already; escape does not lead back to what was less exact."""
        self._way[-1] = location
        self._last[location.place] = location
        self._show_way()

    def action_place(self, name: PlaceName) -> None:
        if name == self.here.place:
            return
        wanted = self._last.get(name, Location(name))
        subject = self.place.subject
        if name in ("feature", "diff") and subject is not None and subject != wanted.feature:
            wanted = Location(name, subject)
        self.go(wanted)

    def action_step_back(self) -> None:
        if len(self._way) == 1:
            self.notify("this is where you began; q leaves")
            return
        self._way.pop()
        self._arrive()

    def _arrive(self) -> None:
        here = self.here
        self._last[here.place] = here
        self._switcher.current = here.place
        self._top.mark(here.place)
        self._show_way()
        self._keys.show(self.place.hints)
        self.place.visit(here)

    def _show_way(self) -> None:
        self._crumbs.show(self.here.crumbs, "read-only" if self.read_only else "")

    @on(PlaceTab.Clicked)
    def _tab_clicked(self, message: PlaceTab.Clicked) -> None:
        self.action_place(message.name)

    # Reading

    def load(
        self,
        group: str,
        work: Callable[[], Result],
        done: Callable[[Result], None],
        failed: Callable[[str, Exception], None] | None = None,
    ) -> None:
        """Calls ``work`` in a thread and hands on what it returns, unless something else was asked of the group since.

        A daemon, because leaving must not wait for a store that is busy.
        """
        self._token += 1
        token = self._tokens[group] = self._token
        self._reading.add(group)

        def read() -> None:
            try:
                result = work()
            except Exception as exc:  # noqa: BLE001  # whatever it is, the interface goes on and says so
                error = exc
                self._deliver(group, token, lambda: (failed or self._failed)(group, error))
            else:
                self._deliver(group, token, lambda: done(result))

        threading.Thread(target=read, name=f"tui: {group}", daemon=True).start()

    @property
    def is_reading(self) -> bool:
        """Whether a thread is at work."""
        return bool(self._reading - {LOOKING})

    def _deliver(self, group: str, token: int, finish: Callable[[], None]) -> None:
        if self.is_running:
            self.post_message(self.Loaded(group, token, finish))

    def on_feature_store_app_loaded(self, message: Loaded) -> None:
        if self._is_leaving or self._tokens.get(message.group) != message.token:
            return
        self._reading.discard(message.group)
        message.finish()
        self._show_state()

    def _failed(self, _group: str, error: Exception) -> None:
        self.show_error(error)

    def show_error(self, error: Exception) -> None:
        """An error is a message with its hint; one that nobody foresaw has its kind, too."""
        if isinstance(error, FeatureStoreError):
            text = f"{error}" + (f"\n{error.hint}" if error.hint else "")
        else:
            text = f"a defect: {type(error).__name__}: {error}"
        self._problem = _in_short(error)
        self.notify(block(text).plain, title="can't be read", severity="error", timeout=8, markup=False)

    def _read_first(self) -> None:
        """Reads what is there at once, then all of it."""

        def show(page: LockedPage | None) -> None:
            place = self._places["features"]
            if page is not None and isinstance(place, FeaturesPlace):
                place.take_first(page)
            self.read_features()

        self.load("first", self.data.locked, show, lambda _what, _error: self.read_features())

    def read_features(self) -> None:
        """Reads the list of features, then what the store adds to it."""
        data, known = self.data, self.listed

        def read() -> tuple[State, FeatureList, list[Taking]]:
            state, listed = data.state(), data.features(known)
            return state, listed, self._prepared(listed)

        def show(found: tuple[State, FeatureList, list[Taking]]) -> None:
            self._state, listed, takings = found
            self._take(listed, takings)
            gc.freeze()  # many objects and no garbage: Python's collector would hold up keys to look at them again
            self.load("totals", lambda: add_up(listed), lambda found: self._take(*found))

        def add_up(listed: FeatureList) -> tuple[FeatureList, list[Taking]]:
            with_totals = self.data.with_totals(listed)
            return with_totals, self._prepared(with_totals)

        self.load("features", read, show)

    def _prepared(self, listed: FeatureList) -> list[Taking]:
        return [place.prepare(listed) for place in self._places.values()]

    def _take(self, listed: FeatureList, takings: Sequence[Taking]) -> None:
        self.listed = listed
        self._read_at = time.monotonic()
        self._problem = None
        for take in takings:
            take()

    def action_reload(self) -> None:
        self.listed = None
        self.read_features()
        self.place.reload()
        self.notify("reading everything again", timeout=2)

    def _look(self) -> None:
        """Has anything been committed, who writes, and how old is what is shown? Asked again and again, in a thread."""
        if self._looking:
            return
        self._looking = True
        began = time.monotonic()

        def compare(found: tuple[str | None, State]) -> None:
            self._looking = False
            self._holder, state = found
            if self._state is not None and state != self._state and self._holder is None:
                self._state = state
                self._refresh()
            self._show_state()
            if time.monotonic() - self._drawn_at > REDRAW_SECONDS:
                self._drawn_at = time.monotonic()
                self.place.redraw()
            # A large project takes longer to look at, and is looked at less often.
            self.set_timer(max(LOOK_SECONDS, LOOK_SHARE * (time.monotonic() - began)), self._look)

        def fail(what: str, error: Exception) -> None:
            self._looking = False
            self._failed(what, error)
            self.set_timer(LOOK_SECONDS, self._look)

        self.load(LOOKING, lambda: (self.data.holder(), self.data.state()), compare, fail)

    def _ask_server(self) -> None:
        def compare(stamp: str) -> None:
            if self._server and stamp != self._server:
                self._refresh()
            self._server = stamp
            self._read_at = time.monotonic()

        self.load("server", self.data.server_stamp, compare)

    def _refresh(self) -> None:
        self.read_features()
        self.place.reload()

    def _show_state(self) -> None:
        text = cell(self.data.project.name, DIM)
        if self._holder is not None:
            text.append_text(cell(f" · busy: {self._holder}", WARN))
        elif self._problem is not None:
            text.append_text(cell(f" · {self._problem}", BAD))
        if self._read_at is None:
            text.append(" · reading …", style=DIM)
        else:
            text.append(f" · {self._age_shown()}", style=DIM)
        self._top.show_state(text)

    def _age_shown(self) -> str:
        seconds = time.monotonic() - (self._read_at or 0.0)
        return "now" if seconds < 5 else f"{age(int(seconds) // 5 * 5_000_000)} old"

    # Keys

    @property
    def _is_leaving(self) -> bool:
        return self.return_code is not None or not self.screen_stack

    async def on_event(self, event: events.Event) -> None:
        """What is typed after the key that leaves would reach widgets that are being taken away."""
        if not (isinstance(event, events.InputEvent) and self._is_leaving):
            await super().on_event(event)

    def on_key(self, event: events.Key) -> None:
        """A key that has no use here says where it has one."""
        if len(self.screen_stack) == 1 and event.key not in self.active_bindings:
            nodes = {f"{PLACES[name]} ({at})": place for at, (name, place) in enumerate(self._places.items(), 1)}
            use = use_of(event.key, {**nodes, "a list": self.query(Table).first()})
            if use is not None:
                self.notify(use, severity="warning", markup=False)

    def action_help(self) -> None:
        self.push_screen(HelpDialog(self.screen))

    def action_copy(self) -> None:
        text = self.place.copied
        if not text:
            self.notify("there is nothing under the cursor to copy", severity="warning")
            return
        self.copy_to_clipboard(text)
        self.notify(f"copied {cell(text if len(text) < 60 else text[:59] + '…').plain}", timeout=3, markup=False)

    def action_command(self) -> None:
        words = self.place.words or commands.words_for(self.here)
        self.push_screen(CommandDialog(self.command_line(words)))

    def command_line(self, words: Sequence[str]) -> str:
        return commands.command_line(words, self.data.project.root, self._folder)

    def action_act(self, name: str) -> None:
        if isinstance(self.screen, ActionDialog):
            return
        if self.read_only:
            self.notify(f"{name} is not possible: this session is read-only", severity="warning")
            return
        action = action_for(name, self.place)
        if isinstance(action, Action):
            self.push_screen(ActionDialog(action, self.data.project.root, self.command_line(action.words)), self._acted)
        else:
            self.notify(block(action.reason).plain, severity="warning", markup=False)

    def _acted(self, ran: bool | None) -> None:
        if ran:
            self._look()

    def get_system_commands(self, screen: Screen[Any]) -> Any:
        """The palette has our own commands; of Textual's only the themes are wanted."""
        yield from ()

    async def action_quit(self) -> None:
        self.exit(0)

    @property
    def runs_read(self) -> Sequence[RunRow]:
        """The runs that were read so far, for the palette."""
        place = self._places["runs"]
        assert isinstance(place, RunsPlace)
        return place.runs_read


def _in_short(error: Exception) -> str:
    """One line for the top bar, where a whole path would leave no room for what is wrong."""
    text = str(error)
    if isinstance(error, FeatureStoreError) and error.where is not None and error.where.startswith("/"):
        text = f"{Path(error.where).name}: {error.message}"
    return text.partition("\n")[0]
