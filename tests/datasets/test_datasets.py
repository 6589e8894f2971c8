"""Data sets as a person stores, lists, rebuilds and verifies them."""

import hashlib
import io
import subprocess
import sys
from pathlib import Path

import pytest

from featurestore.config import load_project
from featurestore.offline.duckdb.store import DuckDBStore
from tests.conftest import AGE, Folder
from tests.offline.older import TO_FORMAT_1

LABELS = """\
patient_id,at,note
001,2024-01-15T00:00:00Z,a
002,2024-03-01T00:00:00Z,
001,2024-02-01T00:00:00Z,""
"""
CORRECTED = """
patient_id,visit_at,age,chol
001,2024-01-01T00:00:00Z,77,1
001,2024-02-01T00:00:00Z,78,2
002,2024-01-15T00:00:00Z,79,3
002,2023-01-15T00:00:00Z,79,3
"""


@pytest.fixture
def ingested(ingested: Folder) -> Folder:
    (ingested.root / "labels.csv").write_text(LABELS)
    return ingested


def make(folder: Folder, *options: str, name: str = "trial", output: str = "train.parquet", code: int = 0) -> Path:
    path = folder.root / output
    labels = str(folder.root / "labels.csv")
    folder.run(
        "join", labels, "-f", "age_share", "--timestamp-column", "at", "--output", str(path), "--dataset", name,
        *options, code=code,
    )  # fmt: skip
    return path


def change_everything(folder: Folder) -> None:
    """Corrections and late rows, a new version, the old one promoted again, a deletion, and other labels."""
    folder.write({"visits.csv": CORRECTED})
    folder.run("ingest")
    folder.edit("features/cardiac.py", "/ 100", "/ 50")
    folder.run("ingest")
    folder.run("promote", "age_share", "1")
    folder.run("delete", "patient", "001", "--at", "2024-01-01")
    (folder.root / "labels.csv").write_text("patient_id,at\n")


@pytest.mark.parametrize("suffix", ["parquet", "csv", "arrow", "jsonl"])
def test_it_is_rebuilt_byte_for_byte_after_any_change(ingested: Folder, suffix: str) -> None:
    first = make(ingested, output=f"train.{suffix}").read_bytes()
    change_everything(ingested)
    again = ingested.root / f"again.{suffix}"
    ingested.run("dataset", "trial", "--rebuild", "--output", str(again))
    assert again.read_bytes() == first


@pytest.mark.parametrize("options", [("--known",), ("--as-of", "2099-01-01T00:00:00Z"), ("--max-age", "3d")])
def test_the_options_are_those_it_was_made_with(ingested: Folder, options: tuple[str, ...]) -> None:
    first = make(ingested, *options).read_bytes()
    change_everything(ingested)
    ingested.run("dataset", "trial", "--rebuild", "--output", str(ingested.root / "again.parquet"))
    assert (ingested.root / "again.parquet").read_bytes() == first


def test_verify_reports_that_it_is_the_same(ingested: Folder) -> None:
    make(ingested)
    change_everything(ingested)
    found = ingested.json("dataset", "trial", "--verify")
    assert (found["same"], found["reasons"]) == (True, [])


def test_the_content_hash_is_of_the_table_not_of_its_file(ingested: Folder) -> None:
    make(ingested, name="one")
    make(ingested, name="two", output="train.csv")
    one, two = ingested.json("dataset")["datasets"]
    assert one["content_sha256"] == two["content_sha256"]
    assert one["output"]["sha256"] != two["output"]["sha256"]


def test_all_that_a_rebuild_needs_is_stored(ingested: Folder) -> None:
    output = make(ingested, "--known")
    found = ingested.json("dataset", "trial")
    (version,) = DuckDBStore(load_project(ingested.root)).versions()
    run = ingested.json("runs")["runs"][0]
    assert found["features"] == [
        {
            "column": "age_share",
            "name": "age_share",
            "version": 1,
            "sha256": version.id.sha256,
            "max_age": None,
            "role": None,
            "inputs": [],
            "nulls": 3,
            "ages": {"least": None, "mean": None, "greatest": None},
        }
    ]
    assert found["labels"] == {
        "name": str(ingested.root / "labels.csv"), "format": "csv", "bytes": len(LABELS), "kept": True,
        "erased_at": None,
        "sha256": hashlib.sha256(LABELS.encode()).hexdigest(),
    }  # fmt: skip
    assert found["output"] == {"format": "parquet", "sha256": hashlib.sha256(output.read_bytes()).hexdigest()}
    assert (found["rows"], found["known"], found["as_of"], found["run_seq"]) == (3, True, None, 1)
    assert found["run_id"] == run["run_id"]


