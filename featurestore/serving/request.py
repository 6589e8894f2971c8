"""What a sync is asked to do: the same for all its attempts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from featurestore import times
from featurestore.config import Project
from featurestore.frozen import frozen
from featurestore.model import StoredVersion
from featurestore.offline.contract import OfflineStore
from featurestore.online.contract import OnlineStore
from featurestore.progress import SILENT, Progress


@frozen
class SyncSizes:
    """How much of the history is read, and how much is sent, at a time.

    Partitions grow from ``first_rows`` to ``most_rows``: the first is read at once, and while one is sent there is time
    to read the next. Where one ends is found from the keys of one row in ``rows_per_sample``. A batch that is sent has
    ``batch_rows`` entities; 10,000 fit into the cache of a core beside the server.
    """

    first_rows: int = 40_000
    most_rows: int = 2_000_000
    rows_per_sample: int = 40_000
    batch_rows: int = 10_000


DEFAULT_SIZES = SyncSizes()


@frozen
class SyncRequest:
    """The active versions to serve, and how.

    ``full`` compares everything instead of what was learned since the watermarks. ``promote`` serves the versions even
    where that steps back. Without ``repair`` an incremental sync leaves features alone whose values the store has lost.
    ``take_over`` writes into a store that belongs to another history. ``left`` are features that are not served any
    more: readers lose them once everything else is done. ``now`` is the clock, in µs since 1970: what is
    dated later is coming, and readers answer with it when its time comes. ``bound`` are versions that are online too,
    for request-time features.
    """

    project: Project
    offline: OfflineStore
    online: OnlineStore
    versions: Sequence[StoredVersion]
    full: bool = False
    promote: bool = False
    repair: bool = True
    take_over: bool = False
    left: Collection[str] = ()
    now: Callable[[], int] = times.now
    progress: Progress = SILENT
    sizes: SyncSizes = DEFAULT_SIZES
    bound: Sequence[StoredVersion] = ()

    @property
    def repairs(self) -> bool:
        """Whether lost values are written again."""
        return self.repair or self.full
