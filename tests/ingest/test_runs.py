"""One run: what it writes, what it leaves alone, and what the audit log says of it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from tests.conftest import AGE, VISITS, Folder


def history(project: Folder, feature: str, entity: str) -> list[object]:
    return [item["value"] for item in project.json("history", feature, entity)["values"]]


def test_a_first_run_writes_every_value_and_the_version_file(project: Folder) -> None:
    found = project.json("ingest")
    (feature,) = found["features"]
    assert found["status"] == "ok"
    assert (feature["name"], feature["version"], feature["status"], feature["source"]) == (
        "age_share",
        1,
        "ok",
        "visits",
    )
    assert (feature["rows_read"], feature["rows_written"], feature["rows_rejected"]) == (3, 3, 0)
    assert feature["new_version"] is True
    (path,) = (project.root / "features" / ".versions" / "age_share").glob("*.py")
    assert path.name == f"0001-{feature['sha256'][:12]}.py"


def test_the_same_again_changes_nothing_and_says_so(project: Folder) -> None:
    project.run("ingest")
    before = project.json("runs")["runs"]
    again = project.run("ingest")
    assert "nothing new" in again.out
    (feature,) = project.features().values()
    assert (feature["status"], feature["rows_written"], feature["new_version"]) == ("unchanged", 0, False)
    after = project.json("runs")["runs"]
    assert [run["run_seq"] for run in after] == [None, None, *[run["run_seq"] for run in before]]
    assert len(history(project, "age_share", "001")) == 2


def test_full_computes_again_and_still_writes_nothing(project: Folder) -> None:
    project.run("ingest")
    feature = project.features("--full")["age_share"]
    assert (feature["rows_read"], feature["rows_unchanged"], feature["rows_written"]) == (3, 3, 0)


def test_a_new_file_brings_its_rows_and_a_late_one_lands_in_its_place(project: Folder) -> None:
    project.run("ingest")
    project.write({"visits2.csv": "patient_id,visit_at,age,chol\n001,2024-01-20T00:00:00Z,77,\n"})
    feature = project.features()["age_share"]
    assert (feature["rows_written"], feature["rows_unchanged"]) == (1, 0)
    assert history(project, "age_share", "001") == [0.5, 0.77, 0.51]


def test_a_correction_is_stored_beside_the_value_that_it_corrects(project: Folder) -> None:
    project.run("ingest")
    project.edit("visits.csv", "2024-02-01T00:00:00Z,51", "2024-02-01T00:00:00Z,61")
    feature = project.features()["age_share"]
    assert (feature["rows_written"], feature["rows_corrected"], feature["rows_unchanged"]) == (0, 1, 0)
    assert history(project, "age_share", "001") == [0.5, 0.51, 0.61]


def test_updated_at_decides_between_two_rows_of_one_moment(project: Folder) -> None:
    project.edit("featurestore.toml", 'event_time = "visit_at"', 'event_time = "visit_at"\nupdated_at = "updated_at"')
    project.write(
        {
            "visits.csv": """
            patient_id,visit_at,age,chol,updated_at
            001,2024-01-01T00:00:00Z,55,,2024-01-09T00:00:00Z
            001,2024-01-01T00:00:00Z,50,,2024-01-01T00:00:00Z
            """
        }
    )
    project.run("ingest")
    assert history(project, "age_share", "001") == [0.55]


@pytest.mark.parametrize("by_input", [False, True])
def test_a_row_that_comes_late_and_is_older_than_what_is_held_is_counted_and_said(
    project: Folder, tmp_path: Path, by_input: bool
) -> None:
    project.edit("featurestore.toml", 'event_time = "visit_at"', 'event_time = "visit_at"\nupdated_at = "updated_at"')
    header, moment = "patient_id,visit_at,age,chol,updated_at\n", "001,2024-01-01T00:00:00Z"
    (project.root / "visits.csv").write_text(f"{header}{moment},55,,2024-01-09T00:00:00Z\n")
    project.run("ingest")
    late = project.root / ("late.csv" if by_input else "visits-2.csv")
    late.write_text(f"{header}{moment},50,,2024-01-05T00:00:00Z\n")
    if not by_input:
        (project.root / "visits.csv").unlink()
    ran = project.run("ingest", *(("--input", str(late)) if by_input else ()))
    assert "no new values: 1 row is older than what is held, by updated_at" in ran.out
    assert project.json("runs", "--last", "1")["runs"][0]["features"][0]["rows_older"] == 1
    assert history(project, "age_share", "001") == [0.55]


def test_a_version_that_was_locked_beforehand_is_not_called_active_again(project: Folder) -> None:
    project.run("ingest")
    project.edit("features/cardiac.py", "/ 100", "/ 50")
    project.run("lock")
    feature = project.features()["age_share"]
    assert (feature["version"], feature["rows_written"], feature["note"]) == (2, 3, None)


def test_two_values_for_one_moment_fail_naming_feature_entity_and_both_rows(project: Folder) -> None:
    project.write({"visits.csv": VISITS + "001,2024-01-01T00:00:00Z,99,\n"})
    (feature,) = project.json("ingest", code=4)["features"]
    assert feature["status"] == "failed"
    message = feature["error"]["message"]
    assert "patient_id=001" in message
    assert "visits.csv row 1" in message
    assert "visits.csv row 4" in message
    assert "updated_at" in feature["error"]["hint"]
    assert not list((project.root / "features").glob(".versions/age_share/*.py")), "nothing of a failed feature stays"


def test_rows_that_break_a_rule_are_rejected_with_the_reason(project: Folder) -> None:
    project.write(
        {
            "visits.csv": VISITS
            + "003,2024-01-01T00:00:00Z,430,\n004,2024-01-01T00:00:00Z,old,\n,2024-01-01T00:00:00Z,4,\n"
        }
    )
    found = project.json("ingest", code=3)
    (feature,) = found["features"]
    assert (found["status"], feature["status"]) == ("partial", "ok")
    assert (feature["rows_read"], feature["rows_rejected"], feature["rows_written"]) == (6, 3, 3)
    rejected = project.json("runs", found["run_id"])["runs"][0]["rejected"]
    assert [(row["file"], row["row"], row["column"]) for row in rejected] == [
        ("visits.csv", 4, "age"), ("visits.csv", 5, "age"), ("visits.csv", 6, "patient_id"),
    ]  # fmt: skip
    assert "430" in rejected[0]["reason"]
    assert rejected[0]["values"]["patient_id"] == "003"


def test_strict_refuses_a_source_with_bad_rows(project: Folder) -> None:
    project.write({"visits.csv": VISITS + "003,2024-01-01T00:00:00Z,430,\n"})
    (feature,) = project.json("ingest", "--strict", code=4)["features"]
    assert "1 row of 'visits' breaks its rules" in feature["error"]["message"]
    assert feature["error"]["where"] == "visits.csv row 4"


def test_a_row_ahead_of_the_clock_is_left_out_unless_allowed(project: Folder) -> None:
    project.write({"visits.csv": VISITS + "003,2999-01-01T00:00:00Z,30,\n"})
    feature = project.features(code=3)["age_share"]
    assert (feature["rows_written"], feature["rows_rejected"]) == (3, 1)
    feature = project.features("--full", "--allow-future")["age_share"]
    assert (feature["rows_written"], feature["rows_rejected"]) == (1, 0)


def test_an_edited_weight_makes_the_next_version_with_no_step_to_remember(project: Folder) -> None:
    project.run("ingest")
    project.edit("features/cardiac.py", "/ 100", "/ 50")
    feature = project.features()["age_share"]
    assert (feature["version"], feature["new_version"], feature["rows_written"]) == (2, True, 3)
    assert history(project, "age_share@1", "002") == [0.6]
    assert history(project, "age_share@2", "002") == [1.2]
    assert history(project, "age_share", "002") == [1.2], "the last committed version is the active one"


def test_code_put_back_re_activates_its_version_and_the_run_says_so(project: Folder) -> None:
    project.run("ingest")
    project.edit("features/cardiac.py", "/ 100", "/ 50")
    project.run("ingest")
    project.edit("features/cardiac.py", "/ 50", "/ 100")
    feature = project.features()["age_share"]
    assert (feature["version"], feature["status"], feature["new_version"]) == (1, "unchanged", False)
    assert feature["note"] == "version 1 is active again"
    project.edit("features/cardiac.py", "/ 100", "/ 50")
    assert "the sources have not changed since it was ingested" in project.run("ingest").out
    project.edit("features/cardiac.py", "/ 50", "/ 100")
    project.run("ingest")
    assert history(project, "age_share", "002") == [0.6]
    assert project.json("list")["features"][0]["active_version"] == 1


def test_a_comment_a_docstring_and_the_formatter_make_no_version(project: Folder) -> None:
    project.run("ingest")
    project.edit("features/cardiac.py", "    return pl.col", '    """Age."""\n    # a share\n    return (  pl.col')
    project.edit("features/cardiac.py", "/ 100", "/ 100)")
    assert project.features()["age_share"]["status"] == "unchanged"


def test_a_dry_run_counts_and_keeps_nothing(project: Folder) -> None:
    feature = project.features("--dry-run")["age_share"]
    assert (feature["rows_written"], feature["version"]) == (3, 1)
    assert project.json("runs")["runs"] == []
    assert not (project.root / "features" / ".versions" / "age_share").exists()


def test_a_version_file_that_is_gone_is_missed_by_a_run_without_news_too(ingested: Folder) -> None:
    """Such a run commits nothing and writes nothing: it says what does."""
    (path,) = (ingested.root / "features/.versions/age_share").glob("0001-*.py")
    path.unlink()
    ran = ingested.run("ingest", "--json")
    (feature,) = ran.json["features"]
    assert (feature["status"], feature["new_version"], path.exists()) == ("unchanged", False, False)
    assert ran.json["warnings"] == ["age_share has no version file; featurestore lock age_share writes it"]
    ingested.run("lock", "age_share")
    assert path.exists()
    assert ingested.json("ingest")["warnings"] == []


def test_a_dry_run_changes_no_byte_but_of_caches(ingested: Folder) -> None:
    """Neither stores nor versions, nor what the next run does, reports and counts."""
    ingested.run("sync")
    ingested.edit("features/cardiac.py", "/ 100", "/ 10")
    ingested.write({"visits-more.csv": "patient_id,visit_at,age,chol\n003,2024-03-01T00:00:00Z,70,1\n"})
    twin = Folder(ingested.root.with_name("twin"), ingested._capture)
    shutil.copytree(ingested.root, twin.root)
    before = files(ingested.root)
    planned = ingested.features("--dry-run")["age_share"]
    assert files(ingested.root) == before
    done = [each.features()["age_share"] for each in (ingested, twin)]
    counts = ("version", "new_version", "rows_read", "rows_written", "rows_rejected", "rows_computed", "reason")
    assert [done[0][name] for name in counts] == [done[1][name] for name in counts]
    assert (planned["rows_written"], planned["reason"]) == (done[0]["rows_written"], done[0]["reason"])


def files(root: Path) -> dict[str, bytes]:
    """Of a project, without the caches of parsed rows and hashes, and the lock."""
    caches = (".featurestore/rows", ".featurestore/hashes", ".featurestore/lock")
    found = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    kept = {name: path for name, path in found.items() if not name.startswith(caches) and "__pycache__" not in name}
    return {name: path.read_bytes() for name, path in kept.items()}


def test_input_takes_the_place_of_the_source_s_path(project: Folder, tmp_path: Path) -> None:
    slice_ = tmp_path / "slice.txt"
    slice_.write_text("patient_id,visit_at,age,chol\n009,2024-05-01T00:00:00Z,90,\n")
    assert project.features("--input", str(slice_))["age_share"]["rows_written"] == 1
    assert project.features()["age_share"]["rows_written"] == 3


def test_parquet_and_json_lines_are_sources_too(project: Folder) -> None:
    rows = pl.read_csv(project.root / "visits.csv", schema_overrides={"patient_id": pl.String})
    rows.write_parquet(project.root / "visits.parquet")
    rows.write_ndjson(project.root / "visits.ndjson")
    project.run("ingest")
    expected = project.run("export", "age_share").out.split("\n")
    for form in ("parquet", "ndjson"):
        project.edit("featurestore.toml", 'name = "test"', f'name = "test-{form}"')
        text = (project.root / "featurestore.toml").read_text()
        changed = text.replace('type = "csv"', f'type = "{form}"').replace("visits*.csv", f"visits.{form}")
        (project.root / "featurestore.toml").write_text(changed)
        feature = project.features("--allow-shrunk")["age_share"]
        assert (feature["rows_unchanged"], feature["rows_written"]) == (3, 0), form
        (project.root / "featurestore.toml").write_text(text.replace(f"test-{form}", "test"))
    assert project.run("export", "age_share").out.split("\n") == expected


def test_a_file_that_is_gone_fails_features_that_see_the_whole_source(project: Folder) -> None:
    project.edit("features/cardiac.py", 'pl.col("age") / 100', 'pl.col("age") / pl.col("age").max()')
    project.write({"visits2.csv": "patient_id,visit_at,age,chol\n003,2024-03-01T00:00:00Z,40,\n"})
    project.run("ingest")
    (project.root / "visits2.csv").unlink()
    (feature,) = project.json("ingest", code=4)["features"]
    assert "visits2.csv" in feature["error"]["message"]
    assert "--allow-shrunk" in feature["error"]["hint"]
    assert project.features("--allow-shrunk")["age_share"]["rows_written"] == 0


def test_a_file_that_is_gone_is_nothing_to_features_that_see_a_row_at_a_time(project: Folder) -> None:
    project.write({"visits2.csv": "patient_id,visit_at,age,chol\n003,2024-03-01T00:00:00Z,40,\n"})
    project.run("ingest")
    (project.root / "visits2.csv").unlink()
    feature = project.features()["age_share"]
    assert (feature["status"], feature["rows_written"], feature["rows_corrected"]) == ("unchanged", 0, 0)
    assert history(project, "age_share", "003") == [0.4]


def test_all_files_that_are_gone_are_named(project: Folder) -> None:
    project.edit("features/cardiac.py", 'pl.col("age") / 100', 'pl.col("age") / pl.col("age").max()')
    names = [f"visits{number}.csv" for number in range(2, 14)]
    project.write({name: f"patient_id,visit_at,age,chol\n{name[6:-4]},2024-03-01T00:00:00Z,40,\n" for name in names})
    project.run("ingest")
    for name in names:
        (project.root / name).unlink()
    (feature,) = project.json("ingest", code=4)["features"]
    assert (
        f"{', '.join(sorted(names)[:10])} and 2 more of the source 'visits' were there" in feature["error"]["message"]
    )


def test_another_run_s_lock_is_waited_for_and_its_holder_named(project: Folder) -> None:
    from featurestore.config import load_project
    from featurestore.locking import write_lock

    with write_lock(load_project(project.root)):
        ran = project.run("ingest", "--lock-timeout", "0", code=11)
    assert "holds the lock" in ran.err
    project.run("ingest", "--lock-timeout", "0")


def test_a_source_without_times_is_dated_by_the_run_and_only_changes_are_stored(project: Folder) -> None:
    project.edit("featurestore.toml", 'event_time = "visit_at"\n', "")
    project.write({"visits.csv": "patient_id,age,chol\n001,50,\n002,60,\n"})
    assert project.features()["age_share"]["rows_written"] == 2
    project.write({"visits.csv": "patient_id,age,chol\n001,50,\n002,70,\n"})
    feature = project.features()["age_share"]
    assert (feature["rows_written"], feature["rows_unchanged"]) == (1, 1)
    assert history(project, "age_share", "002") == pytest.approx([0.6, 0.7])


@pytest.mark.parametrize("flag", ["--source", "--input"])
def test_a_source_that_is_not_there_is_named(project: Folder, flag: str) -> None:
    if flag == "--source":
        assert "did you mean 'visits'?" in project.run("ingest", "--source", "visit", code=2).err
    else:
        ran = project.run("ingest", "--input", "nowhere.csv", code=2)
        assert "nowhere.csv does not exist" in ran.err
        assert "no file matches nowhere-*.csv" in project.run("ingest", "--input", "nowhere-*.csv", code=2).err
        assert project.json("runs")["runs"] == []  # a typo is no failed run


def test_a_mistyped_feature_gets_a_did_you_mean(project: Folder) -> None:
    ran = project.run("ingest", "age_shore", "--json", code=2)
    assert ran.json["error"]["hint"] == "did you mean 'age_share'?"


def test_without_features_the_run_says_what_to_do(project: Folder) -> None:
    (project.root / "features" / "cardiac.py").unlink()
    assert "there are no features" in project.run("ingest").out


def test_families_and_several_data_types_are_stored_in_their_types(project: Folder) -> None:
    project.write(
        {
            "features/cardiac.py": AGE
            + """

