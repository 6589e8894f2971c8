"""A backup or a restore that is killed at any step, or finds the disk full, leaves nothing half and can be repeated."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from featurestore.offline.duckdb.copies import take_place
from featurestore.offline.last_run import note_restored
from featurestore.offline.postgres.copies import PostgresReplacement, drop_tables
from featurestore.workflows.backup.files import write_versions
from featurestore.workflows.backup.restore import _erase_again, _tidy
from tests.backup.conftest import Made
from tests.conftest import Folder, uncaptured
from tests.erasure.killing import Killer, line_in
from tests.erasure.test_servers import url_of
from tests.often import nightly
from tests.services_postgres import PostgresServer

WATCHED = (
    "atomic.py", "offline/copies.py", "offline/duckdb/copies.py", "offline/duckdb/file.py", "offline/duckdb/store.py",
    "offline/last_run.py", "offline/postgres/copies.py", "offline/postgres/store.py", "offline/restoring.py",
    "postgres/connection.py", "workflows/backup/",
)  # fmt: skip
TRIALS = 6
BROKEN_OFF = "a restore of "


@pytest.fixture(scope="module")
def killer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killer]:
    with Killer(tmp_path_factory.mktemp("killer"), WATCHED) as started:
        yield started


@dataclass(frozen=True)
class Later:
    """A project after one more run, a promotion and an erasure: what a restore replaces. It is not changed.

    ``settings`` say where its history is: with a server, in a database that is made anew for each trial.
    """

    root: Path
    runs: str
    settings: Mapping[str, str] = field(default_factory=dict)
    server: PostgresServer | None = None

    def copy(self, tmp_path: Path) -> Path:
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.root, copy)
        if self.server is not None:
            self.server.run("DROP DATABASE IF EXISTS trial WITH (FORCE)")
            self.server.run("CREATE DATABASE trial TEMPLATE later")
        return copy


def live_on(folder: Folder) -> None:
    folder.run("delete", "patient", "p5")
    folder.run("promote", "age_share", "2")
    for path in folder.root.glob("visits*.csv"):  # else the next run would bring back who is erased
        path.write_text("".join(line for line in path.open() if not line.startswith("p7,")))
    folder.run("delete", "patient", "p7", "--erase", "--yes", code=0)


@pytest.fixture(scope="module")
def later(made: Made, killer: Killer, tmp_path_factory: pytest.TempPathFactory) -> Later:
    root = tmp_path_factory.mktemp("later") / "shop"
    shutil.copytree(made.root, root)
    live_on(Folder(root, uncaptured))
    return Later(root, runs(killer, root, {}))


@pytest.fixture(scope="module")
def later_on_server(
    made: Made, killer: Killer, postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Later]:
    root = tmp_path_factory.mktemp("later") / "shop"
    shutil.copytree(made.root, root)
    shutil.rmtree(root / ".featurestore")
    postgres.run("CREATE DATABASE trial")
    settings = {"FEATURESTORE_OFFLINE_URL": url_of(postgres, "trial")}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        folder = Folder(root, uncaptured)
        folder.run("restore", str(made.backup))
        folder.run("sync")
        live_on(folder)
    found = runs(killer, root, settings)
    postgres.run("ALTER DATABASE trial RENAME TO later")
    yield Later(root, found, settings, postgres)
    for name in ("trial", "later"):
        postgres.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def some(lines: tuple[str, ...], every: int) -> list[str]:
    return list(lines[:: max(1, len(lines) // every)])


def left_in(folder: Path) -> list[str]:
    names = [path.name for path in folder.iterdir()]
    return [name for name in names if name.endswith((".tmp", ".wal", ".spill")) or name == "restoring"]


def runs(killer: Killer, copy: Path, settings: Mapping[str, str]) -> str:
    said = killer.run(copy, "runs", "--json", env=settings).said
    return without_warnings(said)


def without_warnings(said: str) -> str:
    return said[: said.index('"warnings"')] if '"warnings"' in said else said


def test_a_backup_that_is_killed_leaves_the_older_one(made: Made, later: Later, killer: Killer, tmp_path: Path) -> None:
    copy, file = later.copy(tmp_path), tmp_path / "files" / "a.backup"
    file.parent.mkdir()
    shutil.copy(made.backup, file)
    before = file.read_bytes()
    lines = killer.run(copy, "backup", str(tmp_path / "other.backup"), watch=True).lines
    for point in some(lines, TRIALS):
        killed = killer.run(copy, "backup", str(file), "--force", before=point)
        assert killed.code is None, killed.said
        assert file.read_bytes() == before or killer.run(copy, "backup", str(file)).said.count("already"), point
        shutil.copy(made.backup, file)
    assert killer.run(copy, "backup", str(file), "--force").code == 0
    assert left_in(file.parent) == []
    assert [path.name for path in file.parent.iterdir()] == ["a.backup"]
    assert left_in(copy / ".featurestore") == []


def restore_and_kill(killer: Killer, made: Made, later: Later, tmp_path: Path, point: str) -> bool:
    """Kills a restore, looks at what is there, and repeats it; returns whether it was said to be broken off."""
    copy = later.copy(tmp_path)
    run = partial(killer.run, copy, env=later.settings)

    def stored() -> list[bool]:
        """Whether anything is stored of who was deleted since, and of who was erased since."""
        rows = run("export", "age_share").said.splitlines()
        return [any(row.startswith(f"{who},") for row in rows) for who in ("p5", "p7")]

    killed = run("restore", str(made.backup), "--force", before=point)
    assert killed.code is None, (point, killed.said)
    said = run("runs", "--json").said
    broken = (copy / ".featurestore" / "restoring").exists()
    assert broken == (BROKEN_OFF in said), (point, said)
    if not broken:  # nothing was changed, or all of it, and who was erased since is erased again
        assert without_warnings(said) == later.runs or stored() == [True, False], point
    else:  # who writes is told the way out
        refused = run("ingest")
        assert (refused.code, "restore" in refused.said) == (4, True), (point, refused.said)
    again = run("restore", str(made.backup), "--force")
    assert again.code == 0, (point, again.said)
    assert left_in(copy / ".featurestore") == [], point
    assert stored() == [True, False], point
    synced = run("sync", "--full")  # it does not go back to an older promotion by itself
    if synced.code:
        assert "promote" in synced.said, (point, synced.said)
        assert run("promote", "age_share", "1").code == 0, point
    assert run("verify").code == 0, point
    return broken


def test_a_restore_that_is_killed_is_completed_by_the_same_restore(
    made: Made, later: Later, killer: Killer, tmp_path: Path
) -> None:
    lines = killer.run(later.copy(tmp_path), "restore", str(made.backup), "--force", watch=True).lines
    for point in (lines[len(lines) // 3], lines[-1]):  # and those between, below
        restore_and_kill(killer, made, later, tmp_path, point)


@pytest.mark.parametrize("function", [write_versions, note_restored, take_place, _erase_again])
def test_between_two_of_its_steps_every_command_says_so(
    made: Made, later: Later, killer: Killer, tmp_path: Path, function: object
) -> None:
    assert restore_and_kill(killer, made, later, tmp_path, line_in(function))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("function", "broken"),
    [
        (PostgresReplacement.finish, True),
        (_tidy, True),  # the first step after the commit
        *nightly([(note_restored, True), (drop_tables, False)]),
    ],
)
def test_so_is_one_into_a_server(
    made: Made, later_on_server: Later, killer: Killer, tmp_path: Path, function: object, broken: bool
) -> None:
    point = line_in(function)  # type: ignore[arg-type]
    assert restore_and_kill(killer, made, later_on_server, tmp_path, point) == broken


@pytest.mark.nightly
@pytest.mark.parametrize("part", range(8))
@pytest.mark.parametrize("where", ["later", "later_on_server"])
def test_at_every_step(
    made: Made, killer: Killer, tmp_path: Path, part: int, where: str, request: pytest.FixtureRequest
) -> None:
    before: Later = request.getfixturevalue(where)
    words = ("restore", str(made.backup), "--force")
    lines = killer.run(before.copy(tmp_path), *words, watch=True, env=before.settings).lines
    for point in lines[part::8]:
        restore_and_kill(killer, made, before, tmp_path, point)


@pytest.mark.parametrize("file_bytes", [10, 5_000, 15_000, 300_000])
def test_a_full_disk_is_said_and_changes_nothing(
    made: Made, later: Later, killer: Killer, tmp_path: Path, file_bytes: int
) -> None:
    copy, file = later.copy(tmp_path), tmp_path / "a.backup"
    for words in (("backup", str(file)), ("restore", str(made.backup), "--force")):
        full = killer.run(copy, *words, file_bytes=file_bytes)
        assert full.code in (0, 12), (words, full.said)
        if full.code:
            assert len([line for line in full.said.splitlines() if line.startswith("error: ")]) == 1, full.said
            assert "Exception ignored" not in full.said
            assert words[0] != "backup" or not file.exists()
            assert runs(killer, copy, {}) == later.runs
            assert left_in(copy / ".featurestore") == []
