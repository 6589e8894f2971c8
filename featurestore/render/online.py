"""How the online store's answers look: ``get``, ``sync``, ``verify`` and ``delete``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rich.text import Text

from featurestore import times
from featurestore.errors import StoreError
from featurestore.model import Json
from featurestore.online import format as layout
from featurestore.point_in_time.entities import entity_json, format_entity
from featurestore.render.style import DIM, NAME, WARN, instant, number, plural, table
from featurestore.tables.values import json_value

if TYPE_CHECKING:
    from rich.console import Console

    from featurestore.config import Project
    from featurestore.serving.decoding import ServedValue
    from featurestore.workflows.delete import DeleteResult
    from featurestore.workflows.get import GetResult
    from featurestore.workflows.sync import SyncResult
    from featurestore.workflows.verify.differences import Mismatch
    from featurestore.workflows.verify.verify import VerifyResult


def get_json(result: GetResult) -> dict[str, Json]:
    """The document of ``get --json``."""
    entities: list[Json] = [
        {
            "entity_id": dict(keys) if isinstance(keys := entity_json(result.entity_type, item.keys), dict) else keys,
            "features": {served.name: served_json(served) for served in item.features},
        }
        for item in result.entities
    ]
    return {"entity_type": result.entity_type.name, "entities": entities}


def served_json(served: ServedValue) -> dict[str, Json]:
    """One value as it is served."""
    return {
        "value": json_value(served.value),
        "computed_at": None if served.computed_at is None else times.format_instant(served.computed_at),
        "version": served.version,
        "sha256": served.sha256,
        "status": served.status,
    }


def draw_get(console: Console, result: GetResult) -> None:
    """A line for each value, entity by entity."""
    if not any(item.features for item in result.entities):
        console.print(f"nothing of {result.entity_type.name} is online yet; featurestore sync brings it there")
        return
    grid = table(result.entity_type.name, "feature", "value", "computed at", "version", "", right=("version",))
    for item in result.entities:
        name = format_entity(result.entity_type, item.keys)
        for served in item.features:
            value = number(json_value(served.value)) if served.status == "ok" else "–"
            note = "" if served.status == "ok" else served.status
            grid.add_row(
                name, Text(served.name, style=NAME), value, instant(served.computed_at), str(served.version),
                Text(note, style=WARN if note == "expired" else DIM),
            )  # fmt: skip
            name = ""
    console.print(grid)


def sync_json(result: SyncResult) -> dict[str, Json]:
    """The document of ``sync --json``."""
    return {
        "mode": result.mode,
        "duration_s": result.duration_s,
        "features": [
            {
                "name": item.name,
                "version": item.version,
                "sha256": item.sha256,
                "entities_written": item.entities_written,
                "watermark": item.watermark,
            }
            for item in result.features
        ],
        "warnings": list(result.warnings),
        "dry_run": result.dry_run,
    }


def draw_sync(console: Console, result: SyncResult) -> None:
    """What was written, feature by feature, and a closing line."""
    grid = table(
        "feature", "version", "entities written", "up to run", right=("version", "entities written", "up to run")
    )
    for item in result.features:
        written = f"{item.entities_written:,}" if item.entities_written else ""
        grid.add_row(Text(item.name, style=NAME), str(item.version), written, str(item.watermark))
    if result.features:
        console.print(grid)
    console.print(Text(("\n" if result.features else "") + closing(result)))


def closing(result: SyncResult) -> str:
    """A sync in one line."""
    if not result.features and result.warnings:
        return "nothing was written"
    if not result.features:
        return "nothing to sync: no feature has a version with a committed run"
    if not result.entities_written:
        return "nothing to do: the online store stands at the history's last run"
    verb = "would write" if result.dry_run else "wrote"
    seconds = "" if result.dry_run else f" in {result.duration_s:.2f} s"
    features = plural(sum(1 for item in result.features if item.entities_written), "feature")
    return f"{verb} {plural(result.entities_written, 'value')} of {features}{seconds} ({result.mode})"


def verify_json(result: VerifyResult, project: Project) -> dict[str, Json]:
    """The document of ``verify --json``."""
    return {
        "checked": result.checked,
        **{str(kind): count for kind, count in result.counts.items()},
        "examples": [_finding_json(item, project) for item in result.examples],
        "fixed": result.fixed is not None,
    }


def draw_verify(console: Console, result: VerifyResult, project: Project) -> None:
    """Counts, and some of what was found."""
    if result.examples:
        grid = table("", "feature", "entity", "online", "history", "")
        for item in result.examples:
            shown = _finding_json(item, project)
            grid.add_row(
                Text(item.kind, style=WARN), Text(item.feature or "", style=NAME), _text(shown["entity_id"]),
                _told(shown["online"]), _told(shown["history"]), Text(item.note, style=DIM),
            )  # fmt: skip
        console.print(grid)
    if not result.found:
        console.print(Text(f"{plural(result.checked, 'online value')}: every one is what the history says"))
        return
    counts = ", ".join(f"{count:,} {kind}" for kind, count in result.counts.items() if count)
    console.print(Text(f"{plural(result.checked, 'online value')}: {counts}"))
    if result.fixed is None:
        console.print(Text("featurestore sync brings what is new; featurestore verify --fix mends the rest", style=DIM))


def delete_json(result: DeleteResult, *, dry_run: bool) -> dict[str, Json]:
    """The document of ``delete --json``."""
    entity = entity_json(result.entity_type, result.entity)
    return {
        "entity_type": result.entity_type.name,
        "entity_id": dict(entity) if isinstance(entity, dict) else entity,
        "erased": result.erased,
        "at": times.format_instant(result.at),
        "features": [{"name": name, "rows": rows} for name, rows in sorted(result.rows.items())],
        "datasets": list(result.datasets),
        "run_id": result.run_id,
        "dry_run": dry_run,
    }


def draw_delete(console: Console, result: DeleteResult, *, dry_run: bool) -> None:
    """What was deleted, in one line, and what that means."""
    name = f"{result.entity_type.name} {format_entity(result.entity_type, result.entity)}"
    rows, features = sum(result.rows.values()), plural(len(result.rows), "feature")
    if not rows and not result.datasets:
        console.print(Text(f"nothing to do: there is nothing of {name}"))
    elif result.erased:
        verb = "would erase" if dry_run else "erased"
        if rows:
            console.print(Text(f"{verb} {name}: {plural(rows, 'row')} of {features}"))
        if result.datasets:
            labels = f"the labels kept for {plural(len(result.datasets), 'data set')}, which name {name}"
            console.print(Text(f"{verb} {labels}, and can't be made again: {', '.join(result.datasets)}"))
    else:
        verb = "would delete" if dry_run else "deleted"
        console.print(Text(f"{verb} {name} from {times.format_instant(result.at)} on: {features}"))
        if not dry_run:
            console.print(Text("featurestore sync takes its online values away", style=DIM))


def _finding_json(item: Mismatch, project: Project) -> dict[str, Json]:
    return {
        "kind": item.kind,
        "feature": item.feature,
        "version": None if item.version is None else item.version.number,
        "entity_id": _entity_of(item, project),
        "online": _packed_json(item, item.online),
        "history": _packed_json(item, item.history),
        "note": item.note,
    }


def _entity_of(item: Mismatch, project: Project) -> Json:
    """The entity as elsewhere in JSON; the key itself where it is nobody's."""
    if item.key is None:
        return None
    entity_type = project.entity_types.get(item.key.split(":", 3)[2]) if item.key.count(":") >= 3 else None
    if entity_type is None:
        return item.key
    try:
        shown = entity_json(entity_type, layout.entity_parts(entity_type, item.key))
    except StoreError:
        return item.key
    return dict(shown) if isinstance(shown, dict) else shown


def _packed_json(item: Mismatch, packed: bytes | None) -> Json:
    if packed is None:
        return None
    if item.version is None:
        return {"bytes": packed.hex()}
    try:
        found = layout.unpack(item.version.data_type.kind, packed)
    except StoreError:
        return {"bytes": packed.hex()}
    return {
        "value": json_value(found.value),
        "computed_at": times.format_instant(found.computed_at),
        "run_seq": found.run_seq,
        "deleted": found.op == layout.TOMBSTONE,
    }


def _told(shown: Json) -> str:
    """A packed value in a cell."""
    if not isinstance(shown, dict):
        return "–"
    if "bytes" in shown:
        return f"damaged: {shown['bytes']}"
    value = "deleted" if shown["deleted"] else "null" if shown["value"] is None else number(shown["value"])
    return f"{value} ({shown['computed_at']}, run {shown['run_seq']})"


def _text(shown: Json) -> str:
    return "" if shown is None else shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False)
