"""`FeatureStoreClient`: labels and ids in, frames out, in the library that the labels came in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featurestore.client import options
from featurestore.client.labels import is_pandas
from featurestore.client.online import OnlineReader
from featurestore.client.store import FeatureStore
from featurestore.errors import UsageError
from featurestore.online.format import OnlineValue
from featurestore.point_in_time.entities import EntityId

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl


class OnlineAnswer:
    """What is served of some entities: one row per entity, in the order of the ids, one column per feature."""

    def __init__(self, columns: Mapping[str, Sequence[OnlineValue]]) -> None:
        self._columns = {name: list(values) for name, values in columns.items()}

    def to_dict(self) -> dict[str, list[OnlineValue]]:
        """The columns by name: those of the entity's keys, then the features. A copy."""
        return {name: list(values) for name, values in self._columns.items()}

    def to_polars(self) -> pl.DataFrame:
        """A frame of the same columns."""
        import polars as pl

        return pl.DataFrame(self._columns, strict=False)

    def to_pandas(self) -> pd.DataFrame:
        """A frame of the same columns."""
        import pandas as pd

        return pd.DataFrame(self._columns)

    def __len__(self) -> int:
        return len(next(iter(self._columns.values()), ()))

    def __repr__(self) -> str:
        return f"OnlineAnswer({self._columns!r})"


class FeatureStoreClient:
    """Training sets and online values of one project, for code that has its labels in pandas or Polars.

    ``path`` is the project's folder. Threads may share it. Raises what `FeatureStore` raises.
    """

    def __init__(self, path: str | Path = ".") -> None:
        self._store = FeatureStore(path)
        self._reader: OnlineReader | None = None

    def get_historical_features(
        self,
        entity_df: Any,
        features: Sequence[str],
        entity_column: str | Sequence[str] | None = None,
        timestamp_column: str = "event_timestamp",
        entity_type: str | None = None,
        **how: Any,
    ) -> Any:
        """Joins features to labels, as `FeatureStore.historical_features` does with the same keywords.

        A pandas frame in gives a pandas frame, anything else a Polars frame. ``entity_column`` holds the entity's key;
        by default it is called like the key.

        >>> client.get_historical_features(labels, ["age_normalized"], "patient_id", "diagnosed_at", "patient")
        """
        columns = (entity_column,) if isinstance(entity_column, str) else tuple(entity_column or ())
        joined: Any = self._store.historical_features(
            entity_df, features, timestamp_column=timestamp_column,
            entity_type=entity_type, entity_column=columns, **how,
        )  # fmt: skip
        if not is_pandas(entity_df):
            return joined
        found = joined.to_pandas()
        if len(found) == len(entity_df) and all(name is None for name in entity_df.index.names):
            found.index = entity_df.index  # as the labels have it
        return found

    def get_online_features(
        self,
        entity_type: str,
        entity_ids: Sequence[EntityId],
        features: Sequence[str],
        request: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    ) -> OnlineAnswer:
        """What is served of entities now; None for what is null, missing or expired.

        >>> client.get_online_features("patient", ["001"], ["age_normalized"]).to_dict()
        """
        if request is not None:
            raise UsageError("none of the features is computed from a request", hint="leave request out")
        asked = options.names("features", features)
        found = self._online().values(entity_type, entity_ids, asked)
        keys = self._store.project.entity_types[entity_type].key_names
        ids = [self._online().keys(entity_type, entity) for entity in entity_ids]
        columns: dict[str, list[OnlineValue]] = {key: [each[key] for each in ids] for key in keys}
        return OnlineAnswer(columns | {name: [row[name] for row in found] for name in asked})

    def close(self) -> None:
        """Closes the connection to the online store, where there is one."""
        if self._reader is not None:
            self._reader.close()

    def _online(self) -> OnlineReader:
        if self._reader is None:
            self._reader = self._store.online()
        return self._reader
