"""Windows over tables of a server, read as a whole or by a cursor: what files with the same rows give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import ClassVar

import pytest

from featurestore.times import format_instant
from featurestore.workflows.ingest import divided
from tests.often import nightly
from tests.sources.postgres import Tables, tables
from tests.windows.judge import Event, Judge, play

__all__ = ["tables"]

COLUMNS = "number bigint, card text, at timestamptz, amount bigint, updated timestamptz"


@dataclass
class TableJudge(Judge):
    """The same events in a table, which is written anew."""

    tables: Tables = field(kw_only=True)

    def write(self) -> None:
        self._insert(sorted((e for events in self.files.values() for e in events), key=lambda e: e.updated))

    def _insert(self, events: list[Event]) -> None:
        with self.tables.connect() as connection, connection.transaction():
            connection.execute(f"CREATE TABLE IF NOT EXISTS payments ({COLUMNS}, seq bigserial)")
            self._clear(connection.execute)
            for e in events:
                values = (e.number, e.entity, format_instant(e.time), e.amount, format_instant(e.updated))
                connection.execute(
                    "INSERT INTO payments (number, card, at, amount, updated) VALUES (%s, %s, %s, %s, %s)", values
                )

    def _clear(self, execute: Callable[[str], object]) -> None:
        execute("DELETE FROM payments")


@dataclass
class CursorJudge(TableJudge):
    """The same events in a table that only grows."""

    forgets: ClassVar[bool] = False
    inserted: int = 0

    def write(self) -> None:
        events = [e for _, events in sorted(self.files.items()) for e in events]
        self._insert(events[self.inserted :])
        self.inserted = len(events)

    def _clear(self, execute: Callable[[str], object]) -> None:
        """Nothing of it goes."""


WAYS: dict[str, tuple[type[TableJudge], str]] = {
    "whole": (TableJudge, 'table = "payments"'),
    "cursor": (CursorJudge, 'table = "payments"\ncursor = "seq"\noverlap = "0s"'),
}


@pytest.mark.parametrize(
    ("way", "seed"),
    [("cursor", 402), ("whole", 401), *nightly((way, seed) for way in sorted(WAYS) for seed in range(400, 430))],
)
def test_a_history_of_windows_over_a_table_answers_what_brute_force_does(
    tmp_path: Path, tables: Tables, way: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if seed % 3 == 2:  # by parts
        monkeypatch.setattr(divided, "part_rows", lambda _memory, _row_bytes: 1)
    kind, lines = WAYS[way]
    play(tmp_path / "p", seed, monkeypatch, make=partial(kind, where=tables.source(lines), tables=tables))
