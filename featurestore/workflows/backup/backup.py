"""``backup``: the whole history, the audit log and the version files in one file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from featurestore import __version__, times
from featurestore.atomic import replace_atomically
from featurestore.config import Project
from featurestore.errors import FeatureStoreError, UsageError, from_os_error
from featurestore.frozen import frozen
from featurestore.offline.contract import OfflineStore
from featurestore.offline.copies import Copies, StoreState
from featurestore.offline.ownership import read_project_id
from featurestore.progress import SILENT, Progress
from featurestore.tables.arrow_streams import write_frames
from featurestore.workflows.backup.archive import ArchiveWriter, made_at, open_archive
from featurestore.workflows.backup.files import VERSIONS, add_rows, version_files
from featurestore.workflows.backup.tables import table_member


@frozen
class BackupResult:
    """What a backup holds, or would hold.

    ``changed`` is False where the file is a backup of the very same state already; then ``made_at`` (µs) and ``size``
    are its own. ``size`` is None on a dry run. ``state`` is that of the store, ``files`` counts the version files.
    """

    path: Path
    made_at: int
    state: StoreState
    files: int
    size: int | None
    changed: bool
    warnings: tuple[str, ...] = ()


def backup(
    project: Project,
    offline: OfflineStore,
    path: Path,
    *,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress = SILENT,
) -> BackupResult:
    """Writes a backup to a file, which is whole or not there, and which nobody but its owner may read.

    It is of one instant, whatever runs meanwhile. With ``force`` it takes the place of an older backup. Raises
    UsageError where the file exists and is something else, or there is no history; StoreError, also for a full disk.
    """
    _check_place(path)
    lost = offline.set_back()
    warnings = () if lost is None else (f"{lost}; this is a backup of it as it is",)
    progress("taking a snapshot of the history")
    with offline.copies() as copies:
        state = copies.state()
        if state is None:
            raise UsageError("there is no history to back up", hint="featurestore ingest makes one")
        # After the snapshot: a run writes a version's file before it commits its values.
        hashes = {name: hashlib.sha256(data).hexdigest() for name, data in version_files(project)}
        content = fingerprint(state.numbers, hashes)
        older = _older(path)
        if older is not None and older.content == content:
            return BackupResult(path, older.made_at, state, len(hashes), older.size, False, warnings)
        if older is not None and not force:
            raise UsageError(
                f"is a backup already, of {times.format_instant(older.made_at)}", where=str(path),
                hint="name another file, or replace it with --force",
            )  # fmt: skip
        now = times.now()
        if dry_run:
            return BackupResult(path, now, state, len(hashes), None, True, warnings)
        facts = {
            "made_at": times.format_instant(now),
            "featurestore": __version__,
            "project": {"name": project.name, "id": read_project_id(project)},
            "store": {"kind": "embedded" if project.offline_url is None else "postgresql", "format": state.format},
            "history": _history_facts(state),
            "content": content,
        }
        try:
            with replace_atomically(path, mode=0o600) as file, ArchiveWriter(file) as writer:
                for name, data in version_files(project):
                    writer.add(VERSIONS + name, data)
                add_rows(project, offline, writer)
                _write_tables(copies, writer, progress)
                progress("writing hashes")
                writer.finish(facts)
            size = path.stat().st_size
        except OSError as exc:
            raise from_os_error(exc) from exc
    return BackupResult(path, now, state, len(hashes), size, True, warnings)


def fingerprint(numbers: Mapping[str, Mapping[str, str]], files: Mapping[str, str]) -> str:
    """A hash of what a store and the version files hold, by `StoreState.numbers` and the hashes of the files."""
    return hashlib.sha256(json.dumps([numbers, files], sort_keys=True).encode()).hexdigest()


def _history_facts(state: StoreState) -> dict[str, Any]:
    return {
        "run_seq": state.run_seq,
        "run_id": state.run_id,
        "learned_at": times.format_instant(state.learned_at) if state.run_seq else None,
        "runs": state.runs,
        "versions": state.versions,
        "rows": state.rows,
        "numbers": state.numbers,
    }


def _write_tables(copies: Copies, writer: ArchiveWriter, progress: Progress) -> None:
    names = copies.tables()
    for number, table in enumerate(names, 1):
        progress(f"writing {table}: {number} of {len(names)}")
        with writer.member(table_member(table)) as sink:
            rows = 0
            with write_frames(sink, copies.schema(table)) as write:

                def take(frame: Any) -> None:
                    nonlocal rows
                    progress.check()
                    write(frame)  # called before the loop goes on
                    rows += frame.height

                copies.read(table, take)
            sink.rows = rows


def _check_place(path: Path) -> None:
    if path.is_dir():
        raise UsageError("is a folder", where=str(path), hint=f"name a file in it: {path / 'featurestore.backup'}")
    if not path.parent.is_dir():
        raise UsageError("there is no such folder", where=str(path.parent), hint="make it, or name another file")


@frozen
class _Older:
    content: str
    made_at: int
    size: int


def _older(path: Path) -> _Older | None:
    """What the file is of, where there is one. Raises UsageError for one that is not a whole backup."""
    if not path.exists():
        return None
    try:
        with open_archive(path) as archive:
            archive.check()
            return _Older(str(archive.manifest.get("content")), made_at(archive), archive.size)
    except FeatureStoreError as exc:
        raise UsageError(
            f"exists, and is not a backup that could be replaced: {exc.message}", where=str(path),
            hint="name another file, or remove this one",
        ) from exc  # fmt: skip
