"""What a reader gets: value, time and version, or why there is no value."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from featurestore.config import Project
from featurestore.errors import StoreError, UsageError
from featurestore.online.contract import OnlineStore
from featurestore.serving.online_tables import OnlineTables
from featurestore.workflows.get import get
from featurestore.workflows.sync import sync
from tests.online.cases import History, at, make_version

HOUR = 3_600_000_000
AGE = make_version("age", max_age=24 * HOUR)
RISK = make_version("risk", kind="string")
MONDAY = 1_704_067_200_000_000


@pytest.fixture
def filled(history: History, store: OnlineStore) -> OnlineStore:
    monday = at("2024-01-01")
    history.learn({AGE: [("a", monday, 0.5), ("b", monday, None)], RISK: [("a", monday, "high")]})
    sync(history.project, history.store, store, [AGE, RISK])
    return store


def statuses(project: Project, store: OnlineStore, name: str, now: int) -> dict[str, str]:
    result = get(project, store, "patient", [{"patient_id": name}], now=now)
    return {item.name: item.status for item in result.entities[0].features}


def test_all_features_of_the_type_with_value_time_and_version(project: Project, filled: OnlineStore) -> None:
    result = get(project, filled, "patient", [{"patient_id": "a"}], now=MONDAY + HOUR)
    age, risk = result.entities[0].features
    assert (age.name, age.value, age.computed_at, age.version, age.sha256) == ("age", 0.5, MONDAY, 1, AGE.id.sha256)
    assert (risk.name, risk.value, risk.status) == ("risk", "high", "ok")


def test_null_missing_and_expired_are_different(project: Project, filled: OnlineStore) -> None:
    assert statuses(project, filled, "a", MONDAY + HOUR) == {"age": "ok", "risk": "ok"}
    assert statuses(project, filled, "b", MONDAY + HOUR) == {"age": "null", "risk": "missing"}
    assert statuses(project, filled, "a", MONDAY + 25 * HOUR) == {"age": "expired", "risk": "ok"}
    assert statuses(project, filled, "a", MONDAY + 24 * HOUR) == {"age": "ok", "risk": "ok"}
    assert statuses(project, filled, "nobody", MONDAY) == {"age": "missing", "risk": "missing"}


def test_an_expired_value_is_withheld_but_its_time_is_shown(project: Project, filled: OnlineStore) -> None:
    result = get(project, filled, "patient", [{"patient_id": "a"}], ["age"], now=MONDAY + 25 * HOUR)
    (age,) = result.entities[0].features
    assert (age.value, age.computed_at) == (None, MONDAY)


def test_entities_and_features_come_in_the_order_asked(project: Project, filled: OnlineStore) -> None:
    asked = [{"patient_id": name} for name in ("b", "a", "b")]
    result = get(project, filled, "patient", asked, ["risk", "age@1", "age"], now=MONDAY)
    assert [entity.keys["patient_id"] for entity in result.entities] == ["b", "a", "b"]
    assert [item.name for item in result.entities[0].features] == ["risk", "age@1", "age"]


@pytest.mark.parametrize(
    ("entity_type", "features", "message", "hint"),
    [
        ("patinet", None, "no entity type 'patinet'", "did you mean 'patient'?"),
        ("patient", ["aeg"], "no feature 'aeg' of patient is online", "did you mean 'age'?"),
        ("patient", ["age@2"], "age@2 is not online", "online: age@1"),
        ("shelf", ["age"], "no feature 'age' of shelf is online", "run featurestore sync"),
    ],
)
def test_a_mistyped_word_is_answered_with_the_right_one(
    project: Project, filled: OnlineStore, entity_type: str, features: list[str] | None, message: str, hint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        get(project, filled, entity_type, [{"patient_id": "a", "store": "s", "product": 1}], features, now=MONDAY)
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")


def test_a_version_is_named_by_number_or_by_hash(project: Project, filled: OnlineStore) -> None:
    result = get(project, filled, "patient", [{"patient_id": "a"}], [f"age@{AGE.id.sha256[:8]}"], now=MONDAY)
    assert result.entities[0].features[0].value == 0.5


def test_a_damaged_value_is_an_error_not_an_answer(project: Project, filled: OnlineStore) -> None:
    import polars as pl

    field = str(OnlineTables(filled).markers().versions[AGE.id].field)
    key = f"fs1:{project.name}:patient:a"
    filled.merge([pl.DataFrame({"key": [key], field: [b"\xff" * 20]})])
    with pytest.raises(StoreError, match="damaged"):
        get(project, filled, "patient", [{"patient_id": "a"}], ["age"], now=MONDAY)


def test_reading_imports_nothing_heavy(project: Project, filled: OnlineStore) -> None:
    code = f"""
import sys
from pathlib import Path
from featurestore.config import DriftSettings, Project
from featurestore.model import EntityType, Key
from featurestore.online.open import open_online
from featurestore.workflows.get import get
types = {{"patient": EntityType("patient", (Key("patient_id", "string"),))}}
root, url = Path({str(project.root)!r}), {project.online_url!r}
project = Project(root, {project.name!r}, types, {{}}, DriftSettings(), None, url)
result = get(project, open_online(project), "patient", [{{"patient_id": "a"}}], now={MONDAY})
assert result.entities[0].features[0].value == 0.5, result
print([name for name in ("polars", "duckdb", "numpy", "pyarrow", "rich", "typer") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
