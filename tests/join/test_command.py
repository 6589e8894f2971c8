"""``join``, ``history`` and ``export`` as a person runs them."""

import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from tests.conftest import Folder

LABELS = """\
patient_id,at,note,score
001,2024-01-15T00:00:00Z,"a, b",1.50
007,2024-03-01T00:00:00Z,,007
001,2024-02-01T00:00:01Z,"",x
,2024-03-01T00:00:00Z,nobody,
001,2023-12-31T23:59:59Z,too early,1e3
001,2024-01-15T00:00:00Z,"a, b",1.50
"""
JOINED = """\
patient_id,at,note,score,age_share
001,2024-01-15T00:00:00Z,"a, b",1.50,0.5
007,2024-03-01T00:00:00Z,,007,
001,2024-02-01T00:00:01Z,"",x,0.51
,2024-03-01T00:00:00Z,nobody,,
001,2023-12-31T23:59:59Z,too early,1e3,
001,2024-01-15T00:00:00Z,"a, b",1.50,0.5
"""
READ: dict[str, Callable[..., pl.DataFrame]] = {
    "csv": pl.read_csv, "parquet": pl.read_parquet, "arrow": pl.read_ipc, "ndjson": pl.read_ndjson
}  # fmt: skip


@pytest.fixture
def ingested(ingested: Folder) -> Folder:
    (ingested.root / "labels.csv").write_text(LABELS)
    return ingested


def join(folder: Folder, *options: str, labels: str = "labels.csv", code: int = 0, feature: str = "age_share") -> str:
    path = str(folder.root / labels)
    ran = folder.run("join", path, "-f", feature, "--timestamp-column", "at", *options, code=code)
    return ran.err if code else ran.out


def test_the_labels_come_back_unchanged_with_one_more_column(ingested: Folder) -> None:
    output = ingested.root / "train.csv"
    join(ingested, "--output", str(output))
    assert output.read_text() == JOINED


def test_through_pipes_it_is_the_same(ingested: Folder) -> None:
    command = [sys.executable, "-m", "featurestore", "-C", str(ingested.root), "join", "-", "-f", "age_share"]
    ran = subprocess.run([*command, "--timestamp-column", "at"], input=LABELS.encode(), capture_output=True)
    assert (ran.returncode, ran.stdout.decode()) == (0, JOINED)


@pytest.mark.parametrize("form", ["csv", "parquet", "arrow", "stream", "ndjson"])
@pytest.mark.parametrize("batch", ["2", "100"])
def test_a_pipe_may_carry_any_format(ingested: Folder, form: str, batch: str) -> None:
    labels, out = io.BytesIO(), io.BytesIO()
    typed = pl.read_csv(io.StringIO(LABELS), infer_schema=False)
    write: dict[str, Callable[..., object]] = {
        "csv": typed.write_csv, "parquet": typed.write_parquet, "arrow": typed.write_ipc,
        "stream": typed.write_ipc_stream, "ndjson": typed.write_ndjson,
    }  # fmt: skip
    write[form](labels)
    command = [sys.executable, "-m", "featurestore", "-C", str(ingested.root), "join", "-", "-f", "age_share",
               "--timestamp-column", "at", "--batch-rows", batch]  # fmt: skip
    form = form.replace("stream", "arrow")
    ran = subprocess.run([*command, "--format", form], input=labels.getvalue(), capture_output=True, check=True)
    out.write(ran.stdout)
    out.seek(0)
    found = READ[form](out)
    assert found["age_share"].to_list() == [0.5, None, 0.51, None, None, 0.5]
    assert found.columns == [*typed.columns, "age_share"]


