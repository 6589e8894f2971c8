"""Every document of ``--json``, to the letter: keys, their order, types, and the values that don't change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from featurestore.cli.app import run
from featurestore.cli.commands import COMMANDS
from tests.conftest import Folder
from tests.golden.shape import shape
from tests.golden.stored import asked_to_write, compare, names_of
from tests.golden.stories import STORIES, Case

HERE = Path(__file__).parent / "json"
CASES = [step for steps in STORIES.values() for step in steps if isinstance(step, Case)]


@pytest.mark.parametrize("story", STORIES)
def test_documents_are_as_they_were(story: str, folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    for step in STORIES[story]:
        if isinstance(step, Case):
            compare(HERE / f"{step.name}.json", _document(step, folder, capsys))
        else:
            step(folder)


def test_every_command_has_a_document() -> None:
    # doctor's values are of the machine; its form is compared below. tui has no document.
    assert {case.line.split()[0] for case in CASES} >= set(COMMANDS) - {"doctor", "tui"}


def test_every_stored_document_is_of_a_case() -> None:
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))
    assert names_of(HERE, ".json") == {*names, "doctor"}


def test_doctor_has_the_same_keys_on_every_machine(project: Folder) -> None:
    found = project.json("doctor")
    assert list(found) == ["ok", "warn", "fail", "checks"]
    assert [list(check) for check in found["checks"]] == [["area", "state", "what", "hint"]] * len(found["checks"])
    assert found["ok"] + found["warn"] + found["fail"] == len(found["checks"])


def test_doctor_looks_at_the_same_areas_in_the_same_order(project: Folder) -> None:
    found = project.json("doctor")
    assert {check["state"] for check in found["checks"]} <= {"ok", "warn", "fail"}
    assert all(isinstance(check["what"], str) for check in found["checks"])
    assert all(check["hint"] is None or isinstance(check["hint"], str) for check in found["checks"])
    form = {
        **{name: f"<{type(found[name]).__name__}>" for name in ("ok", "warn", "fail")},
        "checks": [
            {"area": area, "state": "<state>", "what": "<text>", "hint": "<text or null>"}
            for area in dict.fromkeys(check["area"] for check in found["checks"])
        ],
    }
    shown = {"command": "featurestore doctor --json", "exit": 0, "document": form}
    compare(HERE / "doctor.json", json.dumps(shown, indent=2, ensure_ascii=False) + "\n")


def test_ci_never_writes_what_it_compares_with() -> None:
    assert asked_to_write({"FEATURESTORE_GOLDEN": "write"})
    with pytest.raises(RuntimeError, match="CI"):
        asked_to_write({"FEATURESTORE_GOLDEN": "write", "CI": "true"})


def _document(case: Case, folder: Folder, capsys: pytest.CaptureFixture[str]) -> str:
    words = case.line.replace("{root}", str(folder.root)).split()
    named = [] if case.bare else ["-C", str(folder.root)]
    capsys.readouterr()
    with case.beside(folder):
        code = run([*named, *words, "--json"])
    out = capsys.readouterr().out
    assert code == case.code, f"{case.line}: exit {code}\n{out}"
    assert out == json.dumps(json.loads(out), indent=2, ensure_ascii=False) + "\n", "one document, written one way"
    shown = {
        "command": f"featurestore {case.line} --json",
        "exit": code,
        "document": shape(json.loads(out), folder.root),
    }
    return json.dumps(shown, indent=2, ensure_ascii=False) + "\n"
