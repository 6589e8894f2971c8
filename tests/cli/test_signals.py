"""Signals belong to the main program: it hears of each, and whoever else has the process's signals keeps them."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from tests.conftest import Folder

ROOT = Path(__file__).parents[2]


def start(code: str, *arguments: str) -> subprocess.Popen[str]:
    """A Python program that has begun: it prints a line when it has come to where it is interrupted."""
    command = [sys.executable, "-c", dedent(code), *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    begun = process.stderr.readline()
    assert begun == "begun\n", begun + process.stderr.read()
    return process


def run_to_the_end(code: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", dedent(code), *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


# A command of the program whose work is the code given: what `__main__` and `app.run` do around every command.
COMMAND = """
import signal, sys, time
from featurestore import signals
from featurestore.cli import app
from featurestore.cli.commands import list as command

def begin():
    print("begun", file=sys.stderr, flush=True)

WORK

signals.watch()
command.list_features = work
sys.exit(app.run(["-C", sys.argv[1], "list", *sys.argv[2:]]))
"""

QUERY = """
def work(*_):
    from featurestore.offline.duckdb.connect import connect
    connection = connect()
    begin()
    pairs = "range(10000000) a, range(10000000) b"
    connection.execute(f"SELECT count(*) FROM {pairs} WHERE a.range + b.range = 7").fetchall()
"""
IN_A_FINALIZER = """
class Finalized:
    def __del__(self):
        begin()
        time.sleep(1)  # the signal's exception is raised in here, and dropped

def work(*_):
    item = Finalized()
    del item
    time.sleep(600)
"""


@pytest.mark.parametrize("work", [QUERY, IN_A_FINALIZER], ids=["query", "finalizer"])
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_command_wherever_it_is(project: Folder, work: str, sent: int, code: int) -> None:
    process = start(COMMAND.replace("WORK", work), str(project.root))
    process.send_signal(sent)
    _, said = process.communicate(timeout=120)
    assert process.returncode == code, said
    assert said.endswith("nothing half-done is left\n")
    assert "Exception ignored" not in said


@pytest.mark.parametrize(
    ("sent", "code", "name"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
@pytest.mark.parametrize("written", [False, True], ids=["before the answer", "after it"])
def test_a_signal_leaves_one_document(project: Folder, sent: int, code: int, name: str, written: bool) -> None:
    """A command that is ended says so in its document; one whose answer is out adds none."""
    work = """
def work(*_):
    begin()
    time.sleep(600)
"""
    if written:
        work = """
found = command.list_features
def work(*given):
    return found(*given)
closed = app.Session.close
def close(session):
    begin()
    time.sleep(600)
app.Session.close = close
"""
    process = start(COMMAND.replace("WORK", work), str(project.root), "--json")
    process.send_signal(sent)
    printed, said = process.communicate(timeout=120)
    assert process.returncode == code, said
    document = json.loads(printed)
    if written:
        assert "features" in document
    else:
        assert document["error"] == {"code": name, "message": f"{name}; nothing half-done is left", "hint": None}


@pytest.mark.parametrize("code", [130, 143])
@pytest.mark.parametrize("asked", [[], ["--json"]])
def test_a_signal_while_the_program_starts(code: int, asked: list[str]) -> None:
    program = """
import os, sys
from featurestore.cli.starting import exit_at_once_on_signals
exit_at_once_on_signals()
os.kill(os.getpid(), int(sys.argv[1]))
"""
    command = [sys.executable, "-c", program, str(code - 128), *asked]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == code
    assert done.stderr.endswith("nothing half-done is left\n")
    assert (json.loads(done.stdout)["error"]["message"] + "\n" if asked else done.stdout) == (
        done.stderr if asked else ""
    )


def test_lines_of_a_stream_end_with_no_document(project: Folder) -> None:
    project.run("ingest")
    command = [sys.executable, "-m", "featurestore", "sync", "--every", "1", "--json"]
    process = subprocess.Popen(command, cwd=project.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    first = process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    rest, said = process.communicate(timeout=120)
    assert process.returncode == 143, said
    assert all("features" in json.loads(line) for line in [first, *rest.splitlines()])


LOOP = """
import asyncio, os, signal, sys
from pathlib import Path
from featurestore import signals
from featurestore.config import DriftSettings, Project
from featurestore.offline.duckdb.store import DuckDBStore
from tests.offline.history import learn, version

