"""``ingest``, ``stats``, ``drift`` and ``baseline`` from the command line: output, errors and exit codes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import PROJECT, Folder, Once


def visits(month: int, *, shift: float = 0.0, rows: int = 300, nulls: float = 0.0) -> str:
    random = np.random.default_rng(month)
    lines = ["patient_id,visit_at,age,chol"]
    for row, (age, chol) in enumerate(zip(random.normal(50, 8, rows), random.normal(200, 30, rows), strict=True)):
        shown = "" if random.random() < nulls else f"{chol + shift * 30:.2f}"
        lines.append(f"{row:03d},2024-{month:02d}-{1 + row % 28:02d}T00:00:00Z,{int(age)},{shown}")
    return "\n".join(lines) + "\n"


CHOL = """
import polars as pl

from featurestore import feature


@feature(entity_type="patient", data_type="float", lookback="0", tags=["lipids"])
def chol() -> pl.Expr:
    return pl.col("chol")


@feature(entity_type="patient", data_type="int", lookback="0")
def years() -> pl.Expr:
    return pl.col("age")
"""


def make_watched(made: Folder) -> None:
    made.write({**PROJECT, "features/cardiac.py": CHOL})
    (made.root / "visits.csv").unlink()
    path = made.root / "visits01.csv"
    path.write_text(visits(1), encoding="utf-8")
    made.run("ingest")


@pytest.fixture
def watched(folder: Folder, once: Once) -> Folder:
    """A project of two features and a first run."""
    return once(make_watched, folder)


def add(
    project: Folder, month: int, code: int = 0, *flags: str, shift: float = 0.0, nulls: float = 0.0
) -> dict[str, Any]:
    """One more month of visits, ingested."""
    path = project.root / f"visits{month:02d}.csv"
    path.write_text(visits(month, shift=shift, nulls=nulls), encoding="utf-8")
    return project.features(*flags, code=code)


def test_the_first_run_of_a_version_is_its_reference(watched: Folder) -> None:
    first = watched.json("runs")["runs"][0]
    chol = add(watched, 2)["chol"]["drift"]
    assert (chol["reference_run"], chol["detected"], chol["method"]) == (first["run_id"], False, "jensenshannon")
    assert (chol["n"], chol["reference_n"]) == (300, 300)
    assert next(item for item in first["features"] if item["name"] == "chol")["drift"]["reference_run"] is None


def test_only_fail_on_drift_changes_the_exit_code(watched: Folder) -> None:
    assert add(watched, 2, shift=1.0)["chol"]["drift"]["detected"] is True
    assert add(watched, 3, 1, "--fail-on-drift", shift=1.0)["chol"]["status"] == "ok"
    assert len(watched.json("stats", "chol")["drift"]) == 3
    (watched.root / "visits04.csv").write_text(visits(4, shift=1.0), encoding="utf-8")
    said = watched.run("ingest", "-q", "--fail-on-drift", code=1)
    assert (said.out, said.err) == ("", "error: chol has drifted: score, range\n")


def test_a_shift_in_one_feature_leaves_the_other_alone(watched: Folder) -> None:
    found = add(watched, 2, shift=1.0)
    assert (found["chol"]["drift"]["reasons"], found["years"]["drift"]["reasons"]) == (["score"], [])


def test_nulls_that_appear_are_a_reason(watched: Folder) -> None:
    assert "null_share" in add(watched, 2, nulls=0.5)["chol"]["drift"]["reasons"]


def test_a_run_that_writes_nothing_records_no_point(watched: Folder) -> None:
    watched.run("ingest", "--full")
    assert len(watched.json("stats", "chol")["drift"]) == 1


def test_no_drift_still_stores_statistics_and_the_sample(watched: Folder) -> None:
    add(watched, 2, 0, "--no-drift")
    assert watched.json("stats", "chol")["drift"][-1]["score"] is None
    watched.run("baseline", "chol", "2")
    assert add(watched, 3)["chol"]["drift"]["reference_run"] == watched.json("runs", "2")["runs"][0]["run_id"]


def test_a_mistyped_setting_is_refused_with_the_nearest(watched: Folder) -> None:
    for text, said in (
        ('method = "jensen"', "'jensenshannon'"),
        ("threshold = 4", "from 0 to below 1"),
        ("sample = 3", "30 to 1,000,000"),
        ("[drift.features.chol]\nlimit = 1", "[drift.features.chol] has a key that is not known"),
    ):
        watched.edit("featurestore.toml", "[project]", f"[drift]\n{text}\n[project]")
        assert said in watched.run("ingest", code=2).err
        watched.edit("featurestore.toml", f"[drift]\n{text}\n[project]", "[project]")


def test_thresholds_by_feature_tag_and_project(watched: Folder) -> None:
    watched.edit(
        "featurestore.toml",
        "[project]",
        "[drift]\nthreshold = 0.3\n[drift.tags.lipids]\nthreshold = 0.4\n[project]",
    )
    found = add(watched, 2)
    assert (found["chol"]["drift"]["threshold"], found["years"]["drift"]["threshold"]) == (0.4, 0.3)
    watched.edit("featurestore.toml", "[project]", "[drift.features.chol]\nthreshold = 0.9\n[project]")
    assert add(watched, 3, shift=9.0)["chol"]["drift"]["threshold"] == 0.9


def test_the_method_is_stored_with_the_reference_until_another_is_set(watched: Folder) -> None:
    watched.edit("featurestore.toml", "[project]", '[drift]\nmethod = "ks"\n[project]')
    assert add(watched, 2)["chol"]["drift"]["method"] == "jensenshannon"
    watched.run("baseline", "chol", "1")
    verdict = add(watched, 3, shift=1.0)["chol"]["drift"]
    assert (verdict["method"], verdict["threshold"], verdict["detected"]) == ("ks", 0.95, True)
    assert (verdict["statistic"], verdict["score"]) == (verdict["p_value"], 1 - verdict["p_value"])


def test_baseline_sets_a_run_and_is_idempotent(watched: Folder) -> None:
    second = add(watched, 2, shift=1.0)["chol"]
    assert second["drift"]["detected"]
    assert watched.json("baseline", "chol", "--dry-run")["changed"] is True
    named = watched.json("baseline", "chol")
    assert (named["run_seq"], named["changed"]) == (2, True)
    assert watched.json("baseline", "chol", "2")["changed"] is False
    verdict = add(watched, 3, shift=1.0)["chol"]["drift"]
    assert (verdict["reference_run"], verdict["detected"]) == (named["run_id"], False)


def test_a_rolling_baseline_pools_the_runs_of_its_window(watched: Folder) -> None:
    add(watched, 2)
    assert watched.json("baseline", "chol", "--window", "30d")["window"] == "30d"
    verdict = add(watched, 3)["chol"]["drift"]
    runs = [run["run_id"] for run in watched.json("runs")["runs"]]
    assert (verdict["reference_run"], verdict["reference_since"], verdict["reference_n"]) == (runs[1], runs[2], 600)
    assert watched.run("drift", "--recompute").code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("baseline", "chol", "9"), "no run '9'"),
        (("baseline", "chol", "1", "--window", "3d"), "can't be combined"),
        (("baseline", "chol", "--window", "soon"), "is not a duration"),
        (("baseline", "chol", "--window", "0"), "longer than zero"),
        (("baseline", "cho"), "did you mean 'chol'"),
        (("drift", "--report", "x.html"), "about one feature"),
        (("stats", "chol", "--run", "9"), "no run '9'"),
    ],
)
def test_what_can_t_be_done_is_an_error(watched: Folder, arguments: tuple[str, ...], said: str) -> None:
    assert said in watched.run(*arguments, code=2).err


def test_the_overview_has_the_worst_first_and_since_when(watched: Folder) -> None:
    add(watched, 2)
    add(watched, 3, shift=1.0)
    add(watched, 4, shift=1.0)
    runs = [run["run_id"] for run in watched.json("runs")["runs"]]
    page = watched.json("drift")["features"]
    assert [item["feature"] for item in page] == ["chol", "years"]
    assert (page[0]["run_id"], page[0]["since_run"], page[0]["reference_run"]) == (runs[0], runs[1], runs[3])
    assert page[1]["since_run"] is None
    text = watched.run("drift").out
    assert "drifted: score" in text
    assert "1 of 2 features drifted" in text
    assert "| `chol@1` | drifted: score" in watched.run("drift", "--markdown").out


def test_a_damaged_version_file_hides_no_other_feature(watched: Folder) -> None:
    active = watched.root / "features" / ".versions" / "chol" / "active"
    active.write_text("what\n", encoding="utf-8")
    assert {item["feature"] for item in watched.json("drift")["features"]} == {"chol", "years"}
    assert watched.run("drift", "chol", code=2).err


def test_one_feature_has_its_timeline_with_the_threshold(watched: Folder) -> None:
    for month in (2, 3):
        add(watched, month, shift=month - 2)
    found = watched.json("drift", "chol", "--last", "2")
    assert [run["run_seq"] for run in found["runs"]] == [2, 3]
    assert found["reference"]["run_seq"] == 1
    text = watched.run("drift", "chol").out
    assert "┄" in text
    assert "drift above 0.1" in text
    assert watched.run("drift", "chol", "--markdown").out.startswith("### Drift of `chol@1`")


def test_verdicts_recomputed_from_the_samples_are_equal(watched: Folder) -> None:
    for month in (2, 3):
        add(watched, month, shift=month - 2)
    found = watched.json("drift", "--recompute")
    assert (found["checked"], found["different"]) == (6, 0)
    assert found["runs"][-1]["recorded"]["score"] == found["runs"][-1]["recomputed"]["score"]


def test_a_verdict_that_was_tampered_with_is_found(watched: Folder) -> None:
    import duckdb

    add(watched, 2)
    with duckdb.connect(str(watched.root / ".featurestore" / "history.duckdb")) as connection:
        connection.execute("""UPDATE run_features SET drift = replace(drift, '"score": ', '"score": 1')
                              WHERE name = 'chol' AND drift LIKE '%"reference_run": "%'""")
    found = watched.json("drift", "chol", "--recompute", code=1)
    assert (found["different"], found["runs"][1]["differs"]) == (1, ["score"])
    assert "was recomputed" in watched.run("drift", "chol", "--recompute", code=1).out
    quiet = watched.run("drift", "chol", "--recompute", "-q", code=1)
    assert (quiet.out, quiet.err) == ("", "error: 1 verdict came out differently\n")


def test_a_verdict_of_another_processor_which_rounds_otherwise_is_the_same(watched: Folder) -> None:
    import duckdb

    add(watched, 2, shift=1.0)
    score = watched.json("drift", "chol", "--recompute")["runs"][1]["recorded"]["score"]
    with duckdb.connect(str(watched.root / ".featurestore" / "history.duckdb")) as connection:
        connection.execute(
            "UPDATE run_features SET drift = replace(drift, ?, ?)",
            [f'"score": {score}', f'"score": {score * (1 + 9e-15)}'],
        )
    found = watched.json("drift", "chol", "--recompute")
    assert found["runs"][1]["recorded"]["score"] != found["runs"][1]["recomputed"]["score"]
    assert found["different"] == 0


def test_a_new_version_has_its_own_reference_and_is_compared_once_with_the_version_before(watched: Folder) -> None:
    add(watched, 2)
    watched.edit("features/cardiac.py", 'return pl.col("chol")', 'return pl.col("chol") * 2')
    verdict = watched.features()["chol"]["drift"]
    assert (verdict["reference_run"], verdict["detected"], verdict["score"]) == (None, False, 0.0)
    before = verdict["previous_version"]
    assert (before["detected"], before["n"], before["reference_n"]) == (True, 600, 600)
    assert "previous_version" not in add(watched, 3)["chol"]["drift"]
    assert "against the previous version" in watched.run("drift", "chol").out


def test_stats_markdown_and_json(watched: Folder) -> None:
    add(watched, 2)
    assert watched.run("stats", "chol", "--markdown").out.startswith("### `chol@1`")
    found = watched.json("stats", "chol", "--run", "1")
    assert (found["statistics"]["count"], found["statistics"]["entities"], found["version"]) == (300, 300, 1)


def test_a_feature_without_history_has_a_hint_to_ingest_it(project: Folder) -> None:
    assert "featurestore ingest age_share" in project.run("stats", "age_share", code=2).err
    assert "no feature has a run yet" in project.run("drift").out


def notify_with(watched: Folder, command: str) -> None:
    watched.edit("featurestore.toml", "[project]", f"[notify]\ncommand = '''{command}'''\n[project]")


def test_the_notify_command_gets_the_verdict_on_stdin(watched: Folder) -> None:
    notify_with(watched, f'{sys.executable} -c \'import sys; open("verdict.json", "a").write(sys.stdin.read())\'')
    add(watched, 2)
    assert not (watched.root / "verdict.json").exists()
    add(watched, 3, shift=1.0)
    (line,) = Path(watched.root / "verdict.json").read_text().splitlines()
    found = json.loads(line)
    assert (found["feature"], found["version"], found["detected"], found["reasons"]) == ("chol", 1, True, ["score"])
    assert found["run_id"] == watched.json("runs")["runs"][0]["run_id"]


@pytest.mark.parametrize(("command", "code"), [("echo no-such-token >&2; exit 3", 3), ("no-such-token", 127)])
def test_a_notify_command_that_fails_is_a_warning_that_quotes_nothing(watched: Folder, command: str, code: int) -> None:
    notify_with(watched, command)
    (watched.root / "visits02.csv").write_text(visits(2, shift=1.0), encoding="utf-8")
    ran = watched.run("ingest")
    assert f"the notify command ended with {code}; run it by hand to see why" in ran.err
    assert "no-such-token" not in ran.err  # the shell says which command it has not found, and a token may be in it
    assert watched.json("runs")["runs"][0]["status"] == "ok"


def test_a_dry_run_notifies_nobody(watched: Folder) -> None:
    notify_with(watched, "touch notified")
    (watched.root / "visits02.csv").write_text(visits(2, shift=1.0), encoding="utf-8")
    watched.run("ingest", "--dry-run")
    assert not (watched.root / "notified").exists()


def test_ingest_imports_neither_evidently_nor_scipy(watched: Folder) -> None:
    import subprocess

    (watched.root / "visits02.csv").write_text(visits(2, shift=1.0), encoding="utf-8")
    program = (
        "import sys; from featurestore.cli.app import run; code = run(sys.argv[1:]); "
        "assert not {'scipy', 'pandas', 'evidently'} & set(sys.modules); raise SystemExit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "-C", str(watched.root), "ingest", "-q"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_report_is_evidently_s(watched: Folder) -> None:
    pytest.importorskip("evidently")
    add(watched, 2, shift=1.0)
    path = watched.root / "chol.html"
    assert watched.json("drift", "chol", "--report", str(path))["report"] == str(path)
    page = path.read_text(encoding="utf-8")
    assert "<html" in page
    assert "Jensen-Shannon" in page


def test_a_report_without_evidently_says_what_to_install(watched: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    add(watched, 2)
    monkeypatch.setitem(sys.modules, "evidently", None)
    ran = watched.run("drift", "chol", "--report", str(watched.root / "x.html"), code=4)
    assert "featurestore[report]" in ran.err


def test_the_reference_itself_has_no_report(watched: Folder) -> None:
    assert "no other to be compared with" in watched.run("drift", "chol", "--report", "x.html", code=2).err


def test_a_reference_that_is_too_small_is_replaced_by_the_first_run_that_is_large_enough(project: Folder) -> None:
    (project.root / "visits.csv").unlink()
    project.write({"features/cardiac.py": CHOL})
    for month, rows in ((1, 10), (2, 200)):
        (project.root / f"visits{month:02d}.csv").write_text(visits(month, rows=rows), encoding="utf-8")
        ran = project.run("ingest")
    first, second = (run["run_id"] for run in reversed(project.json("runs")["runs"]))
    assert f"chol: its reference, run {first}, has too few values to be compared with; this run is the" in ran.err
    verdict = add(project, 3, shift=2.0)["chol"]["drift"]
    assert (verdict["reference_run"], verdict["detected"]) == (second, True)
    project.run("baseline", "chol", "1")
    assert add(project, 4)["chol"]["drift"]["reference_run"] == first, "what somebody has named is not replaced"
    project.run("drift", "chol", "--recompute")


@pytest.mark.parametrize("options", [[], ["--recompute"], ["chol"]])
def test_settings_of_a_feature_that_does_not_exist_are_refused(watched: Folder, options: list[str]) -> None:
    with (watched.root / "featurestore.toml").open("a", encoding="utf-8") as file:
        file.write("\n[drift.features.cohl]\nthreshold = 0.2\n")
    ran = watched.run("drift", *options, code=2)
    assert "drift.features.cohl is not a feature" in ran.err
    assert "did you mean 'chol'?" in ran.err
