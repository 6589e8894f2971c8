"""What decides values and is not in the code is reported, by its kind; plain code is not."""

from __future__ import annotations

import polars as pl
import pytest

from featurestore.versioning.analysis import limits
from tests.versioning.conftest import FIXTURES, Projects
from tests.versioning.test_limits import LIB


def _cases() -> list[tuple[str, str]]:
    import tomllib

    table = tomllib.loads((FIXTURES / "outside.toml").read_text(encoding="utf-8"))
    return [(kind, line) for kind, lines in table.items() for line in lines.strip().splitlines()]


CASES = _cases()


def _module(line: str) -> str:
    imports, semicolon, expression = line.partition("; ")
    if not semicolon or not imports.startswith(("import ", "from ")):
        imports, expression = "", line
    return f"import polars as pl\n{imports}\ndef f():\n    return {expression}\n"


@pytest.mark.parametrize(("kind", "line"), [case for case in CASES if case[0] != "nothing"])
def test_what_decides_values_from_outside_has_a_limit_of_its_kind(projects: Projects, kind: str, line: str) -> None:
    found = projects.closure({"features/m.py": _module(line), **LIB}).limits
    assert kind in {limit.kind for limit in found}, found
    assert {limit.place for limit in found} == {"features/m.py:4"}


@pytest.mark.parametrize("line", [line for kind, line in CASES if kind == "nothing"])
def test_plain_code_has_no_limit(projects: Projects, line: str) -> None:
    assert projects.closure({"features/m.py": _module(line), **LIB}).limits == ()


def test_no_method_of_polars_has_a_limit_by_its_name() -> None:
    objects = [pl.Expr, pl.Series, pl.DataFrame, pl.LazyFrame, pl.dataframe.group_by.GroupBy]
    objects += [type(getattr(pl.col("a"), name)) for name in ("str", "dt", "list", "arr", "struct", "cat", "bin")]
    names = {name for item in objects for name in dir(item)}
    assert names & limits.METHOD.keys() == set()
    assert names & limits.CALLED.keys() <= {"deserialize"}


def test_a_table_entry_is_met_by_its_own_name() -> None:
    for entries in limits._TABLE.values():  # every entry, whatever the fixtures say
        for name, kind, message in entries:
            assert limits.of_dotted(name.replace("*", "x").rstrip(".") + ("." if name.endswith(".") else "")), name
            assert kind
            assert message
