"""What the audit log says of each feature, in a file that ``list``, ``show`` and ``plan`` read in no time.

``.featurestore/summary.json`` is derived from the offline store. It carries the stamp of what it was derived from and a
checksum of itself; one that does not fit, or is damaged or gone, is derived again. So it can't be wrong, only slow.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from featurestore.atomic import write_atomically
from featurestore.frozen import frozen
from featurestore.model import Json
from featurestore.regular import DERIVED, read_own

FORMAT = 5


@frozen
class FeatureSummary:
    """One feature as of the last committed run. Instants are microseconds.

    ``committed_sha256`` is the version of the last run that committed the feature, ``committed_since`` the start of
    the first of the uninterrupted runs that did. ``statistics`` and ``drift`` are, by version (full SHA-256), those
    of the last run that wrote values of it, and ``last_runs`` the id and the start of the last run that committed it.
    ``numbers`` are those that the store's versions had when they first ran, and ``scopes`` are theirs as of the last
    run.
    """

    committed_sha256: str | None = None
    committed_since: int | None = None
    last_run: str | None = None
    last_run_at: int | None = None
    last_status: str | None = None
    statistics: Mapping[str, Json] | None = None
    drift: Mapping[str, Json] | None = None
    numbers: Mapping[str, int] | None = None
    scopes: Mapping[str, Json] | None = None
    last_runs: Mapping[str, Json] | None = None


@frozen
class Summary:
    """The features by name, and what they were derived from.

    ``store`` names the offline store, ``stamp`` its state (`AuditLog.stamp`), ``written_at`` the instant in µs.
    """

    store: str
    stamp: str
    written_at: int
    features: Mapping[str, FeatureSummary]


def read_summary(path: Path) -> Summary | None:
    """The summary as it was written; None where there is none, or it is damaged or another release's."""
    try:
        head, body = read_own(path, DERIVED).split(b"\n", 1)
        stamp = json.loads(head.removesuffix(b",") + b"}")
        if stamp["format"] != FORMAT or stamp["sha256"] != hashlib.sha256(body).hexdigest():
            return None
        features = json.loads(b"{" + body)["features"]
        known = {name: FeatureSummary(**facts) for name, facts in features.items()}
        return Summary(stamp["store"], stamp["stamp"], stamp["written_at"], known)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write_summary(path: Path, summary: Summary) -> None:
    """Replaces the file. Raises OSError."""
    names = [item.name for item in fields(FeatureSummary)]
    features = {name: {fact: getattr(item, fact) for fact in names} for name, item in summary.features.items()}
    body = f'"features": {json.dumps(features, indent=1)}}}\n'.encode()
    head = {
        "format": FORMAT, "store": summary.store, "stamp": summary.stamp, "written_at": summary.written_at,
        "sha256": hashlib.sha256(body).hexdigest(),
    }  # fmt: skip
    # One JSON document. The head is its first line, so that the checksum is of the bytes of all others.
    write_atomically(path, json.dumps(head).removesuffix("}").encode() + b",\n" + body, mode=0o600)
