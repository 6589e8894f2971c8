"""Versions of an older recipe are the working tree's, unless their files lack what the newest recipe counts."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from featurestore.versioning.folder.versionfile import VersionFile
from featurestore.versioning.recipe.version_hash import VersionHash
from featurestore.versioning.running import replay
from tests.compat.test_landed_project import PROJECTS
from tests.conftest import Folder

SAME = ("direct", "framed", "plain", "updated")
MORE = {
    "registered": "recipe 2 counts `registry.NAMES.append(3.0)` in features.lib.plugins, which version 1 does not hold",
    "spelled": "recipe 2 counts the type of column `count`, which version 1 does not hold",
    "through_package": "recipe 2 counts helper `scale.times`, which version 1 does not hold",
}
OLD = "plain,plain@2,direct@1,through_package@1,updated,registered@1,spelled@1,framed@1"


@pytest.fixture
def old(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Folder:
    """A project of 0.1.0 whose code that release's hash did not cover in full."""
    with tarfile.open(PROJECTS / "0.1.0" / "imports.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")

    def capture() -> tuple[str, str]:
        found = capsys.readouterr()
        return found.out, found.err

    return Folder(tmp_path / "imports", capture)


def joined(project: Folder, columns: str) -> list[list[str]]:
    output = project.root / "again.csv"
    project.run("join", str(project.root / "labels.csv"), "-f", columns, "--timestamp-column", "at",
                "--output", str(output))  # fmt: skip
    return [line.split(",")[2:] for line in output.read_text().splitlines()[1:]]


def files_of(project: Folder) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (project.root / "features/.versions").rglob("*") if path.is_file()}


def test_only_versions_that_lack_something_are_new_and_plan_says_what(old: Folder) -> None:
    planned = {item["name"]: item for item in old.json("plan")["features"]}
    assert {name for name, item in planned.items() if item["change"] == "none"} == {*SAME}
    assert {name: item["reasons"] for name, item in planned.items() if item["change"] != "none"} == {
        name: [reason] for name, reason in MORE.items()
    }
    found = {item["name"]: item for item in old.json("ingest")["features"]}
    assert {name for name, item in found.items() if item["status"] == "unchanged"} == {*SAME}
    assert {name: item["version"] for name, item in found.items() if item["new_version"]} == dict.fromkeys(MORE, 2)
    assert [item["change"] for item in old.json("plan")["features"]] == ["none"] * 7
    old.run("check")


def test_references_and_joins_stay(old: Folder) -> None:
    before = joined(old, OLD)
    sha256 = {item["name"]: item["active_sha256"] for item in old.json("list")["features"]}
    old.run("ingest")
    assert joined(old, OLD) == before
    by_hash = ",".join(f"{name}@{sha256[name][:12]}" for name in ("plain", "direct", "through_package", "spelled"))
    assert joined(old, by_hash) == joined(old, "plain@1,direct@1,through_package@1,spelled@1")
    after = {item["name"]: item["active_sha256"] for item in old.json("list")["features"]}
    assert {name for name in sha256 if sha256[name] == after[name]} == {*SAME}
    old.run("sync")
    old.run("verify")


def test_a_change_of_code_is_the_reason_where_there_is_one(old: Folder) -> None:
    old.edit("features/shop.py", 'pl.col("amount") * 1', 'pl.col("amount") * 3')
    old.edit("features/shop.py", "scale.times(", "2 * scale.times(")
    planned = {item["name"]: item["reasons"] for item in old.json("plan")["features"]}
    assert planned["plain"] == ["the function's code changed"]
    assert "the function's code changed" in planned["through_package"]
    old.edit("features/shop.py", 'pl.col("amount") * 3', 'pl.col("amount") * 10')
    assert old.json("plan", "plain")["features"][0]["new_version"] == 2, "the code of version 2 is back"
    old.run("ingest", "plain")
    assert old.json("list", "plain")["features"][0]["active_version"] == 2


@pytest.mark.parametrize("command", ["lock", "ingest"])
def test_what_was_found_is_written_down_and_used(old: Folder, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = files_of(old)
    for name in ("list", "plan", "show plain", "check"):
        old.run(*name.split(), code=1 if name == "check" else 0)
    assert files_of(old) == before, "reading writes nothing"
    old.run(command)
    written = {path.parent.name for path in files_of(old) if path.name == "recipes.toml"}
    assert written >= {*SAME}
    asked: list[Path] = []

    def rehash(version: VersionFile, recipe: int | None = None) -> VersionHash:
        asked.append(version.name.path)
        return replay.rehash(version, recipe)

    monkeypatch.setattr("featurestore.versioning.running.recipes.rehash", rehash)
    assert {item["change"] for item in old.json("plan", *SAME)["features"]} == {"none"}
    old.run("list")
    assert asked == [], "nothing is worked out again"


def edited(data: bytes) -> bytes:
    return data.replace(b'sha256 = "', b'sha256 = "0', 1)


def of_another_file(data: bytes) -> bytes:
    import hashlib

    _, _, below = data.partition(b"\n")
    below = below.replace(b'checksum = "', b'checksum = "0', 1)
    return f'# checksum = "{hashlib.sha256(below).hexdigest()}"\n'.encode() + below


@pytest.mark.parametrize("damage", [edited, lambda _: b"", lambda _: b"\xff", of_another_file])
def test_what_does_not_fit_the_file_is_not_trusted(old: Folder, damage: Callable[[bytes], bytes]) -> None:
    old.run("lock")
    path = old.root / "features/.versions/plain/recipes.toml"
    good = path.read_bytes()
    path.write_bytes(damage(good))
    assert old.json("plan", "plain")["features"][0]["change"] == "none"
    if damage is not of_another_file:
        (finding,) = old.json("check", code=1)["findings"]
        assert (finding["kind"], finding["where"]) == ("damaged", "features/.versions/plain/recipes.toml")
        assert "featurestore lock plain" in finding["hint"]
    old.run("lock")
    assert path.read_bytes() == good
    old.run("check")


def test_a_version_file_of_recipe_1_rests_on_its_checksum(old: Folder) -> None:
    (path,) = (old.root / "features/.versions/direct").glob("0001-*.py")
    path.write_bytes(path.read_bytes().replace(b"* 2", b"* 3"))
    found = [item for item in old.json("check", code=1)["findings"] if item["kind"] == "damaged"]
    assert [item["where"] for item in found] == [path.relative_to(old.root).as_posix()]


def test_the_last_of_several_versions_that_are_one_now_is_taken(old: Folder) -> None:
    """Recipe 1 may have told apart what recipe 2 does not."""
    folder = old.root / "features/.versions/framed"
    (path,) = folder.glob("0001-*.py")
    text = path.read_text()
    head, _, below = text.partition("# ///\n\n")
    sha256 = "f" * 64
    old_sha256 = next(line.split('"')[1] for line in head.splitlines() if line.startswith("# sha256"))
    body = f"{head}# ///\n\n{below}".replace(old_sha256, sha256).split("\n", 2)[2]
    import hashlib

    checksum = hashlib.sha256(body.encode()).hexdigest()
    (folder / f"0002-{sha256[:12]}.py").write_text(f'# /// featurestore\n# checksum = "{checksum}"\n{body}')
    assert old.json("show", "framed")["sha256"] == sha256