def test_labels_from_a_pipe_are_stored_too(ingested: Folder) -> None:
    command = [sys.executable, "-m", "featurestore", "-C", str(ingested.root), "join", "-", "-f", "age_share"]
    options = ["--timestamp-column", "at", "--dataset", "piped"]
    first = subprocess.run([*command, *options], input=LABELS.encode(), capture_output=True, check=True).stdout
    change_everything(ingested)
    assert ingested.run("dataset", "piped", "--rebuild").out == first.decode()


def test_labels_from_a_pipe_must_be_stored(ingested: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(LABELS.encode())))
    ran = ingested.run("join", "-", "-f", "age_share", "--timestamp-column", "at", "--dataset", "x",
                       "--no-keep-labels", code=2)  # fmt: skip
    assert "--no-keep-labels" in ran.err


def test_labels_that_are_not_stored_are_read_again_and_must_be_the_same(ingested: Folder) -> None:
    first = make(ingested, "--no-keep-labels").read_bytes()
    again = ingested.root / "again.parquet"
    ingested.run("dataset", "trial", "--rebuild", "--output", str(again))
    assert again.read_bytes() == first
    (ingested.root / "moved.csv").write_text(LABELS)
    (ingested.root / "labels.csv").write_text(LABELS + "001,2024-01-15T00:00:00Z,a\n")
    ran = ingested.run("dataset", "trial", "--rebuild", code=4)
    assert "its labels have changed since" in ran.err
    assert hashlib.sha256(LABELS.encode()).hexdigest() in ran.err
    (ingested.root / "labels.csv").unlink()
    assert "can't be read" in ingested.run("dataset", "trial", "--verify", code=4).err
    ingested.run("dataset", "trial", "--rebuild", "--labels", str(ingested.root / "moved.csv"), "--output", str(again))
    assert again.read_bytes() == first


def test_a_name_has_one_content_until_it_is_replaced(ingested: Folder) -> None:
    first = make(ingested).read_bytes()
    make(ingested)  # the same once more
    ingested.write({"visits.csv": CORRECTED})
    ingested.run("ingest")
    make(ingested, output="other.parquet", code=2)
    assert not (ingested.root / "other.parquet").exists()
    (ingested.root / "labels.csv").write_text(LABELS + "001,2024-01-15T00:00:00Z,a\n")
    labels = str(ingested.root / "labels.csv")
    asked = ("-f", "age_share", "--timestamp-column", "at", "--dataset", "trial")
    assert ingested.run("join", labels, *asked, code=2).out == ""  # other labels are told before anything is written
    (ingested.root / "labels.csv").write_text(LABELS)
    second = make(ingested, "--replace").read_bytes()
    assert second != first
    ingested.run("dataset", "trial", "--rebuild", "--output", str(ingested.root / "again.parquet"))
    assert (ingested.root / "again.parquet").read_bytes() == second
    assert len(ingested.json("dataset")["datasets"]) == 1


def test_labels_that_no_data_set_uses_any_more_are_removed(ingested: Folder) -> None:
    make(ingested)
    old = ingested.json("dataset", "trial")["labels"]["sha256"]
    (ingested.root / "labels.csv").write_text(LABELS.replace("002", "003"))
    make(ingested, "--replace")
    new = ingested.json("dataset", "trial")["labels"]["sha256"]
    store = DuckDBStore(load_project(ingested.root))
    assert b"".join(store.label_file(new)) == LABELS.replace("002", "003").encode()
    assert not list(store.label_file(old))


def test_erased_history_is_reported_as_the_reason_of_a_difference(ingested: Folder) -> None:
    import duckdb

    make(ingested)
    with duckdb.connect(str(ingested.root / ".featurestore" / "history.duckdb")) as store:
        (table,) = store.execute("SELECT table_name FROM versions").fetchone() or ("",)
        store.execute(f"DELETE FROM {table} WHERE patient_id = '001'")
    found = ingested.json("dataset", "trial", "--verify", code=1)
    assert found["reasons"] == ["age_share: 2 of 3 rows of history were erased since"]
    quiet = ingested.run("dataset", "trial", "--verify", "-q", code=1)
    assert (quiet.out, "error: age_share: 2 of 3 rows" in quiet.err) == ("", True)
    ran = ingested.run("dataset", "trial", "--rebuild", "--output", str(ingested.root / "again.parquet"), code=4)
    assert "2 of 3 rows of history were erased since" in ran.err
    assert not (ingested.root / "again.parquet").exists()


