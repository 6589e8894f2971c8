"""What the bookkeeping of both stores needs of an open connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

Values = Sequence[Any]


class Books(Protocol):
    """An open connection, as far as the ledger needs one. Placeholders are ``$1``, ``$2``, …"""

    def rows(self, query: str, values: Values = ()) -> list[dict[str, Any]]:
        """The answer as one mapping per row."""
        ...

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Values]) -> None: ...
