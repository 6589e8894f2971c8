"""Random sequences of runs: what is stored is what the specification as a program stores, run by run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from featurestore.model import Problem
from featurestore.workflows.ingest import divided, division
from featurestore.workflows.ingest.ingest import IngestResult
from tests.ingest.judged import (
    Project,
    Step,
    divided_steps,
    keep_of,
    model_feature,
    name_of,
    random_steps,
    retained_steps,
    rotating_steps,
)
from tests.ingest.model import Store
from tests.often import nightly
from tests.services_postgres import PostgresServer

StoredRow = tuple[tuple[str, float], int, str, int | None]
Runs = Callable[[int], tuple[str, bool, tuple[Step, ...]]]


def judge(
    root: Path, seed: int, monkeypatch: pytest.MonkeyPatch, url: str | None = None, make: Runs = random_steps
) -> None:
    identity, stamped, steps = make(seed)
    names = sorted({name for step in steps for name in step.features})
    keep = keep_of(seed) if make is retained_steps else None
    snapshot = steps[0].present is not None
    project = Project(root, identity, stamped, names, monkeypatch, url=url, keep=keep, snapshot=snapshot)
    model = Store(identity, stamped, keep)
    features = {name: model_feature(name) for name in names}
    has_failed = False
    failed: dict[str, Problem | None] = {}
    for number, step in enumerate(steps):
        for user, days in step.deletions if model.positions else ():
            now = max(model.clock, model.learned_at)
            if project.delete(user, now, now - days):
                model.delete(user, now - days)
        model.files, model.clock, model.present = dict(step.files), step.clock, step.present
        if all(row.event_time > max(step.clock, model.learned_at) for rows in step.files.values() for row in rows):
            return  # a run that has to set aside every row of its source fails, and says so
        asked = [features[name] for name in step.features]
        expected = model.ingest(asked, failing=step.failing, allow_shrunk=step.allow_shrunk)
        before = {name: project.rows(name) for name in names}
        had_failed, has_failed = has_failed, has_failed or any(rows is None for rows in expected.values())
        if set(step.features) == set(step.failing):
            continue
        # A clock that is set back takes nothing back of what was committed; of a run that failed nothing is known.
        result = project.run(replace(step, clock=model.learned_at) if had_failed else step)
        failed = {item.name: item.error for item in result.run.features if item.status == "failed"}
        for name in step.features:
            if name in failed and expected[name] is not None and _is_refused(failed[name]):
                return
            said = f"seed {seed} ({identity}, {stamped}), run {number}, {name}: {failed.get(name)}"
            wrote = sorted(
                ((pair, op, value) for pair, _, op, value in news(before[name], project.rows(name))), key=repr
            )
            if name not in failed and _is_beside_its_scope(name, model.problems.get(name, "")):
                return
            if expected[name] is None:
                assert not wrote, said
                assert name in failed or name in step.failing, said
            else:
                assert wrote == expected[name], said
                assert late_rows(result, name) == model.late[name], said
        made = [name for name in step.features if expected[name] is not None]
        if make is divided_steps and made:
            compare_answers(project, model, made, f"seed {seed}, run {number}")
    last = steps[-1]
    again = project.run(last, full=True)
    if not failed and not last.failing:
        counts = [(item.rows_written, item.rows_corrected, item.rows_withdrawn) for item in again.run.features]
        assert counts == [(0, 0, 0)] * len(counts), f"seed {seed}: --full afterwards: {again.run.features}"


def news(before: set[StoredRow], now: set[StoredRow]) -> set[StoredRow]:
    """The new rows but for those of deletions: these are compared by what is answered, whichever run wrote them."""
    deleted = {pair for pair, _, op, _ in now if op == "tombstone"}
    return {row for row in now - before if row[2] == "value" or row[0] not in deleted}


def compare_answers(project: Project, model: Store, names: list[str], said: str) -> None:
    instants = [*range(-1, int(model.learned_at) + 3), *(at for _, at, _ in model.deleted)]
    labels = [(user, at + by) for user in "AB" for at in instants for by in (0, 1e-6)]
    answers = project.answers(names, labels)
    for name in names:
        for (user, at), answer in zip(labels, answers[name], strict=True):
            assert answer == model.join(name, user, at), (said, name, user, at)


def late_rows(result: IngestResult, name: str) -> int:
    """How many rows the run said to lie in frozen time for a feature."""
    lines = [line for line in result.reasons if line.startswith(f"{name}: ") and "came late" in line]
    return sum(int(line.split()[1]) for line in lines)


def _is_beside_its_scope(name: str, problem: str) -> bool:
    """Whether rows of several times gave different values for one pair, of which a run that is paid for by its news saw
    one: values of scope ``row`` are dated at their rows' own times, and the check that says so is off here.
    """
    return name in ("by_day", "twice") and problem.startswith("several values")


def _is_refused(problem: Problem | None) -> bool:
    """Whether a run was refused that the model makes: for a function's two values for one moment, since the model knows
    which row each stands at, or for values that are all dated ahead of the clock.
    """
    return problem is not None and problem.message.startswith(("two different values", "every value that"))


@pytest.mark.parametrize("seed", [1, 4, 237, 4010, 4011, 4012, *nightly([0, 2, 3, *range(5, 12)])])
def test_runs_store_what_the_model_stores(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    judge(tmp_path, seed, monkeypatch)


@pytest.mark.parametrize("seed", [0, 21, 2161, *nightly([5, 25, 40, 68])])
def test_rows_of_vanished_files_are_dropped_and_frozen_as_the_model_has_it(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge(tmp_path, seed, monkeypatch, make=rotating_steps)


@pytest.mark.parametrize("seed", [4, 1079, 2164, *nightly([0, 20, 25, 56, 2084])])
def test_rows_of_vanished_files_are_kept_for_as_long_as_the_source_says(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge(tmp_path, seed, monkeypatch, make=retained_steps)


@pytest.mark.parametrize("seed", [0, 1, *nightly([3, 8, 10, 20, 28])])
def test_deletions_and_snapshots_divide_users_as_the_model_has_it(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if seed % 3 == 0:  # by parts
        monkeypatch.setattr(divided, "part_rows", lambda _memory, _row_bytes: 1)
    judge(tmp_path, seed, monkeypatch, make=divided_steps)


@pytest.mark.parametrize("seed", [4, *nightly([7])])
def test_a_server_divides_users_as_the_model_has_it(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch, postgres: PostgresServer
) -> None:
    judge(tmp_path, seed, monkeypatch, postgres.url, divided_steps)
    postgres.run(f'DROP SCHEMA IF EXISTS "fs_{name_of(tmp_path)}" CASCADE')


@pytest.mark.parametrize(
    ("seed", "rows"),
    [(100, 1), (101, 2), (103, 1), *nightly((seed, rows) for seed in range(102, 106) for rows in (1, 2))],
)
def test_runs_by_parts_of_few_rows_store_the_same(
    tmp_path: Path, seed: int, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(divided, "part_rows", lambda _memory, _row_bytes: rows)
    judge(tmp_path, seed, monkeypatch)


@pytest.mark.parametrize("seed", [1, 14, *nightly([4, 8, 22, 26])])
def test_runs_by_parts_of_sources_with_ids_store_the_same(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows with one id lie in several parts."""
    monkeypatch.setattr(divided, "part_rows", lambda _memory, _row_bytes: 1)
    monkeypatch.setattr(divided.Divided, "_fits", lambda self, plan: not self._may_be_whole(plan))
    judge(tmp_path, seed, monkeypatch)


