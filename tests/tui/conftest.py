"""A project with a past, made once, and the interface on a copy of it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from featurestore.cli.app import run
from featurestore.config import load_project
from featurestore.tui.app import FeatureStoreApp
from featurestore.tui.data import Data
from tests.conftest import TOML
from tests.hooks.test_hooks import git

FEATURES = """
import polars as pl

from featurestore import feature


@feature(entity_type="patient", data_type="float", description="Age as a share", owner="ada", tags=["cardiac", "age"])
def age_share() -> pl.Expr:
    return pl.col("age") / 100


@feature(entity_type="patient", data_type="float", description="Cholesterol", owner="grace", tags=["cardiac"],
         status="experimental")
def chol_level() -> pl.Expr:
    return pl.col("chol").round(1)


@feature(entity_type="patient", data_type="string", description="A word", owner="ada", status="deprecated")
def word(visits: pl.DataFrame) -> pl.DataFrame:
    if (visits["age"].max() or 0) > 90:
        raise ValueError("too old for a word")
    return visits.select(entity_id=pl.col("patient_id"), value=pl.lit("w"), computed_at=pl.col("visit_at"))
"""
LONG = 15.0
"""Seconds that something may take on a busy machine before a test gives up. Nothing waits for so long."""


def visits(month: int, rows: int, age: int, chol: int) -> str:
    lines = [f"{at:03},2024-{month:02}-{1 + at % 28:02}T00:00:00Z,{age + at % 30},{chol + at}.5" for at in range(rows)]
    return "patient_id,visit_at,age,chol\n" + "\n".join(lines) + "\n"


def command(root: Path, *words: str) -> int:
    """Runs ``featurestore WORDS`` on a project, in this process."""
    return run(["-C", str(root), "-q", *words])


def make_past(root: Path) -> None:
    """Three features, two versions of one by two people, four runs: drift, rows set aside, a failure."""
    (root / "features").mkdir()
    (root / "featurestore.toml").write_text(TOML)
    (root / "features" / "cardiac.py").write_text(FEATURES)
    (root / "visits-1.csv").write_text(visits(1, 60, 30, 180))
    git(root, "init", "-q", "-b", "main")
    assert command(root, "lock") == 0
    git(root, "add", ".")
    git(root, "-c", "user.name=Ada Lovelace", "-c", "user.email=ada@example.org", "commit", "-qm", "the first study")
    assert command(root, "ingest") == 0
    (root / "visits-2.csv").write_text(visits(2, 50, 31, 182))
    assert command(root, "ingest") == 0
    code = root / "features" / "cardiac.py"
    code.write_text(code.read_text().replace("/ 100", "/ 120"))
    assert command(root, "lock") == 0
    git(root, "add", ".")
    git(root, "-c", "user.name=Grace Hopper", "-c", "user.email=grace@example.org", "commit", "-qm", "a wider range")
    (root / "visits-3.csv").write_text(visits(3, 55, 70, 400) + "777,2024-03-01T00:00:00Z,430,1\n")
    assert command(root, "ingest") == 3
    assert command(root, "sync") == 0


@pytest.fixture(scope="session")
def past(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project, not to be changed."""
    root = tmp_path_factory.mktemp("past") / "clinic"
    root.mkdir()
    make_past(root)
    return root


@pytest.fixture
def clinic(past: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(past, tmp_path / "clinic", symlinks=True))


@pytest.fixture(autouse=True)
def _in_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)


class Session:
    """The interface under test: keys in, what is shown out."""

    def __init__(self, app: FeatureStoreApp, pilot: Pilot[int]) -> None:
        self.app, self.pilot = app, pilot

    async def press(self, *keys: str) -> None:
        """Presses keys, one after another, and waits until nothing is being read any more."""
        for key in keys:
            await self.pilot.press(key)
            await self.settle()

    async def settle(self) -> None:
        """Waits until nothing is read, no message waits for a widget, and the screen stays as it is."""
        await self.until(lambda: self.is_idle)
        before = None
        while before != (before := self.text) or not self.is_idle:
            await self.pilot.pause()

    @property
    def is_idle(self) -> bool:
        return not (
            self.app.is_reading
            or self.app.screen._layout_required
            or any(node.message_queue_size for node in (self.app, *self.app.screen.walk_children(with_self=True)))
        )

    async def until(self, holds: Callable[[], bool]) -> None:
        """Waits until something holds; fails with what is shown where it does not within `LONG`."""
        deadline = asyncio.get_running_loop().time() + LONG
        while not holds():
            assert asyncio.get_running_loop().time() < deadline, self.text
            await self.pilot.pause(0.01)

    @property
    def lines(self) -> list[str]:
        """The screen, line by line."""
        strips = self.app.screen._compositor.render_strips()
        return [strip.text.rstrip() for strip in strips]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def notices(self) -> list[str]:
        return [item.message for item in self.app._notifications]

    def line_with(self, words: str) -> str:
        return next((line for line in self.lines if words in line), f"no line has {words!r}:\n{self.text}")


@asynccontextmanager
async def tui(
    root: Path, size: tuple[int, int] = (120, 40), *, theme: str = "featurestore-dark", read_only: bool = False
) -> AsyncIterator[Session]:
    """The interface on a project, once it has read the features."""
    app = FeatureStoreApp(Data(load_project(root)), theme=theme, read_only=read_only, folder=root)
    async with app.run_test(size=size) as pilot:
        session = Session(app, pilot)
        await session.until(lambda: app.listed is not None)
        await session.settle()
        yield session


def play(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Runs a test that is a coroutine."""
    asyncio.run(story())
