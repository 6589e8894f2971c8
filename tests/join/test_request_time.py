"""Request-time features in a join: inputs point in time, fields from the labels, the same bits for any batch."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from featurestore import FeatureStore
from featurestore.errors import FeatureStoreError
from tests.conftest import Folder, uncaptured

pytestmark = pytest.mark.filterwarnings("ignore:.*dated at their very time")

FEATURES = """
import polars as pl

from featurestore import feature


@feature(entity_type="patient", data_type="float", inputs=["age_share"], request={"dose": "float"})
def dose_share() -> pl.Expr:
    return pl.col("dose") / pl.col("age_share")


@feature(entity_type="patient", data_type="int", inputs=["last_visit"])
def days_since() -> pl.Expr:
    return (pl.col("request_time") - pl.col("last_visit")).dt.total_days()


@feature(entity_type="patient", data_type="datetime", source="visits")
def last_visit() -> pl.Expr:
    return pl.col("visit_at")


@feature(entity_type="patient", data_type="bool", inputs=["age_share"], request={"day": "date", "words": "string"})
def is_late() -> pl.Expr:
    return pl.col("words").str.contains("late") & (pl.col("day") > pl.date(2024, 1, 1))
"""
LABELS = """
patient_id,at,dose,total
001,2024-01-10T00:00:00Z,5,1
001,2024-02-01T00:00:00Z,7.25,3
002,2024-01-01T00:00:00Z,1,2
,2024-03-01T00:00:00Z,1,3
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    from tests.conftest import PROJECT

    made = Folder(tmp_path_factory.mktemp("request") / "project", uncaptured)
    made.write({**PROJECT, "features/request.py": FEATURES, "labels.csv": LABELS})
    made.run("ingest")
    made.run("lock")
    return made


@pytest.fixture
def store(made: Folder) -> FeatureStore:
    return FeatureStore(made.root)


@pytest.fixture
def labels() -> pl.DataFrame:
    days = [(2024, 1, 10), (2024, 2, 1), (2024, 1, 1), (2024, 3, 1)]
    times = [datetime(*day, tzinfo=UTC) for day in days]
    return pl.DataFrame({"patient_id": ["001", "001", "002", None], "at": times, "dose": [5.0, 7.25, 1.0, 1.0]})


@pytest.mark.parametrize(
    ("dose", "settings", "way_out"),
    [
        ("7,25", ["decimal=,"], "--dialect 'decimal=\",\"'"),
        ("1.007,25", ["decimal=,", "thousands=."], "--dialect 'decimal=\",\"' and --dialect 'thousands=\".\"'"),
        ("1 007", ["thousands= "], "--dialect 'thousands=\" \"'"),
    ],
)
def test_fields_are_read_as_the_labels_are_written(
    made: Folder, folder: Folder, tmp_path: Path, dose: str, settings: list[str], way_out: str
) -> None:
    made = Folder(made.root, folder._capture)
    (tmp_path / "labels.csv").write_text(f"patient_id;at;dose\n001;2024-02-01T00:00:00Z;{dose}\n", encoding="utf-8")
    asked = ("join", str(tmp_path / "labels.csv"), "-f", "dose_share", "--timestamp-column", "at", "--delimiter", ";")
    assert f"if it is meant to be one, or null: {way_out}" in " ".join(made.run(*asked, code=4).err.split())
    given = [part for setting in settings for part in ("--dialect", setting)]
    value = float(dose.replace(".", "").replace(" ", "").replace(",", "."))
    assert float(made.run(*asked, *given).out.splitlines()[1].rpartition(",")[2]) == value / 0.51
    pasted = shlex.split(way_out.replace(" and ", " "))
    assert float(made.run(*asked, *pasted).out.splitlines()[1].rpartition(",")[2]) == value / 0.51


def test_the_time_of_a_field_gets_the_setting_of_its_column(made: Folder, folder: Folder, tmp_path: Path) -> None:
    made = Folder(made.root, folder._capture)
    text = "patient_id,at,words,day\n001,2024-02-01T00:00:00Z,late,31/12/2024\n"
    (tmp_path / "labels.csv").write_text(text)
    asked = ("join", str(tmp_path / "labels.csv"), "-f", "is_late", "--timestamp-column", "at")
    assert "--dialect 'columns.day.format=\"%d/%m/%Y\"'" in " ".join(made.run(*asked, code=4).err.split())
    assert made.run(*asked, "--dialect", 'columns.day.format="%d/%m/%Y"').out.endswith("true\n")


