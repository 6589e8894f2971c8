"""The features of the project: ``list``, ``show``, ``plan`` and ``lock``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from featurestore import times
from featurestore.arguments import show_rows
from featurestore.model import Scope
from featurestore.render.lines import locked_lines
from featurestore.render.text.style import DIM, NAME, WARN, facts, line, status
from featurestore.render.text.table import Column, table
from featurestore.render.words import instant, minute, number
from featurestore.workflows.catalogue import Catalogue, Detail, Entry, Filter

if TYPE_CHECKING:
    from featurestore.versioning.folder.versionfile import VersionFile
    from featurestore.workflows.lock import LockResult
    from featurestore.workflows.plan import PlannedFeature, VersionPlan
    from featurestore.workflows.preview import Preview  # imports Polars
    from featurestore.workflows.version_commits import VersionCommit

SHOWN_STATISTICS = ("count", "null_count", "distinct", "mean", "std", "min", "p50", "p95", "max")


def list_table(catalogue: Catalogue, wanted: Filter | None = None) -> RenderableType:
    """A line for each feature; a star beside a version says that the working tree's code is another."""
    if not catalogue.entries and wanted not in (None, Filter()):
        return line("no feature matches; featurestore list shows them all")
    if not catalogue.entries:
        return line(
            "no features" + ("" if catalogue.broken else "; declare one in features/ (see featurestore init --demo)")
        )
    columns = [
        Column("feature", "name"), Column("entity"), Column("type"), Column("version"),
        Column("source", spare=2), Column("last run", spare=3), Column("description", "line", DIM, spare=1),
    ]  # fmt: skip
    parts: list[RenderableType] = [table(columns, map(_entry_cells, catalogue.entries))]
    if any(entry.active and entry.working != entry.active for entry in catalogue.entries):
        parts.append(line("* the code is not that of the active version; see featurestore plan", WARN))
    return Group(*parts)


def feature_page(detail: Detail, commits: Mapping[str, VersionCommit]) -> RenderableType:
    """One feature: what is declared, its versions with who committed them, and its latest statistics."""
    entry, feature = detail.entry, detail.entry.feature
    version = detail.version
    parts: list[RenderableType] = [line(feature.name if version is None else f"{feature.name}@{version.number}", NAME)]
    parts += [line(_which(detail, version), "" if detail.is_active else WARN)] if version is not None else []
    parts += [line(feature.description)] if feature.description else []
    parts += [line(detail.note, WARN)] if detail.note else []
    parts += [Text(""), facts(declared_rows(detail)), *hash_remarks(detail)]
    if detail.files:
        parts.append(_versions(detail, commits))
    if entry.active_since is not None and detail.is_active:
        how = "promoted" if entry.promoted_at is not None else "its first run"
        parts.append(Text(f"active since {instant(entry.active_since)} ({how})", style=DIM))
    if isinstance(detail.statistics, dict):
        statistics = detail.statistics
        rows = [(name.replace("_", " "), number(statistics[name])) for name in SHOWN_STATISTICS if name in statistics]
        brought = "of the values that its last run brought; featurestore stats describes all that are held"
        parts += [Text(""), line(brought, DIM), facts(rows)]
    return Group(*parts)


def _which(detail: Detail, version: VersionFile) -> str:
    """Which version is described, and how it stands to the active one."""
    active = detail.entry.active
    other = "" if active is None else f": that is {detail.entry.feature.name}@{active.number} ({active.short})"
    return f"version {version.number} ({version.sha256[:12]}), " + (
        "the active one" if detail.is_active else f"not the active one{other}"
    )


def hash_remarks(detail: Detail) -> list[RenderableType]:
    """What decides the feature's values and is not part of its hash."""
    limits = [f"its hash is limited: {limit.message} ({limit.place})" for limit in detail.limits]
    observed = [f"its code {item.text}, which is not part of its hash; {item.hint}" for item in detail.observed]
    return [line(text, WARN) for text in (*limits, *observed)]


def plan_table(plan: VersionPlan, previews: Sequence[Preview] | None, *, verbose: bool) -> RenderableType:
    """The changes with their reasons, with ``verbose`` the unchanged features too, and what the changes move."""
    shown = plan.features if verbose else plan.changes
    if not shown:
        nothing = line("no changes: every feature's code is that of its version" if plan.features else "no features")
        return Group(nothing, *_next_ingest(plan))
    rows = [(item.name, status(item.change), _step(item), _reasons(item)) for item in shown]
    columns = [Column("feature", "name", NAME), Column("change"), Column("version"), Column("why", "words")]
    parts: list[RenderableType] = [table(columns, rows)]
    unlocked = [item for item in plan.changes if item.change in ("new", "changed") and item.locked is None]
    if unlocked:
        computed = any(item.ingest is not None for item in unlocked)
        also = "; ingest also computes them" if computed else ""
        parts.append(Text(f"featurestore lock writes these versions{also}", style=DIM))
    parts += _next_ingest(plan)
    for item in shown:
        if item.promoted and item.old is not None and item.locked is not None:
            code = item.locked.number
            what = f"{item.name}@{item.old.number} is promoted while the working tree's code is version {code}"
            parts.append(line(f"{what}; featurestore promote {item.name} {code} makes that the active one", DIM))
    touched = [item for item in shown if item.models]
    parts += (line(f"{item.name} is part of what these models take: {', '.join(item.models)}") for item in touched)
    if previews:
        from featurestore.render.text.previews import preview_page

        parts += map(preview_page, previews)
    return Group(*parts)


