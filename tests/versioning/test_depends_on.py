"""``depends_on``: the bytes of declared files are part of a version, and an old version runs with the old ones."""

from __future__ import annotations

import glob
import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from featurestore.declared_files import KEPT_EACH, KEPT_TOGETHER, LARGEST, MOST, DeclaredFiles, fits
from featurestore.errors import DeclarationError
from tests.conftest import TOML, VISITS, Folder

HEAD = """
import json
from pathlib import Path

import polars as pl

from featurestore import feature

HERE = Path(__file__).parent

"""


def module(body: str, declared: str, *, frame: str = "") -> str:
    arguments = f'entity_type="patient", data_type="float", depends_on={declared}'
    returned = "pl.DataFrame" if frame else "pl.Expr"
    return f"{HEAD}\n@feature({arguments})\ndef risk({frame}) -> {returned}:\n    {body}\n"


WEIGHTED = module('return pl.col("age") * json.load(open("weights.json"))["a"]', '["weights.json"]')


@pytest.fixture
def risk(folder: Folder) -> Folder:
    """A project with a feature that reads a declared file: twice the age."""
    folder.write(
        {"featurestore.toml": TOML, "features/m.py": WEIGHTED, "visits.csv": VISITS, "weights.json": '{"a": 2}'}
    )
    return folder


def values(project: Folder, *arguments: str) -> list[float]:
    """The values of the patient who has two visits, oldest first."""
    found = project.json("history", "risk", "001", *arguments)["values"]
    return [item["value"] for item in found]


def problem(project: Folder) -> str:
    (found,) = project.json("list")["problems"]
    assert found["where"].startswith("features/m.py:")
    return str(found["message"])


def copies(project: Folder, number: int = 1) -> Path:
    (found,) = project.root.glob(f"features/.versions/risk/{number:04d}-*.files")
    return found


# The hash


def test_another_content_is_another_version_and_plan_says_why(risk: Folder) -> None:
    risk.run("ingest")
    assert values(risk) == [100, 102]
    risk.write({"weights.json": '{"a": 3}'})
    (planned,) = risk.json("plan")["features"]
    assert (planned["change"], planned["reasons"]) == ("changed", ["weights.json changed"])
    risk.run("ingest")
    assert values(risk) == [150, 153]
    risk.write({"weights.json": '{"a": 2}'})
    assert risk.json("plan")["features"][0]["change"] == "changed"
    assert risk.features()["risk"]["note"] == "version 1 is active again"


def test_a_file_that_fits_a_pattern_comes_and_goes(risk: Folder) -> None:
    risk.write(
        {"features/m.py": WEIGHTED.replace('["weights.json"]', '["weights.json", "sql/*.sql"]'), "sql/a.sql": "1"}
    )
    risk.run("lock")
    risk.write({"sql/b.sql": "1", "sql/c.txt": "1", "sql/.d.sql": "1"})
    assert risk.json("plan")["features"][0]["reasons"] == ["sql/b.sql added to depends_on"]
    risk.run("lock")
    (risk.root / "sql/a.sql").unlink()
    (reasons,) = [item["reasons"] for item in risk.json("plan")["features"]]
    assert "sql/a.sql removed from depends_on" in reasons


def test_without_depends_on_nothing_is_hashed_that_was_not(project: Folder) -> None:
    project.run("lock")
    (version,) = project.root.glob("features/.versions/age_share/*.py")
    assert "depends_on" not in version.read_text()
    assert not list(project.root.glob("features/.versions/**/*.files"))
    assert not (project.root / "features/.versions/.gitattributes").exists()


def test_show_and_list_name_the_files(risk: Folder) -> None:
    (file,) = risk.json("show", "risk")["depends_on"]
    assert (file["path"], file["size"], len(file["sha256"])) == ("weights.json", 8, 64)
    assert "depends on  weights.json" in risk.run("show", "risk").out


def test_a_hook_that_names_a_declared_file_checks_its_feature(risk: Folder) -> None:
    risk.run("lock")
    risk.write({"weights.json": '{"a": 3}'})
    weights = str(risk.root / "weights.json")
    assert risk.json("check", weights, code=1)["findings"][0]["kind"] == "missing"
    risk.write({"other.json": "{}"})
    assert risk.json("check", str(risk.root / "other.json"))["features"] == 0


# Old versions

