"""``featurestore serve``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from featurestore.cli.session import Session


def command(
    ctx: typer.Context,
    host: Annotated[str, typer.Option(metavar="H", help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="P", min=0, max=65535, help="The port; 0 is a free one.")] = 8000,
    uds: Annotated[str | None, typer.Option(metavar="PATH", help="Listen at a Unix socket instead.")] = None,
    workers: Annotated[int, typer.Option(metavar="N", min=1, max=256, help="Processes that answer.")] = 1,
    token_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="Who may ask what, by name: see docs/http.md.")
    ] = None,
    request_log: Annotated[
        str | None, typer.Option(metavar="FILE", help="Append what was answered, one document a line.")
    ] = None,
    request_share: Annotated[
        float, typer.Option(metavar="SHARE", min=0.0, max=1.0, help="Of the requests to log, at random.")
    ] = 1.0,
    limits: Annotated[
        list[str] | None,
        typer.Option("--limit", metavar="NAME=VALUE", help="What a worker takes: body, seconds, requests, …"),
    ] = None,
    tls_cert: Annotated[str | None, typer.Option(metavar="FILE", help="Encrypt: the certificate, in PEM.")] = None,
    tls_key: Annotated[str | None, typer.Option(metavar="FILE", help="Its key.")] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Without tokens, serve other machines too: anybody reads everything.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything and say it, serve nothing.")] = False,
) -> None:
    """Serve online and historical features over HTTP, with /docs, /health, /ready and /metrics. Needs the extra serve.

    Without --token-file only this machine is served. SIGTERM ends it once the requests in flight are answered. With -q
    no request is logged on stderr.

    \b
    Examples:
      featurestore serve
      featurestore serve --port 8080 --workers 4 --host 0.0.0.0 --token-file tokens.toml
      featurestore serve --host 0.0.0.0 --token-file tokens.toml --tls-cert cert.pem --tls-key key.pem
      featurestore serve --limit body=5MB --limit seconds=30 --limit requests=64
      featurestore serve --uds /run/featurestore.sock --request-log requests.jsonl --request-share 0.01
      curl -s localhost:8000/v1/online/patient/007?features=age_normalized
    """
    from featurestore.errors import UsageError
    from featurestore.render import json
    from featurestore.serve import run
    from featurestore.serve.settings import Settings, read_limits
    from featurestore.serve.tokens import read_tokens
    from featurestore.workflows.request_logs import note

    session: Session = ctx.obj
    missing = run.missing_packages()
    if missing:
        raise UsageError(f"{missing[0]} is not installed", hint="pip install 'featurestore[serve]'")
    project = session.project()
    tokens = read_tokens(Path(token_file)) if token_file is not None else ()
    tls = run.read_tls(tls_cert, tls_key)
    place = run.Place(host, port, None if uds is None else Path(uds), tls)
    run.check_access(place, tokens=bool(tokens), insecure=insecure)
    if insecure and not tokens:
        session.warn("no token is asked for: whoever can connect reads everything")
    log = None if request_log is None else Path(request_log).absolute()
    settings = Settings(
        project.root, None if token_file is None else Path(token_file).absolute(), log, request_share,
        access_log=not session.quiet, local=run.is_local(place) and not insecure, limits=read_limits(limits or ()),
    )  # fmt: skip
    warning = None if log is None or dry_run else note(project, log)
    if warning is not None:
        session.warn(warning)
    listening, url = run.open_socket(place)

    def show() -> None:
        names = {token.name: sorted(token.scopes) for token in tokens}
        session.show(
            lambda: json.serve.serve_document(url, workers, names, log, dry_run=dry_run),
            lambda: f"{'would serve' if dry_run else 'serving'} {project.name} at {url}",
        )
        sys.stdout.flush()  # whoever started it waits for this line

    try:
        if dry_run:
            show()
        else:
            run.serve(settings, listening, workers, show, tls)
    finally:
        listening.close()
        if place.uds is not None:
            place.uds.unlink(missing_ok=True)
