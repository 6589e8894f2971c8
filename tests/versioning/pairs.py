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

Verdict = Literal["differ", "equal"]
Files = Mapping[str, str]


@dataclass(frozen=True)
class Pair:
    """Two projects as files by their path below the root. ``follow``: reporting a limit is not enough."""

    name: str
    verdict: Verdict
    follow: bool
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
        verdict, *flags = words.split()
        assert verdict in ("differ", "equal"), head
        assert set(flags) <= {"follow", "solo"}, head
        package = "features" if "solo" in flags else "features/case"
        before: dict[str, str] = {"featurestore.toml": TOML}
        changed: dict[str, str | None] = {}
        for kind, file, body in FILE.findall(rest):
            path = file[1:] if file.startswith("/") else f"{package}/{file}"
            if kind == "~~":
                changed[path] = None
            else:
                (before if kind == "--" else changed)[path] = _written(path, body, package)
        after = {path: text for path, text in {**before, **changed}.items() if text is not None}
        yield Pair(name.strip(), verdict, "follow" in flags, before, after)  # type: ignore[arg-type]


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
