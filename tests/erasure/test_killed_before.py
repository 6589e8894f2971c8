"""Whatever was killed before it, at any step, an erasure finds and takes all that is left of that."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from featurestore.offline.duckdb import together
from tests.conftest import Folder, uncaptured
from tests.erasure.killing import Killer
from tests.erasure.test_killed import FIRST, HEADER, LATER, MINE, WHO, leave_traces, left_in

WATCHED = (
    "atomic.py", "locking.py", "offline/", "online/", "parsed/", "registry/summary.py", "sources/hashes.py",
    "tables/temporary.py", "versioning/folder/", "workflows/delete.py", "workflows/erasure/", "workflows/ingest/",
    "workflows/rename.py", "workflows/renaming.py", "workflows/retire.py", "workflows/sync.py",
)  # fmt: skip
TOGETHER = {"LEAST_ROWS": 1}
PARTS = 10
OTHERS = HEADER + "".join(FIRST) + "".join(LATER)
AGAIN = f"{WHO},2024-03-01T00:00:00Z,98765.25,quixotic again\n"
MOVED = MINE.replace("2024-01-02", "2024-01-05")


def come_again(root: Path) -> None:
    (root / "visits.csv").write_text(OTHERS + MINE + AGAIN)


def come_to_a_new_version(root: Path) -> None:
    come_again(root)
    code = root / "features" / "f.py"
    code.write_text(code.read_text().replace("/ 100", "/ 50").replace('pl.col("word")\n', 'pl.col("word") + " "\n'))


def move(root: Path) -> None:
    code = root / "features" / "f.py"
    code.write_text(code.read_text().replace('"string")\ndef said', '"string", lookback="7d")\ndef said'))
    (root / "visits.csv").write_text(OTHERS + MOVED)


def begin_anew(root: Path) -> None:
    come_again(root)
    shutil.rmtree(root / ".featurestore")
    (root / "requests.jsonl").unlink()  # which is known by a note in that folder


def lose_its_code(root: Path) -> None:
    code = root / "features" / "f.py"
    code.write_text(
        code.read_text().replace('@feature(entity_type="patient", data_type="string")\ndef said', "def said")
    )


@dataclass(frozen=True)
class Step:
    """A command that is killed, and what comes before it."""

    words: Sequence[str]
    prepare: Callable[[Path], object] = come_again


STEPS = {
    "first ingest": Step(("ingest",), begin_anew),
    "ingest": Step(("ingest",)),
    "new version": Step(("ingest",), come_to_a_new_version),
    "moved rows": Step(("ingest",), move),
    "dry run": Step(("ingest", "--dry-run"), begin_anew),
    "delete": Step(("delete", "patient", WHO, "--at", "2024-01-02")),
    "rename": Step(("rename", "said", "spoken")),
    "retire": Step(("retire", "said", "--erase", "--yes"), lose_its_code),
    "sync": Step(("sync", "--full")),
    "purge": Step(("delete", "patient", "p3", "--erase", "--yes")),
}


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with the traces, whose first rows lie in one table. It is not changed."""
    root = tmp_path_factory.mktemp("life")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(together, "LEAST_ROWS", 1)
        leave_traces(Folder(root, uncaptured))
    return root


@pytest.fixture(scope="module")
def killer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killer]:
    with Killer(tmp_path_factory.mktemp("killer"), WATCHED, {together.__name__: TOGETHER}) as started:
        yield started


def try_all(
    killer: Killer, life: Path, copy: Path, step: Step, chosen: Callable[[Sequence[str]], Sequence[str]]
) -> int:
    """Kills a step at some of its lines, each in a copy, and erases the entity then; returns how many died."""

    def fresh() -> None:
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(life, copy)
        step.prepare(copy)

    fresh()
    whole = killer.run(copy, *step.words, watch=True)
    assert whole.code in (0, 3), whole.said
    died = 0
    for point in chosen(whole.lines):
        fresh()
        died += killer.run(copy, *step.words, before=point).code is None
        (copy / "visits.csv").write_text(OTHERS)
        erased = killer.run(copy, "delete", "patient", WHO, "--erase", "--yes")
        assert erased.code == 0, f"{point}: {erased.said}"
        assert left_in(copy) == [], point
        rest = [path.name for path in (copy / ".featurestore").rglob("*")]
        assert not [name for name in rest if "fresh" in name or name.endswith((".tmp", ".wal", ".spill"))], point
    return died


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_an_erasure_takes_what_a_killed_command_has_left(
    life: Path, tmp_path: Path, killer: Killer, step: Step
) -> None:
    assert try_all(killer, life, tmp_path / "copy", step, lambda lines: [lines[len(lines) * 2 // 3]]) == 1


@pytest.mark.nightly
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_at_every_step(life: Path, tmp_path: Path, killer: Killer, step: Step, part: int) -> None:
    assert try_all(killer, life, tmp_path / "copy", step, lambda lines: lines[part::PARTS]) > 2
