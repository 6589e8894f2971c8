"""``featurestore doctor``."""

from __future__ import annotations

import typer

from featurestore.cli.session import Session


def command(ctx: typer.Context) -> None:
    """Check configuration, features, stores, git, lock, disk and clock; report what works, what does not, and how to
    fix it.

    Changes nothing. Exit code 1 when a check fails; warnings are exit code 0. With -q only what fails is printed.
    Passwords are never shown, so the output can be pasted into an issue.

    \b
    Examples:
      featurestore doctor
      featurestore doctor --json
    """
    from featurestore.render import json, text
    from featurestore.render.lines import failure_lines
    from featurestore.workflows.doctor import examine

    session: Session = ctx.obj
    with session.progress("looking at the project") as progress:
        checks = examine(session.root(), lock_timeout=session.lock_timeout, progress=progress)
    session.report_findings(failure_lines(checks))
    session.show(lambda: json.doctor.doctor_document(checks), lambda: text.doctor.doctor_block(checks))
    raise typer.Exit(1 if any(check.state == "fail" for check in checks) else 0)
