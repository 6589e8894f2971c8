# ruff: noqa: E501  (a table reads better in rows)
"""featurestore.toml: what it may say, and the errors otherwise."""

from pathlib import Path

import pytest

from featurestore.config import find_root, load_project
from featurestore.errors import ConfigError, NoProjectError
from featurestore.toml import find_line
from tests.conftest import TOML, Folder

MINIMAL = '[project]\nname = "p"\n'


def refused(folder: Folder, text: str) -> ConfigError:
    folder.write({"featurestore.toml": text})
    with pytest.raises(ConfigError) as caught:
        load_project(folder.root)
    assert "featurestore.toml" in str(caught.value.where)
    return caught.value


def test_a_project_is_what_its_file_says(folder: Folder) -> None:
    folder.write({"featurestore.toml": TOML})
    project = load_project(folder.root)
    assert project.name == "test"
    assert project.entity_types["patient"].key_names == ("patient_id",)
    assert project.sources["visits"].columns["age"].max == 120
    assert project.offline_url is None


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("", "project is missing", "[project]"),
        ("[project]\n", "project.name is missing", None),
        ('[project]\nname = "a b"\n', "project.name must be letters", None),
        (MINIMAL + "[drfit]\n", "drfit is not a known key", "did you mean 'drift'?"),
        (MINIMAL + '[sources.v]\ntyp = "csv"\n', "sources.v.typ is not a known key", "did you mean 'type'?"),
        (MINIMAL + '[sources.v]\ntype = "cvs"\npath = "x"\n', "sources.v.type is not a known source type", "did you mean 'csv'?"),
        (MINIMAL + '[sources.v]\ntype = "csv"\n', "sources.v.path is missing", None),
        (MINIMAL + '[sources.v]\ntype = "csv"\npath = 3\n', "sources.v.path must be text, not a whole number", None),
        (MINIMAL + '[sources.v]\ntype = "csv"\npath = "x"\ntimezone = "Mars/Base"\n', "is not a time zone", "Europe/Paris"),
        (MINIMAL + '[sources.v]\ntype = "csv"\npath = "x"\n[sources.v.columns]\na = { type = "itn" }\n', "columns.a.type", "'int'"),
        (MINIMAL + '[sources.v]\ntype = "csv"\npath = "x"\n[sources.v.columns]\na = { type = "string", min = 1 }\n', "min has no meaning", None),
        (MINIMAL + '[sources.v]\ntype = "csv"\npath = "x"\n[sources.v.columns]\na = { type = "string", pattern = "(" }\n', "pattern is not a regular", None),
        (MINIMAL + "[entity_types.e]\nkeys = {}\n", "keys is empty", "patient_id"),
        (MINIMAL + '[entity_types.e]\nkeys = { id = "float" }\n', 'must be "string" or "int"', "a key as text"),
        (MINIMAL + '[entity_types.e]\nkeys = { value = "int" }\n', "is a name the store uses itself", None),
        (MINIMAL + '[entity_types.e]\nkeys = { run_id = "int" }\n', "is a name the store uses itself", None),
        (MINIMAL + '[entity_types.e]\nkeys = { ingested_at = "int" }\n', "is a name the store uses itself", None),
        (MINIMAL + '[entity_types.e]\nkeys = { tombstone = "int" }\n', "is a name the store uses itself", None),
        (MINIMAL + "[feature_sets.s]\nfeatures = []\n", "feature_sets.s.features must be a list of feature names", None),
        (MINIMAL + "[feature_sets.s]\nfeature = []\n", "feature_sets.s.feature is not a known key", None),
        (MINIMAL + '[entity_types.e]\nkeys = { id = "int", ID = "int" }\n', "by case only", None),
        ("[project\n", "is not valid TOML", None),
        (MINIMAL + '[offline]\nurl = "${NOT_SET_ANYWHERE}"\n', "offline.url uses ${NOT_SET_ANYWHERE}, which is not set", "export"),
    ],
)  # fmt: skip
def test_what_it_does_not_know_is_refused_by_name(folder: Folder, text: str, said: str, hint: str | None) -> None:
    error = refused(folder, text)
    assert said in str(error)
    assert hint is None or hint in str(error.hint)


