"""The five places: what they show, and where their keys lead."""

from __future__ import annotations

from pathlib import Path

import pytest

from featurestore.tui.location import Location
from tests.tui.conftest import play, tui


def test_the_features_are_listed_with_what_is_known_of_each(past: Path) -> None:
    async def story() -> None:
        async with tui(past, (200, 40)) as shown:
            line = shown.line_with("age_share")
            for part in ("float", "patient", "ada", "cardiac, age", "active", "2", "Age as a share", "0.000"):
                assert part in line
            assert "3 features · 1 drifted" in shown.text
            assert "deprecated" in shown.line_with("word ")

    play(story)


def test_keys_1_to_5_lead_to_the_places_and_escape_leads_back(past: Path) -> None:
    async def story() -> None:
        async with tui(past) as shown:
            for key, crumbs in (
                ("2", "Features › age_share"), ("3", "Features › age_share › Diff › 1 → 2"), ("4", "Drift"),
                ("5", "Runs"), ("1", "Features"),
            ):  # fmt: skip
                await shown.press(key)
                assert shown.lines[1].strip() == crumbs
            for crumbs in ("Runs", "Drift", "Features › age_share › Diff › 1 → 2", "Features › age_share", "Features"):
                await shown.press("escape")
                assert shown.lines[1].strip() == crumbs
            await shown.press("escape")
            assert shown.notices == ["this is where you began; q leaves"]

    play(story)


def test_the_filter_narrows_the_list_at_once_and_says_how_much_is_left(past: Path) -> None:
    async def story() -> None:
        async with tui(past) as shown:
            await shown.press("slash", *"tag:cardiac")
            assert "2 of 3 features" in shown.text
            assert "word " not in shown.text
            await shown.press("space", *"!owner:ada")
            assert "1 of 3 features" in shown.text
            await shown.press("enter")
            await shown.press("o")
            assert "featurestore list --tag cardiac" in shown.text
            await shown.press("escape", "slash", "escape")
            assert "3 features" in shown.text
            await shown.press("slash", *"nothing-like-it", "enter")
            assert "No feature matches" in shown.text

    play(story)


def test_any_column_sorts_the_list_both_ways(past: Path) -> None:
    async def story() -> None:
        async with tui(past, (200, 40)) as shown:

            def names() -> list[str]:
                return [line.split()[0] for line in shown.lines[3:6]]

            await shown.press("s", "s")
            assert names() == ["word", "chol_level", "age_share"]
            for _ in range(12):
                await shown.press("l", "s")
                assert "sorted by" in shown.text
            await shown.press("l")
            assert shown.app.place.table._column == 0  # type: ignore[attr-defined]
            await shown.press("s")
            assert names() == ["age_share", "chol_level", "word"]

    play(story)


def test_vi_keys_arrows_and_the_mouse_move_the_cursor(past: Path) -> None:
    async def story() -> None:
        async with tui(past) as shown:
            table = shown.app.place.table  # type: ignore[attr-defined]
            for key, at in (("j", 1), ("down", 2), ("j", 2), ("k", 1), ("up", 0), ("G", 2), ("g", 0), ("ctrl+d", 2),
                            ("ctrl+u", 0), ("end", 2), ("home", 0)):  # fmt: skip
                await shown.press(key)
                assert table.cursor == at, key
            await shown.pilot.click(table, offset=(5, 3))
            assert table.cursor == 2
            await shown.pilot.click(table, offset=(5, 3))
            await shown.settle()
            assert shown.app.here == Location("feature", "word")
            await shown.pilot.click("PlaceTab", offset=(2, 0))
            assert shown.app.here.place == "features"

    play(story)


def test_a_feature_shows_its_versions_with_full_hashes_and_who_committed_them(past: Path) -> None:
    async def story() -> None:
        async with tui(past) as shown:
            await shown.press("enter")
            for part in (
                "Age as a share",
                "features/cardiac.py:8",
                "ada",
                "cardiac, age",
                "visits",
                "up to date, run 3",
            ):
                assert part in shown.text
            await shown.press("tab")
            row = shown.app.place.versions.current  # type: ignore[attr-defined]
            assert len(row.sha256) == 64
            assert row.sha256 in shown.line_with("Grace Hopper")
            assert "Ada Lovelace" in shown.text
            assert "a wider range" in shown.text
            await shown.press("j", "tab")
            assert 'pl.col("age") / 100' in shown.text
            await shown.press("tab")
            assert "mean" in shown.text
            assert "█" in shown.text
            await shown.press("tab")
            assert shown.app.place.runs.items  # type: ignore[attr-defined]
            await shown.press("tab")
            assert "source visits" in shown.text
            assert "No data set was made of it" in shown.text

    play(story)


def test_two_versions_are_compared_and_others_can_be_chosen(past: Path) -> None:
    async def story() -> None:
        async with tui(past) as shown:
            await shown.press("enter", "tab", "enter")
            assert shown.app.here == Location("diff", "age_share", old="1", new="2")
            for part in ("/ 100", "/ 120", "entities"):
                assert part in shown.text
            await shown.press("x")
            assert shown.app.here == Location("diff", "age_share", old="2", new="1")
            await shown.press("left_square_bracket", "k", "enter")
            assert shown.app.here == Location("diff", "age_share", old="1", new="1")
            assert "the code is the same" in shown.text

    play(story)


def test_a_feature_with_one_version_says_why_there_is_nothing_to_compare(past: Path) -> None:
    async def story() -> None:
        async with tui(past) as shown:
            await shown.press("j", "enter", "d")
            assert "chol_level has only one version" in shown.text

    play(story)


