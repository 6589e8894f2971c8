"""What is PostgreSQL's own: projects side by side, writers from several machines, names, text, formats."""

import gc
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import adbc_driver_manager as adbc
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from featurestore.config import Project
from featurestore.errors import ConfigError, FeatureError, LockedError, NewerFormatError, StoreError
from featurestore.model import DataType, EntityType, Key, StoredVersion, VersionId
from featurestore.offline import schema
from featurestore.offline.audit_rows import table_name
from featurestore.offline.postgres import run as postgres_run
from featurestore.offline.postgres.store import PostgresStore
from featurestore.offline.postgres.tables import schema_name
from featurestore.tables.types import history_schema
from tests.offline.conftest import postgres_project
from tests.offline.history import PAIR, START, Judge, frame, learn, run_of, same, version
from tests.offline.older import TO_FORMAT_1
from tests.often import examples
from tests.services_postgres import PostgresServer

New = Callable[[], PostgresStore]


@pytest.fixture
def project(postgres: PostgresServer, tmp_path: Path) -> Iterator[Project]:
    made = postgres_project(postgres, tmp_path)
    yield made
    postgres.run(f'DROP SCHEMA IF EXISTS "fs_{made.name}" CASCADE')


@pytest.fixture
def new(project: Project) -> New:
    """The same project as another machine has it open."""
    return lambda: PostgresStore(project)


@pytest.mark.parametrize(
    ("data_type", "values"),
    [
        ("date", [date(1, 1, 1), date(1969, 12, 31), date(9999, 12, 31), None]),
        ("datetime", [datetime(1, 1, 1), datetime(2024, 3, 10, 2, 30, 0, 1), datetime.max, None]),
        ("float", [-0.0, 5e-324, 1.7976931348623157e308, 0.1 + 0.2, float("nan"), float("-inf"), None]),
        ("string", ["", " ", "\\N", "\\.", "NULL", "a\tb\r\n", "😀", "e\u0301", "\u00e9", "x" * 1_000_000, None]),
        ("list[float]", [[], [None], [float("nan"), -0.0, None], [1.0] * 4096, None]),
        ("int", [2**63 - 1, -(2**63), 0, None]),
    ],
)  # fmt: skip
def test_values_come_back_bit_for_bit(new: New, data_type: str, values: list[object]) -> None:
    of = version(data_type)
    rows = frame(of, [(f"p{at:02}", at, value) for at, value in enumerate(values)])
    with new().writing("r1") as run:
        run.write(of, rows)
        run.finish(run_of((run.run_seq, run.learned_at), "r1"))
    found = new().scan(of)
    assert found.schema == history_schema(of)
    assert found["value"].equals(rows["value"])
    with new().writing("r2") as run:
        assert run.write(of, rows).unchanged == len(values)


