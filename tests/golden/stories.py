"""The command lines whose documents are pinned, in the order in which a project would see them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import duckdb
import pytest

from featurestore.config import load_project
from featurestore.locking import write_lock
from featurestore.online.open import open_online
from featurestore.serving.online_tables import OnlineTables
from tests.conftest import Folder
from tests.golden.folder import lay_down, stock, visits

Beside = Callable[[Folder], AbstractContextManager[object]]


@dataclass(frozen=True)
class Case:
    """One command line, without ``featurestore`` and ``--json``. ``{root}`` is the project's folder.

    ``beside`` is what goes on meanwhile. A ``bare`` line names no project.
    """

    name: str
    line: str
    code: int = 0
    beside: Beside = lambda _folder: nullcontext()
    bare: bool = False


Step = Case | Callable[[Folder], None]


def run(line: str, code: int = 0) -> Step:
    """A command whose document is not looked at."""
    return lambda folder: _ignore(folder.run(*line.replace("{root}", str(folder.root)).split(), code=code))


def _ignore(_answer: object) -> None:
    pass


def write(name: str, text: str) -> Step:
    return lambda folder: folder.write({name: text})


def edit(name: str, old: str, new: str) -> Step:
    return lambda folder: folder.edit(name, old, new)


def _commit(folder: Folder) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-q"], ["add", "features", "featurestore.toml"], [*who, "commit", "-qm", "first"]):
        subprocess.run(["git", *words], cwd=folder.root, env=environment, check=True)


def _damage_online(folder: Folder) -> None:
    """One value overwritten with another's bytes, one removed, and one of nobody."""
    import polars as pl

    store = open_online(load_project(folder.root))
    field = OnlineTables(store).pointers().features["age_share"].field
    keys = [f"fs1:golden:patient:{name}" for name in ("p0", "nobody")]
    store.discard(field, [keys[0], "fs1:golden:patient:p1"], 2**27 - 1)
    store.merge([pl.DataFrame({"key": keys, str(field): [b"\xff" * 25, b"\x00" * 25]})])
    store.close()


def _remove_chol_word(folder: Folder) -> None:
    path = folder.root / "features" / "cardiac.py"
    head, _, rest = path.read_text(encoding="utf-8").partition("def chol_word")
    _, _, after = rest.partition("\n\n\n")
    path.write_text(head[: head.rindex("@feature")] + after, encoding="utf-8")


def _lock(folder: Folder) -> AbstractContextManager[object]:
    return write_lock(load_project(folder.root))


@contextmanager
def _defect(_folder: Folder) -> Iterator[None]:
    def fail(*_: object) -> None:
        raise RuntimeError("nobody foresaw this")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("featurestore.cli.commands.list.list_features", fail)
        yield


def _newer(folder: Folder) -> None:
    with duckdb.connect(str(folder.root / ".featurestore" / "history.duckdb")) as connection:
        connection.execute("UPDATE meta SET format = 999")


def _forget_history(folder: Folder) -> None:
    shutil.rmtree(folder.root / ".featurestore")


SECOND_DAY = (write("visits-02.csv", visits(2)), write("stock-02.jsonl", stock(2)))
OTHER_CODE = edit("features/lib/scale.py", "/ 100", "/ 50")
JOIN, OUTPUT = "join {root}/labels.csv --timestamp-column at ", "--output {root}/t.csv"
BROKEN = """
from featurestore import feature


@feature(entity_type="nothing")
def broken(): ...
"""
FAILING = """
from featurestore import feature


@feature(entity_type="patient", data_type="float", source="visits")
def failing(df):
    raise ValueError("no")
"""
RULES_BROKEN = "patient_id,visit_at,age,chol\np0,2024-01-03T00:00:00Z,500,1\np1,soon,50,2\np2,2024-01-03T00:00:00Z,,\n"

