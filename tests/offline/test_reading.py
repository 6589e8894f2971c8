"""A DuckDB file is attached while somebody reads it: writers wait for the last reader, and for nobody else."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from featurestore.config import DriftSettings, Project
from featurestore.errors import StoreError
from featurestore.offline.duckdb import engine as engines
from featurestore.offline.duckdb.place import FILE
from featurestore.offline.duckdb.store import DuckDBStore
from tests.offline.history import learn, version

OF = version("int")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path, "test", {}, {}, DriftSettings())
    learn(DuckDBStore(project), OF, [("a", 0, 1)], "r1")
    return project


def another_process_may_write(project: Project) -> bool:
    code = "import duckdb, sys; duckdb.connect(sys.argv[1]).execute('CREATE TABLE IF NOT EXISTS other (i INT)')"
    command = [sys.executable, "-c", code, str(project.state / FILE)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def idle() -> engines.Engine | None:
    """The DuckDB that nobody uses at the moment."""
    return engines._idle


def test_a_reader_keeps_writers_of_other_processes_out_until_it_is_done(project: Project) -> None:
    store = DuckDBStore(project)
    with store.reading():
        assert store.latest(OF).height == 1
        assert not another_process_may_write(project)
    assert another_process_may_write(project)


def test_between_two_reads_of_a_store_that_is_ready_anybody_may_write(project: Project) -> None:
    store = DuckDBStore(project)
    with store.ready():
        assert store.latest(OF).height == 1
        assert another_process_may_write(project)
        learn(DuckDBStore(project), OF, [("b", 0, 2)], "r2")
        assert store.latest(OF).height == 2
        learn(store, OF, [("c", 0, 3)], "r3")
        assert store.latest(OF).height == 3


def test_the_file_is_kept_until_the_last_reader_of_a_process_is_done(project: Project) -> None:
    """The lock on a file is the process's: were it opened twice, whoever closes it first would give it away."""
    other_way = project.root.with_name("other_way")
    other_way.symlink_to(project.root)
    first, second = DuckDBStore(project), DuckDBStore(replace(project, root=other_way))
    with first.reading():
        assert first.latest(OF).height == 1
        with second.reading():
            assert second.latest(OF).height == 1
        assert not another_process_may_write(project)
        assert first.scan(OF).height == 1
    assert another_process_may_write(project)


def test_threads_read_side_by_side(project: Project) -> None:
    learn(DuckDBStore(project), OF, [(f"p{n}", 0, n) for n in range(5_000)], "r2")
    found: list[int] = []

    def read() -> None:
        store = DuckDBStore(project)
        found.extend(store.latest(OF).height for _ in range(20))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [5_001] * 80


def test_a_writer_in_the_same_process_waits_and_is_told(project: Project) -> None:
    reader, writer = DuckDBStore(project), DuckDBStore(project, patience=0.2)
    with reader.reading():
        assert reader.latest(OF).height == 1
        with pytest.raises(StoreError, match="held"):
            learn(writer, OF, [("b", 0, 2)], "r2")
    learn(writer, OF, [("b", 0, 2)], "r2")
    assert reader.latest(OF).height == 2


def test_a_reader_waits_for_a_writer_in_the_same_process(project: Project) -> None:
    reader, writer = DuckDBStore(project, patience=0.2), DuckDBStore(project)
    with writer.writing("r2"), pytest.raises(StoreError, match="held"):
        reader.latest(OF)
    assert reader.latest(OF).height == 1


def test_rows_are_handed_over_in_batches_while_more_is_asked(project: Project) -> None:
    store = DuckDBStore(project)
    with store.reading():
        for batch in store.batches(OF):
            assert store.mark(OF) is not None
            assert batch.height == 1


def test_a_file_that_is_no_database_is_said_to_be(project: Project) -> None:
    (project.state / FILE).write_bytes(b"x" * 10_000)
    with pytest.raises(StoreError, match="not a valid DuckDB database"):
        DuckDBStore(project).latest(OF)


