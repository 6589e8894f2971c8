"""Random histories of windows, played through a store and compared with brute force.

One unit of time is two minutes, so that the five minutes that a row may be ahead of the clock are two of them. What a
window's value is at an instant is said once more here, by its definition.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import ClassVar

import polars as pl
import pytest

from featurestore import times
from featurestore.config import load_project
from featurestore.model import StoredVersion
from featurestore.offline.contract import UNTIL, OfflineStore
from featurestore.offline.open import open_offline
from featurestore.online.open import open_online
from featurestore.serving.decoding import ServedValue
from featurestore.workflows.delete import delete
from featurestore.workflows.get import get
from featurestore.workflows.ingest.events import IngestOptions
from featurestore.workflows.ingest.ingest import IngestRequest, IngestResult, ingest
from featurestore.workflows.join.batches import join
from featurestore.workflows.join.question import JoinQuestion, resolve_features
from featurestore.workflows.sync import sync_project
from featurestore.workflows.verify.verify import verify

UNIT = 120_000_000
AHEAD = 2
ORIGIN = 1_750_000_000_000_000 // (6 * UNIT) * 6 * UNIT  # on every grid
ENTITIES = "ab"
TOML = """
[project]
name = "{name}"
[entity_types.card]
keys = {{ card = "string" }}
[sources.payments]
{where}
event_time = "at"
updated_at = "updated"
id = ["number"]
[sources.payments.columns]
number = {{ type = "int" }}
amount = {{ type = "int" }}
updated = {{ type = "datetime" }}
[history]
steps = {kept}
{more}
"""
CARD = 'entity_type="card", source="payments"'
FILES = 'type = "csv"\npath = "data/*.csv"'
MEMBERS = """
[sources.members]
type = "csv"
path = "members.csv"
valid = "always"
snapshot = true
max_vanished = "100%"
"""
MEMBER = """
@feature(entity_type="card", data_type="string", source="members")
def member():
    return pl.col("card")
