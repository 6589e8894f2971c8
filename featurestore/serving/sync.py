"""The loop of a sync: attempts, until no other writer comes between."""

from __future__ import annotations

from featurestore.errors import StoreError
from featurestore.serving import attempt
from featurestore.serving.request import SyncRequest
from featurestore.serving.totals import Totals

ATTEMPTS = 10


def sync_stores(request: SyncRequest) -> Totals:
    """Writes what the history has learned, moves the watermarks, and switches readers, in that order.

    A sync that fails or is cancelled leaves watermarks and pointers where they were or where they belong. Raises
    StoreError where a store fails, or where other writers come between again and again; CancelledError.
    """
    totals = Totals()
    with request.offline.ready():
        for _ in range(ATTEMPTS):
            if attempt.begin(request, totals).run():
                return totals
    raise StoreError("other runs keep changing the online store during this sync", hint="try again")


def preview_sync(request: SyncRequest) -> Totals:
    """The totals that `sync_stores` would have; nothing is written."""
    totals = Totals()
    with request.offline.ready():
        attempt.preview(request, totals).count()
    return totals
