"""After a run: kept rows that nothing needs any more go, and many small files become few."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress

from featurestore.config import Project
from featurestore.errors import SourceError, StoreError
from featurestore.model import Source, VersionId
from featurestore.offline.contract import OfflineStore, Position
from featurestore.workflows.ingest.taken import Taken, read_taken
from featurestore.workflows.ingest.targets import Target


def tidy_rows(project: Project, store: OfflineStore, targets: Sequence[Target], declared: Collection[str]) -> None:
    """Keeps the rows of the contents that each feature's last version and the versions of this run name.

    Of these, rows of files that vanished go where no feature that is ``declared`` needs them.
    """
    sources = {source.name: source for target in targets for source in target.feature.reads}
    for name, source in sources.items():
        if not (project.state / "rows" / name / "index.json").exists():
            continue
        from featurestore.parsed.rows import DamagedRowsError, KeptRows  # Polars, which an unchanged source leaves out
        from featurestore.workflows.ingest.forgetting import forget_repeated, forget_rows

        with suppress(StoreError, SourceError, DamagedRowsError, OSError):  # the next run does it
            with store.reading():
                positions = store.positions(name)
                past = {batch.content for batch in store.dropped_batches(name)}
                entity_types = {version.entity_type for version in store.versions() if version.id.feature in declared}
            versions = {target.version.id for target in targets if source in target.feature.reads}
            used = _used(positions, versions)
            kept = KeptRows(project.state / "rows" / name, source, project.memory)
            kept.clean(_named(used) - past)
            kept.save()
            if source.known_at is not None:
                forget_repeated(kept, source, _taken(positions)[-1], _taken(used))
                kept.clean(_named(used) - past)
                kept.save()
            running = [each for each in used if each.version.feature in declared]
            if versions <= {each.version for each in running} and _may_forget(source):
                forget_rows(kept, source, entity_types, _taken(positions)[-1], _taken(running))
                kept.clean(_named(used) - past)
                kept.save()


def _used(positions: Sequence[Position], versions: Collection[VersionId]) -> list[Position]:
    last = {position.version.feature: position for position in positions}
    return [one for one in positions if one.version in versions or last[one.version.feature] is one]


def _may_forget(source: Source) -> bool:
    """Whether rows may go: not without a time, and only past a retention where they say which later row is older."""
    stamped = source.updated_at is not None or source.known_at is not None
    return source.event_time is not None and (source.keep is not None or not stamped)


def _taken(positions: Sequence[Position]) -> list[Taken]:
    return [each for position in positions if (each := read_taken(position.cursor)) is not None]


def _named(positions: Sequence[Position]) -> set[str]:
    return {content for each in _taken(positions) for content in (*each.parts, *each.missed, *each.replaced)}
