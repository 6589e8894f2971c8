"""What stands in files and rows reaches a terminal as text: nothing in it is obeyed, by any command."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from featurestore.render.printable import one_line, printable
from tests.conftest import TOML, Folder
from tests.hooks.test_hooks import git

# A title for the window, the colour red, a jump to the line's beginning, the same in 8 bits, and a turned direction.
EVIL = "\x1b]0;owned\x07\x1b[31mred\r\x9b31m\u202etxt\u2066"
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
COMMANDS = (
    "list", "show evil", "plan", "plan --stats", "check", "lock", "ingest --full", "ingest", "runs", "runs 1", "sync",
    "get patient {id}", "history evil {id}", "stats evil", "stats evil --markdown", "drift", "drift evil",
    "drift --markdown", "verify", "doctor", "lineage", "lineage evil",
    "join {labels} -f evil --timestamp-column t --dry-run", "diff evil 1 1", "diff evil --rev HEAD", "status",
    "dataset", "delete patient {id} --dry-run", "delete patient {id} --erase --dry-run", "show {id}", "get {id} {id}",
    "runs {id}", "join {labels}x -f evil --timestamp-column {id}", "ingest {id}", "check {id}", "export {id}",
    "promote evil {id}", "{id}", "list --tag {id}", "diff evil --rev {id}", "export evil --output /{id}/x.csv",
    "-C /{id} list", "history evil x{id}", "baseline evil {id}",
)  # fmt: skip


LACKING = """from featurestore import feature
import nothing_like_it


@feature(entity_type="patient", data_type="string")
def x(visits):
    return visits
"""


@pytest.fixture
def hostile(folder: Folder) -> Folder:
    feature = f'''
        import polars as pl
        from featurestore import feature


        @feature(entity_type="patient", data_type="string", owner={EVIL!r}, tags=[{EVIL!r}], description={EVIL!r})
        def evil() -> pl.Expr:
            """{EVIL.replace(chr(13), "")}"""
            return pl.col("note")


        @feature(entity_type="patient", data_type="string")
        def failing(visits: pl.DataFrame) -> pl.DataFrame:
            raise ValueError({EVIL!r})
        '''
    settings = TOML.replace("visits*.csv", "data/*.csv").replace("chol =", "note =").replace("float", "string")
    folder.write({
        "featurestore.toml": settings,
        "features/evil.py": feature, f"features/{EVIL}.py": LACKING,
        f"data/{EVIL}.csv": f'patient_id,visit_at,age,note\n"{EVIL}",2024-01-01T00:00:00Z,5,"{EVIL}"\n'
                            f'"{EVIL}2",2024-01-01T00:00:00Z,999,x\n"{EVIL}3",nonsense,5,"{EVIL}"\n',
        f"{EVIL}.csv": f'patient_id,t\n"{EVIL}",2024-02-01T00:00:00Z\nnobody,2024-02-01T00:00:00Z\n',
    })  # fmt: skip
    git(folder.root, "init", "-q", "-b", "main")
    folder.run("lock")
    git(folder.root, "add", ".")
    git(folder.root, "commit", "-qm", "one")
    folder.run("ingest", code=3)
    return folder


@pytest.mark.parametrize("options", [[], ["--json"], ["--traceback", "-v"]])
def test_no_command_lets_data_steer_the_terminal(hostile: Folder, options: list[str]) -> None:
    from featurestore.cli.app import run

    labels = str(hostile.root / f"{EVIL}.csv")
    for command in COMMANDS:
        words = [word.format(id=EVIL, labels=labels) for word in command.split()]
        place = [] if words[0] == "-C" else ["-C", str(hostile.root)]
        hostile._capture()
        code = run([*place, *words, *options])
        out, err = hostile._capture()
        assert code != 70, (command, err)
        for said in (out, err):
            found = OBEYED.search(said)
            assert found is None, (command, said[max(0, found.start() - 60) : found.end() + 20])


def test_the_hooks_neither(
    hostile: Folder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from featurestore.cli.hook import run_hook

    monkeypatch.chdir(hostile.root)
    for what in ("check", "lock"):
        run_hook([what])
    assert OBEYED.search("".join(capsys.readouterr())) is None


def test_a_name_can_not_begin_a_line_of_its_own(project: Folder) -> None:
    name = "x\nerror: all is lost.py"
    Path(project.root / "features" / name).write_text("from featurestore import feature\n@feature(\n")
    for command in ("list", "check", "plan"):
        ran = project.run(command, code=1 if command == "check" else 0)
        assert not [line for line in (ran.out + ran.err).splitlines() if line.startswith("error: all is lost")], command


def test_what_is_written_out_can_be_told_apart() -> None:
    assert printable("a\x1b\x9b\u202e\U000e0001\n\tb") == "a\\x1b\\x9b\\u202e\\U000e0001\n\tb"
    assert one_line("a\n\tb") == "a\\n\\tb"


def test_numbers_are_never_options(project: Folder) -> None:
    rows = "-7,2024-01-01T00:00:00Z,50,1\n-.5,2024-01-01T00:00:00Z,60,1\n"
    project.write({"visits.csv": f"patient_id,visit_at,age,chol\n{rows}"})
    project.run("ingest")
    project.run("sync")
    for words in (["-7"], ["--json", "-7"], ["-7", "--json"], ["--", "-7"]):
        assert "-7" in project.run("history", "age_share", *words).out
    found = project.json("get", "patient", "-7", "-.5", "-f", "age_share")
    assert [item["entity_id"] for item in found["entities"]] == ["-7", "-.5"]
    error = project.json("get", "patient", "--help-me", "-7", code=2)["error"]
    assert error["message"].startswith("No such option: --help-me")
    assert project.json("history", "age_share", "-7", "-8", code=2)["error"]["message"].endswith("(-8)")


def test_short_global_options_may_be_written_together(project: Folder) -> None:
    assert project.run("ingest", "-qv").err == ""
    assert " s  " in project.run("ingest", "-vv").err
    assert project.run("list", "-vx", code=2).err.startswith("error: No such option: -v")


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_the_help_fits_the_terminal(folder: Folder, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    for arguments in (["--help"], ["runs", "--help"], ["doctor", "--help"]):
        assert max(map(len, folder.run(*arguments).out.splitlines())) <= columns
