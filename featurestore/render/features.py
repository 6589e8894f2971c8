"""How the features of the project look: ``list``, ``show``, ``plan`` and ``lock``.

The JSON half is used without Rich, which costs more than reading a hundred features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from featurestore import times
from featurestore.arguments import list_facts, metadata_of, show_facts, show_rows
from featurestore.model import Json

if TYPE_CHECKING:
    from rich.console import Console

    from featurestore.registry.discovery import BrokenDeclaration
    from featurestore.workflows.catalogue import Catalogue, Detail, Entry
    from featurestore.workflows.plan import LockedVersion, PlannedFeature, VersionPlan
    from featurestore.workflows.preview import Preview


WIDE = 110


def list_json(catalogue: Catalogue) -> dict[str, Json]:
    return {
        "features": [entry_json(entry) for entry in catalogue.entries],
        "problems": [{"name": item.name, **asdict(item.problem)} for item in catalogue.broken],
    }


def entry_json(entry: Entry) -> dict[str, Json]:
    """One feature in the keys of ``list --json``."""
    feature = entry.feature
    return {
        **list_facts(feature),
        "active_version": entry.active.number if entry.active else None,
        "active_sha256": entry.active_sha256,
        "sha256": entry.hashed.sha256 if entry.hashed else None,
        "last_run": entry.summary.last_run,
        "last_run_at": _instant(entry.summary.last_run_at),
        "online": entry.summary.online_run_seq is not None,
    }


def show_json(detail: Detail) -> dict[str, Json]:
    entry, closure = detail.entry, detail.closure
    return {
        **entry_json(entry),
        "function": entry.feature.function,
        "place": entry.feature.place,
        "form": "short" if entry.feature.short else "long",
        "keys": {key.name: key.type for key in entry.feature.entity_type.keys},
        **show_facts(entry.feature),
        "metadata": metadata_of(entry.feature),
        "columns": list(detail.columns),
        "helpers": list(closure.helpers) if closure else [],
        "packages": list(closure.third_party) if closure else [],
        "limits": [{"where": limit.place, "message": limit.message} for limit in closure.limits] if closure else [],
        "versions": [
            {
                "version": version.name.number,
                "sha256": version.sha256,
                "created": _instant(version.created),
                "git_commit": version.commit,
                "active": version.sha256 == entry.active_sha256,
                "packages": dict(version.packages),
            }
            for version in detail.files
        ],
        "promoted_at": _instant(entry.promoted_at),
        "active_since": _instant(entry.active_since),
        "statistics": entry.statistics,
        "drift": entry.drift,
    }


def plan_json(plan: VersionPlan, previews: Sequence[Preview] | None = None) -> dict[str, Json]:
    moved: dict[str, Json] = {}
    if previews is not None:
        from featurestore.render.previews import preview_json

        moved = {item.name: preview_json(item) for item in previews}
    return {
        "features": [
            {
                "name": item.name,
                "change": item.change,
                "old_sha256": item.old_sha256,
                "new_sha256": item.new_sha256,
                "old_version": item.old.number if item.old else None,
                "new_version": item.locked.number if item.locked else item.next_number,
                "locked": item.locked is not None,
                "reasons": list(item.reasons),
                **({} if previews is None else {"stats": moved.get(item.name)}),
            }
            for item in plan.features
        ],
        "problems": [{"name": item.name, **asdict(item.problem)} for item in plan.broken],
    }


def lock_json(locked: Sequence[LockedVersion]) -> dict[str, Json]:
    return {
        "written": [
            {"name": item.name, "version": item.version.number, "sha256_prefix": item.version.short, "what": item.what}
            for item in locked
        ]
    }


def draw_list(console: Console, catalogue: Catalogue) -> None:
    from rich.text import Text

    from featurestore.render.style import DIM, NAME, WARN, instant, table

    if not catalogue.entries:
        console.print(
            "no features" + ("" if catalogue.broken else "; declare one in features/ (see featurestore init --demo)")
        )
        return
    wide = console.width >= WIDE
    columns = ("feature", "entity", "type", "version", *(("source", "last run") if wide else ()), "description")
    grid = table(*columns, right=("version",))
    grid.expand, grid.columns[-1].ratio = True, 1
    grid.columns[-1].no_wrap, grid.columns[-1].overflow = True, "ellipsis"
    for entry in catalogue.entries:
        feature = entry.feature
        more = (feature.source_name or "–", instant(entry.summary.last_run_at)) if wide else ()
        grid.add_row(
            Text(feature.name, style=NAME if feature.status != "deprecated" else DIM),
            feature.entity_type.name,
            str(feature.data_type),
            _version_cell(entry),
            *more,
            Text(feature.description, style=DIM),
        )
    console.print(grid)
    changed = [entry.feature.name for entry in catalogue.entries if entry.active and entry.working != entry.active]
    if changed:
        console.print(
            Text(f"changed since its active version: {', '.join(changed)}; featurestore plan says how", style=WARN)
        )


def draw_show(console: Console, detail: Detail) -> None:
    from rich.text import Text

    from featurestore.render.style import DIM, NAME, WARN, facts, instant, number, table

    entry, feature = detail.entry, detail.entry.feature
    console.print(Text(feature.name, style=NAME))
    if feature.description:
        console.print(Text(feature.description))
    console.print()
    rows: list[tuple[str, str | Text]] = [
        ("declared", f"{feature.place}, {feature.function}(), {'short' if feature.short else 'long'} form"),
        *show_rows(feature),
        ("columns", ", ".join(detail.columns) or "–"),
        ("last run", f"{instant(entry.summary.last_run_at)} {entry.summary.last_run or ''}".strip()),
    ]
    if detail.closure is not None:
        rows += [
            ("helpers", ", ".join(detail.closure.helpers) or "–"),
            ("packages", ", ".join(detail.closure.third_party) or "–"),
        ]
    if entry.problem is not None:
        rows.append(("problem", Text(f"{entry.problem.message} ({entry.problem.where})", style=WARN)))
    console.print(facts(rows))
    for limit in detail.closure.limits if detail.closure else ():
        console.print(Text(f"limit of its hash: {limit.message} ({limit.place})", style=WARN))
    if detail.files:
        grid = table("version", "sha256", "written", "with", "commit", "", right=("version",))
        for version in detail.files:
            notes = ["active" if version.sha256 == entry.active_sha256 else ""]
            notes += ["working tree"] if entry.hashed and entry.hashed.sha256 == version.sha256 else []
            note = ", ".join(word for word in notes if word)
            commit = Text(version.commit or "–", style=DIM)
            packages = Text(", ".join(f"{name} {number}" for name, number in version.packages.items()), style=DIM)
            grid.add_row(
                str(version.name.number), version.sha256[:12], instant(version.created), packages, commit, note
            )
        console.print(grid)
    if entry.active_since is not None:
        how = "by a promotion" if entry.promoted_at is not None else "by its run"
        console.print(Text(f"active since {instant(entry.active_since)}, {how}", style=DIM))
    statistics = entry.statistics
    if isinstance(statistics, dict):
        shown = ("count", "null_count", "distinct", "mean", "std", "min", "p50", "p95", "max")
        known = [(name, statistics[name]) for name in shown if name in statistics]
        console.print(facts([(name.replace("_", " "), number(value)) for name, value in known]))


def draw_plan(console: Console, plan: VersionPlan, previews: Sequence[Preview] | None, *, verbose: bool) -> None:
    from rich.text import Text

    from featurestore.render.style import DIM, NAME, status, table

    shown = plan.features if verbose else plan.changes
    if not shown:
        console.print("no changes: the working tree is what the versions say" if plan.features else "no features")
        return
    grid = table("feature", "change", "version", "why")
    for item in shown:
        why = Text("\n".join(item.reasons) or "–", style="" if item.reasons else DIM)
        grid.add_row(Text(item.name, style=NAME), status(item.change), _step(item), why)
    console.print(grid)
    waiting = [item for item in plan.changes if item.change in ("new", "changed") and item.locked is None]
    if waiting:
        console.print(
            Text(
                "featurestore ingest writes these versions and computes them; featurestore lock only writes", style=DIM
            )
        )
    for moved in previews or ():
        from featurestore.render.previews import draw_preview

        draw_preview(console, moved)


def draw_lock(console: Console, locked: Sequence[LockedVersion], *, dry_run: bool) -> None:
    from rich.text import Text

    if not locked:
        console.print("nothing to write: every feature's code has its version file")
    for item in locked:
        verb = {"written": "wrote", "renumbered": "renumbered", "metadata": "wrote metadata of"}[item.what]
        what = f"{item.name} version {item.version.number} ({item.version.short})"
        console.print(Text(f"{'would have ' if dry_run else ''}{verb} {what}"))


def problem_lines(broken: Sequence[BrokenDeclaration]) -> list[str]:
    """The declarations that can't be used, a line each, for stderr."""
    return [
        f"{item.problem.where or item.name}: {item.problem.message}"
        + (f" ({item.problem.hint})" if item.problem.hint else "")
        for item in broken
    ]


def _version_cell(entry: Entry) -> str:
    if entry.active is None:
        return "–"
    return str(entry.active.number) + ("" if entry.working == entry.active else " *")


def _step(item: PlannedFeature) -> str:
    old = "–" if item.old is None else str(item.old.number)
    if item.change in ("metadata", "removed", "none"):
        return old
    new = item.locked.number if item.locked else item.next_number
    return str(new) if item.old is None else f"{old} → {new}"


def _instant(micros: int | None) -> str | None:
    return None if micros is None else times.format_instant(micros)