READERS: Mapping[str, str] = {
    "open": 'return pl.col("age") * json.load(open("d/w.json"))["a"]',
    "Path": 'return pl.col("age") * json.loads(Path("d/w.json").read_text())["a"]',
    "the module's place": 'return pl.col("age") * json.loads((HERE.parent / "d" / "w.json").read_text())["a"]',
    "an absolute path": 'return pl.col("age") * json.load(Path("d/w.json").resolve().open())["a"]',
    "native code": 'return pl.col("age") * pl.read_json("d/w.json")["a"][0]',
    "a scan": 'return pl.col("age") * pl.scan_ndjson("d/w.json").collect()["a"][0]',
    "a list of files": 'return pl.col("age") * json.loads(next(Path("d").glob("*.json")).read_text())["a"]',
    "when it is evaluated": (
        'return pl.col("age").map_elements(lambda age: age * json.load(open("d/w.json"))["a"], return_dtype=pl.Int64)'
    ),
}
LONG = (
    'return frame.select(pl.col("patient_id").alias("entity_id"), pl.col("visit_at").alias("computed_at"), '
    '(pl.col("age") * pl.scan_ndjson("d/w.json").collect()["a"][0]).alias("value"))'
)


@pytest.mark.parametrize("how", [*READERS, "long form", "lazy long form", "at import"])
def test_the_old_version_runs_with_the_old_file_when_that_is_gone(folder: Folder, how: str) -> None:
    if how == "at import":
        text = module('return pl.col("age") * W', '["d/*.json"]').replace(
            "\n\n@feature", '\nW = json.load(open("d/w.json"))["a"]\n\n\n@feature'
        )
    elif how == "long form":
        text = module(LONG, '["d/*.json"]', frame="frame: pl.DataFrame")
    elif how == "lazy long form":
        text = module(
            LONG.replace('pl.scan_ndjson("d/w.json").collect()["a"][0]', 'pl.col("a")').replace(
                "frame.select", 'frame.join(pl.scan_ndjson("d/w.json"), how="cross").select'
            ),
            '["d/*.json"]',
            frame="frame: pl.LazyFrame",
        )
    else:
        text = module(READERS[how], '["d/*.json"]')
    folder.write({"featurestore.toml": TOML, "features/m.py": text, "visits.csv": VISITS, "d/w.json": '{"a": 2}\n'})
    assert folder.features()["risk"]["status"] == "ok"
    assert values(folder) == [100, 102]
    (folder.root / "d/w.json").unlink()
    (folder.root / "d").rmdir()
    folder.write({"features/m.py": module('return pl.col("age") * 7', "[]")})
    folder.run("promote", "risk", "1")
    folder.write({"visits.csv": VISITS + "001,2024-03-01T00:00:00Z,60,\n"})
    rows = [item for item in folder.json("ingest")["features"] if item["version"] == 1]
    assert [item["status"] for item in rows] == ["ok"], rows
    assert folder.json("history", "risk@1", "001")["values"][-1]["value"] == 120


