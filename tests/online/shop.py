"""A project on a server of its own, which the tests of faults may do anything to."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from featurestore.online.contract import OnlineStore
from featurestore.online.redis.servers import Retries
from featurestore.online.redis.store import RedisStore
from featurestore.serving.reader import Reader
from featurestore.workflows.sync import Mode, SyncResult, sync
from tests.online.cases import PATIENT, History, make_project, make_version
from tests.services import Server

AGE, RISK = make_version("age"), make_version("risk", kind="string")
FEATURES = (AGE, RISK)
MONDAY, TUESDAY = datetime(2024, 1, 1), datetime(2024, 1, 2)
NOW = 1_704_300_000_000_000
PEOPLE = 300
QUICK = Retries(first_pause=0.01)


class Shop:
    """A project on a server of its own, with a history of some people."""

    def __init__(self, root: Path, server: Server) -> None:
        self.server = server
        self.project = make_project(root, url=server.url)
        self.history = History(self.project)
        self.learn(MONDAY, range(PEOPLE))

    def learn(self, at: datetime, people: range) -> None:
        ages = [(f"p{n}", at, n + at.day / 100) for n in people]
        risks = [(f"p{n}", at, f"risk {n} {at.day}") for n in people]
        self.history.learn({AGE: ages, RISK: risks})

    def open(self, retries: Retries = QUICK) -> OnlineStore:
        return RedisStore(self.project, self.project.online_url or "", retries)

    def sync(self, store: OnlineStore | None = None, *, full: bool = False, repair: bool = True) -> SyncResult:
        chosen = store or self.open()
        mode: Mode = "full" if full else "incremental"
        return sync(self.project, self.history.store, chosen, FEATURES, mode, repair=repair)

    def differences(self) -> list[tuple[str, str, object, object]]:
        """Where what is served is not the history's latest: (who, feature, served, should be)."""
        rows = {version: self.history.rows.latest(version) for version in FEATURES}
        expected = {
            (who, version.id.feature): value
            for version, frame in rows.items()
            for who, value in frame["patient_id", "value"].iter_rows()
        }
        people = sorted({who for who, _ in expected})
        reader = Reader(self.project.name, self.open())
        served = reader.read(PATIENT, [{"patient_id": who} for who in people], [v.id.feature for v in FEATURES], NOW)
        return [
            (who, item.name, item.value, expected[who, item.name])
            for who, row in zip(people, served, strict=True)
            for item in row
            if item.value != expected[who, item.name]
        ]


def restart_empty(shop: Shop) -> None:
    shop.server.stop()
    shop.server.start()
