"""Whatever a module, a function or a file does wrong: it fails alone, and the error says what, where and what to do."""

import json
import subprocess
import sys

import pytest

from featurestore.workflows.ingest import divided
from tests.conftest import AGE, Folder

HEAD = "import polars as pl\n\nfrom featurestore import feature\n\n\n"
DECLARE = '@feature(entity_type="patient", data_type="float")\n'


def failed(project: Folder, body: str, name: str = "broken") -> dict[str, object]:
    """Ingests a module beside a good one: the good one commits, the run is partial, the error is told."""
    project.write({"features/broken.py": HEAD + body})
    found = project.features(code=3)
    assert found["age_share"]["status"] == "ok"
    assert found["age_share"]["rows_written"] == 3
    item = found[name]
    assert item["status"] == "failed"
    assert (item["rows_written"], item["new_version"]) == (0, False)
    return item["error"]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("body", "line", "said"),
    [
        ('raise RuntimeError("on import")\n\n\n' + DECLARE + "def broken(df):\n    return df\n", 6, "on import"),
        ("import no_such_package\n\n\n" + DECLARE + "def broken(df):\n    return df\n", 6, "no_such_package"),
        (DECLARE + "def broken(df):\n    return 1 / 0\n", 8, "ZeroDivisionError"),
        (DECLARE + "def broken(df):\n    import sys\n    sys.exit(1)\n", 9, "SystemExit"),
        (DECLARE + "def broken(df):\n    raise KeyError('[/red] \\x1b[31m')\n", 8, "KeyError"),
    ],
)
def test_code_that_raises_fails_alone_at_its_line(project: Folder, body: str, line: int, said: str) -> None:
    error = failed(project, body)
    assert said in str(error["message"])
    assert error["where"] == f"features/broken.py:{line}"
    assert error["hint"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("def broken(df):\n    return None\n", "returned nothing where a frame was expected"),
        ("def broken(df):\n    return 3\n", "returned a int where a frame was expected"),
        ("def broken():\n    return 3\n", "returned a int where an expression was expected"),
        ("def broken(df):\n    return df.select('patient_id')\n", "returned the columns patient_id; expected"),
        ("def broken(df):\n    return df.select(entity_id='patient_id', value=pl.lit('x'))\n", "value is String"),
        ("def broken():\n    return pl.col('agee')\n", "agee"),
        ("def broken():\n    return pl.col('age').filter(pl.col('age') > 50)\n", "broken() raised"),
        (
            "def broken(df):\n    return df.select(entity_id='patient_id', value='age').head(1)\n",
            "computed_at is null in 1 of 1",
        ),
    ],
)
def test_a_wrong_return_fails_alone_saying_what_was_expected(project: Folder, body: str, said: str) -> None:
    error = failed(project, DECLARE + body)
    assert said in str(error["message"])
    assert str(error["where"]).startswith("features/broken.py:")


SPOILT = """
    import builtins, os, signal, sys
    BODY
    return df.select("patient_id", value=pl.col("age") * 1.0, computed_at="visit_at")
"""


@pytest.mark.parametrize(
    "body",
    [
        "os.environ.clear(); sys.path.clear(); sys.modules.clear()",
        "sys.meta_path.clear(); sys.path_hooks.clear(); sys.modules.clear(); import no_such_module",
        "sys.path = []; sys.meta_path = []; 1 / 0",
        "builtins.len = builtins.isinstance = None",
        "os._exit(0)",
        "os.execv('/bin/true', ['true'])",
        "sys.setrecursionlimit(60); (lambda again: again(again))(lambda again: again(again))",
    ],
)
def test_code_that_spoils_the_process_fails_alone(project: Folder, body: str) -> None:
    project.write({"features/broken.py": HEAD + DECLARE + "def broken(df):" + SPOILT.replace("BODY", body)})
    done = ingested_by_itself(project)
    assert done.returncode == 3, done.stderr
    status = {item["name"]: item["status"] for item in json.loads(done.stdout)["features"]}
    assert status.pop("broken") == "failed"
    assert set(status.values()) == {"ok"}


