"""What each feature needs to be online: decided from the tables alone, before any value is read or written."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from featurestore.errors import StoreError
from featurestore.frozen import frozen
from featurestore.model import StoredVersion, VersionId
from featurestore.online.contract import Pulse
from featurestore.online.tables import Marker, Markers, Pointer, Pointers, Previous, version_entry
from featurestore.serving.last_sync import LastSync
from featurestore.serving.online_tables import OnlineTables
from featurestore.serving.ownership import owner_of

Role = Literal["active", "pinned", "previous", "bound"]


@frozen
class Task:
    """What one version needs: a load into a new field, or a merge of what was learned after a run.

    ``field`` is the version's field now, None where it has none. ``after_run`` None reads the whole history. With
    ``due_after`` what was dated later than that instant is merged too, if its time has come.

    A *pinned* version is what readers are served although another one is active here; the *previous* one is what they
    were served before, brought up to date so that one can step back to it. A *bound* one is an input of a promoted
    request-time feature.
    """

    version: StoredVersion
    load: bool
    field: int | None
    after_run: int | None
    role: Role = "active"
    due_after: int | None = None


@frozen
class SyncPlan:
    """The tasks; and, each with a sentence, the features whose values were lost and those that would step back."""

    tasks: tuple[Task, ...]
    lost: Mapping[str, str]
    refused: Mapping[str, str]


@frozen
class Situation:
    """What both stores look like when an attempt begins.

    ``last`` is what this checkout knows from its last sync. ``versions`` are all versions that the history has,
    ``run_ids`` the ids of its runs by number, ``history`` its id (see `attempt.history_id`) and ``owner`` the id that
    it was born with. ``now`` is the clock (µs). ``ahead`` is, for versions that were last written by the first
    release, the latest date in the history. ``horizons`` are those of the versions of windows (µs).
    """

    markers: Markers
    pointers: Pointers
    last: LastSync
    pulse: Pulse
    versions: Sequence[StoredVersion]
    run_ids: Mapping[int, str]
    history: str
    now: int
    ahead: Mapping[VersionId, int]
    horizons: Mapping[VersionId, int]

    @property
    def up_to_run(self) -> int:
        return max(self.run_ids, default=0)

    @property
    def owner(self) -> str:
        return owner_of(self.run_ids)


def plan_sync(
    wanted: Sequence[StoredVersion],
    now: Situation,
    *,
    full: bool,
    promote: bool,
    repair: bool = True,
    bound: Sequence[StoredVersion] = (),
) -> SyncPlan:
    """What the wanted versions need.

    ``promote`` serves them even where that steps back. Without ``repair`` there is no task for a feature whose values
    were lost. ``bound`` versions are online too. Raises StoreError where the history is behind what is online; a
    ``full`` sync replaces that.
    """
    in_history = {version.id: version for version in now.versions}
    tasks: list[Task] = []
    lost: dict[str, str] = {}
    refused: dict[str, str] = {}
    for version in wanted:
        feature, target, role = version.id.feature, version, _role(version, now, promote=promote)
        pointer = now.pointers.features.get(feature)
        if pointer is not None and role == "pinned":
            refused[feature] = _refusal(version, pointer)
            if pointer.version not in in_history:
                continue
            target = in_history[pointer.version]
        reason = _loss(target.id, now)
        if reason is not None:
            lost[feature] = reason
            if not repair:
                continue
        tasks.append(replace(_task(target, now, full=full), role=role))
        previous = _previous(target, pointer)
        marker = None if previous is None else now.markers.versions.get(previous)
        if previous in in_history and marker is not None and marker.field is not None:
            if not repair and _loss(previous, now) is not None:
                continue
            tasks.append(replace(_task(in_history[previous], now, full=full), role="previous"))
    planned = {task.version.id for task in tasks}
    tasks += [
        replace(_task(version, now, full=full), role="bound")
        for version in {item.id: item for item in bound}.values()
        if version.id not in planned and (repair or _loss(version.id, now) is None)
    ]
    return SyncPlan(tuple(tasks), lost, refused)


def is_set_back(marker: Marker, run_ids: Mapping[int, str]) -> bool:
    """Whether the history lacks the run that a marker stands at: it has another run of its number, or none."""
    return bool(marker.run_id) and run_ids.get(marker.run_seq) != marker.run_id


def describe_set_back(markers: Iterable[Marker], run_ids: Mapping[int, str]) -> tuple[str, str] | None:
    """What is wrong where runs are online that the history lacks, and the way out; None where it has all of them.

    ``run_ids`` are those of the history, by number.
    """
    lost = [marker.run_seq for marker in markers if is_set_back(marker, run_ids)]
    if not lost:
        return None
    if max(lost) not in run_ids:
        what = f"run {max(lost)} is online, but the history ends at run {max(run_ids, default=0)}"
        return what, "restore the history, or replace what is online: featurestore sync --full"
    what = "the history was set back: what is online comes from runs that it does not have"
    return what, "the next featurestore sync loads the features anew"


def marker_loss(marker: Marker, now: Situation) -> str | None:
    """Why a marker does not prove any more that its values are online, in words; None where it does."""
    if is_set_back(marker, now.run_ids):
        return f"the history was set back: its run {marker.run_seq} is not the one that was synced"
    if _has_other_history(marker, now):
        return "the history is not the one that was synced: something was erased, or it was replaced"
    return pulse_loss(marker.pulse, now.pulse)


def pulse_loss(before: Pulse, now: Pulse) -> str | None:
    """What a store has lost between two looks at it, in words; None where it need not have lost anything."""
    if before.contents and before.contents != now.contents:
        return "one of the servers of the online store has lost its values"
    restarted = now.servers != before.servers
    # A server counts from zero again when it is restarted.
    evicted = now.evicted - (0 if restarted else before.evicted)
    if evicted > 0:
        return f"the online store has evicted {evicted:,} keys (its maxmemory-policy should be noeviction)"
    # A single server that loses values loses the markers with them; in a cluster the markers may be on another shard.
    if restarted and max(now.shards, before.shards) > 1:
        return "a server of the online store was restarted or replaced, and may have lost values"
    return None


LOAD_AGAIN = "the next featurestore sync loads them again"


def describe_lost(expected: Collection[str], tables: OnlineTables, now: Pulse) -> str | None:
    """What is not online any more since somebody synced it; None where nothing is known to be lost.

    ``expected`` are the features that had values online at this checkout's last sync.
    """
    markers, pointers = tables.markers().versions, tables.pointers().features
    gone = sorted(set(expected) - {name for name, pointer in pointers.items() if pointer.version in markers})
    if gone:
        return f"the online store has lost what was synced of {', '.join(gone)}"
    losses = (pulse_loss(marker.pulse, now) for marker in markers.values() if marker.field is not None)
    return next((loss for loss in losses if loss is not None), None)


def steps_back(wanted: StoredVersion, pointer: Pointer, markers: Markers) -> bool:
    """Whether serving a version would undo a later promotion: it was served before, or its number is lower."""
    if wanted.id.sha256 == pointer.sha256:
        return False
    marker = markers.versions.get(wanted.id)
    return (marker is not None and marker.pointed) or wanted.number < pointer.number


def repoint(task: Task, markers: Mapping[VersionId, Marker], current: Pointer | None) -> Pointer | None:
    """The pointer that serves a task's version from the field that its marker names; None where it has no field."""
    version = task.version
    marker = markers.get(version.id)
    if marker is None or marker.field is None:
        return None
    previous = current.previous if current else None
    if current is not None and task.role != "pinned" and current.sha256 != version.id.sha256:
        previous = Previous(current.sha256, current.number, current.data_type, current.field, current.horizon)
    if previous is not None:
        before = markers.get(VersionId(version.id.feature, previous.sha256))
        if before is not None and before.field is not None:
            previous = replace(previous, field=before.field, horizon=before.horizon)
    bound = () if current is None else current.bound
    if task.role == "pinned" and current is not None:
        return replace(current, field=marker.field, previous=previous, horizon=marker.horizon)
    return Pointer(
        feature=version.id.feature, entity_type=version.entity_type.name, sha256=version.id.sha256,
        number=version.number, data_type=version.data_type, field=marker.field, max_age=version.max_age,
        previous=previous, bound=bound, horizon=marker.horizon,
    )  # fmt: skip


