"""A large project: something to look at at once, all of it soon after, and keys that answer in between."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from featurestore.config import load_project
from featurestore.tui import data as tui_data
from featurestore.tui.app import FeatureStoreApp
from featurestore.tui.data import Data
from tests.tui.conftest import Session, command, play


@pytest.fixture(autouse=True)
def _three_are_many(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(tui_data, "LARGE", 3)
    monkeypatch.setattr(tui_data, "FIRST_PAGE", 2)
    yield
    gc.unfreeze()


def test_the_first_features_are_those_that_were_locked(clinic: Path) -> None:
    assert command(clinic, "list") == 0
    code = clinic / "features" / "cardiac.py"
    code.write_text(code.read_text().replace('owner="ada"', 'owner="eve"').replace("/ 120", "/ 130"))
    page = Data.of(clinic).locked()
    assert page is not None
    assert page.count == 3
    assert [row.name for row in page.rows] == ["age_share", "chol_level"]
    first = page.rows[0]
    assert (first.feature.owner, first.feature.status, str(first.feature.data_type)) == ("ada", "active", "float")
    assert first.entry.active is not None
    assert first.entry.active.number == 2
    assert first.is_locked
    (listed,) = [row for row in Data.of(clinic).features().rows if row.name == "age_share"]
    assert (listed.feature.owner, listed.is_locked) == ("eve", False)


def test_a_retired_feature_and_one_with_a_damaged_file_are_not_among_them(
    clinic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = clinic / "features" / "cardiac.py"
    code.write_text(code.read_text().partition('@feature(entity_type="patient", data_type="string"')[0])
    assert command(clinic, "retire", "word") == 0
    damaged = next((clinic / "features" / ".versions" / "age_share").glob("0002-*.py"))
    damaged.write_text("<<<<<<< damaged")
    assert Data.of(clinic).locked() is None  # two are not many
    monkeypatch.setattr(tui_data, "LARGE", 2)
    found = Data.of(clinic).locked()
    assert found is not None
    assert [row.name for row in found.rows] == ["chol_level"]


def test_they_are_shown_until_all_are_read_and_the_cursor_stays(clinic: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    go_on, features = threading.Event(), Data.features

    def later(self: Data, *given: object) -> object:
        assert go_on.wait(20)
        return features(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Data, "features", later)

    async def story() -> None:
        app = FeatureStoreApp(Data(load_project(clinic)), theme="featurestore-dark", folder=clinic)
        async with app.run_test(size=(120, 40)) as pilot:
            shown = Session(app, pilot)
            await shown.until(lambda: "the first 2 of 3, as they were locked" in shown.text)
            assert "chol_level" in shown.text
            assert "word" not in shown.text
            assert "*" not in shown.line_with("age_share")
            assert "…" in shown.line_with("age_share")  # a copy of the store is another one: its runs are not known yet
            await pilot.press("j")
            go_on.set()
            await shown.until(lambda: app.listed is not None)
            await shown.settle()
            assert "3 features" in shown.text
            assert shown.app.place.subject == "chol_level"

    play(story)


def test_reading_a_project_keeps_none_of_its_syntax_trees(clinic: Path) -> None:
    import ast

    assert command(clinic, "lock") == 0
    gc.collect()
    before = sum(isinstance(each, ast.FunctionDef) for each in gc.get_objects())
    listed = Data.of(clinic).features()
    assert len(listed.rows) == 3
    gc.collect()
    assert sum(isinstance(each, ast.FunctionDef) for each in gc.get_objects()) == before
    hashed = listed.rows[0].entry.hashed
    assert hashed is not None
    assert hashed.closure.modules == {"features.cardiac"}  # it is read again for whoever asks
