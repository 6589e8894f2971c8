"""`FeatureStoreClient`: labels and ids in, frames out, in the library that the labels came in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featurestore.client import options
from featurestore.client.labels import is_pandas
from featurestore.client.store import FeatureStore
from featurestore.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

    from featurestore.client import remote
    from featurestore.client.online import OnlineReader
    from featurestore.online.format import OnlineValue
    from featurestore.point_in_time.entities import EntityId


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

    ``path`` is the project's folder; ``url`` in place of it that of a server (``featurestore serve``), with the
    ``token`` that it asks for. ``timeout`` is how many seconds one attempt to ask the server may take. Threads may
    share it. Raises what `FeatureStore` raises, also for a server, and AccessError where that does not let one in.
    """

    def __init__(
        self, path: str | Path = ".", *, url: str | None = None, token: str | None = None, timeout: float = 60.0
    ) -> None:
        if url is None and token is not None:
            raise UsageError("a token is for a server", hint="give its url too")
        self._remote: remote.Connection | None = None
        if url is not None:
            from featurestore.client import remote  # brings TLS and an event loop, which a folder has no use for

            self._remote = remote.Connection(remote.Server(url, token, timeout))
        self._opened: FeatureStore | None = None if self._remote else FeatureStore(path)
        self._reader: OnlineReader | None = None

    @property
    def _store(self) -> FeatureStore:
        assert self._opened is not None  # as there is no server
        return self._opened

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
        if self._remote is not None:
            from featurestore.client import remote

            asked = remote.historical_request(entity_df, features, columns, timestamp_column, entity_type, how)
            return like(entity_df, remote.historical_frame(self._remote.send(asked)))
        joined: Any = self._store.historical_features(
            entity_df, features, timestamp_column=timestamp_column,
            entity_type=entity_type, entity_column=columns, **how,
        )  # fmt: skip
        return like(entity_df, joined)

    def get_online_features(
        self,
        entity_type: str,
        entity_ids: Sequence[EntityId],
        features: Sequence[str],
        request: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    ) -> OnlineAnswer:
        """What is served of entities now; None for what is null, missing or expired.

        ``request`` has the fields that request-time features take: one mapping for all entities, or one for each.

        >>> client.get_online_features("patient", ["001"], ["age_normalized"]).to_dict()
        """
        if self._remote is not None:
            from featurestore.client import remote

            answered = self._remote.send(remote.online_request(entity_type, entity_ids, features, request))
            return OnlineAnswer(remote.online_columns(answered))
        asked = options.names("features", features)
        found = self._online().values(entity_type, entity_ids, asked, request=request)
        keys = self._store.project.entity_types[entity_type].key_names
        ids = [self._online().keys(entity_type, entity) for entity in entity_ids]
        columns: dict[str, list[OnlineValue]] = {key: [each[key] for each in ids] for key in keys}
        return OnlineAnswer(columns | {name: [row[name] for row in found] for name in asked})

    def close(self) -> None:
        """Closes the connections to the online store or the server, where there are any."""
        if self._remote is not None:
            self._remote.close()
        if self._reader is not None:
            self._reader.close()

    def _online(self) -> OnlineReader:
        if self._reader is None:
            self._reader = self._store.online()
        return self._reader


def like(labels: Any, joined: Any) -> Any:
    """A joined table in the library that its labels came in."""
    if not is_pandas(labels):
        return joined
    found = joined.to_pandas()
    if len(found) == len(labels) and all(name is None for name in labels.index.names):
        found.index = labels.index  # as the labels have it
    return found
