"""The event loop that serves: asyncio's, or uvloop's where that is installed."""

from __future__ import annotations

import asyncio
from typing import Any

try:
    from uvloop import Loop
except ImportError:  # it is not there for Windows
    Loop = asyncio.SelectorEventLoop  # type: ignore[assignment, misc]

FAREWELL_SECONDS = 1.0
"""How long a connection with TLS that the server closes is kept for the client's part of the farewell."""


class ServingLoop(Loop):
    """An idle client may read nothing for hours: without a limit of ours each holds up the server's end for 30 s."""

    async def create_server(self, *args: Any, **options: Any) -> Any:
        if options.get("ssl") is not None:
            options.setdefault("ssl_shutdown_timeout", FAREWELL_SECONDS)
        return await super().create_server(*args, **options)
