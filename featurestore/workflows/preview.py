"""How a change of code would change the values: old and new code run on the same rows. Writes nothing.

The old code comes from its version file, the rows from today's source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from featurestore.config import Project
from featurestore.drift.statistics import describe
from featurestore.drift.version_changes import EntityComparison, compare_entities, shift
from featurestore.frozen import frozen
from featurestore.model import Json, Problem, VersionId
from featurestore.offline.contract import OfflineStore
from featurestore.progress import SILENT, Progress
from featurestore.registry.discovery import discover, select
from featurestore.versioning.analysis.tree import SourceTree
from featurestore.versioning.folder.versionfile import read_version
from featurestore.workflows.ingest.compute import compute
from featurestore.workflows.ingest.events import Computed, Failed, IngestOptions
from featurestore.workflows.ingest.targets import Target, file_target, find_targets
from featurestore.workflows.plan import VersionPlan
from featurestore.workflows.scratch import trial


@frozen
class Preview:
    """How one feature's values would change.

    ``rows`` compares the values of every (entity, time), ``entities`` the latest values. The old side is None for a
    new feature; ``problem`` says why nothing could be computed.
    """

    name: str
    old: Mapping[str, Json] | None = None
    new: Mapping[str, Json] | None = None
    shift: Mapping[str, Json] | None = None
    rows: EntityComparison | None = None
    entities: EntityComparison | None = None
    problem: Problem | None = None


def preview(project: Project, store: OfflineStore, plan: VersionPlan, progress: Progress = SILENT) -> list[Preview]:
    """Computes the new and changed features of a plan, and their old versions, without storing anything.

    Features without a source have no preview. Raises CancelledError where the caller cancels.
    """
    with trial(project, store) as (project, store):
        return _preview(project, store, plan, progress)


def _preview(project: Project, store: OfflineStore, plan: VersionPlan, progress: Progress) -> list[Preview]:
    chosen = {item.name: item for item in plan.changes if item.change in ("new", "changed")}
    tree = SourceTree(project.root)
    registry = discover(project, tree)
    features = select(registry, list(chosen)) if chosen else []
    with store.reading():
        working, failed = find_targets(project, store, tree, features)
        clock = store.next_clock()
    working = [target for target in working if target.hashed is not None]
    targets: list[Target] = list(working)
    for target in working:
        old = chosen[target.feature.name].old
        file = None if old is None else read_version(old.path)
        if file is not None and file.feature.materialised:
            targets.append(file_target(project, target.feature, file))
    frames: dict[VersionId, pl.DataFrame] = {}
    problems: dict[str, Problem] = {item.name: item.error for item in failed if item.error is not None}
    options = IngestOptions(full=True, dry_run=True, allow_shrunk=True)
    for event in compute(project, store, targets, options, registry.features, clock=clock):
        progress.check()
        if isinstance(event, Computed):
            progress(f"computed {event.target.feature.name}, version {event.target.version.number}")
            frames[event.target.version.id] = pl.concat(event.frames())
        elif isinstance(event, Failed):
            problems.setdefault(event.target.feature.name, event.problem)
    return [_compare(target, targets, frames, problems) for target in working] + [
        Preview(item.name, problem=problems[item.name]) for item in failed
    ]


def _compare(
    target: Target, targets: Sequence[Target], frames: Mapping[VersionId, pl.DataFrame], problems: Mapping[str, Problem]
) -> Preview:
    name, new = target.feature.name, frames.get(target.version.id)
    if name in problems or new is None:
        return Preview(name, problem=problems.get(name))
    data_type = target.feature.data_type
    described = describe(new["value"], data_type)
    before = next((item for item in targets if item.feature.name == name and item is not target), None)
    old = None if before is None else frames.get(before.version.id)
    if before is None or old is None:
        return Preview(name, new=described)
    old_described = describe(old["value"], before.feature.data_type)
    comparable = before.feature.data_type == data_type and before.feature.entity_type == target.feature.entity_type
    keys = target.feature.entity_type.key_names
    moments = (*keys, "computed_at") if "computed_at" in new.columns and "computed_at" in old.columns else keys
    return Preview(
        name,
        old=old_described,
        new=described,
        shift=shift(old_described, described),
        rows=compare_entities(old, new, moments, data_type, 0.0) if comparable else None,
        entities=compare_entities(_latest(old, keys), _latest(new, keys), keys, data_type, 0.0) if comparable else None,
    )


def _latest(frame: pl.DataFrame, keys: tuple[str, ...]) -> pl.DataFrame:
    """The last row of each entity; frames come sorted by keys and time."""
    return frame.unique(subset=list(keys), keep="last", maintain_order=True)