def test_times_do_not_move_with_the_zones_of_client_and_server(
    new: New, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = version("datetime")
    learn(new(), of, [("a", 0, datetime(2024, 3, 10, 2, 30))], "r1")
    postgres.run("ALTER ROLE postgres SET timezone = 'America/New_York'")
    try:
        monkeypatch.setenv("TZ", "Asia/Kolkata")
        monkeypatch.setenv("PGTZ", "Asia/Kolkata")
        store = new()
        assert store.scan(of)["computed_at", "value"].rows() == [(START, datetime(2024, 3, 10, 2, 30))]
        assert learn(store, of, [("a", 0, datetime(2024, 3, 10, 2, 30))], "r2").unchanged == 1
    finally:
        postgres.run("ALTER ROLE postgres RESET timezone")


@pytest.mark.parametrize(
    ("of", "row", "said"),
    [
        (version("string"), ("b", 1, "x\0y"), "patient_id='b'.*value holds a NUL"),
        (version(), ("b\0", 1, 1.0), "patient_id holds a NUL"),
        (version(), ("b" * 3000, 1, 1.0), "more than 2,600 bytes"),
    ],
)
def test_what_postgresql_has_no_place_for_is_refused_by_its_row_and_ends_nothing_else(
    new: New, of: StoredVersion, row: tuple[str, int, object], said: str
) -> None:
    good = replace(of, id=VersionId("other", "c" * 64))
    value = "v" if of.data_type.kind == "string" else 2.0
    with new().writing("r1") as run:
        with pytest.raises(FeatureError, match=said) as caught:
            run.write(of, frame(of, [("a", 0, value), row]))
        assert caught.value.hint
        run.write(good, frame(good, [("a", 0, value)]))
        run.finish(run_of((run.run_seq, run.learned_at), "r1"))
    assert new().scan(of).is_empty()
    assert new().scan(good).height == 1


def test_the_longest_names_fit(new: New, postgres: PostgresServer, tmp_path: Path) -> None:
    entity = EntityType("e", tuple(Key(letter * 48, "string") for letter in "abc"))
    of = StoredVersion(VersionId("f" * 48, "a" * 64), 1, entity, DataType("float"))
    other = replace(of, id=VersionId("f" * 48, "b" * 64))
    assert len(table_name(of.id)) <= 63
    for each in (of, other):
        learn(new(), each, [("x", "y", "z", 0, 1.0)], f"r{each.id.sha256[0]}")
    assert new().scan(of).height == new().scan(other).height == 1
    one, two = schema_name("p" * 63), schema_name("p" * 62 + "q")
    assert one != two
    assert max(len(one), len(two)) <= 63


def test_projects_share_a_database_and_nothing_else(postgres: PostgresServer, tmp_path: Path) -> None:
    names = ("shared-A", "shared-a", 'shared"; DROP TABLE x; --', "select")
    projects = [replace(postgres_project(postgres, tmp_path), name=name) for name in names]
    try:
        for number, each in enumerate(projects):
            learn(PostgresStore(each), version(), [("a", number, 1.0)], "r1")
        for number, each in enumerate(projects):
            store = PostgresStore(each)
            assert [item.run_seq for item in store.committed_runs()] == [1]
            assert store.scan(version())["computed_at"].to_list() == [START + timedelta(days=number)]
    finally:
        for each in projects:
            quoted = schema_name(each.name).replace('"', '""')
            postgres.run(f'DROP SCHEMA IF EXISTS "{quoted}" CASCADE')


def test_two_writers_take_turns_and_run_seq_is_the_order_of_commits(new: New) -> None:
    """Reads between the commits see whole runs, in order, and never a number whose run is not there yet."""
    of, runs, seen, problems = version(), 12, [], []
    done, together = threading.Event(), threading.Barrier(2)

    def write(name: str) -> None:
        store = new()
        try:
            for at in range(runs):
                together.wait(timeout=30)  # both want the lock each time
                learn(store, of, [(f"{name}{at}", at, float(at)), (f"{name}{at}", at + 1, 0.0)], f"{name}-{at}")
        except Exception as exc:  # noqa: BLE001  # told in the assertion below
            problems.append(exc)

    def watch() -> None:
        store = new()
        while not done.is_set():
            with store.reading():
                learned = store.committed_runs()
                history = store.scan(of)
            seen.append((learned, history))

    writers = [threading.Thread(target=write, args=(name,)) for name in ("x", "y")]
    watcher = threading.Thread(target=watch)
    for thread in (*writers, watcher):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    watcher.join()
    assert problems == []
    learned = new().committed_runs()
    assert [item.run_seq for item in learned] == list(range(1, 2 * runs + 1))
    times = [item.learned_at for item in learned]
    assert times == sorted(set(times))
    assert len({item.run_id[0] for item in learned[:runs]}) == 2, "they do take turns"
    for then, history in seen:
        assert then == learned[: len(then)], "what was once read stays, and nothing is put in before it"
        assert history["run_seq"].unique().sort().to_list() == [item.run_seq for item in then]
        assert history.height == 2 * len(then)


def test_a_burst_of_reads_sees_one_moment(new: New) -> None:
    of, store = version(), new()
    learn(store, of, [("a", 0, 1.0)], "r1")
    with store.reading():
        assert len(store.committed_runs()) == 1
        learn(new(), of, [("a", 0, 2.0)], "r2")
        assert len(store.committed_runs()) == 1
        assert store.latest(of)["value"].to_list() == [1.0]
    assert store.latest(of)["value"].to_list() == [2.0]


def test_of_the_drivers_of_stores_that_are_let_go_the_last_one_stays_for_the_next(
    new: New, project: Project, postgres: PostgresServer
) -> None:
    def used(store: PostgresStore) -> adbc.AdbcDatabase:
        store.committed_runs()
        assert store._server._driver is not None
        database: adbc.AdbcDatabase = store._server._driver.database
        adbc.AdbcConnection(database).close()
        return database

    first, second = used(new()), used(new())
    assert first is second
    gc.collect()
    assert used(new()) is first
    gc.collect()
    other = replace(project, offline_url=postgres.tcp)
    assert used(PostgresStore(other)) is not first
    gc.collect()
    with pytest.raises(adbc.Error):
        adbc.AdbcConnection(first)


def test_threads_read_by_connections_of_their_own(new: New) -> None:
    of, store = version(), new()
    learn(store, of, [("a", 0, 1.0)], "r1")
    found: list[int] = []
    with store.reading():
        store.committed_runs()
        threads = [threading.Thread(target=lambda: found.append(store.scan(of).height)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(store.committed_runs()) == 1
    assert found == [1, 1, 1, 1]


def test_who_waits_for_the_lock_in_vain_is_told_who_holds_it(new: New, project: Project) -> None:
    hurried = PostgresStore(replace(project, lock_timeout=0.2))
    learn(hurried, version(), [("a", 0, 1.0)], "r0")
    with new().writing("r1") as run:
        with (
            pytest.raises(LockedError, match=r"featurestore pid \d+ on .*waited 0.2 s") as caught,
            hurried.writing("r2"),
        ):
            pass
        assert caught.value.exit_code == 11
        hurried.log(run_of(None, "r3", status="failed"))  # nothing in it is in order
        run.finish(run_of((run.run_seq, run.learned_at), "r1"))


def test_a_first_run_leaves_no_trace_until_it_commits(new: New, postgres: PostgresServer, project: Project) -> None:
    with new().writing("r1", dry_run=True) as run:
        run.write(version(), frame(version(), [("a", 0, 1.0)]))
    assert postgres.sql(f"SELECT 1 FROM pg_namespace WHERE nspname = 'fs_{project.name}'") == []


def test_a_newer_format_is_refused_and_left_alone(new: New, postgres: PostgresServer, project: Project) -> None:
    store = new()
    learn(store, version(), [("a", 0, 1.0)], "r1")
    postgres.run(f'UPDATE "fs_{project.name}".meta SET format = 99')
    write = lambda: learn(store, version(), [("b", 0, 1.0)], "r2")  # noqa: E731
    for act in (store.committed_runs, lambda: store.scan(version()), write):
        with pytest.raises(NewerFormatError) as caught:
            act()
        assert caught.value.exit_code == 13


def set_back(postgres: PostgresServer, project: Project) -> None:
    """Makes the schema one of the release before the last."""
    postgres.run(f'SET search_path = "fs_{project.name}"; {TO_FORMAT_1}')


def formats(postgres: PostgresServer, project: Project) -> int:
    return int(postgres.sql(f'SELECT format FROM "fs_{project.name}".meta')[0]["format"])


def test_an_older_format_is_read_as_it_is_and_brought_up_to_date_by_who_writes(
    new: New, postgres: PostgresServer, project: Project
) -> None:
    learn(new(), version(), [("a", 0, 1.0)], "r1")
    set_back(postgres, project)
    assert new().scan(version()).height == 1
    assert new().datasets() == []
    assert formats(postgres, project) == 1, "who reads changes nothing"
    with new().writing("r2", dry_run=True) as run:
        run.write(version(), frame(version(), [("b", 0, 1.0)]))
    assert formats(postgres, project) == 1
    new().log(run_of(None, "failed", status="failed"))
    assert formats(postgres, project) == schema.FORMAT
    learn(new(), version(), [("b", 0, 1.0)], "r3")
    assert new().scan(version()).height == 2
    assert [run.run_seq for run in new().runs()].count(None) == 1


def test_a_migration_that_breaks_leaves_what_was_there(
    new: New, postgres: PostgresServer, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn(new(), version(), [("a", 0, 1.0)], "r1")
    set_back(postgres, project)
    with monkeypatch.context() as patch:
        patch.setitem(schema.MIGRATIONS, 2, schema.MIGRATIONS[2] + "SELECT pg_terminate_backend(pg_backend_pid());")
        with pytest.raises(StoreError):
            learn(new(), version(), [("b", 0, 1.0)], "r2")
    assert formats(postgres, project) == 1
    assert new().scan(version()).height == 1
    learn(new(), version(), [("b", 0, 1.0)], "r2")
    assert (formats(postgres, project), new().scan(version()).height) == (schema.FORMAT, 2)


def test_a_database_that_cannot_hold_every_text_is_refused(postgres: PostgresServer, project: Project) -> None:
    postgres.run("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    url = postgres.url.replace("/postgres?", "/latin?")
    try:
        with pytest.raises(ConfigError, match="LATIN1"):
            learn(PostgresStore(replace(project, offline_url=url)), version(), [("a", 0, 1.0)], "r1")
    finally:
        postgres.run("DROP DATABASE latin")


def test_who_may_only_read_reads(postgres: PostgresServer, project: Project) -> None:
    learn(PostgresStore(project), version(), [("a", 0, 1.0)], "r1")
    schema = f'"fs_{project.name}"'
    postgres.run(
        f"CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA {schema} TO reader; "
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO reader"
    )
    try:
        reader = PostgresStore(replace(project, offline_url=postgres.url.replace("postgres@", "reader@")))
        wanted = pl.DataFrame({"patient_id": ["a", "z", None, "a"]})
        assert reader.scan(version(), entities=wanted).height == 1
        with pytest.raises(Exception, match="may not write in the schema") as caught:
            learn(reader, version(), [("b", 0, 1.0)], "r2")
        assert "GRANT" in str(caught.value.hint)  # type: ignore[attr-defined]
    finally:
        postgres.run("DROP OWNED BY reader; DROP ROLE reader")


def test_a_mark_counts_the_rows_and_batches_give_them(new: New, project: Project) -> None:
    of, store = version(), new()
    assert store.mark(of) is None
    assert list(store.batches(of)) == []
    learn(store, of, [(f"p{at}", at % 7, float(at)) for at in range(500)], "r1")
    learn(store, of, [("p1", 1, -1.0), ("q", 0, 1.0)], "r2")
    mark, before = store.mark(of), store.mark(of, up_to_run=1)
    assert mark is not None
    assert before is not None
    assert (mark.rows, mark.run_seq, mark.run_id) == (502, 2, "r2")
    assert (before.rows, before.run_seq, before.run_id, before.store_id) == (500, 1, "r1", mark.store_id)
    pieces = list(PostgresStore(project, pages_per_batch=1).batches(of))
    assert len(pieces) > 1
    assert pl.concat(pieces).sort("patient_id", "computed_at", "run_seq").equals(store.scan(of))
    assert sum(piece.height for piece in store.batches(of, up_to_run=1)) == 500


def test_batches_are_of_one_snapshot_though_several_connections_read_them(new: New, project: Project) -> None:
    of, store = version(), PostgresStore(project, pages_per_batch=1)
    learn(store, of, [(f"p{at}", at % 7, float(at)) for at in range(500)], "r1")
    with store.reading():
        batches = store.batches(of)
        first = next(batches)
        learn(new(), of, [(f"q{at}", 0, 1.0) for at in range(500)], "r2")
        assert len(first) + sum(len(rows) for rows in batches) == 500
        assert sum(len(rows) for rows in store.batches(of)) == 500


def test_batches_that_are_not_taken_to_the_end_leave_no_connection(
    new: New, project: Project, postgres: PostgresServer
) -> None:
    of, store = version(), PostgresStore(project, pages_per_batch=1)
    learn(store, of, [(f"p{at}", at % 7, float(at)) for at in range(2_000)], "r1")
    batches = store.batches(of)
    next(batches)
    del batches
    gc.collect()
    ours = f"SELECT count(*) AS n FROM pg_stat_activity WHERE application_name LIKE 'featurestore pid {os.getpid()} %'"
    deadline = time.monotonic() + 10
    while (open_ones := int(postgres.sql(ours)[0]["n"])) and time.monotonic() < deadline:
        time.sleep(0.02)  # the server takes a moment to end a process
    assert open_ones == 0
    assert new().scan(of).height == 2_000


def test_batches_come_over_one_connection_where_the_server_gives_no_more(
    postgres: PostgresServer, project: Project
) -> None:
    of = version()
    learn(PostgresStore(project), of, [(f"p{at}", at % 7, float(at)) for at in range(500)], "r1")
    schema = f'"fs_{project.name}"'
    postgres.run(
        f"CREATE ROLE single LOGIN CONNECTION LIMIT 1; GRANT USAGE ON SCHEMA {schema} TO single; "
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO single"
    )
    try:
        alone = replace(project, offline_url=postgres.url.replace("postgres@", "single@"))
        pieces: list[pl.DataFrame] = []
        deadline = time.monotonic() + 30
        while not pieces:  # the server counts a connection that was closed until its process has ended
            try:
                pieces = list(PostgresStore(alone, pages_per_batch=1).batches(of))
            except StoreError:
                assert time.monotonic() < deadline
        assert len(pieces) > 1
        assert sum(len(rows) for rows in pieces) == 500
    finally:
        postgres.run("DROP OWNED BY single; DROP ROLE single")


def test_many_entities_are_asked_for_in_parts(project: Project) -> None:
    of, store = version(entity_type=PAIR), PostgresStore(project, entities_per_query=4)
    rows = [(number, letter, day, 1.0) for number in range(9) for letter in "zya" for day in (0, 1)]
    learn(store, of, rows, "r1")
    wanted = pl.DataFrame(
        {"store": list(range(20)), "product": ["y"] * 20}, schema={"store": pl.Int32, "product": pl.String}
    )
    expected = store.scan(of).filter(pl.col("product") == "y")
    assert store.scan(of, entities=wanted).equals(expected)
    assert store.scan(of, entities=wanted.clear()).is_empty()


KEYS, DAYS = st.tuples(st.integers(1, 2), st.sampled_from(["a", "é", ""])), st.integers(0, 3)
VALUES = st.sampled_from([0, 1, 2, -(2**63), None])
RUNS = st.lists(st.dictionaries(st.tuples(KEYS, DAYS), VALUES, max_size=8), min_size=1, max_size=4)


@pytest.mark.parametrize("looked_up", [True, False])
@settings(max_examples=examples(4), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(runs=RUNS)
def test_however_the_held_values_are_found_the_history_is_the_judges(
    postgres: PostgresServer,
    tmp_path_factory: pytest.TempPathFactory,
    looked_up: bool,
    runs: list[dict[tuple[tuple[int, str], int], int | None]],
) -> None:
    made = postgres_project(postgres, tmp_path_factory.mktemp("store"))
    store, of, judge = PostgresStore(made), version("int", PAIR), Judge()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postgres_run, "LOOKED_UP_AS_FETCHED", 0 if looked_up else 1_000)
        patch.setattr(postgres_run, "LOOKUP_ROWS", 3)
        for seq, run in enumerate(runs, start=1):
            written = learn(store, of, [(*key, day, value) for (key, day), value in run.items()], f"r{seq}")
            expected = judge.learn(seq, [(key, day, value) for (key, day), value in run.items()])
            assert (written.new, written.corrected, written.unchanged) == expected
    rows = [
        ((one, two), (at - START) // timedelta(days=1), seq, value)
        for one, two, at, seq, _, value in store.scan(of).rows()
    ]
    postgres.run(f'DROP SCHEMA IF EXISTS "fs_{made.name}" CASCADE')
    assert len(rows) == len(judge.rows)
    assert all(row[:3] == right[:3] and same(row[3], right[3]) for row, right in zip(rows, judge.scan(), strict=True))
