"""``doctor``: one look at everything a project stands on, which changes nothing and hides nothing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from featurestore import times
from featurestore.config import load_project
from featurestore.locking import write_lock
from featurestore.model import Check
from featurestore.workflows.doctor import examine
from tests.conftest import Folder

AREAS = ["program", "configuration", "features", "lock", "offline", "clock", "online", "git", "disk"]


def checks(project: Folder, code: int = 0) -> list[dict[str, str]]:
    return list(project.json("doctor", code=code)["checks"])


def of(area: str, found: list[dict[str, str]]) -> list[dict[str, str]]:
    return [check for check in found if check["area"] == area]


def an_hour_ago() -> int:
    return times.now() - 3_600_000_000


def files(root: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(root.rglob("*"))}


def test_a_new_project_is_well_and_stays_as_it_is(project: Folder) -> None:
    before = files(project.root)
    found = checks(project)
    assert list(dict.fromkeys(check["area"] for check in found)) == AREAS
    assert "fail" not in {check["state"] for check in found}
    assert files(project.root) == before


@pytest.mark.parametrize("name", ["visits.columns.toml", "age_share/active", "age_share/metadata.toml"])
def test_files_of_versions_that_a_run_stumbles_over_are_named(ingested: Folder, name: str) -> None:
    path = ingested.root / "features/.versions" / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    failed = [check for check in checks(ingested, code=1) if check["state"] == "fail"]
    assert [check["what"] for check in failed] == [f"features/.versions/{name}: is a named pipe, not a regular file"]
    assert failed[0]["hint"]


def test_a_project_at_work_says_where_it_stands(ingested: Folder) -> None:
    ingested.run("sync")
    document = ingested.json("doctor")
    assert document["fail"] == 0
    assert document["ok"] + document["warn"] == len(document["checks"])
    said = " ".join(check["what"] for check in document["checks"])
    assert "runs: 1, feature versions: 1" in said
    assert "features served: 1, up to run 1" in said
    shown = ingested.run("doctor").out
    assert all(area in shown for area in AREAS)


def test_a_configuration_that_can_t_be_read_does_not_hide_the_rest(project: Folder) -> None:
    project.edit("featurestore.toml", "[project]", "[projekt]")
    found = checks(project, code=1)
    assert [(check["area"], check["state"]) for check in found if check["area"] == "configuration"] == [
        ("configuration", "fail")
    ]
    assert of("git", found)
    assert of("disk", found)


def test_a_declaration_that_can_t_be_used_fails_with_its_place(project: Folder) -> None:
    project.write({"features/broken.py": "import featurestore as fs\n@fs.feature(\n"})
    (wrong,) = [check for check in checks(project, code=1) if check["state"] == "fail"]
    assert wrong["area"] == "features"
    assert "broken.py" in wrong["what"]


def test_a_damaged_history_fails(ingested: Folder) -> None:
    (ingested.root / ".featurestore" / "history.duckdb").write_bytes(b"x" * 10_000)
    (wrong,) = of("offline", checks(ingested, code=1))
    assert wrong["state"] == "fail"
    assert "doctor" not in str(wrong["hint"])


def test_whoever_holds_the_lock_is_named(project: Folder) -> None:
    project.run("ingest")
    with write_lock(load_project(project.root)):
        (held,) = of("lock", checks(project))
    assert held["state"] == "warn"
    assert "pid" in held["what"]
    (free,) = of("lock", checks(project))
    assert free["state"] == "ok"


def test_no_password_is_shown(project: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATURESTORE_ONLINE_URL", "redis://me:s3cr3t@127.0.0.1:1/0")
    monkeypatch.setenv("FEATURESTORE_OFFLINE_URL", "postgresql://me:s3cr3t@127.0.0.1:1/x")
    shown = project.run("doctor", code=1)
    assert "s3cr3t" not in shown.out + shown.err
    assert "FEATURESTORE_ONLINE_URL" in shown.out


def test_a_clock_that_is_behind_the_history_fails(ingested: Folder) -> None:
    (wrong,) = [check for check in examine(ingested.root, now=an_hour_ago) if check.area == "clock"]
    assert wrong.state == "fail"


def test_version_files_that_are_not_committed_are_pointed_at(project: Folder) -> None:
    def git(*arguments: str) -> None:
        command = ["git", "-C", str(project.root), "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
        subprocess.run(command, check=True, capture_output=True)

    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    project.run("lock")
    (commit, waiting) = of("git", checks(project))
    assert commit["what"].startswith("commit ")
    assert waiting["state"] == "warn"
    assert ".versions" in waiting["what"]
    git("add", ".")
    git("commit", "-m", "second")
    assert [check["state"] for check in of("git", checks(project))] == ["ok"]


def test_a_full_disk_fails(project: Folder) -> None:
    (wrong,) = [check for check in examine(project.root, no_disk=1 << 60) if check.area == "disk"]
    assert wrong == Check("disk", "fail", wrong.what, "free some space")


def test_a_damaged_page_of_the_embedded_online_store_is_found(project: Folder) -> None:
    project.run("ingest")
    project.run("sync")
    file = project.root / ".featurestore" / "online.sqlite"
    whole = file.read_bytes()
    file.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    checks = project.json("doctor", code=1)["checks"]
    (found,) = [item for item in checks if item["area"] == "online" and item["state"] == "fail"]
    assert "the embedded online store is damaged" in found["what"]
    assert "featurestore sync --full" in found["hint"]
