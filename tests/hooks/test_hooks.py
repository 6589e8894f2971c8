"""check, lock and the pre-commit hooks on real git repositories: what is staged is what is checked."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import AGE, PROJECT, Folder

ROOT = Path(__file__).resolve().parents[2]
HOOK = [sys.executable, str(ROOT / "scripts" / "hook")]


def git(folder: Path, *arguments: str, check: bool = True) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def repository(project: Folder) -> Folder:
    project.write({".gitignore": ".featurestore/\n__pycache__/\n"})
    git(project.root, "init", "-q", "-b", "main")
    project.run("lock")
    git(project.root, "add", ".")
    git(project.root, "commit", "-qm", "one")
    return project


def hook(folder: Folder, *arguments: str) -> tuple[int, str]:
    done = subprocess.run([*HOOK, *arguments], cwd=folder.root, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def kinds(folder: Folder, *arguments: str, code: int = 1) -> list[str]:
    return [item["kind"] for item in folder.json("check", *arguments, code=code)["findings"]]


def test_check_is_content_with_what_lock_wrote(repository: Folder) -> None:
    assert kinds(repository, code=0) == []
    assert repository.run("check", "-q").out == ""


def test_check_finds_code_without_a_version_file_and_fix_writes_it(repository: Folder) -> None:
    repository.edit("features/cardiac.py", "/ 100", "/ 90")
    found = repository.json("check", code=1)["findings"]
    assert [(item["kind"], item["where"]) for item in found] == [("missing", "features/cardiac.py:7")]
    assert "featurestore lock age_share" in found[0]["hint"]
    assert repository.json("check", "--fix")["fixed"] == [{"name": "age_share", "version": 2, "what": "written"}]
    assert kinds(repository, code=0) == []


@pytest.mark.parametrize("damage", ["edited", "truncated", "reformatted", "crlf", "checksum updated"])
def test_check_finds_a_version_file_that_was_changed_in_any_way(repository: Folder, damage: str) -> None:
    (path,) = (repository.root / "features" / ".versions" / "age_share").glob("*.py")
    text = path.read_bytes()
    changed = {
        "edited": text.replace(b"/ 100", b"/ 101"),
        "truncated": text[: len(text) - 20],
        "reformatted": text.replace(b"/ 100", b"/  100"),
        "crlf": text.replace(b"\n", b"\r\n"),
        "checksum updated": text.replace(b"/ 100", b"/ 101"),
    }[damage]
    if damage == "checksum updated":
        import hashlib

        head, line, rest = changed.partition(b"# checksum")
        body = rest.split(b"\n", 1)[1]
        changed = head + line + b' = "' + hashlib.sha256(body).hexdigest().encode() + b'"\n' + body
    assert changed != text
    path.write_bytes(changed)
    assert "damaged" in kinds(repository)
    said = repository.run("check", code=1).out
    assert ("features/.versions/** -text` to .gitattributes" in said) is (damage == "crlf")


def test_named_files_narrow_what_is_looked_at(repository: Folder) -> None:
    repository.write({"features/other.py": AGE.replace("age_share", "other")})
    assert kinds(repository, str(repository.root / "features" / "cardiac.py"), code=0) == []
    assert kinds(repository, str(repository.root / "features" / "other.py")) == ["missing"]


@pytest.mark.parametrize("mode", [[], ["--staged"]])
def test_a_path_that_never_was_a_file_is_refused(repository: Folder, mode: list[str]) -> None:
    refused = repository.run("check", *mode, str(repository.root / "features" / "cardaic.py"), code=2)
    assert "there is no file" in refused.err
    assert "features/cardiac.py'?" in refused.err
    assert "there is no file" in repository.run("check", *mode, "/nowhere/at.all", code=2).err


def test_a_path_of_a_file_that_git_knows_may_be_removed(repository: Folder) -> None:
    repository.write({"README.md": "about"})
    git(repository.root, "add", "README.md")
    git(repository.root, "commit", "-qm", "about")
    (repository.root / "README.md").unlink()
    repository.run("check", str(repository.root / "README.md"))
    git(repository.root, "commit", "-qam", "gone")
    repository.run("check", str(repository.root / "README.md"))


def test_a_path_of_a_removed_file_beside_the_project_is_no_error(folder: Folder) -> None:
    git(folder.root, "init", "-q")
    inner = Folder(folder.root / "ml", folder._capture)
    inner.write(PROJECT)
    folder.write({"tools.py": "print()"})
    git(folder.root, "add", ".")
    (folder.root / "tools.py").unlink()
    inner.run("check", str(folder.root / "tools.py"))


def test_staged_content_is_judged_not_the_working_tree(repository: Folder) -> None:
    repository.edit("features/cardiac.py", "/ 100", "/ 90")
    assert kinds(repository, "--staged", code=0) == [], "the edit is not staged"
    git(repository.root, "add", "features/cardiac.py")
    assert kinds(repository, "--staged") == ["missing"]
    repository.run("lock")
    assert kinds(repository, code=0) == []
    assert kinds(repository, "--staged") == ["missing"], "the version file is not staged"
    git(repository.root, "add", ".")
    assert kinds(repository, "--staged", code=0) == []


def test_a_project_in_a_part_of_a_repository_is_judged_too(folder: Folder) -> None:
    git(folder.root, "init", "-q")
    inner = Folder(folder.root / "ml", folder._capture)
    inner.root.mkdir()
    from tests.conftest import TOML, VISITS

    inner.write({"featurestore.toml": TOML, "features/cardiac.py": AGE, "visits.csv": VISITS})
    git(folder.root, "add", ".")
    assert kinds(inner, "--staged") == ["missing"]
    assert hook(folder, "check", "-C", "ml")[0] == 1
    assert hook(folder, "lock", "-C", "ml")[0] == 1
    git(folder.root, "add", ".")
    assert hook(folder, "check", "-C", "ml") == (0, "")


def test_the_hooks_are_silent_on_success_and_short_on_failure(repository: Folder) -> None:
    assert hook(repository, "check") == (0, "")
    assert hook(repository, "lock") == (0, "")
    body = AGE.split("\n\n\n", 1)[0] + "\n"
    many = "".join(
        f'\n\n@feature(entity_type="patient", data_type="float")\ndef f{n}():\n    return pl.col("age") + {n}\n'
        for n in range(30)
    )
    repository.write({"features/many.py": body + many})
    git(repository.root, "add", ".")
    code, said = hook(repository, "check")
    assert code == 1
    assert len(said.splitlines()) == 10
    code, said = hook(repository, "lock")
    assert code == 1
    assert len(said.splitlines()) <= 10
    assert hook(repository, "lock") == (0, ""), "as formatters do, it fails once"


def test_the_hooks_need_no_package_at_all(repository: Folder) -> None:
    command = [sys.executable, "-I", "-S", str(ROOT / "scripts" / "hook"), "check"]
    done = subprocess.run(command, cwd=repository.root, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_pre_commit_runs_them_on_a_real_repository(
    repository: Folder, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The hooks' repository is a copy of this one's committed or working files, as pre-commit would clone it."""
    hooks = tmp_path_factory.mktemp("hooks")
    for name in (".pre-commit-hooks.yaml", "scripts/hook"):
        (hooks / name).parent.mkdir(parents=True, exist_ok=True)
        (hooks / name).write_bytes((ROOT / name).read_bytes())
    (hooks / "scripts" / "hook").chmod(0o755)
    for path in (ROOT / "featurestore").rglob("*.py"):
        target = hooks / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    git(hooks, "init", "-q")
    git(hooks, "add", ".")
    git(hooks, "commit", "-qm", "hooks")
    revision = git(hooks, "rev-parse", "HEAD")
    repository.write(
        {
            ".pre-commit-config.yaml": f"""
            repos:
              - repo: {hooks}
                rev: {revision}
                hooks:
                  - id: featurestore-lock
                  - id: featurestore-check
            """
        }
    )
    environment = os.environ | {
        "PRE_COMMIT_HOME": str(tmp_path_factory.mktemp("home")),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }

    def pre_commit() -> tuple[int, str]:
        command = [sys.executable, "-m", "pre_commit", "run"]
        done = subprocess.run(command, cwd=repository.root, capture_output=True, text=True, env=environment)
        return done.returncode, done.stdout + done.stderr

    repository.edit("features/cardiac.py", "/ 100", "/ 90")
    git(repository.root, "add", ".")
    code, said = pre_commit()
    assert code == 1, said
    assert "0002-" in said
    git(repository.root, "add", ".")
    code, said = pre_commit()
    assert code == 0, said
    assert "Passed" in said