def test_inputs_are_joined_point_in_time_and_the_result_has_what_was_asked_for(
    store: FeatureStore, labels: pl.DataFrame
) -> None:
    asked = ["dose_share", "share=age_share", "days_since"]
    joined = store.historical_features(labels, asked, timestamp_column="at", with_times=True)
    assert joined.columns == [
        "patient_id", "at", "dose", "dose_share", "dose_share.at", "share", "share.at", "days_since", "days_since.at"
    ]  # fmt: skip
    assert joined["dose_share"].to_list() == [5 / 0.5, 7.25 / 0.51, None, None]
    assert joined["days_since"].to_list() == [9, 0, None, None]
    assert joined["dose_share.at"].to_list() == [*labels["at"][:3], None], "computed when it is asked for"
    assert joined["share.at"].to_list()[:2] == [datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC)]


def test_a_lag_moves_the_inputs_and_not_the_time_of_the_request(store: FeatureStore, labels: pl.DataFrame) -> None:
    joined = store.historical_features(labels, ["dose_share", "days_since"], timestamp_column="at", before=True)
    assert joined["dose_share"].to_list() == [5 / 0.5, 7.25 / 0.5, None, None]
    assert joined["days_since"].to_list() == [9, 31, None, None]


def test_the_time_of_the_request_is_rounded_down_to_a_microsecond(store: FeatureStore) -> None:
    nanos = pl.Series("at", [1_706_745_599_999_999_999], dtype=pl.Int64).cast(pl.Datetime("ns", "UTC"))
    labels = pl.DataFrame({"patient_id": ["001"], "at": nanos})
    joined = store.historical_features(labels, ["days_since"], timestamp_column="at", with_times=True)
    assert joined["days_since.at"].to_list() == [datetime(2024, 1, 31, 23, 59, 59, 999_999, tzinfo=UTC)]
    assert joined["days_since"].to_list() == [30]


@pytest.mark.parametrize("rows", [1, 3])
def test_the_size_of_the_batches_changes_no_bit(store: FeatureStore, labels: pl.DataFrame, rows: int) -> None:
    many = pl.concat([labels.with_columns(pl.col("dose") / number) for number in (3.0, 7.0, 11.0, 13.0)])
    whole = store.historical_features(many, ["dose_share"], timestamp_column="at")
    parts = store.historical_features(many, ["dose_share"], timestamp_column="at", batch_rows=rows)
    assert whole.equals(parts)


def test_fields_come_from_columns_that_are_called_otherwise(made: Folder, tmp_path: Path) -> None:
    out = tmp_path / "joined.parquet"
    made.run("join", str(made.root / "labels.csv"), "-f", "dose_share", "--timestamp-column", "at", "--request",
              "dose=total", "--output", str(out))  # fmt: skip
    assert pl.read_parquet(out)["dose_share"].to_list() == [1 / 0.5, 3 / 0.51, None, None]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pl.Series(["5", "x", "1", "1"]), "'x' in the column 'dose' is no float, the type of the field 'dose'"),
        (pl.Series([1, 2**53 + 1, 3, 4]), f"{2**53 + 1} in the column 'dose' is no float"),
        (pl.Series(["1e400", "1", "1", "1"]), "'1e400' in the column 'dose' is no float"),
        (pl.Series([[1.0], [2.0], [3.0], [4.0]]), "the field 'dose' of dose_share: a column of type List"),
    ],
)
def test_a_field_that_would_lose_something_is_refused_by_name(
    store: FeatureStore, labels: pl.DataFrame, column: pl.Series, message: str
) -> None:
    with pytest.raises(FeatureStoreError) as caught:
        store.historical_features(
            labels.with_columns(column.alias("dose")), ["dose_share"], timestamp_column="at", batch_rows=2
        )
    assert message in caught.value.message


def test_nan_null_and_infinity_are_three_things_and_texts_are_read_as_sources_read_them(store: FeatureStore) -> None:
    doses = ["NaN", None, "inf", "-0.0", "1e3"]
    labels = pl.DataFrame({"patient_id": ["001"] * 5, "at": ["2024-01-10T00:00:00Z"] * 5, "dose": doses})
    joined = store.historical_features(labels, ["dose_share"], timestamp_column="at")["dose_share"]
    assert str(joined[0]) == "nan"
    assert joined.to_list()[1:] == [None, float("inf"), 0.0, 2_000.0]
    assert str(joined[3]) == "0.0"


