"""A password in a setting is on no screen, in no message and in no command that the interface shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from featurestore.config import load_project
from featurestore.tui.app import FeatureStoreApp
from featurestore.tui.data import Data
from featurestore.tui.dialogs.run import ActionDialog
from tests.leaks import CANARY, OFFLINE, ONLINE, OTHERS, REPEATING, hold, stored
from tests.often import nightly
from tests.services import free_port, refusing
from tests.tui.conftest import Session, play, tui

# Every place and part, help, palette and command line, and actions that reach the stores and the sources.
KEYS = (
    "", "enter", "tab", "tab", "tab", "tab", "o", "escape", "question_mark", "escape", "4", "5", "enter", "escape",
    "ctrl+p", "escape", "1",
)  # fmt: skip


def look_through(root: Path, action: str) -> str:
    """All that is shown on a walk with an action at its end."""
    seen: list[str] = []

    async def story() -> None:
        async with tui(root, (200, 60)) as shown:

            async def press(*keys: str) -> None:
                await shown.press(*keys)
                seen.extend((shown.text, *shown.notices))

            for key in KEYS:
                await press(*([key] if key else []))
            if not action:
                return
            await press(action)
            await press("enter")
            screen = shown.app.screen
            assert isinstance(screen, ActionDialog), shown.text
            await shown.until(lambda: screen.code is not None)
            await press("escape")

    play(story)
    return "\n".join(seen)


def look_at_the_failure(root: Path) -> str:
    """All that is shown where the history can't be reached: nothing is listed then."""
    seen: list[str] = []

    async def story() -> None:
        app = FeatureStoreApp(Data(load_project(root)), folder=root)
        async with app.run_test(size=(200, 60)) as pilot:
            shown = Session(app, pilot)
            await shown.until(lambda: "can't be reached" in shown.text)
            for key in ("4", "5", "question_mark", "escape", "o", "escape", "i", "escape"):
                await pilot.press(key)
                seen.extend((shown.text, *shown.notices))

    play(story)
    return "\n".join(seen)


@pytest.mark.parametrize("name", [OFFLINE[0], *nightly(OFFLINE[1:])])
def test_a_history_that_is_away_shows_none(clinic: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    hold(clinic, [name], free_port())
    seen = look_at_the_failure(clinic)
    captured = capfd.readouterr()
    assert "can't be reached" in seen
    assert CANARY not in seen + captured.out + captured.err + stored(clinic)


@pytest.mark.parametrize(
    ("action", "names"),
    [("i", [ONLINE[0], *OTHERS]), ("", [ONLINE[1]]), *nightly(("", [name]) for name in ONLINE[2:])],
    ids=str,
)
def test_no_screen_shows_one(clinic: Path, action: str, names: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    hold(clinic, names, free_port())
    seen = look_through(clinic, action)
    captured = capfd.readouterr()
    assert "age_share" in seen
    assert CANARY not in seen + captured.out + captured.err + stored(clinic)


def test_what_a_store_repeats_of_a_login_is_not_shown(clinic: Path) -> None:
    with refusing(REPEATING[0]) as port:
        hold(clinic, ["redis"], port)
        assert CANARY not in look_through(clinic, "u")
