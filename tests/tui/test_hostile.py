"""Whatever stands in names, values and code is shown as it is: as text, never as markup and never to the terminal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import TOML
from tests.tui.conftest import command, play, tui

EVIL = "[/x][bold red]\x1b]0;owned\x07\x1b[31m[sys:exit]\u202etxt"
PLAIN = "[/x][bold red]\\x1b]0;owned\\x07\\x1b[31m[sys:exit]\\u202etxt"
WIDE = "漢字かな交じり文👩‍🔬"
STEERING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
CODE = f'''
import polars as pl
from featurestore import feature


@feature(entity_type="patient", data_type="string", owner={EVIL!r}, tags=[{EVIL!r}, {WIDE!r}], description={EVIL!r})
def evil() -> pl.Expr:
    """{EVIL}"""
    return pl.col("note")


@feature(entity_type="patient", data_type="string", description={WIDE!r})
def failing(visits: pl.DataFrame) -> pl.DataFrame:
    raise ValueError({EVIL!r})
'''


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    settings = TOML.replace("visits*.csv", "data/*.csv").replace("chol =", "note =").replace("float", "string")
    (tmp_path / "features").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "featurestore.toml").write_text(settings)
    (tmp_path / "features" / "evil.py").write_text(CODE)
    rows = "".join(f'"{EVIL}{at}",2024-01-0{at}T00:00:00Z,5,"{EVIL}{WIDE}"\n' for at in range(1, 5))
    text = f'patient_id,visit_at,age,note\n{rows}"two\nlines",2024-01-01T00:00:00Z,999,"{EVIL}"\n'
    (tmp_path / "data" / f"{EVIL.replace('/', '')}.csv").write_text(text)
    assert command(tmp_path, "ingest") == 3
    return tmp_path


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
def test_every_place_shows_hostile_texts_as_they_are(hostile: Path, size: tuple[int, int]) -> None:
    async def story() -> None:
        async with tui(hostile, size) as shown:
            seen = ""
            for keys in ("", "enter", "tab", "tab", "tab", "tab", "tab", "d", "4", "5", "enter", "o", "escape",
                         "question_mark", "escape", "1", "i", "escape"):  # fmt: skip
                await shown.press(*([keys] if keys else []))
                assert not STEERING.search(shown.text), (keys, shown.text)
                seen += shown.text.replace("\n", "")
            assert PLAIN[:20] in seen
            assert WIDE[:4] in seen
            await shown.press("1", "ctrl+p", *"evil")
            await shown.until(lambda: "Feature evil" in shown.text)
            await shown.press("escape", "slash", *"[/x][bold")
            assert "of 2 features" in shown.text

    play(story)


def test_rows_of_wide_characters_stay_aligned(hostile: Path) -> None:
    from rich.cells import cell_len

    async def story() -> None:
        async with tui(hostile, (200, 40)) as shown:
            strips = shown.app.screen._compositor.render_strips()
            assert {cell_len(strip.text) for strip in strips} == {200}

    play(story)
