"""New entities that a person would take for one that is held: ``7.0`` of a spreadsheet beside ``7``."""

from __future__ import annotations

from unicodedata import normalize

import polars as pl

from featurestore.model import StoredVersion
from featurestore.offline.contract import RunTransaction
from featurestore.tables.lookalikes import folded
from featurestore.tables.searching import key_changes
from featurestore.tables.types import key_types

MOST_IDS = 200  # of a run that are compared


def warn_of_held_lookalikes(
    transaction: RunTransaction, version: StoredVersion, frame: pl.DataFrame, source: str
) -> list[str]:
    """A line on the first pair, if there is one. Called before the frame, some entities of which are looked up, is
    written: once the new entity is held too, nothing more is said of it.
    """
    keys = list(version.entity_type.key_names)
    entities = frame.select(keys)
    entities = entities.filter(pl.Series(key_changes(entities)))  # sorted by them
    entities = entities.gather_every(max(entities.height // MOST_IDS, 1)).head(MOST_IDS)
    for key in version.entity_type.keys:
        if key.type != "string":
            continue
        plain = folded(entities[key.name])
        rows = zip(entities.iter_rows(named=True), plain, strict=True)
        pairs = [(row, other) for row, folded_id in rows for other in _alike(row[key.name], folded_id)]
        others = pl.DataFrame([{**row, key.name: other} for row, other in pairs], schema=key_types(version.entity_type))
        if not others.height:
            continue
        held = set(transaction.pairs(version, others.unique()).select(keys).unique().iter_rows())
        for row, other in pairs if held else ():
            alike = tuple(other if name == key.name else row[name] for name in keys)
            if alike in held and not transaction.pairs(version, pl.DataFrame([row], schema=others.schema)).height:
                both = f"{source}: {key.name} {row[key.name]!r} is new, and {other!r} is held, which differs only by "
                return [f"{both}whitespace, case, Unicode form or .0: each is an entity of its own"]
    return []


def _alike(text: str, plain: str) -> list[str]:
    """Other ids of which `folded` makes ``plain`` as well: those that people and programs write."""
    number = plain.removeprefix("-").isdecimal()
    found = [plain, f"{plain}.0"] if number else [plain, plain.upper(), plain.title(), normalize("NFD", plain)]
    return [each for each in dict.fromkeys(found) if each != text]
