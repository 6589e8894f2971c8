"""Reading histories some entities at a time, in the order of their keys, within about the project's memory."""

from __future__ import annotations

from collections.abc import Sequence

from featurestore.model import StoredVersion
from featurestore.offline.contract import History
from featurestore.offline.partitions import KeyRange, cut_key_ranges

ROW_BYTES = 2_500  # of memory for a row of a partition: while it is read, sorted, joined and written
LEAST_ROWS = 10_000
SAMPLES = 20  # of keys, for each partition


def key_ranges(store: History, versions: Sequence[StoredVersion], memory: int) -> list[KeyRange]:
    """Ranges of keys that together are all entities of these versions, of one entity type, each small enough.

    The entities of a range have so few rows that they may be read at once; an entity is never divided.
    """
    most = max(memory // ROW_BYTES // len(versions), LEAST_ROWS)
    every = most // SAMPLES
    samples = [keys for version in versions for keys in store.sample_keys(version, every)]
    return cut_key_ranges(samples, every, most, most)
