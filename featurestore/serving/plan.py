"""What each feature needs to be online: decided from the tables alone, before anything is read or written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from featurestore.errors import StoreError
from featurestore.model import StoredVersion, VersionId
from featurestore.online.contract import Pulse
from featurestore.online.tables import Loaded, Meta, Pointer, Pointers, Previous, version_entry
from featurestore.serving.memory import Memory


@dataclass(frozen=True, slots=True)
class Task:
    """What one version needs: a load into a fresh field, or a merge of what was learned after a run.

    ``field`` is where the version lies now, None where it doesn't. ``after_run`` None reads the whole history.
    ``kept`` says that readers are served this version although another one is active here; ``aside`` that it is
    the one before what they are served, kept up to date to step back to.
    """

    version: StoredVersion
    load: bool
    field: int | None
    after_run: int | None
    kept: bool = False
    aside: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """The tasks, the features whose values the store has lost and those that would step back, each with words."""

    tasks: tuple[Task, ...]
    lost: Mapping[str, str]
    refused: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Situation:
    """The tables as they stand, what this checkout remembers of them, the history's last run, the servers' pulse.

    ``history`` names the history and everything ever erased from it.
    """

    meta: Meta
    pointers: Pointers
    memory: Memory
    up_to_run: int
    pulse: Pulse
    history: str


def loss(loaded: Loaded, now: Situation) -> str | None:
    """Why a version's marker alone can't be trusted any more, in words; None where it can."""
    if _is_of_another_history(loaded, now):
        return "something was erased from the history, or it is another one"
    before = loaded.pulse
    restarted = now.pulse.servers != before.servers
    evicted = now.pulse.evicted - (0 if restarted else before.evicted)
    if evicted > 0:
        return f"the online store has evicted {evicted:,} keys (its maxmemory-policy should be noeviction)"
    if restarted and max(now.pulse.shards, before.shards) > 1:
        return "a server of the online store was restarted or replaced, and may have lost what the others kept"
    return None


def _is_of_another_history(loaded: Loaded, now: Situation) -> bool:
    return bool(loaded.history) and loaded.history != now.history


def decide(
    wanted: Sequence[StoredVersion],
    history: Sequence[StoredVersion],
    now: Situation,
    *,
    full: bool,
    promote: bool,
    repair: bool = True,
) -> Plan:
    """What the wanted versions need. ``history`` are all versions that the history holds.

    ``promote`` serves them even where that steps back. Without ``repair`` there is no task for a feature whose values
    were lost. Raises StoreError where the history is behind what is online, unless ``full``: that replaces what is
    online.
    """
    held = {version.id: version for version in history}
    tasks: list[Task] = []
    lost: dict[str, str] = {}
    refused: dict[str, str] = {}
    for version in wanted:
        feature, target = version.id.feature, version
        pointer = now.pointers.features.get(feature)
        kept = pointer is not None and not promote and steps_back(version, pointer, now.meta)
        if pointer is not None and kept:
            refused[feature] = _refusal(version, pointer)
            if pointer.version not in held:
                continue
            target = held[pointer.version]
        reason = _was_lost(target.id, now)
        if reason is not None:
            lost[feature] = reason
            if not repair:
                continue
        tasks.append(replace(_task(target, now, full=full), kept=kept))
        before = _previous(target, pointer)
        loaded = None if before is None else now.meta.loaded.get(before)
        if before in held and loaded is not None and loaded.field is not None:
            if not repair and _was_lost(before, now) is not None:
                continue
            tasks.append(replace(_task(held[before], now, full=full), aside=True))
    return Plan(tuple(tasks), lost, refused)


def steps_back(wanted: StoredVersion, pointer: Pointer, meta: Meta) -> bool:
    """Whether serving it would undo a later promotion: it was served before, or is numbered before what is served."""
    if wanted.id.sha256 == pointer.sha256:
        return False
    loaded = meta.loaded.get(wanted.id)
    return (loaded is not None and loaded.pointed) or wanted.number < pointer.number


def repoint(task: Task, loaded: Mapping[VersionId, Loaded], current: Pointer | None) -> Pointer | None:
    """The pointer that serves a task's version, where the store's markers say it lies; None where it lies nowhere."""
    version = task.version
    place = loaded.get(version.id)
    if place is None or place.field is None:
        return None
    previous = current.previous if current else None
    if current is not None and not task.kept and current.sha256 != version.id.sha256:
        previous = Previous(current.sha256, current.number, current.data_type, current.field)
    if previous is not None:
        before = loaded.get(VersionId(version.id.feature, previous.sha256))
        if before is not None and before.field is not None:
            previous = replace(previous, field=before.field)
    if task.kept and current is not None:
        return replace(current, field=place.field, previous=previous)
    return Pointer(
        feature=version.id.feature, entity_type=version.entity_type.name, sha256=version.id.sha256,
        number=version.number, data_type=version.data_type, field=place.field, max_age=version.max_age,
        previous=previous,
    )  # fmt: skip


def superseded(meta: Meta, pointers: Pointers) -> dict[VersionId, Loaded]:
    """Versions that were served once and are neither active nor previous any more."""
    kept = {pointer.version for pointer in pointers.features.values()}
    kept |= {VersionId(p.feature, p.previous.sha256) for p in pointers.features.values() if p.previous}
    return {
        version: loaded
        for version, loaded in meta.loaded.items()
        if loaded.field is not None and loaded.pointed and version not in kept
    }


def _previous(target: StoredVersion, pointer: Pointer | None) -> VersionId | None:
    """The version that is the one before, once the target is served."""
    if pointer is None or pointer.sha256 != target.id.sha256:
        return None if pointer is None else pointer.version
    return None if pointer.previous is None else VersionId(target.id.feature, pointer.previous.sha256)


def _task(version: StoredVersion, now: Situation, *, full: bool) -> Task:
    loaded = now.meta.loaded.get(version.id)
    if loaded is None or loaded.field is None:
        return Task(version, load=True, field=None, after_run=None)
    if _is_of_another_history(loaded, now) and loaded.run_seq <= now.up_to_run:
        # What was erased may be later than what there is now, and a merge keeps the later.
        return Task(version, load=True, field=loaded.field, after_run=None)
    if loaded.run_seq <= now.up_to_run:
        return Task(
            version,
            load=False,
            field=loaded.field,
            after_run=None if full or _was_lost(version.id, now) is not None else loaded.run_seq,
        )
    if full:
        return Task(version, load=True, field=loaded.field, after_run=None)
    raise StoreError(
        f"{version.id.feature}: the history ends at run {now.up_to_run}, but run {loaded.run_seq} is online already",
        hint="was the history restored, or is it another one? featurestore sync --full replaces what is online",
    )


def _was_lost(version: VersionId, now: Situation) -> str | None:
    """Why the store may have less of a version than it once held, as far as it or this checkout can tell."""
    remembered = now.memory.watermarks.get(version_entry(version))
    loaded = now.meta.loaded.get(version)
    words = f"the online store has lost data that it held at run {max(now.memory.watermarks.values(), default=0)}"
    if remembered is not None and (now.meta.epoch != now.memory.epoch or loaded is None):
        return words
    if loaded is None or loaded.field is None:  # never loaded; or swept, by whoever it was
        return None
    if remembered is not None and loaded.run_seq < min(remembered, now.up_to_run):
        return words
    return loss(loaded, now)


def _refusal(version: StoredVersion, pointer: Pointer) -> str:
    feature = version.id.feature
    return (
        f"{feature}: version {pointer.number} stays online; it was promoted after version {version.number}, which is "
        f"active here (featurestore promote {feature} {version.number} serves that one)"
    )
