"""Two projects of one name on one PostgreSQL: the second is refused, and nothing of the first is read or written."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import AGE, TOML, VISITS, Folder
from tests.services_postgres import PostgresServer

PROJECT_FILE = "features/.versions/project.toml"
LABELS = "patient_id,at\n001,2024-03-01T00:00:00Z\n"


@pytest.fixture
def production(project: Folder, own_postgres: PostgresServer) -> Folder:
    """A project that has ingested into its schema."""
    toml = TOML + f'\n[offline]\nurl = "{own_postgres.url}"\n'
    project.write({"prod/featurestore.toml": toml, "prod/features/cardiac.py": AGE, "prod/visits.csv": VISITS})
    production = Folder(project.root / "prod", project._capture)
    production.run("ingest")
    return production


@pytest.fixture
def staging(production: Folder) -> Folder:
    """Another project of that name, on the same server."""
    staging = Folder(production.root.parent / "staging", production._capture)
    toml = (production.root / "featurestore.toml").read_text()
    visits = VISITS.replace(",50,", ",77,")
    staging.write({"featurestore.toml": toml, "features/cardiac.py": AGE, "visits.csv": visits, "labels.csv": LABELS})
    return staging


def test_another_project_of_the_name_is_refused(production: Folder, staging: Folder) -> None:
    before = production.json("runs")["runs"]
    refused = staging.run("ingest", code=3)
    assert "belongs to another project called test" in refused.err
    assert "--take-over" in refused.err
    labels = str(staging.root / "labels.csv")
    for command in (["join", labels, "-f", "age_share", "--timestamp-column", "at"], ["runs"], ["sync"], ["list"]):
        assert "belongs to another project" in staging.run(*command, code=3).err
    (found,) = (item for item in staging.json("doctor", code=1)["checks"] if item["area"] == "offline")
    assert (found["state"], "belongs to another project" in found["what"]) == ("fail", True)
    assert not (staging.root / PROJECT_FILE).exists()
    assert production.json("runs")["runs"] == before


def test_a_checkout_that_has_the_id_shares_the_history(production: Folder, staging: Folder) -> None:
    (staging.root / "features" / ".versions").mkdir()
    shutil.copy(production.root / PROJECT_FILE, staging.root / PROJECT_FILE)
    staging.run("ingest")
    assert len(production.json("runs")["runs"]) == 2


def test_a_history_is_taken_over_when_asked(production: Folder, staging: Folder) -> None:
    staging.run("ingest", "--take-over")
    assert (staging.root / PROJECT_FILE).read_bytes() == (production.root / PROJECT_FILE).read_bytes()
    assert len(production.json("runs")["runs"]) == 2


def test_a_checkout_from_before_there_were_ids_adopts_its_schemas(production: Folder, staging: Folder) -> None:
    """Its version files are those that the schema has rows of; its file with the id has not arrived yet."""
    shutil.copytree(production.root / "features", staging.root / "features", dirs_exist_ok=True)
    (staging.root / PROJECT_FILE).unlink()
    assert len(staging.json("runs")["runs"]) == 1
    staging.run("ingest")
    assert (staging.root / PROJECT_FILE).read_bytes() == (production.root / PROJECT_FILE).read_bytes()


def test_a_schema_without_an_owner_is_adopted_silently(production: Folder, own_postgres: PostgresServer) -> None:
    own_postgres.run('DROP TABLE "fs_test".owner')
    (production.root / PROJECT_FILE).unlink()
    assert production.json("runs")["runs"][0]["status"] == "ok"
    assert production.run("ingest", "--full").err.count("another project") == 0
    assert (production.root / PROJECT_FILE).exists()


def test_an_embedded_history_needs_no_id(project: Folder) -> None:
    project.run("ingest", "--take-over")
    assert not Path(project.root / PROJECT_FILE).exists()
