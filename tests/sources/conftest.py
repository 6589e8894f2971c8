"""A project with one source, and what reading it gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from featurestore.config import Project, load_project
from featurestore.model import KeyType, Source
from featurestore.sources.contract import Offer, OpenSource
from featurestore.sources.offers import fingerprint, open_source
from featurestore.sources.pinned_types import add_pins, read_pins
from featurestore.sources.reading import SourceRows, read_rows

STRING_KEY: Mapping[str, KeyType] = {"id": "string"}


@dataclass
class Shop:
    """A project whose only source is called ``visits``; files are written below its root."""

    root: Path
    project: Project

    def write(self, name: str, data: bytes | str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    @property
    def source(self) -> Source:
        return self.project.sources["visits"]

    def open(self, given: str | None = None) -> OpenSource:
        return open_source(self.project, self.source, given)

    def offer(self, given: str | None = None) -> Offer:
        return self.open(given).offer()

    def fingerprint(self) -> str:
        return fingerprint(self.source, self.offer(), read_pins(self.project, self.source))

    def read(
        self, keys: Mapping[str, KeyType] = STRING_KEY, *, given: str | None = None, needed: bool = True
    ) -> SourceRows:
        opened = self.open(given)
        required = list(keys) if needed else ()
        return read_rows(self.project, self.source, opened, opened.offer(), keys, needed=required)

    def pin(self, keys: Mapping[str, KeyType] = STRING_KEY) -> SourceRows:
        """Reads, and stores the types that were inferred."""
        rows = self.read(keys)
        add_pins(self.project, rows.source, rows.inferred)
        return rows

    def rejected(self, rows: SourceRows) -> Sequence[tuple[int | None, str | None, str]]:
        return [(row.row, row.column, row.reason) for row in rows.rejected]


class Shops:
    """Makes shops in one folder: the TOML of the source is all that differs."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(self, source: str = 'type = "csv"\npath = "visits.csv"') -> Shop:
        text = f'[project]\nname = "shop"\n[entity_types.one]\nkeys = {{ id = "string" }}\n[sources.visits]\n{source}\n'
        (self.root / "featurestore.toml").write_text(text, encoding="utf-8")
        return Shop(self.root, load_project(self.root))


@pytest.fixture
def shops(tmp_path: Path) -> Shops:
    return Shops(tmp_path)
