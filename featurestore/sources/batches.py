"""Batches of rows that the history holds of a stream, as the contents of an offer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from featurestore.errors import SourceError
from featurestore.sources.contract import Content, Offer, RawPart


def offer_of_batches(parts: Sequence[RawPart], partition_of: Callable[[RawPart], int], mark: str = "") -> Offer:
    """The batches, in order; ``mark`` says how they are read, where another way gives other rows."""
    contents = tuple(
        Content(part.name, part.content + mark, part.size, stream=(partition_of(part), part.sequence)) for part in parts
    )
    return Offer(
        content={"batches": [[item.name, item.sha256] for item in contents]},
        cursor={"files": {item.name: item.sha256 for item in contents}},
        size=sum(part.size for part in parts),
        contents=contents,
        handle=tuple(parts),
    )


def path_of(part: RawPart, source: str) -> Path:
    """The file of a batch. Raises SourceError where its rows are not laid out."""
    if part.path is None:
        raise SourceError(
            "rows that are kept of it were damaged", where=f"source {source}",
            hint="run featurestore ingest again: they are made again from what the history holds",
        )  # fmt: skip
    return part.path
