"""Byte order marks, encodings and depth in the files of a project: taken as they are, or named with the way out."""

from __future__ import annotations

import codecs
import random
from pathlib import Path

import pytest

from featurestore.toml import parse_toml
from tests.conftest import Folder

CODE = "features/cardiac.py"
BAD = {
    "utf-16": ("utf-16", "is UTF-16, not UTF-8: save it as UTF-8"),
    "latin-1": ("latin-1", "is not UTF-8 (line 1): save it as UTF-8"),
}


@pytest.mark.parametrize("name", BAD)
def test_code_in_another_encoding_is_named(project: Folder, name: str) -> None:
    encoding, reason = BAD[name]
    path = project.root / CODE
    path.write_bytes(f"# größe\n{path.read_text()}".encode(encoding))
    (finding,) = project.json("check", code=1)["findings"]
    assert (finding["where"], finding["message"]) == (CODE, reason)


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("file", ["featurestore.toml", "features/.versions/visits.columns.toml"])
def test_settings_in_another_encoding_are_named(project: Folder, name: str, file: str) -> None:
    encoding, reason = BAD[name]
    project.run("ingest")
    path = project.root / file
    text = path.read_text() if path.exists() else "[columns]\n"
    path.write_bytes(f"# größe\n{text}".encode(encoding))
    ran = project.run("check", code=2 if file == "featurestore.toml" else 1)
    assert reason in (ran.err if file == "featurestore.toml" else ran.out)


def test_a_byte_order_mark_and_windows_line_ends_change_nothing(project: Folder) -> None:
    project.run("ingest")
    for name in ("featurestore.toml", CODE, "features/.versions/age_share/metadata.toml"):
        path = project.root / name
        path.write_bytes(codecs.BOM_UTF8 + path.read_bytes().replace(b"\n", b"\r\n"))
    assert project.json("plan")["features"][0]["change"] == "none"
    project.run("check")


DEEP = {
    "brackets": "deep = " + "[" * 30_000 + "]" * 30_000 + "\n",
    "tables": "deep = " + "{a = " * 5_000 + "1" + "}" * 5_000 + "\n",
    "a dotted key": ".".join(["a"] * 20_000) + " = 1\n",
    "a dotted table": "[" + ".".join(["a"] * 20_000) + "]\n",
    "a quoted key": ".".join(['"a"'] * 20_000) + " = 1\n",
    "digits": "deep = " + "9" * 5_000 + "\n",
    "size": "#" + "x" * 1_000_001 + "\n",
}


@pytest.mark.parametrize("name", DEEP)
@pytest.mark.parametrize("file", ["featurestore.toml", "features/.versions/age_share/metadata.toml"])
def test_a_table_that_is_too_deep_or_too_long_is_refused(project: Folder, name: str, file: str) -> None:
    project.run("lock")
    path = project.root / file
    path.write_text(DEEP[name] + path.read_text())
    ran = project.run("plan", code=2)
    assert any(
        words in ran.err
        for words in ("is nested too deeply", "a number of too many digits", "is larger than 1 MB", "not valid TOML")
    ), ran.err


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n"])
def test_an_empty_metadata_file_is_a_finding(project: Folder, text: str) -> None:
    project.run("lock")
    path = project.root / "features/.versions/age_share/metadata.toml"
    path.write_text(text)
    (finding,) = project.json("check", code=1)["findings"]
    assert (finding["kind"], finding["message"]) == ("damaged", "is empty")
    assert finding["where"] == "features/.versions/age_share/metadata.toml"
    assert "featurestore lock age_share" in finding["hint"]
    path.unlink()
    project.run("lock")
    project.run("check")


def test_lock_writes_metadata_that_cannot_be_read_again(project: Folder) -> None:
    project.run("lock")
    path = project.root / "features/.versions/age_share/metadata.toml"
    before = path.read_bytes()
    for damage in (b"", b"\xff", b"["):
        path.write_bytes(damage)
        project.run("lock")
        assert path.read_bytes() == before


def test_pins_are_in_the_order_of_their_names_with_the_users_lines_as_they_are(tmp_path: Path) -> None:
    from featurestore.model import Source
    from featurestore.sources.pinned_types import add_pins, pins_path, read_pins

    class Folders:
        root = state = versions = tmp_path
        memory = 1 << 30

    source = Source("events", "csv", event_time="at")
    add_pins(Folders(), source, {"m": "int", "c": "float"})
    file = pins_path(Folders(), source)
    file.write_text(file.read_text().replace('m = "int"', '# mine\nm = "string"  # by hand'))
    add_pins(Folders(), source, {"z": "bool", "a": "int", "d": "int"})
    lines = file.read_text().splitlines()
    assert lines[lines.index("[columns]") + 1 :] == [
        'a = "int"', 'c = "float"', 'd = "int"', "# mine", 'm = "string"  # by hand', 'z = "bool"',
    ]  # fmt: skip
    assert read_pins(Folders(), source) == {"a": "int", "c": "float", "d": "int", "m": "string", "z": "bool"}


def test_thousands_of_pins_are_added_with_one_look_at_each_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from featurestore.model import Scalar, Source
    from featurestore.sources import pinned_types

    class Folders:
        root = state = versions = tmp_path
        memory = 1 << 30

    looks = []

    def parse(data: bytes) -> dict[str, object]:
        looks.append(data)
        return parse_toml(data)

    monkeypatch.setattr(pinned_types, "parse_toml", parse)
    source = Source("events", "csv", event_time="at")
    drawn = random.Random(0).sample(range(10_000), 1_000)
    kinds: dict[str, Scalar] = {f"c{number}": "int" for number in drawn}
    for part in (drawn[:300], drawn[300:]):
        pinned_types.add_pins(Folders(), source, {f"c{number}": "int" for number in part})
    lines = pinned_types.pins_path(Folders(), source).read_text().splitlines()
    assert lines[lines.index("[columns]") + 1 :] == [f'{name} = "int"' for name in sorted(kinds)]
    assert len(looks) < 400
