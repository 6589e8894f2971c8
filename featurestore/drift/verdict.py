"""The verdict of one comparison, and its JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featurestore.frozen import frozen

if TYPE_CHECKING:
    from featurestore.model import Json


@frozen
class Verdict:
    """Whether a feature has drifted, how far, and compared with which run.

    ``statistic`` is the method's own number, equal to Evidently's. ``score`` is that number mapped to 0 to 1, higher
    meaning more drift; ``threshold`` is on the same scale. ``chance`` is how often pure noise scores as high, computed
    only if the score is above its threshold. ``n`` and ``reference_n`` count the values that can be compared, ``rows``
    and ``reference_rows`` all rows. The values are those of all runs from ``since`` on, where that is named. A rolling
    reference is all runs from ``reference_since`` to ``reference_run``.
    ``status`` is ``ok``, ``drifted``, ``skipped: reason`` or ``error: reason``.
    """

    method: str
    threshold: float
    status: str = "ok"
    statistic: float | None = None
    score: float | None = None
    p_value: float | None = None
    chance: float | None = None
    reasons: tuple[str, ...] = ()
    reference_run: str | None = None
    reference_since: str | None = None
    n: int = 0
    reference_n: int = 0
    rows: int = 0
    reference_rows: int = 0
    distinct: int | None = None
    reference_distinct: int | None = None
    null_share: float | None = None
    reference_null_share: float | None = None
    new_categories: tuple[str, ...] = ()
    since: str | None = None

    @property
    def detected(self) -> bool:
        return bool(self.reasons)

    def json(self) -> dict[str, Json]:
        """The keys of a verdict in ``--json`` and in the store."""
        return {
            "detected": self.detected,
            "status": self.status,
            "score": self.score,
            "statistic": self.statistic,
            "p_value": self.p_value,
            "method": self.method,
            "threshold": self.threshold,
            "chance": self.chance,
            "reasons": list(self.reasons),
            "reference_run": self.reference_run,
            "reference_since": self.reference_since,
            "n": self.n,
            "reference_n": self.reference_n,
            "rows": self.rows,
            "reference_rows": self.reference_rows,
            "distinct": self.distinct,
            "reference_distinct": self.reference_distinct,
            "null_share": self.null_share,
            "reference_null_share": self.reference_null_share,
            "new_categories": list(self.new_categories),
            "since": self.since,
        }
