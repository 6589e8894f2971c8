"""Pairs of small projects written to fool the hash, read from fixtures/hash/pairs (its README describes the format)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

FOLDER = Path(__file__).parents[2] / "fixtures" / "hash" / "pairs"
TOML = """
[project]
name = "t"
[entity_types.patient]
keys = { patient_id = "string" }
[sources.visits]
type = "csv"
path = "data/visits.csv"
event_time = "visit_at"
[sources.visits.columns]
patient_id = { type = "string", null = false }
visit_at = { type = "datetime", null = false }
age = { type = "int" }
chol = { type = "int" }
weight = { type = "float" }
sex = { type = "string" }
"""
HEAD = "import polars as pl\n\nfrom featurestore import feature\n\n\n"
SHORT = {
    "=>": ('data_type="float"', "{}"),
    "=#": ('data_type="float"', 'pl.col("age") * 0 + float({})'),
    "=$": ('data_type="string"', 'pl.when(pl.col("patient_id").is_not_null()).then(pl.lit(str({})))'),
}

FILE = re.compile(r"^(--|\+\+|~~) (\S+)\n(.*?)(?=^(?:--|\+\+|~~) |\Z)", re.MULTILINE | re.DOTALL)
CHOICE = re.compile("‹([^¦]*)¦([^›]*)›")
FLAGS = {"solo", "follow", "chol", "crlf", "eager", "alone"}

Verdict = Literal["differ", "equal"]
Files = Mapping[str, str]


@dataclass(frozen=True)
class Pair:
    """Two projects as files by their path below the root. ``flags`` are words of the README."""

    name: str
    verdict: Verdict
    flags: frozenset[str]
    before: Files
    after: Files


def read_pairs() -> dict[str, Pair]:
    """All pairs by name, which begins with their kind."""
    pairs: dict[str, Pair] = {}
    for path in sorted(FOLDER.glob("*.txt")):
        for pair in _read(path.read_text(encoding="utf-8")):
            assert pair.name not in pairs, f"{path.name}: two pairs are named {pair.name!r}"
            pairs[pair.name] = pair
    return pairs


def _read(text: str) -> Iterator[Pair]:
    for block in re.split(r"^== ", text, flags=re.MULTILINE)[1:]:
        head, _, rest = block.partition("\n")
        name, _, words = head.rpartition(" | ")
        verdict, *given = words.split()
        flags = frozenset(given)
        assert "== " not in {line.lstrip("›¦")[:3] for line in rest.splitlines()}, f"a pair begins within {name}"
        assert verdict in ("differ", "equal"), head
        assert flags <= FLAGS, head
        sides = [_side(rest, flags, which) for which in (0, 1)]
        yield Pair(name.strip(), verdict, flags, *sides)  # type: ignore[arg-type]


def _side(text: str, flags: frozenset[str], which: int) -> Files:
    package = "features" if "solo" in flags else "features/case"
    files = {"featurestore.toml": TOML.replace('chol = { type = "int"', 'chol = { type = "float"')}
    if not which or "chol" not in flags:
        files["featurestore.toml"] = TOML
    for kind, file, body in FILE.findall(CHOICE.sub(lambda found: found[which + 1], text)):
        path = file[1:] if file.startswith("/") else f"{package}/{file}"
        if kind == "--" or which:
            files[path] = _written(path, body, package)
        if kind == "~~" and which:
            del files[path]
    if "crlf" in flags and which:
        files = {path: text.replace("\n", "\r\n") if path.endswith(".py") else text for path, text in files.items()}
    return files


def _written(path: str, body: str, package: str) -> str:
    text = body.replace("features/PKGDIR", package).replace("PKG", package.replace("/", ".")).replace("ID_", "case_")
    text = re.sub(r"^(=>|=#|=\$) (.*)$", _short, text, flags=re.MULTILINE)
    text = re.sub(r"^@F(?:\((.*)\))?$", _decorator, text, flags=re.MULTILINE)
    if "@feature(" not in text or not path.endswith(".py"):
        return text
    first = re.match(r"(?:from __future__ .*\n)*", text)
    assert first is not None
    return first[0] + HEAD + text[first.end() :]


def _short(found: re.Match[str]) -> str:
    arguments, template = SHORT[found[1]]
    return f'@feature(entity_type="patient", {arguments})\ndef f() -> pl.Expr:\n    return {template.format(found[2])}'


def _decorator(found: re.Match[str]) -> str:
    arguments = found[1] or ""
    given = [arguments] if arguments else []
    if "data_type" not in arguments:
        given.append('data_type="float"')
    return f'@feature(entity_type="patient", {", ".join(given)})'
