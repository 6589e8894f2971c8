"""Evidently's own report of a run against its reference. The only module that imports Evidently.

Evidently is an extra: it brings eighty packages and takes seconds to import.
"""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from featurestore.drift.methods import method_for
from featurestore.errors import FeatureStoreError, StoreError, UsageError, os_reason

if TYPE_CHECKING:
    from pathlib import Path

    from featurestore.drift.sample import Sample


def write(path: Path, feature: str, reference: Sample, current: Sample) -> None:
    """Writes the report of one column as an HTML file, by the method that was stored with the reference.

    Raises UsageError for samples that Evidently can't compare, FeatureStoreError if it is not installed or can't be
    imported, StoreError if the file can't be written.
    """
    if reference.facts.kind == "none" or not len(reference.values) or not len(current.values):
        raise UsageError(f"{feature} has no values that can be compared", hint=f"see featurestore stats {feature}")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    try:
        import pandas as pd
        from evidently import DataDefinition, Dataset, Report
        from evidently.metrics import ValueDrift
        from evidently.presets import ValueStats
    except ImportError as exc:
        raise FeatureStoreError(
            f"the report needs Evidently, which can't be imported: {exc}",
            hint='pip install "featurestore[report]" (it pins pandas below 3.1, where Evidently breaks)',
        ) from exc
    method = method_for(reference.facts.method, reference)
    numbers = reference.facts.kind == "number" and "number" in method.declared.takes
    definition = DataDefinition(**{"numerical_columns" if numbers else "categorical_columns": [feature]})
    sets = [
        Dataset.from_pandas(pd.DataFrame({feature: _column(sample)}), data_definition=definition)
        for sample in (current, reference)
    ]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            report = Report([ValueDrift(column=feature, method=method.name), ValueStats(column=feature)]).run(*sets)
            page = report.get_html_str(as_iframe=False)
        except (ValueError, TypeError, ArithmeticError, KeyError, IndexError) as exc:
            raise FeatureStoreError(
                f"Evidently can't report on {feature}: {exc}", hint="featurestore drift shows the numbers without it"
            ) from exc
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as exc:
        raise StoreError(f"can't be written: {os_reason(exc)}", where=str(path)) from exc


def _column(sample: Sample) -> list[Any]:
    """The values, with nulls added in the run's proportion of missing values."""
    values, facts = sample.values.to_list(), sample.facts
    missing = round(len(values) * (facts.rows - facts.finite) / facts.finite) if facts.finite else 0
    return [*values, *[None] * missing]
