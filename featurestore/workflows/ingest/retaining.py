"""Raw rows of streams past their source's retention: which batches no version that runs needs, and that they go.

A batch goes as a whole, once its last row is older than that, counted from the last row of the version that is furthest
behind. Batches that a version has not taken stay, and those that a later reading compares with what comes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

from featurestore.config import Project
from featurestore.errors import ConfigError, SourceError, StoreError, VersionFileError
from featurestore.model import Source
from featurestore.offline.contract import DroppedBatch, OfflineStore, Position
from featurestore.registry.discovery import Registry
from featurestore.sources.contract import StreamSource
from featurestore.sources.offers import open_stream
from featurestore.versioning.folder.files import read_active
from featurestore.workflows.ingest.streams import part_of
from featurestore.workflows.ingest.taken import Taken, read_taken


def drop_past_retention(project: Project, store: OfflineStore, registry: Registry) -> None:
    """Drops the raw rows of all sources that have a retention."""
    for source in project.sources.values():
        if source.keep is None or registry.broken:  # a declaration that is broken may be about any source
            continue
        with suppress(StoreError, SourceError, ConfigError, VersionFileError):  # the next run does it
            opened = open_stream(project, source)
            if opened is not None:
                going = list(_going(project, store, source, opened, registry))
                if going:
                    store.drop_batches(going)


def _going(
    project: Project, store: OfflineStore, source: Source, opened: StreamSource, registry: Registry
) -> Iterator[DroppedBatch]:
    readers = [feature.name for feature in registry.features if source.name in feature.source_names]
    with store.reading():
        positions = [one for one in store.positions(source.name) if one.version.feature in readers]
        batches, cursor = store.raw_batches(source.name), store.source_position(source.name)
    used = _taken(project, positions)
    if {one.version.feature for one in positions} != set(readers) or not all(used):
        return  # somebody has not taken anything yet
    taken = [each for each in used if each is not None]
    needs = [each.needs for each in taken if each.needs is not None]
    if len(needs) < len(taken) or not needs:
        return
    reach = min(needs)
    for batch in batches:
        names = {each.files.get(str(batch.sequence)) for each in taken}
        content = next(iter(names))
        if len(names) > 1 or content is None or not opened.settled(part_of(batch), cursor):
            continue
        highs = [each.times[content].high for each in taken if content in each.times]
        known = [high for high in highs if high is not None]
        if len(highs) == len(taken) and all(high < reach for high in known):
            yield DroppedBatch(source.name, batch.sequence, content, max(known, default=None))


def _taken(project: Project, positions: Sequence[Position]) -> list[Taken | None]:
    """What the versions that are in use have taken: each feature's last one, and the one that is active."""
    last = {position.version.feature: position for position in positions}
    active = {name: read_active(project.versions, name) for name in last}
    return [
        read_taken(one.cursor)
        for one in positions
        if last[one.version.feature] is one
        or ((promoted := active[one.version.feature]) is not None and promoted.sha256 == one.version.sha256)
    ]
