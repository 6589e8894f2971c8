"""What changes something: it asks first, names its command, shows what it does, and can be cancelled."""

from __future__ import annotations

import time
from pathlib import Path

from featurestore.tui.dialogs.run import ActionDialog
from featurestore.versioning.folder.files import read_active
from tests.tui.conftest import Session, play, tui


def dialog(shown: Session) -> ActionDialog:
    screen = shown.app.screen
    assert isinstance(screen, ActionDialog), shown.text
    return screen


async def ended(shown: Session) -> int:
    await shown.until(lambda: dialog(shown).code is not None)
    await shown.settle()
    code = dialog(shown).code
    assert code is not None
    return code


def test_an_action_names_its_command_and_does_nothing_before_it_is_confirmed(clinic: Path) -> None:
    async def story() -> None:
        before = (clinic / ".featurestore" / "history.duckdb").read_bytes()
        async with tui(clinic) as shown:
            for key, line in (
                ("i", "featurestore ingest age_share"), ("u", "featurestore sync"),
                ("w", "featurestore lock age_share"),
            ):  # fmt: skip
                await shown.press(key)
                assert f"$ {line}" in shown.text
                await shown.press("escape")
                assert not isinstance(shown.app.screen, ActionDialog)
        assert (clinic / ".featurestore" / "history.duckdb").read_bytes() == before

    play(story)


def test_ingest_runs_shows_what_the_command_says_and_the_list_follows(clinic: Path) -> None:
    (clinic / "visits-4.csv").write_text("patient_id,visit_at,age,chol\n901,2024-05-01T00:00:00Z,40,200\n")

    async def story() -> None:
        async with tui(clinic) as shown:
            listed = shown.app.listed
            await shown.press("i", "enter")
            assert await ended(shown) == 3  # the row that was set aside before is there still
            assert "partly done (exit code 3)" in shown.text
            assert "visits-3.csv row 56" in shown.text
            await shown.press("escape")
            await shown.until(lambda: shown.app.listed is not listed)
            await shown.settle()
            await shown.until(lambda: "166" in shown.line_with("age_share"))

    play(story)


def test_a_failure_is_a_message_with_its_hint(clinic: Path) -> None:
    code = clinic / "features" / "cardiac.py"
    code.write_text(code.read_text().replace('pl.col("age") / 120', 'pl.col("no_such_column")'))

    async def story() -> None:
        async with tui(clinic) as shown:
            await shown.press("i", "enter")
            assert await ended(shown) == 4
            assert "no_such_column" in shown.text
            assert "hint: " in shown.text
            assert "Traceback" not in shown.text
            assert "failed: nothing was committed (exit code 4)" in shown.text

    play(story)


def test_an_action_that_runs_is_cancelled_with_escape(clinic: Path) -> None:
    code = clinic / "features" / "cardiac.py"
    code.write_text(code.read_text().replace("\n\n@feature", "\nimport time\n\ntime.sleep(60)\n\n@feature", 1))

    async def story() -> None:
        before = (clinic / ".featurestore" / "history.duckdb").stat().st_mtime_ns
        async with tui(clinic) as shown:
            began = time.monotonic()
            await shown.press("i", "enter")
            await shown.until(lambda: shown.app.data.holder() is not None)
            await shown.press("escape")
            assert await ended(shown) == 130
            assert "cancelled: nothing half-done is left" in shown.text
            assert time.monotonic() - began < 50
        assert (clinic / ".featurestore" / "history.duckdb").stat().st_mtime_ns == before

    play(story)


def test_a_version_is_promoted_and_a_run_made_the_reference(clinic: Path) -> None:
    async def story() -> None:
        async with tui(clinic) as shown:
            await shown.press("enter", "tab", "j", "p")
            assert "$ featurestore promote age_share 1" in shown.text
            await shown.press("enter")
            assert await ended(shown) == 0
            active = read_active(clinic / "features" / ".versions", "age_share")
            assert active is not None
            await shown.press("escape")
            await shown.until(lambda: "active" in shown.line_with("Ada Lovelace"))
            await shown.press("4", "enter", "j", "b")
            assert "$ featurestore baseline chol_level@1 " in shown.text
            await shown.press("enter")
            assert await ended(shown) == 0
            assert "is compared with run" in shown.text

    play(story)


def test_lock_writes_the_version_file_of_changed_code(clinic: Path) -> None:
    code = clinic / "features" / "cardiac.py"
    code.write_text(code.read_text().replace("/ 120", "/ 130"))

    async def story() -> None:
        async with tui(clinic) as shown:
            await shown.press("enter", "tab")
            assert "not locked" in shown.text
            await shown.press("w", "enter")
            assert await ended(shown) == 0
            await shown.press("escape")
            await shown.until(lambda: "not committed" in shown.text)

    play(story)


def test_a_read_only_session_changes_nothing_and_says_so(past: Path) -> None:
    async def story() -> None:
        async with tui(past, read_only=True) as shown:
            assert "read-only" in shown.lines[1]
            for key in ("i", "u", "w", "p", "b"):
                await shown.press(key)
                assert shown.app.screen is shown.app.screen_stack[0]
            assert [notice.partition(" ")[0] for notice in shown.notices] == [
                "ingest", "sync", "lock", "promote", "baseline",
            ]  # fmt: skip

    play(story)
