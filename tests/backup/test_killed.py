"""A backup or a restore that is killed at any step, or finds the disk full, leaves nothing half and can be repeated."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from featurestore.offline.duckdb.copies import take_place
from featurestore.offline.last_run import note_restored
from featurestore.workflows.backup.files import write_versions
from featurestore.workflows.backup.restore import _erase_again
from tests.backup.conftest import Made
from tests.conftest import Folder
from tests.erasure.killing import Killer, line_in

WATCHED = (
    "atomic.py", "offline/copies.py", "offline/duckdb/copies.py", "offline/duckdb/file.py", "offline/duckdb/store.py",
    "offline/last_run.py", "offline/restoring.py", "workflows/backup/",
)  # fmt: skip
TRIALS = 6
BROKEN_OFF = "a restore of "


@pytest.fixture(scope="module")
def killer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killer]:
    with Killer(tmp_path_factory.mktemp("killer"), WATCHED) as started:
        yield started


@pytest.fixture(scope="module")
def later(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project after one more run, a promotion and an erasure: what a restore replaces."""
    root = tmp_path_factory.mktemp("later") / "shop"
    shutil.copytree(made.root, root)
    folder = Folder(root, lambda: ("", ""))
    folder.run("delete", "patient", "p5")
    folder.run("promote", "age_share", "2")
    for path in root.glob("visits*.csv"):  # else the next run would bring back who is erased
        path.write_text("".join(line for line in path.open() if not line.startswith("p7,")))
    folder.run("delete", "patient", "p7", "--erase", "--yes", code=0)
    return root


def some(lines: tuple[str, ...], every: int) -> list[str]:
    return list(lines[:: max(1, len(lines) // every)])


def left_in(folder: Path) -> list[str]:
    names = [path.name for path in folder.iterdir()]
    return [name for name in names if name.endswith((".tmp", ".wal", ".spill")) or name == "restoring"]


def fresh(later: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(later, copy)
    return copy


def runs(killer: Killer, copy: Path) -> str:
    said = killer.run(copy, "runs", "--json").said
    return said[: said.index('"warnings"')] if '"warnings"' in said else said


def test_a_backup_that_is_killed_leaves_the_older_one(made: Made, later: Path, killer: Killer, tmp_path: Path) -> None:
    copy, file = fresh(later, tmp_path), tmp_path / "files" / "a.backup"
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


def restore_and_kill(killer: Killer, made: Made, later: Path, tmp_path: Path, point: str) -> bool:
    """Kills a restore, looks at what is there, and repeats it; returns whether it was said to be broken off."""
    copy = fresh(later, tmp_path)
    old = runs(killer, copy)
    killed = killer.run(copy, "restore", str(made.backup), "--force", before=point)
    assert killed.code is None, (point, killed.said)
    found = runs(killer, copy)
    said = killer.run(copy, "runs").said
    broken = (copy / ".featurestore" / "restoring").exists()
    assert broken == (BROKEN_OFF in said), (point, said)
    if not broken:  # nothing was changed, or all of it, and who was erased since is erased again
        who = [killer.run(copy, "history", "age_share", name).said.count("2024") > 0 for name in ("p5", "p7")]
        assert found == old or who == [True, False], point
    else:  # who writes is told the way out
        refused = killer.run(copy, "ingest")
        assert (refused.code, "restore" in refused.said) == (4, True), (point, refused.said)
    again = killer.run(copy, "restore", str(made.backup), "--force")
    assert again.code == 0, (point, again.said)
    assert left_in(copy / ".featurestore") == [], point
    assert not killer.run(copy, "history", "age_share", "p7").said.count("2024"), point
    assert killer.run(copy, "history", "age_share", "p5").said.count("2024"), point
    synced = killer.run(copy, "sync", "--full")  # it does not go back to an older promotion by itself
    assert synced.code == 0 or "promote" in synced.said, (point, synced.said)
    assert killer.run(copy, "promote", "age_share", "1").code == 0, point
    assert killer.run(copy, "verify").code == 0, point
    return broken


def test_a_restore_that_is_killed_is_completed_by_the_same_restore(
    made: Made, later: Path, killer: Killer, tmp_path: Path
) -> None:
    lines = killer.run(fresh(later, tmp_path), "restore", str(made.backup), "--force", watch=True).lines
    for point in some(lines, 3):
        restore_and_kill(killer, made, later, tmp_path, point)


@pytest.mark.parametrize("function", [write_versions, note_restored, take_place, _erase_again])
def test_between_two_of_its_steps_every_command_says_so(
    made: Made, later: Path, killer: Killer, tmp_path: Path, function: object
) -> None:
    assert restore_and_kill(killer, made, later, tmp_path, line_in(function))  # type: ignore[arg-type]


@pytest.mark.nightly
@pytest.mark.parametrize("part", range(8))
def test_at_every_step(made: Made, later: Path, killer: Killer, tmp_path: Path, part: int) -> None:
    lines = killer.run(fresh(later, tmp_path), "restore", str(made.backup), "--force", watch=True).lines
    for point in lines[part::8]:
        restore_and_kill(killer, made, later, tmp_path, point)


@pytest.mark.parametrize("file_bytes", [10, 5_000, 15_000, 300_000])
def test_a_full_disk_is_said_and_changes_nothing(
    made: Made, later: Path, killer: Killer, tmp_path: Path, file_bytes: int
) -> None:
    copy, file = fresh(later, tmp_path), tmp_path / "a.backup"
    old = runs(killer, copy)
    for words in (("backup", str(file)), ("restore", str(made.backup), "--force")):
        full = killer.run(copy, *words, file_bytes=file_bytes)
        assert full.code in (0, 12), (words, full.said)
        if full.code:
            assert len([line for line in full.said.splitlines() if line.startswith("error: ")]) == 1, full.said
            assert "Exception ignored" not in full.said
            assert words[0] != "backup" or not file.exists()
            assert runs(killer, copy) == old
            assert left_in(copy / ".featurestore") == []