@pytest.mark.parametrize(
    "body",
    [
        "os.close(0); os.close(1); os.close(2)",
        "sys.stdout.close()",
        "sys.stdout = sys.stderr = sys.stdin = None",
        "os.chdir('/')",
        "os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')",
        "signal.signal(signal.SIGINT, signal.SIG_IGN); signal.signal(signal.SIGTERM, signal.SIG_IGN)",
        "sys.setrecursionlimit(150)",
    ],
)
def test_what_a_feature_does_to_the_process_ends_with_it(project: Folder, body: str) -> None:
    """The feature that runs last sees the process as it was, and the document is printed."""
    last = """
import os, signal, sys


@feature(entity_type="patient", data_type="string")
def zzz(df: pl.DataFrame) -> pl.DataFrame:
    ignored = signal.SIG_IGN in (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
    seen = [os.getcwd(), os.path.exists("/proc/self/fd/2"), ignored, sys.stderr.closed, sys.getrecursionlimit() > 150]
    return df.select("patient_id", value=pl.lit(str(seen)), computed_at="visit_at")
"""
    project.write({
        "features/broken.py": HEAD + DECLARE + "def broken(df):" + SPOILT.replace("BODY", body),
        "features/last.py": HEAD.rstrip() + "\n" + last,
    })  # fmt: skip
    done = ingested_by_itself(project)
    assert done.returncode == 0, done.stderr
    assert {item["status"] for item in json.loads(done.stdout)["features"]} == {"ok"}
    values = project.json("history", "zzz", "001")["values"]
    assert values[-1]["value"] == str([str(project.root), True, False, False, True])


def test_a_feature_that_closes_every_file_ends_the_run_with_words(project: Folder) -> None:
    project.write(
        {"features/broken.py": HEAD + DECLARE + "def broken(df):" + SPOILT.replace("BODY", "os.closerange(0, 250)")}
    )
    done = ingested_by_itself(project)
    assert done.returncode == 4, done.stderr
    assert "os.closerange()" in json.loads(done.stdout)["error"]["hint"]
    assert project.json("runs")["runs"] == [], "nobody held the lock"


def ingested_by_itself(project: Folder) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "featurestore", "ingest", "--json"]
    return subprocess.run(command, cwd=project.root, capture_output=True, text=True)


def test_a_module_that_can_t_be_parsed_fails_alone(project: Folder) -> None:
    error = failed(project, "def broken(:\n", name="features/broken.py")
    assert error["where"] == "features/broken.py:6"


def test_a_wrong_declaration_fails_alone(project: Folder) -> None:
    error = failed(project, '@feature(entity_type="pateint", data_type="float")\ndef broken(df):\n    return df\n')
    assert error["hint"] == "did you mean 'patient'?"


def test_what_a_function_prints_does_not_reach_stdout(project: Folder) -> None:
    project.write(
        {
            "features/loud.py": HEAD
            + "print('imported')\n\n"
            + DECLARE
            + "def loud():\n    print('called')\n    return pl.col('age')\n"
        }
    )
    ran = project.run("ingest", "--json")
    assert {item["name"] for item in ran.json["features"]} == {"age_share", "loud"}
    assert "imported" in ran.err
    assert "called" in ran.err


