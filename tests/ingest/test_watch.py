"""What a feature's code opens, starts and connects to while it runs is reported where it is not declared."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from featurestore.versioning.folder.observed import FILE, MOST, Observation
from featurestore.versioning.running.watch import Watch
from tests.conftest import TOML, VISITS, Folder

HEAD = """
import json, os, sys
from pathlib import Path

import polars as pl

from featurestore import feature

"""
OBSERVED = "features/.versions/risk/" + FILE


def module(body: str, *, declared: str = "[]", above: str = "") -> str:
    lines = "".join(f"    {line}\n" for line in body.strip().splitlines())
    arguments = f'entity_type="patient", data_type="float", depends_on={declared}'
    return f"{HEAD}{above}\n\n@feature({arguments})\ndef risk() -> pl.Expr:\n{lines}    return pl.col('age') * 1.0\n"


@pytest.fixture
def risk(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """A project whose one feature opens nothing yet. The current folder is the project's."""
    monkeypatch.chdir(folder.root)
    folder.write(
        {
            "featurestore.toml": TOML, "features/m.py": module("pass"), "visits.csv": VISITS,
            "w.json": '{"a": 2}', "d/one.txt": "1", "d/two.txt": "2",
        }
    )  # fmt: skip
    return folder


def ingest(project: Folder, text: str, *arguments: str) -> list[str]:
    """Ingests the feature with this module, and gives the warnings about what it met."""
    project.write({"features/m.py": text})
    return [line for line in project.json("ingest", *arguments)["warnings"] if "its code" in line]


def observed(project: Folder) -> list[tuple[str, str]]:
    return [(item["kind"], item["what"]) for item in project.json("show", "risk")["observed"]]


