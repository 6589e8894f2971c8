"""Joins, data sets, export, history and deletion as another face calls them: values in, values out, nothing printed."""

import io
from pathlib import Path

import polars as pl
import pytest

from featurestore.config import Project, load_project
from featurestore.errors import CancelledError, FeatureStoreError, UsageError
from featurestore.offline.contract import OfflineStore
from featurestore.offline.open import open_offline
from featurestore.online.open import open_online
from featurestore.point_in_time.entities import parse_entity
from featurestore.progress import Progress
from featurestore.workflows.datasets.create import NewDataSet
from featurestore.workflows.datasets.rebuild import find_dataset, rebuild_file, verify_dataset
from featurestore.workflows.delete import delete
from featurestore.workflows.erasure.erase import erase
from featurestore.workflows.export import export_feature
from featurestore.workflows.get import find_entity_type
from featurestore.workflows.history import feature_history
from featurestore.workflows.join.batches import join
from featurestore.workflows.join.files import join_files
from featurestore.workflows.join.question import EntityColumns, JoinQuestion, resolve_features
from featurestore.workflows.table_files import TableFile
from tests.conftest import Folder

LABELS = """\
who,at
001,2024-01-15T00:00:00Z
002,2024-01-01T00:00:00Z
001,2024-02-01T00:00:00Z
"""
ANSWERS = [0.5, None, 0.51]


