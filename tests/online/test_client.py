"""`FeatureStore.online()`: what a serving process holds."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Any

import polars as pl
import pytest

from featurestore import FeatureStore
from featurestore.client import EntityId, OnlineReader
from featurestore.config import Project
from featurestore.errors import NoProjectError, UsageError
from featurestore.online.contract import OnlineStore
from featurestore.online.open import open_online
from featurestore.online.redis import wire
from featurestore.online.redis.servers import RedisNode
from featurestore.serving.reader import Reader
from featurestore.workflows.sync import sync
from tests.online.cases import PATIENT, SHELF, History, make_project, make_version
from tests.services import Server

AGE, STOCK = make_version("age"), make_version("stock", kind="int", entity_type=SHELF)
MONDAY = datetime(2024, 1, 1)
NOW = 1_704_100_000_000_000


@pytest.fixture
def reader(history: History, store: OnlineStore, project: Project) -> Iterator[OnlineReader]:
    history.learn({AGE: [(f"p{n}", MONDAY, n / 10) for n in range(100)], STOCK: [("s1", 7, MONDAY, 3)]})
    sync(project, history.store, store, [AGE, STOCK])
    with OnlineReader(project) as reader:
        yield reader


def test_values_come_with_time_and_version(reader: OnlineReader) -> None:
    (row,) = reader.get("patient", ["p3"], now=NOW)
    assert (row["age"].value, row["age"].status, row["age"].version) == (0.3, "ok", 1)
    assert row["age"].time == datetime(2024, 1, 1, tzinfo=UTC)


def test_bare_values_in_the_order_asked(reader: OnlineReader) -> None:
    assert reader.values("patient", ["p2", "nobody", "p1"], ["age"]) == [{"age": 0.2}, {"age": None}, {"age": 0.1}]


@pytest.mark.parametrize("entity", [{"store": "s1", "product": 7}, "store=s1,product=7", '{"store":"s1","product":7}'])
def test_a_composite_id_in_each_form(reader: OnlineReader, entity: EntityId) -> None:
    assert reader.values("shelf", [entity]) == [{"stock": 3}]


@pytest.mark.parametrize(
    ("entity_type", "entity"),
    [("patient", 7), ("patient", {"patient_id": 7}), ("patient", {}), ("shelf", {"store": "s1", "product": "7"}),
     ("shelf", {"store": "s1", "product": 7, "x": 1}), ("shelf", 7), ("shelf", {"store": "s1", "product": True})],
)  # fmt: skip
def test_what_is_not_an_id_is_refused(reader: OnlineReader, entity_type: str, entity: EntityId) -> None:
    with pytest.raises(UsageError):
        reader.get(entity_type, [entity])


def test_no_entities_give_no_rows(reader: OnlineReader) -> None:
    assert reader.values("patient", []) == []


def test_threads_share_a_reader_while_a_sync_runs(reader: OnlineReader, history: History, store: OnlineStore) -> None:
    names = [f"p{n}" for n in range(100)]

    def read(turn: int) -> set[int]:
        rows = reader.get("patient", names, ["age"], now=NOW)
        versions = {row["age"].version for row in rows}
        ages = [row["age"].value for row in rows]
        factor = {1: 10, 2: 5}[max(versions)]
        assert ages == [n / factor for n in range(100)], turn
        return versions

    two = make_version("age", 2)
    history.learn({two: [(name, MONDAY, n / 5) for n, name in enumerate(names)]})
    with ThreadPoolExecutor(8) as pool:
        seen = pool.map(read, range(200))
        sync(history.project, history.store, store, [two])
        assert all(len(versions) == 1 for versions in seen), "one read, one version"
    assert reader.get("patient", ["p1"], ["age"])[0]["age"].version == 2


def test_ever_new_questions_do_not_fill_the_memory(reader: OnlineReader, project: Project, store: OnlineStore) -> None:
    small = Reader(project.name, store, lookups=3)
    for length in range(6, 20):
        reference = f"age@{AGE.id.sha256[:length]}"
        assert small.values(PATIENT, [{"patient_id": "p3"}], [reference], NOW) == [{reference: 0.3}]
    assert len(small._cache.lookups) <= 3


def files_open() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_threads_that_have_ended_leave_no_file_open(reader: OnlineReader) -> None:
    """A server with a thread for each request must not run out of files."""
    reader.values("patient", ["p1"])
    before = files_open()
    for _ in range(40):
        thread = Thread(target=reader.values, args=("patient", ["p2"]))
        thread.start()
        thread.join()
    assert files_open() <= before + 3


def test_a_fork_reads_on_its_own_connection(reader: OnlineReader) -> None:
    reader.values("patient", ["p1"])
    child = os.fork()
    if child == 0:
        good = all(reader.values("patient", ["p2"]) == [{"age": 0.2}] for _ in range(50))
        os._exit(0 if good else 1)
    assert all(reader.values("patient", ["p1"]) == [{"age": 0.1}] for _ in range(50))
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
def test_a_file_that_was_replaced_is_opened_anew(reader: OnlineReader, history: History, project: Project) -> None:
    assert reader.values("patient", ["p1"]) == [{"age": 0.1}]
    for path in project.state.glob("online.sqlite*"):
        path.unlink()
    with pytest.raises(UsageError, match="no feature"):
        reader.values("patient", ["p1"], ["age"])
    two = make_version("age", 2)
    history.learn({two: [("p1", MONDAY, 5.0)]})
    fresh = open_online(project)
    sync(project, history.store, fresh, [two])
    fresh.close()
    assert reader.values("patient", ["p1"]) == [{"age": 5.0}]


def test_a_cluster_is_read_in_one_call(cluster: list[Server], tmp_path: Path) -> None:
    project = make_project(tmp_path, url=f"redis+cluster://127.0.0.1:{cluster[0].port}")
    history = History(project)
    history.learn({AGE: [(f"p{n}", MONDAY, n / 10) for n in range(200)]})
    sync(project, history.store, open_online(project), [AGE])
    with OnlineReader(project) as reader:
        found = reader.values("patient", [f"p{n}" for n in range(200)])
    assert found == [{"age": n / 10} for n in range(200)]
    holding = [server.client().dbsize() for server in cluster]
    assert min(holding) > 20, "every shard holds a part"


def test_values_that_move_while_a_cluster_is_read_are_not_missed(
    cluster: list[Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One shard answers with the generation, then the values move to other fields, then the other shards are asked."""
    project = make_project(tmp_path, url=f"redis+cluster://127.0.0.1:{cluster[0].port}")
    history, people = History(project), [f"p{n}" for n in range(50)]
    versions = [make_version("age", number=number) for number in (1, 2, 3)]
    history.learn({version: [(who, MONDAY, 0.5) for who in people] for version in versions})
    sync(project, history.store, open_online(project), versions[:1])

    def one_after_another(
        asked: Mapping[RedisNode, tuple[bytes, int]], tolerate: str | None = None
    ) -> dict[RedisNode, list[Any]]:
        monkeypatch.setattr(wire, "exchange", exchange)
        first, *others = asked
        answers = exchange({first: asked[first]}, tolerate)
        for version in versions[1:]:
            sync(project, history.store, open_online(project), [version])
        return {**answers, **exchange({node: asked[node] for node in others}, tolerate)}

    with OnlineReader(project) as reader:
        reader.values("patient", people)
        exchange = wire.exchange
        monkeypatch.setattr(wire, "exchange", one_after_another)
        found = reader.get("patient", people)
    assert [(row["age"].value, row["age"].version) for row in found] == [(0.5, 3)] * 50