signals.watch()  # as if this were the executable
store = DuckDBStore(Project(Path(sys.argv[1]), "test", {}, {}, DriftSettings()))
of = version("int")

async def hear():
    heard = asyncio.Event()
    loop = asyncio.get_running_loop()
    if sys.argv[2] == "loop first":
        loop.add_signal_handler(signal.SIGUSR1, heard.set)
    for _ in range(3):
        assert store.latest(of).height == 1
    await asyncio.to_thread(store.latest, of)
    loop.add_signal_handler(signal.SIGUSR1, heard.set)
    os.kill(os.getpid(), signal.SIGUSR1)
    await asyncio.wait_for(heard.wait(), 60)
    assert not signals.are_ours()

if sys.argv[2] == "store first":
    learn(store, of, [("a", 0, 1)], "r1")
    asyncio.run(hear())
else:
    signals._watch.allowed = False
    learn(store, of, [("a", 0, 1)], "r1")
    signals._watch.allowed = True
    asyncio.run(hear())
assert signals.are_ours()
assert store.latest(of).height == 1
held = signal.set_wakeup_fd(-1)
assert held != -1, "after the loop the wakeup is taken again"
print("ok")
"""


@pytest.mark.parametrize("order", ["loop first", "store first"])
def test_an_event_loop_keeps_its_signals(tmp_path: Path, order: str) -> None:
    assert run_to_the_end(LOOP, str(tmp_path), order) == "ok\n"


ANOTHER_PROGRAM = """
import asyncio, os, signal, socket, sys
from featurestore import signals
from featurestore.cli.app import run

def handler(*_): pass

signal.signal(signal.SIGTERM, handler)
ours, theirs = socket.socketpair()
ours.setblocking(False)
signal.set_wakeup_fd(ours.fileno())

def check():
    before = signal.getsignal(signal.SIGINT)
    assert run(["-C", sys.argv[1], "history", "age_share", "001"]) == 0
    assert signal.getsignal(signal.SIGTERM) is handler
    assert signal.getsignal(signal.SIGINT) is before
    assert sys.unraisablehook is sys.__unraisablehook__
    assert signal.set_wakeup_fd(ours.fileno()) == ours.fileno()

async def check_in_a_loop():
    check()

check()
signals.watch()  # even where it is the main program: an event loop has its own use for signals
asyncio.run(check_in_a_loop())
"""


def test_a_program_that_calls_ours_keeps_its_signals(project: Folder) -> None:
    project.run("ingest")
    run_to_the_end(ANOTHER_PROGRAM, str(project.root))


def test_a_job_that_ignores_ctrl_c_goes_on(project: Folder) -> None:
    """A shell starts its background jobs so. Polars, once imported, would end them all the same."""
    project.write({"features/cardiac.py": '''
        import os
        import time

        import polars as pl
        from featurestore import feature


        def interrupted(age: int) -> int:
            os.kill(os.getpid(), 2)
            time.sleep(0.1)
            return age


        @feature(entity_type="patient", data_type="int")
        def age(visits: pl.LazyFrame) -> pl.DataFrame:
            value = pl.col("age").map_elements(interrupted, return_dtype=pl.Int64)
            return visits.select(entity_id="patient_id", value=value, computed_at="visit_at").collect(
                engine="streaming"
            )
        '''})  # fmt: skip
    script = f"trap '' INT; exec {sys.executable} -m featurestore ingest"
    done = subprocess.run(["sh", "-c", script], cwd=project.root, capture_output=True, text=True)
    assert (done.returncode, "interrupted" in done.stderr) == (0, False), done.stderr