def test_a_file_that_is_replaced_between_two_reads_is_read_anew(project: Project, tmp_path: Path) -> None:
    """The DuckDB goes on running without the file."""
    (tmp_path / "other").mkdir()
    other = Project(tmp_path / "other", "test", {}, {}, DriftSettings())
    learn(DuckDBStore(other), OF, [("b", 0, 2), ("c", 0, 3)], "r1")
    (project.state / "history.json").unlink(missing_ok=True)  # which knows the run of the file that is replaced
    assert DuckDBStore(project).latest(OF).height == 1
    (other.state / FILE).replace(project.state / FILE)
    assert DuckDBStore(project).latest(OF).height == 2


@pytest.mark.parametrize("spilled", [False, True])
def test_the_duckdb_that_is_left_reads_another_project_unless_it_has_spilled(
    project: Project, tmp_path: Path, *, spilled: bool
) -> None:
    (tmp_path / "other").mkdir()
    other = Project(tmp_path / "other", "test", {}, {}, DriftSettings())
    learn(DuckDBStore(other), OF, [("b", 0, 2), ("c", 0, 3)], "r1")
    store = DuckDBStore(project)
    with store.reading():
        assert store.latest(OF).height == 1
        (engine,) = engines._engines.values()
        if spilled:
            reader = engine.attach()
            reader.execute("SET memory_limit = '16MB'; CREATE TEMP TABLE much AS SELECT random() FROM range(4_000_000)")
            reader.execute("DROP TABLE much")
            engine.detach(reader)
    assert DuckDBStore(other).latest(OF).height == 2
    assert (engines._idle is engine) is not spilled
    assert DuckDBStore(project).latest(OF).height == 1


def test_after_a_damaged_file_the_whole_one_is_read(project: Project) -> None:
    path = project.state / FILE
    whole = path.read_bytes()
    assert DuckDBStore(project).latest(OF).height == 1
    path.write_bytes(whole[:5000] + bytes([whole[5000] ^ 0xFF]) + whole[5001:12_300] + b"\0" * (len(whole) - 12_300))
    with pytest.raises(StoreError):
        DuckDBStore(project).latest(OF)
    path.write_bytes(whole)
    assert DuckDBStore(project).latest(OF).height == 1


def test_a_forked_child_reads_what_its_parent_has_read(project: Project) -> None:
    """DuckDB's threads are not in the child, so it must not find a DuckDB there."""
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom featurestore.config import DriftSettings, Project\n"
        "from featurestore.offline.duckdb.store import DuckDBStore\n"
        "store = DuckDBStore(Project(Path(sys.argv[1]), 'test', {}, {}, DriftSettings()))\n"
        "assert len(store.committed_runs()) == 1\n"
        "child = os.fork()\n"
        "if not child:\n    os._exit(40 + len(store.committed_runs()))\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(project.root)], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 41, ran.stderr


def test_a_writer_uses_the_duckdb_that_runs_already_and_leaves_it_for_the_next(project: Project) -> None:
    store = DuckDBStore(project)
    assert store.latest(OF).height == 1
    running = idle()
    assert running is not None
    with store.writing("r2"):
        assert idle() is None
    assert idle() is running
    assert another_process_may_write(project)


def test_a_run_that_fails_leaves_the_file_to_others_and_the_next_run_is_stored(project: Project) -> None:
    store = DuckDBStore(project)
    with pytest.raises(RuntimeError), store.writing("r2"):
        raise RuntimeError
    assert another_process_may_write(project)
    learn(store, OF, [("b", 0, 2)], "r3")
    assert store.latest(OF).height == 2


def test_a_writer_leaves_no_write_ahead_log_beside_the_file(project: Project) -> None:
    store = DuckDBStore(project)
    store.set_erasures([])  # no run, and no checkpoint of its own
    assert [path.name for path in project.state.glob(f"{FILE}*")] == [FILE]
