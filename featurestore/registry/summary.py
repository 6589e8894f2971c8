"""What the stores held at the last commit, in a file that ``list``, ``show`` and ``plan`` read in no time.

``.featurestore/summary.json`` is derived after each commit and may be deleted at any time; the next
commit writes what it touches anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, fields

from featurestore import times
from featurestore.config import Project
from featurestore.frozen import dataclass
from featurestore.model import Json


@dataclass(frozen=True, slots=True)
class FeatureSummary:
    """One feature at the last commit. Instants are microseconds.

    ``active_since`` is the start of the run that made ``active_sha256`` the active version. ``statistics`` and
    ``drift`` are, by version (full SHA-256), those of the last run that wrote values of it; ``online_run_seq`` is
    the run up to which the feature is online.
    """

    active_sha256: str | None = None
    active_since: int | None = None
    last_run: str | None = None
    last_run_at: int | None = None
    last_status: str | None = None
    statistics: Mapping[str, Json] | None = None
    drift: Mapping[str, Json] | None = None
    online_run_seq: int | None = None


def read_summary(project: Project) -> dict[str, FeatureSummary]:
    """By feature name; empty where nothing was ever committed here, or the file can't be used."""
    known = {item.name for item in fields(FeatureSummary)}
    try:
        data = json.loads(project.summary.read_text(encoding="utf-8"))
        return {
            str(name): FeatureSummary(**{fact: value for fact, value in item.items() if fact in known})
            for name, item in data["features"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def update_summary(project: Project, changes: Mapping[str, Mapping[str, Json]]) -> None:
    """Changes some facts of some features; the rest stays. Replaces the file at once."""
    summary = {name: asdict(item) for name, item in read_summary(project).items()}
    for name, facts in changes.items():
        summary[name] = {**summary.get(name, asdict(FeatureSummary())), **facts}
    text = json.dumps({"written_at": times.format_instant(times.now()), "features": summary}, indent=1)
    temporary = project.summary.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(text + "\n", encoding="utf-8")
    temporary.replace(project.summary)
