"""``featurestore latest``."""

from __future__ import annotations

from typing import Annotated

import typer

from featurestore import times
from featurestore.cli.options import instant, names, output_table, would_write
from featurestore.cli.session import Session


def command(
    ctx: typer.Context,
    entity_type: Annotated[str, typer.Argument(metavar="ENTITY_TYPE", help="Whose features: patient, for example.")],
    features: Annotated[
        list[str],
        typer.Option(
            "-f",
            "--feature",
            metavar="NAME[,NAME...]",
            help="[NEW=]NAME, NAME@2, NAME@1f2e3d, or a set or model, @NAME; repeatable.",
        ),
    ],
    at: Annotated[str | None, typer.Option(metavar="TS", help="As of this time (default: now).")] = None,
    known: Annotated[bool, typer.Option("--known", help="Only values already learned by that time.")] = False,
    output: Annotated[str | None, typer.Option(metavar="FILE", help="Default: CSV on stdout.")] = None,
    format_: Annotated[
        str | None,
        typer.Option("--format", metavar="FORMAT", help="csv, parquet, arrow or ndjson (default: by FILE's name)."),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="About how much a history may take, e.g. 500MB (default 2GB)."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count the rows, write nothing.")] = False,
) -> None:
    """Write one row per entity as of a time: the values that a join of all entities with that time would give.

    The columns are the entity's keys and the features, the rows are sorted by the keys. An entity has a row if any of
    the features had one about it by then; one that was deleted has none.

    \b
    Examples:
      featurestore latest patient -f age_normalized,risk --output score.parquet
      featurestore latest patient -f @churn --at 2026-01-01T00:00:00Z --known
    """
    from featurestore.errors import plural
    from featurestore.render import json
    from featurestore.workflows.join.question import resolve_features
    from featurestore.workflows.latest import latest

    session: Session = ctx.obj
    project = session.project(memory=memory)
    store = session.offline(project)
    sink = output_table(session, output, format_)
    path = sink.path if sink else None
    given = instant(session, "--at", at)
    with session.progress("reading the features") as progress:
        result = latest(
            project, store, entity_type, resolve_features(project, store, names(features), only=entity_type),
            at=times.now() if given is None else given, known=known, output=sink, dry_run=dry_run,
            progress=progress,
        )  # fmt: skip
    for warning in result.warnings:
        session.warn(warning)
    if session.json or dry_run:
        session.show(lambda: json.joins.latest_document(result, path), lambda: would_write(result.entities, path))
    elif path is not None:
        session.note(f"{plural(result.entities, 'row')} written to {path}")
