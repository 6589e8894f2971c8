"""``featurestore join``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from featurestore.cli.options import duration, instant, names, output_format, table_format
from featurestore.cli.session import Session


def command(
    ctx: typer.Context,
    labels: Annotated[
        str, typer.Argument(metavar="LABELS", help="CSV, Parquet, Arrow or JSON lines; - is stdin, in any of them.")
    ],
    features: Annotated[
        list[str],
        typer.Option(
            "-f", "--feature", metavar="NAME[,NAME...]", help="name, name@2, name@1f2e3d or @set; repeatable."
        ),
    ],
    timestamp_column: Annotated[str, typer.Option(help="The labels' column of times.")],
    entity_type: Annotated[str | None, typer.Option(help="Check that the features are of this type.")] = None,
    entity_column: Annotated[
        list[str] | None, typer.Option(help="The labels' key column; repeats, in the order of the keys.")
    ] = None,
    known: Annotated[bool, typer.Option("--known", help="Only values already learned at the label's time.")] = False,
    as_of: Annotated[str | None, typer.Option(metavar="TS", help="Answer as the store stood then.")] = None,
    max_age: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Null for values older than this, as 36h or 7d.")
    ] = None,
    output: Annotated[str | None, typer.Option(metavar="FILE", help="Default: CSV on stdout.")] = None,
    format_: Annotated[
        str | None,
        typer.Option("--format", metavar="FORMAT", help="The result's: csv, parquet, arrow or ndjson; by FILE's name."),
    ] = None,
    labels_format: Annotated[
        str | None, typer.Option(metavar="FORMAT", help="The labels', where neither name nor first bytes tell it.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(metavar="NAME", help="Keep what it takes to make the result again.")
    ] = None,
    no_keep_labels: Annotated[
        bool, typer.Option("--no-keep-labels", help="With --dataset: keep the labels' hash only, not their copy.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="With --dataset: put it in place of one so named.")
    ] = False,
    batch_rows: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Labels in memory at a time (default: 2000000; fewer for 50 features)."),
    ] = None,
    memory: Annotated[
        str | None, typer.Option(metavar="SIZE", help="About how much a history may take, as 500MB (default 2GB).")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be joined, write nothing.")] = False,
) -> None:
    """Join features to labels: for each label the value that was true at its time.

    The labels keep their rows, order and columns; each feature adds one column. A label from before the first
    value, of an unknown entity, or older than max_age gets null.

    \b
    Examples:
      featurestore join labels.csv -f age_normalized,risk --timestamp-column diagnosed_at
      featurestore join labels.parquet -f risk@1,risk@2 --timestamp-column at --output train.parquet
      featurestore join labels.parquet -f @cardiac_v1 --timestamp-column at --output t.parquet --dataset trial_7
      cat labels.parquet | featurestore join - -f risk --timestamp-column at --format parquet > train.parquet
    """
    import polars as pl

    from featurestore.render import json, text
    from featurestore.workflows.datasets.datasets import check_name
    from featurestore.workflows.feature_sets import expand_sets
    from featurestore.workflows.join.files import Keeping, TableFile, join_table, plan_table
    from featurestore.workflows.join.join import JoinRequest, ResolvedFeature
    from featurestore.workflows.references import resolve

    session: Session = ctx.obj
    project = session.project(memory=memory)
    store = session.offline(project)
    path = None if labels == "-" else Path(labels)
    target = None if output is None or output == "-" else Path(output)
    form = output_format(format_, target, path)
    source = TableFile(path or sys.stdin.buffer, table_format("--labels-format", labels_format))
    if dataset is not None:
        check_name(dataset, kept=not no_keep_labels or path is not None)
    references = resolve(project, store, expand_sets(project, names(features)))
    request = JoinRequest(
        labels=pl.DataFrame(), labels_name="standard input" if path is None else labels,
        features=[ResolvedFeature(item.text, item.version) for item in references],
        timestamp_column=timestamp_column, entity_type=entity_type, entity_columns=tuple(entity_column or ()),
        known=known, as_of=instant(session, "--as-of", as_of), max_age=duration("--max-age", max_age),
    )  # fmt: skip
    if dry_run:
        with session.progress("reading the labels") as tell:
            plan = plan_table(project, store, request, source, batch_rows=batch_rows, tell=tell)
        session.show(lambda: json.joins.plan_document(plan), lambda: text.joins.plan_page(plan))
        return
    # As JSON the rows are part of the document, where they go to no file.
    sink = None if target is None and session.json else TableFile(target or sys.stdout.buffer, form)
    keeping = None if dataset is None else Keeping(dataset, labels=not no_keep_labels, replace=replace)
    with session.progress("reading the labels") as tell:
        done = join_table(project, store, request, source, sink, keeping, batch_rows=batch_rows, tell=tell)
    for warning in (*done.facts.warnings, *(line for item in done.facts.features for line in item.warnings)):
        session.warn(warning)
    if target is not None or session.json:
        session.show(
            lambda: json.joins.join_document(done.facts, target, done.frame, done.dataset),
            lambda: text.joins.join_page(done.facts, target),
        )
    if done.dataset is not None:
        session.note(f"data set {done.dataset.name} is {'as it was kept before' if done.kept_before else 'kept'}")