PACKAGED = {
    "importlib.resources": 'importlib.resources.files("features.data").joinpath("w.json").read_text()',
    "read_text": 'importlib.resources.read_text("features.data", "w.json")',
    "pkgutil": 'pkgutil.get_data("features.data", "w.json")',
    "as_file": (
        'importlib.resources.as_file(importlib.resources.files("features") / "data/w.json").__enter__().read_text()'
    ),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of importlib.resources, which people use all the same
@pytest.mark.parametrize("how", PACKAGED)
def test_files_of_a_package_are_found_by_the_old_version_too(folder: Folder, how: str) -> None:
    text = module(f'return pl.col("age") * json.loads({PACKAGED[how]})["a"] * data.K', '["features/data/w.json"]')
    text = text.replace("import json\n", "import importlib.resources\nimport json\nimport pkgutil\n")
    text = text.replace("HERE = ", "from features import data\n\nHERE = ")
    folder.write(
        {
            "featurestore.toml": TOML, "features/m.py": text, "visits.csv": VISITS,
            "features/data/__init__.py": "K = 1\n", "features/data/w.json": '{"a": 2}',
        }
    )  # fmt: skip
    assert folder.json("ingest")["warnings"] == []
    assert folder.json("check", "--strict")["findings"] == []
    folder.run("promote", "risk", "1")
    folder.write({"features/data/w.json": '{"a": 5}', "features/data/__init__.py": "K = 10\n"})
    folder.write({"visits.csv": VISITS + "001,2024-03-01T00:00:00Z,60,\n"})
    folder.run("ingest")
    assert folder.json("history", "risk@1", "001")["values"][-1]["value"] == 120
    assert folder.json("history", "risk@2", "001")["values"][-1]["value"] == 3000


def test_an_old_and_a_new_version_run_side_by_side(risk: Folder) -> None:
    risk.run("ingest")
    risk.run("promote", "risk", "1")
    risk.write({"weights.json": '{"a": 3}', "visits.csv": VISITS + "001,2024-03-01T00:00:00Z,60,\n"})
    risk.run("ingest")
    assert risk.json("history", "risk@1", "001")["values"][-1]["value"] == 120
    assert risk.json("history", "risk@2", "001")["values"][-1]["value"] == 180
    assert risk.json("history", "risk@2", "001")["values"][0]["value"] == 150


def test_preview_runs_both_with_their_own_files(risk: Folder) -> None:
    risk.run("ingest")
    risk.write({"weights.json": '{"a": 4}'})
    (planned,) = risk.json("plan", "--stats")["features"]
    assert planned["stats"]["old"]["max"] == 120
    assert planned["stats"]["new"]["max"] == 240


def test_it_runs_in_the_projects_folder_wherever_the_command_was_called(
    risk: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = risk.root / "deep" / "er"
    elsewhere.mkdir(parents=True)
    monkeypatch.chdir(elsewhere)
    risk.run("ingest")
    assert values(risk) == [100, 102]
    assert Path.cwd() == elsewhere


def test_a_file_that_changes_while_its_feature_runs_fails_it(risk: Folder) -> None:
    body = 'Path("weights.json").write_text("{}"); return pl.col("age")'
    risk.write({"features/m.py": module(body, '["weights.json"]')})
    ran = risk.json("ingest", code=4)["features"][0]
    assert ran["error"]["message"] == "weights.json changed while the feature ran"
    assert not list(risk.root.glob("features/.versions/risk/*"))


# Copies


def test_copies_lie_beside_the_version_file_like_in_the_project(risk: Folder) -> None:
    risk.run("ingest")
    assert (copies(risk) / "weights.json").read_text() == '{"a": 2}'
    assert "-text" in (risk.root / "features/.versions/.gitattributes").read_text()
    assert risk.run("check").out == "1 feature, 1 version file: nothing is wrong\n"


@pytest.mark.parametrize("damage", ["other", "gone", "folder", "link"])
def test_a_copy_that_is_not_what_was_hashed_is_found_and_not_run(risk: Folder, damage: str) -> None:
    risk.run("ingest")
    risk.run("promote", "risk", "1")
    copy = copies(risk) / "weights.json"
    copy.unlink()
    if damage == "other":
        copy.write_text('{"a": 9}')
    elif damage == "folder":
        copy.mkdir()
    elif damage == "link":
        copy.symlink_to("/dev/zero")
    (finding,) = risk.json("check", code=1)["findings"]
    assert finding["kind"] == "damaged"
    assert "weights.json" in finding["message"]
    # The project's own file is still the same, and will do.
    risk.write({"visits.csv": VISITS + "001,2024-03-01T00:00:00Z,60,\n"})
    risk.write({"features/m.py": WEIGHTED.replace("* json", "* 10 * json")})
    risk.run("ingest")
    assert risk.json("history", "risk@1", "001")["values"][-1]["value"] == 120
    (risk.root / "weights.json").write_text('{"a": 4}')
    # In another process, since this one has the version's folder already.
    command = [sys.executable, "-m", "featurestore", "-C", str(risk.root), "ingest", "--full"]
    ran = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ran.returncode == 3
    assert "runs with weights.json as it was" in ran.stderr


def test_large_files_are_kept_by_their_hash_only(risk: Folder) -> None:
    size = KEPT_EACH + 1
    (risk.root / "big.bin").write_bytes(b"x" * size)
    body = 'return pl.col("age") * len(Path("big.bin").read_bytes())'
    risk.write({"features/m.py": module(body, '["big.bin", "weights.json"]')})
    ran = risk.run("ingest")
    assert "big.bin" in ran.err
    assert "only its hash is kept" in ran.err
    assert values(risk)[0] == 50 * size
    assert [path.name for path in copies(risk).iterdir()] == ["weights.json"]
    assert risk.json("check")["findings"] == []


def test_many_files_are_kept_until_they_are_too_many(risk: Folder) -> None:
    for number in range(12):
        (risk.root / f"part{number:02d}.bin").write_bytes(bytes([number]) * KEPT_EACH)
    risk.write({"features/m.py": module('return pl.col("age")', '["part*.bin"]')})
    risk.run("lock")
    assert len(list(copies(risk).iterdir())) == KEPT_TOGETHER // KEPT_EACH


def test_renumbering_takes_the_copies_along(risk: Folder) -> None:
    risk.run("lock")
    risk.write({"weights.json": '{"a": 3}'})
    risk.run("lock")
    (second,) = risk.root.glob("features/.versions/risk/0002-*.py")
    second.with_suffix(".files").rename(second.with_name(second.name.replace("0002", "0001")).with_suffix(".files"))
    second.rename(second.with_name(second.name.replace("0002", "0001")))
    assert risk.json("check", code=1)["findings"][0]["kind"] == "clash"
    risk.run("lock")
    assert (copies(risk, 1) / "weights.json").exists()
    assert (copies(risk, 2) / "weights.json").exists()
    assert risk.json("check")["findings"] == []


@pytest.mark.parametrize("which", ["copies", "inside the copies", "feature", "versions"])
def test_copies_are_not_written_through_links_that_a_clone_brings(
    risk: Folder, which: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    victim = tmp_path_factory.mktemp("victim")
    text = WEIGHTED.replace('["weights.json"]', '["d/w.json", "weights.json"]')
    risk.write({"features/m.py": text, "d/w.json": "1"})
    number = risk.json("plan")["features"][0]["new_sha256"][:12]
    folder = risk.root / "features/.versions"
    links = {
        "copies": folder / "risk" / f"0001-{number}.files",
        "inside the copies": folder / "risk" / f"0001-{number}.files" / "d",
        "feature": folder / "risk",
        "versions": folder,
    }
    links[which].parent.mkdir(parents=True, exist_ok=True)
    links[which].symlink_to(victim, target_is_directory=True)
    ran = risk.run("lock", code={"feature": 2, "versions": 12}.get(which, 0))
    assert not list(victim.rglob("*.json"))
    if which in ("copies", "inside the copies"):
        assert (copies(risk) / "d/w.json").read_text() == "1"
    else:
        assert "is a link" in ran.err


@pytest.mark.parametrize("path", ["../../x", "/tmp/x", "a/../../x", ".env", "features/.versions/risk/active"])
def test_a_header_that_names_a_file_elsewhere_is_damaged(risk: Folder, path: str) -> None:
    risk.run("lock")
    (version,) = risk.root.glob("features/.versions/risk/0001-*.py")
    opening, _, below = version.read_text().replace('"weights.json"', f'"{path}"').split("\n", 2)
    checksum = hashlib.sha256(below.encode()).hexdigest()
    version.write_text(f'{opening}\n# checksum = "{checksum}"\n{below}')
    assert "has a header that can't be used" in risk.json("check", code=1)["findings"][-1]["message"]


def test_the_hook_that_locks_names_the_copies_too(risk: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    from featurestore.cli.hook import run_hook

    assert run_hook(["lock", "-C", str(risk.root)]) == 1
    assert ".files; git add them" in capsys.readouterr().err


def test_a_feature_that_is_renamed_takes_its_copies_along_and_nothing_else(risk: Folder) -> None:
    risk.run("ingest")
    (copies(risk) / "endless").symlink_to("/dev/zero")
    renamed = WEIGHTED.replace('data_type="float"', 'data_type="float", renamed_from="risk"')
    risk.write({"features/m.py": renamed.replace("def risk", "def danger")})
    risk.run("lock")
    (folder,) = risk.root.glob("features/.versions/danger/0001-*.files")
    assert [path.name for path in folder.iterdir()] == ["weights.json"]
    assert (folder / "weights.json").read_text() == '{"a": 2}'


# Declarations that can't be used


def link_out(root: Path) -> None:
    (root / "w").symlink_to("/etc/hostname")


def link_endless(root: Path) -> None:
    (root / "w").symlink_to("/dev/zero")


def pipe(root: Path) -> None:
    os.mkfifo(root / "w")


def a_folder(root: Path) -> None:
    (root / "w").mkdir()


def too_large(root: Path) -> None:
    with (root / "w").open("wb") as file:
        file.truncate(LARGEST + 1)


def broken_link(root: Path) -> None:
    (root / "w").symlink_to("nowhere")


def looping_link(root: Path) -> None:
    (root / "w").symlink_to("w")


def lfs(root: Path) -> None:
    (root / "w").write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 12\n")


def folder_out(root: Path) -> None:
    (root / "w").symlink_to("/etc")


def not_utf8(root: Path) -> None:
    (root / "d").mkdir()
    (root / "d" / os.fsdecode(b"\xff.sql")).write_text("1")


def many(root: Path) -> None:
    (root / "many").mkdir()
    for number in range(MOST + 1):
        (root / "many" / str(number)).touch()


NOTHING = None
REFUSED: list[tuple[str, Any, str]] = [
    ("w", NOTHING, "depends_on='w': there is no such file"),
    ("d/w", NOTHING, "there is no such file"),
    ("weights.json/w", NOTHING, "there is no such file"),
    ("w", link_out, "it is a link out of the project"),
    ("w", link_endless, "it is a link out of the project"),
    ("w/hostname", folder_out, "it is a link out of the project"),
    ("w", broken_link, "there is no such file"),
    ("w", looping_link, "it can't be read"),
    ("w", pipe, "it is not a plain file"),
    ("w", a_folder, "it is a folder"),
    ("w", too_large, "it is larger than 64 MB"),
    ("w", lfs, "it is a pointer of Git LFS"),
    ("d/*.sql", not_utf8, "its name is not UTF-8"),
    ("many/*", many, "fits more than 1,000 files"),
    ("sql/*.sql", NOTHING, "depends_on='sql/*.sql' fits no file"),
    ("*.nothing", NOTHING, "fits no file"),
    ("/etc/hostname", NOTHING, "is not relative to the project's folder"),
    ("~/w", NOTHING, "is not relative to the project's folder"),
    ("../w", NOTHING, "leads out of the project"),
    ("d/../w", NOTHING, "leads out of the project"),
    ("./weights.json", NOTHING, "is not written plainly"),
    ("d//w", NOTHING, "is not written plainly"),
    ("", NOTHING, "is not a path"),
    ("d\\\\w", NOTHING, "is not a path"),
    ("w\\0", NOTHING, "is not a path"),
    (".env", NOTHING, "names secrets"),
    ("deploy/.env.local", NOTHING, "names secrets"),
    ("featurestore.toml", NOTHING, "names a file of the store"),
    (".featurestore/history.duckdb", NOTHING, "names a file of the store"),
    ("features/.versions/risk/metadata.toml", NOTHING, "names a file of the store"),
]


@pytest.mark.parametrize(("path", "make", "says"), REFUSED)
def test_a_path_that_cannot_be_used_is_a_broken_declaration_that_names_it(
    risk: Folder, path: str, make: Any, says: str
) -> None:
    if make is not None:
        make(risk.root)
    risk.write({"features/m.py": WEIGHTED.replace('["weights.json"]', f'["{path}"]')})
    assert says in problem(risk)
    assert risk.json("check", code=1)["findings"][0]["kind"] == "declaration"
    risk.run("lock", "risk", code=2)
    assert says in risk.run("show", "risk", code=2).err


@pytest.mark.parametrize("value", ['"weights.json"', "[1]", "[None]", '{"a": "b"}', "[['weights.json']]"])
def test_what_is_no_list_of_paths_is_refused(risk: Folder, value: str) -> None:
    risk.write({"features/m.py": WEIGHTED.replace('["weights.json"]', value)})
    assert "depends_on= must be a list of paths" in problem(risk)


def test_a_link_inside_the_project_is_followed(risk: Folder) -> None:
    (risk.root / "weights.json").rename(risk.root / "other.json")
    (risk.root / "weights.json").symlink_to("other.json")
    risk.run("ingest")
    assert values(risk) == [100, 102]
    assert not (copies(risk) / "weights.json").is_symlink()
    risk.write({"other.json": '{"a": 3}'})
    assert risk.json("plan")["features"][0]["reasons"] == ["weights.json changed"]


# Git


def git(root: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=main")
    return subprocess.run(
        ["git", *identity, *arguments], cwd=root, check=True, capture_output=True, text=True
    ).stdout  # fmt: skip


def test_check_staged_takes_the_bytes_that_git_would_commit(risk: Folder) -> None:
    git(risk.root, "init")
    risk.run("lock")
    git(risk.root, "add", ".")
    assert risk.json("check", "--staged")["findings"] == []
    risk.write({"weights.json": '{"a": 3}'})
    assert risk.json("check", "--staged")["findings"] == []
    assert risk.json("check", code=1)["findings"][0]["kind"] == "missing"
    git(risk.root, "add", "weights.json")
    assert risk.json("check", "--staged", code=1)["findings"][0]["kind"] == "missing"
    risk.run("lock")
    git(risk.root, "add", "features/.versions")
    assert risk.json("check", "--staged")["findings"] == []
    git(risk.root, "rm", "--cached", "weights.json")
    assert "there is no such file" in risk.json("check", "--staged", code=1)["findings"][0]["message"]


def test_check_staged_misses_a_copy_that_is_not_added(risk: Folder) -> None:
    git(risk.root, "init")
    risk.run("lock")
    git(risk.root, "add", ".")
    git(risk.root, "rm", "-r", "--cached", str(copies(risk).relative_to(risk.root)))
    (finding,) = risk.json("check", "--staged", code=1)["findings"]
    assert finding["kind"] == "damaged"
    assert "weights.json is missing" in finding["message"]


def test_check_staged_follows_links_and_refuses_what_is_too_large(risk: Folder) -> None:
    git(risk.root, "init")
    (risk.root / "weights.json").rename(risk.root / "other.json")
    (risk.root / "weights.json").symlink_to("other.json")
    risk.run("lock")
    git(risk.root, "add", ".")
    assert risk.json("check", "--staged")["findings"] == []
    (risk.root / "other.json").unlink()
    too_large(risk.root)
    (risk.root / "w").rename(risk.root / "other.json")
    git(risk.root, "add", ".")
    assert "larger than 64 MB" in risk.json("check", "--staged", code=1)["findings"][0]["message"]


def test_a_pointer_of_git_lfs_in_the_index_stands_for_its_file(risk: Folder) -> None:
    git(risk.root, "init")
    risk.run("lock")
    git(risk.root, "add", ".")
    sha256 = risk.json("show", "risk")["depends_on"][0]["sha256"]
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize 8\n"
    (risk.root / "pointer").write_text(pointer)
    blob = git(risk.root, "hash-object", "-w", "pointer").strip()
    git(risk.root, "update-index", "--cacheinfo", f"100644,{blob},weights.json")
    assert risk.json("check", "--staged")["findings"] == []


def test_copies_survive_a_checkout_that_changes_line_ends(risk: Folder, tmp_path: Path) -> None:
    risk.write({"weights.json": '{\n"a": 2\n}\n'})
    git(risk.root, "init")
    risk.run("lock")
    git(risk.root, "add", ".")
    git(risk.root, "commit", "-m", "x")
    clone = tmp_path / "clone"
    git(risk.root, "-c", "core.autocrlf=true", "clone", "-c", "core.autocrlf=true", ".", str(clone))
    assert b"\r\n" in (clone / "weights.json").read_bytes()
    (copy,) = clone.glob("features/.versions/risk/*.files/weights.json")
    assert copy.read_bytes() == b'{\n"a": 2\n}\n'


def test_diff_takes_a_revisions_own_files(risk: Folder) -> None:
    git(risk.root, "init")
    git(risk.root, "add", ".")
    git(risk.root, "commit", "-m", "x")
    risk.write({"weights.json": '{"a": 3}'})
    assert "weights.json changed" in risk.run("diff", "risk", "--rev", "HEAD", "--code").out


def test_require_committed_asks_for_the_copies_too(risk: Folder) -> None:
    risk.write({"featurestore.toml": TOML + "[versions]\nrequire_committed = true\n"})
    git(risk.root, "init")
    risk.run("lock")
    git(risk.root, "add", ".")
    git(risk.root, "rm", "-r", "--cached", str(copies(risk).relative_to(risk.root)))
    git(risk.root, "commit", "-m", "x")
    assert "not committed" in risk.json("ingest", code=4)["features"][0]["error"]["message"]
    git(risk.root, "add", ".")
    git(risk.root, "commit", "-m", "y")
    risk.run("ingest")


# Limits

LIMITED: list[tuple[str, str, list[str]]] = [
    ('["weights.json"]', 'json.load(open("weights.json"))["a"]', []),
    ('["weights.json"]', 'json.loads(Path("weights.json").read_text())["a"]', []),
    ('["features/w.json"]', 'json.loads((HERE / "w.json").read_text())["a"]', []),
    ('["features/w.json"]', 'json.loads(HERE.joinpath("w.json").read_text())["a"]', []),
    ('["weights.json"]', 'json.loads((HERE.parents[0].parent / "weights.json").read_bytes())["a"]', []),
    ('["weights.json"]', 'pl.read_json("weights.json")["a"][0]', []),
    ('["weights.json"]', "pl.read_json(NAME)['a'][0]", []),
    ('["sql/*.sql"]', 'len(list(Path("sql").glob("*.sql")))', []),
    ('["sql/*.sql"]', 'int(Path("sql/a.sql").read_text())', []),
    ('["sql/a.sql"]', "pl.sql(\"select * from read_csv('sql/a.sql')\").collect()[0, 0]", []),
    ('["weights.json"]', '(2 if Path("weights.json").exists() else 3)', []),
    ('["weights.json"]', "sum(len(open(name).read()) for name in [NAME])", []),
    ('["weights.json"]', 'json.load(open("other.json"))["a"]', ["file"]),
    ('["weights.json"]', 'pl.read_json("other.json")["a"][0]', ["native"]),
    ('["weights.json"]', "sum(pl.read_json(name).height for name in [NAME])", ["native"]),
    ('["weights.json"]', '(2 if Path("other.json").exists() else 3)', ["presence"]),
    ('["weights.json"]', 'len(list(Path("sql").glob("*.sql")))', ["presence"]),
    ('["weights.json"]', "__import__('os').getenv('A')", ["code", "environment"]),
    ("[]", 'json.load(open("weights.json"))["a"]', ["file"]),
]


@pytest.mark.parametrize(("declared", "expression", "kinds"), LIMITED)
def test_what_is_declared_is_no_limit_any_more(risk: Folder, declared: str, expression: str, kinds: list[str]) -> None:
    text = module(f'return pl.col("age") * {expression}', declared).replace(
        "\n\n@feature", '\nNAME = "weights.json"\n\n\n@feature'
    )
    if "HERE" not in expression:
        text = text.replace("HERE = Path(__file__).parent\n", "")
    risk.write({"features/m.py": text, "features/w.json": "{}", "sql/a.sql": "1"})
    assert sorted(item["kind"] for item in risk.json("show", "risk")["limits"]) == kinds


# Patterns

TREE = ["a.sql", "b.txt", ".c.sql", "sql/a.sql", "sql/b.SQL", "sql/deep/a.sql", "sql/.hidden/a.sql", "sql/[x].sql"]
PATTERNS = [
    "*.sql", "*", "?.sql", "sql/*", "sql/*.sql", "*/a.sql", "**/*.sql", "**/a.sql", "sql/**/*.sql", "sql/**", "*/*/*",
    "sql/[ab].*", "sql/[!a].*", "sql/[[]x].sql", "s*l/d*p/?.sql", ".*.sql", "sql/.hidden/*", "**/deep/*", "[a-b].*",
]  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_take_what_glob_takes(tmp_path: Path, pattern: str) -> None:
    for name in TREE:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    expected = sorted(
        name
        for name in glob.glob(pattern, root_dir=tmp_path, recursive=True)  # noqa: PTH207  # what it is compared with
        if (tmp_path / name).is_file()
    )
    assert sorted(name for name in TREE if fits(name, [pattern])) == expected
    if expected:
        assert [file.path for file in DeclaredFiles(tmp_path).find([pattern])] == expected
    else:
        with pytest.raises(DeclarationError):
            DeclaredFiles(tmp_path).find([pattern])


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*a*a*a*a*a*a*a*a*a*b", "a" * 250),
        ("/".join(["**", "a"] * 12) + "/b", "/".join("a" * 120)),
        ("**/" * 20 + "b", "/".join("a" * 120)),
    ],
)
def test_no_pattern_takes_for_ever(pattern: str, path: str) -> None:
    assert not fits(path, [pattern])
    assert fits(f"{path}/b" if "/" in path else f"{path}b", [pattern])
