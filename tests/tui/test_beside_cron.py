"""The interface beside other runs: it never keeps them out, shows who writes, and follows what they commit."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from featurestore.config import load_project
from featurestore.locking import write_lock
from tests.conftest import AGE, TOML
from tests.services_postgres import PostgresServer
from tests.tui.conftest import command, play, tui


def test_twenty_ingestions_in_a_row_succeed_while_it_is_open(clinic: Path) -> None:
    bad = clinic / "visits-3.csv"
    bad.write_text(bad.read_text().replace(",430,", ",43,"))

    async def story() -> None:
        async with tui(clinic) as shown:
            await shown.press("5")
            codes: list[int] = []

            def ingest_often() -> None:
                for at in range(20):
                    day = f"2024-06-{at + 1:02}T00:00:00Z"
                    (clinic / f"visits-5{at}.csv").write_text(f"patient_id,visit_at,age,chol\n950,{day},40,200\n")
                    codes.append(command(clinic, "ingest", "chol_level"))

            thread = threading.Thread(target=ingest_often)
            thread.start()
            keys = ("j", "k", "1", "4", "5", "j")
            while thread.is_alive():
                for key in keys:
                    await shown.pilot.press(key)
                await asyncio.sleep(0.02)
            assert codes == [0] * 20

    play(story)


def test_what_was_committed_is_shown_by_itself_and_the_cursor_stays(clinic: Path) -> None:
    async def story() -> None:
        async with tui(clinic) as shown:
            await shown.press("5", "j")
            table = shown.app.place.table  # type: ignore[attr-defined]
            run = table.current.totals.run_id
            (clinic / "visits-6.csv").write_text("patient_id,visit_at,age,chol\n960,2024-07-01T00:00:00Z,40,200\n")
            await asyncio.to_thread(command, clinic, "ingest", "age_share")
            await shown.until(lambda: len(table.items) == 4)
            assert table.current.totals.run_id == run
            assert table.cursor == 2

    play(story)


def test_the_holder_of_the_lock_is_named_while_keys_go_on_working(clinic: Path) -> None:
    async def story() -> None:
        async with tui(clinic, (160, 40)) as shown:
            with write_lock(load_project(clinic)):
                await shown.until(lambda: "busy: " in shown.text)
                await shown.press("j", "enter")
                assert shown.app.here.feature == "chol_level"
            await shown.until(lambda: "busy: " not in shown.text)

    play(story)


def test_another_program_that_keeps_the_history_open_is_named_while_keys_go_on_working(clinic: Path) -> None:
    path = load_project(clinic).state / "history.duckdb"
    holding = f"import duckdb; held = duckdb.connect({str(path)!r}); print(flush=True); input()"

    async def story() -> None:
        async with tui(clinic, (160, 40)) as shown:
            pipe = subprocess.PIPE
            with subprocess.Popen([sys.executable, "-c", holding], stdin=pipe, stdout=pipe) as holder:
                assert holder.stdout is not None
                holder.stdout.readline()
                await shown.until(lambda: f"(pid {holder.pid})" in shown.lines[0])
                assert "busy: " in shown.lines[0]
                await shown.pilot.press("j", "enter")
                assert shown.app.here.feature == "chol_level"
                await asyncio.to_thread(holder.communicate, b"\n")
            await shown.until(lambda: "busy: " not in shown.text and "data sets  …" not in shown.text)

    play(story)


def test_what_is_wrong_fits_into_80_columns_whatever_the_path(clinic: Path) -> None:
    async def story() -> None:
        async with tui(clinic, (80, 24)) as shown:
            (clinic / "featurestore.toml").write_text("[project\n")
            await shown.press("r")
            await shown.until(lambda: "featurestore.toml:" in shown.lines[0])
            assert str(clinic) not in shown.lines[0]

    play(story)


def test_how_old_what_is_shown_is_stands_at_the_top(past: Path) -> None:
    async def story() -> None:
        async with tui(past) as shown:
            assert shown.lines[0].endswith("test · now")
            shown.app._read_at = (shown.app._read_at or 0.0) - 180
            await shown.until(lambda: shown.lines[0].endswith("test · 3 min old"))

    play(story)


def test_keys_are_answered_while_a_query_of_seconds_runs(past: Path) -> None:
    """The query is a real one, of DuckDB in a thread; the answer comes long before its end."""
    import duckdb

    connection = duckdb.connect()

    def query() -> int:
        found = connection.execute("SELECT count(*) FROM range(100000000000) t(x) WHERE x % 7 = 3").fetchone()
        return 0 if found is None else int(found[0])

    async def story() -> None:
        async with tui(past) as shown:
            ended: list[int] = []
            shown.app.load("slow", query, ended.append, lambda _what, _error: ended.append(-1))
            for at in (1, 2, 1, 0):
                await shown.pilot.press("j" if at else "g")
            await shown.pilot.press("4")
            assert shown.app.here.place == "drift"
            assert ended == []
            connection.interrupt()
            await shown.until(lambda: ended == [-1])

    play(story)


def test_what_another_checkout_commits_to_a_server_is_shown_by_itself(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("featurestore.tui.app.SERVER_SECONDS", 0.2)
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    (mine / "features").mkdir(parents=True)
    store = f'[offline]\nurl = "{postgres.url}"\n'
    (mine / "featurestore.toml").write_text(TOML.replace('"test"', '"polled"') + store)
    (mine / "features" / "cardiac.py").write_text(AGE)
    (mine / "visits-1.csv").write_text("patient_id,visit_at,age,chol\n1,2024-07-01T00:00:00Z,40,200\n")
    assert command(mine, "ingest") == 0
    shutil.copytree(mine, theirs)
    (theirs / "visits-2.csv").write_text("patient_id,visit_at,age,chol\n2,2024-07-01T00:00:00Z,50,200\n")

    async def story() -> None:
        async with tui(mine) as shown:
            await shown.press("5")
            table = shown.app.place.table  # type: ignore[attr-defined]
            assert len(table.items) == 1
            assert await asyncio.to_thread(command, theirs, "ingest") == 0
            await shown.until(lambda: len(table.items) == 2)
            await shown.press("1")
            await shown.until(lambda: shown.line_with("age_share").split()[4:7] == ["active", "1", "2"])

    play(story)
