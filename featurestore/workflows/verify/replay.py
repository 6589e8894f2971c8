"""``verify --requests``: a log of what readers were answered, asked again of the history and compared bit by bit.

A line is compared where all that was read stood at the last run that was committed by then. The others are counted as
behind: what they were answered was right for the run that they stood at.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TypeVar

import polars as pl

from featurestore import times
from featurestore.config import Project
from featurestore.errors import FeatureStoreError, SourceError, UsageError, os_reason
from featurestore.evaluation.request_fields import from_value
from featurestore.frozen import frozen
from featurestore.model import EntityType, Json, Scalar
from featurestore.offline.contract import OfflineStore
from featurestore.point_in_time.entities import Entity, entity_keys
from featurestore.progress import SILENT, Progress
from featurestore.tables.types import INSTANT_UTC, column_type, key_types
from featurestore.tables.values import json_value
from featurestore.workflows.get import find_entity_type
from featurestore.workflows.join.batches import join
from featurestore.workflows.join.question import EntityColumns, JoinQuestion, ResolvedFeature
from featurestore.workflows.references import Reference, resolve

BATCH_LINES = 20_000
EXAMPLES = 20
_AT, _VALUE, _FIELD = "featurestore at", "featurestore value", "featurestore field "  # spaces keep them apart from keys

T = TypeVar("T")
Version = tuple[str, str, str]  # entity type, feature, SHA-256
Group = tuple[Version, int]  # and the run that was read


@frozen
class ReplayedValue:
    """A value that the history answers otherwise than a reader was: where it is logged, and both values as JSON."""

    line: int
    at: int
    entity_type: EntityType
    entity: Entity
    feature: str
    sha256: str
    logged: Json
    joined: Json


@dataclass(slots=True)
class Replay:
    """How many lines there were, and how many of them were behind or can't be read; values compared and different ones.

    ``examples`` are some of the values that differ, and ``problems`` say of some lines why they can't be read.
    """

    lines: int = 0
    behind: int = 0
    unreadable: int = 0
    checked: int = 0
    different: int = 0
    examples: list[ReplayedValue] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 where everything that can be compared agrees, else 1."""
        return 1 if self.different or self.unreadable else 0


def replay_requests(project: Project, store: OfflineStore, path: Path, progress: Progress = SILENT) -> Replay:
    """Compares a log that ``get --log`` or ``serve --request-log`` wrote with the history.

    Raises SourceError for a file that can't be read, UsageError for a version that this store does not have,
    StoreError, CancelledError.
    """
    runs = sorted((run.learned_at, run.run_seq) for run in store.committed_runs())
    found = Replay()
    replayer = _Replayer(project, store, [at for at, _ in runs], [seq for _, seq in runs], found)
    try:
        with path.open(encoding="utf-8") as stream:
            for lines in _batches(enumerate(stream, 1), BATCH_LINES):
                progress(f"replaying line {lines[0][0]:,}")
                replayer.replay(lines)
    except (OSError, UnicodeDecodeError) as exc:
        reason = os_reason(exc) if isinstance(exc, OSError) else "it is not UTF-8"
        raise SourceError(f"can't be read: {reason}", where=str(path), hint="name a log of get or serve") from exc
    return found


@frozen
class _Logged:
    """One value of a line: who was asked about, when, with which fields, and what was answered."""

    line: int
    at: int
    entity: Entity
    request: Mapping[str, object]
    value: Json


