"""Rows that are one event and lie at several places, so that no part of a source has all of them.

Which of them counts is decided before the source is divided, over these rows alone: mostly few.
"""

from __future__ import annotations

import polars as pl

from featurestore.evaluation.events import Events
from featurestore.frozen import frozen
from featurestore.parsed.rows import CONTENT, ROW
from featurestore.workflows.ingest.contents import SourceContents
from featurestore.workflows.ingest.news import Looking, Side

_ID, _PLACE = "featurestore id", "featurestore place"


@frozen
class Repeats:
    """What became of the rows of events that lie at several places; ``beaten`` (`CONTENT`, `ROW`) don't count."""

    events: Events
    beaten: pl.DataFrame


def find_repeats(looking: Looking, contents: SourceContents, side: Side, most: int) -> Repeats | int:
    """Of a side's rows; how many there are where they are more than ``most``.

    By hashes of 64 bits: two ids that share one are looked at as well, and told apart then.
    """
    ids, place = list(looking.source.id), looking.place
    hashes = [
        pl.DataFrame({_ID: frame.select(ids).hash_rows(), _PLACE: frame.select(place).hash_rows(1)})
        for frame in contents.stream(side.ranks, [*ids, *place])
    ]
    seen = pl.concat(hashes).unique() if hashes else pl.DataFrame(schema={_ID: pl.UInt64(), _PLACE: pl.UInt64()})
    moved = seen.filter(pl.col(_ID).is_duplicated())[_ID].unique()
    del hashes, seen
    found, rows = [contents.rows({}, side.clock)], 0
    for frame in contents.frames(side.ranks, side.clock) if len(moved) else ():
        found.append(frame.filter(frame.select(ids).hash_rows().is_in(moved.implode())))
        rows += found[-1].height
        if rows > most:
            return rows
    together = pl.concat(found)
    events = looking.count(together)
    standing = events.with_contradictions(looking.key, looking.place).select(CONTENT, ROW)
    return Repeats(events, together.select(CONTENT, ROW).join(standing, on=[CONTENT, ROW], how="anti"))
