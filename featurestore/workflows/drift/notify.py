"""Tells the project's own command of drift: the verdict as JSON on its stdin, and nothing else.

Mail, chat and pagers are that command's business. What it does changes neither the run nor its exit code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from featurestore import times
from featurestore.config import Project
from featurestore.model import FeatureRun, Json, Run

TIMEOUT_SECONDS = 30


def notify(project: Project, run: Run) -> list[str]:
    """Runs ``[notify] command`` once for each feature that a committed run found drifted, in the project folder.

    Gives back what went wrong, as warnings; never raises for it.
    """
    if project.notify is None:
        return []
    drifted = [item for item in run.features if item.drift is not None and item.drift.get("detected") is True]
    problems = [(item.name, _tell(project, project.notify, _document(project, run, item))) for item in drifted]
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


def _tell(project: Project, command: str, document: Mapping[str, Json]) -> str | None:
    import subprocess

    try:
        done = subprocess.run(  # noqa: S602  # the project's own command, as the project's owner wrote it
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
        return f"can't be run: {exc}"
    if done.returncode == 0:
        return None
    lines = done.stderr.strip().splitlines()
    return f"ended with {done.returncode}" + (f": {lines[-1]}" if lines else "")
