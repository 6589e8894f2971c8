"""Rows that can't be read again and that are kept: how many, and what for. Reads the index and the store alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from featurestore import times
from featurestore.config import Project
from featurestore.model import Check, Source
from featurestore.offline.contract import OfflineStore
from featurestore.parsed.index import Index, read_index
from featurestore.sources.types import is_stream
from featurestore.workflows.ingest.taken import NOTHING, Taken, read_taken

_LOOKBACK = 'declare lookback="…" where a value does not depend on older rows; else they stay'


def kept_checks(project: Project, store: OfflineStore, declared: Collection[str]) -> Iterator[Check]:
    """A check for each source of which such rows are kept, or were dropped. ``declared`` are the features that run."""
    for source in project.sources.values():
        if is_stream(source):
            yield from _raw_checks(source, store)
            continue
        index = read_index(project.state / "rows" / source.name / "index.json")
        if not index.contents:
            continue
        with store.reading():
            positions = {each.version.feature: each for each in store.positions(source.name)}
        found = {name: read_taken(each.cursor) for name, each in positions.items() if name in declared}
        taken = {name: each for name, each in found.items() if each is not None}
        if taken:
            yield from _checks(source, index, taken)


def _checks(source: Source, index: Index, taken: dict[str, Taken]) -> Iterator[Check]:
    there = {content for each in taken.values() for content in each.contents}
    missed = {content for each in taken.values() for content in each.missed} - there
    gone = [kept for sha256, kept in index.contents.items() if sha256 in missed and kept.accepted]
    rows = sum(kept.accepted for kept in gone)
    if rows:
        why, hint = _why(source, taken, {kept.sha256 for kept in gone})
        files = "1 file that is gone" if len(gone) == 1 else f"{len(gone):,} files that are gone"
        what = f"1 row of {files} is" if rows == 1 else f"{rows:,} rows of {files} are"
        yield Check("sources", "ok", f"{source.name}: {what} kept: {why}", hint)
    over = {content for each in taken.values() for content in each.replaced} - there - missed
    left = sum(piece.rows for one in over if one in index.contents for piece in index.contents[one].pieces)
    if left:
        what = "1 row of a file that was written over is" if left == 1 else f"{left:,} rows of files written over are"
        yield Check("sources", "ok", f"{source.name}: {what} kept: {source.known_at} says that they were known")
    lost = [high for sha256, high in index.dropped.items() if sha256 in missed]
    if lost:
        until = times.format_instant(max(lost))
        yield Check("sources", "ok", f"{source.name}: rows of files that are gone were dropped, the last of {until}")


def _raw_checks(source: Source, store: OfflineStore) -> Iterator[Check]:
    """What is kept of a source that can't be read again."""
    with store.reading():
        batches, dropped = store.raw_batches(source.name), store.dropped_batches(source.name)
    if batches:
        rows = sum(batch.rows for batch in batches)
        kept = "for ever" if source.keep is None else f"for {times.format_duration(source.keep)} at least"
        hint = f"keep in [sources.{source.name}] sets a time" if source.keep is None else None
        yield Check("sources", "ok", f"{source.name}: {rows:,} raw rows are kept, {kept}", hint)
    lost = [batch.high for batch in dropped if batch.high is not None]
    if lost:
        until = times.format_instant(max(lost))
        yield Check("sources", "ok", f"{source.name}: raw rows past its keep were dropped, the last of {until}")


def _why(source: Source, taken: dict[str, Taken], gone: Collection[str]) -> tuple[str, str | None]:
    for column in (source.updated_at, source.known_at):
        if column is not None and source.keep is None:
            return f"{column} of theirs says which later rows are older", None
    looking = {name: each for name, each in taken.items() if each.needs != NOTHING}
    for name, each in looking.items():
        if any(content not in each.vanished for content in gone):
            return f"{name} has not taken them yet", f"run featurestore ingest {name}"
    for name, each in looking.items():
        if each.needs is None:
            return f"{name} may look at all of them", _LOOKBACK
    if source.keep is not None:
        return f"keep is {times.format_duration(source.keep)}, or other rows have their keys", None
    needs = {name: each.needs for name, each in looking.items() if each.needs is not None}
    if not needs:
        return "the next run drops them", None
    name = min(needs, key=lambda one: needs[one])
    return f"{name} looks back to {times.format_instant(needs[name])}, or other rows have their keys", None