@dataclass(slots=True)
class _Replayer:
    project: Project
    store: OfflineStore
    learned: Sequence[int]
    seqs: Sequence[int]
    found: Replay
    _resolved: dict[Version, Reference] = field(default_factory=dict)

    def replay(self, lines: Sequence[tuple[int, str]]) -> None:
        groups: dict[Group, list[_Logged]] = {}
        for number, text in lines:
            if not text.strip():
                continue
            self.found.lines += 1
            try:
                for group, logged in self._read(number, text):
                    groups.setdefault(group, []).append(logged)
            except (ValueError, KeyError, TypeError, AttributeError, FeatureStoreError) as exc:
                self.found.unreadable += 1
                said = exc.message if isinstance(exc, FeatureStoreError) else "it is not a line of a log of requests"
                if len(self.found.problems) < EXAMPLES:
                    self.found.problems.append(f"line {number} can't be read: {said}")
        for (version, run), values in groups.items():
            self._compare(version, run, values)

    def _read(self, number: int, text: str) -> list[tuple[Group, _Logged]]:
        """The values of a line; none where it is behind."""
        line = json.loads(text)
        at = times.parse_instant(line["at"])[0]
        entity_type = find_entity_type(self.project, line["entity_type"])
        entity = entity_keys(entity_type, line["entity_id"])
        request, run = dict(line["request"]), line["run"]
        values = []
        for name, served in line["features"].items():
            version = (entity_type.name, name.partition("@")[0], str(served["sha256"]))
            values.append(((version, run), _Logged(number, at, entity, request, served["value"])))
        if run is None or run != self._last_run(at):
            self.found.behind += 1
            return []
        return values

    def _last_run(self, at: int) -> int:
        place = bisect_right(self.learned, at)
        return self.seqs[place - 1] if place else 0

    def _compare(self, version: Version, run: int, values: Sequence[_Logged]) -> None:
        reference = self._resolve(version)
        entity_type = reference.version.entity_type
        fields = {} if reference.bound is None else reference.bound.file.feature.request
        usable = [item for item in values if set(fields) <= item.request.keys()]
        self.found.unreadable += len(values) - len(usable)
        if not usable:
            return
        frame = self._labels(entity_type, fields, usable)
        feature = ResolvedFeature(_VALUE, reference.version, bound=reference.bound)
        question = JoinQuestion(
            [feature], _AT, EntityColumns(entity_type.name, entity_type.key_names), last_run=run,
            as_served=True, request={name: f"{_FIELD}{name}" for name in fields},
        )  # fmt: skip
        joined: list[pl.DataFrame] = []
        join(self.project, self.store, question, [frame], joined.append, labels_name="the log")
        for item, value in zip(usable, joined[0][_VALUE].to_list(), strict=True):
            self.found.checked += 1
            answered = json_value(value)
            if not _same(answered, item.value):
                self.found.different += 1
                if len(self.found.examples) < EXAMPLES:
                    self.found.examples.append(
                        ReplayedValue(
                            item.line, item.at, entity_type, item.entity, version[1], version[2], item.value, answered
                        )
                    )

    def _resolve(self, version: Version) -> Reference:
        if version not in self._resolved:
            _, name, sha256 = version
            (found,) = resolve(self.project, self.store, [f"{name}@{sha256}"])
            if found.version.id.sha256 != sha256:
                raise UsageError(
                    f"there is no version of {name} with the hash {sha256}", hint="restore its file with git"
                )
            self._resolved[version] = found
        return self._resolved[version]

    def _labels(self, entity_type: EntityType, fields: Mapping[str, Scalar], values: Sequence[_Logged]) -> pl.DataFrame:
        """The lines as labels: keys, instants and fields."""
        columns = [
            pl.Series(name, [item.entity[name] for item in values], dtype=kind)
            for name, kind in key_types(entity_type).items()
        ]
        columns.append(pl.Series(_AT, [item.at for item in values], dtype=pl.Int64).cast(INSTANT_UTC))
        for name, kind in fields.items():
            given = [from_value(name, kind, item.request[name]) for item in values]
            columns.append(pl.Series(f"{_FIELD}{name}", given, dtype=column_type(kind)))
        return pl.DataFrame(columns)


def _same(one: Json, other: Json) -> bool:
    """Whether two values as JSON are the same bits: 1 is not 1.0 nor true, and NaN is itself."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and one == other


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
