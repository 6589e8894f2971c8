"""``-v`` means the same everywhere: the project, its stores, and each step with its time, on stderr."""

from __future__ import annotations

import re

import pytest

from featurestore.cli.commands import COMMANDS
from tests.conftest import PROJECT, Folder, Once

ARGUMENTS = {
    "init": ["."], "new": ["basket_total", "--dry-run"], "preview": ["visits"],
    "show": ["age_share"], "diff": ["age_share", "1", "1", "--code"], "promote": ["age_share", "1"],
    "lineage": ["age_share"], "delete": ["patient", "001", "--dry-run"], "get": ["patient", "001"],
    "join": ["labels.csv", "-f", "age_share", "--timestamp-column", "at"], "history": ["age_share", "001"],
    "latest": ["patient", "-f", "age_share"],
    "export": ["age_share"], "stats": ["age_share"], "baseline": ["age_share"],
    "rename": ["age_share", "share", "--dry-run"], "retire": ["age_share"],
    "backup": ["shop.backup"], "restore": ["shop.backup"],
}  # fmt: skip
UNTIL_ENDED = ("serve", "tui")  # they go on until they are told to end
DONE = re.compile(r"^ +\d+\.\d\d s  done, exit code 0$", re.MULTILINE)


def make_at_work(made: Folder) -> None:
    made.write({**PROJECT, "labels.csv": "patient_id,at\n001,2024-03-01T00:00:00Z\n"})
    made.run("ingest")
    made.run("sync")


@pytest.fixture
def at_work(folder: Folder, once: Once, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """A project with values, in the current folder."""
    monkeypatch.chdir(folder.root)
    return once(make_at_work, folder)


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in UNTIL_ENDED])
def test_every_command_reports_its_steps(at_work: Folder, command: str) -> None:
    arguments = [command, *ARGUMENTS.get(command, [])]
    if command == "restore":
        at_work.run("backup", "shop.backup")
    if command == "retire":  # only code that is gone
        at_work.write({"features/cardiac.py": ""})
    plain = at_work.run(*arguments)
    verbose = at_work.run(*arguments, "-v")
    assert DONE.search(verbose.err)
    assert not DONE.search(plain.err)
    if command not in ("init", "doctor"):
        assert "offline store: embedded, online store: embedded" in verbose.err
    assert not DONE.search(at_work.run(*arguments, "-q", "-v").err)


def test_steps_come_with_json_too_and_leave_the_document_alone(at_work: Folder) -> None:
    ran = at_work.run("ingest", "--full", "--json", "-v")
    assert "age_share: 3 rows" in ran.err
    assert ran.json["status"] == "ok"


def test_no_url_is_shown(at_work: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    for url in ("redis://me:s3cr3t@127.0.0.1:1/0", "redis//:s3cr3t@h", ":s3cr3t@h:6379", "s3cr3t"):
        monkeypatch.setenv("FEATURESTORE_ONLINE_URL", url)
        assert "s3cr3t" not in at_work.run("list", "-v").err
