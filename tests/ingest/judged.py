# ruff: noqa: E501
"""Sequences of runs for `model` and for the command's workflow: the same files, the same clock, the same features.

One unit of the model's time is a day.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from featurestore import times
from featurestore.config import load_project
from featurestore.offline.contract import OfflineStore
from featurestore.offline.open import open_offline
from featurestore.workflows.delete import delete
from featurestore.workflows.ingest.events import IngestOptions
from featurestore.workflows.ingest.ingest import IngestRequest, IngestResult, ingest
from featurestore.workflows.join.batches import join
from featurestore.workflows.join.question import JoinQuestion, resolve_features
from tests.ingest.model import EVER, Feature, Row

L = GRID = 3
ORIGIN = datetime(2024, 1, 1, tzinfo=UTC)
KEYS = {"id": 'id = ["id"]', "place": "", "row": 'duplicates = "keep"'}
TOML = """
[project]
name = "{project}"
[entity_types.user]
keys = {{ user = "string" }}
[sources.events]
type = "csv"
path = "*.csv"
event_time = "event_at"
{more}
[sources.events.columns]
value = {{ type = "int" }}
id = {{ type = "int" }}
updated_at = {{ type = "datetime" }}
[scopes]
check = false
{offline}
"""
USERS = """
[sources.users]
type = "csv"
path = "users.list"
valid = "always"
snapshot = true
max_vanished = "100%"
"""
USER = """
import polars as pl

from featurestore import feature


@feature(entity_type="user", data_type="string", source="users")
def known_user() -> pl.Expr:
    return pl.col("user")
"""
HEAD = "user,event_at,updated_at,id,value\n"

# How each feature is computed, as the text that both sides run: rows of its partition in order, and the index of one.
TEXTS = {
    "amount": ("row", "[(r.event_time, r.value)]"),
    "odd_only": ("row", "[(r.event_time, r.value)] if r.value == 1 else []"),
    "by_day": ("row", "[(floor(r.event_time), r.value)]"),
    "twice": ("row", "[(r.event_time, r.value), (r.event_time + 2, r.value)]"),
    "running_sum": ("entity", "[(r.event_time, total(rows[: i + 1]))]"),
    "until_next": ("entity", "[(r.event_time, min((x.event_time for x in rows if x.event_time > r.event_time), default=None))]"),
    "day_total": ("entity", "[(floor(r.event_time), total(within(rows, floor(r.event_time), floor(r.event_time) + 2)))]"),
    "mean": ("source", "[(r.event_time, (r.value or 0) * len(rows) - total(rows))]"),
    "sum_3": ("lookback", "[(r.event_time, total(within(rows, r.event_time - 3, r.event_time)))]"),
    "before_3": ("lookback", "[(r.event_time, total(within(rows, r.event_time - 3, r.event_time - 1)))]"),
    "grid_total_3": ("lookback", "[(floor(r.event_time) + 3, total(within(rows, floor(r.event_time), floor(r.event_time) + 2)))]"),
    "steps_3": ("lookback", "[(t, len(within(rows, t - 2, t))) for t in (r.event_time, r.event_time + 3)]"),
    "sparse_3": ("lookback", "[(r.event_time, total(within(rows, r.event_time - 3, r.event_time)))] if r.value == 2 else []"),
}  # fmt: skip
LIB = """
def total(rows):
    return sum(row.value or 0 for row in rows)


def within(rows, low, high):
    return [row for row in rows if low <= row.event_time <= high]


def floor(t):
    return t // 3 * 3
"""
CODE = """
from collections import namedtuple
from datetime import datetime, timedelta, timezone

import polars as pl

from featurestore import feature

ORIGIN = datetime(2024, 1, 1, tzinfo=timezone.utc)
Row = namedtuple("Row", "entity event_time value")

{lib}

@feature(entity_type="user", data_type="int", source="events", {scope})
def {name}(df: pl.DataFrame) -> pl.DataFrame:
    days = [(at - ORIGIN).days for at in df["event_at"]]
    every = [Row(*row) for row in zip(df["user"], days, df["value"])]
    parts = {{}}
    for n, row in enumerate(every):
        parts.setdefault({part}, []).append(row)
    found = []
    for rows in parts.values():
        for i, r in enumerate(rows):
            found += [(r.entity, ORIGIN + timedelta(days=t), value) for t, value in ({text})]
    types = {{"user": pl.String, "computed_at": pl.Datetime("us", "UTC"), "value": pl.Int64}}
    return pl.DataFrame(found, schema=types, orient="row")
