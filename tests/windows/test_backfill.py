"""A backfill of windows, a step at a time: the answers of one run, from its first instant on."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from featurestore.workflows.ingest.backfill import backfill
from featurestore.workflows.ingest.events import IngestOptions
from featurestore.workflows.ingest.ingest import IngestRequest, ingest
from tests.windows.judge import ENTITIES, ORIGIN, UNIT, Event, Judge, declare

SINCE, UNTIL, CLOCK = ORIGIN, ORIGIN + 20 * UNIT, ORIGIN + 26 * UNIT


def make(root: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> Judge:
    """A project with random events around the backfill, and features of which none is without a window."""
    rng = random.Random(seed)
    declared = [each for each in declare(rng) if each.window is not None]
    judge = Judge(root, monkeypatch, declared, rng.choice((1, 2, 8)), clock=CLOCK)
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


@pytest.mark.parametrize("seed", range(6))
def test_in_steps_it_gives_what_brute_force_does(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = make(tmp_path / "p", monkeypatch, seed)
    length = (None, UNIT, 3 * UNIT, 7 * UNIT + 1)[seed % 4]
    take(judge, length)
    compare(judge, UNTIL, f"seed {seed}, backfill")
    judge.check_lists(f"seed {seed}, lists")
    judge.run()
    compare(judge, CLOCK, f"seed {seed}, the run after it")
    judge.check_lists(f"seed {seed}, lists of the run after it")


@pytest.mark.parametrize("seed", range(6, 9))
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
    # A step that was known before it was due, and turned out to be none, stays as a pair of the same value.
    for name, held in pairs[1].items():
        assert set(held) <= set(pairs[0][name]), name
    labels = [(who, SINCE + unit * UNIT) for who in ENTITIES for unit in range(-2, 26)]
    names = [each.name for each in steps.declared]
    assert steps.join(names, labels) == once.join(names, labels)
    # Where the steps of a backfill were used up, an empty list is left.
    lists = [{key: found for key, found in judge.lists().items() if found != ([], None)} for judge in (steps, once)]
    assert lists[0] == lists[1]
