"""``featurestore join``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from featurestore.cli.options import duration, fields, instant, label_dialect, names, output_table, splits, zone
from featurestore.cli.session import Session


def command(
    ctx: typer.Context,
    labels: Annotated[
        str,
        typer.Argument(metavar="LABELS", help="CSV, Parquet, Arrow or JSON lines; - is stdin."),
    ],
    features: Annotated[
        list[str],
        typer.Option(
            "-f",
            "--feature",
            metavar="NAME[,NAME...]",
            help="[NEW=][ROLE.]NAME, NAME@2, NAME@1f2e3d, or a set or model, @NAME; repeatable.",
        ),
    ],
    timestamp_column: Annotated[str, typer.Option(help="The labels' column of times.")],
    entity: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[ROLE:]TYPE=COLUMN[,COLUMN]",
            help="The labels' columns with the keys of an entity type, or of a role of it; repeats.",
        ),
    ] = None,
    entity_type: Annotated[str | None, typer.Option(help="Check that the features are of this type.")] = None,
    entity_column: Annotated[
        list[str] | None, typer.Option(help="The labels' key column; repeats, in the order of the keys.")
    ] = None,
    known: Annotated[bool, typer.Option("--known", help="Only values already learned by the label's time.")] = False,
    as_of: Annotated[str | None, typer.Option(metavar="TS", help="Answer as the store was then.")] = None,
    max_age: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Null for values older than this, e.g. 36h or 7d.")
    ] = None,
    before: Annotated[
        bool, typer.Option("--before", help="Only what is dated before the label's time: --lag 1us.")
    ] = False,
    lag: Annotated[
        str | None, typer.Option(metavar="DURATION", help="As of the label's time less this, e.g. 1d.")
    ] = None,
    with_times: Annotated[
        bool, typer.Option("--with-times", help="One more column per feature, NAME.at: when its value was true.")
    ] = False,
    times_suffix: Annotated[
        str, typer.Option(metavar="S", help="With --with-times: what these names end with.")
    ] = ".at",
    split: Annotated[
        str | None,
        typer.Option(metavar="NAME=TS[,NAME=TS],NAME", help="A column that divides the labels by their times."),
    ] = None,
    split_column: Annotated[str, typer.Option(metavar="C", help="What that column is called.")] = "split",
    request: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD=COLUMN",
            help="The labels' column that holds a field of a request-time feature, if called otherwise; repeats.",
        ),
    ] = None,
    output: Annotated[str | None, typer.Option(metavar="FILE", help="Default: CSV on stdout.")] = None,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="Of the result: csv, parquet, arrow or ndjson (default: by FILE's name).",
        ),
    ] = None,
    labels_format: Annotated[
        str | None,
        typer.Option(metavar="FORMAT", help="Of the labels, if neither name nor first bytes show it."),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(metavar="NAME", help="Store what it takes to make the result again.")
    ] = None,
    no_keep_labels: Annotated[
        bool, typer.Option("--no-keep-labels", help="With --dataset: store the labels' hash only, not a copy.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="With --dataset: replace an existing one of that name.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail where a label lies beyond a window's last known step.")
    ] = False,
    timezone: Annotated[
        str | None, typer.Option(metavar="ZONE", help="Of the labels' times without one, e.g. Europe/Paris.")
    ] = None,
    delimiter: Annotated[str, typer.Option(metavar="C", help="Between two fields of a label CSV.")] = ",",
    null: Annotated[
        list[str] | None, typer.Option(metavar="WORD", help="A word that means null in the labels, e.g. NA; repeats.")
    ] = None,
    format_of: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=FORMAT", help="How a column's times are written, e.g. at=%d.%m.%Y; repeats."),
    ] = None,
    dialect: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SETTING=VALUE",
            help="How the labels are written, by the settings of sources, e.g. encoding=cp1252, skip_rows=2 or "
            "columns.at.unit=ms; repeats.",
        ),
    ] = None,
    batch_rows: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Labels in memory at a time (default: 2000000; fewer for 50 features)."),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="About how much a history may take, e.g. 500MB (default 2GB)."),
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
      featurestore join trips.csv -f city,driver.rating,rider.rating --timestamp-column at \\
          --entity driver:person=driver_id --entity rider:person=rider_id
      featurestore join payments.csv -f amount_against_habit --timestamp-column at --request amount=total
      featurestore join labels.csv -f risk --timestamp-column at --split train=2024-01-01,test --output t.parquet
      featurestore join labels.parquet -f @cardiac_v1 --timestamp-column at --output t.parquet --dataset trial_7
      cat labels.parquet | featurestore join - -f risk --timestamp-column at --format parquet > train.parquet
    """
    from featurestore.render import json, text
    from featurestore.workflows.datasets.create import NewDataSet
    from featurestore.workflows.join.entities import parse_entity_columns, resolve_entities
    from featurestore.workflows.join.files import join_files
    from featurestore.workflows.join.question import EntityColumns, JoinQuestion, resolve_features
    from featurestore.workflows.table_files import TableFile, parse_format

    session: Session = ctx.obj
    project = session.project(memory=memory)
    store = session.offline(project)
    source = TableFile(
        sys.stdin.buffer if labels == "-" else Path(labels),
        parse_format("--labels-format", labels_format),
        "standard input" if labels == "-" else labels,
        label_dialect(delimiter, null, format_of, dialect),
    )
    sink = output_table(session, output, format_)
    path = sink.path if sink else None
    asked = names(features)
    question = JoinQuestion(
        resolve_features(project, store, asked), timestamp_column,
        EntityColumns(entity_type, tuple(entity_column or ())), known=known,
        as_of=instant(session, "--as-of", as_of), max_age=duration("--max-age", max_age),
        timezone=zone("--timezone", timezone), dialect=source.dialect,
        entities=resolve_entities(project, asked, map(parse_entity_columns, entity or ())),
        lag=(duration("--lag", lag) or 0) + before, times_suffix=times_suffix if with_times else None,
        splits=splits(session, split, split_column), strict=strict, request=fields("--request", request),
    )  # fmt: skip
    new = None if dataset is None else NewDataSet(dataset, store_labels=not no_keep_labels, replace=replace)
    with session.progress("reading the labels") as progress:
        result = join_files(
            project, store, question, source, sink, new,
            dry_run=dry_run, batch_rows=batch_rows, progress=progress,
        )  # fmt: skip
    facts = result.facts
    for warning in facts.all_warnings:
        session.warn(warning)
    if dry_run:
        session.show(lambda: json.joins.plan_document(facts), lambda: text.joins.plan_page(facts))
        return
    if session.json or path is not None:
        session.show(
            lambda: json.joins.join_document(facts, path, result.frame, result.dataset),
            lambda: text.joins.join_page(facts, path),
        )
    if result.dataset is not None:
        session.note(f"data set {dataset} {'was stored before' if result.dataset_existed else 'is stored'}")
