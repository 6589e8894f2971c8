"""A project with one source, and what reading it gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from featurestore.config import Project, load_project
from featurestore.model import KeyType
from featurestore.sources.listing import Listing, list_files
from featurestore.sources.slices import Slice, read, save_pins

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

    def list(self, given: str | None = None) -> Listing:
        return list_files(self.project, self.project.sources["visits"], given)

    def read(self, keys: Mapping[str, KeyType] = STRING_KEY, *, given: str | None = None, needed: bool = True) -> Slice:
        listing = self.list(given)
        return read(self.project, self.project.sources["visits"], listing, keys, needed=list(keys) if needed else ())

    def keep(self, keys: Mapping[str, KeyType] = STRING_KEY) -> Slice:
        """Reads, and keeps the types that were found."""
        return save_pins(self.project, self.read(keys))

    def refused(self, taken: Slice) -> Sequence[tuple[int, str | None, str]]:
        return [(row.row, row.column, row.reason) for row in taken.rejected]


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
