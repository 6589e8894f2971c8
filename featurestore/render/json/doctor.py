"""The document of ``doctor``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from featurestore.model import Check, Json


def doctor_document(checks: Sequence[Check]) -> dict[str, Json]:
    counts = Counter(check.state for check in checks)
    return {
        "ok": counts["ok"],
        "warn": counts["warn"],
        "fail": counts["fail"],
        "checks": [
            {"area": check.area, "state": check.state, "what": check.what, "hint": check.hint} for check in checks
        ],
    }
