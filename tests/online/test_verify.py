"""Verify finds whatever is done to the online store behind our back, says which, and fixes it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from datetime import datetime

import polars as pl
import pytest
import redis

from featurestore.config import Project
from featurestore.online import format as layout
from featurestore.online.contract import OnlineStore
from featurestore.online.sqlite import FILE
from featurestore.online.tables import version_entry
from featurestore.serving.online_tables import OnlineTables
from featurestore.serving.reader import Reader
from featurestore.workflows.sync import sync
from featurestore.workflows.verify.inspection import DEFAULT_LIMITS, VerifyLimits, VerifyRequest, inspect
from featurestore.workflows.verify.verify import VerifyResult, verify
from tests.online.cases import KINDS, PATIENT, History, make_version
from tests.online.packed import pack

AGE, RISK, STEPS = make_version("age"), make_version("risk", kind="string"), make_version("steps", kind="int")
FEATURES = [AGE, RISK, STEPS]
MONDAY, TUESDAY = datetime(2024, 1, 1), datetime(2024, 1, 2)
NOW = 1_704_300_000_000_000
PEOPLE = 40


class Vandal:
    """Changes a store's bytes the way no code of ours does."""

    def __init__(self, project: Project, store: OnlineStore) -> None:
        self._project = project
        self.store = store
        url = project.online_url or ""
        self.client = redis.Redis.from_url(url) if url and "cluster" not in url else None

    def key(self, who: str) -> str:
        return layout.key_prefix(self._project.name, "patient") + who

    def field(self, feature: str = "age") -> str:
        return str(OnlineTables(self.store).pointers().features[feature].field)

    def get(self, who: str, field: str | None = None) -> bytes:
        (row,) = self.store.fetch([self.key(who)], [int(field or self.field())])[1]
        assert row[0] is not None
        return row[0]

    def put(self, who: str, value: bytes, field: str | None = None) -> None:
        name = field or self.field()
        if self.client is not None:
            self.client.hset(self.key(who), name, value)
        else:
            self._sql("INSERT OR REPLACE INTO entities VALUES (?, ?, ?)", int(name), self.key(who), value)

    def drop(self, who: str, *fields: str) -> None:
        for name in fields or (self.field(),):
            if self.client is not None:
                self.client.hdel(self.key(who), name)
            else:
                self._sql("DELETE FROM entities WHERE field = ? AND key = ?", int(name), self.key(who))

    def change(self, who: str, change: Callable[[bytearray], object]) -> None:
        """Changes the bytes of a value in place."""
        data = bytearray(self.get(who))
        change(data)
        self.put(who, bytes(data))

    def entry(self, table: str, entry: str, change: Callable[[dict[str, object]], object] | None) -> None:
        """Changes a record of a table; None spoils it."""
        assert table in ("active", "meta")
        text = self.store.table(table)[entry]  # type: ignore[arg-type]
        data = json.loads(text)
        if change is not None:
            change(data)
        self.store.swap(table, {}, {entry: "{" if change is None else json.dumps(data)})  # type: ignore[arg-type]

    def _sql(self, statement: str, *values: object) -> None:
        with sqlite3.connect(self._project.state / FILE) as connection:
            connection.execute(statement, values)
        connection.close()


def flip(at: int, mask: int) -> Callable[[bytearray], object]:
    def change(data: bytearray) -> None:
        data[at] ^= mask

    return change


def marker(data: dict[str, object], **changes: object) -> None:
    data.update(changes)


