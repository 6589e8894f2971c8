"""What works and what does not: configuration, features, stores, git, lock, disk and clock, each with its mend.

It changes nothing, and goes on where something fails: the one thing that is wrong should not hide the next.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from featurestore import __version__, times
from featurestore.config import FILE, Project, load_project
from featurestore.errors import FeatureStoreError
from featurestore.locking import holder_of
from featurestore.model import Check
from featurestore.offline.open import open_offline
from featurestore.online.open import open_online
from featurestore.registry.discovery import discover
from featurestore.registry.git import commit_of, has_git, uncommitted
from featurestore.serving.online_tables import OnlineTables
from featurestore.versioning.analysis.tree import SourceTree

PACKAGES = ("polars", "duckdb", "pyarrow", "redis", "adbc-driver-postgresql")
LITTLE_DISK, NO_DISK = 1_000_000_000, 100_000_000
LATE_CLOCK = 60_000_000


def examine(root: Path, *, lock_timeout: float | None = None) -> list[Check]:
    """Looks at a project folder and all that it names: one check for each thing looked at, in the order of a repair."""
    here = [*_guarded("git", partial(_git, root)), *_guarded("disk", partial(_disk, root))]
    try:
        project = load_project(root, lock_timeout=lock_timeout)
    except FeatureStoreError as exc:
        return [*_program(), _failure("configuration", exc), *here]
    looks = {"configuration": _configuration, "features": _features, "lock": _lock, "offline": _offline,
             "online": _online}  # fmt: skip
    found = [check for area, look in looks.items() for check in _guarded(area, partial(look, project))]
    return [*_program(), *found, *here]


def _guarded(area: str, look: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    """The checks up to the one that fails."""
    try:
        yield from look()
    except FeatureStoreError as exc:
        yield _failure(area, exc)
    except OSError as exc:
        yield Check(area, "fail", f"{exc.filename or area}: {exc.strerror or exc}", "see who may read and write there")


def _failure(area: str, exc: FeatureStoreError) -> Check:
    hint = exc.hint if exc.hint and "doctor" not in exc.hint else None
    return Check(area, "fail", str(exc), hint)


def _program() -> Iterator[Check]:
    packages = ", ".join(f"{name} {found}" for name in PACKAGES if (found := _installed(name)))
    yield Check("program", "ok", f"featurestore {__version__}, Python {platform.python_version()}, {platform.system()}")
    yield Check("program", "ok", packages)
    if shutil.which("featurestore") is None:
        hint = "name it by its whole path in cron and in hooks, or add its folder to PATH"
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
    named = [name for name in sorted(os.environ) if name.startswith("FEATURESTORE_") and os.environ[name]]
    if named:
        yield Check("configuration", "ok", f"set by the environment: {', '.join(named)}")


def _features(project: Project) -> Iterator[Check]:
    registry = discover(project, SourceTree(project.root))
    for broken in registry.broken:
        yield Check("features", "fail", f"{broken.problem.where}: {broken.problem.message}", broken.problem.hint)
    yield Check("features", "ok", f"declared: {len(registry.features)}")


def _lock(project: Project) -> Iterator[Check]:
    holder = holder_of(project)
    if holder is None:
        yield Check("lock", "ok", "no run is under way here")
    else:
        hint = "a writer waits for it as long as --lock-timeout says; it is let go when its process ends"
        yield Check("lock", "warn", f"{holder} holds the lock", hint)


def _offline(project: Project) -> Iterator[Check]:
    store = open_offline(project)
    for warning in store.warnings:
        yield Check("offline", "warn", warning)
    with store.reading():
        learned, versions = store.learned(), store.versions()
    kind = "PostgreSQL" if project.offline_url else "DuckDB"
    yield Check("offline", "ok", f"{kind}; runs: {len(learned)}, feature versions: {len(versions)}")
    ahead = learned[-1].learned_at - times.now() if learned else 0
    if ahead > LATE_CLOCK:
        what = f"the last run was learned {ahead // 1_000_000:,} s after what this machine's clock says"
        yield Check("clock", "fail", what, "set the clock: until then runs are dated just after the last one")
    else:
        yield Check("clock", "ok", f"{times.format_instant(times.now())}, after the last run")


def _online(project: Project) -> Iterator[Check]:
    store = open_online(project)
    try:
        yield from store.checks()
        tables = OnlineTables(store)
        markers, pointers = tables.markers().versions, tables.pointers()
        served = [markers.get(pointer.version) for pointer in pointers.features.values()]
        runs = [marker.run_seq for marker in served if marker is not None]
        if runs:
            yield Check("online", "ok", f"features served: {len(served)}, up to run {min(runs)} or later")
        else:
            yield Check("online", "ok", "nothing is served yet", "featurestore sync brings it there")
    finally:
        store.close()


def _git(root: Path) -> Iterator[Check]:
    if not has_git():
        hint = "install it; versions are kept without it, but runs record no commit and hooks do not work"
        yield Check("git", "warn", "git is not installed", hint)
        return
    commit = commit_of(root)
    if commit is None:
        yield Check("git", "warn", "the project is in no git repository with a commit", "git init, add, commit")
        return
    yield Check("git", "ok", f"commit {commit}")
    waiting = uncommitted(root, Path("features/.versions"))
    if waiting:
        what = f"version files that are not committed: {len(waiting)}, among them {waiting[0]}"
        yield Check("git", "warn", what, "git add features/.versions, and commit them with the code")


def _disk(root: Path) -> Iterator[Check]:
    free = shutil.disk_usage(root).free
    what = f"{free / 1e9:,.1f} GB are free where the project lies"
    state = "fail" if free < NO_DISK else "warn" if free < LITTLE_DISK else "ok"
    yield Check("disk", state, what, None if state == "ok" else "free some space")  # type: ignore[arg-type]
