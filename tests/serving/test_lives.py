"""The lives of features: age limits as declared now; features that are removed, retired, renamed, declared again."""

from __future__ import annotations

from textwrap import dedent

import pytest

from featurestore.client import FeatureStore
from featurestore.config import load_project
from featurestore.online.open import open_online
from tests.conftest import PROJECT, Folder, Once
from tests.services import Server

TWO = """
import polars as pl

from featurestore import feature


@feature(entity_type="patient", data_type="float", description="of a hundred")
def age_share() -> pl.Expr:
    return pl.col("age") / 100


@feature(entity_type="patient", data_type="float", max_age="30d", owner="ann")
def chol_level() -> pl.Expr:
    return pl.col("chol")
"""
LABELS = "patient_id,at\n001,2024-02-02T00:00:00Z\n002,2024-02-02T00:00:00Z\n"
JOIN = ("join", "labels.csv", "--timestamp-column", "at", "-f")


def make_shop(made: Folder) -> None:
    made.write({**PROJECT, "features/cardiac.py": TWO, "labels.csv": LABELS})
    made.run("ingest")


def make_synced_shop(made: Folder) -> None:
    make_shop(made)
    made.run("sync")


@pytest.fixture(params=["embedded", "server"])
def shop(folder: Folder, once: Once, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """Two features, ingested and synced, on each kind of online store."""
    if request.param == "embedded":
        once(make_synced_shop, folder)
    else:
        server: Server = request.getfixturevalue("own_server")
        once(make_shop, folder)
        text = (folder.root / "featurestore.toml").read_text()
        folder.write({"featurestore.toml": f'{text}\n[online]\nurl = "{server.url}"\n'})
        folder.run("sync")
    monkeypatch.chdir(folder.root)
    return folder


def remove_code(folder: Folder) -> None:
    folder.write({"features/cardiac.py": TWO[: TWO.rindex("@feature")]})


def online(folder: Folder) -> set[str]:
    """The features that readers are served."""
    store = open_online(load_project(folder.root))
    names = {name for name in store.table("active") if not name.startswith("@")}
    store.close()
    return names


def stored_values(folder: Folder) -> int:
    store = open_online(load_project(folder.root))
    count = sum(len(fields) for batch in store.scan("patient") for _, fields in batch)
    store.close()
    return count


def joined(folder: Folder, name: str, *options: str) -> list[str]:
    return [line.rpartition(",")[2] for line in folder.run(*JOIN, name, *options).out.splitlines()[1:]]


def status(folder: Folder, name: str) -> str:
    return str(folder.json("get", "patient", "001", "-f", name)["entities"][0]["features"][name]["status"])


# --- age limits ------------------------------------------------------------------------------------------


def test_an_age_limit_holds_from_its_declaration_on(shop: Folder) -> None:
    assert (joined(shop, "age_share"), status(shop, "age_share")) == (["0.51", "0.6"], "ok")
    reader = FeatureStore(shop.root).online()
    shop.edit("features/cardiac.py", 'data_type="float", description', 'data_type="float", max_age="7d", description')
    assert (joined(shop, "age_share"), status(shop, "age_share")) == (["0.51", ""], "expired")
    shop.run("sync")
    assert reader.get("patient", ["001"], ["age_share"])[0]["age_share"].status == "expired"
    assert FeatureStore(shop.root).online().get("patient", ["001"])[0]["age_share"].status == "expired"
    shop.edit("features/cardiac.py", 'max_age="7d", ', "")
    assert (joined(shop, "age_share"), status(shop, "age_share")) == (["0.51", "0.6"], "ok")


def test_a_data_set_stays_with_the_age_limit_that_it_was_made_with(shop: Folder) -> None:
    made = shop.run(*JOIN, "chol_level", "--dataset", "trial", "--output", "t.csv")
    assert made.code == 0
    shop.edit("features/cardiac.py", 'max_age="30d"', 'max_age="1s"')
    assert joined(shop, "chol_level") == ["", ""]
    assert shop.json("dataset", "trial", "--verify")["same"] is True


def test_the_age_limit_of_a_removed_feature_goes_on_holding(shop: Folder) -> None:
    shop.edit("features/cardiac.py", 'max_age="30d"', 'max_age="2d"')
    shop.run("lock")
    remove_code(shop)
    assert joined(shop, "chol_level") == ["210.0", ""]
    shop.run("sync", "--full")
    assert status(shop, "chol_level") == "expired"


# --- removed and retired ---------------------------------------------------------------------------------


def test_a_removed_feature_is_served_and_every_command_says_so(shop: Folder) -> None:
    remove_code(shop)
    said = "chol_level is no longer declared; it goes on being served until featurestore retire chol_level"
    assert said in shop.run("check").out
    assert shop.json("check")["notes"] == [said]
    assert shop.json("sync")["warnings"] == [said]
    assert shop.json("get", "patient", "001")["warnings"] == [said]
    assert said in shop.run("get", "patient", "001").err
    assert said in shop.run(*JOIN, "chol_level").err
    assert shop.json("get", "patient", "001", "-f", "age_share")["warnings"] == []
    (found,) = (item for item in shop.json("doctor")["checks"] if item["area"] == "features" and item["hint"])
    assert (found["state"], found["what"]) == ("warn", said)
    shown = shop.json("show", "chol_level")
    assert (shown["declared"], shown["retired"], shown["owner"], shown["metadata"]["max_age"]) == (
        False,
        False,
        "ann",
        "30d",
    )
    assert said in shop.run("show", "chol_level").out
    assert len(shop.json("history", "chol_level", "001")["values"]) == 2
    assert online(shop) == {"age_share", "chol_level"}


def test_a_retired_feature_is_served_no_more_and_its_history_stays(shop: Folder) -> None:
    remove_code(shop)
    before = stored_values(shop)
    planned = shop.json("retire", "chol_level", "--dry-run")
    assert (planned["changed"], planned["online"], online(shop)) == (True, True, {"age_share", "chol_level"})
    assert "chol_level is retired" in shop.run("retire", "chol_level").out
    assert online(shop) == {"age_share"}
    assert stored_values(shop) == before // 2
    again = shop.json("retire", "chol_level")
    assert (again["changed"], again["online"], again["rows_erased"]) == (False, False, 0)
    assert "nothing changed" in shop.run("retire", "chol_level").out
    assert (shop.json("check")["notes"], shop.json("sync")["warnings"]) == ([], [])
    assert online(shop) == {"age_share"}
    assert shop.json("verify")["unexpected"] == 0
    assert "no feature 'chol_level'" in shop.run("get", "patient", "001", "-f", "chol_level", code=2).err
    assert "was retired" in shop.run("sync", "--feature", "chol_level", code=2).err
    assert shop.json("show", "chol_level")["retired"] is True
    assert len(shop.json("history", "chol_level", "001")["values"]) == 2
    assert "was retired" in shop.run(*JOIN, "chol_level").err
    assert [item["name"] for item in shop.json("plan")["features"]] == ["age_share"]
    assert [item["feature"] for item in shop.json("drift")["features"]] == ["age_share"]


def test_a_feature_retired_in_another_checkout_leaves_at_the_next_sync(shop: Folder) -> None:
    remove_code(shop)
    folder = shop.root / "features" / ".versions" / "chol_level"
    (folder / "retired").write_text('since = "2026-01-01T00:00:00Z"\n')
    assert online(shop) == {"age_share", "chol_level"}
    shop.run("sync")
    assert (online(shop), stored_values(shop)) == ({"age_share"}, 2)


@pytest.mark.parametrize("name", ["retired", "active"])
def test_a_damaged_file_of_one_feature_is_its_problem_alone(shop: Folder, name: str) -> None:
    remove_code(shop)
    file = shop.root / "features" / ".versions" / "chol_level" / name
    file.write_text("since = 7\n")
    found = shop.json("verify", code=1)
    assert (found["checked"], found["missing"], found["unexpected"]) == (2, 0, 0)
    (said,) = found["warnings"]
    assert said.startswith("chol_level was not compared: ")
    assert str(file) in said
    (left,) = (line for line in shop.json("sync", code=3)["warnings"] if "stays as it is" in line)
    assert str(file) in left
    assert online(shop) == {"age_share", "chol_level"}
    assert shop.json("get", "patient", "001", "-f", "age_share")["warnings"] == []
    got = shop.json("get", "patient", "001")
    assert len(got["entities"][0]["features"]) == 2
    assert shop.json("list")["features"][0]["name"] == "age_share"
    shop.run(*JOIN, "age_share")
    if name == "retired":
        assert str(file) in got["warnings"][0]
        assert str(file) in shop.run("plan").err
        assert str(file) in shop.run("retire", "chol_level", code=2).err
        file.unlink()
        shop.run("retire", "chol_level")
        assert online(shop) == {"age_share"}


def test_lineage_answers_for_a_feature_whose_code_is_gone(shop: Folder) -> None:
    remove_code(shop)
    found = shop.json("lineage", "chol_level")
    assert (found["declared"], found["retired"], found["source"]["name"]) == (False, False, "visits")
    assert [item["active"] for item in found["versions"]] == [True]
    shop.run("retire", "chol_level")
    ran = shop.run("lineage", "chol_level")
    assert "chol_level was retired" in ran.err
    assert "version 1" in ran.out
    assert shop.json("lineage", "chol_level")["retired"] is True
    assert "no feature 'chol_lvel'" in shop.run("lineage", "chol_lvel", code=2).err


def test_get_says_that_an_erasure_is_not_complete(shop: Folder) -> None:
    (shop.root / ".featurestore" / "erasing").touch()
    assert "an erasure was broken off" in shop.json("get", "patient", "001")["warnings"][0]
    shop.run("sync")
    assert shop.json("get", "patient", "001")["warnings"] == []


def test_a_feature_that_is_declared_again_is_not_retired(shop: Folder) -> None:
    remove_code(shop)
    shop.run("retire", "chol_level")
    shop.write({"features/cardiac.py": TWO})
    assert shop.json("show", "chol_level")["retired"] is False
    shop.run("ingest")
    shop.run("sync")
    assert online(shop) == {"age_share", "chol_level"}
    remove_code(shop)
    assert len(shop.json("check")["notes"]) == 1


def test_erasing_removes_the_history(shop: Folder) -> None:
    remove_code(shop)
    planned = shop.json("retire", "chol_level", "--erase", "--dry-run")
    assert planned["rows_erased"] == 3
    assert len(shop.json("history", "chol_level", "001")["values"]) == 2
    erased = shop.json("retire", "chol_level", "--erase", "--yes")
    assert (erased["rows_erased"], erased["erased"]) == (3, True)
    assert shop.json("history", "chol_level", "001")["values"] == []
    assert shop.json("retire", "chol_level", "--erase", "--yes")["rows_erased"] == 0
    assert shop.json("sync")["features"][0]["name"] == "age_share"
    assert (online(shop), stored_values(shop)) == ({"age_share"}, 2)
    assert shop.json("verify")["unexpected"] == 0


def test_what_can_not_be_retired_says_why(shop: Folder) -> None:
    assert "is declared" in shop.run("retire", "chol_level", code=2).err
    assert "did you mean 'chol_level'" in shop.run("retire", "chol_levl", code=2).err
    remove_code(shop)
    assert "did you mean 'chol_level'" in shop.run("retire", "chol_levl", code=2).err
    shop.write({"features/other.py": "from featurestore import feature\n\n@feature(\n"})
    assert "can't be parsed" in shop.run("retire", "chol_level", code=2).err
    assert shop.json("sync")["warnings"] == []


def test_a_store_that_is_down_does_not_keep_a_feature_from_being_retired(project: Folder) -> None:
    text = (project.root / "featurestore.toml").read_text()
    project.write(
        {"featurestore.toml": f'{text}\n[online]\nurl = "redis://127.0.0.1:1/0"\n', "features/cardiac.py": TWO}
    )
    project.run("ingest")
    remove_code(project)
    ran = project.run("retire", "chol_level", code=3)
    assert "at the next sync" in ran.err
    assert project.json("show", "chol_level")["retired"] is True


# --- renamed ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["command", "hand"])
def test_a_renamed_feature_keeps_all_it_had(shop: Folder, by: str) -> None:
    shop.edit("features/cardiac.py", 'pl.col("chol")', 'pl.col("chol") * 2')
    shop.run("ingest", "chol_level")
    shop.run("promote", "chol_level", "1")
    shop.run("baseline", "chol_level", "1")
    before = shop.json("history", "chol_level", "001")["values"]
    as_of = shop.json("runs")["runs"][0]["finished_at"]
    timelines = [shop.json("drift", name)["runs"] for name in ("chol_level@1", "chol_level@2")]
    last = shop.json("stats", "chol_level@2")["run_id"]
    if by == "command":
        done = shop.json("rename", "chol_level", "chol")
        assert (done["changed"], done["versions"], done["history"]) == (True, [1, 2], {"versions": 2, "rows": 6})
    else:
        shop.edit("features/cardiac.py", "def chol_level", "def chol")
        shop.edit("features/cardiac.py", 'owner="ann"', 'owner="ann", renamed_from="chol_level"')
    ran = shop.run("ingest")
    assert ("was carried over" in ran.err) == (by == "hand")
    assert shop.json("history", "chol", "001")["values"] == before
    shown = shop.json("show", "chol")
    assert (shown["active_version"], [item["version"] for item in shown["versions"]]) == (1, [1, 2])
    assert shop.json("get", "patient", "001")["entities"][0]["features"]["chol_level"]["status"] in ("ok", "expired")
    assert shop.json("sync")["warnings"] == []
    assert online(shop) == {"age_share", "chol"}
    assert stored_values(shop) == 4
    assert joined(shop, "chol", "--as-of", as_of) == ["210.0", ""]
    assert joined(shop, "chol@2", "--known")[0] == ""
    assert "was renamed to chol" in shop.run(*JOIN, "chol_level").err
    assert "was renamed to chol" in shop.run("show", "chol_level").out
    assert shop.json("check")["findings"] == []
    assert shop.json("check")["notes"] == []
    assert [shop.json("drift", name)["runs"] for name in ("chol@1", "chol@2")] == timelines
    assert [item["feature"] for item in shop.json("drift")["features"]] == ["age_share", "chol"]
    assert shop.json("stats", "chol@2")["run_id"] == last
    assert shop.features()["chol"]["status"] == "unchanged"
    assert shop.json("verify")["unexpected"] == 0


def test_a_name_is_served_until_the_new_one_has_its_history(shop: Folder) -> None:
    """The code was renamed and locked in another checkout; this store has not seen it yet."""
    shop.edit("features/cardiac.py", "def chol_level", "def chol")
    shop.edit("features/cardiac.py", 'owner="ann"', 'owner="ann", renamed_from="chol_level"')
    assert "featurestore ingest chol" in shop.json("sync")["warnings"][0]
    shop.run("lock")
    assert shop.json("check")["findings"] == []
    shop.run("sync")
    assert online(shop) == {"age_share", "chol_level"}
    shop.run("ingest", "chol")
    shop.run("sync")
    assert online(shop) == {"age_share", "chol"}


def test_a_rename_shows_its_edits_and_is_done_once(shop: Folder) -> None:
    shop.write({"featurestore.toml": (shop.root / "featurestore.toml").read_text() + dedent("""
        [feature_sets.model]
        features = ["age_share", "chol_level@1"]
        [drift.features.chol_level]
        threshold = 0.3
    """)})  # fmt: skip
    files = {path: path.read_bytes() for path in (shop.root / "features").rglob("*") if path.is_file()}
    files[shop.root / "featurestore.toml"] = (shop.root / "featurestore.toml").read_bytes()
    planned = shop.json("rename", "chol_level", "chol", "--dry-run")
    assert {path: path.read_bytes() for path in files} == files
    assert [edit["file"] for edit in planned["edits"]] == ["features/cardiac.py"] * 2 + ["featurestore.toml"] * 2
    assert not (shop.root / "features/.versions/chol").exists()
    done = shop.json("rename", "chol_level", "chol")
    assert done["edits"] == planned["edits"]
    code = (shop.root / "features/cardiac.py").read_text()
    assert 'owner="ann", renamed_from="chol_level")\ndef chol() -> pl.Expr:' in code
    toml = (shop.root / "featurestore.toml").read_text()
    assert ('["age_share", "chol@1"]' in toml, "[drift.features.chol]" in toml) == (True, True)
    again = shop.json("rename", "chol_level", "chol")
    assert (again["changed"], again["edits"]) == (False, [])
    assert "nothing changed" in shop.run("rename", "chol_level", "chol").out
    assert shop.json("join", "labels.csv", "--timestamp-column", "at", "-f", "@model", "--dry-run")


def test_what_is_computed_from_a_renamed_feature_goes_on_being_served(shop: Folder) -> None:
    scaled = """

@feature(entity_type="patient", data_type="float", inputs=["age_share"], request={"k": "float"})
def scaled() -> pl.Expr:
    return pl.col("age_share") * pl.col("k")
"""
    shop.write({"features/cardiac.py": TWO + scaled})
    shop.run("lock")
    shop.run("sync")
    ask = ("get", "patient", "001", "-f", "scaled", "--request", "k=2")

    def served() -> tuple[int, float]:
        found = shop.json(*ask)["entities"][0]["features"]["scaled"]
        return found["version"], found["value"]

    before = served()
    warning = "scaled has the input age_share (features/cardiac.py:"
    assert warning in shop.json("rename", "age_share", "age_part", "--dry-run")["warnings"][0]
    assert f"warning: {warning}" in shop.run("rename", "age_share", "age_part").err
    assert served() == before, "its declaration is broken, its version is not"
    shop.run("sync")
    assert served() == before, "the input is online under its new name alone"
    shop.edit("features/cardiac.py", 'inputs=["age_share"]', 'inputs=["age_part"]')
    shop.edit("features/cardiac.py", 'pl.col("age_share")', 'pl.col("age_part")')
    assert served() == before
    shop.run("lock")
    assert served() == (before[0] + 1, before[1])
    shop.run("promote", "scaled", str(before[0]))
    assert served() == before
    shop.edit("features/cardiac.py", 'pl.col("age") / 100', 'pl.col("age") / 10')
    shop.write({"visits2.csv": "patient_id,visit_at,age,chol\n001,2024-02-01T12:00:00Z,50,\n"})
    shop.run("ingest")
    shop.run("sync")
    assert served() == (before[0], 1.0), "what is new reaches the version of the input that it is bound to"
    shop.write({"asked.csv": "patient_id,at,k\n001,2024-02-02T00:00:00Z,2\n"})
    joined = shop.run("join", "asked.csv", "--timestamp-column", "at", "-f", "scaled").out
    assert joined.splitlines()[1] == "001,2024-02-02T00:00:00Z,2,1.0"


def test_a_function_that_others_call_keeps_its_name(shop: Folder) -> None:
    shop.write({"features/use.py": 'from importlib import import_module\n\nsame = "chol_level"\n'})
    shop.run("rename", "chol_level", "chol")
    code = (shop.root / "features/cardiac.py").read_text()
    assert 'name="chol", renamed_from="chol_level")\ndef chol_level()' in code
    assert shop.json("show", "chol")["active_version"] == 1


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ('@feature(name="level", entity_type="patient", data_type="float")', 'name="chol", entity_type'),
        ('@feature(\n    entity_type="patient",\n    name="level",\n    data_type="float",\n)',
         '    data_type="float",\n    renamed_from="level",\n)'),
        ('@feature(entity_type="patient", data_type="float", name="level", renamed_from="older")',
         'name="chol", renamed_from="level")'),
    ],
)  # fmt: skip
def test_declarations_of_every_shape_are_edited(project: Folder, head: str, expected: str) -> None:
    start = "import polars as pl\n\nfrom featurestore import feature\n\n\n"
    project.write({"features/cardiac.py": f'{start}{head}\ndef größe() -> pl.Expr:\n    return pl.col("chol")\n'})
    project.run("ingest")
    project.run("rename", "level", "chol")
    assert expected in (project.root / "features/cardiac.py").read_text(encoding="utf-8")
    assert project.features()["chol"]["status"] == "unchanged"


def test_what_can_not_be_renamed_says_why(shop: Folder) -> None:
    def refused(*names: str) -> str:
        before = (shop.root / "features/cardiac.py").read_bytes()
        err = shop.run("rename", *names, code=2).err
        assert (shop.root / "features/cardiac.py").read_bytes() == before
        return err

    assert "did you mean 'chol_level'" in refused("chol_levl", "chol")
    assert "already" in refused("chol_level", "age_share")
    assert "not a feature name" in refused("chol_level", "Chol")
    assert "has that name" in refused("chol_level", "chol_level")
    shop.write({"features/family.py": TWO[: TWO.index("@feature")] + dedent("""
        @feature(entity_type="patient", data_type="float", params={"n": [1, 2]}, name="times_{n}")
        def times(n: int) -> pl.Expr:
            return pl.col("chol") * n
    """)})  # fmt: skip
    assert "family" in refused("times_1", "once")
