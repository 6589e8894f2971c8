"""The table of failing commands: what is broken, the exit code, what is said, and that it is said at once."""

from __future__ import annotations

import json
import os
import platform
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from featurestore.config import load_project
from featurestore.errors import DamagedError, StoreError, from_os_error, os_reason, quoted_os_error
from featurestore.offline.duckdb.store import DuckDBStore
from tests.conftest import Folder
from tests.services import refusing, short_folder

HISTORY = ".featurestore/history.duckdb"
READERS = (["runs"], ["export", "age_share"], ["history", "age_share", "001"], ["stats", "age_share"], ["sync"])
WRITERS = (["ingest", "--full"], ["baseline", "age_share"])


def cut(length: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:length]


def flip(at: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "emptied": cut(0), "cut in the first header": cut(100), "cut in half": cut(20_000), "main header": flip(2067),
    "second header": flip(5000), "catalog": flip(12_300), "zeros": lambda data: bytes(len(data)),
    "another format": lambda data: b"SQLite format 3\0" + data[16:],
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_history_is_said_at_once_and_is_no_lock(ingested: Folder, damage: str) -> None:
    path = ingested.root / HISTORY
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    for command in (*READERS, *WRITERS):
        error = ingested.json(*command, code=4)["error"]
        assert error["code"] == "damaged", command
        assert error["where"] == str(path)
        assert error["hint"].startswith("featurestore restore FILE --force puts a backup in its place")
    (check,) = [item for item in ingested.json("doctor", code=1)["checks"] if item["area"] == "offline"]
    assert "damaged" in check["what"]


def test_a_history_that_another_process_holds_is_no_damage(ingested: Folder) -> None:
    holding = (
        f"import duckdb, sys; held = duckdb.connect({str(ingested.root / HISTORY)!r})\n"
        "print(flush=True); sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", holding], stdin=pipe, stdout=pipe) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        store = DuckDBStore(load_project(ingested.root), patience=0.1)
        with pytest.raises(StoreError, match=rf"is held by \S+ \(pid {holder.pid}\)") as caught:
            store.committed_runs()
        assert not isinstance(caught.value, DamagedError)
        holder.communicate()
    assert len(store.committed_runs()) == 1


def in_a_small_folder(folder: Path, kilobytes: int, *command: str) -> subprocess.CompletedProcess[str]:
    """Runs a command while ``.featurestore`` is a file system of its own, of so many kilobytes, with a copy in it."""
    script = (
        f"cp -a .featurestore ../kept && mount -t tmpfs -o size={kilobytes}k,mode=700 tmpfs .featurestore && "
        'cp -a ../kept/. .featurestore/ && exec "$@"'
    )
    namespace = ["unshare", "--mount", *(["--map-root-user"] if os.geteuid() else [])]
    probe = subprocess.run([*namespace, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True)
    if probe.returncode:
        pytest.skip("no file system can be mounted here")
    line = [*namespace, "sh", "-c", script, "sh", sys.executable, "-m", "featurestore", *command]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True)


def test_a_full_disk_is_said_and_nothing_is_committed(project: Folder) -> None:
    folder = project.root / "project"
    folder.mkdir()
    for name in ("featurestore.toml", "features", "visits.csv"):
        (project.root / name).rename(folder / name)
    here = Folder(folder, project._capture)
    here.run("ingest")
    size = sum(path.stat().st_size for path in (folder / ".featurestore").iterdir()) // 1024
    rows = "".join(f"p{at:07},2024-05-01T00:00:00Z,{at % 100},1.5\n" for at in range(100_000))
    (folder / "visits2.csv").write_text("patient_id,visit_at,age,chol\n" + rows)
    ran = in_a_small_folder(folder, size + 300, "ingest", "--json")
    assert ran.returncode == 12, ran.stderr
    assert json.loads(ran.stdout)["error"]["message"] == "the disk is full"
    assert "free some space" in ran.stderr


def no_byte_more() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


