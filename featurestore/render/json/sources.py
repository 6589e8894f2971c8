"""The document of ``preview``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featurestore.model import Json
from featurestore.render.json.joins import table_rows
from featurestore.render.json.runs import rejected_row

if TYPE_CHECKING:
    from featurestore.workflows.source_preview import SourcePreview


def preview_document(preview: SourcePreview) -> dict[str, Json]:
    """What would be read: dialect (what differs from the default), columns, first rows, rows set aside."""
    source = preview.source
    return {
        "source": source.name if preview.declared else None,
        "type": source.type,
        "path": source.location,
        "dialect": source.dialect.identity,
        "columns": [
            {
                "name": item.name,
                "in_file": item.in_file,
                "type": item.type,
                "from": item.origin,
                "written": item.written,
            }
            for item in preview.columns
        ],
        "rows": table_rows(preview.frame),
        "rows_read": preview.rows_read,
        "whole": preview.whole,
        "rows_rejected": preview.rows_rejected,
        "rejected": [rejected_row(row) for row in preview.rejected],
        "questions": [item.text for item in preview.questions],
        "warnings": list(preview.warnings),
    }
