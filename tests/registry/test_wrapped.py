"""A use of ``@feature`` that can't be read without running it is an error that is named, never nothing."""

from __future__ import annotations

import pytest

from featurestore.config import load_project
from featurestore.registry.discovery import discover
from featurestore.versioning.analysis.tree import SourceTree
from tests.conftest import TOML, Folder

BODY = "def score():\n    return 1\n"
CALL = "(entity_type='patient', data_type='int')"
COMMON = {
    "features/common.py": "from featurestore import feature\n\n\ndef team_feature(**more):\n"
    "    return feature(entity_type='patient', owner='risk', **more)\n"
}


def broken(folder: Folder, files: dict[str, str]) -> list[tuple[str, str]]:
    """The broken declarations: names and places."""
    folder.write({"featurestore.toml": TOML, **files})
    registry = discover(load_project(folder.root), SourceTree(folder.root))
    assert not any(item.name == "score" for item in registry.features)
    return sorted((item.name, item.problem.where or "") for item in registry.broken)


LOOSE = {
    "called": f"twice = FEATURE{CALL}(lambda: 1)\n",
    "called on a function": f"{BODY}score = FEATURE{CALL}(score)\n",
    "in a wrapper": "def mine(**more):\n    return FEATURE(entity_type='patient', **more)\n"
    f"@mine(data_type='int')\n{BODY}",
    "by another name": f"other = FEATURE\n@other{CALL}\n{BODY}",
    "partial": "import functools\nmine = functools.partial(FEATURE, entity_type='patient')\n"
    f"@mine(data_type='int')\n{BODY}",
    "in a class": f"class C:\n    made = FEATURE{CALL}\n",
    "in a list": f"made = [FEATURE{CALL}(f) for f in ()]\n",
}


@pytest.mark.parametrize("name", LOOSE)
@pytest.mark.parametrize(
    ("imports", "word"),
    [
        ("from featurestore import feature", "feature"),
        ("from featurestore import feature as fe", "fe"),
        ("import featurestore as fs", "fs.feature"),
        ("import featurestore.authoring", "featurestore.authoring.feature"),
        ("from featurestore import authoring", "authoring.feature"),
        ("try:\n    from featurestore import feature\nexcept ImportError:\n    raise", "feature"),
    ],
)
def test_a_use_that_is_no_decorator_is_named(folder: Folder, name: str, imports: str, word: str) -> None:
    found = broken(folder, {"features/m.py": imports + "\n" + LOOSE[name].replace("FEATURE", word)})
    assert found
    assert all(place.startswith("features/m.py:") for _, place in found)


def test_a_decorator_that_another_module_hands_on_is_named(folder: Folder) -> None:
    found = broken(folder, {**COMMON, "features/a.py": f"from features.common import feature\n@feature{CALL}\n{BODY}"})
    assert ("score", "features/a.py:3") in found


@pytest.mark.parametrize(
    ("imports", "word"),
    [
        ("from features.common import team_feature", "team_feature"),
        ("from .common import team_feature as t", "t"),
        ("from features import common", "common.team_feature"),
        ("import features.common", "features.common.team_feature"),
        ("import features.common as c", "c.team_feature"),
        ("from .common import *", "team_feature"),
        ("from features.again import mine", "mine"),
    ],
)
def test_a_wrapper_is_named_with_everything_that_it_decorates(folder: Folder, imports: str, word: str) -> None:
    again = {"features/again.py": "from features.common import team_feature as mine\n"}
    found = broken(folder, {**COMMON, **again, "features/a.py": f"{imports}\n@{word}(data_type='int')\n{BODY}"})
    assert ("score", "features/a.py:3") in found
    assert ("team_feature", "features/common.py:5") in found


def test_what_only_looks_like_it_is_left_alone(folder: Folder) -> None:
    files = {
        "features/m.py": "from featurestore import feature\n\n\ndef helper(feature):\n    return feature(1)\n\n\n"
        "def other(items):\n    return [feature(1) for feature in items]\n\n\n"
        "x = lambda feature: feature(2)  # feature(3)\n'''feature(4)'''\n\n\n"
        f"@feature{CALL}\ndef good():\n    return 1\n",
        "features/lib.py": "def feature(x):\n    return x\n\n\n@feature\ndef mine():\n    return feature(1)\n",
        "features/uses.py": "from features.lib import feature\n\nx = feature(2)\n",
    }
    assert broken(folder, files) == []


def test_star_imports_of_featurestore_bring_the_decorator(folder: Folder) -> None:
    folder.write(
        {
            "featurestore.toml": TOML,
            "features/m.py": f"from featurestore import *\n@feature{CALL}\ndef good():\n    return 1\n",
        }
    )
    assert [item["name"] for item in folder.json("list")["features"]] == ["good"]