AGE_ENTRY, RISK_ENTRY = version_entry(AGE.id), version_entry(RISK.id)
CORRUPTIONS: dict[str, tuple[Callable[[Vandal], object], str]] = {
    "a bit of the value": (lambda v: v.change("p1", flip(-1, 1)), "different"),
    "a later time": (lambda v: v.change("p1", lambda d: d.__setitem__(1, d[1] + 1)), "different"),
    "a time beyond all calendars": (lambda v: v.change("p1", flip(0, 255)), "different"),
    "an earlier time": (lambda v: v.change("p1", lambda d: d.__setitem__(1, d[1] - 1)), "stale"),
    "a later run": (lambda v: v.change("p1", flip(9, 1)), "different"),
    "a null in place of a value": (lambda v: v.change("p1", flip(10, 1)), "different"),
    "a tombstone in place of a value": (lambda v: v.change("p1", flip(10, 2)), "different"),
    "no such kind of value": (lambda v: v.change("p1", flip(10, 3)), "different"),
    "another version's hash": (lambda v: v.change("p1", flip(12, 255)), "different"),
    "a value cut short": (lambda v: v.change("p1", lambda d: d.__delitem__(-1)), "different"),
    "a value too long": (lambda v: v.change("p1", lambda d: d.append(0)), "different"),
    "an empty value": (lambda v: v.put("p1", b""), "different"),
    "a header cut short": (lambda v: v.put("p1", b"\x00" * 5), "different"),
    "another entity's value": (lambda v: v.put("p1", v.get("p2")), "different"),
    "another feature's value": (lambda v: v.put("p1", v.get("p1", v.field("steps"))), "different"),
    "a lost value": (lambda v: v.drop("p1"), "missing"),
    "a lost entity": (lambda v: v.drop("p1", *(v.field(f.id.feature) for f in FEATURES)), "missing"),
    "an entity that nobody knows": (lambda v: v.put("stranger", v.get("p1")), "unexpected"),
    "the key of no entity": (lambda v: v.put("a,b,c", v.get("p1")), "unexpected"),
    "a field that nobody knows": (lambda v: v.put("p1", v.get("p1"), "77"), "unexpected"),
    "a deletion undone": (lambda v: v.put("gone", v.get("p1")), "stale"),
    "a pointer to another field": (lambda v: v.entry("active", "age", lambda d: marker(d, field=99)), "different"),
    "a pointer to another version": (
        lambda v: v.entry("active", "age", lambda d: marker(d, sha256="f" * 64)), "different",
    ),
    "a pointer of another type": (
        lambda v: v.entry("active", "age", lambda d: marker(d, data_type="int")), "different",
    ),
    "a spoiled pointer": (lambda v: v.entry("active", "age", None), "different"),
    "a lost pointer": (lambda v: v.store.swap("active", {}, {"age": None}), "missing"),
    "a marker ahead of the history": (
        lambda v: v.entry("meta", AGE_ENTRY, lambda d: marker(d, run_seq=99)), "different",
    ),
    "a marker of another's field": (
        lambda v: v.entry("meta", RISK_ENTRY, lambda d: marker(d, field=int(v.field("age")))), "different",
    ),
    "a spoiled marker": (lambda v: v.entry("meta", AGE_ENTRY, None), "different"),
    "a lost marker": (lambda v: v.store.swap("meta", {}, {AGE_ENTRY: None}), "different"),
    "a spoiled counter": (lambda v: v.store.swap("meta", {}, {"@next": "x"}), "different"),
}  # fmt: skip


@pytest.fixture
def filled(history: History, store: OnlineStore) -> OnlineStore:
    people = [f"p{n}" for n in range(PEOPLE)]
    history.learn({
        AGE: [(who, MONDAY, n / 10) for n, who in enumerate(people)],
        RISK: [(who, MONDAY, f"r{n}") for n, who in enumerate(people)],
        STEPS: [(who, MONDAY, None if n == 5 else n) for n, who in enumerate(people)],
    })  # fmt: skip
    history.learn({AGE: [("gone", MONDAY, None)]}, op=1)
    sync(history.project, history.store, store, FEATURES)
    return store


def look(
    history: History,
    store: OnlineStore,
    *,
    fix: bool = False,
    sample: int | None = None,
    limits: VerifyLimits = DEFAULT_LIMITS,
) -> VerifyResult:
    return verify(history.project, history.store, store, FEATURES, fix=fix, sample=sample, limits=limits)


