"""``dataset NAME --card``: a data set on one page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from featurestore.errors import plural
from featurestore.render.markdown.cells import cell, table
from featurestore.render.words import duration, instant

if TYPE_CHECKING:
    from featurestore.offline.contract import DataSet
    from featurestore.workflows.datasets.card import Card, CardFeature


def card_page(card: Card) -> str:
    """What the table is, what it is made of, what its values are like, and how to make it again."""
    dataset = card.dataset
    head = ("column", "feature", "entity", "owner", "without a value", "age of values", "max age", "what it is")
    rows = [_row(item, dataset) for item in card.features]
    commit = f", git commit `{dataset.git_commit}`" if dataset.git_commit else ""
    return "\n".join(
        [
            f"# {cell(dataset.name)}",
            "",
            f"{plural(dataset.rows, 'row')}, made {instant(dataset.made_at)} as of run {dataset.run_seq}.",
            "",
            *(f"- {name}: {text}" for name, text in _facts(dataset)),
            "",
            "## Features",
            "",
            *table(head, rows, right=("without a value",)),
            *_splits(dataset),
            "",
            "## Make it again",
            "",
            "```sh",
            f"featurestore dataset {dataset.name} --verify",
            f"featurestore dataset {dataset.name} --rebuild --output {dataset.name}.{dataset.output_form or 'csv'}",
            "```",
            "",
            f"Content `{dataset.content_sha256}`, written by {cell(dataset.writer)}{commit}.",
        ]
    )


def _facts(dataset: DataSet) -> Iterator[tuple[str, str]]:
    stored = "a copy is stored" if dataset.labels_kept else "no copy is stored"
    yield "labels", f"`{cell(dataset.labels_name)}` (`{dataset.labels_sha256[:12]}`, {stored})"
    if dataset.first is not None and dataset.last is not None:
        column = f", by the column `{cell(dataset.timestamp_column)}`"
        yield "times of labels", f"{instant(dataset.first)} to {instant(dataset.last)}{column}"
    for item in dataset.entities:
        whose = f"`{item.role}`, a {item.type}" if item.role else f"`{item.type}`"
        yield f"keys of {whose}", ", ".join(f"`{cell(column)}`" for column in item.columns)
    if dataset.lag:
        yield "lag", f"values as of the label's time less {duration(dataset.lag)}"
    if dataset.known:
        yield "known", "only values that were learned by the label's time"
    if dataset.as_of is not None:
        yield "as of", f"as the store was {instant(dataset.as_of)}"
    if dataset.on_own_event:
        share = f"{dataset.on_own_event:,} of {dataset.rows:,}"
        yield "labels on their own event", f"{share} got a value that is dated at their very time"


def _row(item: CardFeature, dataset: DataSet) -> tuple[str, ...]:
    kept = item.kept
    nulls = "–" if kept.nulls is None or not dataset.rows else f"{kept.nulls / dataset.rows:.1%}"
    ages = "–"
    if kept.least_age is not None and kept.mean_age is not None and kept.greatest_age is not None:
        ages = f"{_about(kept.least_age)} to {_about(kept.greatest_age)}, {_about(kept.mean_age)} on average"
    whose = f"{kept.role} ({item.entity_type})" if kept.role else item.entity_type
    return (
        f"`{cell(kept.column_name)}`", f"`{kept.feature}@{kept.number}` (`{kept.sha256[:12]}`)", whose,
        cell(item.owner) or "–", nulls, ages, duration(kept.max_age) or "–", cell(item.description),
    )  # fmt: skip


def _about(micros: int) -> str:
    """A duration in whole seconds, or in whole hours where it is longer than two days."""
    unit = 3_600_000_000 if micros >= 172_800_000_000 else 1_000_000
    return duration(micros - micros % unit)


def _splits(dataset: DataSet) -> list[str]:
    if not dataset.splits:
        return []
    rows = [
        (f"`{cell(part.name)}`", "the rest" if part.end is None else f"before {instant(part.end)}", f"{part.labels:,}")
        for part in dataset.splits
    ]
    title = f"Splits, in the column `{cell(dataset.split_column or '')}`"
    return ["", f"## {title}", "", *table(("part", "labels", "rows"), rows, right=("rows",))]
