"""The documents of ``list``, ``show``, ``plan`` and ``lock``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from featurestore import times
from featurestore.arguments import list_facts, metadata_of, show_facts
from featurestore.model import Json, Scope
from featurestore.render.json.instants import instant

if TYPE_CHECKING:
    from featurestore.workflows.catalogue import Catalogue, Detail, Entry
    from featurestore.workflows.lock import LockResult
    from featurestore.workflows.plan import VersionPlan
    from featurestore.workflows.preview import Preview
    from featurestore.workflows.version_commits import VersionCommit


def list_document(catalogue: Catalogue) -> dict[str, Json]:
    return {
        "features": [entry_document(entry) for entry in catalogue.entries],
        "problems": [{"name": item.name, **asdict(item.problem)} for item in catalogue.broken],
    }


def entry_document(entry: Entry) -> dict[str, Json]:
    """One feature in the keys of ``list``."""
    feature = entry.feature
    return {
        **list_facts(feature),
        "sources": list(feature.source_names),
        "active_version": entry.active.number if entry.active else None,
        "active_sha256": entry.active_sha256,
        "sha256": entry.hashed.sha256 if entry.hashed else None,
        "last_run": entry.summary.last_run,
        "last_run_at": instant(entry.summary.last_run_at),
        "online": entry.online,
    }


def show_document(detail: Detail, commits: Mapping[str, VersionCommit]) -> dict[str, Json]:
    """One feature in the keys of ``list`` and all that files say of it; ``committed`` is null until it is."""
    entry, closure = detail.entry, detail.closure
    last_run, last_run_at = detail.last_run or (None, None)
    return {
        **entry_document(entry),
        "last_run": last_run,
        "last_run_at": instant(last_run_at),
        "function": entry.feature.function,
        "place": entry.feature.place,
        "form": "short" if entry.feature.short else "long",
        "keys": {key.name: key.type for key in entry.feature.entity_type.keys},
        **show_facts(entry.feature),
        "scope": {**scope_document(detail.scope), "checked": detail.scopes_checked},
        "metadata": metadata_of(entry.feature),
        "columns": list(detail.columns),
        "helpers": list(closure.helpers) if closure else [],
        "packages": list(closure.third_party) if closure else [],
        "limits": [{"where": limit.place, "message": limit.message, "kind": limit.kind} for limit in detail.limits],
        "observed": [{"kind": item.kind, "what": item.what} for item in detail.observed],
        "versions": [
            {
                "version": version.name.number,
                "sha256": version.sha256,
                "created": instant(version.created),
                "git_commit": version.commit,
                "active": version.sha256 == entry.active_sha256,
                "packages": dict(version.packages),
                "committed": _committed(commits.get(version.name.path.name)),
            }
            for version in detail.files
        ],
        "promoted_at": instant(entry.promoted_at),
        "active_since": instant(entry.active_since),
        "statistics": detail.statistics,
        "drift": detail.drift,
        "named": named_version(detail),
        "declared": detail.note is None,
        "retired": detail.retired,
        "models": list(detail.models),
        "taken_by": list(detail.taken_by),
        "not_seen": [spot for source in entry.feature.reads for spot in source.blind_spots],
        "keep": {
            source.name: times.format_duration(source.keep) for source in entry.feature.reads if source.keep is not None
        },
    }


def named_version(detail: Detail) -> Json:
    """The version that was named, which the document describes; null where it describes the working tree."""
    if detail.version is None:
        return None
    return {"version": detail.version.number, "sha256": detail.version.sha256, "active": detail.is_active}


def _committed(commit: VersionCommit | None) -> Json:
    if commit is None:
        return None
    return {
        "commit": commit.commit, "author": commit.author, "email": commit.email, "at": instant(commit.committed_at),
        "subject": commit.subject,
    }  # fmt: skip


def scope_document(scope: Scope | None) -> dict[str, Json]:
    """A scope; None for that of an expression that no run has built yet."""
    if scope is None:
        return {"kind": None, "lookback": None, "reason": "the first run finds it", "declared": False}
    lookback = None if scope.lookback is None else times.format_duration(scope.lookback)
    return {"kind": scope.kind, "lookback": lookback, "reason": scope.reason, "declared": scope.declared}


def plan_document(plan: VersionPlan, previews: Sequence[Preview] | None = None) -> dict[str, Json]:
    """What would change; with ``previews`` each feature's ``stats`` too, null where nothing moves."""
    moved: dict[str, Json] = {}
    if previews is not None:
        from featurestore.render.json.previews import preview_document

        moved = {item.name: preview_document(item) for item in previews}
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
                "scope": None if item.change == "removed" else scope_document(item.scope),
                "reasons": list(item.reasons),
                "models": list(item.models),
                "ingest": None if item.ingest is None else {"whole": item.ingest.whole, "reason": item.ingest.reason},
                "limits": [
                    {"where": limit.place, "message": limit.message, "kind": limit.kind} for limit in item.limits
                ],
                **({} if previews is None else {"stats": moved.get(item.name)}),
            }
            for item in plan.features
        ],
        "problems": [{"name": item.name, **asdict(item.problem)} for item in (*plan.broken, *plan.left_out)],
    }


def lock_document(locked: LockResult) -> dict[str, Json]:
    return {
        "written": [
            {"name": item.name, "version": item.version.number, "sha256_prefix": item.version.short, "what": item.what}
            for item in locked.versions
        ],
        "settled": list(locked.settled),
    }