def _next_ingest(plan: VersionPlan) -> list[RenderableType]:
    """Which features the next run computes over their whole source; all others by what is new there."""
    whole = [item.name for item in plan.features if item.ingest is not None and item.ingest.whole]
    if not whole:
        return []
    others = any(item.ingest is not None and not item.ingest.whole for item in plan.features)
    rest = ", and the others by what is new" if others else ""
    return [Text(f"the next ingest computes {', '.join(whole)} over the whole source{rest}", style=DIM)]


def lock_lines(locked: LockResult, *, dry_run: bool) -> RenderableType:
    """The version files that were written."""
    if not locked:
        return line("nothing to write: every feature's code has its version file")
    return Group(*map(line, locked_lines(locked, dry_run=dry_run)))


def _entry_cells(entry: Entry) -> tuple[str | Text, ...]:
    feature = entry.feature
    origin = feature.source_name or ("request" if feature.at_request else "–")
    return (
        Text(feature.name, style=NAME if feature.status != "deprecated" else DIM), feature.entity_type.name,
        str(feature.data_type), _active(entry), origin, minute(entry.summary.last_run_at),
        feature.description,
    )  # fmt: skip


def _active(entry: Entry) -> str:
    if entry.active is None:
        return "–"
    return str(entry.active.number) + ("" if entry.working == entry.active else " *")


def declared_rows(detail: Detail) -> list[tuple[str, str | Text]]:
    """What is declared of a feature and found of its code, as labels and texts."""
    entry, feature, closure = detail.entry, detail.entry.feature, detail.closure
    rows: list[tuple[str, str | Text]] = [
        ("declared", f"{feature.place}, {feature.function}(), {'short' if feature.short else 'long'} form"),
        *((label, "retired" if detail.retired and label == "status" else text) for label, text in show_rows(feature)),
        ("scope", scope_text(detail.scope) + ("" if detail.scopes_checked else "; unchecked, by [scopes] check")),
        ("columns", ", ".join(detail.columns) or "–"),
        ("last run", "–" if detail.last_run is None else f"{instant(detail.last_run[1])} {detail.last_run[0]}"),
    ]
    rows += [("not seen", spot) for source in feature.reads for spot in source.blind_spots]
    kept = [(source.name, source.keep) for source in feature.reads if source.keep is not None]
    rows += [("rows kept", f"{name}: for {times.format_duration(keep)}") for name, keep in kept]
    if closure is not None:
        rows += [("helpers", ", ".join(closure.helpers) or "–"), ("packages", ", ".join(closure.third_party) or "–")]
    if detail.taken_by:
        rows.append(("taken by", ", ".join(detail.taken_by)))
    if detail.models:
        rows.append(("models", ", ".join(detail.models)))
    if entry.problem is not None:
        rows.append(("problem", line(f"{entry.problem.message} ({entry.problem.where})", WARN)))
    return rows


def scope_text(scope: Scope | None) -> str:
    """``entity, lookback 30d (lookback="30d" is declared)``."""
    if scope is None:
        return "found by the first run"
    reach = f", lookback {times.format_duration(scope.lookback)}" if scope.lookback else ""
    return f"{scope.kind}{reach} ({scope.reason})"


def _versions(detail: Detail, commits: Mapping[str, VersionCommit]) -> RenderableType:
    entry = detail.entry
    columns = [
        Column("version", "number"), Column("sha256"), Column("written"), Column("committed by", "words"),
        Column("packages", style=DIM, spare=1), Column("commit", style=DIM, spare=2), Column("", "words"),
    ]  # fmt: skip
    rows = []
    for version in detail.files:
        notes = ["active"] if version.sha256 == entry.active_sha256 else []
        notes += ["working tree"] if entry.hashed and entry.hashed.sha256 == version.sha256 else []
        packages = ", ".join(f"{name} {release}" for name, release in version.packages.items())
        rows.append(
            (
                str(version.name.number), version.sha256[:12], instant(version.created), _committed(version, commits),
                packages, version.commit or "", ", ".join(notes),
            )
        )  # fmt: skip
    return table(columns, rows)


def _committed(version: VersionFile, commits: Mapping[str, VersionCommit]) -> str:
    commit = commits.get(version.name.path.name)
    return "" if commit is None else f"{commit.author}, {instant(commit.committed_at)[:10]}, {commit.commit[:12]}"


def _reasons(item: PlannedFeature) -> Text:
    return line("\n".join(item.reasons) or "–", "" if item.reasons else DIM)


def _step(item: PlannedFeature) -> str:
    old = "–" if item.old is None else str(item.old.number)
    if item.change in ("metadata", "removed", "none"):
        return old
    new = item.locked.number if item.locked else item.next_number
    return str(new) if item.old is None else f"{old} → {new}"
