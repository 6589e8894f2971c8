"""The report of an error nobody foresaw: a file that can be filed, without values and without secrets."""

from __future__ import annotations

import platform
import sys
import tempfile
import traceback
from pathlib import Path

from featurestore import __version__, times
from featurestore.cli.session import Session
from featurestore.config import find_root
from featurestore.errors import FeatureStoreError


def write_report(session: Session, exc: Exception) -> Path:
    """Writes the traceback (frames only: an exception's text may hold data) and returns its path."""
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
        folder = find_root(named=session.folder) / ".featurestore" / "logs"
        folder.mkdir(parents=True, exist_ok=True)
    except (FeatureStoreError, OSError):
        return Path(tempfile.mkdtemp(prefix="featurestore-"))
    return folder
