"""The Python side: `FeatureStore` for notebooks and jobs, `FeatureStoreClient` for labels in pandas."""

from featurestore.client.feature_store_client import AsyncFeatureStoreClient, FeatureStoreClient
from featurestore.client.online import OnlineReader
from featurestore.client.options import FeatureStoreWarning
from featurestore.client.store import FeatureStore
from featurestore.point_in_time.entities import EntityId

__all__ = [
    "AsyncFeatureStoreClient", "EntityId", "FeatureStore", "FeatureStoreClient", "FeatureStoreWarning", "OnlineReader",
]  # fmt: skip