def test_a_store_that_is_as_it_should_be_is_clean(history: History, filled: OnlineStore) -> None:
    result = look(history, filled)
    assert (result.found, result.checked, result.examples) == (0, 3 * PEOPLE + 1, ())


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_corruption_is_found_and_fixed(history: History, project: Project, filled: OnlineStore, name: str) -> None:
    corrupt, kind = CORRUPTIONS[name]
    corrupt(Vandal(project, filled))
    result = look(history, filled)
    assert result.counts[kind] >= 1, result.counts  # type: ignore[index]
    fixed = look(history, filled, fix=True)
    assert fixed.fixed is not None
    assert (fixed.left, fixed.exit_code) == (0, 0)
    left = look(history, filled)
    assert left.counts == dict.fromkeys(("missing", "stale", "different", "unexpected"), 0), left.examples
    assert left.checked >= 3 * PEOPLE


def test_all_corruptions_of_values_at_once_are_counted_one_by_one(
    history: History, project: Project, filled: OnlineStore
) -> None:
    vandal = Vandal(project, filled)
    for n in range(10):
        vandal.change(f"p{n}", flip(-1, 1))
    for n in range(10, 13):
        vandal.drop(f"p{n}")
    vandal.put("stranger", vandal.get("p20"))
    assert look(history, filled).counts == {"missing": 3, "stale": 0, "different": 10, "unexpected": 1}


def test_an_example_names_entity_and_both_sides(history: History, project: Project, filled: OnlineStore) -> None:
    Vandal(project, filled).put("p3", pack("float", 0, 1, 0, AGE.id.short, 9.0))
    (example,) = look(history, filled).examples
    assert (example.kind, example.feature, example.key) == ("stale", "age", f"fs1:{project.name}:patient:p3")
    assert example.online is not None
    assert layout.unpack("float", example.online).value == 9.0


def test_what_was_not_synced_yet_is_stale_or_missing(history: History, filled: OnlineStore) -> None:
    history.learn({AGE: [("p1", TUESDAY, 0.5), ("new", TUESDAY, 0.5)]})
    assert look(history, filled).counts == {"missing": 1, "stale": 1, "different": 0, "unexpected": 0}
    assert look(history, filled, fix=True).fixed is not None
    assert look(history, filled).found == 0


def test_a_new_active_version_that_is_not_online_is_stale(history: History, filled: OnlineStore) -> None:
    two = make_version("age", 2)
    history.learn({two: [("p1", MONDAY, 0.5)]})
    result = verify(history.project, history.store, filled, [two, RISK, STEPS])
    assert result.counts["stale"] == 1


def test_the_previous_version_is_looked_at_too(history: History, project: Project, filled: OnlineStore) -> None:
    before = Vandal(project, filled).field("age")
    two = make_version("age", 2)
    history.learn({two: [("p1", MONDAY, 0.5)]})
    sync(project, history.store, filled, [two])
    Vandal(project, filled).drop("p2", before)
    assert verify(project, history.store, filled, [two, RISK, STEPS]).counts["missing"] == 1


def test_a_sample_compares_no_more_than_asked(history: History, project: Project, filled: OnlineStore) -> None:
    assert look(history, filled, sample=5).checked <= 15
    vandal = Vandal(project, filled)
    for n in range(PEOPLE):
        vandal.drop(f"p{n}")
    assert look(history, filled, sample=5).counts["missing"] >= 4


def test_a_feature_that_was_not_asked_about_is_not_unexpected(history: History, filled: OnlineStore) -> None:
    assert verify(history.project, history.store, filled, [AGE]).found == 0


def test_what_is_not_a_hash_is_found_and_fixed(
    history: History, project: Project, filled: OnlineStore, kind: str
) -> None:
    vandal = Vandal(project, filled)
    if vandal.client is None:
        return  # the embedded store has no such thing
    vandal.client.delete(vandal.key("p1"))
    vandal.client.set(vandal.key("p1"), "text")
    vandal.client.hset(vandal.key("p2"), "no number", "x")
    counts = look(history, filled).counts
    assert (counts["missing"], counts["unexpected"]) == (3, 2)
    assert look(history, filled, fix=True).fixed is not None
    assert look(history, filled).found == 0