def beside(pointer: Pointer, bound: Sequence[StoredVersion], markers: Mapping[VersionId, Marker]) -> Pointer | None:
    """The pointer with the bound versions of its feature that it has not otherwise; None where one has no field."""
    others = []
    for version in {item.id: item for item in bound if item.id.feature == pointer.feature}.values():
        if version.id in (pointer.version, pointer.previous_version):
            continue
        marker = markers.get(version.id)
        if marker is None or marker.field is None:
            return None
        others.append(Previous(version.id.sha256, version.number, version.data_type, marker.field, marker.horizon))
    return replace(pointer, bound=tuple(others))


def superseded(
    markers: Markers, pointers: Pointers, left: Collection[str] = (), bound: Collection[VersionId] = ()
) -> dict[VersionId, Marker]:
    """Versions that were served once and are in no pointer any more, or whose feature was left.

    ``bound`` are those that were online for request-time features until now.
    """
    in_use = {pointer.version for pointer in pointers.features.values()}
    in_use |= {VersionId(name, item.sha256) for name, pointer in pointers.features.items() for item in pointer.others}
    return {
        version: marker
        for version, marker in markers.versions.items()
        if marker.field is not None
        and version not in in_use
        and (marker.pointed or version in bound or version.feature in left)
    }


def _role(version: StoredVersion, now: Situation, *, promote: bool) -> Role:
    pointer = now.pointers.features.get(version.id.feature)
    if pointer is not None and not promote and steps_back(version, pointer, now.markers):
        return "pinned"
    return "active"


