"""``featurestore doctor``."""

from __future__ import annotations

import typer

from featurestore.cli.session import Session


def command(ctx: typer.Context) -> None:
    """Look at configuration, features, stores, git, lock, disk and clock: what works, what does not, the mend.

    Changes nothing. Exit code 1 where something fails; what is only to be looked at is exit code 0. No password is
    shown, so the answer can be pasted into a mail as it is.

    \b
    Examples:
      featurestore doctor
      featurestore doctor --json
    """
    from featurestore.config import find_root
    from featurestore.render import json, text
    from featurestore.workflows.doctor import examine

    session: Session = ctx.obj
    with session.progress("looking"):
        checks = examine(find_root(named=session.folder), lock_timeout=session.lock_timeout)
    session.show(lambda: json.doctor.doctor_document(checks), lambda: text.doctor.doctor_block(checks))
    raise typer.Exit(1 if any(check.state == "fail" for check in checks) else 0)