@pytest.mark.parametrize("form", ["csv", "parquet", "arrow", "ndjson"])
@pytest.mark.parametrize("batch", ["2", "100"])
def test_a_closed_pipe_ends_the_command_quietly(ingested: Folder, form: str, batch: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "featurestore", "-C", str(ingested.root), "join", f"{ingested.root}/labels.csv",
               "-f", "age_share", "--timestamp-column", "at", "--format", form, "--batch-rows", batch]  # fmt: skip
    ran = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (ran.returncode, ran.stderr) == (141, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is full")
@pytest.mark.parametrize("form", ["csv", "parquet", "arrow", "ndjson"])
@pytest.mark.parametrize("batch", ["2", "100"])
def test_a_full_disk_is_reported(ingested: Folder, form: str, batch: str) -> None:
    said = join(ingested, "--output", "/dev/full", "--format", form, "--batch-rows", batch, code=12)
    assert "/dev/full: can't be written: No space left on device\n" in said
    assert "see how much space the disk has" in said


def test_progress_is_shown_on_a_terminal_only(ingested: Folder) -> None:
    command = [sys.executable, "-m", "featurestore", "-C", str(ingested.root), "join", f"{ingested.root}/labels.csv",
               "-f", "age_share", "--timestamp-column", "at"]  # fmt: skip
    terminal, end = pty.openpty()
    # It waits for its labels, however fast it is otherwise.
    waits = ["-" if word.endswith("labels.csv") else word for word in command]
    with subprocess.Popen(
        waits, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=end, env={**os.environ, "TERM": "xterm"}
    ) as ran:
        os.close(end)
        shown = os.read(terminal, 1 << 16).decode()
        while "\n" not in shown and "labels" not in shown:
            shown += os.read(terminal, 1 << 16).decode()
        out, _ = ran.communicate(LABELS.encode())
    os.close(terminal)
    assert out.decode() == JOINED
    assert any(words in shown for words in ("reading the labels", "preparing age_share", "joining age_share"))
    assert subprocess.run(command, capture_output=True).stderr == b""


def test_a_format_can_be_named_where_no_suffix_shows_it(ingested: Folder) -> None:
    (ingested.root / "labels").write_text(LABELS)
    assert "has no suffix that says its format" in join(ingested, labels="labels", code=2)
    assert join(ingested, "--labels-format", "csv", labels="labels") == JOINED
    join(ingested, "--output", str(ingested.root / "train"), "--format", "csv")
    assert (ingested.root / "train").read_text() == JOINED
    assert "did you mean 'parquet'?" in join(ingested, "--format", "parqet", code=2)


def test_the_labels_are_not_overwritten(ingested: Folder) -> None:
    assert "would overwrite the labels" in join(ingested, "--output", str(ingested.root / "labels.csv"), code=2)
    assert (ingested.root / "labels.csv").read_text() == LABELS


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "jsonl"])
def test_labels_and_results_may_be_in_any_format(ingested: Folder, suffix: str) -> None:
    typed = pl.read_csv(io.StringIO(LABELS), infer_schema=False).with_columns(
        pl.col("at").str.to_datetime(time_zone="UTC")
    )
    source, output = ingested.root / f"labels.{suffix}", ingested.root / f"train.{suffix}"
    write: dict[str, Callable[..., object]] = {
        "parquet": typed.write_parquet, "arrow": typed.write_ipc, "jsonl": typed.write_ndjson
    }  # fmt: skip
    write[suffix](source)
    if suffix == "jsonl":
        source.write_text(source.read_text().replace("+00:00", "Z"))
    join(ingested, "--output", str(output), labels=source.name)
    read = READ[suffix.replace("jsonl", "ndjson")]
    found, given = read(output), read(source)
    assert found["age_share"].to_list() == [0.5, None, 0.51, None, None, 0.5]
    if suffix != "jsonl":
        assert found.drop("age_share").equals(given)


def test_known_as_of_and_max_age_exclude_values(ingested: Folder) -> None:
    assert join(ingested, "--known").count(",0.5") == 0  # all was learned today
    assert join(ingested, "--as-of", "2024-06-01").count(",0.5") == 0
    assert join(ingested, "--max-age", "14d") == JOINED
    assert join(ingested, "--max-age", "13d").count(",0.5") == 1


def test_a_version_keeps_its_suffix_as_the_columns_name(ingested: Folder) -> None:
    assert join(ingested, feature="age_share,age_share@1").splitlines()[0].endswith(",age_share,age_share@1")


def test_the_dry_run_says_what_would_be_joined_and_writes_nothing(ingested: Folder) -> None:
    output = ingested.root / "train.csv"
    plan = json.loads(join(ingested, "--dry-run", "--output", str(output), "--json"))
    assert not output.exists()
    assert (plan["labels"], plan["first"], plan["last"]) == (6, "2023-12-31T23:59:59Z", "2024-03-01T00:00:00Z")
    assert plan["features"][0]["share"] == 0.5


@pytest.mark.parametrize(("options", "code", "said"), [
    (("--max-age", "soon"), 2, "soon"),
    (("--as-of", "someday"), 2, "someday"),
    (("--entity-column", "patient"), 2, "did you mean --entity patient=patient_id?"),
    (("--entity-type", "patients"), 2, "did you mean 'patient'?"),
    (("--output", "train.xlsx"), 2, ".xlsx says no format"),
])  # fmt: skip
def test_a_wrong_option_says_what_would_be_right(
    ingested: Folder, options: tuple[str, ...], code: int, said: str
) -> None:
    assert said in " ".join(join(ingested, *options, code=code).split())


def test_labels_that_cannot_be_read_are_named_with_their_row(ingested: Folder) -> None:
    (ingested.root / "labels.csv").write_text("patient_id,at\n001,2024-01-01\n002,yesterday\n")
    assert "row 2: 'yesterday' in column 'at' is not a time" in " ".join(join(ingested, code=4).split())
    assert "no such file" in join(ingested, labels="lables.csv", code=2)


def test_before_the_first_ingest_the_join_says_to_run_it(project: Folder) -> None:
    (project.root / "labels.csv").write_text(LABELS)
    assert "featurestore ingest age_share" in " ".join(join(project, code=2).split())


def test_history_shows_a_correction_beside_what_it_corrects(ingested: Folder) -> None:
    ingested.edit("visits.csv", "001,2024-01-01T00:00:00Z,50", "001,2024-01-01T00:00:00Z,40")
    ingested.run("ingest")
    found = ingested.json("history", "age_share", "001")
    assert [item["value"] for item in found["values"]] == [0.5, 0.4, 0.51]
    assert found["entity_id"] == "001"


def test_export_writes_the_whole_history(ingested: Folder) -> None:
    lines = ingested.run("export", "age_share").out.splitlines()
    assert lines[0] == "patient_id,value,computed_at,ingested_at,run_id,tombstone"
    assert [line.split(",")[:3] for line in lines[1:]] == [
        ["001", "0.5", "2024-01-01T00:00:00Z"],
        ["001", "0.51", "2024-02-01T00:00:00Z"],
        ["002", "0.6", "2024-01-15T00:00:00Z"],
    ]
    output = ingested.root / "ages.parquet"
    ingested.run("export", "age_share", "--output", str(output))
    assert pl.read_parquet(output).height == 3
