"""Opening a source by its type, and the fingerprint of what it offers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import cast

from featurestore.model import Column, Scalar, Source
from featurestore.sources.contract import Offer, OpenSource, ProjectFolders, StreamSource
from featurestore.sources.types import find_type, is_stream


def open_source(folders: ProjectFolders, source: Source, given: str | None = None) -> OpenSource:
    """Opens a source by its type; ``given`` (``--input``) is read in place of what its settings name."""
    return find_type(source.type).open_source(folders, source, given)


def open_stream(folders: ProjectFolders, source: Source, given: str | None = None) -> StreamSource | None:
    """The same for a type whose rows can't be read again; None for all others."""
    if not is_stream(source):
        return None
    return cast("StreamSource", open_source(folders, source, given))


def fingerprint(source: Source, offer: Offer, pins: Mapping[str, Scalar]) -> str:
    """SHA-256 over an offer's content and everything that decides how it is read: the same again, the same rows."""
    # Its hash is stored with every position: another key, or another spelling, has all sources read again.
    document: Mapping[str, object] = {**offer.content, **reading_settings(source), "pins": dict(pins)}
    # Only where it is set, so that the fingerprints of older stores stay.
    document = {**document, **({"duplicates": source.duplicates} if source.duplicates else {})}
    document = {**document, **({"snapshot": source.snapshot} if source.snapshot else {})}
    text = json.dumps(document, sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def reading_settings(source: Source) -> dict[str, object]:
    """Everything of a source's settings that decides how its bytes become rows."""
    return {
        **({} if source.settings is None else source.settings.identity),
        **source.dialect.identity,
        "type": source.type,
        "event_time": source.event_time,
        "updated_at": source.updated_at,
        "timezone": source.timezone,
        **({} if source.valid is None else {"valid": source.valid}),
        **({} if source.known_at is None else {"known_at": source.known_at}),
        "columns": {name: _rules(column) for name, column in source.columns.items()},
        **({"id": source.id} if source.id else {}),
    }


def _rules(column: Column) -> list[object]:
    """What a declaration says of a column; rules that came later only where they are set."""
    rules: list[object] = [column.type, column.null, column.min, column.max, column.choices, column.pattern]
    if column.min_length is not None or column.max_length is not None:
        rules.append({"min_length": column.min_length, "max_length": column.max_length})
    return rules
