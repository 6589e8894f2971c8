"""What somebody would look at who does not believe that an entity is erased: what is kept beside its rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from featurestore.config import load_project
from featurestore.drift.sample import unpack_sample
from featurestore.offline.open import open_offline
from featurestore.offline.postgres import packed
from featurestore.workflows.erasure.kept import kept_naming
from featurestore.workflows.ingest.taken import read_taken
from tests.conftest import Folder
from tests.erasure.contents import naming_in
from tests.erasure.test_killed import HEADER, LATER, MINE, NEEDLES, TOML, WHO
from tests.erasure.test_servers import PACKED, url_of
from tests.services_postgres import PostgresServer

FEATURES = """
import polars as pl

from featurestore import feature


@feature(entity_type="patient", data_type="float")
def age_share() -> pl.Expr:
    return pl.col("age") / 100


@feature(entity_type="patient", data_type="string")
def said() -> pl.Expr:
    return pl.col("word")
"""
AHEAD = """

@feature(entity_type="patient", data_type="float", scope="row", source="visits")
def ahead(df: pl.DataFrame) -> pl.DataFrame:
    far = pl.col("visit_at").dt.offset_by("1000y")
    at = pl.when(pl.col("age") < 40).then("visit_at").otherwise(far).alias("computed_at")
    return df.select(pl.col("patient_id").alias("entity_id"), pl.col("age").alias("value"), at)
"""
OF_WORDS = """

@feature(entity_type="word", data_type="float", source="visits")
def most(df: pl.DataFrame) -> pl.DataFrame:
    at = pl.col("visit_at").max().alias("computed_at")
    return df.group_by("word").agg(pl.col("age").max().alias("value"), at)
