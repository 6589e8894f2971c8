"""Compares two samples and gives the verdict: has the feature drifted, and why.

The verdict names every reason, and no reason is given for what chance explains: the score is above its threshold; the
share of null, NaN or infinite values has moved; there are categories that the reference did not have; values are
outside its range. Row counts and distinct counts are reported but are never a reason.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from featurestore.drift.bins import NotComparableError, by_category
from featurestore.drift.distances import jensen_shannon
from featurestore.drift.methods import Method, method_for
from featurestore.drift.noise import LEVEL, all_in_one, chance, share_by_chance
from featurestore.drift.sample import Sample
from featurestore.drift.verdict import Verdict

if TYPE_CHECKING:
    from featurestore.drift.sample import Facts

LEAST_VALUES = 30
SHARE_LIMIT = 0.05  # Jensen-Shannon distance of (missing, present): from none to 0.7 %, or from 10 to 15 %
RANGE_LEVEL = 0.0001
HUGE = 1e150
CATEGORIES_SHOWN = 10


def measure(
    reference: Sample, current: Sample, *, threshold: float | None = None, reference_run: str | None = None
) -> Verdict:
    """Compares a run's sample with the reference's, by the method that was stored with the reference.

    ``threshold`` is on the scale of the score, None for the method's default. Fewer than `LEAST_VALUES` values on
    either side, or values of a type whose distribution can't be compared, give ``skipped: reason`` and no score.
    """
    before, now = reference.facts, current.facts
    method = method_for(before.method, reference)
    verdict = Verdict(
        method=method.name,
        threshold=method.declared.threshold if threshold is None else threshold,
        reference_run=reference_run,
        n=now.finite,
        reference_n=before.finite,
        rows=now.rows,
        reference_rows=before.rows,
        distinct=now.distinct,
        reference_distinct=before.distinct,
        null_share=_share(now.nulls, now.rows),
        reference_null_share=_share(before.nulls, before.rows),
    )
    reasons = _share_reasons(before, now)
    skipped = _skipped(before, now)
    if not skipped:
        try:
            verdict = _scored(verdict, method, reference, current)
        except NotComparableError as exc:
            skipped = str(exc)
        reasons = _value_reasons(verdict, reference, current) + reasons
        if "new_categories" in reasons:
            verdict = replace(verdict, new_categories=_new_categories(reference, current))
    status = "drifted" if reasons else f"skipped: {skipped}" if skipped else "ok"
    return replace(verdict, status=status, reasons=tuple(reasons))


def first_verdict(current: Sample, *, threshold: float | None = None) -> Verdict:
    """The verdict of the run that becomes the reference. There is nothing to compare it with, so there is no drift."""
    now = current.facts
    method = method_for(now.method, current)
    skipped = _skipped(now, now)
    return Verdict(
        method=method.name,
        threshold=method.declared.threshold if threshold is None else threshold,
        status=f"skipped: {skipped}" if skipped else "ok",
        statistic=None if now.kind == "none" else 1.0 if method.declared.has_p_value else 0.0,
        score=None if now.kind == "none" else 0.0,
        p_value=1.0 if method.declared.has_p_value and now.kind != "none" else None,
        n=now.finite,
        rows=now.rows,
        distinct=now.distinct,
        null_share=_share(now.nulls, now.rows),
    )


def _skipped(before: Facts, now: Facts) -> str | None:
    # Verdicts are stored, and a recomputed one must equal the stored one: don't reword these.
    if before.kind == "none":
        return "no distribution for this type"
    if before.kind != now.kind:
        return f"the reference holds {before.kind} values, this run {now.kind} values"
    if now.finite < LEAST_VALUES:
        return f"too few ({now.finite} of {LEAST_VALUES} values)"
    if before.finite < LEAST_VALUES:
        return f"too few in the reference ({before.finite} of {LEAST_VALUES} values)"
    return None


def _scored(verdict: Verdict, method: Method, reference: Sample, current: Sample) -> Verdict:
    pair = method.pair(*_scaled(reference, current))
    number = method.number(pair)
    if math.isnan(number):
        raise NotComparableError(f"{method.name} has no number for these values")
    score = method.declared.score(number)
    above = score > verdict.threshold
    return replace(
        verdict,
        statistic=number,
        score=score,
        p_value=number if method.declared.has_p_value else None,
        chance=chance(pair, method.distance, reference.facts.seed) if above else None,
    )


def _scaled(reference: Sample, current: Sample) -> tuple[Sample, Sample]:
    """The samples, with numbers near the largest double scaled down together: their range would overflow."""
    if reference.facts.kind != "number":
        return reference, current
    largest = max(float(max(abs(s.values[0]), abs(s.values[-1]))) for s in (reference, current))
    if largest < HUGE:
        return reference, current
    return Sample(reference.values / largest, reference.facts), Sample(current.values / largest, current.facts)


def _value_reasons(verdict: Verdict, reference: Sample, current: Sample) -> list[str]:
    reasons = ["score"] if verdict.chance is not None and verdict.chance <= LEVEL else []
    if reference.facts.kind == "category":
        return reasons + (["new_categories"] if _new_categories(reference, current) else [])
    return reasons + (["range"] if _is_outside_range(reference.facts, current) else [])


def _share_reasons(before: Facts, now: Facts) -> list[str]:
    if before.rows < LEAST_VALUES or now.rows < LEAST_VALUES:
        return []
    counts = {
        "null_share": (before.nulls, now.nulls),
        "nan_share": (before.nans, now.nans),
        "infinite_share": (before.infinities, now.infinities),
    }
    return [name for name, (then, here) in counts.items() if _has_moved(then, before.rows, here, now.rows)]


def _has_moved(then: int, then_rows: int, here: int, here_rows: int) -> bool:
    distance = jensen_shannon(np.array([then, then_rows - then]), np.array([here, here_rows - here]))
    return float(distance) > SHARE_LIMIT and share_by_chance(then, then_rows, here, here_rows) < LEVEL


def _new_categories(reference: Sample, current: Sample) -> tuple[str, ...]:
    """Categories that the reference's whole run did not have and that are too frequent for chance, commonest first."""
    if reference.facts.categories is None:
        return ()
    known = set(reference.facts.categories)
    categories, pair = by_category(reference, current)
    now, both = pair.now, pair.before + pair.now
    new = [
        (-count, str(category))
        for category, count in zip(categories, now.tolist(), strict=True)
        if category not in known
        and all_in_one(count, int(now.sum()), reference.facts.finite) * int((both >= count).sum()) < LEVEL
    ]
    return tuple(category for _, category in sorted(new)[:CATEGORIES_SHOWN])


def _is_outside_range(before: Facts, current: Sample) -> bool:
    """Whether more values are below the least or above the greatest of the reference's run than chance explains."""
    low, high = before.low, before.high
    if low is None or high is None:
        return False
    ends = (int((current.values < low).sum()), int((current.values > high).sum()))
    size = len(current.values)
    return any(end and 2 * all_in_one(end, size, before.finite) < RANGE_LEVEL for end in ends)


def _share(count: int, rows: int) -> float | None:
    return count / rows if rows else None
