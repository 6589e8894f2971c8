"""``featurestore check``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from featurestore.cli.session import Session
from featurestore.render import json, text
from featurestore.render.lines import finding_lines
from featurestore.workflows.check import check


def command(
    ctx: typer.Context,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILES]...", help="Only features that these files are part of (default: all)."),
    ] = None,
    fix: Annotated[bool, typer.Option("--fix", help="Write missing version files, settle clashes of numbers.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --fix: say what would be written, write nothing.")
    ] = False,
    staged: Annotated[bool, typer.Option("--staged", help="Check what git would commit.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Find whatever decides values and is not part of a hash, too.")
    ] = False,
) -> None:
    """Check that every feature's code has its version file, and that every version file is intact.

    What decides values and is not part of a hash (files, environment, clock, random numbers) is listed. It is a
    finding with --strict, and always where a module of the project can't be followed.

    Exit code 1 when something is wrong. Reads files only; runs none of your code. Made for pre-commit and CI.

    \b
    Examples:
      featurestore check
      featurestore check --fix
      featurestore check --fix --dry-run
      featurestore check --staged -q
    """
    session: Session = ctx.obj
    result = check(
        session.project(), paths or (), fix=fix, dry_run=dry_run, staged=staged, strict=strict,
        open_offline=session.offline,
    )  # fmt: skip
    session.report_findings(finding_lines(result))
    session.show(lambda: json.checks.check_document(result), lambda: text.checks.check_lines(result))
    raise typer.Exit(1 if result.findings else 0)