REQUEST = """
import urllib.request
try: urllib.request.urlopen("http://u:SECRET@127.0.0.1:9/x?token=SECRET")
except Exception: pass
"""
MET: Mapping[str, tuple[str, list[tuple[str, str]]]] = {
    "open": ("open('w.json').read()", [("file", "w.json")]),
    "open bytes": ("open(b'w.json', 'rb').read()", [("file", "w.json")]),
    "an absolute path": ("open(os.path.abspath('w.json')).read()", [("file", "w.json")]),
    "with dots": ("open('d/../w.json').read()", [("file", "w.json")]),
    "Path": ("Path('w.json').read_text()", [("file", "w.json")]),
    "Path.open": ("Path('w.json').open().read()", [("file", "w.json")]),
    "os.open": ("os.close(os.open('w.json', os.O_RDONLY))", [("file", "w.json")]),
    "read and write": ("open('w.json', 'r+').read()", [("file", "w.json")]),
    "a name that is computed": ("getattr(Path('w' + '.json'), 'read' + '_text')()", [("file", "w.json")]),
    "eval": ("eval('open(\"w.json\").read()')", [("file", "w.json")]),
    "numpy": ("import numpy\nnumpy.loadtxt('d/one.txt')", [("file", "d/one.txt")]),
    "numpy.fromfile": ("import numpy\nnumpy.fromfile('d/one.txt', sep=' ')", [("file", "d/one.txt")]),
    "linecache": ("import linecache\nlinecache.getline('d/one.txt', 1)", [("file", "d/one.txt")]),
    "a package's files": (
        "import importlib.resources as r\nr.files('features').joinpath('w.txt').read_text()",
        [("file", "features/w.txt")],
    ),
    "pkgutil": ("import pkgutil\npkgutil.get_data('features', 'w.txt')", [("file", "features/w.txt")]),
    "configparser": ("import configparser\nconfigparser.ConfigParser().read('nothing.ini')", [("file", "nothing.ini")]),
    "outside": ("open('/etc/hostname').read()", [("file", "/etc/hostname")]),
    "a missing one": ("try:\n    open('none.json')\nexcept OSError: pass", [("file", "none.json")]),
    "os.listdir": ("os.listdir('d')", [("folder", "d")]),
    "os.scandir": ("list(os.scandir('d'))", [("folder", "d")]),
    "the current folder": ("os.listdir()", [("folder", ".")]),
    "os.walk": ("list(os.walk('d'))", [("folder", "d")]),
    "iterdir": ("list(Path('d').iterdir())", [("folder", "d")]),
    "glob": ("import glob\nglob.glob('d/*.txt')", [("folder", "d")]),
    "Path.glob": ("list(Path('d').glob('*.txt'))", [("folder", "d")]),
    "shutil": ("import shutil, tempfile\nshutil.copy('w.json', tempfile.mkdtemp())", [("file", "w.json")]),
    "a program": ("import subprocess\nsubprocess.run(['true', 'SECRET'], check=True)", [("program", "true")]),
    "a program's path": ("import subprocess\nsubprocess.run(['/bin/true'], check=True)", [("program", "true")]),
    "a shell": ("import subprocess\nsubprocess.run('true SECRET', shell=True, check=True)", [("program", "sh")]),
    "os.system": ("os.system('TOKEN=SECRET true SECRET')", [("program", "true")]),
    "os.popen": ("os.popen('true SECRET').read()", [("program", "sh")]),
    "posix_spawn": ("os.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0)", [("program", "true")]),
    "os.spawn": ("os.spawnl(os.P_WAIT, '/bin/true', 'true')", [("program", "a copy of this process")]),
    "sqlite": ("import sqlite3\nsqlite3.connect('w.db').close()", [("file", "w.db")]),
    "sqlite in memory": ("import sqlite3\nsqlite3.connect(':memory:').close()", []),
    "a library": ("import ctypes\nctypes.CDLL('libc.so.6')", [("library", "libc.so.6")]),
    "a socket": (
        "import socket\nsock = socket.socket()\nsock.settimeout(1)\nsock.connect_ex(('127.0.0.1', 9))\nsock.close()",
        [("address", "127.0.0.1:9")],
    ),
    "a local socket": (
        "import socket\nsock = socket.socket(socket.AF_UNIX)\nsock.connect_ex('s.sock')\nsock.close()",
        [("address", "s.sock")],
    ),
    "a url": (
        REQUEST,
        [("address", "http://127.0.0.1/x")],
    ),
    "a file's url": ("import urllib.request\nurllib.request.urlopen('file:w.json').read()", [("file", "w.json")]),
    # What is nothing from outside
    "nothing": ("pass", []),
    "an import": ("import xml.etree.ElementTree, statistics, numpy.polynomial", []),
    "an import of the project": ("from features import lib", []),
    "an import by name": ("import importlib\nimportlib.import_module('features.lib')", []),
    "what it wrote itself": ("open('new.txt', 'w').write('1')\nopen('new.txt').read()", []),
    "a temporary file": ("import tempfile\nf = tempfile.NamedTemporaryFile()\nopen(f.name).read()", []),
    "an appended log": ("open('log.txt', 'a').write('1')", []),
    "a warning": ("import warnings\nwarnings.warn('careful')", []),
    "a traceback": ("import traceback\ntry:\n    1 / 0\nexcept ArithmeticError: traceback.format_exc()", []),
    "a zone": ("import zoneinfo\nzoneinfo.ZoneInfo('Europe/Paris')", []),
    "polars": ("pl.DataFrame({'a': [1]}).lazy().sort('a').collect()", []),
}


@pytest.mark.filterwarnings("ignore:careful")
@pytest.mark.parametrize("how", MET)
def test_what_a_function_meets(risk: Folder, how: str) -> None:
    body, expected = MET[how]
    risk.write({"features/lib.py": "K = 1\n", "features/__init__.py": "", "features/w.txt": "1"})
    lines = ingest(risk, module(body))
    found = observed(risk)
    if how == "a url":  # Python resolves and connects for it, too
        assert set(expected) <= set(found)
    else:
        assert found == expected
    assert len(lines) == bool(expected)
    assert "SECRET" not in "".join(lines)
    written = risk.root / OBSERVED
    assert written.exists() == bool(expected)
    assert "SECRET" not in (written.read_text() if expected else "")


