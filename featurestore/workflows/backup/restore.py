"""``restore``: puts the history, the audit log and the version files of a backup in the place of what is there.

First the whole file is proved to be what was written. Then the new history is built beside the old one; the version
files and the history take their places last, one after the other, under a flag that says so until both have.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import field, replace
from pathlib import Path
from typing import Any

from featurestore import times
from featurestore.atomic import together
from featurestore.config import Project
from featurestore.errors import DamagedError, FeatureStoreError, UsageError, from_os_error
from featurestore.frozen import frozen
from featurestore.locking import prepare_state, write_lock
from featurestore.model import EntityType, Key
from featurestore.offline import schema
from featurestore.offline.contract import OfflineStore
from featurestore.offline.copies import Replacement, StoreState
from featurestore.offline.ownership import read_project_id
from featurestore.offline.restoring import clear_restore, completing, flag_restore, unfinished_restore
from featurestore.online.contract import OnlineStore
from featurestore.progress import SILENT, Progress
from featurestore.registry.summary import write_summary
from featurestore.workflows.backup.archive import Archive, made_at, open_archive
from featurestore.workflows.backup.erased import ErasedEntity, ErasedSince, backed_up_runs, describe_run, erased_since
from featurestore.workflows.backup.files import VersionFiles, compare_versions, write_rows, write_versions
from featurestore.workflows.backup.tables import TABLES, read_table
from featurestore.workflows.erasure.completion import complete_erasures
from featurestore.workflows.erasure.erase import erase
from featurestore.workflows.summaries import summarize


@frozen
class BackedUp:
    """What a backup says of itself. Instants are microseconds."""

    project: str
    project_id: str | None
    made_at: int
    format: int
    run_seq: int
    run_id: str
    runs: int
    versions: int
    rows: int
    numbers: Any


@frozen
class RestoreResult:
    """What was restored, or would be. ``changed`` is False where all of it was there already.

    ``files`` are the version files that were missing or differed. ``replaced`` counts the committed runs of the history
    before that the backup does not have. ``erased`` counts entities that were erased after the backup was made, and
    were erased again. ``needs_force`` says on a dry run why the restore asks for ``force``. ``left`` says what is still
    to be done; ``warnings`` what else there is to say.
    """

    path: Path
    backup: BackedUp
    changed: bool
    files: VersionFiles = field(default_factory=VersionFiles)
    replaced: int = 0
    erased: int = 0
    needs_force: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0, or 3 where something that was erased is back."""
        return 3 if self.left else 0


@frozen
class _Here:
    """What a project has before: the state of its history (None: there is none, or it can't be read, for a reason)."""

    state: StoreState | None
    damaged: str | None = None
    lost: int = 0
    erased: ErasedSince = field(default_factory=ErasedSince)


def restore(
    project: Project,
    offline: OfflineStore,
    online: OnlineStore,
    path: Path,
    *,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress = SILENT,
) -> RestoreResult:
    """Restores a backup; the online store is left to the next sync, but for what was erased since the backup.

    Without ``force`` nothing is replaced: neither a history nor a version file. What is there goes on being there
    until all of the new is. What is killed in between is said by every command, and the same restore completes it.
    Raises UsageError, DamagedError, NewerFormatError, LockedError, StoreError; then nothing was changed.
    """
    with open_archive(path) as archive:
        progress("checking the backup")
        archive.check(progress)
        facts = _facts(archive)
        schema.check_format(facts.format, str(path))
        with nullcontext() if dry_run else write_lock(project):
            result, pending = _restore(project, offline, archive, facts, force, dry_run, progress)
    if dry_run or not pending:
        return result
    left = _erase_again(project, offline, online, pending, progress)
    return replace(result, left=(*result.left, *left))


