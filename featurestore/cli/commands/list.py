"""``featurestore list``."""

from __future__ import annotations

from typing import Annotated

import typer

from featurestore.cli.session import Session
from featurestore.render import json, text
from featurestore.render.lines import problem_lines
from featurestore.workflows.catalogue import Filter, list_features


def command(
    ctx: typer.Context,
    query: Annotated[str | None, typer.Argument(metavar="[QUERY]", help="Part of a name, description or tag.")] = None,
    entity_type: Annotated[str | None, typer.Option(help="Only features of this entity type.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only features with this tag.")] = None,
    status: Annotated[str | None, typer.Option(help="Only experimental, active or deprecated ones.")] = None,
    owner: Annotated[str | None, typer.Option(help="Only this owner's.")] = None,
    source: Annotated[str | None, typer.Option(help="Only features of this source.")] = None,
) -> None:
    """List the features of the working tree. Runs none of your code.

    A star beside a version means that the working tree's code differs from it.

    \b
    Examples:
      featurestore list
      featurestore list risk --tag cardiac
      featurestore list --owner ml-team --json
    """
    session: Session = ctx.obj
    wanted = Filter(query, entity_type, tag, status, owner, source)
    result = list_features(session.project(), wanted)
    for line in result.warnings:
        session.warn(line)
    session.report_reasons(problem_lines(result.broken))
    session.show(lambda: json.features.list_document(result), lambda: text.features.list_table(result, wanted))
