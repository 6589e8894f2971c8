"""What Python gets are the documents of ``--json``, as frozen values."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import pytest

import featurestore
from featurestore import FeatureStore
from featurestore.client import results
from featurestore.client.result import Result
from tests.conftest import Folder

GOLDEN = Path(__file__).parents[1] / "golden" / "json"
DOCUMENTS: dict[str, type[Result]] = {
    "list": results.Features, "show": results.FeatureDetail, "plan": results.Plan, "diff": results.Diff,
    "ingest": results.IngestRun, "runs": results.Runs, "history": results.History, "stats": results.Stats,
    "drift_page": results.DriftOverview, "drift": results.DriftTimeline, "dataset_list": results.DataSets,
    "status": results.Status, "sync": results.Sync, "join_to_a_file": results.JoinSummary,
    "backup": results.Backup, "restore": results.Restored,
}  # fmt: skip


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_field_that_is_named_is_in_the_document(name: str) -> None:
    document = json.loads((GOLDEN / f"{name}.json").read_text())["document"]
    result = DOCUMENTS[name](document)
    check(result)
    assert result.to_dict() == document


def check(result: Result) -> None:
    """Reads all named fields, of the results inside too."""
    for name in get_type_hints(type(result)):
        if not name.startswith("_"):
            value = getattr(result, name)
            for inner in value if isinstance(value, tuple) else (value,):
                if isinstance(inner, Result):
                    check(inner)


def test_methods_give_what_the_commands_print(two_versions: Folder) -> None:
    store = FeatureStore(two_versions.root)
    pairs = {
        "list": store.features(), "show age_share": store.feature("age_share"), "plan": store.plan(),
        "diff age_share 1 2": store.diff("age_share", 1, 2), "runs": store.runs(),
        "stats age_share": store.stats("age_share"), "drift": store.drift(),
        "drift age_share": store.drift("age_share"),
        "history age_share 001": store.history("age_share", "001"), "dataset": store.datasets(),
    }  # fmt: skip
    for line, result in pairs.items():
        said = two_versions.json(*line.split())
        assert without_clock(result.to_dict()) == without_clock(said), line
    assert [item.version for item in store.versions("age_share")] == [1, 2]


def without_clock(document: object) -> str:
    return json.dumps(document, default=lambda value: value).replace("\n", "")


def test_a_run_is_made_from_a_frame(two_versions: Folder) -> None:
    import polars as pl

    store = FeatureStore(two_versions.root)
    rows = pl.read_csv(two_versions.root / "visits.csv", infer_schema=False).with_columns(patient_id=pl.lit("new"))
    run = store.ingest("age_share", input=rows.unique("visit_at").head(1))
    assert (run.status, run.features[0].rows_written) == ("ok", 1), run
    assert [value.value for value in store.history("age_share", "new").values]
    assert store.ingest().features[0].name == "age_share"
    assert store.status().problems == two_versions.json("status")["problems"]


def test_results_are_values() -> None:
    one = results.Features({"features": [{"name": "a", "tags": ["x"]}], "problems": []})
    assert one == results.Features(one.to_dict())
    assert hash(one) == hash(pickle.loads(pickle.dumps(one)))
    assert copy.deepcopy(one) == one
    assert one.features[0].tags == ("x",)
    assert "name='a'" in repr(one)
    assert "features" in dir(one)
    with pytest.raises(AttributeError, match="cannot assign"):
        one.features = ()
    with pytest.raises(AttributeError, match="cannot delete"):
        del one.features
    with pytest.raises(AttributeError, match="no field 'feature'"):
        _ = one.feature
    one.to_dict()["features"].append("changed")  # type: ignore[union-attr]
    assert len(one.features) == 1


def test_notebooks_show_tables_in_which_nothing_is_markup() -> None:
    shown = results.Features({"features": [{"name": "<script>", "tags": []}], "problems": []})._repr_html_()
    assert "<td>&lt;script&gt;</td>" in shown
    assert "<script>" not in shown
    many = results.Runs({"runs": [{"run_id": str(number)} for number in range(150)]})._repr_html_()
    assert "and 50 more" in many


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = """
import sys
import featurestore
from featurestore import FeatureStore, FeatureStoreClient, feature
heavy = ("polars", "duckdb", "numpy", "pyarrow", "rich", "typer", "pandas", "redis")
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_what_is_public_is_what_a_prompt_completes() -> None:
    assert dir(featurestore) == ["FeatureStore", "FeatureStoreClient", "__version__", "feature"]