def test_a_project_is_opened_by_its_folder(tmp_path: Path) -> None:
    (tmp_path / "featurestore.toml").write_text('[project]\nname = "x"\n')
    assert FeatureStore(tmp_path).project.name == "x"
    with pytest.raises(NoProjectError):
        FeatureStore(tmp_path.parent)


def test_a_serving_process_imports_nothing_heavy(reader: OnlineReader, project: Project) -> None:
    toml = f'[project]\nname = "{project.name}"\n[entity_types.patient]\nkeys = {{ patient_id = "string" }}\n'
    online = f'[online]\nurl = "{project.online_url}"\n' if project.online_url else ""
    (project.root / "featurestore.toml").write_text(toml + online)
    code = f"""
import sys
from featurestore import FeatureStore
print(FeatureStore({str(project.root)!r}).online().values("patient", ["p3"]))
print([name for name in ("polars", "duckdb", "numpy", "pyarrow", "rich", "typer") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert (done.stdout, done.stderr) == ("[{'age': 0.3}]\n[]\n", "")


@pytest.mark.parametrize("kind", ["valkey"], indirect=True)
def test_another_project_on_the_same_server_is_another_world(reader: OnlineReader, project: Project) -> None:
    other = OnlineReader(replace(project, name=project.name + "x"))
    with pytest.raises(UsageError, match="no feature 'age'"):
        other.get("patient", ["p1"], ["age"])


@pytest.mark.parametrize("entities", ["p3", b"p3", {"patient_id": "p3"}, 3])
def test_one_id_in_place_of_a_list_is_refused(reader: OnlineReader, entities: Any) -> None:
    """Of a text each letter would be an entity, of a mapping each column."""
    for ask in (reader.get, reader.values):
        with pytest.raises(UsageError, match="entities is a list of ids") as caught:
            ask("patient", entities, ["age"])
        assert caught.value.hint == f"write [{entities!r}]"


@pytest.mark.parametrize("features", ["age", b"age"])
def test_one_name_in_place_of_a_list_is_refused(reader: OnlineReader, features: Any) -> None:
    for ask in (reader.get, reader.values):
        with pytest.raises(UsageError, match="features is a list of names"):
            ask("patient", ["p3"], features)


def test_any_row_of_ids_and_names_will_do(reader: OnlineReader) -> None:
    assert reader.values("patient", ("p2",), ("age",)) == [{"age": 0.2}]
    assert reader.values("patient", pl.Series(["p2"]), pl.Series(["age"])) == [{"age": 0.2}]  # type: ignore[arg-type]
