"""The report of an unexpected error: a file to attach to an issue, without values and without secrets."""

from __future__ import annotations

import platform
import sys
import tempfile
import traceback
from pathlib import Path

from featurestore import __version__, times
from featurestore.cli.session import Session
from featurestore.errors import FeatureStoreError
from featurestore.locking import prepare_folder


def write_report(session: Session, exc: BaseException) -> Path:
    """Writes the traceback (frames only: an exception's text may hold data) to a file. Returns its path."""
    stamp = times.format_instant(times.now()).replace(":", "").replace(".", "-")
    path = _folder(session) / f"defect-{stamp}.log"
    frames = "".join(traceback.format_tb(exc.__traceback__))
    lines = (
        f"featurestore {__version__}, Python {platform.python_version()}, {platform.platform()}",
        f"command: {next((word for word in sys.argv[1:] if not word.startswith('-')), '')}",
        frames + f"{type(exc).__module__}.{type(exc).__qualname__}",
    )
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _folder(session: Session) -> Path:
    try:
        folder = prepare_folder(session.root() / ".featurestore") / "logs"
        folder.mkdir(mode=0o700, exist_ok=True)
    except (FeatureStoreError, OSError):
        return Path(tempfile.mkdtemp(prefix="featurestore-"))
    return folder
