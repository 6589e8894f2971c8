"""Standard streams that are closed or full, folders that can't be written, and Ctrl-C at any moment."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Folder

FEATURESTORE = f"{sys.executable} -m featurestore"


def shell(project: Folder, line: str) -> tuple[int, str]:
    """Runs a line of bash in the project's folder: its exit code, and what stood on stderr."""
    script = line.replace("featurestore", FEATURESTORE, 1)
    done = subprocess.run(["bash", "-c", script], cwd=project.root, stderr=subprocess.PIPE, text=True)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


@pytest.mark.parametrize("options", ["", " --json"])
@pytest.mark.parametrize(("target", "reason"), [("/dev/full", "No space left on device"), ("&-", "it is closed")])
def test_a_result_that_can_t_be_written_is_one_line(project: Folder, target: str, reason: str, options: str) -> None:
    expected = f"error: the result can't be written to standard output: {reason}\n"
    assert shell(project, f"featurestore list{options} >{target}") == (4, expected)


@pytest.mark.parametrize("target", ["/dev/full", "&-"])
def test_what_was_committed_keeps_its_exit_code(project: Folder, target: str) -> None:
    code, said = shell(project, f"featurestore ingest >{target}")
    assert (code, said.count("\n")) == (0, 1)
    assert project.json("runs")["runs"][0]["status"] == "ok"
    project.edit("features/cardiac.py", '"age"', '"nope"')
    assert shell(project, f"featurestore ingest --full >{target}")[0] == project.run("ingest", "--full", code=4).code


def test_an_error_that_can_t_be_written_keeps_its_exit_code(project: Folder) -> None:
    assert shell(project, "featurestore show nope --json >/dev/full")[0] == 2
    assert shell(project, "featurestore show nope 2>&-") == (2, "")
    assert shell(project, "featurestore show nope --json >/dev/full 2>/dev/full")[0] == 2


def test_closed_streams_are_not_taken_for_files(project: Folder) -> None:
    """A file opened while stdout is closed would get its number, and all that is printed."""
    assert shell(project, "featurestore ingest <&- >&- 2>&-") == (0, "")
    assert project.features()["age_share"]["rows_unchanged"] in (0, 3)


def test_closed_input_is_an_error(ingested: Folder) -> None:
    code, said = shell(ingested, "featurestore join - -f age_share --timestamp-column at <&-")
    assert code not in (0, 1, 70)
    assert said.startswith("error: ")


def test_a_help_into_a_closed_pipe_ends_quietly(project: Folder) -> None:
    assert shell(project, "featurestore list --help | true; exit ${PIPESTATUS[0]}") == (141, "")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_folder_that_can_t_be_written(ingested: Folder) -> None:
    (ingested.root / "out").mkdir(mode=0o500)
    code, said = shell(ingested, "featurestore export age_share --output out/x.csv")
    assert code in (4, 12)
    assert "out" in said


def test_an_output_folder_that_does_not_exist(ingested: Folder) -> None:
    code, said = shell(ingested, "featurestore export age_share --output /proc/none/x.csv")
    assert code in (2, 4, 12)
    assert "/proc/none" in said


@pytest.mark.parametrize("command", ["list", "init", "doctor", "ingest"])
def test_a_deleted_working_folder(project: Folder, command: str) -> None:
    line = f"mkdir gone; cd gone; rmdir ../gone; featurestore {command}"
    code, said = shell(project, line)
    assert code in (4, 10)
    assert said.startswith("error: ")


