"""Any keys in any order, at any size."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

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
            await shown.pilot.pause()
            assert shown.app.is_running
            assert shown.app._exception is None

    play(story)


@pytest.mark.nightly
def test_random_keys_and_sizes_crash_nothing(past: Path) -> None:
    press_at_random(past, 300, seed=1)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(2, 8))
def test_two_thousand_random_keys_and_sizes_crash_nothing(past: Path, seed: int) -> None:
    press_at_random(past, 2_000, seed)


def test_a_storm_of_resizes_ends_in_a_whole_picture(past: Path) -> None:
    async def story() -> None:
        async with tui(past) as shown:
            await shown.press("2")
            for at in range(40):
                await shown.pilot.resize_terminal(80 + at * 4 % 170, 24 + at % 46)
            await shown.pilot.resize_terminal(120, 40)
            await shown.settle()
            assert len(shown.lines) == 40
            assert "age_share" in shown.text

    play(story)
