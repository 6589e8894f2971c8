"""Version files: atomic, self-verifying, numbered; what merges leave behind; references; active and metadata."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from featurestore.errors import NewerFormatError, UsageError, VersionFileError
from featurestore.versioning.folder import files
from featurestore.versioning.folder.files import Active, versions_of, write_version
from featurestore.versioning.folder.names import VersionName
from featurestore.versioning.folder.versionfile import VersionFile, is_file_of, read_version
from featurestore.versioning.recipe.version_hash import VersionHash
from featurestore.versioning.running.replay import verify
from tests.versioning.conftest import Projects, feature

CREATED = 1_700_000_000_000_000
CODE = (
    "import polars as pl\nfrom .lib import g\nK = 'é'\ndef f(days=7):\n    # why\n"
    "    return g(pl.col('age')) * days, K\n"
)
LIB = {"features/lib.py": "def g(x):\n    return x\n"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "features" / ".versions"


def add(projects: Projects, folder: Path, value: int, created: int = CREATED, **facts: Any) -> VersionName:
    hashed = projects.hash(f"def f():\n    return {value}\n", **facts)
    return write_version(folder, hashed, created=created, packages={}).name


def hash_full(projects: Projects) -> VersionHash:
    facts: dict[str, Any] = {
        "params": {"days": 7, "x": None, "y": [1, "é\n'\"", 2.5]},
        "lookback": 5,
        "tolerance": 0.5,
        "short": False,
    }
    return projects.hash({"features/m.py": CODE, **LIB}, **facts)


def full(projects: Projects, folder: Path) -> VersionFile:
    hashed = hash_full(projects)
    written = write_version(folder, hashed, created=CREATED, commit="abc123+dirty", packages={"polars": "2.1.0"})
    return verify(written.name.path)


def with_checksum(below: bytes) -> bytes:
    """A version file of these bytes below the checksum, which fits them."""
    return b'# /// featurestore\n# checksum = "%s"\n%s' % (sha256(below).hexdigest().encode(), below)


def test_a_version_file_gives_back_what_was_written(projects: Projects, folder: Path) -> None:
    version = full(projects, folder)
    assert (version.number, version.recipe, version.parent, version.created, version.commit) == (
        1,
        2,
        None,
        CREATED,
        "abc123+dirty",
    )
    assert version.packages == {"polars": "2.1.0"}
    assert version.feature.params == {"days": 7, "x": None, "y": [1, "é\n'\"", 2.5]}
    assert (version.feature.lookback, version.feature.tolerance, version.feature.short) == (5, 0.5, False)
    assert version.feature.entity_type == feature().entity_type
    assert [section.module for section in version.sections] == ["features.lib", "features.m"]
    assert version.name.path.name == f"0001-{version.sha256[:12]}.py"


def test_a_version_file_is_python(projects: Projects, folder: Path) -> None:
    compile(full(projects, folder).name.path.read_text(), "f", "exec")


def test_packages_that_are_reached_are_recorded_with_their_versions(projects: Projects, folder: Path) -> None:
    import polars

    hashed = projects.hash(
        "import numpy as np, yaml, nowhere_at_all\ndef f():\n    return np.a, yaml.b, nowhere_at_all.c\n"
    )
    version = read_version(write_version(folder, hashed, created=CREATED).name.path)
    assert version.packages["polars"] == polars.__version__
    assert {"python", "numpy"} <= version.packages.keys()
    assert "nowhere_at_all" not in version.packages


def test_numbers_count_up_and_name_the_parent(projects: Projects, folder: Path) -> None:
    first, second = add(projects, folder, 1), add(projects, folder, 2)
    assert [name.number for name in versions_of(folder, "f")] == [1, 2]
    assert read_version(second.path).parent == first.short


def test_the_same_version_is_written_once(projects: Projects, folder: Path) -> None:
    first = add(projects, folder, 1)
    add(projects, folder, 2)
    before = first.path.read_bytes()
    again = write_version(folder, projects.hash("def f():\n    return 1\n"), created=CREATED + 1)
    assert (again.name, again.new) == (first, False)
    assert first.path.read_bytes() == before
    assert len(versions_of(folder, "f")) == 2


def test_more_than_9999_versions_sort_by_number(folder: Path) -> None:
    (folder / "f").mkdir(parents=True)
    for number in (10000, 9999, 2):
        (folder / "f" / VersionName.file_name(number, f"{number:012x}")).touch()
    assert [name.number for name in versions_of(folder, "f")] == [2, 9999, 10000]


def test_other_files_are_no_versions(projects: Projects, folder: Path) -> None:
    add(projects, folder, 1)
    for name in ("0002-abc.py", "notes.txt", "0003-0123456789ab.py.orig", "0004-0123456789AB.py", "active"):
        (folder / "f" / name).touch()
    assert [name.number for name in versions_of(folder, "f")] == [1]
    assert sorted(path.name for path in files.list_files(folder, "f").strangers) == [
        "0002-abc.py",
        "0004-0123456789AB.py",
    ]


def test_features_that_are_no_longer_declared_keep_their_versions(projects: Projects, folder: Path) -> None:
    add(projects, folder, 1, name="gone")
    (folder / "empty").mkdir()
    assert list(files.all_versions(folder)) == ["gone"]
    assert files.all_versions(folder / "nowhere") == {}


# Damage


def test_every_changed_byte_is_found(projects: Projects, folder: Path) -> None:
    path = full(projects, folder).name.path
    data = path.read_bytes()
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises((VersionFileError, NewerFormatError)):
            verify(path)


def test_every_truncation_is_found(projects: Projects, folder: Path) -> None:
    path = full(projects, folder).name.path
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(VersionFileError):
            verify(path)


DAMAGE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "line ends": (lambda data: data.replace(b"\n", b"\r\n"), "line endings"),
    "a line more": (lambda data: data + b"\n", "edited"),
    "no last line feed": (lambda data: data.rstrip(b"\n"), "truncated"),
    "emptied": (lambda _: b"", "is empty"),
    "blanks": (lambda data: data.replace(b"    return", b"  return"), "edited"),
    "quotes": (lambda data: data.replace(b"'age'", b'"age"'), "reformatted"),
    "a byte order mark": (lambda data: b"\xef\xbb\xbf" + data, "edited"),
    "conflict markers": (
        lambda data: data.replace(b"# why", b"<<<<<<< HEAD\n# why\n=======\n>>>>>>> x"),
        "merge conflict markers",
    ),
    "something else": (lambda _: b"print(1)\n", "does not begin like a version file"),
    "not text": (lambda _: b"\xff\xfe\x00", "does not begin like a version file"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_described(projects: Projects, folder: Path, name: str) -> None:
    damage, words = DAMAGE[name]
    path = full(projects, folder).name.path
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(VersionFileError, match=words) as caught:
        read_version(path)
    assert caught.value.where == f"features/.versions/f/{path.name}"
    assert caught.value.hint


FORGERIES = {
    "code": (b"* days", b"+ days"),
    "code of a helper": (b"return x", b"return -x"),
    "data type": (b'data_type = "float"', b'data_type = "int"'),
    "param": (b'\\"days\\": 7', b'\\"days\\": 9'),
    "key's type": (b'"string"', b'"int"'),
    "lookback": (b"lookback = 5", b"lookback = 6"),
    "event time": (b'event_time = "visit_at"', b'event_time = "seen_at"'),
    "form": (b'form = "long"', b'form = "short"'),
    "function": (b'function = "f"', b'function = "g"'),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_an_edit_with_a_new_checksum_is_found_by_hashing_again(projects: Projects, folder: Path, name: str) -> None:
    old, new = FORGERIES[name]
    path = full(projects, folder).name.path
    _, _, below = path.read_bytes().split(b"\n", 2)
    assert old in below
    path.write_bytes(with_checksum(below.replace(old, new)))
    read_version(path)
    assert not is_file_of(path.read_bytes(), hash_full(projects))
    with pytest.raises(VersionFileError):
        verify(path)


def test_a_comparison_of_texts_accepts_a_file_only_if_hashing_again_does(projects: Projects, folder: Path) -> None:
    path, hashed = full(projects, folder).name.path, hash_full(projects)
    data = path.read_bytes()
    assert is_file_of(data, hashed)
    assert not is_file_of(data, projects.hash({"features/m.py": CODE, **LIB}))
    assert not any(is_file_of(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], hashed) for at in range(len(data)))
    _, _, below = data.split(b"\n", 2)
    lines = below.split(b"\n")
    accepted = []
    for at, line in enumerate(lines):
        for others in ([], [line, line], [line, b"# more = 1"], [line, b"[packages]", b"# [parts]"]):
            path.write_bytes(with_checksum(b"\n".join([*lines[:at], *others, *lines[at + 1 :]])))
            if is_file_of(path.read_bytes(), hashed):
                accepted.append(line)
                verify(path)
    assert b'# commit = "abc123+dirty"' in accepted


@pytest.mark.parametrize("key", ["format", "recipe"])
def test_a_file_of_a_newer_release_is_not_reported_as_damage(projects: Projects, folder: Path, key: str) -> None:
    path = full(projects, folder).name.path
    _, _, below = path.read_bytes().split(b"\n", 2)
    number = {"format": 1, "recipe": 2}[key]
    path.write_bytes(with_checksum(below.replace(f"# {key} = {number}".encode(), f"# {key} = {number + 1}".encode())))
    with pytest.raises(NewerFormatError):
        read_version(path)


def test_a_renamed_file_is_found(projects: Projects, folder: Path) -> None:
    name = add(projects, folder, 1)
    other = name.path.with_name("0001-0123456789ab.py")
    name.path.rename(other)
    with pytest.raises(VersionFileError, match="does not match its name"):
        read_version(other)


def test_a_file_of_another_feature_is_found(projects: Projects, folder: Path) -> None:
    name = add(projects, folder, 1)
    other = folder / "g" / name.path.name
    other.parent.mkdir()
    name.path.rename(other)
    with pytest.raises(VersionFileError, match="does not match its name"):
        read_version(other)


def test_a_missing_file_is_a_version_file_error(folder: Path) -> None:
    with pytest.raises(VersionFileError, match="can't be read"):
        read_version(folder / "f" / "0001-0123456789ab.py")


# Atomic writing

WRITER = """
import sys
from pathlib import Path
from featurestore.atomic import write_atomically
path = Path(sys.argv[1])
print("ready", flush=True)
while True:
    for letter in b"ab":
        write_atomically(path, bytes([letter]) * 200_000)