def test_what_a_feature_starts_prints_to_stderr_too(project: Folder) -> None:
    call = "import subprocess\n    subprocess.run(['echo', 'from a child'], check=True)\n    return pl.col('age')\n"
    project.write({"features/loud.py": HEAD + DECLARE + f"def loud():\n    {call}"})
    command = [sys.executable, "-m", "featurestore", "-C", str(project.root), "ingest", "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert {item["name"] for item in json.loads(ran.stdout)["features"]} == {"age_share", "loud"}
    assert "from a child" in ran.stderr


def test_of_a_long_error_the_beginning_is_kept(project: Folder) -> None:
    error = failed(project, DECLARE + "def broken():\n    raise ValueError('boo ' + 'A' * 300_000)\n")
    message = str(error["message"])
    assert message.startswith("broken() raised ValueError: boo AAA")
    assert message.endswith("… (300,004 characters)")
    assert len(message) < 1_100


def test_static_commands_are_not_disturbed_by_a_module_that_raises_prints_and_writes(project: Folder) -> None:
    marker = project.root / "ran"
    head = f"print('ran')\nopen({str(marker)!r}, 'w')\nraise RuntimeError('ran')\n\n"
    project.write({"features/loud.py": HEAD + head + DECLARE + "def loud():\n    return pl.col('age')\n"})
    for command in (["list"], ["show", "loud"], ["plan"], ["lock"], ["diff", "loud", "1", "worktree", "--code"]):
        ran = project.run(*command)
        assert "loud" in ran.out
    assert not marker.exists()


@pytest.mark.parametrize(
    ("files", "said", "hint"),
    [
        ({}, "no file matches visits*.csv", "sources.visits.path"),
        ({"visits.csv": ""}, "is empty", None),
        ({"visits.csv": "patient_id,visit_at,chol\n1,2024-01-01,3\n"}, "has no column 'age'", None),
        ({"visits.csv": "patient_id,age,chol\n1,3,3\n"}, "has no column 'visit_at'", None),
        ({"visits.csv": "patient_id,visit_at,age,age\n"}, "age", None),
        ({"visits.csv": "patient_id;visit_at;age;chol\n1;2024-01-01;3;3\n"}, "column", "delimiter"),
    ],
)
def test_a_file_that_can_t_be_used_commits_nothing_and_is_named(
    project: Folder, files: dict[str, str], said: str, hint: str | None
) -> None:
    (project.root / "visits.csv").unlink()
    project.write(files)
    ran = project.run("ingest", "--json", code=4)
    (feature,) = ran.json["features"]
    assert said in feature["error"]["message"]
    assert hint is None or hint in feature["error"]["hint"]
    assert project.json("runs")["runs"][0]["status"] == "failed"
    assert project.json("runs")["runs"][0]["run_seq"] is None


def test_a_file_without_rows_is_not_an_error_and_settles_no_type(project: Folder) -> None:
    whole = (project.root / "visits.csv").read_text()
    project.edit("featurestore.toml", 'age = { type = "int", min = 0, max = 120 }', "")
    project.write({"visits.csv": whole.partition("\n")[0] + "\n"})
    feature = project.features()["age_share"]
    assert (feature["rows_read"], feature["rows_written"]) == (0, 0)
    project.write({"visits.csv": whole})
    assert project.features()["age_share"]["rows_written"] == 3


def test_an_empty_file_among_others_is_left_out_and_said_until_it_has_rows(project: Folder) -> None:
    project.write({"visits-2.csv": "", "visits-3.csv": ""})
    said = "visits-2.csv, visits-3.csv are empty (0 bytes) and left out: still being written, or cut?"
    for _ in range(2):
        assert said in project.json("ingest")["warnings"]
    header = (project.root / "visits.csv").read_text().partition("\n")[0]
    project.write({"visits-2.csv": f"{header}\n009,2024-01-03T00:00:00Z,70,1\n"})
    ran = project.json("ingest")
    assert ran["features"][0]["rows_written"] == 1
    assert "visits-3.csv is empty (0 bytes) and left out: still being written, or cut?" in ran["warnings"]


@pytest.mark.parametrize(
    ("module", "hint"),
    [
        ("pkg.rates", "write features.pkg"),
        ("rates", "write features.rates"),
        ("features.nowhere", "is the file there"),
        ("no_such_package", "install no_such_package"),
    ],
)
def test_an_import_that_finds_nothing_is_told_where_code_of_the_project_is(
    project: Folder, module: str, hint: str
) -> None:
    project.write({"features/pkg/rates.py": "X = 1\n", "features/rates.py": "X = 1\n"})
    error = failed(project, f"from {module} import X\n\n\n{DECLARE}def broken():\n    return pl.col('age') * X\n")
    assert hint in str(error["hint"])


def test_a_failed_feature_misses_nothing_once_it_is_fixed(project: Folder) -> None:
    project.write({"features/cardiac.py": AGE.replace("/ 100", "/ pl.col('agee')")})
    project.run("ingest", code=4)
    project.write(
        {"visits2.csv": "patient_id,visit_at,age,chol\n003,2024-03-01T00:00:00Z,40,\n", "features/cardiac.py": AGE}
    )
    assert project.features()["age_share"]["rows_written"] == 4


def test_an_unknown_key_in_the_toml_is_exit_2_and_changes_nothing(project: Folder) -> None:
    project.edit("featurestore.toml", "event_time", "event_tmie")
    ran = project.run("ingest", "--json", code=2)
    assert "event_tmie" in ran.json["error"]["message"]
    assert ran.json["error"]["hint"] == "did you mean 'event_time'?"
    assert not (project.root / ".featurestore").exists()


def test_a_newer_store_is_refused_untouched(project: Folder) -> None:
    import duckdb

    project.run("ingest")
    path = project.root / ".featurestore" / "history.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE meta SET format = 999")
    before = path.read_bytes()
    project.run("runs", code=13)
    assert "upgrade" in project.run("ingest", "--full", code=13).err
    assert path.read_bytes() == before


