"""``featurestore show``."""

from __future__ import annotations

from typing import Annotated

import typer

from featurestore.cli.session import Session
from featurestore.render import json, text
from featurestore.workflows.catalogue import show_feature
from featurestore.workflows.version_commits import known_commits


def command(
    ctx: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="NAME[@VERSION]", help="A feature, or one version of it (name@2, name@1f2e3d4c).")
    ],
) -> None:
    """Show one feature: metadata, source and columns, helpers, versions and who committed them, statistics, last run.

    Of a version that is named: what it was made of, from its file. Runs none of your code.

    \b
    Examples:
      featurestore show age_normalized
      featurestore show age_normalized@1
      featurestore show age_normalized --json
    """
    session: Session = ctx.obj
    project = session.project()
    detail = show_feature(project, name)
    commits = known_commits(project, detail.entry.feature.name)
    for line in (*detail.warnings, *commits.warnings):
        session.warn(line)
    session.show(
        lambda: json.features.show_document(detail, commits.by_file),
        lambda: text.features.feature_page(detail, commits.by_file),
    )