def _restore(
    project: Project,
    offline: OfflineStore,
    archive: Archive,
    facts: BackedUp,
    force: bool,
    dry_run: bool,
    progress: Progress,
) -> tuple[RestoreResult, Sequence[ErasedEntity]]:
    """All but erasing again, under the lock; gives what is to be erased."""
    unfinished = unfinished_restore(project)
    files = compare_versions(project, archive)
    here = _look(project, offline, archive, dry_run=dry_run)
    noted = _read_pending(unfinished)
    pending = [*noted, *(each for each in here.erased.entities if each not in noted)]
    same = here.state is not None and here.state.numbers == facts.numbers and not files.all
    if same and (unfinished is not None or offline.set_back() is None):
        if unfinished is not None and not dry_run:
            _tidy(project, offline, pending)
        return RestoreResult(archive.path, facts, changed=False), pending
    begun = unfinished is not None and unfinished.get("file") == str(archive.path.absolute())
    reasons = () if begun else tuple(_reasons(project, facts, files, here))
    if reasons and not (force or dry_run):
        raise UsageError(
            "; ".join(reasons), where=str(project.root),
            hint="back up what is here first (featurestore backup ANOTHER), then add --force",
        )  # fmt: skip
    result = RestoreResult(
        archive.path, facts, True, files, here.lost, len(pending), reasons if dry_run else (), _left(here),
        _warnings(facts, here),
    )  # fmt: skip
    if not dry_run:
        _replace(project, offline, archive, facts, files, pending, progress)
        _tidy(project, offline, pending)
    return result, pending


def _look(project: Project, offline: OfflineStore, archive: Archive, *, dry_run: bool) -> _Here:
    """What is there, and what of it the backup does not have."""
    try:
        if not dry_run and offline.set_back() is None and offline.erasures():
            left = complete_erasures(project, offline).left
            if left:
                raise FeatureStoreError(
                    f"an erasure is not complete, and would be forgotten: {left[0]}",
                    hint="featurestore sync completes it; then restore",
                )
        with offline.copies() as copies:
            state = copies.state()
        if state is None or not state.runs:
            return _Here(state)
        limit = project.memory // 2
        runs = backed_up_runs(archive, limit)
        lost = sum(run.run_id not in runs for run in offline.committed_runs())
        return _Here(state, None, lost, erased_since(offline, archive, runs, limit) if lost else ErasedSince())
    except DamagedError as exc:
        if exc.where == str(archive.path):
            raise
        return _Here(None, str(exc))


def _reasons(project: Project, facts: BackedUp, files: VersionFiles, here: _Here) -> Iterator[str]:
    """Why a restore replaces what somebody may want to keep."""
    mine = read_project_id(project)
    if facts.project != project.name:
        yield f"this is a backup of another project: {facts.project}, and this one is {project.name}"
    elif mine is not None and facts.project_id not in (None, mine):
        yield f"this is a backup of another project called {project.name}: its id is {facts.project_id}, here {mine}"
    if here.damaged is not None:
        yield f"the history here can't be read, and would be replaced: {here.damaged}"
    elif here.state is not None and here.state.runs:
        runs = "1 run" if here.state.runs == 1 else f"{here.state.runs} runs"
        lost = f", {here.lost} of which the backup does not have" if here.lost else ""
        yield f"there is a history here, of {runs}{lost}"
    if files.different:
        more = f" and {len(files.different) - 1} more" if len(files.different) > 1 else ""
        yield f"{project.versions / files.different[0]}{more} would be replaced by another one"


