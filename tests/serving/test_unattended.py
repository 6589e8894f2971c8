"""Sync without a person: from cron, and for days with ``--every``, until a supervisor stops it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from featurestore.serving.last_sync import EMBEDDED
from tests.conftest import Folder
from tests.often import nightly
from tests.services import Server

DOC = (Path(__file__).parents[2] / "docs" / "online.md").read_text(encoding="utf-8")
BARE = {"PATH": "/usr/bin:/bin", "LANG": "C", "SHELL": "/bin/sh"}


def test_the_documented_cron_line_works_from_a_bare_environment(project: Folder) -> None:
    """No HOME, no locale, no virtual environment on the PATH; an entity that ASCII can't hold."""
    project.write({"visits2.csv": "patient_id,visit_at,age,chol\nÉloïse 😀,2024-03-01T00:00:00Z,70,1\n"})
    project.run("ingest")
    (line,) = re.findall(r"^\* \* \* \* \*  (.*)$", DOC, re.MULTILINE)
    executables = str(Path(sys.executable).parent)
    command = line.replace("/srv/heart/.venv/bin", executables).replace("/srv/heart", str(project.root))
    for _ in range(2):
        done = subprocess.run(["/bin/sh", "-c", command], env=BARE, cwd="/", capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    answers = project.json("get", "patient", "Éloïse 😀")["entities"]
    assert answers[0]["features"]["age_share"]["value"] == pytest.approx(0.7)


def test_cron_mails_what_went_wrong(project: Folder, own_server: Server) -> None:
    project.edit("featurestore.toml", "[entity_types", f'[online]\nurl = "{own_server.url}"\n[entity_types')
    project.run("ingest")
    project.run("sync")
    own_server.client().flushall()
    command = [sys.executable, "-m", "featurestore", "-C", str(project.root), "sync", "--no-auto-full"]
    done = subprocess.run(command, env=BARE, cwd="/", capture_output=True, text=True)
    assert done.returncode == 3
    assert "sync --full --feature age_share" in done.stderr
    assert subprocess.run(command[:-1], env=BARE, cwd="/", capture_output=True).returncode == 0
    own_server.stop()
    done = subprocess.run(command, env=BARE, cwd="/", capture_output=True, text=True)
    assert (done.returncode, "can't be reached" in done.stderr) == (12, True)


class Service:
    """``sync --every 1s`` under a supervisor."""

    def __init__(self, folder: Folder, *options: str) -> None:
        command = [sys.executable, "-m", "featurestore", "-C", str(folder.root), "sync", "--every", "1s", *options]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=dict(os.environ)
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def wait_for(self, words: str) -> None:
        deadline = time.monotonic() + 60
        while words not in (line := self.line()):
            assert time.monotonic() < deadline, line

    def stop(self) -> tuple[int, str]:
        """What it exits with and what it still says, on SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        rest = self.process.communicate(timeout=60)[0]
        return self.process.returncode, rest


def test_a_round_is_a_line_and_the_end_is_one_too(project: Folder) -> None:
    project.run("ingest")
    service = Service(project)
    first, second = service.line(), service.line()
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ wrote 2 values of 1 feature in [\d.]+ s \(incremental\)\n", first
    )
    assert re.fullmatch(r"\S+Z nothing to do: the online store is up to date with the history's last run\n", second)
    code, rest = service.stop()
    assert code == 143
    assert rest.splitlines()[-1] == "terminated; nothing half-done is left"
    assert "Traceback" not in rest


def test_a_password_that_changes_for_a_while_is_not_the_end(project: Folder, own_server: Server) -> None:
    project.edit("featurestore.toml", "[entity_types", f'[online]\nurl = "{own_server.url}"\n[entity_types')
    project.run("ingest")
    service = Service(project)
    service.line()
    client = own_server.client()
    client.config_set("requirepass", "s3cr3t")
    service.wait_for("refuses the user or the password; trying again")
    client.config_set("requirepass", "")
    service.wait_for("nothing to do")
    assert service.stop()[0] == 143


def test_what_is_wrong_from_the_start_is_the_end(project: Folder) -> None:
    service = Service(project, "--feature", "age_shore")
    out = service.process.communicate(timeout=60)[0]
    assert (service.process.returncode, "did you mean 'age_share'" in out) == (2, True)


@pytest.mark.parametrize("after", [0.8, *nightly([0.6, 1.0, 1.3])])
def test_terminated_at_any_moment_a_sync_leaves_nothing_half_done(
    project: Folder, own_server: Server, after: float
) -> None:
    project.edit("featurestore.toml", "[entity_types", f'[online]\nurl = "{own_server.url}"\n[entity_types')
    rows = "".join(f"p{n},2024-01-01T00:00:00Z,{n % 90},1\n" for n in range(60_000))
    project.write({"visits.csv": "patient_id,visit_at,age,chol\n" + rows})
    project.run("ingest")
    command = [sys.executable, "-m", "featurestore", "-C", str(project.root), "sync"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
    time.sleep(after)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode in (143, -signal.SIGTERM, 0), err  # before it could listen, in the middle, done
    assert "Traceback" not in out + err
    project.run("sync")
    assert project.json("verify")["checked"] == 60_000


INTERRUPTED = """
import os, sys, threading
from featurestore import signals
from featurestore.cli.app import run
from featurestore.offline.duckdb import connect as duck
from featurestore.workflows import sync

def ask_for_long(*_):
    threading.Timer(0.3, os.kill, (os.getpid(), int(sys.argv[2]))).start()
    duck.connect().execute("SELECT count(*) FROM range(1_000_000_000_000) WHERE random() > 2").fetchall()

sync.usable_features = ask_for_long
signals.watch()  # as the executable does
sys.exit(run(["-C", sys.argv[1], "sync"]))
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_in_the_middle_of_a_query_is_not_a_defect(project: Folder, number: int, code: int) -> None:
    command = [sys.executable, "-c", INTERRUPTED, str(project.root), str(int(number))]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), timeout=120)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.endswith("nothing half-done is left\n")
    assert not (project.root / ".featurestore" / "logs").exists()


@pytest.mark.parametrize("command", [["get", "patient", "001"], ["sync"], ["verify"]])
def test_a_file_that_is_no_store_says_the_way_out(project: Folder, command: list[str]) -> None:
    project.run("ingest")
    project.run("sync")
    state = project.root / ".featurestore"
    for suffix in ("", "-wal", "-shm"):
        (state / f"{EMBEDDED}{suffix}").unlink(missing_ok=True)
    (state / EMBEDDED).write_bytes(b"no database at all" * 1_000)
    ran = project.run(*command, code=4)
    assert "sync --full" in ran.err
    (state / EMBEDDED).unlink()
    assert project.json("sync", "--full")["features"][0]["entities_written"] == 2
