"""The pre-commit hooks: the same workflows as ``check --staged`` and ``lock``, without a package installed.

Silent where nothing is wrong, at most ten lines where something is.
"""

from __future__ import annotations

import argparse
import sys

from featurestore.cli.starting import collect_rarely
from featurestore.config import find_root, load_project
from featurestore.errors import FeatureStoreError
from featurestore.render.lines import finding_lines, staging_lines
from featurestore.render.printable import one_line


def run_hook(arguments: list[str]) -> int:
    """Runs ``check`` or ``lock`` and returns the exit code: 1 for findings, or where files were written."""
    parser = argparse.ArgumentParser(prog="featurestore hook")
    parser.add_argument("what", choices=("check", "lock"))
    parser.add_argument("-C", "--project", metavar="DIR", help="the project's folder, where it is not the repository")
    options = parser.parse_args(arguments)
    collect_rarely()
    try:
        project = load_project(find_root(named=options.project))
        if options.what == "check":
            from featurestore.workflows.check import check

            lines = finding_lines(check(project, staged=True))
        else:
            from featurestore.workflows.lock import lock  # and with it the stores, for what an erasure left

            lines = staging_lines(lock(project), project.root)
    except FeatureStoreError as exc:
        lines = [f"{exc}" + (f"; {exc.hint}" if exc.hint else "")]
    for line in lines:
        sys.stderr.write(one_line(line) + "\n")
    return 1 if lines else 0
