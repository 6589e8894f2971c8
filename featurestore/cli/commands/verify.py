"""``featurestore verify``."""

from __future__ import annotations

from typing import Annotated

import typer

from featurestore.cli.session import Session


def command(
    ctx: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Features (default: all).")] = None,
    fix: Annotated[bool, typer.Option("--fix", help="Mend what is found, then look again.")] = False,
    sample: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Only N entities of each type, at random.")
    ] = None,
) -> None:
    """Compare every online value with the history: serving equals training, or exit code 1.

    missing: the history has a value and the online store has not. stale: online is an older one (featurestore
    sync may be due). different: online is another one, or it is damaged. unexpected: online is one that the
    history does not know. With --fix the exit code is 0 once all is mended.

    \b
    Examples:
      featurestore verify
      featurestore verify age_normalized --sample 1000 --json
      featurestore verify --fix
    """
    from featurestore.online.open import open_online
    from featurestore.render import json, text
    from featurestore.workflows.sync import active_features
    from featurestore.workflows.verify.verify import verify

    session: Session = ctx.obj
    project = session.project()
    offline, online = session.offline(project), open_online(project)
    features = active_features(project, offline, names or ())
    with session.progress("comparing") as tell:
        result = verify(project, offline, online, features, everything=not names, sample=sample, fix=fix, tell=tell)
        left = verify(project, offline, online, features, everything=not names).found if result.fixed else result.found
    for warning in result.fixed.warnings if result.fixed else ():
        session.warn(warning)
    session.show(
        lambda: json.verify.verify_document(result, project),
        lambda: text.verify.verify_page(result, project),
    )
    if result.fixed:
        session.note("all is mended" if not left else f"{left:,} differences are left")
    raise typer.Exit(1 if left else 0)
