"""The examples of docs/python.md, of the docstrings and of the notebook run as they stand, on the example project."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from featurestore import FeatureStore, FeatureStoreClient
from featurestore.client import feature_store_client, store
from featurestore.workflows.init import init

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.filterwarnings("ignore::featurestore.client.FeatureStoreWarning")


@pytest.fixture(scope="module")
def heart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The example project, in the current folder."""
    root = tmp_path_factory.mktemp("heart")
    init(root, demo=True)
    with chdir(root):
        yield root


def test_the_examples_of_the_page_run_one_after_the_other(heart: Path) -> None:
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, "docs/python.md", "exec"), names)
    assert names["run"].status == "ok"
    assert names["summary"].labels == len(names["train"]) == len(names["training_df"])
    assert 0 < names["risk"] < 1


def test_a_model_gets_the_same_numbers_in_training_and_in_serving(heart: Path) -> None:
    from sklearn.linear_model import LogisticRegression

    project = FeatureStore(heart)
    project.ingest()
    features = ["age_normalized", "cholesterol_risk_score", "narrowed_vessels"]
    labels = pl.read_csv("fixtures/heart/labels.csv", schema_overrides={"patient_id": pl.String})
    known = project.historical_features(labels, features, timestamp_column="diagnosed_at").drop_nulls(features)
    model = LogisticRegression().fit(known[features].to_numpy(), known["diagnosis"].to_numpy())
    project.sync()
    people = known["patient_id"].to_list()
    served = project.online().values("patient", people, features)
    now = pl.DataFrame({"patient_id": people}).with_columns(at=pl.lit(datetime.now(UTC)))
    trained = project.historical_features(now, features, timestamp_column="at")
    rows = [[row[name] for name in features] for row in served]
    assert rows == [list(row) for row in trained.select(features).iter_rows()]
    whole = trained.drop_nulls(features)
    assert len(whole) > 200
    one_by_one = [model.predict_proba([row])[0, 1] for row in rows if None not in row]
    assert one_by_one == pytest.approx(model.predict_proba(whole[features].to_numpy())[:, 1].tolist(), rel=1e-15)


@pytest.mark.parametrize("module", [store, feature_store_client], ids=lambda module: module.__name__)
def test_the_examples_of_docstrings_run(heart: Path, module: Any) -> None:
    assert module.__file__ is not None
    FeatureStore(heart).ingest()
    FeatureStore(heart).sync()
    names = {
        "store": FeatureStore(heart), "client": FeatureStoreClient(heart),
        "labels": pl.read_csv("fixtures/heart/labels.csv", schema_overrides={"patient_id": pl.String}),
    }  # fmt: skip
    (heart / "labels.csv").write_bytes((heart / "fixtures/heart/labels.csv").read_bytes())
    examples = re.findall(r">>> (.*)", Path(module.__file__).read_text(encoding="utf-8"))
    assert examples
    for example in examples:
        assert eval(example, dict(names)) is not None, example


def test_the_notebook_runs(heart: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    notebook: Any = nbformat.read(  # type: ignore[no-untyped-call]
        ROOT / "docs" / "training.ipynb", as_version=4
    )
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(heart)}})
    client.execute()
    shown = json.dumps([cell.get("outputs", []) for cell in notebook.cells])
    assert "<table>" in shown
    assert "<small>" in shown, "a long call says in the notebook what it is doing"
    assert "age_normalized" in shown


def test_a_program_that_uses_it_passes_a_type_checker(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("""\
from __future__ import annotations

import polars as pl

from featurestore import FeatureStore, FeatureStoreClient

store = FeatureStore()
frame: pl.DataFrame = store.historical_features("labels.csv", ["a"], timestamp_column="at", lag="1d")
labels: int = store.historical_features(frame, ["a"], timestamp_column="at", output="train.csv").labels
status: str = store.ingest("a", input=frame).features[0].status
names: list[str] = [item.name for item in store.features().features]
score: float | None = store.drift("a").runs[0].score
since: str | None = store.drift().features[0].since
served: object = FeatureStoreClient(".").get_online_features("p", ["1"], ["a"]).to_dict()["a"][0]
""")
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "from featurestore import FeatureStore\nFeatureStore().historical_features('l', ['a'], lags='1d')\n"
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache")]
    done = subprocess.run([*command, str(program), str(wrong)], capture_output=True, text=True, cwd=ROOT)
    assert "program.py" not in done.stdout, done.stdout
    assert "wrong.py:2" in done.stdout
