"""Many small files are parsed together, and nobody can tell: rows, places, types, rejected rows and warnings are those
of reading each alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from featurestore.config import load_project
from featurestore.errors import FeatureStoreError
from featurestore.parsed.rows import KeptRows
from featurestore.sources import files as source_files
from featurestore.sources.contract import Offer, OpenSource
from featurestore.sources.offers import open_source
from featurestore.sources.reading import read_contents, read_rows
from tests.often import examples

TOML = """
[project]
name = "bundles"
[entity_types.user]
keys = { user = "string" }
[sources.events]
type = "csv"
path = "files/*.csv"
event_time = "at"
timezone = "UTC"
null = ["NULL"]
[sources.events.columns]
amount = { type = "int", min = 0 }
"""
HEADER = "user,at,amount,note\n"
ROW = st.builds(
    "{},{},{},{}\n".format,
    st.sampled_from(("a", "b", "é", "")),
    st.sampled_from(("2024-01-01", "2024-01-02T03:04:05Z", "soon")),
    st.sampled_from(("1", "2", "-1", "NULL", "x", "")),
    st.sampled_from(("1", "1.5", "text", "", "NULL")),
)
GOOD_ROW = st.builds("a,2024-01-0{},{},{}\n".format, st.integers(1, 9), st.integers(0, 5), st.integers(0, 5))
GOOD = st.lists(GOOD_ROW, min_size=1, max_size=3).map(lambda rows: HEADER + "".join(rows))
ODD = st.one_of(
    st.lists(ROW, max_size=3).map(lambda rows: HEADER + "".join(rows)),
    st.sampled_from((
        HEADER + 'a,2024-01-01,1,"quoted, text"\n', HEADER.replace("\n", "\r\n") + "a,2024-01-01,1,x\r\n",
        HEADER + "a,2024-01-01,1,x", HEADER + "a,2024-01-01\na,2024-01-01,1,x\n", HEADER + "a,2024-01-01,1,x\n\n",
        "user,at,amount\na,2024-01-01,1\n", "\ufeff" + HEADER + "a,2024-01-01,1,x\n", HEADER,
        HEADER + HEADER + "a,2024-01-01,1,x\n",
    )),
)  # fmt: skip
FILES = st.lists(GOOD | GOOD | GOOD | ODD, min_size=1, max_size=6)


def read(root: Path, how: Callable[[OpenSource, Offer], object]) -> object:
    project = load_project(root)
    opened = open_source(project, project.sources["events"])
    try:
        return how(opened, opened.offer())
    except FeatureStoreError as exc:
        return str(exc), exc.hint


def all_rows(root: Path) -> object:
    project = load_project(root)

    def how(opened: OpenSource, offer: Offer) -> object:
        rows = read_rows(project, project.sources["events"], opened, offer, {"user": "string"})
        places = [rows.place(at) for at in range(rows.frame.height)]
        return rows.frame.to_dicts(), rows.frame.schema, places, rows.rejected, rows.rows_read, rows.warnings

    return read(root, how)


def kept_rows(root: Path, folder: str) -> object:
    project = load_project(root)

    def how(opened: OpenSource, offer: Offer) -> object:
        assert offer.contents is not None
        kept = KeptRows(root / folder, project.sources["events"])
        writer = kept.writer()
        only = {content.name: None for content in offer.contents}
        found = read_contents(project.sources["events"], opened, offer, {"user": "string"}, {}, only, writer)
        writer.flush()
        contents = [
            writer.kept(each.name, each.sha256, each.size, "so", found.facts[each.name], None)
            for each in offer.contents
        ]
        frames = list(kept.frames(contents, kept.schema(contents)))
        rows = pl.concat(frames).to_dicts() if frames else []
        return rows, [(each.low, each.high, each.accepted, each.last, each.rejected) for each in contents]

    return read(root, how)


@settings(max_examples=examples(8), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=FILES)
def test_files_read_together_give_what_each_gives_alone(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    root = tmp_path_factory.mktemp("bundles")
    (root / "files").mkdir()
    (root / "featurestore.toml").write_text(TOML)
    for number, text in enumerate(texts):
        (root / f"files/{number}.csv").write_text(text, encoding="utf-8", newline="")
    together = all_rows(root), kept_rows(root, "together")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(source_files, "SMALL_FILE", -1)
        alone = all_rows(root), kept_rows(root, "alone")
    assert together == alone


def test_small_files_are_parsed_in_one_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "featurestore.toml").write_text(TOML)
    for number in range(50):
        (tmp_path / f"files/{number:02}.csv").write_text(HEADER + f"a,2024-01-01T00:00:{number:02},{number},x\n")
    parsed: list[int] = []
    parse = pl.read_csv

    def counted(*given: Any, **options: Any) -> pl.DataFrame:
        parsed.append(1)
        return parse(*given, **options)

    monkeypatch.setattr(pl, "read_csv", counted)
    rows = all_rows(tmp_path)
    assert isinstance(rows, tuple)
    assert len(rows[0]) == 50
    assert rows[2][7] == "files/07.csv row 1"
    assert len(parsed) <= 2