def test_what_is_met_at_import_counts_for_every_feature_that_imports_it(risk: Folder) -> None:
    helper = "import json\nW = json.load(open('w.json'))\ndef scale(x):\n    return x * W['a']\n"
    other = module("pass", above="from features.lib import scale").replace("def risk", "def other")
    text = module("pass", above="from features import lib")
    risk.write({"features/lib.py": helper, "features/n.py": other})
    risk.write({"features/m.py": text})
    warnings = risk.json("ingest")["warnings"]
    assert sum("its code reads w.json" in line for line in warnings) == 2
    assert observed(risk) == [("file", "w.json")]
    assert risk.json("show", "other")["observed"] == [{"kind": "file", "what": "w.json"}]


def test_a_module_that_only_another_feature_imports_does_not_count(risk: Folder) -> None:
    risk.write({"features/lib.py": "W = open('w.json').read()\n"})
    risk.write({"features/a.py": module("pass", above="from features import lib").replace("def risk", "def other")})
    ingest(risk, module("pass"))
    assert observed(risk) == []
    assert not (risk.root / OBSERVED).exists()


def test_a_package_that_reads_its_own_files_at_import_is_not_the_features_doing(
    risk: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = risk.root / "elsewhere" / "packaged"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("W = open(__file__.replace('__init__.py', 'data.txt')).read()\n")
    (package / "data.txt").write_text("1")
    monkeypatch.syspath_prepend(str(package.parent))
    (risk.root / "elsewhere").rename(risk.root.parent / (risk.root.name + "-elsewhere"))
    monkeypatch.syspath_prepend(str(risk.root.parent / (risk.root.name + "-elsewhere")))
    ingest(risk, module("import packaged"))
    assert observed(risk) == []


# Reports


def test_it_is_reported_once_in_the_run_that_meets_it(risk: Folder) -> None:
    text = module("open('w.json').read()")
    (line,) = ingest(risk, text)
    assert line == (
        "risk: its code reads w.json, which is not part of its hash; "
        'declare it, depends_on=["w.json"], or make it a source'
    )
    before = (risk.root / OBSERVED).stat().st_mtime_ns
    assert ingest(risk, text, "--full") == []
    assert (risk.root / OBSERVED).stat().st_mtime_ns == before
    assert "reads w.json" not in risk.run("ingest").err


def test_it_is_reported_on_stderr_by_check_and_by_show(risk: Folder) -> None:
    risk.write({"features/m.py": module("open('w.json').read()\nos.listdir('d')")})
    said = risk.run("ingest").err
    assert "its code reads w.json" in said
    assert "(and 1 more: featurestore show risk)" in said
    assert "its code reads w.json" in risk.run("check").out
    assert "its code lists d" in risk.run("show", "risk").out
    document = risk.json("check")
    assert [(item["feature"], item["kind"], item["what"]) for item in document["observations"]] == [
        ("risk", "file", "w.json"), ("risk", "folder", "d"),
    ]  # fmt: skip
    assert document["findings"] == []
    found = [item for item in risk.json("check", "--strict", code=1)["findings"] if item["kind"] == "observed"]
    assert [item["where"] for item in found] == ["risk", "risk"]


def test_what_is_declared_is_not_reported(risk: Folder) -> None:
    text = module(
        "open('w.json').read()\nlist(Path('d').glob('*.txt'))\nopen('d/one.txt')", declared='["w.json", "d/*"]'
    )
    assert ingest(risk, text) == []
    assert not (risk.root / OBSERVED).exists()
    assert risk.json("check", "--strict")["findings"] == []


def test_declaring_it_takes_it_off_the_list(risk: Folder) -> None:
    body = "open('w.json').read()\nopen('d/one.txt').read()"
    ingest(risk, module(body))
    assert observed(risk) == [("file", "d/one.txt"), ("file", "w.json")]
    risk.write({"features/m.py": module(body, declared='["w.json"]')})
    assert observed(risk) == []  # nothing is known of the new version yet
    ingest(risk, module(body, declared='["w.json"]'))
    assert observed(risk) == [("file", "d/one.txt")]
    ingest(risk, module(body, declared='["w.json", "d/one.txt"]'))
    assert observed(risk) == []
    assert not (risk.root / OBSERVED).exists()


def test_a_run_that_commits_nothing_leaves_nothing_behind(risk: Folder) -> None:
    text = module("open('w.json').read()")
    assert len(ingest(risk, text, "--dry-run")) == 1
    assert not (risk.root / "features/.versions").exists()
    risk.write({"features/m.py": text.replace("pl.col('age') * 1.0", "pl.col('nothing')")})
    risk.run("ingest", code=4)
    assert not (risk.root / OBSERVED).exists()


def test_the_file_is_in_order_and_holds_paths_of_the_project(risk: Folder) -> None:
    ingest(risk, module("os.listdir('d')\nopen('w.json')\nopen('d/two.txt')\nopen('d/one.txt')\nos.system('true')"))
    lines = (risk.root / OBSERVED).read_text().splitlines()
    assert lines[0].startswith("# What the code met while it ran")
    assert lines[1].startswith('sha256 = "')
    assert lines[2:] == ['files = ["d/one.txt", "d/two.txt", "w.json"]', 'folders = ["d"]', 'programs = ["true"]']


def test_observations_of_one_version_add_up(risk: Folder) -> None:
    text = module("if os.environ.get('A'): open('w.json')\nelse: open('d/one.txt')")
    ingest(risk, text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("A", "1")
        (line,) = ingest(risk, text, "--full")
    assert "reads w.json" in line
    assert observed(risk) == [("file", "d/one.txt"), ("file", "w.json")]


@pytest.mark.parametrize("damage", ["not = [toml", 'sha256 = "0"\nfiles = ["x"]', "\0", "files = 1", None])
def test_a_damaged_file_is_written_again(risk: Folder, damage: str | None) -> None:
    text = module("open('w.json')")
    ingest(risk, text)
    path = risk.root / OBSERVED
    if damage is None:
        path.unlink()
        path.symlink_to("/dev/zero")
    else:
        path.write_text(damage)
    assert observed(risk) == []
    risk.run("check")
    ingest(risk, text, "--full")
    assert observed(risk) == [("file", "w.json")]


def test_there_are_not_too_many(risk: Folder) -> None:
    ingest(risk, module(f"for n in range({3 * MOST}):\n    try: open(f'no{{n:04d}}')\n    except OSError: pass"))
    assert len(observed(risk)) == MOST


def test_an_old_version_is_not_watched(risk: Folder) -> None:
    risk.write({"features/m.py": module("open('w.json')")})
    risk.run("ingest")
    risk.run("promote", "risk", "1")
    assert ingest(risk, module("x = 1")) == []
    assert observed(risk) == []


# The hook


def seen(watch: Watch) -> list[Observation]:
    return list(watch.observations())


def test_only_code_of_a_project_on_the_watching_thread_is_seen(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    with watch.watching():
        (tmp_path / "w").write_text("1")
        (tmp_path / "w").read_text()
        thread = threading.Thread(target=(tmp_path / "w").read_text)
        thread.start()
        thread.join()
    assert seen(watch) == []


def test_a_run_is_watched_for_its_feature_only(risk: Folder) -> None:
    body = "import threading\nt = threading.Thread(target=Path('w.json').read_text)\nt.start()\nt.join()"
    ingest(risk, module(body))
    assert observed(risk) == []
    assert [item["kind"] for item in risk.json("show", "risk")["limits"]] == ["file"]


def test_no_command_that_runs_no_code_installs_the_hook(risk: Folder) -> None:
    script = (
        "import sys\nhooks = []\nsys.addaudithook = hooks.append\nfrom featurestore.cli.app import run\n"
        "for command in ('list', 'plan', 'check', 'lock'):\n"
        f"    run(['-C', {str(risk.root)!r}, command])\n"
        "print(len(hooks), 'featurestore.versioning.running.watch' in sys.modules)\n"
    )
    ran: Any = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "0 False"
