"""``featurestore show``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from featurestore.cli.session import Session
from featurestore.registry.git import GitError
from featurestore.render import json, text
from featurestore.workflows.catalogue import show_feature
from featurestore.workflows.version_commits import VersionCommit, version_commits


def command(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A feature of the working tree.")],
) -> None:
    """Show one feature: metadata, source and columns, helpers, versions and who committed them, statistics, last run.

    Runs none of your code.

    \b
    Examples:
      featurestore show age_normalized
      featurestore show age_normalized --json
    """
    session: Session = ctx.obj
    project = session.project()
    detail = show_feature(project, name)
    for line in detail.warnings:
        session.warn(line)
    commits: Mapping[str, VersionCommit] = {}
    try:
        commits = version_commits(project, name)
    except GitError as exc:
        session.warn(f"{exc}" + (f"; {exc.hint}" if exc.hint else ""))
    session.show(
        lambda: json.features.show_document(detail, commits), lambda: text.features.feature_page(detail, commits)
    )
