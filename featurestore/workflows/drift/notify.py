"""Notifies the project's own command of drift: it gets the verdict as JSON on stdin.

Mail, chat and pagers are that command's business. If it fails, neither the run nor the exit code changes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from featurestore import times
from featurestore.config import Project
from featurestore.errors import os_reason
from featurestore.model import FeatureRun, Json, Run

TIMEOUT_SECONDS = 30


def notify(project: Project, run: Run) -> list[str]:
    """Runs ``[notify] command`` in the project folder, once for each feature that has drifted in a committed run.

    Returns a warning for each command that failed; never raises.
    """
    if project.notify is None:
        return []
    drifted = [item for item in run.features if item.drift is not None and item.drift.get("detected") is True]
    problems = [(item.name, _run_command(project, project.notify, _document(project, run, item))) for item in drifted]
    return [f"{name}: the notify command {problem}" for name, problem in problems if problem]


def _document(project: Project, run: Run, item: FeatureRun) -> Mapping[str, Json]:
    return {
        "project": project.name,
        "feature": item.name,
        "version": item.version,
        "sha256": item.sha256,
        "run_id": run.run_id,
        "started_at": times.format_instant(run.started_at),
        **(item.drift or {}),
    }


def _run_command(project: Project, command: str, document: Mapping[str, Json]) -> str | None:
    import subprocess

    try:
        done = subprocess.run(  # noqa: S602  # a shell command line, written by the project's owner
            command,
            shell=True,
            cwd=project.root,
            input=json.dumps(document, allow_nan=False) + "\n",
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"did not end within {TIMEOUT_SECONDS} s"
    except (OSError, UnicodeError) as exc:
        return f"can't be run: {os_reason(exc) if isinstance(exc, OSError) else 'it is not text'}"
    # Not what it said: shells and curl quote the command, and a token is often a part of it.
    return None if done.returncode == 0 else f"ended with {done.returncode}; run it by hand to see why"
