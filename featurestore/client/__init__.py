"""The Python side: `FeatureStore` for notebooks and jobs, `FeatureStoreClient` for labels in pandas.

What few programs use, or only later, is imported when it is named: the readers of online values, event loops and TLS.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from featurestore.client.feature_store_client import FeatureStoreClient
from featurestore.client.options import FeatureStoreWarning
from featurestore.client.store import FeatureStore

if TYPE_CHECKING:
    from featurestore.client.async_client import AsyncFeatureStoreClient
    from featurestore.client.online import OnlineReader
    from featurestore.point_in_time.entities import EntityId

__all__ = [
    "AsyncFeatureStoreClient", "EntityId", "FeatureStore", "FeatureStoreClient", "FeatureStoreWarning", "OnlineReader",
]  # fmt: skip
_MODULES = {
    "AsyncFeatureStoreClient": "featurestore.client.async_client",
    "EntityId": "featurestore.point_in_time.entities",
    "OnlineReader": "featurestore.client.online",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