def test_a_missing_column_gets_the_nearest_one(project: Folder) -> None:
    error = failed(project, DECLARE + "def broken():\n    return pl.col('agee')\n")
    assert error["message"] == "broken() asks for the column 'agee', which its rows don't have"
    assert error["hint"] == "did you mean 'age'?"


def test_a_row_without_a_key_counts_the_same_whichever_features_are_due(project: Folder) -> None:
    project.write(
        {"visits.csv": "patient_id,visit_at,age,chol\n001,2024-01-01T00:00:00Z,50,\n,2024-01-02T00:00:00Z,90,\n"}
    )
    returned = "df.select(entity_id=pl.lit('x'), value=pl.col('age').max(), computed_at=pl.col('visit_at').max())"
    body = f"def by_name(df):\n    return {returned}\n"
    project.write({"features/other.py": HEAD + DECLARE + body})
    assert project.features("by_name", code=3)["by_name"]["rows_rejected"] == 1
    assert project.json("history", "by_name", "x")["values"][0]["value"] == 50.0


@pytest.mark.parametrize("scope", ["row", "entity"])
def test_two_events_in_one_second_come_with_ways_out_to_paste(project: Folder, scope: str) -> None:
    project.write({
        "visits.csv": "patient_id,visit_at,age,chol,visit_no\n001,2024-01-01,50,200,1\n001,2024-01-01,60,200,2\n",
        "features/one.py": (
            "import polars as pl\nfrom featurestore import feature\n\n\n"
            f'@feature(entity_type="patient", data_type="float", scope="{scope}")\n'
            "def age_in_years() -> pl.Expr:\n    return pl.col('age') * 1.0\n"
        ),
    })  # fmt: skip
    ran = project.run("ingest", "age_in_years", code=4)
    said = " ".join(ran.err.split())
    assert 'updated_at = "changed_at" in [sources.visits]' in said
    assert '.sum().over("patient_id", "visit_at")' in said
    assert 'id = ["visit_no"] in [sources.visits], which windows need' in said
    project.edit("featurestore.toml", "[sources.visits]\n", '[sources.visits]\nid = ["visit_no"]\n')
    said = " ".join(project.run("ingest", "age_in_years", code=4).err.split())
    assert '.sum().over("patient_id", "visit_at")' in said
    assert "id = [" not in said  # they are told apart by now


@pytest.mark.parametrize("scope", ["row", "entity"])
@pytest.mark.parametrize("other", ["001,2024-01-02,50,1,1", "002,2024-01-01,50,1,1", "001,2024-01-01,60,1,1"])
@pytest.mark.parametrize("way", ["one file", "two files", "two runs", "in parts"])
def test_two_rows_of_one_id_at_different_places_are_never_two_values(
    project: Folder, monkeypatch: pytest.MonkeyPatch, way: str, other: str, scope: str
) -> None:
    head, one = "patient_id,visit_at,age,chol,visit_no\n", "001,2024-01-01,50,1,1\n"
    project.edit("featurestore.toml", "[sources.visits]\n", '[sources.visits]\nid = ["visit_no"]\n')
    project.edit("features/cardiac.py", 'data_type="float"', f'data_type="float", scope="{scope}"')
    if way == "in parts":
        monkeypatch.setattr(divided, "part_rows", lambda _memory, _row_bytes: 1)
    project.write({"visits.csv": head + one + (other if way == "one file" else "")})
    if way == "two runs":
        project.run("ingest", "age_share")
    if way != "one file":
        project.write({"visits-2.csv": head + other})
    said = " ".join(project.run("ingest", "age_share", code=4).err.split())
    if "60" not in other or scope != "row":
        assert "two rows are one event and differ" in said
        assert 'if both count, add what tells them apart to id = ["visit_no"]' in said