"""
SCOPES = {
    "row": ('scope="row"', "n", 0.0), "entity": ('scope="entity"', "row.entity", EVER),
    "lookback": ('scope="entity", lookback="3d"', "row.entity", 3), "source": ('scope="source"', "None", EVER),
}  # fmt: skip
# An expression, whose scope is found in it.
SHORT = """
import polars as pl

from featurestore import feature


@feature(entity_type="user", data_type="int", source="events")
def short() -> pl.Expr:
    return pl.col("value") + 1
"""


def model_feature(name: str) -> Feature:
    """A feature for the model."""
    if name == "short":
        return Feature(
            name, "row", 0, lambda rows, i: [(rows[i].event_time, None if rows[i].value is None else rows[i].value + 1)]
        )
    scope, text = TEXTS[name]
    space: dict[str, Any] = {}
    exec(f"{LIB}\ndef at(rows, i):\n    r = rows[i]\n    return {text}\n", space)  # the text is above
    kind = "entity" if scope == "lookback" else scope
    return Feature(name, kind, SCOPES[scope][2], space["at"])


def feature_code(name: str) -> str:
    """The same for a project."""
    if name == "short":
        return SHORT
    scope, text = TEXTS[name]
    declared, part, _ = SCOPES[scope]
    return CODE.format(lib=LIB, scope=declared, name=name, part=part, text=text)


NAMES = ("short", *TEXTS)


@dataclass(frozen=True)
class Step:
    """One run: the files that are there, the clock, and what is asked for.

    Before it users are deleted, each from so many days before the last run on. ``present`` is who a snapshot has; None:
    there is none.
    """

    files: Mapping[str, tuple[Row, ...]]
    clock: float
    features: tuple[str, ...]
    failing: tuple[str, ...] = ()
    allow_shrunk: bool = False
    deletions: tuple[tuple[str, int], ...] = ()
    present: frozenset[str] | None = None


def instant(day: float) -> datetime:
    return ORIGIN + timedelta(days=day)


class Project:
    """A project whose source has the files of the steps. ``url`` is of a PostgreSQL server for its history."""

    def __init__(
        self, root: Path, identity: str, stamped: bool, names: Iterable[str], monkeypatch: pytest.MonkeyPatch,
        *, url: str | None = None, keep: int | None = None, snapshot: bool = False,
    ) -> None:  # fmt: skip
        self.root, self._patch = root, monkeypatch
        updated = 'updated_at = "updated_at"\n' if stamped else ""
        updated += "" if keep is None else f'keep = "{keep}d"\n'
        offline = "" if url is None else f'[offline]\nurl = "{url}"\n'
        offline += USERS if snapshot else ""
        (root / "features").mkdir(parents=True)
        if snapshot:
            (root / "features" / "users.py").write_text(USER)
        (root / "featurestore.toml").write_text(
            TOML.format(more=updated + KEYS[identity], offline=offline, project=name_of(root))
        )
        for name in names:
            (root / "features" / f"{name}.py").write_text(feature_code(name))
        self.project = load_project(root)
        self.store: OfflineStore = open_offline(self.project)

    def run(self, step: Step, **options: Any) -> IngestResult:
        """Makes the run. A feature that is to fail asks for rows that are not there."""
        there = {path.name for path in self.root.glob("*.csv")}
        for name in there - {f"{name}.csv" for name in step.files}:
            (self.root / name).unlink()
        for name, rows in step.files.items():
            path, text = self.root / f"{name}.csv", HEAD + "".join(map(_line, rows))
            if not path.exists() or path.read_text() != text:
                path.write_text(text)
        if step.present is not None:
            (self.root / "users.list").write_text("user\n" + "".join(f"{who}\n" for who in sorted(step.present)))
        self._set_clock(step.clock)
        names = tuple(name for name in step.features if name not in step.failing)
        request = IngestRequest(
            names=names if step.present is None else (*names, "known_user"), drift=False,
            options=IngestOptions(allow_shrunk=step.allow_shrunk, **options),
        )  # fmt: skip
        return ingest(self.project, self.store, request)

    def _set_clock(self, clock: float) -> None:
        moment = micros(clock)
        self._patch.setattr(times, "now", lambda: moment)

    def delete(self, user: str, clock: float, at: float) -> bool:
        """Whether there was anything to delete."""
        self._set_clock(clock)
        entity_type = self.project.entity_types["user"]
        return delete(self.project, self.store, entity_type, {"user": user}, micros(at)).run_id is not None

    def answers(self, names: Sequence[str], labels: Sequence[tuple[str, float]]) -> dict[str, list[int | None]]:
        """What a join answers to labels (user and instant), by feature."""
        frame = pl.DataFrame(
            {"user": [who for who, _ in labels], "t": pl.Series([instant(at) for _, at in labels])},
            schema={"user": pl.String, "t": pl.Datetime("us", "UTC")},
        )
        joined: list[pl.DataFrame] = []
        question = JoinQuestion(resolve_features(self.project, self.store, names), "t")
        join(self.project, self.store, question, [frame], joined.append)
        return {name: joined[0][name].to_list() for name in names}

    def rows(self, name: str) -> set[tuple[tuple[str, float], int, str, int | None]]:
        """All that is stored of a feature: pair, run, op, value."""
        found: set[tuple[tuple[str, float], int, str, int | None]] = set()
        with self.store.reading():
            frames = [self.store.scan(version) for version in self.store.versions(name)]
        for frame in frames:
            for row in frame.iter_rows(named=True):
                days = (row["computed_at"].replace(tzinfo=UTC) - ORIGIN) / timedelta(days=1)
                at = int(days) if days.is_integer() else days
                op = ("value", "tombstone", "withdrawn")[row["op"]]
                found.add(((row["user"], at), row["run_seq"], op, row["value"]))
        return found


def micros(day: float) -> int:
    return round(instant(day).timestamp() * 1_000_000)


def name_of(root: Path) -> str:
    """A name of its own for each project: on a server they lie side by side."""
    return f"judged_{sha256(str(root).encode()).hexdigest()[:8]}"


def _line(row: Row) -> str:
    value, number = ("" if item is None else item for item in (row.value, row.id))
    return f"{row.entity},{instant(row.event_time):%Y-%m-%dT%H:%M:%SZ},{instant(row.updated_at):%Y-%m-%dT%H:%M:%SZ},{number},{value}\n"


def random_row(rng: random.Random, identity: str, stamped: bool, late: int = 12) -> Row:
    return Row(
        rng.choice("AAB"), rng.randrange(late), rng.randrange(20) if stamped else 0,
        rng.randrange(4) if identity == "id" else None, rng.choice([None, 1, 1, 2, 2]),
    )  # fmt: skip


def _change(rng: random.Random, files: dict[str, tuple[Row, ...]], make: Any) -> None:
    kinds = ["add", "add", "append", "append", "overwrite", "overwrite", "delete", "delete", "rename", "copy", "rotate"]
    kind, fresh = rng.choice(kinds), "fghijklmnopqrst"[rng.randrange(15)]
    if kind == "add" or not files or (kind == "delete" and len(files) == 1):
        files[fresh] = tuple(make() for _ in range(rng.randint(1, 3)))
        return
    path = rng.choice(sorted(files))
    match kind:
        case "append":
            files[path] += (make(),)
        case "overwrite":
            files[path] = tuple(_rewritten(rng, list(files[path]), make))
        case "delete":
            del files[path]
        case "rename":
            files[fresh] = files.pop(path) + ((make(),) if rng.random() < 0.5 else ())
        case "copy":
            files[fresh] = files[path]
        case "rotate":
            files[fresh], files[path] = files[path], (make(),)


def _rewritten(rng: random.Random, rows: list[Row], make: Any) -> list[Row]:
    for _ in range(rng.randint(1, 2)):
        what, at = (
            rng.choice(["change", "change", "remove", "insert", "repeat"]),
            rng.randrange(len(rows)) if rows else 0,
        )
        if what == "insert" or not rows:
            rows.insert(at, make())
        elif what == "remove":
            del rows[at]
        elif what == "repeat":
            rows.append(rows[at])
        else:
            new = make()
            fields = rng.sample(["value", "entity", "event_time", "updated_at"], 2)
            rows[at] = rows[at]._replace(**{field: getattr(new, field) for field in fields})
    return rows


def random_steps(seed: int) -> tuple[str, bool, tuple[Step, ...]]:
    """How rows are told apart, whether they have `updated_at`, and some runs."""
    rng = random.Random(seed)
    identity, stamped = rng.choice(["id", "id", "place", "place", "row"]), rng.random() < 0.6
    names = [rng.choice(NAMES) for _ in range(2)]
    late_start, early = rng.choice([0, 1, 2, 3, 9]), rng.random() < 0.5
    files: dict[str, tuple[Row, ...]] = {}
    clock, steps = 6, []
    for n in range(rng.randint(2, rng.choice([4, 6, 6, 8]))):

        def make(n: int = n) -> Row:
            row = random_row(rng, identity, stamped, 4 if early else 12)
            return row._replace(event_time=max(0, 4 * n + rng.randrange(-3, 4))) if early else row

        for _ in range(rng.choice([0, 1, 1, 2, 3])):
            _change(rng, files, make)
        if not files:
            files["a"] = (make(),)
        clock = max(1, clock + rng.choice([0, 1, 3, 6, -2]))
        active = tuple(dict.fromkeys(names if n >= late_start else names[:1]))
        failing = tuple(name for name in active if rng.random() < 0.1)
        steps.append(Step(dict(files), clock, active, failing, rng.random() < 0.3))
    return identity, stamped, tuple(steps)


def keep_of(seed: int) -> int:
    """How many days rows of vanished files are kept: at least as long as lookbacks reach."""
    return L + seed % 6


def retained_steps(seed: int) -> tuple[str, bool, tuple[Step, ...]]:
    """The same as `rotating_steps`, for features that can do with a retention."""
    return rotating_steps(seed, retained=True)


def rotating_steps(seed: int, *, retained: bool = False) -> tuple[str, bool, tuple[Step, ...]]:
    """The same, of a source whose files are of a few days each and go after some more; some come back, some rows late."""
    rng = random.Random(seed)
    identity, stamped = rng.choice(["id", "place", "place", "row"]), rng.random() < (0.5 if retained else 0.2)
    near = [name for name in NAMES if name == "short" or TEXTS[name][0] in ("row", "lookback")]
    others = [name for name in NAMES if name not in near and (not retained or TEXTS[name][0] == "source")]
    names = [rng.choice(near), rng.choice([*near, *near, *(sorted([*near, *others], key=NAMES.index))])]
    late_start, ids = rng.choice([0, 2, 4]), iter(range(100))
    files: dict[str, tuple[Row, ...]] = {}
    gone: dict[str, tuple[Row, ...]] = {}
    steps = []
    for n in range(rng.randint(4, 8)):
        now = 6 + 4 * n

        def make(low: int, high: int) -> Row:
            row = random_row(rng, identity, stamped)
            number = None if row.id is None else (next(ids) if rng.random() < 0.8 else row.id)
            return row._replace(event_time=max(0, rng.randint(low, high)), id=number)  # used in its turn

        if rng.random() < 0.8 or not files:
            files[f"day{n}"] = tuple(make(now - 4, now) for _ in range(rng.randint(1, 3)))
        if rng.random() < 0.35:
            files[f"late{n}"] = (make(now - 16, now - 4),)
        if gone and rng.random() < 0.25:
            name = rng.choice(sorted(gone))
            files[name] = gone.pop(name)
        for name in [name for name in sorted(files) if len(files) > 1 and rng.random() < 0.3]:
            gone[name] = files.pop(name)
        active = tuple(dict.fromkeys(names if n >= late_start else names[:1]))
        failing = tuple(name for name in active if rng.random() < 0.1)
        steps.append(Step(dict(files), now, active, failing, rng.random() < 0.2))
    return identity, stamped, tuple(steps)


def divided_steps(seed: int) -> tuple[str, bool, tuple[Step, ...]]:
    """One of the others, with users that are deleted, and every other time a snapshot that some go from and return to."""
    rng = random.Random(seed)
    identity, stamped, steps = rng.choice((random_steps, rotating_steps, retained_steps))(seed)
    present, found = frozenset("AB"), []
    snapshot = seed % 2 == 0
    for step in steps:
        deletions = [(rng.choice("AAB"), rng.choice([0, 0, 1, 3, 8])) for _ in range(rng.choice([0, 0, 1, 1, 2]))]
        if snapshot and rng.random() < 0.5:
            present = (present ^ {rng.choice("AB")}) or frozenset("A")
        # No row is dated when its user was deleted by a snapshot.
        clock = step.clock + 0.5 if snapshot else step.clock
        found.append(replace(step, clock=clock, deletions=tuple(deletions), present=present if snapshot else None))
    return identity, stamped, tuple(found)


def same_as(step: Step, **changes: Any) -> Step:
    return replace(step, **changes)


__all__ = [
    "NAMES",
    "Project",
    "Step",
    "divided_steps",
    "keep_of",
    "model_feature",
    "pl",
    "random_steps",
    "retained_steps",
    "rotating_steps",
    "same_as",
]
