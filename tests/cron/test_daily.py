"""The daily job as cron starts it: no HOME, no terminal, another working directory, and at most one clear mail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from featurestore.config import load_project
from featurestore.locking import write_lock
from tests.conftest import AGE, Folder

JOB = Path(__file__).parents[2] / "scripts/cron/featurestore-daily"
PROGRAM = Path(sys.executable).with_name("featurestore")
LATE = "patient_id,visit_at,age,chol\n003,2024-03-01T00:00:00Z,70,1\n004,2024-03-02T00:00:00Z,400,2\n"
BARE = {"FEATURESTORE": str(PROGRAM)}


def start(folder: Folder, *arguments: str, environment: dict[str, str] = BARE) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["/usr/bin/env", "-i", *(f"{name}={value}" for name, value in environment.items()), str(JOB),
         str(folder.root), *arguments],
        cwd="/usr", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip


def daily(folder: Folder, *arguments: str, code: int = 0, environment: dict[str, str] = BARE) -> str:
    """Runs the job; returns the mail that cron would send."""
    job = start(folder, *arguments, environment=environment)
    out, err = job.communicate(timeout=120)
    assert job.returncode == code, out + err
    return out + err


def test_all_is_well_and_nothing_is_said(project: Folder) -> None:
    assert daily(project) == ""
    assert daily(project) == ""
    (feature,) = project.json("status")["features"]
    assert (feature["last_status"], feature["online_lag_runs"]) == ("unchanged", 0)


def a_column_is_gone(project: Folder) -> None:
    project.write({"features/other.py": AGE.replace("age_share", "other").replace('"age"', '"gone"')})


def the_source_is_gone(project: Folder) -> None:
    (project.root / "visits.csv").unlink()


def a_declaration_is_broken(project: Folder) -> None:
    project.write({"features/other.py": AGE.replace('"float"', '"flaot"')})


@pytest.mark.parametrize(
    ("failing", "code", "said"),
    [
        (a_column_is_gone, 3, "other has failed since 20"),
        (the_source_is_gone, 4, "age_share has failed since 20"),
        (a_declaration_is_broken, 3, "flaot"),
    ],
)
def test_a_failing_ingest_is_one_mail_and_what_there_is_is_served(
    failing: Callable[[Folder], None], code: int, said: str, project: Folder
) -> None:
    project.run("ingest")
    failing(project)
    mail = daily(project, code=code)
    assert mail.startswith(f"featurestore-daily: {project.root} on ")
    assert said in mail
    assert f"featurestore ingest ended with exit code {code}" in mail
    assert "Traceback" not in mail
    assert project.json("get", "patient", "001")["entities"][0]["features"]["age_share"]["value"] == 0.51


def test_a_failing_sync_is_one_mail_and_the_history_is_there(project: Folder) -> None:
    unreachable = BARE | {"FEATURESTORE_ONLINE_URL": "redis://127.0.0.1:1/0"}
    mail = daily(project, code=12, environment=unreachable)
    assert "featurestore sync ended with exit code 12" in mail
    assert "127.0.0.1:1" in mail
    assert project.json("runs")["runs"][0]["status"] == "ok"


def test_what_is_too_old_is_said(project: Folder) -> None:
    project.run("ingest")
    time.sleep(0.01)
    mail = daily(project, "0s", code=1)
    assert "age_share was last ingested at 20" in mail


def test_two_at_once_wait_for_each_other(project: Folder) -> None:
    jobs = [start(project) for _ in range(2)]
    answers = [job.communicate(timeout=120) for job in jobs]
    assert [(job.returncode, *answer) for job, answer in zip(jobs, answers, strict=True)] == [(0, "", "")] * 2


def test_a_job_that_can_not_wait_any_longer_says_who_holds_the_lock(project: Folder) -> None:
    with write_lock(load_project(project.root)):
        mail = daily(project, code=11, environment=BARE | {"FEATURESTORE_LOCK_TIMEOUT": "0.2"})
    assert f"pid {os.getpid()}" in mail or str(os.getpid()) in mail


def test_the_program_is_found_beside_the_script_and_in_the_projects_own_environment(
    project: Folder, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("bin")
    shutil.copy(JOB, place)
    missing = subprocess.run([place / JOB.name, project.root], env={}, capture_output=True, text=True, check=False)
    assert missing.returncode == 127
    assert "set FEATURESTORE=" in missing.stderr
    (project.root / ".venv/bin").mkdir(parents=True)
    (project.root / ".venv/bin/featurestore").symlink_to(PROGRAM)
    assert subprocess.run([place / JOB.name, project.root], env={}, check=False).returncode == 0
    (project.root / ".venv/bin/featurestore").unlink()
    (place / "featurestore").symlink_to(PROGRAM)
    assert subprocess.run([place / JOB.name, project.root], env={}, check=False).returncode == 0


@pytest.mark.parametrize("arguments", [(), ("a", "b", "c")])
def test_wrong_usage(arguments: tuple[str, ...]) -> None:
    refused = subprocess.run([JOB, *arguments], capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stderr) == (2, "usage: featurestore-daily PROJECT [MAX_AGE]\n")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed here")
def test_the_units_are_well_formed(tmp_path: Path) -> None:
    for unit in JOB.parent.glob("featurestore-daily@.*"):
        shutil.copy(unit, tmp_path / unit.name.replace("@.", "@srv-heart."))
    checked = subprocess.run(
        ["systemd-analyze", "verify", *tmp_path.iterdir()], capture_output=True, text=True, check=False
    )
    assert "Unknown" not in checked.stderr