def _warnings(facts: BackedUp, here: _Here) -> tuple[str, ...]:
    if here.state is not None and here.state.runs:
        return ()
    made = times.format_instant(facts.made_at // 1_000_000 * 1_000_000)
    return (f"if anything was erased after {made}, when this backup was made, it is back: erase it again",)


def _left(here: _Here) -> tuple[str, ...]:
    """What was erased since and is back, with the way out."""
    features = here.erased.features
    left = [
        f"the history of {name} was erased since: run featurestore retire {name} --erase again" for name in features
    ]
    entities = [run for run in here.erased.runs if run.sources == ("delete",)]
    if len(entities) > len(here.erased.entities):
        named = ", ".join(describe_run(run) for run in entities)
        left.append(f"not every entity that was erased since could be found (runs {named}): erase them again")
    return tuple(left)


def _replace(
    project: Project,
    offline: OfflineStore,
    archive: Archive,
    facts: BackedUp,
    files: VersionFiles,
    pending: Sequence[ErasedEntity],
    progress: Progress,
) -> None:
    prepare_state(project)
    flag = {"file": str(archive.path.absolute()), "erase": [_pending_json(each) for each in pending]}
    try:
        with offline.replacing(facts.format, str(uuid.uuid4())) as replacement:
            _load(replacement, archive, project.memory // 2, progress)
            progress("putting the backup in place")
            write_rows(project, archive)
            flag_restore(project, flag)
            try:
                with together():
                    write_versions(project, archive, files)
            except BaseException:
                if compare_versions(project, archive) == files:  # none of them is in its place
                    clear_restore(project)
                raise
    except OSError as exc:
        raise from_os_error(exc) from exc


def _load(replacement: Replacement, archive: Archive, limit: int, progress: Progress) -> None:
    count = sum(name.startswith(TABLES) for name in archive.members)
    loaded = 0
    while expected := replacement.expected():
        loaded += 1
        progress(f"restoring {expected[0]}: {loaded} of {count}")
        with read_table(archive, expected[0], limit) as frames:
            replacement.load(expected[0], frames)
    if loaded < count:
        raise archive.damaged("has tables that no history has")


def _tidy(project: Project, offline: OfflineStore, pending: Sequence[ErasedEntity]) -> None:
    """Removes what was derived of the history before. The flag stays where something is to be erased again."""
    with suppress(OSError):
        shutil.rmtree(project.state / "columns", ignore_errors=True)
        project.summary.unlink(missing_ok=True)
    with completing(), suppress(OSError, FeatureStoreError):  # it is derived again by whoever needs it
        write_summary(project.summary, summarize(offline))
    if not pending:
        _clear(project)


def _clear(project: Project) -> None:
    try:
        clear_restore(project)
    except OSError as exc:
        raise from_os_error(exc) from exc


def _erase_again(
    project: Project, offline: OfflineStore, online: OnlineStore, pending: Sequence[ErasedEntity], progress: Progress
) -> tuple[str, ...]:
    """Erases what was erased after the backup was made, and says what is left of it all the same."""
    left: dict[str, None] = {}
    with completing():
        for number, each in enumerate(pending, 1):
            progress(f"erasing again what was erased since: {number} of {len(pending)}")
            entity = dict(zip(each.entity_type.key_names, each.keys, strict=True))
            left |= dict.fromkeys(
                erase(project, offline, online, each.entity_type, entity, progress=progress).incomplete
            )
    _clear(project)
    return tuple(left)


def _pending_json(each: ErasedEntity) -> dict[str, Any]:
    kind = each.entity_type
    return {"type": kind.name, "keys": [[key.name, key.type] for key in kind.keys], "values": list(each.keys)}


def _read_pending(flag: dict[str, Any] | None) -> list[ErasedEntity]:
    """The entities that a restore which was broken off had still to erase."""
    return [
        ErasedEntity(EntityType(item["type"], tuple(Key(*key) for key in item["keys"])), tuple(item["values"]))
        for item in (flag or {}).get("erase", ())
    ]


def _facts(archive: Archive) -> BackedUp:
    manifest = archive.manifest
    try:
        project, store, history = manifest["project"], manifest["store"], manifest["history"]
        facts = BackedUp(
            project["name"], project["id"], made_at(archive), store["format"], history["run_seq"], history["run_id"],
            history["runs"], history["versions"], history["rows"], history["numbers"],
        )  # fmt: skip
    except (KeyError, TypeError) as exc:
        raise archive.damaged("has a manifest that does not say what is in it") from exc
    numbers = (facts.format, facts.run_seq, facts.runs, facts.versions, facts.rows)
    if not all(isinstance(number, int) for number in numbers) or facts.format < 1 or not isinstance(facts.project, str):
        raise archive.damaged("has a manifest that does not say what is in it")
    return facts