def test_variables_are_put_into_values_never_into_the_document(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", 'x"\nname = "evil')
    folder.write({"featurestore.toml": MINIMAL + '[offline]\nurl = "postgresql://${SECRET}@${HOST_UNSET:-db}/f"\n'})
    project = load_project(folder.root)
    assert project.offline_url == "postgresql://x%22%0Aname%20%3D%20%22evil@db/f"
    assert project.name == "p"


@pytest.mark.parametrize(
    ("url", "given", "expected"),
    [
        ("postgresql://ml:${PW}@db/f", "p@s/s?#%:$", "postgresql://ml:p%40s%2Fs%3F%23%25%3A%24@db/f"),
        ("postgresql://ml:${PW}@db/f", "", "postgresql://ml:@db/f"),
        ("postgresql://ml@${PW}/f", "db:5432", "postgresql://ml@db:5432/f"),
        ("${PW}", "postgresql://ml:x@db/f", "postgresql://ml:x@db/f"),
        ("unix://${PW}/s?db=0", "/tmp/x", "unix:///tmp/x/s?db=0"),
    ],
)
def test_a_variable_in_the_user_part_of_a_url_stands_for_its_exact_text(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, url: str, given: str, expected: str
) -> None:
    monkeypatch.setenv("PW", given)
    folder.write({"featurestore.toml": MINIMAL + f'[offline]\nurl = "{url}"\n'})
    assert load_project(folder.root).offline_url == expected


def test_a_password_file_is_found_from_the_project(folder: Folder) -> None:
    folder.write({"featurestore.toml": MINIMAL + '[offline]\nurl = "postgresql://db/f"\npassword_file = "pw"\n'})
    assert load_project(folder.root).offline_password_file == folder.root / "pw"


def test_a_variable_of_ours_wins_over_the_file(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write({"featurestore.toml": MINIMAL + '[online]\nurl = "redis://file"\n'})
    monkeypatch.setenv("FEATURESTORE_ONLINE_URL", "redis://variable")
    assert load_project(folder.root).online_url == "redis://variable"


def test_the_project_is_the_nearest_folder_above(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write({"featurestore.toml": MINIMAL, "a/b/c.txt": ""})
    monkeypatch.chdir(folder.root / "a" / "b")
    assert find_root() == folder.root
    monkeypatch.setenv("FEATURESTORE_PROJECT", str(folder.root / "a"))
    with pytest.raises(NoProjectError):
        find_root()
    assert find_root(named=str(folder.root)) == folder.root


def test_without_a_project_the_way_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NoProjectError) as caught:
        find_root()
    assert caught.value.exit_code == 10
    assert "featurestore init" in str(caught.value.hint)


def test_memory_is_taken_from_the_flag_then_the_variable_then_the_file(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write({"featurestore.toml": f'{MINIMAL}[offline]\nmemory = "1.5GiB"\n'})
    assert load_project(folder.root).memory == 3 << 29
    monkeypatch.setenv("FEATURESTORE_OFFLINE_MEMORY", "500MB")
    assert load_project(folder.root).memory == 500_000_000
    assert load_project(folder.root, memory="1 gb").memory == 1_000_000_000


@pytest.mark.parametrize("text", ["lots", "2", "1MB", "-1GB"])
def test_a_memory_that_is_not_a_size_or_too_small_is_refused(folder: Folder, text: str) -> None:
    complaint = refused(folder, f'{MINIMAL}[offline]\nmemory = "{text}"\n')
    assert complaint.message.startswith("offline.memory is ")
    with pytest.raises(ConfigError, match="--memory is "):
        load_project(folder.root, memory=text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[online.'redis://:s3cr3t@h']\n[online.'redis://:s3cr3t@h']\n", "Cannot declare (at line 4, column"),
        ("[online]\nurl = ['redis://:s3cr3t@h']\n", "online.url must be text, not a list"),
        ("[sources]\n'redis://:s3cr3t@h' = 1\n", "sources.… must be a table, not a whole number"),
        ("[online]\n's3cr3t' = 1\n", "[online] has a key that is not known"),
        ("['redis://:s3cr3t@h']\n", "has a key that is not known"),
        ("[sources.w]\ntype = 's3cr3t'\n", "sources.w.type is not a known source type"),
        ("[offline]\nmemory = 's3cr3t'\n", "offline.memory is not a size; write for example 500MB"),
    ],
)
def test_no_value_is_quoted(folder: Folder, text: str, said: str) -> None:
    error = refused(folder, MINIMAL + text)
    assert "s3cr3t" not in f"{error} {error.hint}"
    assert said in str(error)


def test_a_path_is_shown_as_it_is_written(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENANT", "s3cr3t")
    folder.write({"featurestore.toml": MINIMAL + "[sources.v]\ntype = 'csv'\npath = 'data/${TENANT}/x.csv'\n"})
    assert load_project(folder.root).sources["v"].location == "data/${TENANT}/x.csv"


@pytest.mark.parametrize("seconds", ["nan", "inf", "-1"])
def test_a_lock_timeout_is_a_number_of_seconds_here_too(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, seconds: str
) -> None:
    assert "is not a number of seconds" in str(refused(folder, f"[project]\nname = 'p'\nlock_timeout = {seconds}\n"))
    folder.write({"featurestore.toml": MINIMAL})
    monkeypatch.setenv("FEATURESTORE_LOCK_TIMEOUT", seconds)
    with pytest.raises(ConfigError, match="FEATURESTORE_LOCK_TIMEOUT is not a number of seconds"):
        load_project(folder.root)


def test_how_drift_is_measured_is_taken_from_variables_before_the_file(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write(
        {
            "featurestore.toml": MINIMAL
            + "[drift]\nmethod = 'ks'\nthreshold = 0.9\n[drift.features.a]\nthreshold = 0.1\n"
        }
    )
    monkeypatch.setenv("FEATURESTORE_DRIFT_THRESHOLD", "0.5")
    drift = load_project(folder.root).drift
    assert (drift.method, drift.threshold, drift.of("a").threshold) == ("ks", 0.5, 0.1)
    monkeypatch.delenv("FEATURESTORE_DRIFT_THRESHOLD")
    monkeypatch.setenv("FEATURESTORE_DRIFT_METHOD", "psi")
    assert load_project(folder.root).drift.method == "psi"
    assert load_project(folder.root).drift.threshold is None, "that of the file was for another method"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("METHOD", "kss", "FEATURESTORE_DRIFT_METHOD is not a known method"),
        ("THRESHOLD", "abc", "FEATURESTORE_DRIFT_THRESHOLD must be from 0 to below 1"),
        ("THRESHOLD", "1", "FEATURESTORE_DRIFT_THRESHOLD must be from 0 to below 1"),
    ],
)
def test_a_variable_that_says_nothing_of_drift_is_refused(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    folder.write({"featurestore.toml": MINIMAL})
    monkeypatch.setenv(f"FEATURESTORE_DRIFT_{name}", value)
    with pytest.raises(ConfigError, match=said):
        load_project(folder.root)


PLACES = """\
[project]
name = "p"

[sources.v]  # with words
type = "csv"
id = [
    "a",
    "b",
]
path = '''
x.csv'''
timezone = 3
[entity_types."odd name"]
keys = { id = "float" }
"""


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (["project"], 1), (["project", "name"], 2), (["sources", "v"], 4), (["sources", "v", "id"], 6),
        (["sources", "v", "path"], 10), (["sources", "v", "timezone"], 12), (["sources", "v", "event_time"], 4),
        (["entity_types", "odd name", "keys", "id"], 14), (["drift"], None), ([], None),
    ],
)  # fmt: skip
def test_the_line_of_a_key_is_found(keys: list[str], line: int | None, ends: str) -> None:
    assert find_line(PLACES.replace("\n", ends), keys) == line


def test_an_error_names_the_line_and_an_example(folder: Folder) -> None:
    error = refused(folder, MINIMAL + '[sources.v]\ntype = "csv"\npath = "x"\nid = "no"\n')
    assert error.where == f"{folder.root / 'featurestore.toml'}:6"
    assert error.hint == 'for example id = ["…"]'
    assert refused(folder, MINIMAL + "[sources.v]\n").where == f"{folder.root / 'featurestore.toml'}:3"
