"""Whatever happens to history and store, in whatever order: one more sync, and serving equals the history."""

from __future__ import annotations

import shutil
import sqlite3
from datetime import datetime
from pathlib import Path
from tempfile import mkdtemp

import polars as pl
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from featurestore.model import StoredVersion
from featurestore.offline.contract import VALUE, WITHDRAWN
from featurestore.online import format as layout
from featurestore.online.open import open_online
from featurestore.online.sqlite import FILE
from featurestore.serving.last_sync import FILE as LAST_SYNC
from featurestore.serving.online_tables import OnlineTables
from featurestore.serving.reader import Reader
from featurestore.workflows.sync import sync
from featurestore.workflows.verify.verify import verify
from tests.online.cases import PATIENT, History, make_project, make_version

NOW = 1_704_300_000_000_000
PEOPLE = ["a", "b", "c"]
NAMES = ["age", "risk"]
WHO, DAYS, PICK = st.sampled_from(PEOPLE), st.integers(1, 9), st.integers(0, 9)


class Serving(RuleBasedStateMachine):
    """A history with corrections, late rows and deletions; a store that is synced, lost, set back and promoted."""

    backups = Bundle("backups")

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(mkdtemp(prefix="fsm"))
        self.project = make_project(self.root)
        self.history = History(self.project)
        self.store = open_online(self.project)
        self.active = {name: make_version(name) for name in NAMES}
        self.served: dict[str, StoredVersion] = {}

    def teardown(self) -> None:
        self.sync("incremental")
        self.check()
        self.store.close()
        shutil.rmtree(self.root)

    @rule(name=st.sampled_from(NAMES), pick=PICK, who=WHO, day=DAYS, value=st.none() | st.integers(0, 5))
    def learn(self, name: str, pick: int, who: str, day: int, value: float | None) -> None:
        stored = self.history.store.versions(name) or [self.active[name]]
        self.history.learn({stored[pick % len(stored)]: [(who, datetime(2024, 1, day), value)]})

    @rule(name=st.sampled_from(NAMES), who=WHO, day=DAYS)
    def delete(self, name: str, who: str, day: int) -> None:
        for version in self.history.store.versions(name):
            self.history.learn({version: [(who, datetime(2024, 1, day), None)]}, op=1)

    @rule(name=st.sampled_from(NAMES), pick=PICK, most=st.integers(1, 4))
    def withdraw(self, name: str, pick: int, most: int) -> None:
        for version in self.history.store.versions(name):
            held = [row for row in current(self.history.rows.frames[version.id]) if row[3] == VALUE]
            if held:
                gone = [held[(pick + n) % len(held)] for n in range(min(most, len(held)))]
                self.history.learn({version: [(who, at, None) for who, at, *_ in gone]}, op=WITHDRAWN)

    @rule(name=st.sampled_from(NAMES), value=st.integers(0, 5))
    def new_code(self, name: str, value: float) -> None:
        version = make_version(
            name, max((stored.number for stored in self.history.store.versions(name)), default=0) + 1
        )
        self.active[name] = version
        self.history.learn({version: [(who, datetime(2024, 1, 1), value) for who in PEOPLE]})

    @rule(mode=st.sampled_from(["full", "incremental"]))
    def sync(self, mode: str) -> None:
        known = [version for version in self.active.values() if version.id in self.history.rows.known]
        result = sync(self.project, self.history.store, self.store, known, mode)  # type: ignore[arg-type]
        for name, version in self.active.items():
            if version in known and name not in result.refused:
                self.served[name] = version

    @rule(name=st.sampled_from(NAMES), pick=PICK)
    def sync_from_a_checkout_that_is_behind(self, name: str, pick: int) -> None:
        served = self.served.get(name)
        older = [v for v in self.history.store.versions(name) if served is not None and v.number < served.number]
        if older:
            theirs = sync(self.project, self.history.store, self.store, [older[pick % len(older)]])
            assert theirs.refused == (name,)

    @rule(name=st.sampled_from(NAMES), pick=PICK)
    def promote(self, name: str, pick: int) -> None:
        stored = self.history.store.versions(name)
        if stored:
            self.active[name] = self.served[name] = stored[pick % len(stored)]
            sync(self.project, self.history.store, self.store, [self.active[name]], promote=True)

    @rule()
    def flush(self) -> None:
        for table in ("active", "meta"):
            self.store.swap(table, {}, dict.fromkeys(self.store.table(table)))
        fields = {int(name) for batch in self.store.scan("patient") for _, stored in batch for name in stored}
        self.store.clear("patient", list(fields))
        self.served.clear()

    @rule()
    def forget_here(self) -> None:
        (self.project.state / LAST_SYNC).unlink(missing_ok=True)

    @rule(who=WHO, reached=st.booleans())
    def erase(self, who: str, reached: bool) -> None:
        for version, frame in self.history.rows.frames.items():
            self.history.rows.frames[version] = frame.filter(frame["patient_id"] != who)
        self.history.rows.store_id += "x"
        if reached:
            self.store.remove([layout.entity_key(self.project.name, PATIENT, {"patient_id": who})])

    @rule(target=backups)
    def back_up(self) -> object:
        if not (self.project.state / FILE).exists():
            return multiple()
        copy = sqlite3.connect(":memory:", check_same_thread=False)
        with sqlite3.connect(self.project.state / FILE) as file:
            file.backup(copy)
        file.close()
        return copy, dict(self.served)

    @rule(backup=backups)
    def restore(self, backup: tuple[sqlite3.Connection, dict[str, StoredVersion]]) -> None:
        with sqlite3.connect(self.project.state / FILE) as file:
            backup[0].backup(file)
        file.close()
        self.served = dict(backup[1])

    @invariant()
    def readers_are_served_what_was_promoted_last(self) -> None:
        pointers = OnlineTables(self.store).pointers().features
        assert {name: pointer.version for name, pointer in pointers.items()} == {
            name: version.id for name, version in self.served.items()
        }

    def check(self) -> None:
        reader = Reader(self.project.name, self.store)
        for name, version in self.served.items():
            latest = self.history.rows.latest(version)
            expected = {
                who: "missing" if op else "null" if value is None else value
                for who, op, value in latest["patient_id", "op", "value"].iter_rows()
            }
            rows = reader.read(PATIENT, [{"patient_id": who} for who in PEOPLE], [name], NOW)
            found = [row[0].value if row[0].status == "ok" else row[0].status for row in rows]
            assert found == [expected.get(who, "missing") for who in PEOPLE], name
        result = verify(self.project, self.history.store, self.store, list(self.served.values()))
        assert result.found == 0, result.examples


def current(rows: pl.DataFrame) -> list[tuple[str, datetime, int, int, float | None]]:
    """The latest row of each entity and time."""
    rows = rows.sort("patient_id", "computed_at", "run_seq")
    return rows.unique(["patient_id", "computed_at"], keep="last", maintain_order=True).rows()


common = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.filter_too_much]}
TestServing = Serving.TestCase
TestServing.settings = settings(max_examples=25, stateful_step_count=14, **common)  # type: ignore[arg-type]


@pytest.mark.nightly
class TestServingLong(Serving.TestCase):  # type: ignore[valid-type, misc]
    settings = settings(max_examples=2_000, stateful_step_count=40, **common)  # type: ignore[arg-type]