def test_entities_in_several_partitions_are_all_compared(
    history: History, filled: OnlineStore, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not fit into memory together is compared in turns, by one pass over the online store."""
    vandal = Vandal(project, filled)
    vandal.put("stranger", b"x" * 20, "55")
    for feature in ("age", "risk", "steps"):  # a turn for each
        field = vandal.field(feature)
        stored = vandal.get("p3", field)
        vandal.put("p3", stored[:-1] + bytes([stored[-1] ^ 1]), field)
        vandal.drop("p5", field)
    scanned: list[str] = []
    scan = filled.scan

    def noting(entity_type: str) -> Iterator[list[tuple[str, dict[str, bytes]]]]:
        scanned.append(entity_type)
        return scan(entity_type)

    monkeypatch.setattr(filled, "scan", noting)
    result = look(history, filled, limits=VerifyLimits(rows=50))
    assert result.counts == {"missing": 3, "stale": 0, "different": 3, "unexpected": 1}
    assert len(scanned) == len(set(scanned))


def test_more_differences_than_fit_in_memory_are_counted_and_fixed(
    history: History, filled: OnlineStore, project: Project
) -> None:
    vandal = Vandal(project, filled)
    for n in range(20):
        vandal.change(f"p{n}", lambda d: d.__setitem__(1, d[1] + 1))  # a full sync alone would leave these
    for n in range(20, 30):
        vandal.drop(f"p{n}", vandal.field("steps"))
    for n in range(9):
        vandal.put(f"stranger{n}", vandal.get("p30"))
    result = look(history, filled, fix=True, limits=VerifyLimits(fixes=7, rechecks=5))
    assert result.counts == {"missing": 10, "stale": 0, "different": 20, "unexpected": 9}
    assert result.left == 0
    assert look(history, filled).found == 0


def test_differences_are_only_remembered_to_be_fixed(history: History, filled: OnlineStore) -> None:
    for feature in ("age", "risk"):
        filled.clear("patient", [OnlineTables(filled).pointers().features[feature].field])
    report = inspect(VerifyRequest(history.project, history.store, filled, FEATURES)).report
    assert (report.counts["missing"], report.differences, len(report.examples)) == (2 * PEOPLE, [], 20)


@pytest.mark.parametrize("kind", KINDS, indirect=True)
def test_sync_promote_and_verify_on_every_kind_of_store(
    history: History, filled: OnlineStore, project: Project
) -> None:
    two = make_version("age", 2)
    history.learn({two: [(f"p{n}", MONDAY, n * 1.0) for n in range(PEOPLE)]})
    sync(project, history.store, filled, [two, RISK, STEPS])
    history.learn({AGE: [("p1", TUESDAY, 0.5)], RISK: [("p2", TUESDAY, None)]})
    sync(project, history.store, filled, FEATURES, promote=True)
    history.learn({RISK: [("p3", TUESDAY, None)]}, op=1)
    sync(project, history.store, filled, FEATURES, "full")
    assert look(history, filled).found == 0
    vandal = Vandal(project, filled)
    filled.discard(vandal.field(), [vandal.key("p7")], 99)
    stranger = pl.DataFrame({"key": [vandal.key("stranger")], vandal.field(): [vandal.get("p8")]})
    filled.merge([stranger])
    assert look(history, filled, fix=True).counts == {"missing": 1, "stale": 0, "different": 0, "unexpected": 1}
    assert look(history, filled).found == 0
    reader = Reader(project.name, filled)
    rows = reader.read(PATIENT, [{"patient_id": f"p{n}"} for n in (1, 2, 3, 7)], ["age", "risk", "age@2"], NOW)
    assert [[item.value for item in row] for row in rows] == [
        [0.5, "r1", 1.0], [0.2, None, 2.0], [0.3, None, 3.0], [0.7, "r7", 7.0],
    ]  # fmt: skip
    assert [row[1].status for row in rows] == ["ok", "null", "missing", "ok"]
