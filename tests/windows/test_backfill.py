"""A backfill of windows and delays, a step at a time: the answers of one run, from its first instant on."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import pytest

from featurestore.workflows.ingest import divided
from featurestore.workflows.ingest.backfill import backfill
from featurestore.workflows.ingest.events import IngestOptions
from featurestore.workflows.ingest.ingest import IngestRequest, ingest
from tests.often import nightly
from tests.windows.judge import ENTITIES, ORIGIN, UNIT, Declared, Event, Judge, declare

SINCE, UNTIL, CLOCK = ORIGIN, ORIGIN + 20 * UNIT, ORIGIN + 26 * UNIT


def make(root: Path, monkeypatch: pytest.MonkeyPatch, seed: int, declared: list[Declared] | None = None) -> Judge:
    """A project with random events around the backfill, and features with a window or a delay."""
    rng = random.Random(seed)
    judge = Judge(root, monkeypatch, declared or declare(rng), rng.choice((1, 2, 8)), clock=CLOCK)
    for number in range(24):
        time = ORIGIN + rng.randint(-12, 24) * UNIT
        event = Event(number, rng.choice(ENTITIES), time, rng.choice((-1, 0, 1, 2)), ORIGIN + number)
        judge.files.setdefault(f"{number % 3}.csv", []).append(event)
    judge.write()
    return judge


def take(judge: Judge, length: int | None, until: int = UNTIL) -> None:
    request = IngestRequest(options=IngestOptions(), drift=False)
    made = backfill(judge.project, judge.store, request, (SINCE, until), length)
    assert all(not item.error for step in made.steps for item in step.result.run.features), made
    accepted = [e for events in judge.files.values() for e in events if e.time < until]
    judge.accepted = {each.name: accepted for each in judge.declared}
    judge.horizons = {each.name: until - 1 for each in judge.declared}
    judge.known = {each.name: [] for each in judge.declared}


def compare(judge: Judge, until: int, said: str) -> None:
    """From the first instant of the backfill on, brute force; before it nothing."""
    labels = [(who, SINCE + unit * UNIT + by) for who in ENTITIES for unit in range(27) for by in (-1, 0, 1)]
    labels = [(who, t) for who, t in labels if t < until]
    answers = judge.join([each.name for each in judge.declared], labels)
    for each in judge.declared:
        for (who, t), got in zip(labels, answers[each.name], strict=True):
            true = judge.truth(each, who, t) if t >= SINCE else "missing"
            assert got == (None if true == "missing" else true), (said, each, who, (t - ORIGIN) / UNIT)


@pytest.mark.parametrize("seed", [0, 3, *nightly([1, 2, *range(20, 36)])])
def test_in_steps_it_gives_what_brute_force_does(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = make(tmp_path / "p", monkeypatch, seed)
    length = (None, UNIT, 3 * UNIT, 7 * UNIT + 1)[seed % 4]
    take(judge, length)
    compare(judge, UNTIL, f"seed {seed}, backfill")
    judge.check_lists(f"seed {seed}, lists")
    judge.run()
    compare(judge, CLOCK, f"seed {seed}, the run after it")
    judge.check_lists(f"seed {seed}, lists of the run after it")


@pytest.mark.parametrize("seed", [6, *nightly(range(7, 19))])
def test_one_run_from_an_instant_on_gives_the_same(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    steps, once = (make(tmp_path / name, monkeypatch, seed) for name in ("steps", "once"))
    take(steps, 2 * UNIT, CLOCK + 1)
    options = IngestOptions(full=True, since=SINCE)
    ingest(once.project, once.store, IngestRequest(options=options, drift=False))
    pairs = []
    for judge in (steps, once):
        found = {}
        for name, version in judge.versions().items():
            rows = judge.store.scan(version).unique(["card", "computed_at"], keep="last", maintain_order=True)
            found[name] = rows.select("card", "computed_at", "op", "value").rows()
        pairs.append(found)
    # A step that was known before it was due, and turned out to be none, stays as a pair of the same value: what was
    # answered from it then is what `--known` says. It is the only instant that one run has not.
    for name, held in pairs[1].items():
        assert set(held) <= set(pairs[0][name]), name
        for before, pair in pairwise(sorted(pairs[0][name], key=lambda row: row[:2])):
            assert pair in held or (before[0] == pair[0] and before[2:] == pair[2:]), (name, before, pair)
    labels = [(who, SINCE + unit * UNIT) for who in ENTITIES for unit in range(-2, 26)]
    names = [each.name for each in steps.declared]
    assert steps.join(names, labels) == once.join(names, labels)
    # Where the steps of a backfill were used up, an empty list is left.
    lists = [{key: found for key, found in judge.lists().items() if found != ([], None)} for judge in (steps, once)]
    assert lists[0] == lists[1]


@pytest.mark.parametrize("seed", [9, *nightly(range(10, 40))])
def test_what_changes_before_it_later_changes_its_first_instant(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Late events, events that move, deletions: also where everything goes by parts."""
    if seed % 2:
        monkeypatch.setattr(divided, "part_rows", lambda _memory, _row_bytes: 1)
    judge, rng = make(tmp_path / "p", monkeypatch, seed), random.Random(seed)
    take(judge, rng.choice((None, 3 * UNIT)), CLOCK + 1)
    judge.synced.clear()
    for number in range(1, 4):
        judge.clock += rng.choice((1, 2, 4)) * UNIT
        for n in range(rng.choice((0, 1, 2))):
            known = rng.random() < 0.6
            event = Event(
                rng.randrange(24) if known else 100 * number + n, rng.choice(ENTITIES),
                ORIGIN + rng.randint(-14, 8) * UNIT, rng.choice((-1, 0, 1, 2)), ORIGIN + 1_000 * number + n,
            )  # fmt: skip
            judge.files.setdefault(f"late{number}.csv", []).append(event)
        if seed % 3 == 0 and not any(each.kind == "row" for each in judge.declared):
            before = [(rows, e) for rows in judge.files.values() for e in rows if e.time < SINCE]
            if before:  # a row of from before it vanishes from its file
                rows, gone = rng.choice(before)
                rows.remove(gone)
        if rng.random() < 0.3:
            judge.delete(rng.choice(ENTITIES), ORIGIN + rng.randint(-6, 26) * UNIT)
        judge.run()
        compare(judge, judge.clock, f"seed {seed}, run {number}")
    judge.sync()
    judge.check_online(f"seed {seed}", [judge.clock])
    counts = [(i.rows_written, i.rows_corrected, i.rows_withdrawn) for i in judge.run(full=True).run.features]
    assert set(counts) == {(0, 0, 0)}, f"seed {seed}, --full afterwards"


