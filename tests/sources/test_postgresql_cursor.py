"""A table that is read by a cursor: what comes in is what the table says, once, and what a cursor can't see is said."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import closing
from random import Random
from typing import Any

import psycopg
import pytest

from featurestore.errors import ConfigError
from tests.conftest import Folder
from tests.sources.conftest import Shops
from tests.sources.postgres import Tables, tables
from tests.sources.test_postgresql import held, judge, use

__all__ = ["tables"]

CURSOR = 'table = "visits"\nevent_time = "at"\nid = ["key"]\ncursor = "changed"'
TABLE = """
CREATE TABLE visits
    (key int PRIMARY KEY, id text, at timestamptz, n int, changed timestamptz DEFAULT clock_timestamp());
"""


def ingest(project: Folder, *arguments: str, code: int = 0) -> dict[str, Any]:
    """What the one feature says, and the warnings."""
    document = project.run("ingest", "--json", *arguments, code=code).json
    return {**document["features"][0], "warnings": document.get("warnings", [])}


def batches(project: Folder) -> int:
    from featurestore.config import load_project
    from featurestore.offline.open import open_offline

    return len(open_offline(load_project(project.root)).raw_batches("visits"))


@pytest.fixture
def visits(tables: Tables, folder: Folder) -> Folder:
    tables.run(
        f"{TABLE} INSERT INTO visits SELECT i, i % 10, '2024-01-01'::timestamptz + i * interval '1 h', i "
        "FROM generate_series(1, 100) i"
    )
    return use(folder, tables.source(CURSOR))


def test_a_run_takes_what_came_and_one_without_news_takes_nothing(tables: Tables, visits: Folder) -> None:
    assert ingest(visits)["rows_written"] == 100
    assert ingest(visits)["status"] == "unchanged"
    tables.run(
        "INSERT INTO visits VALUES (101, 'new', '2024-02-01', 7), (102, '1', '2024-02-01', 8);"
        "UPDATE visits SET n = -5, changed = clock_timestamp() WHERE key = 5;"
        "UPDATE visits SET at = at + interval '1 min', changed = clock_timestamp() WHERE key = 6"
    )
    found = ingest(visits)
    assert (found["rows_written"], found["rows_corrected"], found["rows_withdrawn"]) == (3, 1, 1)
    assert found["rows_computed"] <= 4
    assert (held(visits), batches(visits)) == (judge(tables), 2)
    assert ingest(visits)["status"] == "unchanged"


def test_ties_and_nulls_in_the_cursor_are_taken(tables: Tables, visits: Folder) -> None:
    tables.run("UPDATE visits SET changed = '2024-05-01'")
    ingest(visits)
    tables.run(
        "INSERT INTO visits VALUES (101, 'a', '2024-02-01', 1, '2024-05-01'), (102, 'b', '2024-02-01', 2, NULL);"
        "UPDATE visits SET changed = NULL, n = 0 WHERE key = 3"
    )
    assert ingest(visits)["rows_written"] == 2
    assert held(visits) == judge(tables)
    assert ingest(visits)["status"] == "unchanged"


def test_a_transaction_that_commits_late_is_not_missed(tables: Tables, visits: Folder) -> None:
    use(visits, tables.source(f'{CURSOR}\noverlap = "0s"'))
    with closing(psycopg.connect(tables.url)) as late:
        late.execute("INSERT INTO visits VALUES (200, 'late', '2024-03-01', 9)")
        tables.run("INSERT INTO visits VALUES (201, 'quick', '2024-03-01', 9)")
        assert ingest(visits)["rows_written"] == 101
        late.commit()
    assert ingest(visits)["rows_written"] == 1
    assert held(visits) == judge(tables)


def test_what_a_cursor_misses_is_taken_by_full_and_counted(tables: Tables, visits: Folder) -> None:
    use(visits, tables.source(f'{CURSOR}\noverlap = "0s"'))
    tables.run("UPDATE visits SET changed = '2024-05-01'::timestamptz + key * interval '1 s'")
    ingest(visits)
    tables.run("UPDATE visits SET n = 1000 WHERE key IN (1, 2, 3); DELETE FROM visits WHERE key IN (50, 51)")
    assert ingest(visits)["status"] == "unchanged"
    found = ingest(visits, "--full")
    assert found["warnings"] == ["visits: 3 rows had changed without moving changed; 2 are gone"]
    assert found["rows_corrected"] == 3
    # The value of a row that is gone stays, in scope row.
    assert [row for row in held(visits) if row in judge(tables)] == judge(tables)
    assert batches(visits) == 1
    found = ingest(visits, "--full")
    assert found["warnings"] == []
    assert (found["rows_written"], found["rows_corrected"]) == (0, 0)


def test_reconcile_reads_everything_by_itself(tables: Tables, visits: Folder) -> None:
    use(visits, tables.source(f'{CURSOR}\noverlap = "0s"\nreconcile = "1us"'))
    ingest(visits)
    tables.run("UPDATE visits SET n = 1000 WHERE key = 1")
    found = ingest(visits)
    assert found["warnings"] == ["visits: 1 row had changed without moving changed; 0 are gone"]
    assert held(visits) == judge(tables)


def test_rows_without_an_identity_count_as_often_as_they_stand_there(tables: Tables, folder: Folder) -> None:
    tables.run("CREATE TABLE visits (id text, at timestamptz, n int, day date)")
    tables.run("INSERT INTO visits VALUES ('a', '2024-01-01', 1, '2024-01-01'), ('a', '2024-01-01', 1, '2024-01-01')")
    project = use(folder, tables.source('table = "visits"\nevent_time = "at"\nduplicates = "keep"\ncursor = "day"'))
    project.edit("features/visits.py", 'pl.col("n") / 2', 'pl.col("n").sum().over("id") / 2')
    ingest(project)
    assert [row[2] for row in held(project)] == [1.0]
    tables.run("INSERT INTO visits VALUES ('a', '2024-01-01', 1, '2024-01-01')")
    ingest(project)
    assert [row[2] for row in held(project)] == [1.5]
    assert ingest(project)["status"] == "unchanged"


def test_a_column_that_is_dropped_is_said_once(tables: Tables, visits: Folder) -> None:
    tables.run("ALTER TABLE visits ADD COLUMN extra text DEFAULT 'x'")
    ingest(visits)
    tables.run("ALTER TABLE visits DROP COLUMN extra; INSERT INTO visits VALUES (101, 'a', '2024-02-01', 1)")
    found = ingest(visits, code=3)
    assert found["warnings"] == ["visits: table visits has no column 'extra' any more"]
    assert held(visits) == judge(tables)
    assert ingest(visits)["status"] == "unchanged"
    tables.run("ALTER TABLE visits RENAME COLUMN changed TO changed_at")
    error = ingest(visits, code=4)["error"]
    assert (error["message"], error["hint"]) == ("has no column 'changed', its cursor", "did you mean 'changed_at'?")


def test_a_new_feature_and_a_failed_one_take_from_what_is_held(tables: Tables, visits: Folder) -> None:
    ingest(visits)
    tables.run("DELETE FROM visits WHERE key > 90")
    twice = visits.root / "features" / "visits.py"
    twice.write_text(twice.read_text() + twice.read_text().split("\n\n", 1)[1].replace("score", "other"))
    found = {item["name"]: item for item in visits.run("ingest", "--json").json["features"]}
    assert found["other"]["rows_written"] == 100
    for kept in (visits.root / ".featurestore" / "rows").rglob("*"):  # another machine has no parsed rows
        if kept.is_file():
            kept.unlink()
    twice.write_text(twice.read_text().replace("other", "third"))
    found = {item["name"]: item for item in visits.run("ingest", "--json").json["features"]}
    assert (found["third"]["rows_written"], found["score"]["rows_written"]) == (100, 0)


def test_settings_of_a_cursor_that_can_not_work_are_refused(tables: Tables, shops: Shops, visits: Folder) -> None:
    for more, message in (
        ('table = "visits"\noverlap = "1h"', "overlap is for a source with a cursor"),
        ('table = "visits"\ncursor = "changed"', "cursor needs event_time"),
        (f'{CURSOR}\noverlap = "much"', "overlap 'much' is not a duration"),
        ('table = "visits"\nevent_time = "at"\ncursor = "n"\nduplicates = "keep"\noverlap = "1h"', "reads rows again"),
    ):
        with pytest.raises(ConfigError, match=message):
            shops(tables.source(more))
    use(visits, tables.source(CURSOR.replace('"changed"', '"id"')))
    assert "column 'id' is text, which is no cursor" in ingest(visits, code=4)["error"]["message"]


@pytest.mark.parametrize(("seed", "blind"), [(0, False), (1, True)])
def test_any_history_of_a_table_comes_in_as_it_was_sent(seed: int, blind: bool, tables: Tables, visits: Folder) -> None:
    chance = Random(seed)
    late: psycopg.Connection[Any] | None = None
    last = 100
    for _ in range(6):
        for _ in range(chance.randrange(4)):
            key = chance.randint(1, last)
            last += 1
            day = chance.randint(1, 28)
            changes = [
                f"INSERT INTO visits VALUES ({last}, '{last % 12}', '2024-03-01'::timestamptz + '{last} us', 1)",
                f"UPDATE visits SET n = n + 1000, changed = clock_timestamp() WHERE key = {key}",
                f"UPDATE visits SET at = at + interval '{day} s', changed = clock_timestamp() WHERE key = {key}",
            ]
            tables.run(
                chance.choice([*changes, f"UPDATE visits SET n = n + 1 WHERE key = {key}"] if blind else changes)
            )
        if late is None and chance.random() < 0.5:
            last += 1
            late = psycopg.connect(tables.url)
            late.execute(f"INSERT INTO visits VALUES ({last}, 'late{last}', '2024-04-01', {last})".encode())
        elif late is not None:
            late.commit()
            late.close()
            late = None
        if chance.random() < 0.4:
            _kill(visits, chance.uniform(0.3, 2.5))
        visits.run("ingest", "-q")
    if late is not None:
        late.commit()
        late.close()
    visits.run("ingest", "-q", *(["--full"] if blind else []))
    assert held(visits) == judge(tables)
    assert ingest(visits)["status"] == "unchanged"


def _kill(project: Folder, after: float) -> None:
    """Starts a run, and kills it after some seconds, wherever it is by then."""
    command = [sys.executable, "-m", "featurestore", "-C", str(project.root), "ingest", "-q"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as started:
        try:
            started.wait(after)
        except subprocess.TimeoutExpired:
            started.send_signal(signal.SIGKILL)


def test_what_a_cursor_can_not_see_is_named_by_show_and_by_doctor(tables: Tables, visits: Folder) -> None:
    use(visits, tables.source(f'{CURSOR}\noverlap = "0s"\nreconcile = "7d"'))
    assert visits.run("show", "score", "--json").json["not_seen"] == [
        "a row that changes without moving changed, until ingest --full, and every 7d",
        "a row that is deleted, until ingest --full, and every 7d",
        (
            "what a transaction longer than the overlap (0) commits with an earlier changed, where the server does not "
            "let its rows' transactions be seen"
        ),
    ]
    assert "not seen" in visits.run("show", "score").out
    use(visits, tables.source('table = "visits"\nevent_time = "at"\ncursor = "changed"'))
    with closing(psycopg.connect(tables.url)) as late:
        late.execute("INSERT INTO visits VALUES (200, 'late', '2024-03-01', 9)")
        late.execute("SELECT pg_sleep(1)")
        checks = [item for item in visits.run("doctor", "--json").json["checks"] if item["area"] == "sources"]
    assert [item["state"] for item in checks] == ["ok", "warn", "warn"]
    assert checks[1]["what"].startswith("visits: a transaction has been running for ")
    assert checks[2]["hint"].startswith('id = ["key"] in [sources.visits]')


def test_an_erasure_leaves_nothing_of_an_entity_in_what_is_held(tables: Tables, visits: Folder) -> None:
    tables.run("UPDATE visits SET id = 'somebody-to-erase' WHERE id = '7'")
    ingest(visits)
    tables.run("DELETE FROM visits WHERE id = 'somebody-to-erase'")
    visits.run("delete", "one", "somebody-to-erase", "--erase")
    left = [each for each in visits.root.rglob("*") if each.is_file() and b"somebody-to-erase" in each.read_bytes()]
    assert left == []
    assert "somebody-to-erase" not in {row[0] for row in held(visits)}
    assert ingest(visits, "--full")["warnings"] == []
    assert held(visits) == judge(tables)


def test_an_erasure_says_that_the_table_still_names_the_entity(tables: Tables, visits: Folder) -> None:
    visits.run("ingest")
    said = visits.json("delete", "one", "7", "--erase", code=3)
    assert said["named_in"] == ["visits"]
    tables.run("DELETE FROM visits WHERE id = '7'")
    assert visits.json("delete", "one", "7", "--erase")["named_in"] == []
    assert visits.run("ingest").code == 0
    assert held(visits) == judge(tables)


@pytest.mark.parametrize("back", [True, False], ids=["still there", "removed"])
def test_an_erased_entity_comes_back_whole_or_not_at_all(tables: Tables, visits: Folder, back: bool) -> None:
    """Most of its rows lie before the overlap, and one within: a reading by the cursor would bring that one alone."""
    use(visits, tables.source(CURSOR + '\noverlap = "1h"'))
    tables.run("UPDATE visits SET changed = changed - interval '2 days'")
    tables.run("UPDATE visits SET changed = clock_timestamp() WHERE key = 7")
    visits.run("ingest")
    visits.run("ingest")
    visits.run("delete", "one", "7", "--erase", code=3)
    tables.run(
        "INSERT INTO visits VALUES (101, '8', '2024-02-01', 7)"
        + ("" if back else "; DELETE FROM visits WHERE id = '7'")
    )
    document = visits.run("ingest", "--json").json
    assert document.get("warnings", []) == []
    assert held(visits) == judge(tables)
    assert len([row for row in held(visits) if row[0] == "7"]) == (10 if back else 0)
    tables.run("UPDATE visits SET n = 99 WHERE key = 1")
    assert ingest(visits)["status"] == "unchanged", "nothing is read whole any more"


@pytest.mark.parametrize("overlap", ["1h", "3650d"])
def test_rows_past_a_retention_go_and_a_reading_of_everything_brings_none_back(
    tables: Tables, visits: Folder, overlap: str
) -> None:
    use(visits, tables.source(f'{CURSOR}\nkeep = "10d"\noverlap = "{overlap}"'))
    _look_back(visits)
    tables.run("UPDATE visits SET changed = '2024-01-10'")
    ingest(visits)
    before = held(visits)
    tables.run("INSERT INTO visits VALUES (101, 'a', '2024-02-01', 1, '2024-02-01')")
    assert ingest(visits)["rows_written"] == 1
    assert batches(visits) == (1 if overlap == "1h" else 2), "what the overlap brings again is compared with"
    assert ingest(visits)["status"] == "unchanged"
    found = ingest(visits, "--full")
    assert (found["rows_written"], found["rows_corrected"], found["rows_withdrawn"]) == (0, 0, 0)
    assert not any("came late" in line for line in found["warnings"])
    tables.run("INSERT INTO visits VALUES (102, 'a', '2024-02-02', 2, '2024-02-02')")
    assert ingest(visits)["rows_written"] == 1
    assert held(visits) == judge(tables)
    assert set(before) <= set(held(visits))


def _look_back(project: Folder) -> None:
    """The feature with a lookback, whose values are those of the judge."""
    (path,) = project.root.glob("features/*.py")
    text = path.read_text()
    project.write({f"features/{path.name}": text.replace('data_type="', 'lookback="2d", data_type="')})