def test_two_branches_that_add_a_version_merge_and_lock_settles_the_numbers(repository: Folder) -> None:
    def branch(name: str, factor: str) -> str:
        git(repository.root, "checkout", "-qb", name, "main")
        repository.edit("features/cardiac.py", "/ 100", factor)
        # As in two checkouts: a store that knows the other branch's version would give this one another number.
        (repository.root / ".featurestore").rename(repository.root / ".elsewhere")
        repository.run("lock")
        shutil.rmtree(repository.root / ".featurestore", ignore_errors=True)
        (repository.root / ".elsewhere").rename(repository.root / ".featurestore")
        sha256 = repository.features()["age_share"]["sha256"]
        git(repository.root, "add", ".")
        git(repository.root, "commit", "-qm", name)
        return str(sha256)

    repository.run("ingest")
    one, other = branch("one", "/ 90"), branch("other", "/ 80")
    git(repository.root, "merge", "-q", "one", check=False)
    conflicts = git(repository.root, "diff", "--name-only", "--diff-filter=U").splitlines()
    assert conflicts == ["features/cardiac.py"], "the versions themselves merge"
    git(repository.root, "checkout", "--ours", "features/cardiac.py")
    git(repository.root, "add", ".")
    git(repository.root, "commit", "-qm", "merged")
    assert kinds(repository) == ["clash"]
    ambiguous = repository.run("history", "age_share@2", "001", code=2).err
    assert one[:12] in ambiguous
    assert other[:12] in ambiguous
    assert repository.json("history", f"age_share@{one[:8]}", "002")["values"][0]["value"] == pytest.approx(60 / 90)
    repository.run("lock")
    assert kinds(repository, code=0) == []
    values = {n: repository.json("history", f"age_share@{n}", "002")["values"][0]["value"] for n in (1, 2, 3)}
    assert values == {1: pytest.approx(0.6), 2: pytest.approx(60 / 90), 3: pytest.approx(60 / 80)}