def test_a_column_that_says_when_rows_came_is_named_though_nobody_reads_it(project: Folder) -> None:
    visits = "patient_id,visit_at,age,chol,loaded_at\n001,2024-01-01,50,1,2024-01-02\n001,2024-01-01,60,1,2024-01-03\n"
    project.write({"visits.csv": visits})
    setting = 'updated_at = "loaded_at"'
    assert f"{setting} in [sources.visits]" in " ".join(project.run("ingest", code=4).err.split())
    project.edit("featurestore.toml", "[sources.visits]\n", f"[sources.visits]\n{setting}\n")
    project.run("ingest")
    assert [row["value"] for row in project.json("history", "age_share", "001")["values"]] == [0.6]


def test_what_happened_to_several_features_is_said_once_with_their_names(project: Folder) -> None:
    more = AGE.replace("age_share", "age_half").replace("/ 100", "/ 50")
    project.write({"features/more.py": more, "visits.csv": "patient_id,when,age,chol\n001,2024-01-01T00:00:00Z,50,1\n"})
    said = project.run("ingest", code=4).err
    assert said.count("has no column 'visit_at'") == 1
    assert "age_share, age_half: has no column" in said or "age_half, age_share: has no column" in said


def test_a_source_in_the_place_of_a_feature_is_told(project: Folder) -> None:
    said = project.run("ingest", "visits", code=2).err
    assert "there is no feature 'visits', but a source" in said
    assert "featurestore ingest --source visits" in said


@pytest.mark.parametrize("long", [False, True])
def test_an_operation_on_a_column_that_a_typo_makes_text_says_how_to_declare_it(project: Folder, long: bool) -> None:
    code = AGE.replace('pl.col("age") / 100', 'pl.col("pulse") / 2')
    if long:
        code = (
            code.replace("age_share()", "age_share(visits)")
            .replace("pl.Expr", "pl.DataFrame")
            .replace('return pl.col("pulse") / 2', 'return visits.select("patient_id", value=pl.col("pulse") / 2)')
        )
    rows = "001,2024-01-01T00:00:00Z,50,1,70\n002,2024-01-01T00:00:00Z,50,1,7O\n"
    project.write({"features/cardiac.py": code, "visits.csv": "patient_id,visit_at,age,chol,pulse\n" + rows})
    said = " ".join(project.run("ingest", code=4).err.split())
    way_out = 'pulse = { type = "float" }'
    assert f"declare it, {way_out} in [sources.visits.columns], and others are set aside; else fix" in said
    project.edit("featurestore.toml", "[sources.visits.columns]\n", f"[sources.visits.columns]\n{way_out}\n")
    assert project.features(code=3)["age_share"]["rows_rejected"] == 1


def test_an_operation_on_a_column_that_a_typo_pinned_as_text_names_the_pin(project: Folder) -> None:
    undeclared = [line for line in (project.root / "featurestore.toml").read_text().splitlines() if "chol" not in line]
    project.write({"featurestore.toml": "\n".join(undeclared)})
    so_far = AGE.replace("age_share", "so_far").replace('pl.col("age") / 100', 'pl.col("chol").cum_sum()')
    project.write(
        {"features/more.py": so_far, "visits.csv": "patient_id,visit_at,age,chol\n001,2024-01-01T00:00:00Z,50,1;5\n"}
    )
    word = (
        AGE.replace("age_share", "word").replace('"float"', '"string"').replace('pl.col("age") / 100', 'pl.col("chol")')
    )
    project.write({"features/word.py": word})
    project.run("ingest", code=3)
    project.edit("visits.csv", "1;5", "1.5")
    said = project.run("ingest", "so_far", code=4).err
    pins = (project.root / "features/.versions/visits.columns.toml").read_text().splitlines()
    line = pins.index('chol = "string"') + 1
    assert f"chol is text by features/.versions/visits.columns.toml:{line}" in " ".join(said.split())
    project.edit("features/.versions/visits.columns.toml", 'chol = "string"\n', "")
    (project.root / "features/word.py").unlink()
    project.run("ingest", "so_far")
