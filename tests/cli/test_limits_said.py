"""What decides values and is not part of a hash is said where it bites, and fails a check where it should."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.conftest import TOML, VISITS, Folder

HEAD = """
import json, os, sys, importlib
import polars as pl

from featurestore import feature


@feature(entity_type="patient", data_type="float")
"""


def module(expression: str) -> str:
    return f'{HEAD}def risk() -> pl.Expr:\n    return pl.col("age") * {expression}\n'


FILE = module('json.load(open("w.json"))["a"]')
ENVIRONMENT = module('float(os.environ.get("A", "2"))')


@pytest.fixture
def risk(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.chdir(folder.root)
    folder.write({"featurestore.toml": TOML, "visits.csv": VISITS, "w.json": '{"a": 2}', "features/m.py": FILE})
    return folder


def said(text: str) -> list[str]:
    return [line for line in text.splitlines() if "is limited" in line]


def test_plan_and_ingest_say_it_once_of_a_new_version(risk: Folder) -> None:
    (line,) = said(risk.run("plan").err)
    assert line.endswith(
        "features/m.py:9: the hash of risk is limited: "
        "the content of a file is not part of the hash; declare it in depends_on, or make it a source"
    )
    assert len(said(risk.run("ingest").err)) == 1
    for command in ("plan", "ingest"):
        assert said(risk.run(command).err) == []
    assert said(risk.run("ingest", "--full").err) == []
    risk.write({"features/m.py": FILE.replace('["a"]', '["a"] + 1')})
    assert len(said(risk.run("plan").err)) == 1
    assert len(said(risk.run("ingest").err)) == 1


def test_the_documents_have_it(risk: Folder) -> None:
    (planned,) = risk.json("plan")["features"]
    assert [item["kind"] for item in planned["limits"]] == ["file"]
    assert any("is limited" in line for line in risk.json("ingest")["warnings"])
    assert risk.json("plan")["features"][0]["limits"] == []
    assert [item["kind"] for item in risk.json("show", "risk")["limits"]] == ["file"]


def test_several_are_one_line(risk: Folder) -> None:
    risk.write({"features/m.py": module('float(os.getenv("A")) + json.load(open("w.json"))["a"] + hash("a")')})
    (line,) = said(risk.run("plan").err)
    assert line.endswith("(and 2 more: featurestore show risk)")


# check

PROJECT: Mapping[str, str] = {
    "a computed import": 'importlib.import_module("features." + "lib").K',
    "__import__": '__import__("features.lib").lib.K',
    "sys.path": "(sys.path.append('lib') or 1)",
    "an undefined name": "nowhere",
}
ELSEWHERE: Mapping[str, str] = {
    "a file": 'json.load(open("w.json"))["a"]',
    "the environment": 'float(os.environ["A"])',
    "eval": 'eval("2")',
    "another package by name": '(importlib.import_module("math"), 1)[1]',
    "a module as a value": '(importlib.import_module("features.lib"), 1)[1]',
    "the clock": '__import__("time").time()',
}


@pytest.mark.parametrize("name", PROJECT)
def test_a_module_of_the_project_that_cannot_be_followed_fails_a_check(risk: Folder, name: str) -> None:
    risk.write({"features/m.py": module(PROJECT[name]), "features/lib.py": "K = 2\n"})
    risk.run("lock")
    document = risk.json("check", code=1)
    assert {item["kind"] for item in document["findings"]} == {"limit"}
    assert document["findings"][0]["where"] == "features/m.py:9"
    ran = risk.run("check", code=1)
    assert len(said(ran.out)) == len(document["limits"])
    assert "nothing is wrong" not in ran.out


@pytest.mark.parametrize("name", ELSEWHERE)
def test_any_other_limit_is_listed_and_fails_a_strict_check_only(risk: Folder, name: str) -> None:
    risk.write({"features/m.py": module(ELSEWHERE[name]), "features/lib.py": "K = 2\n"})
    risk.run("lock")
    document = risk.json("check")
    assert document["findings"] == []
    assert document["limits"]
    assert len(said(risk.run("check").out)) == len(document["limits"])
    strict = risk.json("check", "--strict", code=1)
    assert {item["kind"] for item in strict["findings"]} == {"limit"}
    ran = risk.run("check", "--strict", code=1)
    assert len(said(ran.out)) == len(strict["findings"])
    assert said(ran.err) == []


def test_a_strict_check_of_plain_code_finds_nothing(ingested: Folder) -> None:
    assert ingested.json("check", "--strict")["findings"] == []


def test_a_strict_check_of_what_is_staged(risk: Folder) -> None:
    import subprocess

    subprocess.run(["git", "init", "-q"], cwd=risk.root, check=True)
    risk.run("ingest")
    subprocess.run(["git", "add", "."], cwd=risk.root, check=True)
    kinds = [item["kind"] for item in risk.json("check", "--staged", "--strict", code=1)["findings"]]
    assert kinds == ["limit", "observed"]
    assert risk.json("check", "--staged")["findings"] == []


def test_declaring_the_file_makes_a_strict_check_pass(risk: Folder) -> None:
    risk.write({"features/m.py": FILE.replace('data_type="float"', 'data_type="float", depends_on=["w.json"]')})
    assert said(risk.run("plan").err) == []
    ran = risk.run("ingest")
    assert said(ran.err) == []
    assert "its code" not in ran.err
    assert risk.json("check", "--strict")["findings"] == []