"""


def test_a_writer_that_is_killed_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for _ in range(5):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            until = time.monotonic() + 0.05
            while time.monotonic() < until or not path.exists():
                assert not path.exists() or len(path.read_bytes()) == 200_000
            writer.kill()
        assert path.read_bytes() in (b"a" * 200_000, b"b" * 200_000)


def test_old_leftovers_are_swept_and_fresh_ones_left_to_their_writers(projects: Projects, folder: Path) -> None:
    add(projects, folder, 1)
    old, fresh = folder / "f" / ".0002-x.py.1-0000beef.tmp", folder / "f" / ".0003-x.py.3-0000beef.tmp"
    old.touch()
    fresh.touch()
    os.utime(old, (0, 0))
    add(projects, folder, 2)
    assert (old.exists(), fresh.exists()) == (False, True)


def test_a_folder_that_cannot_be_written_leaves_nothing_behind(projects: Projects, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "f").write_text("a file in the way")
    with pytest.raises(OSError):  # noqa: PT011  # which one depends on the system
        add(projects, folder, 1)
    assert [path.name for path in folder.iterdir()] == ["f"]


# References


def test_references_are_read(folder: Path) -> None:
    assert files.split_reference("spend_7d") == ("spend_7d", None)
    assert files.split_reference("spend_7d@2") == ("spend_7d", "2")
    assert files.split_reference("spend_7d@1F2E3D4C") == ("spend_7d", "1f2e3d4c")


@pytest.mark.parametrize(
    "reference", ["", "A", "../x", "f@", "f@x", "f@1f2e3", "f@-1", "f@1@2", "f/../g@1", "f@1f2e3z", "x" * 49, "f\n"]
)
def test_references_that_mean_nothing_are_wrong_usage(reference: str) -> None:
    with pytest.raises(UsageError):
        files.split_reference(reference)


def test_a_version_is_found_by_number_and_by_hash(projects: Projects, folder: Path) -> None:
    first, second = add(projects, folder, 1), add(projects, folder, 2)
    whole = read_version(second.path).sha256
    assert files.resolve(folder, "f", "1") == first
    assert files.resolve(folder, "f", "0002") == second
    assert files.resolve(folder, "f", second.short[:6]) == second
    assert files.resolve(folder, "f", whole) == second
    assert files.resolve(folder, "f", whole[:20]) == second


def test_a_wrong_long_hash_is_no_version(projects: Projects, folder: Path) -> None:
    whole = read_version(add(projects, folder, 1).path).sha256
    wrong = whole[:-1] + ("0" if whole[-1] != "0" else "1")
    with pytest.raises(VersionFileError, match="no version"):
        files.resolve(folder, "f", wrong)


def test_a_missing_number_says_which_there_are(projects: Projects, folder: Path) -> None:
    add(projects, folder, 1)
    add(projects, folder, 2)
    with pytest.raises(VersionFileError, match="f has no version 7") as caught:
        files.resolve(folder, "f", "7")
    assert caught.value.hint == "there is: 1, 2"


def test_a_feature_without_versions_says_how_to_get_one(folder: Path) -> None:
    with pytest.raises(VersionFileError, match="no versions yet") as caught:
        files.resolve(folder, "f", "1")
    assert "featurestore ingest f" in str(caught.value.hint)


# Merges


def clash(projects: Projects, folder: Path) -> tuple[VersionName, VersionName]:
    """Two branches that each added a version 2, the one with the greater number of values later."""
    add(projects, folder, 1, CREATED)
    late = add(projects, folder, 3, CREATED + 2)
    late.path.rename(folder / "late")
    early = add(projects, folder, 2, CREATED + 1)
    (folder / "late").rename(late.path)
    return early, late


def test_two_files_with_one_number_are_a_clash(projects: Projects, folder: Path) -> None:
    early, late = clash(projects, folder)
    assert files.clashes(versions_of(folder, "f")) == [tuple(sorted((early, late)))]
    with pytest.raises(VersionFileError, match="is ambiguous") as caught:
        files.resolve(folder, "f", "2")
    assert early.path.name in caught.value.message
    assert late.path.name in caught.value.message
    assert "featurestore lock f" in str(caught.value.hint)
    assert files.resolve(folder, "f", early.short) == early


def test_the_later_one_is_renumbered_and_no_byte_changes(projects: Projects, folder: Path) -> None:
    early, late = clash(projects, folder)
    contents = {path.read_bytes() for path in (folder / "f").iterdir()}
    moved = files.renumber(folder, "f")
    assert [(before.number, after.number, after.short) for before, after in moved] == [(2, 3, late.short)]
    assert [(name.number, name.short) for name in versions_of(folder, "f")][1:] == [(2, early.short), (3, late.short)]
    assert {path.read_bytes() for path in (folder / "f").iterdir()} == contents
    assert all(verify(name.path) for name in versions_of(folder, "f"))
    assert files.renumber(folder, "f") == []


def test_branches_of_several_versions_end_in_the_order_of_time(projects: Projects, folder: Path) -> None:
    add(projects, folder, 0)
    branch = [add(projects, folder, value, CREATED + value) for value in (2, 4)]
    aside = folder / "aside"
    aside.mkdir()
    for name in branch:
        name.path.rename(aside / name.path.name)
    others = [add(projects, folder, value, CREATED + value) for value in (1, 3)]
    for name in branch:
        (aside / name.path.name).rename(name.path)
    files.renumber(folder, "f")
    expected = [name.short for pair in zip(others, branch, strict=True) for name in pair]
    assert [name.short for name in versions_of(folder, "f")][1:] == expected
    assert [name.number for name in versions_of(folder, "f")] == [1, 2, 3, 4, 5]


def test_equal_times_are_settled_by_the_hash(projects: Projects, folder: Path) -> None:
    names = []
    for value in (1, 2, 3):
        name = add(projects, folder, value)
        if name.number != 1:
            name.path.rename(name.path.with_name(VersionName.file_name(1, name.short)))
        names.append(name.short)
    files.renumber(folder, "f")
    assert [name.short for name in versions_of(folder, "f")] == sorted(names)


def test_a_version_that_both_branches_wrote_stays_once(projects: Projects, folder: Path) -> None:
    first = add(projects, folder, 1, CREATED + 5)
    first.path.rename(folder / "aside")
    add(projects, folder, 2, CREATED)
    again = add(projects, folder, 1, CREATED + 9)
    (folder / "aside").rename(first.path)
    assert again.number == 2
    assert files.clashes(versions_of(folder, "f"))
    files.renumber(folder, "f")
    assert [(name.number, read_version(name.path).created) for name in versions_of(folder, "f")] == [
        (1, CREATED),
        (2, CREATED + 5),
    ]
    assert files.clashes(versions_of(folder, "f")) == []


# Active and metadata


def test_the_active_version_is_stored_by_its_hash(folder: Path) -> None:
    assert files.read_active(folder, "f") is None
    files.write_active(folder, "f", Active("a" * 64, CREATED))
    assert files.read_active(folder, "f") == Active("a" * 64, CREATED)


@pytest.mark.parametrize("text", ["", "sha256 = 'x'", "<<<<<<< HEAD\n", "sha256 = 'x'\nsince = 'soon'\n"])
def test_a_damaged_active_file_says_how_to_fix_it(folder: Path, text: str) -> None:
    (folder / "f").mkdir(parents=True)
    (folder / "f" / "active").write_text(text)
    with pytest.raises(VersionFileError) as caught:
        files.read_active(folder, "f")
    assert "featurestore promote f" in str(caught.value.hint)


def test_metadata_is_written_when_it_changes(folder: Path) -> None:
    plain = feature(description='é "x"\n', tags=("a", "b"), max_age=86_400_000_000)
    assert files.read_metadata(folder, "f") is None
    assert files.metadata_changes(folder, plain) == []
    assert files.write_metadata(folder, plain)
    assert not files.write_metadata(folder, plain)
    assert files.read_metadata(folder, "f") == {
        "description": 'é "x"\n', "owner": "", "tags": ["a", "b"], "status": "active", "max_age": "1d",
    }  # fmt: skip
    assert files.metadata_changes(folder, feature(description='é "x"\n', tags=("a", "b"), owner="me")) == [
        "owner",
        "max_age",
    ]


def test_damaged_metadata_says_how_to_fix_it(folder: Path) -> None:
    (folder / "f").mkdir(parents=True)
    (folder / "f" / "metadata.toml").write_bytes(b"\xff")
    with pytest.raises(VersionFileError, match=r"is not UTF-8 \(line 1\): save it as UTF-8") as caught:
        files.read_metadata(folder, "f")
    assert "featurestore lock f" in str(caught.value.hint)