@feature(name="age_above_{limit}", entity_type="patient", data_type="bool", params={"limit": [50, 55]})
def age_above(limit: int) -> pl.Expr:
    return pl.col("age") > limit


@feature(entity_type="patient", data_type="list[float, 2]")
def vitals(visits: pl.LazyFrame) -> pl.LazyFrame:
    return visits.select("patient_id", value=pl.concat_list(pl.col("age"), pl.col("chol")), computed_at="visit_at")


@feature(entity_type="patient", data_type="string")
def decade() -> pl.Expr:
    return (pl.col("age") // 10 * 10).cast(pl.String) + "s"


@feature(entity_type="patient", data_type="date")
def day() -> pl.Expr:
    return pl.col("visit_at").dt.date()


@feature(entity_type="patient", data_type="datetime")
def moment() -> pl.Expr:
    return pl.col("visit_at")


@feature(entity_type="patient", data_type="int")
def age() -> pl.Expr:
    return pl.col("age")
"""
        }
    )
    project.run("ingest")
    assert history(project, "age_above_50", "001") == [False, True]
    assert history(project, "age_above_55", "001") == [False, False]
    assert history(project, "vitals", "001") == [[50.0, 200.5], [51.0, 210.0]]
    assert history(project, "decade", "001") == ["50s", "50s"]
    assert history(project, "day", "001") == ["2024-01-01", "2024-02-01"]
    assert history(project, "moment", "001") == ["2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z"]
    assert history(project, "age", "001") == [50, 51]


def test_two_features_of_the_same_code_are_two_features(project: Folder) -> None:
    twin = AGE.split("\n\n\n", 1)[1].replace("age_share", "age_twin")
    project.write({"features/cardiac.py": AGE + "\n\n" + twin})
    found = project.features()
    assert found["age_share"]["sha256"] == found["age_twin"]["sha256"]
    assert {name: item["rows_written"] for name, item in found.items()} == {"age_share": 3, "age_twin": 3}
    assert history(project, "age_twin", "002") == history(project, "age_share", "002") == [0.6]
    project.edit("visits.csv", "2024-01-15T00:00:00Z,60", "2024-01-15T00:00:00Z,70")
    assert {item["rows_corrected"] for item in project.features().values()} == {1}


@pytest.mark.parametrize("more", [1, 2, 3, 7])
def test_a_value_has_the_same_bits_whatever_the_number_of_rows_beside_it(project: Folder, more: int) -> None:
    head = "patient_id,visit_at,age,chol\n001,2024-01-01T00:00:00Z,70,\n002,2024-01-01T00:00:00Z,71,\n"
    rest = "".join(f"1{n},2024-01-01T00:00:00Z,{20 + n},\n" for n in range(more))
    project.write({"visits.csv": head})
    project.run("ingest")
    project.write({"visits.csv": head + rest})
    feature = project.features()["age_share"]
    assert (feature["rows_corrected"], feature["rows_written"]) == (0, more)
    again = project.features("--full")["age_share"]
    assert (again["rows_corrected"], again["rows_unchanged"], again["rows_written"]) == (0, 2 + more, 0)


def test_a_pipe_and_a_pattern_are_inputs_too(project: Folder) -> None:
    rows = "patient_id,visit_at,age,chol\n009,2024-05-01T00:00:00Z,90,\n"
    command = [sys.executable, "-m", "featurestore", "ingest", "--input", "-", "--json"]
    done = subprocess.run(command, cwd=project.root, input=rows, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["features"][0]["rows_written"] == 1
    project.write({"late/a.csv": rows.replace("009", "010"), "late/b.csv": rows.replace("009", "011")})
    assert project.features("--input", str(project.root / "late" / "*.csv"))["age_share"]["rows_written"] == 2


def test_a_function_may_make_the_keys_itself(project: Folder) -> None:
    project.edit("visits.csv", "patient_id,", "number,")
    project.write(
        {
            "features/cardiac.py": """
            import polars as pl

            from featurestore import feature


            @feature(entity_type="patient", data_type="int")
            def age(rows: pl.DataFrame) -> pl.DataFrame:
                key = pl.col("number").cast(pl.String)
                return rows.select(key.alias("patient_id"), pl.col("visit_at").alias("computed_at"), value="age")
            """
        }
    )
    assert project.features()["age"]["rows_written"] == 3
    project.write({"visits2.csv": "number,visit_at,age,chol\n7,2024-03-01T00:00:00Z,40,\n"})
    feature = project.features()["age"]
    assert (feature["rows_written"], feature["rows_unchanged"]) == (1, 3)
    assert feature["reason"] == "whole source: it has no column patient_id"