def test_check_and_ingest_say_so(folder: Folder) -> None:
    folder.write({"featurestore.toml": TOML, **COMMON})
    folder.write({"features/a.py": f"from features.common import team_feature\n@team_feature(data_type='int')\n{BODY}"})
    found = folder.json("check", code=1)["findings"]
    assert {item["where"] for item in found} == {"features/common.py:5", "features/a.py:3"}
    assert "is decorated by features.common.team_feature" in folder.run("list").err
    assert "can't be read without running it" in folder.run("lock", code=2).err


def test_plan_and_lock_fail_on_a_declaration_that_cannot_be_used(project: Folder) -> None:
    project.write(
        {
            "features/other.py": "from featurestore import feature\n"
            f"@feature(entity_type='patient', data_type='flaot')\n{BODY}"
        }
    )
    ran = project.run("plan", "--exit-code", code=2)
    assert "features/other.py:3: 'flaot' is not a data_type (did you mean 'float'?)" in ran.err
    ran = project.run("lock", code=2)
    assert "features/other.py:3: 'flaot' is not a data_type" in ran.err
    assert not (project.root / "features/.versions").exists(), "nothing was changed"
    project.run("lock", "age_share")
    project.run("plan")
    checked = project.json("check", "--fix", code=1)
    assert [item["kind"] for item in checked["findings"]] == ["declaration"]


@pytest.mark.parametrize("damage", ["def broken(:\n", "syntax"])
def test_a_file_that_cannot_be_parsed_removes_no_feature(project: Folder, damage: str) -> None:
    project.run("ingest")
    text = (project.root / "features/cardiac.py").read_text()
    project.write({"features/cardiac.py": text + "def broken(:\n" if damage != "syntax" else "featurestore = (\n"})
    (planned,) = project.json("plan")["features"]
    assert planned["change"] == "none"
    assert "features/cardiac.py can't be used" in str(project.run("plan", "--json").out)
    project.run("plan", "--exit-code", code=2)


def test_a_declaration_that_cannot_be_used_is_not_removed(project: Folder) -> None:
    project.edit("features/cardiac.py", "@feature(", '@feature(name="renamed", ')
    project.run("ingest")
    project.edit("features/cardiac.py", '"float"', '"flaot"')
    assert [item["change"] for item in project.json("plan")["features"]] == ["none"]
    (project.root / "features/cardiac.py").unlink()
    assert [item["change"] for item in project.json("plan")["features"]] == ["removed"]


def test_drift_settings_of_an_unknown_feature_are_refused(project: Folder) -> None:
    toml = (project.root / "featurestore.toml").read_text()
    project.write({"featurestore.toml": toml + "[drift.features.age_shrae]\nthreshold = 0.5\n"})
    for command in ("list", "plan", "lock", "check", "ingest"):
        ran = project.run(command, code=2)
        assert "drift.features.age_shrae is not a feature" in ran.err
        assert "did you mean 'age_share'?" in ran.err
    project.write({"featurestore.toml": toml + "[drift.features.age_share]\nthreshold = 0.5\n"})
    project.run("ingest")
    (project.root / "features/cardiac.py").unlink()
    project.run("plan")
    project.write({"featurestore.toml": toml + "[drift.tags.riks]\nthreshold = 0.5\n", "features/cardiac.py": ""})
    project.run("list")


def test_a_use_right_before_an_import_is_named(folder: Folder) -> None:
    text = "from featurestore import feature\nimport functools\nother = feature\nimport os\n"
    assert [name for name, _ in broken(folder, {"features/m.py": text})] == ["other"]


def test_a_use_in_other_letters_of_the_same_name_is_named(folder: Folder) -> None:
    text = "from featurestore import \uff46eature\nother = feature\n"
    assert [name for name, _ in broken(folder, {"features/m.py": text})] == ["other"]


@pytest.mark.parametrize("decorator", ["feature", "featurestore.feature", "fs.feature"])
def test_a_forgotten_import_is_named(folder: Folder, decorator: str) -> None:
    code = f"import polars as pl\n\n\n@{decorator}{CALL}\n{BODY}"
    assert broken(folder, {"features/f.py": code}) == [("score", "features/f.py:5")]


@pytest.mark.parametrize("binding", ["from other import feature", "import other as fs", "from other import *"])
def test_a_decorator_of_something_else_is_none_of_ours(folder: Folder, binding: str) -> None:
    name = "fs.feature" if " as fs" in binding else "feature"
    assert broken(folder, {"features/f.py": f"{binding}\n\n\n@{name}{CALL}\n{BODY}"}) == []