def _previous(target: StoredVersion, pointer: Pointer | None) -> VersionId | None:
    """The version that is the previous one once the target is served."""
    if pointer is None or pointer.sha256 != target.id.sha256:
        return None if pointer is None else pointer.version
    return pointer.previous_version


def _task(version: StoredVersion, now: Situation, *, full: bool) -> Task:
    marker = now.markers.versions.get(version.id)
    if marker is None or marker.field is None:
        return Task(version, load=True, field=None, after_run=None)
    if _has_other_history(marker, now) and marker.run_seq <= now.up_to_run:
        # An erased value may be later than what the history has now, and a merge would let it win.
        return Task(version, load=True, field=marker.field, after_run=None)
    if marker.run_seq <= now.up_to_run:
        if not marker.clock and now.ahead.get(version.id, now.now) > now.now:  # it may serve values ahead of their time
            return Task(version, load=True, field=marker.field, after_run=None)
        whole = full or _loss(version.id, now) is not None
        # Without a clock there is nothing to wait for; the marker gets one.
        since = now.now if not marker.clock else marker.clock if marker.clock < marker.ahead else None
        return Task(
            version,
            load=False,
            field=marker.field,
            after_run=None if whole else marker.run_seq,
            due_after=None if whole else since,
        )
    if full:
        return Task(version, load=True, field=marker.field, after_run=None)
    raise StoreError(
        f"{version.id.feature}: the history ends at run {now.up_to_run}, but run {marker.run_seq} is online already",
        hint="was the history restored, or is it another one? featurestore sync --full replaces what is online",
    )


def _loss(version: VersionId, now: Situation) -> str | None:
    """Why the store may have lost values of a version, as far as it or this checkout can tell; None where not."""
    watermark = now.last.watermarks.get(version_entry(version))
    marker = now.markers.versions.get(version)
    message = f"the online store has lost data that it had at run {max(now.last.watermarks.values(), default=0)}"
    if watermark is not None and (now.markers.epoch != now.last.epoch or marker is None):
        return message
    if marker is None or marker.field is None:  # never loaded, or swept by any checkout
        return None
    if watermark is not None and marker.run_seq < min(watermark, now.up_to_run):
        return message
    return marker_loss(marker, now)


def _has_other_history(marker: Marker, now: Situation) -> bool:
    return (bool(marker.history) and marker.history != now.history) or is_set_back(marker, now.run_ids)


def _refusal(version: StoredVersion, pointer: Pointer) -> str:
    feature = version.id.feature
    return (
        f"{feature}: version {pointer.number} stays online; it was promoted after version {version.number}, which is "
        f"active here (featurestore promote {feature} {version.number} serves that one)"
    )