@pytest.mark.parametrize("words", [["lock"], ["baseline", "age_share"], ["promote", "age_share", "1"]], ids=" ".join)
def test_a_lock_that_can_t_be_written_is_named(ingested: Folder, words: list[str]) -> None:
    line = [sys.executable, "-m", "featurestore", "-C", str(ingested.root), *words]
    ran = subprocess.run(line, capture_output=True, text=True, preexec_fn=no_byte_more)
    assert ran.returncode == 12
    assert ran.stderr.startswith(f"error: {ingested.root}/.featurestore/lock: File too large")
    assert "see how much space the disk has" in ran.stderr
    ingested.run(*words)


@pytest.mark.parametrize("answer", ["HTTP/1.1 400 Bad Request", "this is not PostgreSQL", "220 ready"])
def test_a_foreign_server_is_not_a_defect(project: Folder, monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    with refusing(answer) as port:
        monkeypatch.setenv("FEATURESTORE_OFFLINE_URL", f"postgresql://u:s3cr3t@127.0.0.1:{port}/x?connect_timeout=5")
        said = project.run("runs", code=12).err
        assert (
            f"does not speak PostgreSQL's protocol: received invalid response to SSL negotiation: {answer[0]}" in said
        )
        monkeypatch.delenv("FEATURESTORE_OFFLINE_URL")
        monkeypatch.setenv("FEATURESTORE_ONLINE_URL", f"redis://u:s3cr3t@127.0.0.1:{port}/0")
        said += project.run("get", "patient", "001", code=12).err
        assert f'does not speak Redis\' protocol: Protocol error, got "{answer[0]}"' in said
        assert "s3cr3t" not in said


def test_the_system_s_error_is_found_where_a_library_quotes_it() -> None:
    def number(text: str) -> int | None:
        found = quoted_os_error(text)
        return None if found is None else found.errno

    assert number("parquet: underlying IO error: No space left on device (os error 28)") == 28
    assert number('IO Error: Could not write file "/x/No such file or directory: y": Input/output error\nmore') == 5
    assert number('IO Error: Could not set lock on file "x": No locks available') == 37
    assert number("a block: unlocked") is None


def test_a_refusal_of_rights_names_the_owner(tmp_path: Path) -> None:
    path = tmp_path / "mine"
    path.mkdir(mode=0o500)
    refused = PermissionError(13, "Permission denied", str(path / "x"))
    assert os_reason(refused) == f"Permission denied (the mode of {path} is 0500)"
    assert os_reason(PermissionError(13, "Permission denied")) == "Permission denied"
    assert from_os_error(refused).exit_code == 4


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as somebody else")
def test_files_of_somebody_else_are_named_with_their_owner(ingested: Folder) -> None:
    """As the user that a cron job or a container runs as, on what another one has made."""
    root = short_folder()  # everybody may go there
    root.chmod(0o755)
    shutil.copytree(ingested.root, root, dirs_exist_ok=True)
    for command in (["runs"], ["get", "patient", "001"], ["ingest"], ["lock"], ["sync"], ["export", "age_share"]):
        line = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", sys.executable, "-m", "featurestore"]
        ran = subprocess.run([*line, *command], cwd=root, capture_output=True, text=True)
        assert ran.returncode in (0, 4, 12), (command, ran.stderr)
        if ran.returncode:
            assert "belongs to root, and this runs as user 12345" in ran.stderr, (command, ran.stderr)
    root.chmod(0o700)
    line = [*line, "list"]
    ran = subprocess.run(
        line, cwd="/", env={**os.environ, "FEATURESTORE_PROJECT": str(root)}, capture_output=True, text=True
    )
    assert f"({root} belongs to root, and this runs as user 12345)" in ran.stderr
    shutil.rmtree(root)


def test_duckdb_has_the_classes_that_are_told_apart() -> None:
    assert issubclass(duckdb.IOException, duckdb.OperationalError)
    assert issubclass(duckdb.SerializationException, duckdb.Error)


def test_version_files_are_for_others_to_read(project: Folder) -> None:
    """Made by root in a container under its umask, committed and read by somebody else."""
    before = os.umask(0o077)
    try:
        project.run("ingest")
    finally:
        os.umask(before)
    versions = project.root / "features" / ".versions"
    for path in (versions, *versions.rglob("*")):
        wanted = 0o755 if path.is_dir() else 0o644
        assert path.stat().st_mode & 0o777 == wanted, path
    assert (project.root / ".featurestore").stat().st_mode & 0o777 == 0o700
    assert (project.root / ".featurestore" / "history.duckdb").stat().st_mode & 0o777 == 0o600


def on_a_machine(project: Folder, before: str, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a command in a process in which some lines of Python ran first, such as one that takes a module away."""
    code = f"import sys\n{before}\nfrom featurestore.cli.app import run\nsys.exit(run(sys.argv[1:]))"
    return subprocess.run(
        [sys.executable, "-c", code, *command], cwd=project.root, env={**os.environ, **environment},
        capture_output=True, text=True,
    )  # fmt: skip


def test_a_machine_without_time_zone_data_says_so(project: Folder) -> None:
    def ingest() -> subprocess.CompletedProcess[str]:
        return on_a_machine(project, "sys.modules['tzdata'] = None", "ingest", PYTHONTZPATH="")

    project.edit("featurestore.toml", 'event_time = "visit_at"', 'event_time = "visit_at"\ntimezone = "UTC"')
    assert ingest().returncode == 0
    project.edit("featurestore.toml", '"UTC"', '"Europe/Paris"')
    ran = ingest()
    assert ran.returncode == 2
    assert "sources.visits.timezone can't be used: this machine has no time zone data" in ran.stderr
    assert "pip install tzdata" in ran.stderr


# The system calls by which a file is locked, refused as on a file system that has no locks.
NO_LOCKS = """
import ctypes, struct
libc = ctypes.CDLL(None, use_errno=True)
def insn(code, jt, jf, k): return struct.pack("HBBI", code, jt, jf, k)
program = b"".join([
    insn(0x20, 0, 0, 0), insn(0x15, 5, 0, 73),                          # flock
    insn(0x15, 0, 5, 72), insn(0x20, 0, 0, 24),                         # fcntl: its command
    insn(0x15, 2, 0, 5), insn(0x15, 1, 0, 6), insn(0x15, 0, 1, 7),      # F_GETLK, F_SETLK, F_SETLKW
    insn(0x06, 0, 0, 0x00050000 | 37), insn(0x06, 0, 0, 0x7FFF0000),
])
buffer = ctypes.create_string_buffer(program, len(program))
class Filter(ctypes.Structure): _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
libc.prctl(38, 1, 0, 0, 0)
assert libc.prctl(22, 2, ctypes.byref(Filter(9, ctypes.addressof(buffer))), 0, 0) == 0
"""


@pytest.mark.skipif(platform.machine() != "x86_64" or sys.platform != "linux", reason="numbers of system calls")
def test_a_file_system_without_locks_is_said(project: Folder) -> None:
    ran = on_a_machine(project, NO_LOCKS, "ingest")
    assert ran.returncode == 12, ran.stderr
    assert "its file system has no locks: No locks available" in ran.stderr
    assert "on a local disk" in ran.stderr
    project.run("ingest")
    ran = on_a_machine(project, NO_LOCKS, "runs")
    assert (ran.returncode, "has no locks" in ran.stderr) == (12, True), ran.stderr


@pytest.mark.parametrize("locale", ["C", "POSIX", "en_US.ISO-8859-1"])
def test_a_locale_without_utf_8_changes_nothing(project: Folder, locale: str) -> None:
    project.write({"visits.csv": "patient_id,visit_at,age,chol\njosé,2024-01-01T00:00:00Z,50,1\n"})
    settings = {"LC_ALL": locale, "LANG": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}
    for command in (["ingest"], ["history", "age_share", "josé"], ["export", "age_share"], ["show", "age_share"]):
        line = [sys.executable, "-m", "featurestore", *command]
        ran = subprocess.run(line, cwd=project.root, env={**os.environ, **settings}, capture_output=True)
        assert ran.returncode == 0, ran.stderr
        assert b"Traceback" not in ran.stderr