class Opened:
    """A project with history, its store, and a question about it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.project: Project = load_project(root)
        self.store: OfflineStore = open_offline(self.project)
        features = resolve_features(self.project, self.store, ["age_share"])
        self.question = JoinQuestion(features, "at", EntityColumns("patient", ("who",)))
        self.labels = TableFile(root / "labels.csv")


@pytest.fixture
def opened(ingested: Folder) -> Opened:
    (ingested.root / "labels.csv").write_text(LABELS)
    return Opened(ingested.root)


def cancel_at(word: str) -> Progress:
    """Progress that is cancelled once a line begins with the word."""
    lines: list[str] = []
    return Progress(lines.append, lambda: any(line.startswith(word) for line in lines))


def test_a_frame_is_joined(opened: Opened) -> None:
    labels = pl.read_csv(io.StringIO(LABELS), infer_schema=False)
    joined: list[pl.DataFrame] = []
    facts = join(opened.project, opened.store, opened.question, [labels], joined.append)
    assert joined[0]["age_share"].to_list() == ANSWERS
    assert (facts.labels, facts.columns, facts.as_of_run) == (3, ("who", "at", "age_share"), 1)
    assert (facts.features[0].matched, facts.features[0].nulls, facts.on_own_event) == (2, 1, 1)
    (warning,) = facts.all_warnings
    assert warning.startswith("1 of 3 labels got a value that is dated at their very time")


def test_labels_need_at_least_one_frame(opened: Opened) -> None:
    with pytest.raises(ValueError, match="at least one frame"):
        join(opened.project, opened.store, opened.question, [], lambda _frame: None)


def test_files_and_streams_are_joined(opened: Opened) -> None:
    output = opened.root / "train.parquet"
    result = join_files(opened.project, opened.store, opened.question, opened.labels, TableFile(output))
    assert (result.frame, result.dataset, result.facts.labels) == (None, None, 3)
    assert pl.read_parquet(output)["age_share"].to_list() == ANSWERS
    answer = io.BytesIO()
    request = TableFile(io.BytesIO(LABELS.encode()), name="the request's body")
    join_files(opened.project, opened.store, opened.question, request, TableFile(answer, "ndjson"))
    assert pl.read_ndjson(answer.getvalue())["age_share"].to_list() == ANSWERS


def test_without_an_output_the_result_is_a_frame(opened: Opened) -> None:
    result = join_files(opened.project, opened.store, opened.question, opened.labels, batch_rows=2)
    assert result.frame is not None
    assert result.frame["age_share"].to_list() == ANSWERS


def test_a_dry_run_gives_the_facts_and_writes_nothing(opened: Opened) -> None:
    output, dataset = TableFile(opened.root / "train.csv"), NewDataSet("trial")
    result = join_files(opened.project, opened.store, opened.question, opened.labels, output, dataset, dry_run=True)
    assert (result.facts.share(result.facts.features[0]), result.frame, result.dataset) == (2 / 3, None, None)
    assert not (opened.root / "train.csv").exists()
    assert opened.store.datasets() == []


@pytest.mark.parametrize(
    ("output", "dataset", "said"),
    [
        ("labels.csv", None, "would overwrite the labels"),
        ("train.xlsx", None, ".xlsx says no format"),
        ("train.csv", NewDataSet("no name"), "can't name a data set"),
    ],
)
def test_what_can_never_work_is_refused_before_the_labels_are_read(
    opened: Opened, output: str, dataset: NewDataSet | None, said: str
) -> None:
    (opened.root / "labels.csv").write_text("not read")
    with pytest.raises(UsageError, match=said):
        join_files(
            opened.project, opened.store, opened.question, opened.labels, TableFile(opened.root / output), dataset
        )


@pytest.mark.parametrize("word", ["preparing", "joining", "writing"])
def test_a_cancelled_join_leaves_no_output_and_no_data_set(opened: Opened, word: str) -> None:
    before = sorted(opened.root.iterdir())
    output = TableFile(opened.root / "train.parquet")
    with pytest.raises(CancelledError):
        join_files(
            opened.project, opened.store, opened.question, opened.labels, output, NewDataSet("trial"),
            batch_rows=1, progress=cancel_at(word),
        )  # fmt: skip
    assert sorted(opened.root.iterdir()) == before
    assert opened.store.datasets() == []


def test_a_cancelled_join_leaves_the_file_that_was_there(opened: Opened) -> None:
    (opened.root / "train.csv").write_text("before")
    with pytest.raises(CancelledError):
        join_files(
            opened.project, opened.store, opened.question, opened.labels, TableFile(opened.root / "train.csv"),
            batch_rows=1, progress=cancel_at("writing"),
        )  # fmt: skip
    assert (opened.root / "train.csv").read_text() == "before"


def test_a_data_set_is_stored_found_verified_and_made_again(opened: Opened) -> None:
    first, again = TableFile(opened.root / "first.parquet"), TableFile(opened.root / "again.parquet")
    question, trial = opened.question, NewDataSet("trial")
    made = join_files(opened.project, opened.store, question, opened.labels, first, trial)
    assert (made.dataset, made.dataset_existed) == (find_dataset(opened.store, "trial"), False)
    assert join_files(opened.project, opened.store, question, opened.labels, first, trial).dataset_existed
    (opened.root / "labels.csv").write_text("changed")
    verified = verify_dataset(opened.project, opened.store, "trial")
    assert (verified.same, verified.same_writer, verified.reasons) == (True, True, ())
    assert rebuild_file(opened.project, opened.store, "trial", again).same
    assert (opened.root / "again.parquet").read_bytes() == (opened.root / "first.parquet").read_bytes()


def test_a_data_set_is_made_again_into_a_stream_only_if_it_is_the_same(opened: Opened) -> None:
    join_files(
        opened.project, opened.store, opened.question, opened.labels, None, NewDataSet("trial", store_labels=False)
    )
    answer = io.BytesIO()
    rebuild_file(opened.project, opened.store, "trial", TableFile(answer))
    assert answer.getvalue().decode().splitlines()[1] == "001,2024-01-15T00:00:00Z,0.5"
    with pytest.raises(UsageError, match="would overwrite the labels"):
        rebuild_file(opened.project, opened.store, "trial", opened.labels)
    (opened.root / "labels.csv").write_text("changed")
    with pytest.raises(FeatureStoreError, match="its labels have changed since"):
        rebuild_file(opened.project, opened.store, "trial", TableFile(answer := io.BytesIO()))
    assert answer.getvalue() == b""


def test_a_cancelled_rebuild_writes_nothing(opened: Opened) -> None:
    join_files(opened.project, opened.store, opened.question, opened.labels, None, NewDataSet("trial"))
    answer, output = io.BytesIO(), opened.root / "again.csv"
    for table in (TableFile(answer), TableFile(output)):
        with pytest.raises(CancelledError):
            rebuild_file(opened.project, opened.store, "trial", table, progress=cancel_at("preparing"))
    assert (answer.getvalue(), output.exists()) == (b"", False)


def test_a_history_is_exported(opened: Opened) -> None:
    output = opened.root / "ages.parquet"
    result = export_feature(opened.project, opened.store, "age_share", TableFile(output))
    assert (result.version.number, result.rows, result.frame) == (1, 3, None)
    whole = export_feature(opened.project, opened.store, "age_share@1").frame
    assert whole is not None
    assert whole["value"].to_list() == [0.5, 0.51, 0.6]
    assert pl.read_parquet(output).equals(whole)


def test_the_history_of_an_entity_is_read(opened: Opened) -> None:
    result = feature_history(opened.project, opened.store, "age_share", "001")
    assert (result.entity, [item.value for item in result.values]) == ({"patient_id": "001"}, [0.5, 0.51])


def answers(opened: Opened) -> list[float | None]:
    result = join_files(opened.project, opened.store, opened.question, opened.labels)
    assert result.frame is not None
    return result.frame["age_share"].to_list()


def test_a_deletion_is_planned_then_done(opened: Opened) -> None:
    patient = find_entity_type(opened.project, "patient")
    entity = parse_entity(patient, "001")
    plan = delete(opened.project, opened.store, patient, entity, at=0, dry_run=True)
    assert (plan.rows, plan.run_id, answers(opened)) == ({"age_share": 3}, None, ANSWERS)
    done = delete(opened.project, opened.store, patient, entity, at=0)
    assert (done.rows, done.run_id is None, answers(opened)) == (plan.rows, False, [None] * 3)


def test_an_erasure_is_planned_then_done(opened: Opened) -> None:
    join_files(opened.project, opened.store, opened.question, opened.labels, None, NewDataSet("trial"))
    patient = find_entity_type(opened.project, "patient")
    entity = parse_entity(patient, "001")
    online = open_online(opened.project)
    plan = erase(opened.project, opened.store, online, patient, entity, dry_run=True)
    assert (plan.rows, plan.datasets, plan.run_id) == ({"age_share": 2}, ("trial",), None)
    assert answers(opened) == ANSWERS
    done = erase(opened.project, opened.store, online, patient, entity)
    assert (done.rows, done.datasets, done.incomplete) == (plan.rows, plan.datasets, ())
    assert answers(opened) == [None] * 3
    with pytest.raises(FeatureStoreError, match="named an entity that was erased"):
        verify_dataset(opened.project, opened.store, "trial")


def test_a_feature_that_is_declared_and_can_not_be_used_is_not_said_to_be_missing(project: Folder) -> None:
    project.edit("features/cardiac.py", 'data_type="float"', 'data_type="flaot"')
    for words in (
        ["history", "age_share", "001"],
        ["export", "age_share"],
        ["diff", "age_share"],
        ["stats", "age_share"],
    ):
        said = project.run(*words, code=2).err
        assert "flaot" in said
        assert "there is no feature" not in said
