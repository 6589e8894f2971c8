"""Errors as answers: the codes of the command line with a fitting status, and nothing that is not for strangers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from featurestore.errors import FeatureStoreError
from featurestore.model import Json

RETRY_SECONDS = 1
STATUS_BY_CODE: Mapping[str, int] = {
    "usage": 400, "unauthorized": 401, "forbidden": 403, "not_found": 404, "method_not_allowed": 405,
    "not_acceptable": 406, "foreign_store": 409, "too_large": 413, "media_type": 415, "locked": 503, "store": 503,
    "busy": 503, "cancelled": 503, "source": 400, "timeout": 504,
}  # fmt: skip
_PATH = re.compile(r"(?<![\w.:/])/(?:[\w.@%+~-]+/)+[\w.@%+~-]*")


class NotFoundError(FeatureStoreError):
    """There is nothing at that address."""

    code = "not_found"


class NotAcceptableError(FeatureStoreError):
    """None of the formats that the caller accepts can be answered."""

    code = "not_acceptable"


class MediaTypeError(FeatureStoreError):
    """A body is not of a kind that the route reads."""

    code = "media_type"


class TimedOutError(FeatureStoreError):
    """A request took longer than the server gives it."""

    code = "timeout"


def status_of(exc: FeatureStoreError) -> int:
    """The status of an error; 500 for what only whoever runs the server can repair."""
    return STATUS_BY_CODE.get(exc.code, 500)


def error_document(exc: FeatureStoreError, root: Path) -> dict[str, Json]:
    """The body of an error. Labels are called by their name; paths of the server are left out."""
    return {
        "error": {
            "code": exc.code,
            "message": without_paths(_message(exc), root),
            "hint": None if exc.hint is None else without_paths(exc.hint, root),
        }
    }


def _message(exc: FeatureStoreError) -> str:
    """With its place where that is in the labels, which the caller knows."""
    is_of_labels = exc.where is not None and exc.where.startswith("labels")
    return f"{exc.where}: {exc.message}" if is_of_labels else exc.message


def without_paths(text: str, root: Path) -> str:
    """The text with the project's folder as ``.`` and any other path as ``…``."""
    return _PATH.sub("…", text.replace(str(root), "."))


def headers_of(status: int, exc: FeatureStoreError) -> dict[str, str]:
    """What else a status asks for."""
    if status == 503:
        return {"Retry-After": str(RETRY_SECONDS)}
    if status == 401:
        return {"WWW-Authenticate": "Bearer"}
    return {"Connection": "close"} if exc.code in ("too_large", "timeout") else {}
