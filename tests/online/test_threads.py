"""Syncs and readers in several threads of one process, and the races between the tables' compare-and-sets."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from featurestore.config import Project
from featurestore.online.contract import OnlineStore, TableName
from featurestore.online.tables import Marker
from featurestore.serving.online_tables import OnlineTables, is_abandoned
from featurestore.serving.reader import Reader
from featurestore.serving.request import SyncSizes
from featurestore.workflows.sync import SyncResult, sync
from featurestore.workflows.verify.verify import verify
from tests.online.cases import PATIENT, History, make_version

AGE = make_version("age")
MONDAY = datetime(2024, 1, 1)
NOW = 1_704_300_000_000_000
PEOPLE = [f"p{n:03d}" for n in range(200)]
SMALL = SyncSizes(batch_rows=20)


def test_threads_sync_the_same_features_to_one_store(history: History, store: OnlineStore, project: Project) -> None:
    """A load that one thread has begun is not swept by another one."""
    history.learn({AGE: [(who, MONDAY, n / 10) for n, who in enumerate(PEOPLE)]})

    def bring(_: int) -> SyncResult:
        return sync(project, history.store, store, [AGE], sizes=SMALL)

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(bring, range(8)))
    assert max(result.features[0].watermark for result in results) == 1
    assert OnlineTables(store).markers().reservations == {}
    assert verify(project, history.store, store, [AGE]).found == 0


def test_threads_share_a_reader_and_a_store(history: History, store: OnlineStore, project: Project) -> None:
    history.learn({AGE: [(who, MONDAY, n / 10) for n, who in enumerate(PEOPLE)]})
    sync(project, history.store, store, [AGE])
    reader = Reader(project.name, store)

    def read(turn: int) -> list[object]:
        asked = [{"patient_id": who} for who in PEOPLE]
        references = ["age", "age@1"][: 1 + turn % 2]
        return [row[0].value for row in reader.read(PATIENT, asked, references, NOW)]

    with ThreadPoolExecutor(8) as pool:
        assert all(values == [n / 10 for n in range(200)] for values in pool.map(read, range(100)))


def test_a_load_that_is_published_before_it_can_be_swept_stays(store: OnlineStore) -> None:
    """Whoever reads the reservations may act on them when they have become markers."""
    tables = OnlineTables(store)
    epoch = tables.begin()
    field = tables.reserve({AGE.id: "patient"}, NOW)[AGE.id]
    reservation = tables.markers().reservations[field]
    assert not is_abandoned(epoch, field, reservation, NOW)
    assert tables.publish(epoch, AGE.id, Marker("patient", field, 1), replacing=None)
    tables.release(epoch, [field])
    assert is_abandoned(epoch, field, reservation, NOW)
    assert not tables.cancel(field, reservation), "so its field is not cleared"
    assert tables.markers().versions[AGE.id].field == field


class LosesAnswers:
    """A store whose swaps are done twice, as after a connection that broke before the answer had come."""

    def __init__(self, store: OnlineStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def swap(self, name: TableName, expected: Mapping[str, str | None], updates: Mapping[str, str | None]) -> bool:
        self._store.swap(name, expected, updates)
        return self._store.swap(name, expected, updates)


def test_a_publication_whose_answer_was_lost_is_done(history: History, store: OnlineStore, project: Project) -> None:
    history.learn({AGE: [(who, MONDAY, n / 10) for n, who in enumerate(PEOPLE)]})
    tables = OnlineTables(LosesAnswers(store))  # type: ignore[arg-type]
    epoch = tables.begin()
    field = OnlineTables(store).reserve({AGE.id: "patient"}, NOW)[AGE.id]
    assert tables.publish(epoch, AGE.id, Marker("patient", field, 1), replacing=None), "it is published"
    OnlineTables(store).release(epoch, [field])