"""
OTHERS = HEADER + "".join(f"p{n},2024-01-01T00:00:00Z,{n},word {n % 5}\n" for n in range(60))
ERASE = ("delete", "patient", WHO, "--erase", "--yes")


def left_in(root: Path) -> list[str]:
    """Where a byte, a field or a file name in the state of a project still tells of the entity."""
    files = [path for path in (root / ".featurestore").rglob("*") if path.is_file()]
    found = [f"{path.name}: {needle!r}" for path in files for needle in NEEDLES if needle in path.read_bytes()]
    found += [path.name for path in files for needle in NEEDLES if needle.decode() in path.name]
    return found + naming_in(root, NEEDLES)


@pytest.fixture(params=["duckdb", "postgresql"])
def anywhere(
    folder: Folder, request: pytest.FixtureRequest, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Folder]:
    """An empty folder, whose history will be in a file of it or in a database of its own."""
    if request.param == "duckdb":
        yield folder
        return
    postgres.run("CREATE DATABASE audited")
    monkeypatch.setenv("FEATURESTORE_OFFLINE_URL", url_of(postgres, "audited"))
    for name, value in PACKED.items():
        monkeypatch.setattr(packed, name, value)
    yield folder
    postgres.run("DROP DATABASE audited WITH (FORCE)")


@pytest.fixture
def one_file(anywhere: Folder) -> Folder:
    folder = anywhere
    folder.write({"featurestore.toml": TOML, "features/f.py": FEATURES})
    (folder.root / "visits.csv").write_text(OTHERS + MINE)
    folder.run("ingest", code=3)
    assert left_in(folder.root)
    return folder


def forget(folder: Folder) -> None:
    """Takes the entity out of the source."""
    (folder.root / "visits.csv").write_text(OTHERS)


def test_what_a_former_name_measured_is_measured_again(one_file: Folder) -> None:
    one_file.run("rename", "said", "spoken")
    one_file.run("rename", "age_share", "share")
    (one_file.root / "visits.csv").write_text(OTHERS + MINE + "".join(LATER))
    one_file.run("ingest", code=3)
    (one_file.root / "visits.csv").write_text(OTHERS + "".join(LATER))
    one_file.run(*ERASE)
    assert left_in(one_file.root) == []
    store = open_offline(load_project(one_file.root))
    counts = {run.run_seq: [(item.statistics or {})["count"] for item in run.features] for run in store.runs()[1:]}
    assert counts == {1: [60, 60], 2: [60], 3: [60], 4: [60, 60]}, "the second and third have a copy of the first's"
    for version in store.versions():
        found = store.sample(version.id, 1)
        assert found is not None
        assert len(unpack_sample(found).values) == 60


def test_what_a_former_name_measured_is_measured_again_though_that_name_is_gone(one_file: Folder) -> None:
    one_file.run("rename", "said", "spoken")
    one_file.run("rename", "age_share", "share")
    for former in ("said", "age_share"):
        one_file.run("retire", former, "--erase", "--yes")
    forget(one_file)
    one_file.run(*ERASE)
    assert left_in(one_file.root) == []


def test_results_that_were_due_of_it_go(one_file: Folder) -> None:
    one_file.write({"features/f.py": FEATURES + AHEAD})
    one_file.run("ingest", code=3)
    forget(one_file)
    one_file.run(*ERASE)
    assert left_in(one_file.root) == []
    positions = open_offline(load_project(one_file.root)).positions("visits")
    (cursor,) = (each.cursor for each in positions if each.version.feature == "ahead")
    taken = read_taken(cursor)
    assert taken is not None
    assert taken.due is not None
    assert {pair[0] for pair in taken.due} == {f"p{n}" for n in range(40, 60)}, "those of others are due still"


def test_files_that_were_called_after_it_have_another_name_in_the_history(one_file: Folder) -> None:
    mine = one_file.root / f"visits {WHO}.csv"
    mine.write_text(HEADER + MINE)
    forget(one_file)
    one_file.run("ingest", code=3)
    mine.unlink()
    one_file.run("ingest")
    one_file.run(*ERASE)
    assert left_in(one_file.root) == []
    (ingested,) = {item["status"] for item in one_file.json("ingest")["features"]}
    assert ingested == "unchanged"
    assert {item["rows_written"] for item in one_file.features("--full").values()} == {0}


def test_rows_that_were_only_tried_go(anywhere: Folder) -> None:
    folder = anywhere
    folder.write({"featurestore.toml": TOML, "features/f.py": FEATURES})
    (folder.root / "visits.csv").write_text(OTHERS + MINE.splitlines(keepends=True)[0])
    folder.run("ingest", "--dry-run")
    assert any(name.endswith("parquet: b'unmistakable'") for name in left_in(folder.root))
    (folder.root / "visits.csv").write_text(OTHERS)
    assert "would erase" in folder.run(*ERASE, "--dry-run").out
    assert folder.json(*ERASE, "--dry-run")["beside"] is True
    folder.run(*ERASE)
    assert left_in(folder.root) == []
    assert folder.json(*ERASE, "--dry-run")["beside"] is False
    assert "nothing to do" in folder.run(*ERASE).out


def add_words(folder: Folder, features: str) -> None:
    """Features of another entity type over the same source."""
    words = '[entity_types.word]\nkeys = { word = "string" }\n[sources.visits]\nduplicates = "keep"'
    folder.edit("featurestore.toml", "[sources.visits]", words)
    folder.write({"features/f.py": FEATURES + features})


def test_labels_that_name_it_beside_what_was_joined_go(one_file: Folder) -> None:
    add_words(one_file, OF_WORDS)
    one_file.run("ingest", code=3)
    labels = one_file.root / "labels.csv"
    labels.write_text(f"word,at,patient_id\nword 1,2024-03-01T00:00:00Z,{WHO}\n")
    one_file.run("join", str(labels), "-f", "most", "--timestamp-column", "at", "--dataset", "trial")
    forget(one_file)
    assert one_file.json(*ERASE)["datasets"] == ["trial"]
    assert [each for each in left_in(one_file.root) if "unmistakable" in each] == []


def test_errors_of_features_of_others_that_read_its_rows_go(one_file: Folder) -> None:
    add_words(one_file, OF_WORDS)
    one_file.run("ingest", code=3)
    one_file.edit("features/f.py", 'pl.col("age").max()', 'pl.col("word").cast(pl.Float64).max()')
    assert "quixotic" in one_file.features(code=3)["most"]["error"]["message"]
    forget(one_file)
    one_file.run(*ERASE)
    assert [each for each in naming_in(one_file.root, NEEDLES) if "run_features.error" in each] == []


def test_rows_that_write_its_number_in_another_way_go(anywhere: Folder) -> None:
    folder = anywhere
    folder.write({"featurestore.toml": TOML.replace('patient_id = "string"', 'patient_id = "int"'),
                  "features/f.py": FEATURES})  # fmt: skip
    rest = "1,2024-01-01T00:00:00Z,1,word\n"
    (folder.root / "visits.csv").write_text(HEADER + rest + "007,2024-01-01T00:00:00Z,-98765.25,quixotic\n")
    folder.run("ingest", code=3)
    assert left_in(folder.root)
    (folder.root / "visits.csv").write_text(HEADER + rest)
    folder.run("delete", "patient", "7", "--erase", "--yes")
    assert left_in(folder.root) == []


def test_of_kept_rows_only_the_columns_of_its_keys_are_read(one_file: Folder) -> None:
    (kept,) = (one_file.root / ".featurestore" / "rows").rglob("*.parquet")
    rows = pl.read_parquet(kept)
    words = [b"a word of others"] * rows.height
    rows.with_columns(pl.Series("word", words).cast(pl.String)).write_parquet(kept, compression="uncompressed")
    kept.write_bytes(kept.read_bytes().replace(words[0], b"\xff" * len(words[0])))  # which can't be read
    with pytest.raises(pl.exceptions.PolarsError):
        pl.read_parquet(kept)
    project = load_project(one_file.root)
    patient = project.entity_types["patient"]
    assert kept_naming(project, patient, {"patient_id": WHO})
    assert not kept_naming(project, patient, {"patient_id": "nobody"})
