"""How ``check``, ``promote`` and ``lineage`` look. The JSON half and the lines of a hook need no Rich."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from featurestore.model import Json, Source
from featurestore.workflows.catalogue import Detail
from featurestore.workflows.check import CheckResult

if TYPE_CHECKING:
    from rich.console import Console

    from featurestore.model import StoredVersion
    from featurestore.offline.contract import DataSet
    from featurestore.workflows.promote import PromoteResult

MOST_LINES = 10


def check_json(result: CheckResult) -> dict[str, Json]:
    return {
        "features": result.features,
        "versions": result.versions,
        "findings": [asdict(item) for item in result.findings],
        "limits": [asdict(item) for item in result.limits],
        "fixed": [{"name": item.name, "version": item.version.number, "what": item.what} for item in result.fixed],
    }


def finding_lines(result: CheckResult) -> list[str]:
    """At most ten lines for a hook: a finding and its mend each."""
    lines = [f"{item.where}: {item.message}" + (f"; {item.hint}" if item.hint else "") for item in result.findings]
    if len(lines) > MOST_LINES:
        rest = len(lines) - MOST_LINES + 1
        lines = [*lines[: MOST_LINES - 1], f"and {rest} more; featurestore check --json lists them all"]
    return lines


def draw_check(console: Console, result: CheckResult) -> None:
    from rich.text import Text

    from featurestore.render.style import DIM, WARN, plural

    for item in result.fixed:
        console.print(Text(f"{item.what} {item.name} version {item.version.number}"))
    for limit in result.limits:
        console.print(Text(f"{limit.where}: limit of {limit.feature}'s hash: {limit.message}", style=WARN))
    if not result.findings:
        looked = f"{plural(result.features, 'feature')}, {plural(result.versions, 'version file')}"
        console.print(Text(f"{looked}: nothing is wrong", style=DIM))


def promote_json(result: PromoteResult, *, dry_run: bool) -> dict[str, Json]:
    return {
        "feature": result.version.id.feature,
        "before": None if result.before is None else _version(result.before),
        "after": _version(result.version),
        "changed": result.changed,
        "online": result.online,
        "entities_written": result.entities_written,
        "dry_run": dry_run,
    }


def draw_promote(console: Console, result: PromoteResult, *, dry_run: bool) -> None:
    name, number = result.version.id.feature, result.version.number
    if not result.changed:
        console.print(f"version {number} of {name} is promoted already; nothing changed")
        return
    before = "" if result.before is None else f" (before: version {result.before.number})"
    console.print(f"version {number} of {name} {'would be' if dry_run else 'is'} the active one{before}")
    if result.online and not dry_run:
        console.print(f"online readers follow it; {result.entities_written:,} values were written for them")


def lineage_json(detail: Detail, made: Sequence[DataSet]) -> dict[str, Json]:
    feature, closure = detail.entry.feature, detail.closure
    return {
        "feature": feature.name,
        "source": _source(feature.source),
        "columns": list(detail.columns),
        "helpers": list(closure.helpers) if closure else [],
        "packages": list(closure.third_party) if closure else [],
        "versions": [
            {
                "version": item.name.number,
                "sha256": item.sha256,
                "parent": item.parent,
                "active": item.sha256 == detail.entry.active_sha256,
                "datasets": _made_from(made, feature.name, item.sha256),
            }
            for item in detail.files
        ],
    }


def draw_lineage(console: Console, detail: Detail, made: Sequence[DataSet]) -> None:
    from rich.text import Text
    from rich.tree import Tree

    from featurestore.render.style import DIM, NAME

    feature, closure = detail.entry.feature, detail.closure
    source = feature.source
    shown = (source.name, (f"  {source.type} {source.path}", DIM)) if source else ("none",)
    root = Tree(Text.assemble(("source ", DIM), *shown), guide_style=DIM)
    columns = root.add(Text.assemble(("columns ", DIM), ", ".join(detail.columns) or "not found in the code"))
    helpers = closure.helpers if closure else ()
    above = columns.add(Text.assemble(("helpers ", DIM), ", ".join(helpers))) if helpers else columns
    middle = above.add(Text.assemble(("feature ", DIM), (feature.name, NAME), (f"  {feature.place}", DIM)))
    for version in detail.files:
        notes = "  active" if version.sha256 == detail.entry.active_sha256 else ""
        line = Text.assemble(("version ", DIM), str(version.name.number), (f"  {version.sha256[:12]}{notes}", DIM))
        leaf = middle.add(line)
        for name in _made_from(made, feature.name, version.sha256):
            leaf.add(Text.assemble(("data set ", DIM), name))
    console.print(root)


def _made_from(made: Sequence[DataSet], feature: str, sha256: str) -> list[str]:
    """The names of the data sets that hold a version."""
    return [
        item.name for item in made if any((part.feature, part.sha256) == (feature, sha256) for part in item.features)
    ]


def _source(source: Source | None) -> Json:
    return None if source is None else {"name": source.name, "type": source.type, "path": source.path}


def _version(version: StoredVersion) -> Json:
    return {"version": version.number, "sha256": version.id.sha256}
