"""Documents as responses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

JSON = "application/json"


def json_response(document: Mapping[str, Any], status: int = 200) -> Response:
    """A document as JSON, in one line. Names that are not UTF-8 are written out."""
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Response(text.encode("utf-8", "backslashreplace"), status, media_type=JSON)
