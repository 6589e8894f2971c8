"""A backup that is restored answers like the history that it was made of, on every kind of store."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from featurestore import FeatureStore
from featurestore.tables.arrow_streams import read_frames
from tests.backup.conftest import Made
from tests.backup.project import answers
from tests.conftest import Folder
from tests.services_postgres import PostgresServer

Server = Callable[[], None]


@pytest.fixture
def on_server(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Makes the project's history one on a server, whose schema is gone afterwards."""
    yield lambda: monkeypatch.setenv("FEATURESTORE_OFFLINE_URL", postgres.url)
    postgres.run("DROP SCHEMA IF EXISTS fs_shop CASCADE")


def without_clock(found: dict[str, Any]) -> dict[str, Any]:
    """The answers, but for what is of the checkout and of the online store."""
    for document in found.values():
        if isinstance(document, dict):
            for key in ("online", "warnings"):
                document.pop(key, None)
    return found


def test_everything_is_as_it_was_on_another_machine(made: Made, lived: Folder) -> None:
    before = without_clock(answers(lived))
    for name in (".featurestore", "features/.versions"):
        shutil.rmtree(lived.root / name)
    said = lived.json("restore", str(made.backup))
    assert (said["changed"], said["project"], said["runs"]) == (True, "shop", len(before["runs"]["runs"]))
    assert said["version_files"]["replaced"] == []
    assert without_clock(answers(lived)) == before
    lived.run("sync", "--full")
    assert lived.json("verify")["different"] == 0
    assert lived.run("check").code == 0
    again = lived.json("ingest")
    assert {item["status"] for item in again["features"]} == {"unchanged"}, again


