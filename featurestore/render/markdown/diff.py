"""``diff --format markdown``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from featurestore.point_in_time.entities import format_entity
from featurestore.render.distribution import shifts
from featurestore.render.markdown.cells import cell, table
from featurestore.render.unified import unified_diff
from featurestore.render.words import number

if TYPE_CHECKING:
    from featurestore.drift.version_changes import EntityComparison
    from featurestore.model import EntityType
    from featurestore.workflows.diff import CodeDiff, ValueDiff


def diff_page(code: CodeDiff | None, values: ValueDiff | None, entity_type: EntityType | None) -> str:
    """A fenced diff and tables; ends with a line feed."""
    lines = [] if code is None else _code(code)
    if values is not None and values.old is not None and values.new is not None:
        rows = shifts(values.old, values.new, values.shift)
        lines += [*table(("statistic", "old", "new", "shift"), rows, right=("old", "new", "shift")), ""]
    if values is not None and values.entities is not None and entity_type is not None:
        lines += _entities(values.entities, entity_type)
    return "\n".join(lines)


def _code(code: CodeDiff) -> list[str]:
    lines = [f"### `{code.feature}`: {code.old.label} → {code.new.label}", ""]
    lines += [f"- {reason}" for reason in code.reasons] + ([""] if code.reasons else [])
    text = unified_diff(code)
    fence = "`" * max(3, _longest_fence(text) + 1)
    return lines + (
        [f"{fence}diff", text.rstrip("\n"), fence, ""] if text else [f"{code.note or 'The code is the same'}.", ""]
    )


def _entities(entities: EntityComparison, entity_type: EntityType) -> list[str]:
    lines = [f"{entities.changed:,} of {entities.compared:,} entities have a different latest value.", ""]
    if not entities.largest:
        return lines
    head = (entity_type.name, "old", "new", "change")
    rows = [
        (
            cell(format_entity(entity_type, item.keys)), cell(number(item.old)), cell(number(item.new)),
            number(item.change),
        )
        for item in entities.largest
    ]  # fmt: skip
    return [*lines, *table(head, rows, right=head[1:]), ""]


def _longest_fence(text: str) -> int:
    return max((len(run) for run in re.findall(r"`+", text)), default=0)
