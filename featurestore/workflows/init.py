"""Starts a project: the folders, a featurestore.toml to edit, and what git and formatters must know."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from featurestore.config import FILE
from featurestore.errors import StoreError, UsageError, os_reason
from featurestore.frozen import frozen

if TYPE_CHECKING:
    from featurestore.workflows.init_from import Ask, Proposal, Wishes

PACKAGE = Path(__file__).resolve().parent.parent
DEMO_PARTS = (FILE, "features", "fixtures/heart")

ATTRIBUTES = "features/.versions/** -text linguist-generated\n"
IGNORED = ".featurestore/\n__pycache__/\n"
# A formatter must leave version files alone: their checksums are of every byte.
RUFF = 'extend-exclude = ["features/.versions"]\n'

TEMPLATE = """\
[project]
name = "{name}"

# What features are about, and the columns that tell one from another.
# [entity_types.user]
# keys = {{ user_id = "string" }}              # "string" (byte for byte) or "int"

# Where rows come from: csv, parquet, arrow or ndjson; one file, or a pattern. Or sqlite or duckdb, with a table = "…".
# [sources.events]
# type = "csv"
# path = "data/events-*.csv"
# event_time = "event_at"                     # when a row was true
# updated_at = "updated_at"                   # which of two rows about the same moment is right
# known_at = "loaded_at"                      # when a row was known, for join --known
# timezone = "UTC"                            # of times without a zone
# [sources.events.columns]                    # types and rules; a row that breaks one is set aside
# amount = {{ type = "float", min = 0 }}
"""

EXAMPLE = '''\
"""Features: decorated functions. Every .py file in this folder is searched for them."""

# import polars as pl
#
# from featurestore import feature
#
#
# @feature(entity_type="user", data_type="float", description="What the user spent, in this event", tags=["spend"])
# def amount() -> pl.Expr:
#     return pl.col("amount")
'''


@frozen
class InitResult:
    """The files that were written, and those that existed and were left alone (paths below the root)."""

    root: Path
    name: str
    demo: bool
    created: tuple[str, ...]
    existing: tuple[str, ...]
    proposal: Proposal | None = None


def init(
    folder: Path,
    *,
    name: str | None = None,
    demo: bool = False,
    dry_run: bool = False,
    data: str | Path | None = None,
    wishes: Wishes | None = None,
    ask: Ask | None = None,
) -> InitResult:
    """Creates a project in a folder. Existing files are never overwritten; run twice, nothing changes.

    With ``data`` (a file, a folder or the url of a server) the project reads that: see `init_from.propose`, which takes
    ``wishes`` and ``ask``. Raises UsageError where the demo or the data would mix with another project.
    """
    root = folder.absolute()
    if root.exists() and not root.is_dir():
        raise UsageError(f"{folder} is a file", hint="name a folder")
    name = name or _name_of(root)
    files: dict[str, str | Path] = {FILE: TEMPLATE.format(name=name), "features/examples.py": EXAMPLE}
    proposal: Proposal | None = None
    if demo:
        files = _demo_files()
    elif data is not None:
        from featurestore.workflows.init_from import Wishes as NoWishes  # loads Polars
        from featurestore.workflows.init_from import propose

        if (root / FILE).exists():
            hint = "add the source by hand: featurestore preview FILE shows its settings"
            raise UsageError(f"{folder} is a project already", hint=hint)
        proposal = propose(root, name, data, wishes or NoWishes(), ask)
        files = {FILE: proposal.settings, f"features/{proposal.source}.py": proposal.features}
    if demo and _is_other_project(root):
        raise UsageError(f"{folder} is a project already", hint="create the demo in a new folder: init --demo DIR")
    files |= {".gitattributes": ATTRIBUTES, ".gitignore": IGNORED}
    if not (root / "pyproject.toml").exists():
        files["ruff.toml"] = RUFF
    new = {path: content for path, content in files.items() if not (root / path).exists()}
    if (root / FILE).exists():  # a project already: it does not need the example
        new.pop("features/examples.py", None)
    if not dry_run:
        _write(root, new)
    existing = tuple(sorted(path for path in files if path not in new and (root / path).exists()))
    return InitResult(root, _declared_name(root, files[FILE]) or name, demo, tuple(sorted(new)), existing, proposal)


def demo_source() -> Path:
    """The example project: inside an installed wheel, or the top level of a checkout."""
    packaged = PACKAGE / "_demo"
    return packaged if packaged.is_dir() else PACKAGE.parent


def _demo_files() -> dict[str, str | Path]:
    source = demo_source()
    files: dict[str, str | Path] = {}
    for part in DEMO_PARTS:
        start = source / part
        for path in [start] if start.is_file() else sorted(start.rglob("*")):
            relative = path.relative_to(source)
            if path.is_file() and not any(item.startswith(".") or item == "__pycache__" for item in relative.parts):
                files[relative.as_posix()] = path
    if FILE not in files:
        raise StoreError(
            "the example project is missing from this installation", where=str(source), hint="install again"
        )
    return files


def _is_other_project(root: Path) -> bool:
    path = root / FILE
    return path.exists() and path.read_bytes() != (demo_source() / FILE).read_bytes()


def _declared_name(root: Path, settings: str | Path) -> str | None:
    """The name that the project's settings say: those in the folder, else those that would be written there."""
    from featurestore.toml import parse_toml

    try:
        here = root / FILE
        written = settings if isinstance(settings, Path) else None
        text = here.read_bytes() if here.exists() else written.read_bytes() if written else str(settings).encode()
        name = parse_toml(text)["project"]["name"]
    except (OSError, ValueError, KeyError, TypeError):
        return None  # every other command says what is wrong with the file
    return name if isinstance(name, str) else None


def _write(root: Path, files: dict[str, str | Path]) -> None:
    try:
        for relative, content in files.items():
            path = root / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Path):
                shutil.copyfile(content, path)
            else:
                path.write_text(content, encoding="utf-8")
    except OSError as exc:
        raise StoreError(
            f"can't be written: {os_reason(exc)}", where=str(exc.filename), hint="check its permissions"
        ) from exc


def _name_of(root: Path) -> str:
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", root.name).strip("-")
    return name or "project"
