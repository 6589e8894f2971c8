"""Memory is bounded: threads share one heap, and what is read at a time follows from what a run may use."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest

from featurestore.config import load_project
from featurestore.sources.offers import open_source
from tests.conftest import Folder

HEAPS = """\
import ctypes, threading
from featurestore.tables.memory import use_one_heap

if {one}:
    use_one_heap()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
together = threading.Barrier(4)

def take():
    together.wait()
    libc.malloc(100_000)
    together.wait()

threads = [threading.Thread(target=take) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
libc.fdopen.restype = ctypes.c_void_p
out = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, out)
libc.fflush(out)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other C libraries have one heap")
def test_threads_share_one_heap() -> None:
    found = {
        one: subprocess.run(
            [sys.executable, "-c", HEAPS.format(one=one)], capture_output=True, text=True, check=True
        ).stdout.count("<heap nr=")
        for one in (True, False)
    }
    assert found[True] == 1
    assert found[False] > 1  # or there would be nothing to bound


PROJECT = """
[project]
name = "shop"
[entity_types.one]
keys = { id = "string" }
[offline]
memory = "200MB"
[sources.visits]
type = "TYPE"
path = "visits.TYPE"
"""


@pytest.mark.parametrize("kind", ["csv", "ndjson", "parquet", "sqlite"])
def test_less_is_read_at_a_time_where_little_memory_may_be_used(kind: str, folder: Folder) -> None:
    texts = pl.Series([f"{number:06} " + "x" * 1_000 for number in range(12_000)])
    frame = pl.DataFrame({"id": pl.int_range(12_000, eager=True).cast(pl.String), "text": texts})
    path = folder.root / f"visits.{kind}"
    if kind == "sqlite":
        with closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TABLE visits (id TEXT, text TEXT)")
            database.executemany("INSERT INTO visits VALUES (?, ?)", frame.iter_rows())
            database.commit()
    elif kind == "csv":
        frame.write_csv(path)
    elif kind == "ndjson":
        frame.write_ndjson(path)
    else:
        frame.write_parquet(path)
    heights = {memory: _heights(folder.root, kind, memory) for memory in ("200MB", "2GB")}
    assert {sum(each) for each in heights.values()} == {12_000}
    assert max(heights["200MB"]) < 4_000  # of about a thousand bytes
    assert max(heights["2GB"]) > 8_000


def _heights(root: Path, kind: str, memory: str) -> list[int]:
    table = 'table = "visits"\n' if kind == "sqlite" else ""
    (root / "featurestore.toml").write_text(PROJECT.replace("TYPE", kind).replace("200MB", memory) + table)
    project = load_project(root)
    source = project.sources["visits"]
    opened = open_source(project, source)
    return [batch.frame.height for batch in opened.read(opened.offer(), report=print)]
