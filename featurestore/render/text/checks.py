"""What ``check`` fixed, the limits of hashes, and that nothing is wrong. Its findings are lines on stderr.

Plain text: a hook has no use for Rich, which takes 30 ms to import.
"""

from __future__ import annotations

from featurestore.render.lines import locked_lines
from featurestore.render.printable import printable
from featurestore.render.words import plural
from featurestore.workflows.check import CheckResult


def check_lines(result: CheckResult) -> str:
    """The lines of ``check``, of which there may be none."""
    lines = []
    if result.fixed is not None:
        lines += locked_lines(result.fixed, dry_run=result.dry_run)
    found = {(finding.where, finding.message) for finding in result.findings}  # these are said on stderr
    limits = [(item.where, f"the hash of {item.feature} is limited: {item.message}") for item in result.limits]
    lines += [f"{where}: {message}" for where, message in limits if (where, message) not in found]
    lines += [
        f"{item.feature}: {item.message}; {item.hint}"
        for item in result.observations
        if (item.feature, item.message) not in found
    ]
    lines += result.notes
    if not result.findings:
        counts = f"{plural(result.features, 'feature')}, {plural(result.versions, 'version file')}"
        lines.append(f"{counts}: nothing is wrong")
    return "\n".join(map(printable, lines))
