"""After a run: kept rows that no position names go, and many small files become few."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from featurestore.config import Project
from featurestore.errors import StoreError
from featurestore.offline.contract import OfflineStore, Position
from featurestore.workflows.ingest.taken import read_taken
from featurestore.workflows.ingest.targets import Target


def tidy_rows(project: Project, store: OfflineStore, targets: Sequence[Target]) -> None:
    """Keeps the rows of the contents that each feature's last version and the versions of this run name.

    The rows of a file that has vanished stay: for scope ``entity`` they go on counting.
    """
    sources = {source.name: source for target in targets for source in target.feature.reads}
    versions = {target.version.id for target in targets}
    for name, source in sources.items():
        if not (project.state / "rows" / name / "index.json").exists():
            continue
        from featurestore.parsed.rows import KeptRows  # Polars, which an unchanged source does not need

        with suppress(StoreError, OSError):  # the next run does it
            with store.reading():
                positions = store.positions(name)
            last = {position.version.feature: position for position in positions}
            used = [one for one in positions if one.version in versions or last[one.version.feature] is one]
            kept = KeptRows(project.state / "rows" / name, source)
            kept.clean(_named(used))
            kept.save()


def _named(positions: Sequence[Position]) -> set[str]:
    taken = [each for position in positions if (each := read_taken(position.cursor)) is not None]
    return {content for each in taken for content in (*each.parts, *each.missed)}
