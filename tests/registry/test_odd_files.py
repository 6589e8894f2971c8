"""Whatever lies below a project's ``features/`` is read as a module, or named with the reason why not."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from featurestore.cli.app import run
from tests.conftest import TOML, Folder

READING = (["list"], ["show", "age_share"], ["plan"], ["check"], ["lock", "--dry-run"], ["lineage", "age_share"])


def link(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def make_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the path of a socket has at most 108 characters
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


def make_huge(path: Path) -> None:
    path.touch()
    os.truncate(path, 10**12)


ODD: dict[str, tuple[Callable[[Path], None], str]] = {
    "a pipe": (os.mkfifo, "is a named pipe, not a regular file"),
    "a socket": (make_socket, "is a socket, not a regular file"),
    "a link to an endless device": (link("/dev/zero"), "is a link that leads out of the project, to /dev/zero"),
    "a link out": (link("/etc/hostname"), "is a link that leads out of the project, to /etc/hostname"),
    "a link to nothing": (link("nowhere"), "is a link to nothing"),
    "a link to itself": (link("odd.py"), "can't be read: Too many levels of symbolic links"),
    "an endless file": (make_huge, "is larger than 11 MB"),
}


@pytest.mark.parametrize("name", ODD)
def test_a_file_that_is_none_is_named_and_left_out(project: Folder, name: str) -> None:
    make, reason = ODD[name]
    make(project.root / "features/odd.py")
    assert project.features("age_share")["age_share"]["status"] == "ok"
    for arguments in READING:
        ran = project.run(*arguments, code=1 if arguments == ["check"] else 0)
        assert arguments[0] not in ("list", "plan") or f"features/odd.py: {reason}" in ran.err
    assert project.json("check", code=1)["findings"][0]["message"] == reason
    assert project.json("list")["problems"][0]["name"] == "features/odd.py"
    said = project.run("ingest").err
    assert "features/odd.py" in said
    assert "it is left out" in said


@pytest.mark.parametrize("kind", ["a pipe", "a socket", "a link to an endless device", "a link out"])
def test_a_stranger_in_the_place_of_a_file_of_our_own_is_refused_unopened(project: Folder, kind: str) -> None:
    project.run("ingest")
    project.run("sync")
    state = project.root / ".featurestore"
    for path in [each for each in state.iterdir() if each.is_file()]:
        kept = path.read_bytes()
        path.unlink()
        ODD[kind][0](path)
        for words in (["list"], ["ingest"], ["get", "patient", "001"]):
            assert f"{path}: is a " in project.run(*words, code=2).err
        path.unlink()
        path.write_bytes(kept)
    project.run("ingest")


@pytest.mark.parametrize("kind", ["a pipe", "a link to an endless device", "an endless file"])
def test_what_was_derived_is_derived_again_where_a_stranger_has_its_place(project: Folder, kind: str) -> None:
    project.run("ingest")
    derived = [path for folder in ("rows", "hashes") for path in (project.root / ".featurestore" / folder).rglob("*")]
    for path in [each for each in derived if each.is_file()]:
        path.unlink()
        ODD[kind][0](path)
    assert project.json("ingest", "--full")["features"][0]["rows_unchanged"] == 3


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_is_named(project: Folder) -> None:
    project.write({"features/secret.py": "x = 1\n"})
    (project.root / "features/secret.py").chmod(0)
    assert "features/secret.py: can't be read: Permission denied" in project.run("list").err


@pytest.mark.parametrize(
    ("path", "shown"), [(b"features/b\xffd.py", "features/b\\xffd.py"), (b"features/\xfe/a.py", "features/\\xfe/a.py")]
)
def test_a_name_that_is_not_utf_8_is_shown_by_its_bytes(project: Folder, path: bytes, shown: str) -> None:
    whole = project.root / os.fsdecode(path)
    whole.parent.mkdir(exist_ok=True)
    whole.write_text("from featurestore import feature\n")
    project.run("lock")
    for arguments in READING:
        project.run(*arguments, code=1 if arguments == ["check"] else 0)
        project.run(*arguments[:1], *(["age_share"] if len(arguments) > 1 and arguments[1] == "age_share" else []),
                    "--json", code=1 if arguments == ["check"] else 0)  # fmt: skip
    assert f"{shown}: can't be a module: its name is not UTF-8" in project.run("list").err


def test_a_stranger_among_the_version_files_may_have_any_name(project: Folder) -> None:
    project.run("lock")
    (project.root / "features/.versions/age_share" / os.fsdecode(b"0009-\xff.py")).write_text("x = 1\n")
    found = project.json("check", code=1)["findings"]
    assert [item["kind"] for item in found] == ["stranger"]


@pytest.mark.parametrize(
    ("path", "part"),
    [("features/v1.2/f.py", "v1.2"), ("features/risk.v2.py", "risk.v2"), ("features/a/.b/../c.d/e.py", "c.d")],
)
def test_a_dot_in_a_name_is_the_reason(folder: Folder, path: str, part: str) -> None:
    (folder.root / "features/a/.b").mkdir(parents=True)
    folder.write({"featurestore.toml": TOML, path: "from featurestore import feature\n"})
    assert f"can't be a module: there is a dot in {part!r} (rename it" in folder.run("list").err
    folder.run("check", code=1)


def test_a_linked_folder_is_searched_inside_the_project_and_its_repository(project: Folder, tmp_path: Path) -> None:
    text = (project.root / "features/cardiac.py").read_text()
    project.write({"shared/team/a.py": text.replace("age_share", "of_shared"), "featurestore.toml": TOML})
    (project.root / "features/team").symlink_to("../shared/team")
    (project.root / "features/again").symlink_to(".")
    assert [item["name"] for item in project.json("list")["features"]] == ["age_share", "of_shared"]
    assert project.json("list")["problems"] == []


def test_a_folder_linked_to_elsewhere_is_named_where_it_has_python_files(tmp_path: Path, folder: Folder) -> None:
    inner = folder.root / "inner"
    folder.write({"inner/featurestore.toml": TOML, "inner/features/__init__.py": "", "outer/code/a.py": "x = 1\n"})
    folder.write({"outer/data/a.csv": "a\n"})
    (inner / "features/code").symlink_to("../../outer/code")
    (inner / "features/data").symlink_to("../../outer/data")
    problems = folder.json("-C", str(inner), "list")["problems"]
    assert [item["name"] for item in problems] == ["features/code"]
    assert "is a link that leads out of the project" in problems[0]["message"]
    (folder.root / ".git").mkdir()
    assert folder.json("-C", str(inner), "list")["problems"] == [], "the repository is one place"


def test_a_features_folder_that_is_a_link_is_the_projects(folder: Folder) -> None:
    code = (
        "import polars as pl\nfrom featurestore import feature\n\n\n@feature(entity_type='patient', data_type='int')\n"
    )
    folder.write({"p/featurestore.toml": TOML, "elsewhere/m.py": f"{code}def age():\n    return pl.col('age')\n"})
    (folder.root / "p/features").symlink_to("../elsewhere")
    assert [item["name"] for item in folder.json("-C", str(folder.root / "p"), "list")["features"]] == ["age"]


def test_a_helper_that_is_a_pipe_is_an_error_of_the_feature_that_needs_it(project: Folder) -> None:
    project.edit("features/cardiac.py", "import polars as pl", "import polars as pl\nfrom helpers import half")
    project.edit("features/cardiac.py", "/ 100", "/ 100 + half()")
    os.mkfifo(project.root / "helpers.py")
    (found,) = project.json("check", code=1)["findings"]
    assert found["where"] == "helpers.py"
    assert "is a named pipe" in found["message"]


OWN = {
    "active": "features/.versions/age_share/active",
    "metadata": "features/.versions/age_share/metadata.toml",
    "a version": None,
}


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("make", [os.mkfifo, link("/dev/zero"), link("/etc/hostname")], ids=["pipe", "zero", "link"])
def test_a_file_of_ours_is_never_a_link_or_a_pipe(ingested: Folder, name: str, make: Callable[[Path], None]) -> None:
    path = ingested.root / (OWN[name] or next((ingested.root / "features/.versions/age_share").glob("0001-*.py")))
    path.unlink(missing_ok=True)
    make(path)
    for command in ("list", "plan", "show", "lineage", "history"):
        arguments = {"show": ["age_share"], "lineage": ["age_share"], "history": ["age_share", "001"]}.get(command, [])
        assert run(["-C", str(ingested.root), command, *arguments]) in (0, 2)
    checked = ingested.run("check", "--json", code=1)
    said = checked.out
    assert "not a regular file" in said
    assert path.is_symlink() or path.is_fifo()


def test_a_feature_s_folder_that_is_a_link_is_not_written_through(project: Folder) -> None:
    elsewhere = project.root / "elsewhere"
    elsewhere.mkdir()
    (project.root / "features/.versions").mkdir()
    (project.root / "features/.versions/age_share").symlink_to("../../elsewhere")
    ran = project.run("lock", code=2)
    assert "is a link" in ran.err
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("make", [os.mkfifo, link("/dev/zero")], ids=["pipe", "zero"])
def test_the_settings_may_be_a_pipe_too(folder: Folder, make: Callable[[Path], None]) -> None:
    make(folder.root / "featurestore.toml")
    for command in ("list", "doctor", "check"):
        ran = folder.run(command, code=1 if command == "doctor" else 2)
        assert "featurestore.toml: is a" in ran.out + ran.err


@pytest.mark.parametrize("make", [os.mkfifo, link("/dev/zero")], ids=["pipe", "zero"])
def test_a_source_that_the_project_names_is_a_regular_file(project: Folder, make: Callable[[Path], None]) -> None:
    (project.root / "visits.csv").unlink()
    make(project.root / "visits-1.csv")
    error = project.features(code=4)["age_share"]["error"]
    assert "is not a regular file" in error["message"]


def test_nothing_of_a_users_is_run(project: Folder) -> None:
    project.run("lock")
    ran = project.root / "ran"
    loud = f"open({str(ran)!r}, 'w').write('x')\nprint('LOUD')\nraise RuntimeError('LOUD')\n"
    project.edit(
        "features/cardiac.py", "import polars as pl\n", f"import polars as pl\nfrom features import loud\n{loud}"
    )
    project.edit("features/cardiac.py", "/ 100", "/ 100 * loud.x")
    project.write({"features/__init__.py": loud, "features/loud.py": f"{loud}x = 1\n", "conftest.py": loud})
    for arguments in (
        ["list"], ["show", "age_share"], ["plan"], ["lock", "--dry-run"], ["check"], ["lineage", "age_share"], ["lock"],
        ["diff", "age_share", "--code"], ["doctor"], ["runs"], ["stats", "age_share"], ["drift"],
    ):  # fmt: skip
        assert run(["-C", str(project.root), *arguments]) in (0, 1, 2), arguments
        _, err = project._capture()
        assert "LOUD" not in err.replace("print('LOUD')", "").replace("RuntimeError('LOUD')", ""), arguments
        assert not ran.exists(), arguments


def make_unreadable(path: Path) -> None:
    path.write_text("x = 1\n")
    path.chmod(0)


UNREAD = {
    **{name: ODD[name] for name in ("a pipe", "a link to an endless device", "a link out", "a link to nothing")},
    **({} if os.geteuid() == 0 else {"mode 000": (make_unreadable, "can't be read: Permission denied")}),
}


@pytest.mark.parametrize("name", UNREAD)
def test_a_feature_whose_file_can_t_be_read_is_not_taken_for_removed(ingested: Folder, name: str) -> None:
    make, reason = UNREAD[name]
    path = ingested.root / "features/cardiac.py"
    path.unlink()
    make(path)
    said = f"features/cardiac.py: {reason}"
    assert reason in ingested.run("ingest", "-q", code=4).err
    assert said in ingested.run("plan", "--exit-code", code=2).err
    assert ingested.json("plan")["features"][0]["change"] == "none"
    assert "features/cardiac.py" in ingested.run("lock", code=2).err
    assert f"whether age_share is declared is not known: features/cardiac.py {reason}" in (
        ingested.run("retire", "age_share", code=2).err
    )
    assert not (ingested.root / "features/.versions/age_share/retired.toml").exists()
    for arguments, code in ((["get", "age_share", "-e", "p1"], None), (["check"], 1), (["doctor"], 1), (["list"], 0)):
        ran = run(["-C", str(ingested.root), *arguments])
        assert code in (None, ran), arguments
        out, err = ingested._capture()
        assert "retire" not in out + err, arguments
        assert "no longer declared" not in out + err, arguments


def test_a_linked_folder_with_the_features_is_not_taken_for_their_removal(project: Folder, tmp_path: Path) -> None:
    inner = project.root / "inner"
    text = (project.root / "features/cardiac.py").read_text()
    project.write({"inner/featurestore.toml": TOML, "inner/features/team/a.py": text, "inner/visits.csv": "",
                   "outer/a.py": text})  # fmt: skip
    at = ("-C", str(inner))
    project.run(*at, "lock")
    (inner / "features/team/a.py").unlink()
    (inner / "features/team").rmdir()
    (inner / "features/team").symlink_to("../../outer")
    assert "features/team: is a link that leads out" in project.run(*at, "plan", "--exit-code", code=2).err
    assert project.json(*at, "plan")["features"][0]["change"] == "none"
    assert "features/team is a link that leads out" in project.run(*at, "retire", "age_share", code=2).err


@pytest.mark.parametrize("target", ["../nowhere", "team"])
def test_a_folder_link_that_leads_nowhere_is_named_and_takes_no_feature_away(project: Folder, target: str) -> None:
    project.write({"features/team/a.py": (project.root / "features/cardiac.py").read_text()})
    (project.root / "features/cardiac.py").unlink()
    project.run("lock")
    (project.root / "features/team/a.py").unlink()
    shutil.rmtree(project.root / "features/team")
    (project.root / "features/team").symlink_to(target)
    said = (
        "features/team: is a link to nothing" if target != "team" else "features/team: can't be read: Too many levels"
    )
    assert said in project.run("list").err
    assert said in project.run("check", code=1).out
    assert said in project.run("plan", "--exit-code", code=2).err
    assert project.json("plan")["features"][0]["change"] == "none"
    assert "whether age_share is declared is not known" in project.run("ingest", "age_share", code=2).err


def test_a_features_folder_that_is_a_link_to_nothing_is_named(project: Folder) -> None:
    project.run("lock")
    shutil.move(project.root / "features/.versions", project.root / "kept")
    shutil.rmtree(project.root / "features")
    (project.root / "features").symlink_to("../nowhere")
    assert "features: is a link to nothing" in project.run("list").err
    assert "features: is a link to nothing" in project.run("check", code=1).out


def test_a_link_to_nothing_that_can_t_be_a_folder_of_modules_is_nobody_s_business(project: Folder) -> None:
    (project.root / "features/notes.md").symlink_to("../nowhere")
    assert project.json("list")["problems"] == []


def test_a_file_whose_name_has_a_dot_does_not_hide_a_feature(ingested: Folder) -> None:
    (ingested.root / "features/cardiac.py").unlink()
    ingested.write({"features/cardiac.v2.py": "x = 1\n"})
    ingested.run("lock")
    ingested.run("retire", "age_share")


@pytest.mark.parametrize("arguments", [["show", "v"], ["rename", "v", "w"], ["diff", "v"], ["history", "v", "p1"]])
def test_a_feature_may_be_declared_in_a_file_that_can_t_be_parsed(ingested: Folder, arguments: list[str]) -> None:
    ingested.write({"features/new.py": "from featurestore import feature\n\ndef v(:\n"})
    err = ingested.run(*arguments, code=2).err
    assert "whether v is declared is not known: features/new.py can't be parsed" in err
    (ingested.root / "features/new.py").unlink()
    os.mkfifo(ingested.root / "features/new.py")
    err = ingested.run(*arguments, code=2).err
    assert "whether v is declared is not known: features/new.py is a named pipe" in err


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"def half(:\n", "features/half.py:1: can't be parsed: "),
        (b"x = '\xff'\n", "features/half.py: "),
    ],
)
def test_a_file_without_features_that_can_t_be_parsed_is_named(project: Folder, data: bytes, said: str) -> None:
    project.run("lock")
    (project.root / "features/half.py").write_bytes(data)
    planned = project.run("plan", "--exit-code")
    assert said in planned.out + planned.err
    checked = project.run("check")
    assert said in checked.out + checked.err
    assert any(line.startswith(said) for line in project.json("check")["notes"])
    assert said in project.run("ingest").err
    project.run("lock")
    project.edit("features/cardiac.py", "import polars as pl", "import polars as pl\nfrom features.half import half")
    project.edit("features/cardiac.py", "/ 100", "/ 100 + half()")
    assert project.run("plan", code=0).err.count("features/half.py") == 1
    assert project.json("check", code=1)["notes"] == []