def test_interrupted_while_it_starts(project: Folder) -> None:
    """At every moment from the first import to the end of the command: the exit code, and at most one line."""
    code = "import os, sys; from featurestore.__main__ import main; sys.argv[1:] = ['list']\n"
    code += "for name in ('errno', 'contextlib'): sys.modules.pop(name, None)\n"  # as after a bare start
    code += "class Finder:\n"
    code += "    def find_spec(self, name, path, target=None):\n"
    code += "        if name == WANTED: os.kill(os.getpid(), 2)\n"
    code += "sys.meta_path.insert(0, Finder()); main()"
    early = ("featurestore.cli.streams", "errno", "contextlib", "featurestore.signals")
    for module in (*early, "featurestore.cli.app", "featurestore.config", "typer", "featurestore.workflows.catalogue"):
        script = code.replace("WANTED", repr(module))
        done = subprocess.run([sys.executable, "-c", script], cwd=project.root, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (130, "interrupted; nothing half-done is left\n"), module


def test_ctrl_c_reaches_a_command_that_reads_a_terminal_or_a_pipe(ingested: Folder) -> None:
    command = [sys.executable, "-m", "featurestore", "join", "-", "-f", "age_share", "--timestamp-column", "at", "-v"]
    process = subprocess.Popen(
        command, cwd=ingested.root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    while b"reading the labels" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (130, b"interrupted; nothing half-done is left\n")


def test_a_defect_report_is_for_its_owner_and_out_of_git(project: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("featurestore.cli.commands.list.list_features", fail)
    project.run("list", code=70)
    state = project.root / ".featurestore"
    assert state.stat().st_mode & 0o777 == 0o700
    assert (state / ".gitignore").read_text() == "*\n"
    monkeypatch.setattr("featurestore.cli.defects.write_report", full_disk)
    assert "the report can't be written (No space left on device)" in project.run("list", code=70).err


def full_disk(*_: object) -> Path:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "x", "1e999"])
def test_a_lock_timeout_is_a_number_of_seconds(project: Folder, text: str) -> None:
    error = project.run("list", "--json", f"--lock-timeout={text}", code=2).out
    assert json.loads(error)["error"]["message"] == f"--lock-timeout {text!r} is not a number of seconds"


@pytest.mark.parametrize("words", [["--version"], ["-V"], ["--help"], ["list", "--help"], ["ingest", "--help"]])
def test_a_full_or_closed_stdout_is_reported_by_every_answer(words: list[str]) -> None:
    command = shlex.join([sys.executable, "-m", "featurestore", *words])
    for target in (">/dev/full", ">&-"):
        ran = subprocess.run(["sh", "-c", f"{command} {target}"], capture_output=True, text=True)
        assert (ran.returncode, ran.stdout) == (4, ""), ran.stderr
        assert ran.stderr.startswith("error: the result can't be written to standard output: ")
        assert "Traceback" not in ran.stderr


def test_a_result_may_go_to_the_path_of_a_pipe(ingested: Folder) -> None:
    command = [sys.executable, "-m", "featurestore", "-C", str(ingested.root), "export", "age_share",
               "--output", "/dev/stdout", "--format", "csv", "-q"]  # fmt: skip
    ran = subprocess.run(command, capture_output=True, text=True)
    assert (ran.returncode, len(ran.stdout.splitlines())) == (0, 4), ran.stderr


def test_without_a_command_json_is_a_document_too(project: Folder) -> None:
    ran = project.run("--json", code=2)
    hint = "run featurestore --help"
    assert ran.json["error"] == {"code": "usage", "message": "no command was given", "hint": hint}


def test_what_check_finds_is_its_result_and_with_q_an_error(project: Folder) -> None:
    found = project.run("check", code=1)
    assert "age_share has no version file" in found.out
    assert "nothing is wrong" not in found.out
    assert found.err == ""
    quiet = project.run("check", "-q", code=1)
    assert quiet.out == ""
    assert quiet.err.startswith("error: ")
    assert "age_share has no version file" in quiet.err
    project.run("lock")
    assert project.run("check", "-q").err == ""


@pytest.mark.parametrize("forced", ["FORCE_COLOR", "TTY_COMPATIBLE", "CLICOLOR_FORCE"])
def test_colour_is_for_terminals_alone(ingested: Folder, forced: str) -> None:
    """A contract for scripts: whatever CI sets, what they read has no escape sequence."""
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | {forced: "1"}
    ingested.edit("features/cardiac.py", '"age"', '"agee"')
    for command in (["list"], ["show", "age_share"], ["doctor"], ["ingest"], ["list", "--json"]):
        ran = subprocess.run(
            [sys.executable, "-m", "featurestore", "-C", ingested.root, *command],
            capture_output=True, text=True, env=environment, check=False,
        )  # fmt: skip
        assert len(ran.stdout) > 20
        assert "\x1b" not in ran.stdout + ran.stderr