@pytest.mark.parametrize("seed", [13, *nightly([12, *range(14, 42)])])
def test_slices_after_it_change_what_files_with_their_rows_would(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows from before its beginning and from after it, new ones and later states of others, by ``--input``."""
    rng = random.Random(seed)
    delays = rng.sample((1, 2, 5, 9), 3)
    judge = make(tmp_path / "p", monkeypatch, seed, [Declared(f"late_{n}", "row", None, n * UNIT, 1) for n in delays])
    take(judge, rng.choice((None, 3 * UNIT)), rng.choice((UNTIL, CLOCK + 1)))
    given: list[Event] = []

    def compare_with_slices(said: str) -> None:
        best: dict[int, Event] = {}
        for event in sorted((e for events in (*judge.files.values(), given) for e in events), key=lambda e: e.updated):
            best[event.number] = event
        judge.accepted = {each.name: list(best.values()) for each in judge.declared}
        compare(judge, judge.clock, f"seed {seed}, {said}")

    judge.run()
    for number in range(1, 5):
        judge.clock += rng.choice((1, 2, 4)) * UNIT
        events = []
        for n in range(rng.choice((1, 2, 3))):
            known = rng.random() < 0.6
            event = Event(
                rng.randrange(24) if known else 100 * number + n, rng.choice(ENTITIES),
                ORIGIN + rng.randint(-14, 26) * UNIT, rng.choice((-1, 0, 1, 2)), ORIGIN + 1_000 * number + n,
            )  # fmt: skip
            events.append(event)
        lines = "".join(each.line for each in events)
        (judge.root / "slice.csv").write_text(f"number,card,at,amount,updated\n{lines}")
        request = IngestRequest(options=IngestOptions(input=str(judge.root / "slice.csv")), drift=False)
        made = ingest(judge.project, judge.store, request)
        assert not [item.error for item in made.run.features if item.error], made
        given += events
        compare_with_slices(f"slice {number}")
        if rng.random() < 0.5:
            judge.run()
            compare_with_slices(f"the run after slice {number}")
    counts = [(i.rows_written, i.rows_corrected, i.rows_withdrawn) for i in judge.run(full=True).run.features]
    assert set(counts) == {(0, 0, 0)}, f"seed {seed}, --full afterwards"