def test_fields_of_other_types(store: FeatureStore, labels: pl.DataFrame) -> None:
    days = pl.Series("day", ["2024-01-02", "2023-12-31", None, "2024-01-02"])
    words = pl.Series("words", ["too late", "late", "late", "early"])
    joined = store.historical_features(labels.with_columns(days, words), ["is_late"], timestamp_column="at")
    assert joined["is_late"].to_list() == [True, False, None, None]


def test_what_is_not_there_is_said_with_the_way_out(made: Folder, labels: pl.DataFrame, store: FeatureStore) -> None:
    with pytest.raises(FeatureStoreError) as caught:
        store.historical_features(labels, ["dose_share"], timestamp_column="at", request={"dos": "dose"})
    assert (caught.value.message, caught.value.hint) == (
        "--request dos: no feature has a field 'dos'", "did you mean 'dose'?"
    )  # fmt: skip
    with pytest.raises(FeatureStoreError) as caught:
        store.historical_features(labels.rename({"dose": "doses"}), ["dose_share"], timestamp_column="at")
    assert "the labels have no column 'dose'" in caught.value.message
    assert caught.value.hint == "--request dose=COLUMN names the column that holds it; did you mean 'doses'?"
    with pytest.raises(FeatureStoreError, match="latest has none for everybody"):
        store.latest("patient", ["dose_share"])


def test_a_data_set_records_the_question_and_is_made_again(made: Folder, store: FeatureStore) -> None:
    joined, again = made.root / "joined.csv", made.root / "again.csv"
    store.historical_features(
        made.root / "labels.csv", ["dose_share"], timestamp_column="at", request={"dose": "total"}, output=joined,
        dataset="doses",
    )  # fmt: skip
    (found,) = store.datasets().datasets
    assert found.request == {"dose": "total"}
    assert [(item["name"], item["version"]) for item in found.features[0]["inputs"]] == [("age_share", 1)]
    made.run("dataset", "doses", "--rebuild", "--output", str(again))
    assert again.read_bytes() == joined.read_bytes()


NOT_ROW_WISE = {
    'pl.col("dose").sum()': "sum() may look at other rows",
    'pl.col("dose") - pl.col("dose").shift(1)': "shift() may look at other rows",
    'pl.col("dose").map_batches(lambda x: x)': "map_batches() may look at other rows",
    'pl.col("dose").rank().over("age_share")': "over() may look at other rows",
}
OF_OTHER_COLUMNS = {
    'pl.col("chol") * 2': "asks for the column 'chol', which is neither an input nor a field",
    "pl.all() * 2": "gives several columns, or does not name",
}


@pytest.mark.parametrize("expression", NOT_ROW_WISE)
def test_code_that_is_not_row_by_row_is_not_locked(project: Folder, expression: str) -> None:
    project.write({"features/request.py": FEATURES.replace('pl.col("dose") / pl.col("age_share")', expression)})
    project.run("ingest", "age_share")
    assert NOT_ROW_WISE[expression] in project.json("lock", code=2)["error"]["message"]


@pytest.mark.parametrize("expression", OF_OTHER_COLUMNS)
def test_what_asks_for_other_columns_is_refused(project: Folder, expression: str) -> None:
    project.write({"features/request.py": FEATURES.replace('pl.col("dose") / pl.col("age_share")', expression)})
    project.run("ingest", "age_share")
    project.run("lock")
    project.write({"labels.csv": LABELS})
    error = project.json(
        "join", str(project.root / "labels.csv"), "-f", "dose_share", "--timestamp-column", "at", code=4
    )
    assert OF_OTHER_COLUMNS[expression] in error["error"]["message"]
    assert ".versions/dose_share/0001-" in error["error"]["where"]


def test_a_join_runs_the_version_file_and_not_the_working_tree(project: Folder) -> None:
    project.write({"features/request.py": FEATURES, "labels.csv": LABELS})
    project.run("ingest")
    project.run("lock")
    project.edit("features/request.py", 'pl.col("dose") /', '2 * pl.col("dose") /')
    rows = project.json("join", str(project.root / "labels.csv"), "-f", "dose_share", "--timestamp-column", "at")[
        "rows"
    ]
    assert rows[0]["dose_share"] == 10.0
    project.run("lock")
    asked = ["-f", "one=dose_share@1,dose_share", "--timestamp-column", "at"]
    rows = project.json("join", str(project.root / "labels.csv"), *asked)["rows"]
    assert (rows[0]["one"], rows[0]["dose_share"]) == (10.0, 20.0)