@pytest.mark.parametrize("seed", [12, *nightly([13, 14])])
def test_a_server_stores_what_the_model_stores(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch, postgres: PostgresServer
) -> None:
    judge(tmp_path, seed, monkeypatch, postgres.url)
    postgres.run(f'DROP SCHEMA IF EXISTS "fs_{name_of(tmp_path)}" CASCADE')


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(2_000, 2_100))
def test_a_server_stores_what_the_model_stores_many_more_times(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch, postgres: PostgresServer
) -> None:
    judge(tmp_path, seed, monkeypatch, postgres.url)
    postgres.run(f'DROP SCHEMA IF EXISTS "fs_{name_of(tmp_path)}" CASCADE')


@pytest.mark.nightly
@pytest.mark.parametrize("block", range(40))
def test_many_more_runs_store_what_the_model_stores(
    tmp_path: Path, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(1_000 + 25 * block, 1_025 + 25 * block):
        monkeypatch.setattr(divided, "part_rows", (division.part_rows, lambda _memory, _row_bytes: 1)[seed % 2])
        judge(tmp_path / str(seed), seed, monkeypatch)


@pytest.mark.nightly
@pytest.mark.parametrize("block", range(47))
def test_many_more_rotated_files_are_forgotten_as_the_model_has_it(
    tmp_path: Path, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(1_000 + 25 * block, 1_025 + 25 * block):
        monkeypatch.setattr(divided, "part_rows", (division.part_rows, lambda _memory, _row_bytes: 1)[seed % 2])
        judge(tmp_path / str(seed), seed, monkeypatch, make=rotating_steps)


@pytest.mark.nightly
@pytest.mark.parametrize("block", range(47))
def test_many_more_sources_keep_rows_as_the_model_has_it(
    tmp_path: Path, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(1_000 + 25 * block, 1_025 + 25 * block):
        monkeypatch.setattr(divided, "part_rows", (division.part_rows, lambda _memory, _row_bytes: 1)[seed % 2])
        judge(tmp_path / str(seed), seed, monkeypatch, make=retained_steps)


@pytest.mark.nightly
@pytest.mark.parametrize("block", range(40))
def test_many_more_deletions_divide_users_as_the_model_has_it(
    tmp_path: Path, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(1_000 + 25 * block, 1_025 + 25 * block):
        monkeypatch.setattr(divided, "part_rows", (division.part_rows, lambda _memory, _row_bytes: 1)[seed % 2])
        judge(tmp_path / str(seed), seed, monkeypatch, make=divided_steps)
