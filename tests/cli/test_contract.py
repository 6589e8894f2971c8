"""The command line as scripts know it: streams, exit codes, JSON, and errors in three parts."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import featurestore
from featurestore import __version__
from featurestore.cli.app import run
from featurestore.cli.commands import COMMANDS
from tests.conftest import Folder

MODULE = [sys.executable, "-m", "featurestore"]
HEAVY = (
    "polars",
    "duckdb",
    "numpy",
    "pyarrow",
    "redis",
    "psycopg",
    "evidently",
    "pandas",
    "scipy",
    "textual",
    "fastapi",
)


def imported(*arguments: str, cwd: Path) -> set[str]:
    """The heavy packages that a process of its own has loaded by the time a command is done."""
    return set(HEAVY) & loaded(*arguments, cwd=cwd)


def loaded(*arguments: str, cwd: Path) -> set[str]:
    code = (
        "import sys; from featurestore.cli.app import run; run(sys.argv[1:]); sys.stderr.write(' '.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=cwd, capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_version_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        subprocess.run([*MODULE, "--version"], capture_output=True, text=True).stdout == f"featurestore {__version__}\n"
    )
    assert run(["--json", "--version"]) == 0
    assert capsys.readouterr().out == f"featurestore {__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Examples:" in shown
    assert f"featurestore {command}" in shown
    assert "--json" in shown


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {command} " in shown for command in COMMANDS)


def test_version_is_a_global_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    assert "  -V, --version " in capsys.readouterr().out
    for arguments in (["-V"], ["list", "--version"], ["-C", "/nowhere", "--version"]):
        assert run(arguments) == 0
        assert capsys.readouterr().out == f"featurestore {__version__}\n"


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_has_a_short_form(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([option]) == 0
    assert "Usage: featurestore COMMAND" in capsys.readouterr().out
    assert run(["list", option]) == 0
    assert "Usage: featurestore list" in capsys.readouterr().out


def test_only_the_public_names_of_typer_are_used() -> None:
    package = Path(featurestore.__file__).parent
    assert not [path for path in package.rglob("*.py") if re.search(r"typer\W+_|\b_click\b", path.read_text())]


def test_without_a_project_the_exit_code_is_10(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["list", "--json"]) == 10
    captured = capsys.readouterr()
    assert json.loads(captured.out)["error"]["code"] == "no_project"
    assert "run featurestore init" in captured.err


def test_a_mistyped_command_gets_a_did_you_mean(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ingset", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"] == {
        "code": "usage", "message": "there is no command 'ingset'", "hint": "did you mean 'ingest'?",
    }  # fmt: skip


@pytest.mark.parametrize(
    "arguments", [["list", "--nope"], ["runs", "--last", "x"], ["history", "only_one"], ["diff"], ["list", "-C"], []]
)
def test_wrong_usage_is_exit_2_and_changes_nothing(project: Folder, arguments: list[str]) -> None:
    project.run(*arguments, code=2)
    assert not (project.root / ".featurestore").exists()


def test_global_options_stand_anywhere(project: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--json", "list"], ["list", "--json"], [f"--project={project.root}", "list", "--json"]):
        found = project.json(*[item for item in arguments if item != "--json"])
        assert found["features"][0]["name"] == "age_share"


def test_stdout_holds_one_document_and_stderr_the_talk(project: Folder) -> None:
    project.write({"features/bad.py": "from featurestore import feature\n@feature(\n"})
    ran = project.run("list", "--json")
    assert ran.json["problems"][0]["name"] == "features/bad.py"
    assert "features/bad.py" in ran.err


@pytest.mark.parametrize(
    "words",
    [
        ("join", "LABELS", "-f", "age_share", "--timestamp-column", "at", "--as-of", "2030-01-01"),
        ("join", "LABELS", "-f", "age_share", "--timestamp-column", "at", "--split", "train=2024-01-01,test"),
        ("latest", "patient", "-f", "age_share", "--at", "2024-06-01"),
        ("delete", "patient", "001", "--at", "2024-06-01", "--dry-run"),
    ],
    ids=["as of", "split", "latest", "delete"],
)
def test_a_time_that_is_taken_as_utc_is_among_the_warnings_of_the_document(
    ingested: Folder, words: tuple[str, ...]
) -> None:
    ingested.write({"labels.csv": "patient_id,at\n001,2024-03-01T00:00:00Z\n"})
    document = ingested.json(*(str(ingested.root / "labels.csv") if word == "LABELS" else word for word in words))
    assert [line for line in document["warnings"] if "taken as UTC" in line]


def test_quiet_prints_errors_only(project: Folder) -> None:
    ran = project.run("ingest", "-q")
    assert (ran.out, ran.err) == ("", "")
    assert project.run("show", "nothing_like_it", "-q", code=2).err.startswith("error: ")


def test_quiet_prints_what_the_exit_code_says(project: Folder) -> None:
    project.write({"features/bad.py": "from featurestore import feature\n@feature(\n"})
    for command, code in ((["plan", "--exit-code"], 2), (["doctor"], 1), (["check"], 1)):
        ran = project.run(*command, "-q", code=code)
        assert ran.out == ""
        assert "features/bad.py" in ran.err
        assert "warning:" not in ran.err
    for command in (["plan"], ["list"]):
        assert "warning: features/bad.py" in project.run(*command).err
        assert project.run(*command, "-q").err.startswith("error: features/bad.py")


def test_init_in_a_project_says_the_name_of_the_project(project: Folder, tmp_path: Path) -> None:
    assert project.json("init", str(project.root), "--name", "another")["project"] == "test"
    assert project.json("init", str(tmp_path / "fresh"), "--dry-run")["project"] == "fresh"


def test_a_check_of_what_is_staged_says_that_git_is_missing(project: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(project.root))
    refused = project.run("check", "--staged", code=2).err
    assert "git, and it is not installed" in refused
    assert "hint: install git" in refused


@pytest.mark.parametrize(
    "command", [["list"], ["show", "age_share"], ["plan"], ["lock"], ["diff", "age_share", "1", "--code"], ["--help"]]
)
def test_commands_that_only_read_files_import_nothing_heavy(project: Folder, command: list[str]) -> None:
    project.run("ingest")
    assert imported(*command, cwd=project.root) == set()
    assert imported(*command, "--json", cwd=project.root) == set()


def test_an_unchanged_ingest_parses_nothing(project: Folder) -> None:
    project.run("ingest")
    assert "pyarrow" not in imported("ingest", cwd=project.root)


def test_a_quiet_ingest_without_problems_loads_nothing_to_draw_with(project: Folder) -> None:
    assert "rich.console" not in loaded("ingest", "-q", cwd=project.root)


def test_output_into_a_closed_pipe_ends_quietly(project: Folder) -> None:
    project.run("ingest")
    script = f"{sys.executable} -m featurestore export age_share | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], cwd=project.root, capture_output=True, text=True)
    assert done.returncode in (0, 141)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_run_with_its_code_and_leaves_nothing_half_done(project: Folder, sent: int, code: int) -> None:
    slow = "import time\nfrom pathlib import Path\nimport polars as pl\nfrom featurestore import feature\n"
    body = "    Path('started').touch()\n    time.sleep(60)\n    return df\n"
    project.write(
        {"features/slow.py": slow + f'@feature(entity_type="patient", data_type="float")\ndef slow(df):\n{body}'}
    )
    process = subprocess.Popen([*MODULE, "ingest"], cwd=project.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 30
    while not (project.root / "started").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(sent)
    _, said = process.communicate(timeout=20)
    assert process.returncode == code, said
    (project.root / "features" / "slow.py").unlink()
    assert project.json("runs")["runs"] == []
    assert project.features()["age_share"]["rows_written"] == 3, "the lock is free and nothing was half done"


def test_a_defect_leaves_a_report_without_values(project: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError(os.environ["SECRET"])

    monkeypatch.setenv("SECRET", "s3cr3t-CANARY")
    monkeypatch.setattr("featurestore.cli.commands.list.list_features", fail)
    ran = project.run("list", "--json", code=70)
    report = Path(ran.json["error"]["hint"].split("the report is in ")[1].split(";")[0])
    assert "fail" in report.read_text()
    assert "CANARY" not in report.read_text() + ran.out + ran.err


@pytest.mark.parametrize("names", [["age_share", "chol_share"], ["age_share,", "chol_share"]])
def test_names_with_spaces_between_them_are_told_how_to_be_joined(ingested: Folder, names: list[str]) -> None:
    labels = str(ingested.root / "visits.csv")
    for command in (["join", labels, "--timestamp-column", "visit_at"], ["latest", "patient"]):
        error = ingested.json(*command, "-f", *names, code=2)["error"]
        assert "-f age_share,chol_share" in error["hint"]
    missing = ingested.json("join", labels, "-f", *names, "--nope", code=2)["error"]
    assert "joined by commas" not in missing["hint"]


def test_a_feature_that_was_taken_for_an_id_is_named(ingested: Folder) -> None:
    ingested.run("sync")
    (said,) = ingested.json("get", "patient", "001", "-f", "age_share", "age_share")["warnings"]
    assert said.startswith("age_share is a feature, but was taken for an id")
    assert ingested.json("get", "patient", "001", "nobody", "-f", "age_share")["warnings"] == []


def test_data_is_never_markup_nor_a_terminal_s_command(project: Folder) -> None:
    nasty = "[red]x[/nope]\x1b]0;title\x07"
    project.write({"visits.csv": f'patient_id,visit_at,age,chol\n"{nasty}",2024-01-01T00:00:00Z,50,\n'})
    project.run("ingest")
    shown = project.run("history", "age_share", nasty)
    assert "\x1b" not in shown.out
    assert "[red]x[/nope]" in shown.out


def test_colour_is_for_terminals_only(project: Folder) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    done = subprocess.run([*MODULE, "list"], cwd=project.root, capture_output=True, text=True, env=environment)
    assert "\x1b[" not in done.stdout
