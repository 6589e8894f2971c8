"""What ``ctrl+p`` finds: every action, every feature, every run, and the themes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.markup import escape

from featurestore.tui.location import PLACES, Location
from featurestore.tui.texts import cell

if TYPE_CHECKING:
    from featurestore.tui.app import FeatureStoreApp

MOST_HITS = 60
AT_ONCE = 500
ACTIONS = {
    "ingest": "Ingest", "sync": "Sync the online store", "lock": "Lock: write version files",
    "promote": "Promote a version", "baseline": "Baseline: make a run the reference",
}  # fmt: skip

Command = tuple[str, str, Callable[[], object]]


class Palette(Provider):
    """Matches letters in order, as they come in a name."""

    @property
    def tui(self) -> FeatureStoreApp:
        return cast("FeatureStoreApp", self.app)

    async def discover(self) -> Hits:
        for name, what, call in self._actions():
            yield DiscoveryHit(Content(name), call, name, what)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        letters = query.lower().replace(" ", "")
        found = 0
        for at, (name, what, call) in enumerate(self._all()):
            if at % AT_ONCE == 0:
                await asyncio.sleep(0)  # keys come first
            if not _in_order(letters, name.lower()):
                continue
            score = matcher.match(name)
            if score > 0:
                yield Hit(score, matcher.highlight(name), call, name, what)
                found += 1
            if found >= MOST_HITS:
                return

    def _all(self) -> Iterator[Command]:
        yield from self._actions()
        yield from self._features()
        yield from self._runs()

    def _actions(self) -> Iterator[Command]:
        tui = self.tui
        for place, title in PLACES.items():
            yield f"Go to {title}", "", partial(tui.action_place, place)
        for action, title in ACTIONS.items():
            yield title, f"featurestore {action}", partial(tui.action_act, action)
        yield "Command line", "what gives the same in a shell", tui.action_command
        yield "Copy", "what is under the cursor", tui.action_copy
        yield "Keys", "those that work here", tui.action_help
        yield "Read everything again", "", tui.action_reload
        for theme in sorted(tui.available_themes):
            yield f"Theme: {theme}", "", partial(setattr, tui, "theme", theme)
        yield "Leave", "", partial(tui.exit, 0)

    def _features(self) -> Iterator[Command]:
        listed = self.tui.listed
        for row in listed.rows if listed else ():
            what = escape(cell(row.feature.description).plain)  # the palette reads this line as markup
            yield f"Feature {row.name}", what, partial(self.tui.go, Location("feature", row.name))

    def _runs(self) -> Iterator[Command]:
        for row in self.tui.runs_read:
            run = row.totals
            yield f"Run {run.run_id}", run.status, partial(self.tui.go, Location("runs", run=run.run_id))


def _in_order(letters: str, name: str) -> bool:
    """Whether the letters come in a name in that order; quicker than to score it."""
    at = -1
    for letter in letters:
        at = name.find(letter, at + 1)
        if at < 0:
            return False
    return True
