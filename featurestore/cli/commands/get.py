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
) -> None:
    """Read what is served online: value, time and version of each feature, for one or more entities.

    A value that is older than the feature's max_age is expired, and is not shown; a value that was never synced is
    missing; null is a value like any other.

    \b
    Examples:
      featurestore get patient 42
      featurestore get patient 42 43 -f age_normalized,risk@1 --json
      featurestore get shelf store=s1,product=7
    """
    from featurestore.render import json, text
    from featurestore.workflows.get import get_by_id

    session: Session = ctx.obj
    names = [name.strip() for item in features or () for name in item.split(",")] or None
    project = session.project()
    with session.progress("asking the online store"):
        result = get_by_id(project, entity_type, ids, names)
    for warning in result.warnings:
        session.warn(warning)
    session.show(lambda: json.get.get_document(result), lambda: text.get.values_table(result))
