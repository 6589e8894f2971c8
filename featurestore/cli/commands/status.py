"""``featurestore status``."""

from __future__ import annotations

from typing import Annotated

import typer

from featurestore.cli.options import duration
from featurestore.cli.session import Session


def command(
    ctx: typer.Context,
    max_age: Annotated[
        str | None, typer.Option(metavar="DURATION", help="How old is too old, such as 26h (default: nothing is).")
    ] = None,
) -> None:
    """Show what failed, is too old or has drifted, worst first. Exit code 1 if anything has.

    Fresh is the time since the last run that took the feature without a failure, whether or not there was anything new.
    Rows set aside and an online store that is behind are shown and are no problem by themselves.

    \b
    Examples:
      featurestore status
      featurestore status --max-age 26h
      featurestore status --max-age 26h --json
    """
    from featurestore.render import json, text
    from featurestore.workflows.status import project_state

    session: Session = ctx.obj
    oldest = duration("--max-age", max_age)
    project = session.project()
    state = project_state(project, session.offline(project), max_age=oldest)
    for warning in state.warnings:
        session.warn(warning)
    session.show(lambda: json.status.status_document(state), lambda: text.status.status_page(state))
    session.report_findings(f"{item.name} {each}" for item in state.features for each in item.problems)
    session.report_findings(state.problems)
    raise typer.Exit(1 if state.problem_count else 0)
