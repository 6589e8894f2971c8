"""``featurestore get``."""

from __future__ import annotations

from typing import Annotated

import typer

from featurestore.cli.session import Session


def command(
    ctx: typer.Context,
    entity_type: Annotated[str, typer.Argument(metavar="ENTITY_TYPE", help="For example patient.")],
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids; a composite one is k1=v1,k2=v2 or JSON.")],
    features: Annotated[
        list[str] | None,
        typer.Option(
            "-f",
            "--feature",
            metavar="NAME[,NAME...]",
            help="Only these; name@2 where that is online, or a set or model, @NAME.",
        ),
    ] = None,
    request: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD=VALUE", help="A field of the request, for features that are computed from it; repeats."
        ),
    ] = None,
    log: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Append what is answered as JSON lines, for verify --requests."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --log: append nothing.")] = False,
) -> None:
    """Read what is served online: value, time and version of each feature, for one or more entities.

    A value that is older than the feature's max_age is expired, and is not shown; a value that was never synced is
    missing; null is a value like any other. A feature that is computed from a request takes its fields from --request,
    and names the inputs that were missing or expired, which are null to it.

    \b
    Examples:
      featurestore get patient 42
      featurestore get patient 42 43 -f age_normalized,risk@1 --json
      featurestore get shelf store=s1,product=7
      featurestore get card 4711 -f amount_against_habit --request amount=12.5 --log requests.jsonl
    """
    from dataclasses import replace
    from pathlib import Path

    from featurestore.cli.options import fields, write_log
    from featurestore.errors import plural
    from featurestore.render import json, text
    from featurestore.workflows.get import get_by_id

    session: Session = ctx.obj
    names = [name.strip() for item in features or () for name in item.split(",")] or None
    project = session.project()
    with session.progress("asking the online store"):
        given = fields("--request", request, "--request amount=12.5")
        result = get_by_id(project, entity_type, ids, names, request=given, with_run=log is not None)
    if log is not None and dry_run:
        session.note(f"would append {plural(len(json.get.log_lines(result)), 'line')} to {log}")
    elif log is not None:
        warning = write_log(project, Path(log), json.get.log_text(json.get.log_lines(result)))
        result = result if warning is None else replace(result, warnings=(*result.warnings, warning))
    for warning in result.warnings:
        session.warn(warning)
    session.show(lambda: json.get.get_document(result), lambda: text.get.values_table(result))
