"""``featurestore verify``."""

from __future__ import annotations

from typing import Annotated

import typer

from featurestore.cli.session import Session


def command(
    ctx: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Features (default: all).")] = None,
    fix: Annotated[bool, typer.Option("--fix", help="Fix what is found, then compare again.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --fix: say what would be fixed, write nothing.")
    ] = False,
    sample: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Compare only N entities of each type, at random.")
    ] = None,
    requests: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Compare what a log of get or serve says was answered."),
    ] = None,
) -> None:
    """Compare every online value with the history. Exit code 1 if any differs.

    missing: the history has a value, and the online store has none. stale: the online value is an older one (run
    featurestore sync). different: the online value is another one, or is damaged. unexpected: the history has no such
    value. With --fix the exit code is 0 once everything is fixed. A feature whose version files are damaged is named
    and not compared: exit code 1 too.

    With --requests the answers in a log are asked again of the history, as of the time they were given, and compared
    bit by bit. Those whose online store had not yet been brought up to date by then are counted as behind.

    \b
    Examples:
      featurestore verify
      featurestore verify age_normalized --sample 1000 --json
      featurestore verify --fix
      featurestore verify --fix --dry-run
      featurestore verify --requests requests.jsonl
    """
    from pathlib import Path

    from featurestore.errors import UsageError, plural
    from featurestore.progress import Progress
    from featurestore.render import json, text
    from featurestore.render.lines import replay_line
    from featurestore.workflows.verify.verify import verify_project

    session: Session = ctx.obj
    project = session.project()
    if requests is not None:
        if names or fix or dry_run or sample is not None:
            raise UsageError("--requests compares a whole log, and nothing else", hint="leave out the others")
        from featurestore.workflows.verify.replay import replay_requests

        with session.progress("replaying") as report:
            replay = replay_requests(project, session.offline(project), Path(requests), Progress(report))
        session.show(lambda: json.verify.replay_document(replay), lambda: text.verify.replay_page(replay))
        session.report_findings([replay_line(replay)] if replay.exit_code else ())
        raise typer.Exit(replay.exit_code)
    with session.progress("comparing") as report:
        result = verify_project(
            project, names or (), sample=sample, fix=fix, dry_run=dry_run, progress=Progress(report),
            open_offline=session.offline,
        )  # fmt: skip
    for line in result.unchecked:
        session.report(f"error: {line}")
    for warning in result.fixed.warnings if result.fixed else ():
        session.warn(warning)
    session.show(
        lambda: json.verify.verify_document(result, project),
        lambda: text.verify.verify_page(result, project),
    )
    if result.left:
        counts = ", ".join(f"{number:,} {kind}" for kind, number in result.counts.items() if number)
        session.report_findings([f"the online store and the history differ: {counts}"])
    if result.fixed:
        session.note(f"{result.left:,} differences are left" if result.left else "everything is fixed")
    elif fix and dry_run:
        fixable = f"would fix {plural(result.found, 'difference')}" if result.found else "nothing to fix"
        session.note(f"{fixable}; nothing was written")
    raise typer.Exit(result.exit_code)
