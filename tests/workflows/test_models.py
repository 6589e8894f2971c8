"""Models: which features they take, who says that a change touches one, and what ``@NAME`` stands for."""

from __future__ import annotations

import pytest

from tests.conftest import AGE, Folder

MODELS = """
[feature_sets.basics]
features = ["age_share"]
[models.churn]
features = "@basics"
[models.pinned]
features = ["old=age_share@1", "@basics"]
[models.fixed]
features = ["age_share@1"]
"""


@pytest.fixture
def trained(project: Folder) -> Folder:
    toml = project.root / "featurestore.toml"
    toml.write_text(toml.read_text() + MODELS)
    project.run("ingest")
    return project


def planned(trained: Folder) -> list[str]:
    (feature,) = trained.json("plan")["features"]
    return list(feature["models"])


def test_plan_names_the_models_that_follow_a_change(trained: Folder) -> None:
    assert planned(trained) == []
    trained.edit("features/cardiac.py", "/ 100", "/ 99")
    assert planned(trained) == ["churn", "pinned"]
    assert "age_share is part of what these models take: churn, pinned" in trained.run("plan").out
    trained.run("plan", "--exit-code", "--models", code=1)
    (trained.root / "features/cardiac.py").unlink()
    assert planned(trained) == ["churn", "pinned", "fixed"]


def test_plan_can_let_a_change_pass_that_touches_no_model(trained: Folder) -> None:
    trained.write({"features/more.py": AGE.replace("age_share", "age_double")})
    trained.run("plan", "--exit-code", code=1)
    trained.run("plan", "--exit-code", "--models")
    assert "--models needs --exit-code" in trained.run("plan", "--models", code=2).err


def test_an_age_limit_touches_every_model_and_a_description_none(trained: Folder) -> None:
    trained.edit("features/cardiac.py", 'data_type="float"', 'data_type="float", description="x"')
    assert planned(trained) == []
    trained.edit("features/cardiac.py", 'description="x"', 'max_age="7d"')
    assert planned(trained) == ["churn", "pinned", "fixed"]


def test_show_and_lineage_name_every_model(trained: Folder) -> None:
    assert trained.json("show", "age_share")["models"] == ["churn", "pinned", "fixed"]
    assert "churn, pinned, fixed" in trained.run("show", "age_share").out
    assert trained.json("lineage", "age_share")["models"] == [
        {"name": "churn", "reference": "age_share"},
        {"name": "pinned", "reference": "old=age_share@1"},
        {"name": "pinned", "reference": "age_share"},
        {"name": "fixed", "reference": "age_share@1"},
    ]
    assert "model fixed  age_share@1" in trained.run("lineage", "age_share").out


def test_promote_names_the_models_that_get_other_values(trained: Folder) -> None:
    trained.edit("features/cardiac.py", "/ 100", "/ 99")
    trained.run("ingest")
    assert trained.json("promote", "age_share", "1", "--dry-run")["models"] == ["churn", "pinned"]
    assert (
        "models that name no version of it get values of this one: churn, pinned"
        in trained.run("promote", "age_share", "1").out
    )
    assert trained.json("promote", "age_share", "1")["models"] == []


def test_retire_names_models_and_data_sets(trained: Folder) -> None:
    trained.write({"labels.csv": "patient_id,at\n001,2024-03-01T00:00:00Z\n"})
    labels = str(trained.root / "labels.csv")
    trained.run("join", labels, "-f", "@fixed", "--timestamp-column", "at", "--dataset", "trial")
    (trained.root / "features/cardiac.py").unlink()
    found = trained.json("retire", "age_share", "--dry-run")
    assert (found["models"], found["datasets"]) == (["churn", "pinned", "fixed"], ["trial"])
    shown = trained.run("retire", "age_share", "--erase", "--yes").out
    assert "models that take it: churn, pinned, fixed" in shown
    assert "data sets made of it can't be made again: trial" in shown


def test_the_features_of_a_model_are_asked_for_by_its_name_everywhere(trained: Folder) -> None:
    trained.run("sync")
    assert [*trained.json("get", "patient", "001", "-f", "@pinned")["entities"][0]["features"]] == [
        "age_share@1", "age_share",
    ]  # fmt: skip
    assert trained.run("latest", "patient", "-f", "@pinned").out.startswith("patient_id,old,age_share\n")
    assert "there is no feature set 'chrun'" in trained.run("latest", "patient", "-f", "@chrun", code=2).err


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('[models.m]\nfeatures = "age_share"', "models.m.features"),
        ('[models.m]\nfeatures = ["@basic"]', "models.m.features names a feature set that does not exist"),
        ('[models.basics]\nfeatures = ["age_share"]', "a feature set is called basics too"),
        ('[models.m]\nfeatures = ["p.x"]\nroles = { p = "doctor" }', "models.m.roles.p is not an entity type"),
        ("[models.m]", "models.m.features must be a list of feature names"),
    ],
)
def test_a_model_that_is_not_one_says_why(project: Folder, table: str, said: str) -> None:
    toml = project.root / "featurestore.toml"
    toml.write_text(f'{toml.read_text()}[feature_sets.basics]\nfeatures = ["age_share"]\n{table}\n')
    assert said in project.run("list", code=2).err


def test_a_card_says_what_a_data_set_is_made_of(trained: Folder) -> None:
    trained.write({"labels.csv": "patient_id,at\n001,2024-03-01T00:00:00Z\n009,2024-03-01T00:00:00Z\n"})
    trained.edit("features/cardiac.py", 'data_type="float"', 'data_type="float", owner="ml", description="a | b"')
    trained.run(
        "join", str(trained.root / "labels.csv"), "-f", "age=age_share", "--timestamp-column", "at",
        "--dataset", "trial", "--lag", "1d", "--split", "a=2024-02-01T00:00:00Z,b",
    )  # fmt: skip
    card = trained.run("dataset", "trial", "--card").out
    assert card.startswith("# trial\n\n2 rows, made ")
    for line in (
        "- times of labels: 2024-03-01T00:00:00Z to 2024-03-01T00:00:00Z, by the column `at`",
        "- keys of `patient`: `patient_id`",
        "- lag: values as of the label's time less 1d",
        "| `b` | the rest | 2 |",
        "featurestore dataset trial --rebuild --output trial.csv",
    ):
        assert line in card
    assert "| patient | ml | 50.0% | 28d to 28d, 28d on average | – | a \\| b |" in card
    assert "can't be combined" in trained.run("dataset", "trial", "--card", "--verify", code=2).err
