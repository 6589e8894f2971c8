"""`AsyncFeatureStoreClient`: the client of a server for programs with an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from featurestore.client import remote
from featurestore.client.feature_store_client import OnlineAnswer, like
from featurestore.point_in_time.entities import EntityId


class AsyncFeatureStoreClient:
    """The methods of `FeatureStoreClient` with a url, for programs with an event loop."""

    def __init__(self, url: str, *, token: str | None = None, timeout: float = 60.0) -> None:
        self._remote = remote.AsyncConnection(remote.Server(url, token, timeout))

    async def get_historical_features(
        self,
        entity_df: Any,
        features: Sequence[str],
        entity_column: str | Sequence[str] | None = None,
        timestamp_column: str = "event_timestamp",
        entity_type: str | None = None,
        **how: Any,
    ) -> Any:
        """As `FeatureStoreClient.get_historical_features`. Frames are packed and unpacked in a thread."""
        columns = (entity_column,) if isinstance(entity_column, str) else tuple(entity_column or ())
        asked = await asyncio.to_thread(
            remote.historical_request, entity_df, features, columns, timestamp_column, entity_type, how
        )
        found = await self._remote.send(asked)
        return like(entity_df, await asyncio.to_thread(remote.historical_frame, found))

    async def get_online_features(
        self,
        entity_type: str,
        entity_ids: Sequence[EntityId],
        features: Sequence[str],
        request: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    ) -> OnlineAnswer:
        """As `FeatureStoreClient.get_online_features`."""
        asked = remote.online_request(entity_type, entity_ids, features, request)
        return OnlineAnswer(remote.online_columns(await self._remote.send(asked)))

    async def close(self) -> None:
        """Closes the connections."""
        await self._remote.close()