def test_from_one_kind_of_store_to_the_other_and_back(
    made: Made, lived: Folder, on_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = without_clock(answers(lived))
    on_server()
    lived.run("restore", str(made.backup))
    assert without_clock(answers(lived)) == before
    other = lived.root / "server.backup"
    lived.run("backup", str(other))
    assert manifest(other)["store"]["kind"] == "postgresql"
    assert manifest(other)["history"] == manifest(made.backup)["history"]
    monkeypatch.delenv("FEATURESTORE_OFFLINE_URL")
    shutil.rmtree(lived.root / ".featurestore")
    lived.run("restore", str(other))
    assert without_clock(answers(lived)) == before
    lived.run("sync")
    assert lived.json("verify")["checked"] > 0


def test_rows_of_files_that_are_gone_come_back_too(made: Made, cloned: Folder) -> None:
    cloned.run("restore", str(made.backup))
    assert list((cloned.root / ".featurestore" / "rows" / "visits").glob("*.parquet"))
    # A late row of the window's entity: without the kept rows of visits1.csv its maximum would be another one.
    (cloned.root / "visits4.csv").write_text("patient_id,visit_at,age,word\np1,2024-01-10T00:00:00Z,1,x\n")
    cloned.run("ingest", "age_30d", code=3)
    found = cloned.json("history", "age_30d", "p1")["values"]
    assert [each["value"] for each in found if each["computed_at"].startswith("2024-01-10")] == []
    assert max(each["value"] for each in found if each["value"] is not None) == 40.0


def test_the_same_backup_again_changes_nothing_and_says_so(made: Made, lived: Folder) -> None:
    file = str(lived.root / "again.backup")
    first = lived.json("backup", file)
    bytes_ = Path(file).read_bytes()
    second = lived.json("backup", file)
    assert (first["changed"], second["changed"]) == (True, False)
    assert Path(file).read_bytes() == bytes_
    assert "already" in lived.run("backup", file).out
    restored = lived.json("restore", file)
    assert restored["changed"] is False
    assert "here already" in lived.run("restore", str(made.backup)).out


def test_an_older_backup_is_replaced_only_by_force(lived: Folder) -> None:
    file = lived.root / "a.backup"
    lived.run("backup", str(file))
    lived.run("baseline", "said", "2")  # is no run, and counts all the same
    refused = lived.run("backup", str(file), code=2)
    assert "--force" in refused.err
    assert lived.json("backup", str(file), "--force")["changed"]
    lived.run("restore", str(file))


@pytest.mark.parametrize("name", ["featurestore.toml", "visits2.csv", "."])
def test_what_is_no_backup_is_never_overwritten(lived: Folder, name: str) -> None:
    path = lived.root / name
    before = path.read_bytes() if path.is_file() else b""
    lived.run("backup", str(path), "--force", code=2)
    assert not path.is_file() or path.read_bytes() == before
    lived.run("backup", str(lived.root / "nowhere" / "a.backup"), code=2)


def test_a_dry_run_writes_nothing(made: Made, lived: Folder) -> None:
    file = lived.root / "a.backup"
    said = lived.json("backup", str(file), "--dry-run")
    assert (said["dry_run"], said["file_bytes"], file.exists()) == (True, None, False)
    assert said["rows"] == manifest(made.backup)["history"]["rows"]
    lived.run("delete", "patient", "p5")
    before = state(lived)
    planned = lived.json("restore", str(made.backup), "--dry-run")
    assert (planned["changed"], planned["runs_replaced"]) == (True, 1)
    assert "a history here" in planned["needs_force"][0]
    assert state(lived) == before


def test_only_its_owner_may_read_it_and_it_holds_no_settings(lived: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    lived.edit("featurestore.toml", 'name = "shop"', 'name = "shop"\n# s3cret')
    file = lived.root / "a.backup"
    lived.run("backup", str(file))
    assert file.stat().st_mode & 0o777 == 0o600
    assert b"s3cret" not in file.read_bytes()
    assert not [path.name for path in (lived.root / ".featurestore").iterdir() if path.name.startswith(".history")]


def test_without_a_history_there_is_nothing_to_back_up(project: Folder) -> None:
    assert "ingest" in project.run("backup", str(project.root / "a.backup"), code=2).err


def test_a_history_is_replaced_only_by_force(made: Made, lived: Folder) -> None:
    lived.run("delete", "patient", "p5")
    before = state(lived)
    refused = lived.json("restore", str(made.backup), code=2)["error"]
    assert "1 of which the backup does not have" in refused["message"]
    assert "--force" in refused["hint"]
    assert state(lived) == before
    said = lived.json("restore", str(made.backup), "--force")
    assert said["runs_replaced"] == 1
    assert lived.json("history", "age_share", "p5")["values"][-1]["value"] is not None
    lived.run("verify")  # it was not synced meanwhile


def test_an_online_store_that_is_ahead_of_the_history_is_noticed(made: Made, lived: Folder) -> None:
    (lived.root / "visits5.csv").write_text("patient_id,visit_at,age,word\np1,2024-01-12T00:00:00Z,77,x\n")
    lived.run("ingest", code=3)
    lived.run("sync")
    lived.run("restore", str(made.backup), "--force")
    assert "featurestore sync --full" in " ".join(lived.run("verify", code=1).out.split())
    assert "sync --full" in lived.run("sync", code=12).err
    lived.run("sync", "--full")
    lived.run("verify")


def test_version_files_that_differ_are_replaced_only_by_force(made: Made, lived: Folder) -> None:
    active = lived.root / "features" / ".versions" / "age_share" / "active"
    was = active.read_text()
    lived.run("promote", "age_share", "2")
    assert "active" in lived.run("restore", str(made.backup), code=2).err
    said = lived.json("restore", str(made.backup), "--force")
    assert said["version_files"]["replaced"] == ["age_share/active"]
    assert active.read_text() == was


def test_a_backup_of_another_project_is_restored_only_by_force(made: Made, cloned: Folder) -> None:
    cloned.edit("featurestore.toml", '"shop"', '"another"')
    assert "another project: shop" in cloned.run("restore", str(made.backup), code=2).err
    assert not (cloned.root / ".featurestore" / "history.duckdb").exists()
    cloned.run("restore", str(made.backup), "--force")
    assert cloned.json("runs")["runs"]


def test_a_damaged_history_is_replaced_only_by_force(made: Made, lived: Folder) -> None:
    history = lived.root / ".featurestore" / "history.duckdb"
    history.write_bytes(b"garbage" * 10_000)
    assert "can't be read" in lived.run("restore", str(made.backup), code=2).err
    lived.run("restore", str(made.backup), "--force")
    assert lived.json("runs")["runs"]


def test_a_history_that_is_gone_is_put_back_without_force(made: Made, lived: Folder) -> None:
    (lived.root / ".featurestore" / "history.duckdb").unlink()
    assert "was committed here" in lived.run("ingest", code=4).err
    lived.run("restore", str(made.backup))
    assert {item["status"] for item in lived.json("ingest")["features"]} == {"unchanged"}


def test_what_was_erased_since_is_erased_again(made: Made, lived: Folder) -> None:
    lived.run("delete", "patient", "p7", "--erase", "--yes", code=3)  # visits2.csv still names it
    said = lived.json("restore", str(made.backup), "--force")
    assert said["entities_erased"] == 1
    assert lived.json("history", "age_share", "p7")["values"] == []
    assert lived.json("history", "age_share", "p8")["values"] != []
    assert not (lived.root / ".featurestore" / "restoring").exists()


def test_a_feature_whose_history_was_erased_since_is_said(made: Made, lived: Folder) -> None:
    text = (lived.root / "features" / "f.py").read_text()
    (lived.root / "features" / "f.py").write_text(text[: text.rindex("@feature")])
    lived.run("retire", "age_30d", "--erase", "--yes")
    said = lived.json("restore", str(made.backup), "--force", code=3)
    assert "retire age_30d --erase" in said["left"][0]


def test_python_has_both(made: Made, cloned: Folder) -> None:
    store = FeatureStore(cloned.root)
    with pytest.warns(match="erased"):
        restored = store.restore(made.backup)
    assert restored.changed
    assert restored.version_files["written"]
    backed_up = store.backup(cloned.root / "python.backup")
    assert (backed_up.runs, backed_up.changed) == (restored.runs, True)
    assert store.backup(cloned.root / "python.backup").changed is False


def test_its_tables_are_arrow_streams_that_anybody_can_read(made: Made) -> None:
    with zipfile.ZipFile(made.backup) as archive, archive.open("tables/runs.arrow.zst") as stream:
        rows = pl.concat(list(read_frames(stream, 1)))
    assert rows["run_seq"].drop_nulls().to_list()[0] == 1


def manifest(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        found: dict[str, Any] = json.loads(archive.read("manifest.json"))
    return found


def state(folder: Folder) -> dict[str, bytes]:
    """All files of the project, but for what may be derived again."""
    names = [path for path in folder.root.rglob("*") if path.is_file()]
    return {str(p.relative_to(folder.root)): p.read_bytes() for p in names if p.name not in ("lock", "summary.json")}
