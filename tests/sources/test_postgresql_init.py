"""``init --from postgresql://…``: a project proposed from a table of a server, and no secret written or shown."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from tests.conftest import Folder
from tests.sources.postgres import Tables, tables

__all__ = ["tables"]

VISITS = """
CREATE TABLE {schema}.visits (
    visit_id bigint PRIMARY KEY, patient_id text NOT NULL, visit_at timestamptz NOT NULL, age int, weight numeric,
    ward uuid, updated_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO {schema}.visits VALUES
    (1, '007', '2024-01-01', 50, 70.25, gen_random_uuid()), (2, '007', '2024-01-01', 51, NULL, NULL),
    (3, '008', '2024-02-01', 60, 80, NULL);
"""


@pytest.fixture
def visits(tables: Tables) -> Tables:
    tables.run(VISITS.format(schema=tables.schema))
    return tables


def test_keys_times_id_and_cursor_are_proposed_and_can_be_ingested_at_once(folder: Folder, visits: Tables) -> None:
    said = folder.run("init", str(folder.root / "shop"), "--from", visits.url, "--json")
    shop = Folder(folder.root / "shop", folder._capture)
    written = (shop.root / "featurestore.toml").read_text()
    for line in (
        '[entity_types.patient]\nkeys = { patient_id = "string" }', 'table = "visits"', 'event_time = "visit_at"',
        'id = ["visit_id"]', 'cursor = "updated_at"', 'updated_at = "updated_at"',
    ):  # fmt: skip
        assert line in written, said.out
    assert {item["status"] for item in shop.json("ingest")["features"]} == {"ok"}
    visits.run("UPDATE visits SET age = 52, updated_at = now() WHERE visit_id = 3")
    written_rows = {
        item["rows_corrected"] for item in shop.json("ingest")["features"] if item["name"].startswith("age")
    }
    assert written_rows == {1}


def test_a_password_is_neither_written_nor_shown(
    folder: Folder, visits: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = f"r_{visits.schema}"
    visits.run(f"CREATE ROLE {role} LOGIN PASSWORD 'geheim:1'; GRANT USAGE ON SCHEMA {visits.schema} TO {role}")
    visits.run(f"GRANT SELECT ON ALL TABLES IN SCHEMA {visits.schema} TO {role}")
    place = visits.tcp.partition("@")[2]
    url = f"postgresql://{role}:{quote('geheim:1')}@{place}"
    try:
        said = folder.run("init", str(folder.root / "one"), "--from", url)
        assert "export VISITS_URL=…" in said.err + said.out
        monkeypatch.setenv("SHOP_DB", url)
        folder.run("init", str(folder.root / "two"), "--from", url)
        folder.run("init", str(folder.root / "three"), "--from", "${SHOP_DB}")
        monkeypatch.setenv("SHOP_PASSWORD", "geheim:1")
        folder.run("init", str(folder.root / "four"), "--from", f"postgresql://{role}:${{SHOP_PASSWORD}}@{place}")
        failed = folder.run(
            "init", str(folder.root / "five"), "--from", url.replace("geheim", "geheimnis"), "--json", code=2
        )
    finally:
        visits.run(f"DROP OWNED BY {role}; DROP ROLE {role}")
    for name, line in (("one", "${VISITS_URL}"), ("two", "${SHOP_DB}"), ("three", "${SHOP_DB}"), ("four", "@")):
        written = (folder.root / name / "featurestore.toml").read_text()
        assert line in written
        assert "geheim" not in written
    assert "geheim" not in said.out + said.err + failed.out + failed.err


def test_which_table_is_meant_is_refused_with_the_flag(folder: Folder, visits: Tables) -> None:
    visits.run(f"CREATE TABLE {visits.schema}.labs (a int)")
    error = folder.json("init", str(folder.root / "shop"), "--from", visits.url, "--table", "vists", code=4)["error"]
    assert error["message"] == "there is no table 'vists'"
    assert error["hint"] == "did you mean 'visits'?"
    error = folder.json("init", str(folder.root / "shop"), "--from", visits.url, "--table", "labs", code=2)["error"]
    assert "has no rows" in json.dumps(error)
    assert not (folder.root / "shop").exists()


def test_a_url_of_nothing_says_so(folder: Folder) -> None:
    error = folder.json(
        "init", str(folder.root / "shop"), "--from", "postgresql://nobody@127.0.0.1:1/none", "--table", "t", code=12
    )["error"]
    assert "127.0.0.1" in error["message"]
    error = folder.json("init", str(folder.root / "shop"), "--from", "${NO_SUCH_URL}", code=2)["error"]
    assert error["hint"] == "export NO_SUCH_URL=…"