"""
Amounts = Sequence[int]
Value = int | float | None
MISSING = "missing"

EXPRESSIONS: dict[str, tuple[str, str, Callable[[Amounts], Value]]] = {
    "sum": ("int", 'pl.col("amount").sum()', sum),
    "count": ("int", "pl.len()", len),
    "max": ("int", 'pl.col("amount").max()', lambda amounts: max(amounts, default=None)),
    "mean": ("float", 'pl.col("amount").mean()', lambda amounts: sum(amounts) / len(amounts) if amounts else None),
    "first": ("int", 'pl.col("amount").first()', lambda amounts: amounts[0] if amounts else None),
    "last": ("int", 'pl.col("amount").last()', lambda amounts: amounts[-1] if amounts else None),
    "distinct": ("int", 'pl.col("amount").n_unique()', lambda amounts: len(set(amounts))),
    "refunds": ("int", 'pl.col("amount").filter(pl.col("amount") < 0).sum()', lambda a: sum(x for x in a if x < 0)),
}


@dataclass(frozen=True)
class Event:
    number: int
    entity: str
    time: int
    amount: int
    updated: int

    @property
    def order(self) -> tuple[int, int, int]:
        return self.time, self.updated, self.number

    @property
    def line(self) -> str:
        at, updated = times.format_instant(self.time), times.format_instant(self.updated)
        return f"{self.number},{self.entity},{at},{self.amount},{updated}\n"


@dataclass(frozen=True)
class Declared:
    """A feature, as both sides know it. Its times are microseconds."""

    name: str
    kind: str
    window: int | None  # None: a feature of each row, with a delay
    delay: int
    every: int

    @property
    def code(self) -> str:
        if self.window is None:
            return (
                f'@feature({CARD}, data_type="int", scope="{self.kind}", delay="{self.delay}us")\n'
                f'def {self.name}():\n    return pl.col("amount")\n\n'
            )
        data_type, expression, _ = EXPRESSIONS[self.kind]
        more = f', delay="{self.delay}us"' if self.delay else ""
        more += f', every="{self.every}us"' if self.every > 1 else ""
        return (
            f'@feature({CARD}, data_type="{data_type}", window="{self.window}us"{more})\n'
            f"def {self.name}():\n    return {expression}\n\n"
        )

    def value(self, events: Sequence[Event], deletions: Sequence[int], t: int) -> Value | str:
        """By definition: the rows with g - window < event_time + delay <= g, g being the last on the grid up to t."""
        g = t - t % self.every
        alive = [e for e in events if e.time + self.delay <= g and not any(e.time <= at <= t for at in deletions)]
        if not alive:
            return MISSING
        if self.window is None:
            return max(alive, key=lambda e: e.order).amount
        inside = [e for e in alive if g - self.window < e.time + self.delay]
        return EXPRESSIONS[self.kind][2]([e.amount for e in sorted(inside, key=lambda e: e.order)])

    def instants(self, events: Sequence[Event], deletions: Sequence[int]) -> list[int]:
        def grid(at: int) -> int:
            return -(-at // self.every) * self.every

        assert self.window is not None, "asked of windows"
        enters = {grid(e.time + self.delay) for e in events}
        return sorted(enters | {grid(e.time + self.delay + self.window) for e in events} | set(deletions))

    @property
    def has_steps(self) -> bool:
        return self.window is not None

    def coming(self, events: Sequence[Event], deletions: Sequence[int], now: int) -> list[tuple[int, Value | str]]:
        """All changes after an instant."""
        found, before = [], self.value(events, deletions, now)
        for at in self.instants(events, deletions):
            if at > now and (value := self.value(events, deletions, at)) != before:
                before = value
                found.append((at, value))
        return found


def declare(rng: random.Random) -> list[Declared]:
    found = []
    for number, kind in enumerate(rng.sample(sorted(EXPRESSIONS), 5)):
        window, every = rng.choice((3, 4, 6, 8)), rng.choice((1, 2, 3))
        delay = rng.choice((0, 0, 1, 3)) * UNIT
        found.append(
            Declared(f"{kind}_{number}", kind, window * UNIT, delay, every * UNIT if rng.random() < 0.4 else 1)
        )
    found += [
        Declared(f"late_{scope}", scope, None, rng.choice((1, 2, 5, 9)) * UNIT, 1)
        for scope in rng.sample(("row", "entity"), rng.choice((0, 1, 1, 2)))
    ]
    return found


@dataclass
class Judge:
    """A project whose clock the test sets, with everything that happened in it."""

    root: Path
    monkeypatch: pytest.MonkeyPatch
    declared: list[Declared]
    kept: int = 8
    name: str = "judged"
    more: str = ""
    where: str = FILES
    clock: int = ORIGIN
    files: dict[str, list[Event]] = field(default_factory=dict)
    deletions: list[tuple[str, int]] = field(default_factory=list)
    accepted: dict[str, list[Event]] = field(default_factory=dict)
    horizons: dict[str, int] = field(default_factory=dict)
    known: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    synced: set[str] = field(default_factory=set)

    forgets: ClassVar[bool] = True
    """Whether a run sees that a row is gone."""

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        (self.root / "data").mkdir()
        (self.root / "features").mkdir()
        toml = TOML.format(name=self.name, kept=self.kept, more=self.more, where=self.where)
        (self.root / "featurestore.toml").write_text(toml)
        code = "".join(each.code for each in self.declared)
        (self.root / "features" / "f.py").write_text(f"import polars as pl\nfrom featurestore import feature\n\n{code}")
        self.monkeypatch.setattr(times, "now", lambda: self.clock)
        self.project = load_project(self.root)
        self.store: OfflineStore = open_offline(self.project)

    def write(self) -> None:
        for name, events in self.files.items():
            lines = "".join(each.line for each in events)
            (self.root / "data" / name).write_text(f"number,card,at,amount,updated\n{lines}")

    def run(self, names: Sequence[str] = (), *, full: bool = False) -> IngestResult:
        self.write()
        options = IngestOptions(full=full)
        result = ingest(self.project, self.store, IngestRequest(tuple(names), options=options, drift=False))
        assert not [item.error for item in result.run.features if item.error], result.run.features
        best: dict[int, Event] = {}
        for event in sorted((e for events in self.files.values() for e in events), key=lambda e: e.updated):
            if event.time <= self.clock + AHEAD * UNIT + UNIT // 2:
                best[event.number] = event
        for each in self.declared:
            if not names or each.name in names:
                self.accepted[each.name] = list(best.values())
                self.horizons[each.name] = self.clock
                self.known[each.name] = list(self.deletions)
                self.synced.discard(each.name)
        return result

    def delete(self, entity: str, at: int) -> None:
        entity_type = self.project.entity_types["card"]
        found = delete(self.project, self.store, entity_type, {"card": entity}, at)
        if found.run_id is not None:
            self.deletions.append((entity, at))
            self.synced.clear()

    def sync(self, names: Sequence[str] = (), *, full: bool = False) -> None:
        result = sync_project(self.project, names, "full" if full else "incremental")
        assert result.exit_code == 0, result
        self.synced |= {each.name for each in result.features}

    def serve(self, names: Sequence[str], t: int) -> list[dict[str, ServedValue]]:
        """What is served of each entity when the clock stands at t."""
        with closing(open_online(self.project)) as online:
            found = get(self.project, online, "card", [{"card": who} for who in ENTITIES], names, now=t).entities
        return [{item.name: item for item in each.features} for each in found]

    def check_online(self, said: str, clocks: Sequence[int]) -> int:
        """Compares what is served of synced features with the join, as the clock goes on; counts comparisons."""
        names = sorted(self.synced)
        if not names:
            return 0
        labels = [(entity, t) for t in clocks for entity in ENTITIES]
        joined, lists = self.join(names, labels), self.lists()
        online = [served for t in clocks for served in self.serve(names, t)]
        for at, (entity, t) in enumerate(labels):
            for name, served in online[at].items():
                where = (said, name, entity, (t - ORIGIN) / UNIT, served)
                assert served.value == joined[name][at], (*where, joined[name][at])
                until = lists.get((name, entity), ([], None))[1]
                if served.status not in ("missing", "expired"):
                    value = "stale" if until is not None and until <= t else "null" if served.value is None else "ok"
                    assert served.status == value, where
        return len(labels) * len(names)

    def verify_online(self, said: str) -> None:
        with closing(open_online(self.project)) as online:
            versions = [version for version in self.store.versions() if version.id.feature in self.synced]
            found = verify(self.project, self.store, online, versions)
        assert found.found == 0, (said, found.examples)

    def question(self, names: Sequence[str], **how: object) -> JoinQuestion:
        return JoinQuestion(resolve_features(self.project, self.store, names), "t", **how)  # type: ignore[arg-type]

    def join(self, names: Sequence[str], labels: Sequence[tuple[str, int]], **how: object) -> dict[str, list[object]]:
        """The answers to labels, by feature."""
        instants = [datetime(1970, 1, 1) + timedelta(microseconds=at) for _, at in labels]
        frame = pl.DataFrame(
            {"card": [who for who, _ in labels], "t": pl.Series(instants, dtype=pl.Datetime("us", "UTC"))}
        )
        joined: list[pl.DataFrame] = []
        facts = join(self.project, self.store, self.question(names, **how), [frame], joined.append)
        self.facts = facts
        return {name: joined[0][name].to_list() for name in names}

    def versions(self) -> dict[str, StoredVersion]:
        return {version.id.feature: version for version in self.store.versions()}

    def lists(self) -> dict[tuple[str, str], tuple[list[tuple[int, Value]], int | None]]:
        """The coming steps by feature and entity, and the instant of the one after them."""
        found: dict[tuple[str, str], tuple[list[tuple[int, Value]], int | None]] = {}
        for name, version in self.versions().items():
            rows = self.store.coming(version).with_columns(pl.col("computed_at").to_physical())
            for (entity,), mine in rows.partition_by("card", as_dict=True).items():
                steps = [(row["computed_at"], row["value"]) for row in mine.iter_rows(named=True) if row["op"] == 0]
                (until,) = mine.filter(pl.col("op") == UNTIL)["computed_at"]
                found[name, entity] = steps, None if until == times.MAX_INSTANT else until
        return found

    def truth(self, each: Declared, entity: str, t: int) -> Value | str:
        mine = [e for e in self.accepted[each.name] if e.entity == entity]
        known = [at for who, at in self.known[each.name] if who == entity]
        new = [at for who, at in self.deletions if who == entity and (who, at) not in self.known[each.name]]
        if any(at <= t for at in new):
            return MISSING  # until the next run
        return each.value(mine, known, t)

    def check(self, said: str) -> int:
        """Compares every feature with brute force at all instants where anything may happen; counts comparisons."""
        names = [each.name for each in self.declared if each.name in self.accepted]
        lists, compared = self.lists(), 0
        around = {ORIGIN + unit * UNIT for unit in range(-14, (self.clock - ORIGIN) // UNIT + 16)}
        around |= {at for _, at in self.deletions}
        around |= {at + by for at in around for by in (-1, 1)}
        labels = [(entity, t) for entity in ENTITIES for t in sorted(around)]
        answers = self.join(names, labels)
        for each in self.declared:
            if each.name not in names:
                continue
            for (entity, t), got in zip(labels, answers[each.name], strict=True):
                until = lists.get((each.name, entity), ([], None))[1]
                if until is not None and until <= t:
                    continue
                true = self.truth(each, entity, t)
                compared += 1
                expected = None if true == MISSING else true
                assert got == expected, (said, each, entity, (t - ORIGIN) / UNIT, got, true)
        return compared

    def check_lists(self, said: str) -> None:
        """The coming steps are the next changes after the horizon."""
        lists = self.lists()
        for each in self.declared:
            if not each.has_steps or each.name not in self.accepted or self.known[each.name] != self.deletions:
                continue
            for entity in ENTITIES:
                mine = [e for e in self.accepted[each.name] if e.entity == entity]
                known = [at for who, at in self.known[each.name] if who == entity]
                coming = each.coming(mine, known, self.horizons[each.name])
                expected = coming[: self.kept], coming[self.kept][0] if len(coming) > self.kept else None
                got = lists.get((each.name, entity), ([], None))
                assert got == expected, (said, each, entity, got, expected)


@dataclass
class MembersJudge(Judge):
    """Beside it a snapshot of the cards that there are: who is gone from it is deleted, until they come back."""

    present: set[str] = field(default_factory=lambda: set(ENTITIES))
    answering: set[str] = field(default_factory=set)
    by_user: list[tuple[str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock += UNIT // 4  # a value that is dated when its entity was deleted does not come back with it
        self.more += MEMBERS
        super().__post_init__()
        with (self.root / "features" / "f.py").open("a") as file:
            file.write(MEMBER)

    def write(self) -> None:
        super().write()
        (self.root / "members.csv").write_text("card\n" + "".join(f"{who}\n" for who in sorted(self.present)))

    def run(self, names: Sequence[str] = (), *, full: bool = False) -> IngestResult:
        if not names and self.present:
            self.deletions = [each for each in self.deletions if each in self.by_user or each[0] not in self.present]
            self.deletions += [(who, self.clock) for who in sorted(self.answering - self.present)]
            self.answering = self.present - {who for who, _ in self.by_user}
            self.synced.discard("member")
        return super().run(names, full=full)

    def delete(self, entity: str, at: int) -> None:
        before = len(self.deletions)
        super().delete(entity, at)
        if len(self.deletions) > before:
            self.by_user.append((entity, at))
            self.answering.discard(entity)


Answer = tuple[str, int, dict[str, object]]
"""Of an entity at a time, by feature."""


@dataclass
class Player:
    """Plays one random history, and compares what it comes by."""

    judge: Judge
    rng: random.Random
    said: str = ""
    new: list[Event] = field(default_factory=list)
    served: list[Answer] = field(default_factory=list)
    asked: list[tuple[str, int, int, dict[str, object]]] = field(default_factory=list)
    compared: int = 0

    @property
    def ready(self) -> list[str]:
        return [each.name for each in self.judge.declared if each.name in self.judge.accepted]

    def wait(self, units: int) -> None:
        self.judge.clock += units * UNIT

    def answers(self, t: int) -> list[tuple[str, dict[str, object]]]:
        found = self.judge.join(self.ready, [(entity, t) for entity in ENTITIES])
        return [(who, {name: found[name][n] for name in self.ready}) for n, who in enumerate(ENTITIES)]

    def serve(self) -> None:
        """What is answered now, for `--known` to be asked for later."""
        if self.ready:
            self.served += [(who, self.judge.clock, got) for who, got in self.answers(self.judge.clock)]

    def check(self) -> None:
        self.compared += self.judge.check(self.said)
        self.judge.check_lists(self.said)

    def arrive(self, version: int) -> None:
        """New events, and corrections that may move one, or were overtaken on their way."""
        rng, new = self.rng, self.new
        for _ in range(rng.choice((1, 1, 3))):
            number = version * 10 + len(new) if rng.random() < 0.7 else rng.randint(1, version) * 10
            time = self.judge.clock + rng.choice((-9, -5, -3, -2, -1, 0, 0, 0, 0, 1, 2, 4)) * UNIT
            updated = version * 100 + len(new) - (0 if rng.random() < 0.8 else 10_000)
            new.append(Event(number, rng.choice(ENTITIES), time, rng.choice((-1, 0, 1, 1, 2)), ORIGIN + updated))

    def vanish(self, version: int) -> None:
        if not self.judge.forgets or any(each.kind == "row" for each in self.judge.declared):
            return  # what is made of a row alone stays when it is gone
        held = [each for each in self.judge.files.values() if each]
        if held:
            events = self.rng.choice(held)
            events.pop(self.rng.randrange(len(events)))

    def delete(self, version: int) -> None:
        if not self.ready:
            return
        self.serve()
        self.wait(self.rng.choice((1, 2, 5)))
        self.judge.delete(self.rng.choice(ENTITIES), self.judge.clock - self.rng.choice((0, 0, 1, 3, 8)) * UNIT)
        self.check()

    def run(self, version: int) -> None:
        self.serve()
        self.wait(self.rng.choice((1, 1, 2, 3, 5, 9)))
        if self.new:
            self.judge.files[f"{version:02}.csv"] = list(self.new)
            self.new.clear()
        latest = self.judge.clock + AHEAD * UNIT
        if any(e.time <= latest for events in self.judge.files.values() for e in events):
            names = [each.name for each in self.judge.declared]
            self.judge.run(self.rng.choice(((), (), (names[0],), names[1:])))
            self.check()

    def leave(self, version: int) -> None:
        """Somebody is gone from the snapshot, or is back, when it is read next."""
        assert isinstance(self.judge, MembersJudge), "nobody leaves otherwise"
        self.judge.present ^= {self.rng.choice(ENTITIES)}
        self.judge.present = self.judge.present or {self.rng.choice(ENTITIES)}  # empty it would say nothing

    def ask(self, version: int) -> None:
        if self.ready:
            t = self.judge.clock - self.rng.randint(0, 12) * UNIT
            self.asked += [(who, t, self.judge.clock, got) for who, got in self.answers(t)]
            self.wait(1)

    def sync(self, version: int) -> None:
        """After it everything synced is served as it is joined, now and as time passes."""
        if not self.ready:
            return
        rng, clock = self.rng, self.judge.clock
        names = rng.choice(((), (), (), (rng.choice(self.ready),)))
        self.judge.sync(names, full=rng.random() < 0.2)
        ahead = [clock + unit * UNIT + by for unit in rng.sample(range(1, 14), 3) for by in (-1, 0, 1)]
        self.compared += self.judge.check_online(self.said, [clock, *ahead])
        for who, found in zip(ENTITIES, self.judge.serve(sorted(self.judge.synced), clock), strict=True):
            self.served.append((who, clock, {name: item.value for name, item in found.items()}))
        self.judge.verify_online(self.said)

    def end(self) -> None:
        """A last run, a full one, which writes nothing, and every question of before once more."""
        self.wait(1)
        self.judge.run()
        self.check()
        self.sync(0)
        again = self.judge.run(full=True)
        counts = [(i.rows_written, i.rows_corrected, i.steps_written) for i in again.run.features]
        assert counts == [(0, 0, 0)] * len(counts), f"{self.said}: --full afterwards: {again.run.features}"
        # One join for all questions of a kind, since each looks at the whole history.
        known: dict[tuple[str, ...], list[Answer]] = {}
        for who, t, got in self.served:
            known.setdefault(tuple(got), []).append((who, t, got))
        for answers in known.values():
            self._ask_again(answers, known=True)
        as_of: dict[tuple[int, tuple[str, ...]], list[Answer]] = {}
        for who, t, at, got in self.asked:
            as_of.setdefault((at, tuple(got)), []).append((who, t, got))
        for (at, _), answers in as_of.items():
            self._ask_again(answers, as_of=at)

    def _ask_again(self, answers: Sequence[Answer], **how: object) -> None:
        """The same features of entities at times are answered as they were."""
        found = self.judge.join(list(answers[0][2]), [(who, t) for who, t, _ in answers], **how)
        for number, (who, t, got) in enumerate(answers):
            assert {name: found[name][number] for name in got} == got, (self.said, how, who, (t - ORIGIN) / UNIT)


def play(
    root: Path,
    seed: int,
    monkeypatch: pytest.MonkeyPatch,
    *,
    length: int = 14,
    name: str = "judged",
    more: str = "",
    make: Callable[..., Judge] = Judge,
) -> int:
    """Plays one random history; returns how many answers were compared."""
    rng = random.Random(seed)
    judge = make(root, monkeypatch, declare(rng), rng.choice((1, 1, 2, 3, 8)), name, more)
    player = Player(judge, rng)
    acts = [player.arrive, player.vanish, player.run, player.delete, player.ask, player.sync]
    weights = [8, 1, 6, 1, 1, 4]
    if isinstance(judge, MembersJudge):
        acts, weights = [*acts, player.leave], [*weights, 4]
    for version in range(1, rng.randint(5, length)):
        act = rng.choices(acts, weights)[0]
        player.said = f"seed {seed}, act {version} ({act.__name__})"
        act(version)
    if player.ready:
        player.end()
    return player.compared
