"""The table of ``@feature``'s arguments agrees with the decorator's signature and with `Feature`; one entry is all."""

from __future__ import annotations

import inspect
import re
from dataclasses import MISSING, fields
from typing import Any

import pytest

from featurestore import arguments
from featurestore.arguments import ARGUMENTS, Argument, Declaration, Hashed, parse_arguments
from featurestore.authoring import feature as decorator
from featurestore.config import load_project
from featurestore.frozen import frozen
from featurestore.model import Feature, Json
from featurestore.registry import declaration
from featurestore.versioning.folder import header
from tests.conftest import TOML, Folder
from tests.versioning.conftest import feature

SIGNATURE = inspect.signature(decorator).parameters
NOT_ARGUMENTS = {"function", "module", "path", "line", "short"}  # found in the code


def parsed(folder: Folder, values: dict[str, Json]) -> dict[str, object]:
    folder.write({"featurestore.toml": TOML})
    return parse_arguments(Declaration(values, load_project(folder.root), "features/m.py:1"))


def test_the_signature_the_table_and_the_feature_have_the_same_arguments() -> None:
    names = {item.name for item in fields(Feature)} - NOT_ARGUMENTS
    assert set(SIGNATURE) == set(ARGUMENTS) == names


def test_they_have_the_same_defaults(folder: Folder) -> None:
    required: dict[str, Json] = {"entity_type": "patient", "data_type": "float"}
    values = parsed(folder, required)
    written = {name: item.default for name, item in SIGNATURE.items() if item.default is not inspect.Parameter.empty}
    assert parsed(folder, {**required, **written}) == values
    for name, argument in ARGUMENTS.items():
        assert argument.required == (SIGNATURE[name].default is inspect.Parameter.empty)
        if not argument.required and name != "source":  # the project's only source
            assert values[name] == argument.default
    for item in fields(Feature):
        default = item.default if item.default_factory is MISSING else item.default_factory()
        if item.name not in NOT_ARGUMENTS and default is not MISSING:
            assert default == ARGUMENTS[item.name].default


def test_no_argument_is_both_hashed_and_metadata() -> None:
    assert not [name for name, argument in ARGUMENTS.items() if argument.hashed is not None and argument.metadata]


def test_metadata_of_a_feature_that_declares_none_is_the_default() -> None:
    assert arguments.metadata_of(feature()) == arguments.default_metadata()


def test_every_hashed_argument_comes_back_from_the_header(folder: Folder) -> None:
    values = parsed(
        folder, {"entity_type": "patient", "data_type": "list[float, 3]", "lookback": "7d", "tolerance": 0.5}
    )
    declared = feature(**{**values, "name": "f", "params": {"days": 7}})
    table: dict[str, Any] = dict(header.describe(declared))
    restored = header.restore("f", "x.py", table)
    assert arguments.hashed_facts(restored) == arguments.hashed_facts(declared)


@frozen
class FeatureWithUnit(Feature):
    unit: str | None = None


def parse_unit(given: Declaration, name: str) -> str | None:
    if given.text(name).isdecimal():
        raise given.error(f"{name}= must be a unit, not a number")
    return given.text(name) or None


UNIT = Argument(
    "unit",
    parse_unit,
    hashed=Hashed(lambda unit: {} if unit is None else {"unit": unit}, from_header=str),
    label="unit",
    text=lambda unit: unit or "",
)


def test_a_new_argument_is_one_entry(project: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    before = project.json("show", "age_share")
    monkeypatch.setitem(ARGUMENTS, "unit", UNIT)
    for module in (declaration, header):
        monkeypatch.setattr(module, "Feature", FeatureWithUnit)
    assert project.json("show", "age_share") == {**before, "unit": None}, "an absent argument changes no hash"
    project.json("lock")
    project.edit("features/cardiac.py", 'data_type="float"', 'data_type="float", unit="years"')
    (planned,) = project.json("plan")["features"]
    assert planned["reasons"] == ["unit added: years"]
    project.json("lock")
    shown = project.json("show", "age_share")
    assert (shown["unit"], len(shown["versions"])) == ("years", 2)
    assert re.search(r"^unit +years", project.run("show", "age_share").out, re.MULTILINE)
    assert not project.json("check")["findings"], "the header has the unit, or the file's hash would differ"
    project.edit("features/cardiac.py", "years", "7")
    (problem,) = project.json("list")["problems"]
    assert problem["message"] == "unit= must be a unit, not a number"
