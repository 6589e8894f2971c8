"""What works and what does not: configuration, features, servers, stores, git, lock, disk and clock, each with a hint.

Changes nothing, and goes on after a failure, so that one problem does not hide the next.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from featurestore import __version__, times
from featurestore.config import FILE, Project, load_project
from featurestore.errors import FeatureStoreError, os_reason
from featurestore.locking import holder_of
from featurestore.model import Check, StoredVersion
from featurestore.offline.contract import AuditLog, OfflineStore
from featurestore.offline.open import open_offline
from featurestore.online.open import open_online
from featurestore.online.tables import Marker
from featurestore.progress import SILENT, Progress
from featurestore.registry.discovery import discover
from featurestore.registry.git import git_state, has_git, uncommitted
from featurestore.serving.last_sync import online_features, read_last_sync
from featurestore.serving.online_tables import OnlineTables
from featurestore.serving.ownership import TAKE_OVER, describe_foreign, is_foreign
from featurestore.serving.plan import LOAD_AGAIN, describe_lost, describe_set_back
from featurestore.sources.contract import Server
from featurestore.sources.offers import open_source
from featurestore.versioning.analysis.tree import SourceTree
from featurestore.versioning.folder.files import all_versions
from featurestore.workflows.check import check
from featurestore.workflows.ingest.set_aside import find_set_aside, reminders
from featurestore.workflows.kept_rows import kept_checks
from featurestore.workflows.known_versions import RESTORE, KnownVersions
from featurestore.workflows.lives import read_lives
from featurestore.workflows.refused_snapshots import NEWEST_RUNS, refused_snapshots
from featurestore.workflows.summaries import current_summary

PACKAGES = ("polars", "duckdb", "pyarrow", "redis", "adbc-driver-postgresql", "psycopg")
CLOCK_TOLERANCE = 60_000_000  # µs


def examine(
    root: Path,
    *,
    lock_timeout: float | None = None,
    little_disk: int = 1_000_000_000,
    no_disk: int = 100_000_000,
    now: Callable[[], int] = times.now,
    progress: Progress = SILENT,
) -> list[Check]:
    """Examines a project folder and everything it names; the checks are in the order in which to fix what fails.

    Less free disk than ``little_disk`` bytes is a warning, less than ``no_disk`` a failure. ``now`` is the clock, in
    microseconds since 1970. Raises CancelledError.
    """
    progress("git and disk")
    disk = partial(_disk, root, little_disk, no_disk)
    here = [*_guarded("git", partial(_git, root)), *_guarded("disk", disk)]
    try:
        project = load_project(root, lock_timeout=lock_timeout)
    except FeatureStoreError as exc:
        return [*_program(), _failure("configuration", exc), *here]
    areas: dict[str, Callable[[Project], Iterator[Check]]] = {
        "configuration": _configuration,
        "features": _features,
        "lock": _lock,
        "sources": _servers,
        "offline": partial(_offline, now=now),
        "online": _online,
    }
    checks: list[Check] = []
    for area, examined in areas.items():
        progress(area)
        checks += _guarded(area, partial(examined, project))
    return [*_program(), *checks, *here]


def _guarded(area: str, examined: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    """The checks up to the one that fails."""
    try:
        yield from examined()
    except FeatureStoreError as exc:
        yield _failure(area, exc)
    except OSError as exc:
        yield Check(area, "fail", f"{exc.filename or area}: {os_reason(exc)}", "check who may read and write there")


def _failure(area: str, exc: FeatureStoreError) -> Check:
    hint = exc.hint if exc.hint and "doctor" not in exc.hint else None
    return Check(area, "fail", str(exc), hint)


def _program() -> Iterator[Check]:
    packages = ", ".join(f"{name} {number}" for name in PACKAGES if (number := _installed(name)))
    yield Check("program", "ok", f"featurestore {__version__}, Python {platform.python_version()}, {platform.system()}")
    yield Check("program", "ok", packages)
    if shutil.which("featurestore") is None:
        hint = "use its full path in cron and hooks, or add its folder to PATH"
        yield Check("program", "warn", "featurestore is not on the PATH", hint)


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _configuration(project: Project) -> Iterator[Check]:
    path = project.root / FILE
    declared = f"entity types: {len(project.entity_types)}, sources: {len(project.sources)}"
    yield Check("configuration", "ok", f"{path}: project {project.name}; {declared}")
    variables = [name for name in sorted(os.environ) if name.startswith("FEATURESTORE_") and os.environ[name]]
    if variables:
        yield Check("configuration", "ok", f"set by the environment: {', '.join(variables)}")


def _features(project: Project) -> Iterator[Check]:
    registry = discover(project, SourceTree(project.root))
    for broken in registry.problems:
        state: Literal["fail", "warn"] = "fail" if broken in registry.broken else "warn"
        yield Check("features", state, f"{broken.problem.where}: {broken.problem.message}", broken.problem.hint)
    yield Check("features", "ok", f"declared: {len(registry.features)}")
    for finding in check(project).findings:
        if finding.kind in ("damaged", "conflict", "clash"):  # what runs stumble over; the rest is for commits
            yield Check("features", "fail", f"{finding.where}: {finding.message}", finding.hint or None)


def _lock(project: Project) -> Iterator[Check]:
    holder = holder_of(project)
    if holder is None:
        yield Check("lock", "ok", "no run is in progress")
    else:
        hint = "writers wait for as long as --lock-timeout says; the lock is released when its process ends"
        yield Check("lock", "warn", f"{holder} holds the lock", hint)


def _servers(project: Project) -> Iterator[Check]:
    """The sources that are servers: files are looked at when they are read."""
    for source in project.sources.values():
        opened = open_source(project, source)
        if isinstance(opened, Server):
            yield from _guarded("sources", partial(_server, opened))


def _server(opened: Server) -> Iterator[Check]:
    for found in opened.examine():
        yield Check("sources", "warn" if found.wrong else "ok", found.message, found.hint)


def _offline(project: Project, now: Callable[[], int]) -> Iterator[Check]:
    store = open_offline(project)
    for warning in store.warnings:
        yield Check("offline", "warn", warning)
    with store.reading():
        learned, versions = store.committed_runs(), store.versions()
    for notice in store.notices:
        yield Check("offline", "fail", notice)
    lacking = store.missing_right()
    if lacking is not None:
        yield Check("offline", "warn" if versions else "fail", str(lacking), lacking.hint)
    kind = "PostgreSQL" if project.offline_url else "DuckDB"
    yield Check("offline", "ok", f"{kind}; runs: {len(learned)}, feature versions: {len(versions)}")
    yield from _rows_set_aside(project, store)
    yield _retention(project, store, now())
    ahead = learned[-1].learned_at - now() if learned else 0
    if ahead > CLOCK_TOLERANCE:
        what = f"this machine's clock is {ahead // 1_000_000:,} s behind the last run"
        yield Check("clock", "fail", what, "set the clock; until then runs are dated just after the last one")
    else:
        yield Check("clock", "ok", f"{times.format_instant(now())}, after the last run")
    yield from _stored_features(project, versions)


def _rows_set_aside(project: Project, store: OfflineStore) -> Iterator[Check]:
    """Rows of the sources as they are that no run has taken."""
    declared = [item for item in discover(project, SourceTree(project.root)).features if item.materialised]
    with store.reading():
        last = [(store.last_committed(item.name), name) for item in declared for name in item.source_names]
        positions = [store.position(version, source) for version, source in last if version is not None]
        for reminder in reminders(find_set_aside(store, positions).values()):
            yield Check("sources", "warn", reminder, "correct them at their source, or the rules in featurestore.toml")
        for refused in refused_snapshots(project, store.runs(last=NEWEST_RUNS)):
            yield Check(
                "sources",
                "warn",
                refused,
                "put the whole snapshot back, or raise its max_vanished in featurestore.toml",
            )
    yield from kept_checks(project, store, {item.name for item in declared})


def _stored_features(project: Project, versions: Sequence[StoredVersion]) -> Iterator[Check]:
    """Features that are stored and not declared any more, and versions that have lost their files."""
    registry = discover(project, SourceTree(project.root))
    lives = read_lives(project, registry)
    for name in sorted({stored.id.feature for stored in versions}):
        if lives.is_removed(name):
            hint = f"featurestore retire {name}, or declare it again"
            yield Check("features", "warn", lives.note(name) or name, hint)
    known = KnownVersions.of_summary(project, current_summary(project).features)
    for item in known.lost(all_versions(project.versions), registry.names()):
        reused = f", and {item.feature}@{item.number} is another version now" if item.reused else ""
        what = f"version {item.number} of {item.feature} ({item.short}) has no file{reused}: {item.path}"
        yield Check("features", "fail", what, RESTORE)


def _retention(project: Project, store: AuditLog, now: int) -> Check:
    if project.keep is None:
        return Check("offline", "ok", "details of runs are kept for ever; [log] keep sets a time")
    due, kept = store.count_details(now - project.keep), times.format_duration(project.keep)
    what = f"details of runs are kept for {kept}" + (f"; the next ingest drops those of {due:,}" if due else "")
    return Check("offline", "ok", what)


def _online(project: Project) -> Iterator[Check]:
    store = open_online(project)
    try:
        yield from store.checks()
        tables = OnlineTables(store)
        markers, pointers = tables.markers().versions, tables.pointers()
        served = [markers.get(pointer.version) for pointer in pointers.features.values()]
        runs = [marker.run_seq for marker in served if marker is not None]
        yield from _histories(project, tables.owner(), markers.values())
        expected = online_features(project).intersection(discover(project, SourceTree(project.root)).names())
        lost = describe_lost(expected, tables, store.pulse())
        if lost is not None:
            yield Check("online", "fail", lost, LOAD_AGAIN)
        elif runs:
            yield Check("online", "ok", f"features served: {len(served)}, up to run {min(runs)} or later")
        else:
            yield Check("online", "ok", "nothing is served yet", "run featurestore sync")
    finally:
        store.close()
    if project.online_url is not None:
        for name in read_last_sync(project).former:
            yield from _left_behind(replace(project, name=name))


def _left_behind(former: Project) -> Iterator[Check]:
    """What is served under a name that the project had before."""
    with closing(open_online(former)) as store:
        features = len(OnlineTables(store).pointers().features)
    if features:
        what = f"under the project's earlier name {former.name} {features} features are online still"
        hint = f"unless another project is called so, remove the keys fs1:{former.name}:* from the server"
        yield Check("online", "warn", what, hint)


def _histories(project: Project, owner: str, markers: Collection[Marker]) -> Iterator[Check]:
    """Whether what is online comes from this history, as it is now."""
    offline = open_offline(project)
    with offline.reading():
        run_ids = {run.run_seq: run.run_id for run in offline.committed_runs()}
    lost = offline.set_back()
    if not run_ids:
        return
    if is_foreign(owner, run_ids):
        yield Check("online", "fail", describe_foreign(project, owner, run_ids), TAKE_OVER)
        return
    gone = describe_set_back(markers, run_ids)
    if gone is not None:
        yield Check("online", "fail", gone[0], lost.hint if lost else gone[1])
    elif owner:
        yield Check("online", "ok", f"belongs to this history, which began with run {owner}")


def _git(root: Path) -> Iterator[Check]:
    if not has_git():
        hint = "install it; without it runs record no commit, and hooks do not work"
        yield Check("git", "warn", "git is not installed", hint)
        return
    state = git_state(root)
    if state.problem is not None:
        yield Check("git", "warn", f"runs record no commit: {state.problem}", state.problem.hint)
        return
    if state.commit is None:
        yield Check("git", "warn", "the project is not in a git repository with a commit", "git init, add, commit")
        return
    yield Check("git", "ok", f"commit {state.commit}")
    files = uncommitted(root)
    if files:
        what = f"version files that are not committed: {len(files)}, among them {files[0]}"
        yield Check("git", "warn", what, "git add features/.versions, and commit them with the code")


def _disk(root: Path, little: int, none: int) -> Iterator[Check]:
    free = shutil.disk_usage(root).free
    state: Literal["ok", "warn", "fail"] = "fail" if free < none else "warn" if free < little else "ok"
    what = f"{free / 1e9:,.1f} GB are free on the project's disk"
    yield Check("disk", state, what, None if state == "ok" else "free some space")
