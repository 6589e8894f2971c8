"""What a comparison finds: differences between packed values, and mismatches as they are reported."""

from __future__ import annotations

from typing import Literal

from featurestore.frozen import frozen
from featurestore.model import StoredVersion

Kind = Literal["missing", "stale", "different", "unexpected"]
KINDS: tuple[Kind, ...] = ("missing", "stale", "different", "unexpected")


@frozen
class Difference:
    """One value that is not what the history says.

    ``field`` is the field's name in the store. ``online`` and ``history`` are packed values, None where there is none.
    """

    kind: Kind
    key: str
    field: str
    online: bytes | None
    history: bytes | None


@frozen
class Mismatch:
    """One thing to report: a value of an entity, or (``key`` None) an entry of the store's own tables."""

    kind: Kind
    feature: str | None
    version: StoredVersion | None
    key: str | None
    note: str
    online: bytes | None = None
    history: bytes | None = None