def test_drift_is_listed_worst_first_and_one_feature_run_by_run(past: Path) -> None:
    async def story() -> None:
        async with tui(past) as shown:
            await shown.press("4")
            assert "chol_level@1" in shown.lines[3]
            assert "drifted" in shown.lines[3]
            assert "age_share@2" in shown.text
            await shown.until(lambda: "jensenshannon" in shown.text)
            await shown.press("enter")
            name = shown.app.here.feature
            assert shown.lines[1].strip() == f"Drift › {name}"
            assert "┄" in shown.text or "█" in shown.text
            await shown.press("enter")
            assert shown.app.here.place == "runs"

    play(story)


def test_a_run_shows_what_failed_and_every_row_it_set_aside(past: Path) -> None:
    async def story() -> None:
        async with tui(past, (140, 40)) as shown:
            await shown.press("5")
            assert "3 runs" in shown.text
            assert "partial" in shown.lines[3]
            await shown.press("enter")
            for part in ("too old for a word", "visits-3.csv row 56", "430"):
                assert part in shown.text
            await shown.press("o")
            assert f"featurestore runs {shown.app.here.run}" in shown.text

    play(story)


def test_runs_are_filtered_by_status_and_text(past: Path) -> None:
    async def story() -> None:
        async with tui(past) as shown:
            await shown.press("5", "slash", *"status:partial")
            assert "1 of 3 runs" in shown.text

    play(story)


def test_help_lists_the_keys_of_what_has_the_focus(past: Path) -> None:
    async def story() -> None:
        async with tui(past, (120, 60)) as shown:
            for place in "12345":
                await shown.press(place, "question_mark")
                for part in ("everywhere", "Copy what is under the cursor", "ctrl+p", "k  up"):
                    assert part in shown.text, place
                await shown.press("escape")
                assert "everywhere" not in shown.text, place

    play(story)


def test_the_palette_finds_actions_features_and_runs(past: Path) -> None:
    async def story() -> None:
        async with tui(past) as shown:
            await shown.press("5", "1", "ctrl+p", *"chol")
            await shown.until(lambda: "Feature chol_level" in shown.text)
            await shown.press("enter")
            assert shown.app.here == Location("feature", "chol_level")
            run = shown.app.runs_read[-1].totals.run_id
            await shown.press("ctrl+p", *run[-8:])
            await shown.until(lambda: f"Run {run}" in shown.text)
            await shown.press("enter")
            assert shown.app.here.run == run
            await shown.press("ctrl+p", *"sync")
            await shown.until(lambda: "Sync the online store" in shown.text)

    play(story)


def test_y_copies_what_is_under_the_cursor(past: Path) -> None:
    async def story() -> None:
        async with tui(past) as shown:
            await shown.press("y")
            assert shown.app.clipboard == "age_share"
            await shown.press("enter", "tab", "y")
            assert len(shown.app.clipboard) == 64

    play(story)


def test_a_key_that_can_not_work_says_why(past: Path) -> None:
    async def story() -> None:
        async with tui(past) as shown:
            await shown.press("p", "b", "enter", "tab", "p")
            assert [notice.partition(":")[0] for notice in shown.notices] == [
                "open age_share first, and choose one of its versions",
                "a run is made the reference in Drift (4), among the runs of a feature",
                "version 2 is the active one; move to another in Versions",
            ]

    play(story)


@pytest.mark.parametrize(("way", "key", "said"), [
    ("1", "x", "x (Swap) works in Diff (3)"),
    ("1", "left_square_bracket", "[ (Old version) works in Diff (3)"),
    ("5", "d", "d (Diff) works in Feature (2)"),
    ("2", "slash", "/ (Filter) works in Features (1) and in Runs (5)"),
    ("3", "s", "s (Sort by the column; again: the other way) works in a list"),
    ("3", "a", "a (All or one) works in Drift (4)"),
])  # fmt: skip
def test_a_key_of_another_place_says_where_it_works(past: Path, way: str, key: str, said: str) -> None:
    async def story() -> None:
        async with tui(past) as shown:
            await shown.press(way, key)
            assert shown.notices == [said]

    play(story)


def test_a_key_that_means_nothing_anywhere_says_nothing(past: Path) -> None:
    async def story() -> None:
        async with tui(past) as shown:
            await shown.press("z", "f7", "question_mark", "z")
            assert shown.notices == []

    play(story)


def test_an_empty_project_says_what_to_do_next(tmp_path: Path) -> None:
    from tests.conftest import TOML

    (tmp_path / "featurestore.toml").write_text(TOML)

    async def story() -> None:
        async with tui(tmp_path) as shown:
            assert "featurestore init --demo" in shown.text
            for key, words in (("2", "1 lists the features"), ("3", "1 lists the features"), ("4", "i ingests"),
                               ("5", "i ingests")):  # fmt: skip
                await shown.press(key)
                assert words in shown.text, key

    play(story)


def test_a_wide_screen_shows_the_run_under_the_cursor_at_once(past: Path) -> None:
    async def story() -> None:
        async with tui(past, (200, 60)) as shown:
            await shown.press("5")
            await shown.until(lambda: "host" in shown.text)  # of the newest run, before the cursor has moved
            await shown.press("escape")
            await shown.pilot.resize_terminal(120, 40)
            await shown.press("5")
            assert "host" not in shown.text
            await shown.pilot.resize_terminal(200, 60)
            await shown.until(lambda: "host" in shown.text)

    play(story)


def test_the_list_of_runs_counts_a_row_that_several_features_set_aside_once(past: Path) -> None:
    async def story() -> None:
        async with tui(past, (200, 40)) as shown:
            await shown.press("5")
            newest = shown.app.place.table.items[0].totals  # type: ignore[attr-defined]
            assert newest.features == 3
            assert newest.rows_rejected == 1

    play(story)
