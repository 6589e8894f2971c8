"""The hash of a version: which declared facts are in it, and how the difference of two versions is explained."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from featurestore.arguments import metadata_of
from featurestore.dialect import Dialect
from featurestore.errors import NewerFormatError
from featurestore.model import Column, DataType, EntityType, Key, KeyType, Source
from featurestore.sources.files import FileSettings
from featurestore.versioning.explain import explain
from featurestore.versioning.recipe.hashing import RECIPES, version_hash
from tests.versioning.conftest import Projects, feature, read_cases

CODE = "import polars as pl\ndef f(days=7):\n    return pl.col('age') + pl.col('chol_ldl')\n"
SOURCE = Source(
    "visits", "parquet", event_time="visit_at", timezone="UTC", updated_at="changed_at",
    columns={name: Column(name, "int") for name in ("age", "chol_ldl", "thal")},
)  # fmt: skip
BASE: dict[str, Any] = {"source": SOURCE, "params": {"days": 7}, "lookback": 60, "tolerance": 0.5}


def entity(name: str, key: str, kind: KeyType) -> EntityType:
    return EntityType(name, (Key(key, kind),))


def with_column(column: Column) -> Source:
    return replace(SOURCE, columns={**SOURCE.columns, column.name: column})


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "entity type's name": ({"entity_type": entity("person", "patient_id", "string")}, "entity type patient → person"),
    "key's name": ({"entity_type": entity("patient", "id", "string")}, "keys patient_id string → id string"),
    "key's type": ({"entity_type": entity("patient", "patient_id", "int")}, "keys patient_id string → patient_id int"),
    "data type": ({"data_type": DataType("int")}, "data type float → int"),
    "length": ({"data_type": DataType("list[float]", 3)}, "data type float → list[float, 3]"),
    "form": ({"short": False}, "form short → long"),
    "scope": ({"scope": "entity"}, "scope added: entity"),
    "lookback": ({"lookback": 86_400_000_000}, "lookback 60us → 1d"),
    "no lookback": ({"lookback": None}, "lookback removed (was 60us)"),
    "a lookback of nothing": ({"lookback": 0}, "lookback 60us → 0"),
    "tolerance": ({"tolerance": 0.25}, "tolerance 0.5 → 0.25"),
    "param": ({"params": {"days": 30}}, "param `days` 7 → 30"),
    "param's type": ({"params": {"days": "7"}}, "param `days` 7 → '7'"),
    "another param": ({"params": {"days": 7, "k": True}}, "param `k` added: True"),
    "source's name": ({"source": replace(SOURCE, name="stays")}, "source visits → stays"),
    "event time": ({"source": replace(SOURCE, event_time="seen_at")}, "source event_time visit_at → seen_at"),
    "no event time": ({"source": replace(SOURCE, event_time=None)}, "source event_time removed (was visit_at)"),
    "timezone": ({"source": replace(SOURCE, timezone="Europe/Paris")}, "source timezone UTC → Europe/Paris"),
    "updated_at": ({"source": replace(SOURCE, updated_at="at")}, "source updated_at changed_at → at"),
    "a named column's type": (
        {"source": with_column(Column("age", "float"))}, "column `age` int → float",
    ),
    "another named column's type": (
        {"source": with_column(Column("chol_ldl", "float"))},
        "column `chol_ldl` int → float",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_declared_fact_that_decides_values_is_hashed_and_named(projects: Projects, name: str) -> None:
    facts, sentence = CHANGES[name]
    before, after = (projects.hash(CODE, **{**BASE, **changed}) for changed in ({}, facts))
    assert before.sha256 != after.sha256
    assert explain(before.parts, after.parts) == [sentence]


KEPT: dict[str, dict[str, Any]] = {
    "feature's name": {"name": "other"},
    "file": {"line": 99},
    "metadata": {
        "description": "d",
        "owner": "o",
        "tags": ("t",),
        "status": "deprecated",
        "max_age": 5,
        "renamed_from": "g",
    },
    "source's path, type and delimiter": {
        "source": replace(SOURCE, type="csv", settings=FileSettings("x", "x"), dialect=Dialect(delimiter=";"))
    },
    "rules of rows": {
        "source": replace(SOURCE, columns={**SOURCE.columns, "age": Column("age", "int", null=False, min=0, max=9)})
    },
    "another column's type": {"source": with_column(Column("thal", "string"))},
    "a column more": {"source": with_column(Column("new", "string"))},
    "order of params": {"params": {"days": 7}},
}


@pytest.mark.parametrize("name", KEPT)
def test_what_decides_no_value_is_not_hashed(projects: Projects, name: str) -> None:
    before, after = (projects.hash(CODE, **{**BASE, **changed}) for changed in ({}, KEPT[name]))
    assert before.sha256 == after.sha256


@pytest.mark.parametrize(
    "body", ["pl.lit(1)", "pl.all()", "pl.col('age') + pl.exclude('x')", "cs.numeric() + pl.col('age')", "numeric()"]
)
def test_code_that_names_no_columns_depends_on_all_of_them(projects: Projects, body: str) -> None:
    code = (
        f"import polars as pl, polars.selectors as cs\nfrom polars.selectors import numeric\n"
        f"def f():\n    return {body}\n"
    )
    other = with_column(Column("thal", "string"))
    assert projects.hash(code, **BASE).sha256 != projects.hash(code, **{**BASE, "source": other}).sha256


def test_a_column_named_by_a_param_counts(projects: Projects) -> None:
    code = "import polars as pl\ndef f(column):\n    return pl.col(column) + pl.col('age')\n"
    other = with_column(Column("thal", "string"))
    hashes = {
        projects.hash(code, **{**BASE, "source": source, "params": {"column": "thal"}}).sha256
        for source in (SOURCE, other)
    }
    assert len(hashes) == 2


def test_an_unknown_recipe_is_refused_as_newer(projects: Projects) -> None:
    with pytest.raises(NewerFormatError):
        version_hash(feature(), projects.closure(CODE), recipe=max(RECIPES) + 1)


def test_metadata_is_what_describes_a_feature() -> None:
    owned = feature(owner="me")
    assert metadata_of(owned) == {"description": "", "owner": "me", "tags": [], "status": "active", "max_age": None}


EXPLAINED = read_cases("explained")


@pytest.mark.parametrize("name", EXPLAINED)
def test_a_change_of_code_is_explained(projects: Projects, name: str) -> None:
    case = EXPLAINED[name]
    before, after = projects.hash(case["before"]), projects.hash(case["after"])
    assert before.sha256 != after.sha256
    assert explain(before.parts, after.parts) == case["says"]


def test_a_long_constant_is_named_without_its_value(projects: Projects) -> None:
    before, after = (projects.hash(f"K = '{letter * 99}'\ndef f():\n    return K\n") for letter in "ab")
    assert explain(before.parts, after.parts) == ["constant `K` changed"]


def test_a_deep_helper_is_the_one_that_is_named(projects: Projects) -> None:
    files = {
        "features/m.py": "from .a import a\ndef f():\n    return a()\n",
        "features/a.py": "from .risk import scale\ndef a():\n    return scale()\n",
    }
    before = projects.hash({**files, "features/risk.py": "def scale():\n    return 1\n"})
    after = projects.hash({**files, "features/risk.py": "def scale():\n    return 2\n"})
    assert explain(before.parts, after.parts) == ["helper `risk.scale` changed"]


def test_a_helper_that_moved_and_changed_is_reported_as_changed(projects: Projects) -> None:
    before = projects.hash(
        {
            "features/m.py": "from .a import g\ndef f():\n    return g()\n",
            "features/a.py": "def g(k=1):\n    return 1\n",
        }
    )
    after = projects.hash(
        {
            "features/m.py": "from .b import g\ndef f():\n    return g()\n",
            "features/b.py": "def g(k=1):\n    return 2\n",
        }
    )
    assert explain(before.parts, after.parts) == ["helper `b.g` changed"]


def test_exchanged_helpers_of_one_name_are_explained_in_general(projects: Projects) -> None:
    lib = {"features/a.py": "def h(x):\n    return x\n", "features/b.py": "def h(x):\n    return -x\n"}
    before = projects.hash(
        {"features/m.py": "from features import a, b\ndef f(x):\n    return a.h(x) - b.h(x)\n", **lib}
    )
    after = projects.hash(
        {"features/m.py": "from features import a, b\ndef f(x):\n    return b.h(x) - a.h(x)\n", **lib}
    )
    assert before.sha256 != after.sha256
    assert explain(before.parts, after.parts) == [
        "the order of statements changed, or which of two definitions with the same name is used"
    ]
