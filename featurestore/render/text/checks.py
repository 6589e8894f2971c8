"""What ``check`` fixed and found, the limits of hashes, and that nothing is wrong.

Plain text: a hook has no use for Rich, which takes 30 ms to import.
"""

from __future__ import annotations

from featurestore.errors import plural
from featurestore.render.lines import finding_line, locked_lines
from featurestore.render.printable import one_line
from featurestore.workflows.check import CheckResult


def check_lines(result: CheckResult) -> str:
    """The lines of ``check``, of which there may be none."""
    lines = []
    if result.fixed is not None:
        lines += locked_lines(result.fixed, dry_run=result.dry_run)
    lines += map(finding_line, result.findings)
    found = {(finding.where, finding.message) for finding in result.findings}
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
    return "\n".join(map(one_line, lines))
