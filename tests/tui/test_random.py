"""Any keys in any order, at any size."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest

from featurestore.tui.dialogs.choice import ChoiceDialog
from tests.tui.conftest import play, tui

KEYS = [
    *"12345jkgGhlsydoxabprwiu?/[]q", "enter", "escape", "tab", "shift+tab", "up", "down", "left", "right", "pageup",
    "pagedown", "home", "end", "ctrl+d", "ctrl+u", "ctrl+p", "space", "backspace", "f", "n",
]  # fmt: skip
NAMES = {"?": "question_mark", "/": "slash", "[": "left_square_bracket", "]": "right_square_bracket"}
LEAVING = ("q", "ctrl+p")  # the palette can leave too; each is pressed in a test of its own


def press_at_random(root: Path, count: int, seed: int) -> None:
    drawn = random.Random(seed)

    async def story() -> None:
        async with tui(root, read_only=True) as shown:
            for _ in range(count):
                if drawn.random() < 0.06:
                    await shown.pilot.resize_terminal(drawn.randint(1, 250), drawn.randint(1, 70))
                    continue
                key = drawn.choice(KEYS)
                if key in LEAVING:
                    continue
                shown.app.simulate_key(NAMES.get(key, key))
                if drawn.random() < 0.3:
                    await shown.pilot.pause()
            while shown.app.message_queue_size:  # what was pressed faster than it was answered
                await shown.pilot.pause(0.05)
            assert shown.app._exception is None
            assert shown.app.place.display, f"{shown.app.here} is not what is shown"
            assert shown.app.is_running, f"it left with {shown.app.return_code}"

    play(story)


def test_random_keys_and_sizes_crash_nothing(past: Path) -> None:
    press_at_random(past, 60, seed=1)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(2, 8))
def test_two_thousand_random_keys_and_sizes_crash_nothing(past: Path, seed: int) -> None:
    press_at_random(past, 2_000, seed)


def test_a_signal_to_end_is_not_taken_from_whoever_runs_the_app_without_a_terminal(past: Path) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGHUP)

    async def story() -> None:
        async with tui(past):
            assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGHUP)) == before

    play(story)


def test_a_storm_of_resizes_ends_in_a_whole_picture(past: Path) -> None:
    async def story() -> None:
        async with tui(past) as shown:
            await shown.press("2")
            for at in range(15):
                await shown.pilot.resize_terminal(80 + at * 11 % 170, 24 + at * 3 % 46)
            await shown.pilot.resize_terminal(120, 40)
            await shown.settle()
            assert len(shown.lines) == 40
            assert "age_share" in shown.text

    play(story)


@pytest.mark.parametrize("keys", [("enter", "escape"), ("escape", "enter"), ("escape", "escape"), ("enter", "enter")])
def test_a_dialog_that_is_left_twice_at_once_is_left_once(past: Path, keys: tuple[str, str]) -> None:
    async def story() -> None:
        async with tui(past) as shown:
            await shown.press("3", "left_square_bracket")
            dialog = shown.app.screen
            assert isinstance(dialog, ChoiceDialog)
            for key in keys:
                shown.app.simulate_key(key)
            await shown.settle()
            assert shown.app.is_running
            assert shown.app.screen is not dialog

    play(story)


@pytest.mark.parametrize("typed", ["q2345", "2q\tj345", "4jqa5", "5q\tob2"])
def test_what_is_typed_after_the_key_that_leaves_reaches_nothing(past: Path, typed: str) -> None:
    async def story() -> None:
        async with tui(past) as shown:
            for key in typed:
                shown.app.simulate_key({"\t": "tab"}.get(key, key))
            while shown.app.is_running:
                await shown.pilot.pause(0.01)
            assert shown.app._exception is None
            assert shown.app.return_code == 0

    play(story)


def test_keys_that_follow_a_part_at_once_leave_the_crumbs_where_one_is(past: Path) -> None:
    async def story() -> None:
        async with tui(past) as shown:
            await shown.press("2")
            for _ in range(3):
                for key in ("tab", "tab", "3"):
                    shown.app.simulate_key(key)
                await shown.settle()
                assert shown.app.here.place == "diff"
                assert "Diff" in shown.lines[1]
                await shown.press("2")

    play(story)