STORIES: dict[str, tuple[Step, ...]] = {
    "projects": (
        Case("init", "init {root}/new --name new", bare=True),
        Case("init_dry_run", "init {root}/other --demo --dry-run", bare=True),
        Case("init_again", "init {root}/new", bare=True),
        write("orders.csv", "user_id;at;price\na;31/12/2024;1,5\nb;1/1/2025;-\n"),
        Case("preview_file", "preview {root}/orders.csv", bare=True),
        Case("init_from", "init {root}/orders --from {root}/orders.csv", bare=True),
    ),
    "features": (
        lay_down,
        Case("list_before_any_run", "list"),
        Case("plan_new", "plan"),
        Case("plan_stats_new", "plan age_share --stats"),
        Case("check_findings", "check", code=1),
        Case("lock_dry_run", "lock age_share --dry-run"),
        Case("lock", "lock"),
        Case("lock_nothing", "lock"),
        Case("check", "check"),
        Case("show_before_any_run", "show stock_2"),
        run("ingest"),
        OTHER_CODE,
        edit("features/cardiac.py", 'owner="ml-team"', 'owner="other-team"'),
        Case("list", "list"),
        Case("list_one", "list --tag cardiac"),
        Case("list_none", "list nothing_like_it"),
        Case("show", "show age_share"),
        Case("lineage", "lineage age_share"),
        Case("plan", "plan"),
        Case("plan_stats", "plan age_share --stats"),
        Case("diff_worktree", "diff age_share --code"),
        Case("check_fix", "check --fix"),
        write("features/broken.py", BROKEN),
        Case("list_with_problems", "list"),
    ),
    "versions": (
        lay_down,
        run("ingest"),
        OTHER_CODE,
        run("ingest"),
        Case("diff", "diff age_share 1 2"),
        Case("diff_code", "diff age_share 1 2 --code"),
        Case("diff_stats", "diff age_share 1 2 --stats"),
        Case("diff_exit_code", "diff age_share 1 2 --code --exit-code", code=1),
        Case("promote_dry_run", "promote age_share 1 --dry-run"),
        Case("promote", "promote age_share 1"),
        Case("promote_again", "promote age_share 1"),
    ),
    "lives": (
        lay_down,
        run("ingest"),
        run("sync"),
        Case("rename_dry_run", "rename age_share share_of_age --dry-run"),
        Case("rename", "rename age_share share_of_age"),
        Case("rename_again", "rename age_share share_of_age"),
        _remove_chol_word,
        Case("check_removed", "check"),
        Case("sync_removed", "sync"),
        Case("get_removed", "get patient p0"),
        Case("retire_dry_run", "retire chol_word --dry-run"),
        Case("retire", "retire chol_word"),
        Case("show_retired", "show chol_word"),
        Case("retire_erase", "retire chol_word --erase --yes"),
        Case("retire_again", "retire chol_word --erase --yes"),
    ),
    "ingestion": (
        lay_down,
        Case("preview", "preview visits --rows 2"),
        Case("new", "new fresh --entity-type patient --source visits --dry-run"),
        Case("ingest_dry_run", "ingest --dry-run"),
        Case("ingest", "ingest"),
        Case("ingest_unchanged", "ingest"),
        *SECOND_DAY,
        Case("ingest_drift", "ingest"),
        write("visits-02.csv", visits(2, shift=1)),
        Case("ingest_corrected", "ingest age_share"),
        write("visits-03.csv", RULES_BROKEN),
        Case("ingest_partial", "ingest age_share", code=3),
        Case("ingest_failed", "ingest age_share --full --strict", code=4),
        write("features/bad.py", FAILING),
        Case("ingest_feature_failed", "ingest failing", code=4),
        _commit,
        run("ingest age_share --full", code=3),
        Case("runs", "runs"),
        Case("runs_of_one", "runs --feature stock_2 --last 1"),
        Case("runs_rejected", "runs 4"),
        Case("runs_rejected_alone", "runs 4 --rejected"),
    ),
    "answers": (
        lay_down,
        run("ingest"),
        *SECOND_DAY,
        run("ingest"),
        Case("join", JOIN + "-f age_share,chol_word"),
        Case("join_to_a_file", JOIN + "-f age_share@1 --max-age 30d " + OUTPUT),
        Case("join_dry_run", JOIN + "-f age_share --dry-run"),
        Case("latest", "latest patient -f age_share,word=chol_word --at 2030-01-01T00:00:00Z"),
        Case("dataset_none", "dataset"),
        Case("join_dataset", JOIN + "-f age_share --known --dataset trial " + OUTPUT),
        Case("dataset_list", "dataset"),
        Case("dataset", "dataset trial"),
        Case("dataset_verify", "dataset trial --verify"),
        Case("dataset_rebuild", "dataset trial --rebuild --output {root}/again.csv"),
        Case("lineage_datasets", "lineage age_share"),
        Case("history", "history age_share p0"),
        Case("history_composite", 'history stock_2 {"store":"s,1","product":7}'),
        Case("export", "export stock_2"),
        Case("export_to_a_file", "export age_share --output {root}/all.csv"),
        Case("delete_dry_run", "delete patient p0 --at 2024-06-01 --dry-run"),
        Case("delete", "delete patient p0 --at 2024-06-01"),
        Case("history_deleted", "history age_share p0"),
        Case("delete_erase_dry_run", "delete patient p1 --erase --dry-run"),
        Case("delete_erase", "delete patient p1 --erase --yes", code=3),
        Case("delete_nothing", "delete patient p1 --erase --yes", code=3),
    ),
    "backups": (
        lay_down,
        run("ingest"),
        Case("backup_dry_run", "backup {root}/a.backup --dry-run"),
        Case("backup", "backup {root}/a.backup"),
        Case("backup_again", "backup {root}/a.backup"),
        Case("restore_again", "restore {root}/a.backup"),
        _forget_history,
        Case("restore", "restore {root}/a.backup"),
        *SECOND_DAY,
        run("ingest"),
        Case("restore_dry_run", "restore {root}/a.backup --dry-run"),
        Case("restore_refused", "restore {root}/a.backup", code=2),
    ),
    "serving": (
        lay_down,
        Case("sync_nothing", "sync"),
        run("ingest"),
        Case("sync_dry_run", "sync --dry-run"),
        Case("sync", "sync"),
        Case("sync_full", "sync --full"),
        write("visits-02.csv", "patient_id,visit_at,age,chol\np3,2024-01-02T00:00:00Z,,\n"),
        run("ingest"),
        Case("verify_stale", "verify", code=1),
        Case("sync_incremental", "sync --feature age_share"),
        Case("get", "get patient p0 p3 nobody"),
        Case("serve", "serve --dry-run --port 18473 --workers 2"),
        Case("get_composite", 'get shelf {"store":"s,1","product":7} -f stock_2'),
        run("sync"),
        Case("verify", "verify"),
        _damage_online,
        Case("verify_difference", "verify age_share", code=1),
        Case("verify_fix", "verify --fix"),
    ),
    "watching": (
        lay_down,
        run("ingest"),
        *SECOND_DAY,
        run("ingest"),
        write("visits-03.csv", visits(3, shift=30)),
        run("ingest"),
        Case("stats", "stats age_share"),
        Case("stats_run", "stats age_share --run 1 --last 2"),
        Case("stats_text", "stats chol_word"),
        Case("status", "status", code=1),
        Case("drift_page", "drift"),
        Case("drift", "drift age_share"),
        Case("drift_recompute", "drift age_share --recompute"),
        Case("baseline_dry_run", "baseline age_share --dry-run"),
        Case("baseline", "baseline age_share 2"),
        Case("baseline_window", "baseline age_share --window 30d"),
    ),
    "errors": (
        Case("error_no_project", "list", code=10),
        Case("error_unknown_command", "ingset", code=2, bare=True),
        lay_down,
        Case("error_option", "list --nope", code=2),
        Case("error_unknown_feature", "show age_shar", code=2),
        Case("error_wrong_value", "runs --status nope", code=2),
        Case("error_no_history", "stats age_share", code=2),
        Case("error_locked", "ingest --lock-timeout 0", code=11, beside=_lock),
        Case("error_defect", "list", code=70, beside=_defect),
        write("empty.csv", ""),
        Case("error_source", "join {root}/empty.csv -f age_share --timestamp-column at", code=2),
        run("ingest"),
        Case("error_labels", "join {root}/labels.csv -f age_share --timestamp-column nope", code=2),
        Case("error_version", "promote age_share 9", code=2),
        _newer,
        Case("error_newer_format", "runs", code=13),
        _forget_history,
        edit("featurestore.toml", "[entity_types.patient]", '[online]\nurl = "redis://127.0.0.1:1/0"\n\n[entity_types.patient]'),
        Case("error_store", "get patient p0", code=12),
        edit("featurestore.toml", 'type = "ndjson"', 'type = "nope"'),
        Case("error_configuration", "list", code=2),
    ),
}  # fmt: skip
