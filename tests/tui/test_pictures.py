"""The five places as they look, at three sizes and in two themes.

``FEATURESTORE_PICTURES=write .venv/bin/python -m pytest tests/tui/test_pictures.py`` writes them, after a change that
is meant; the difference then shows what has changed.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.tui.conftest import play, tui
from tests.tui.pictures import picture

HERE = Path(__file__).parent / "pictures"
WRITE = os.environ.get("FEATURESTORE_PICTURES") == "write"  # before a fixture takes such settings away
SIZES = [(80, 24), (120, 40), (200, 60)]
THEMES = ["featurestore-dark", "featurestore-light"]
# The keys that lead to each place, from the one before.
WAY = {"features": (), "feature": ("enter", "tab"), "diff": ("d",), "drift": ("4", "enter"), "runs": ("5", "enter")}


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_the_places_look_as_they_did(past: Path, size: tuple[int, int], theme: str) -> None:
    async def story() -> None:
        async with tui(past, size, theme=theme) as shown:
            for place, keys in WAY.items():
                await shown.press(*keys)
                shown.app._read_at = time.monotonic()  # whenever the picture is taken, it is of this moment
                shown.app._show_state()
                shown.app.screen.refresh()
                await shown.pilot.pause()
                name = f"{place}-{size[0]}x{size[1]}-{theme.removeprefix('featurestore-')}"
                strips = shown.app.screen._compositor.render_strips()
                compare(HERE / f"{name}.txt", picture(strips, name))

    play(story)


def compare(path: Path, found: str) -> None:
    if WRITE:
        path.parent.mkdir(exist_ok=True)
        path.write_text(found, encoding="utf-8")
    assert found == path.read_text(encoding="utf-8"), path.name