def test_a_restored_backup_is_reported_as_the_reason_of_a_difference(ingested: Folder) -> None:
    import duckdb

    make(ingested)
    with duckdb.connect(str(ingested.root / ".featurestore" / "history.duckdb")) as store:
        (table,) = store.execute("SELECT table_name FROM versions").fetchone() or ("",)
        store.execute(f"UPDATE {table} SET value = 9 WHERE patient_id = '001'; UPDATE runs SET run_id = 'other'")
    (reason,) = ingested.json("dataset", "trial", "--verify", code=1)["reasons"]
    assert "run 1 of this store is another run: a backup was restored" in reason


def test_a_store_without_its_history_is_reported(ingested: Folder) -> None:
    make(ingested)
    import duckdb

    with duckdb.connect(str(ingested.root / ".featurestore" / "history.duckdb")) as store:
        store.execute("DELETE FROM versions")
    assert "is not in this store" in ingested.run("dataset", "trial", "--rebuild", code=4).err


@pytest.mark.parametrize("name", ["", "a b", "../x", "-x", "é", "x" * 64])
def test_a_name_is_letters_and_digits(ingested: Folder, name: str) -> None:
    labels = str(ingested.root / "labels.csv")
    ran = ingested.run("join", labels, "-f", "age_share", "--timestamp-column", "at", f"--dataset={name}", code=2)
    assert "can't name a data set" in ran.err


def test_an_unknown_name_gets_a_hint(ingested: Folder) -> None:
    assert "--dataset NAME makes one" in ingested.run("dataset", "trial", code=2).err
    make(ingested)
    assert "did you mean 'trial'?" in ingested.run("dataset", "trail", code=2).err


def test_the_list_and_one_are_drawn(ingested: Folder) -> None:
    assert "no data set yet" in ingested.run("dataset").out
    make(ingested)
    assert "trial" in ingested.run("dataset").out
    assert "age_share" in ingested.run("dataset", "trial").out
    assert "the content is the same" in ingested.run("dataset", "trial", "--verify").out


def test_a_store_of_the_release_before_is_read_as_it_is(ingested: Folder) -> None:
    import duckdb

    with duckdb.connect(str(ingested.root / ".featurestore" / "history.duckdb")) as store:
        store.execute(TO_FORMAT_1)
    assert ingested.json("dataset") == {"datasets": []}
    make(ingested)
    assert len(ingested.json("dataset")["datasets"]) == 1


def test_a_set_of_features_has_a_name(ingested: Folder) -> None:
    ingested.write({"features/second.py": AGE.replace("age_share", "age_again")})
    ingested.run("ingest")
    toml = ingested.root / "featurestore.toml"
    toml.write_text(toml.read_text() + '[feature_sets.cardiac_v1]\nfeatures = ["age_share", "age_again@1"]\n')
    labels = str(ingested.root / "labels.csv")
    ran = ingested.run("join", labels, "-f", "age_again@1,@cardiac_v1", "--timestamp-column", "at")
    assert ran.out.splitlines()[0] == "patient_id,at,note,age_again@1,age_share"
    ran = ingested.run("join", labels, "-f", "@cardiac_v1", "-f", "@cardiac_v1,age_share", "--timestamp-column", "at")
    assert ran.out.splitlines()[0] == "patient_id,at,note,age_share,age_again@1"
    ran = ingested.run("join", labels, "-f", "@cardiac", "--timestamp-column", "at", code=2)
    assert "did you mean 'cardiac_v1'?" in ran.err
    toml.write_text(toml.read_text().replace("age_again@1", "age_again@7"))
    assert "7" in ingested.run("join", labels, "-f", "@cardiac_v1", "--timestamp-column", "at", code=2).err


def test_a_feature_set_is_stored_as_the_versions_it_named(ingested: Folder) -> None:
    toml = ingested.root / "featurestore.toml"
    toml.write_text(toml.read_text() + '[feature_sets.all]\nfeatures = ["age_share"]\n')
    labels, first, again = (ingested.root / name for name in ("labels.csv", "first.parquet", "again.parquet"))
    ingested.run("join", str(labels), "-f", "@all", "--timestamp-column", "at", "--output", str(first),
                 "--dataset", "trial")  # fmt: skip
    toml.write_text(toml.read_text().replace('["age_share"]', '["another"]'))
    change_everything(ingested)
    ingested.run("dataset", "trial", "--rebuild", "--output", str(again))
    assert again.read_bytes() == first.read_bytes()
