"""What a feature brings from its former name: its versions with their numbers, its promotion, and its history.

Everything is copied, and the former name is retired: data sets that were made of it can still be made again, and no
number or value vanishes from the project.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from featurestore import times
from featurestore.config import Project
from featurestore.errors import StoreError
from featurestore.frozen import frozen
from featurestore.model import Feature, FeatureRun, Json, Run, VersionId
from featurestore.runs import CARRIED, RENAME, new_run_id
from featurestore.versioning.folder import files
from featurestore.versioning.folder.files import Retired

if TYPE_CHECKING:
    from featurestore.offline.contract import OfflineStore


@frozen
class CarriedHistory:
    """What a store carried over for one feature: from which name, how many versions, how many rows."""

    feature: str
    former: str
    versions: int
    rows: int

    def __str__(self) -> str:
        counts = f"versions: {self.versions:,}, rows: {self.rows:,}"
        return f"{self.feature}: the history of {self.former} was carried over ({counts})"


def carry_versions(project: Project, features: Iterable[Feature], declared: Iterable[str]) -> list[str]:
    """Copies the version files of former names for features that have none, and retires those names.

    Features that were retired are not any more, since they are declared. A former name that is declared still belongs
    to another feature. Returns the features that got files. The caller holds the project's lock. Raises
    VersionFileError for a damaged file, StoreError.
    """
    folder, names = project.versions, set(declared)
    carried = []
    for feature in features:
        former = feature.renamed_from
        try:
            files.remove_retired(folder, feature.name)
            if former is None or former in names or not files.versions_of(folder, former):
                continue
            if not files.versions_of(folder, feature.name):
                files.copy_versions(folder, former, feature.name)
                carried.append(feature.name)
            if files.read_retired(folder, former) is None:
                files.write_retired(folder, former, Retired(times.now(), feature.name))
        except OSError as exc:
            raise StoreError(f"can't be written: {exc.strerror}", where=str(folder)) from exc
    return carried


def carry_histories(
    store: OfflineStore, features: Iterable[Feature], declared: Iterable[str], commit: str | None
) -> list[CarriedHistory]:
    """Copies the histories of former names into features that have none here, in one run for each.

    The caller holds the project's lock. Raises StoreError.
    """
    names = set(declared)
    pairs = [(item.name, item.renamed_from) for item in features]
    return [
        done
        for new, old in pairs
        if old is not None and old not in names and (done := _carry(store, new, old, commit)) is not None
    ]


def _carry(store: OfflineStore, new: str, old: str, commit: str | None) -> CarriedHistory | None:
    with store.reading():
        stored = store.versions(old)
        if not stored or store.versions(new):
            return None
        last, summary = store.last_committed(old), store.summarize().get(old)
    statistics = {} if summary is None else summary.statistics or {}
    run_id, started, clock, rows = new_run_id(), times.now(), time.monotonic(), 0
    # The active version is logged last and alone, so that it is the active one under the new name too.
    active = next((version for version in stored if version.id == last), stored[-1])
    with store.writing(run_id) as run:
        for version in stored:
            rows += run.carry(version.id, replace(version, id=VersionId(new, version.id.sha256)))
        known: Json = statistics.get(active.id.sha256)
        feature = FeatureRun(
            new, RENAME, "ok", active.number, active.id.sha256, note=f"{CARRIED}{old}",
            statistics=known if isinstance(known, dict) else None,
        )  # fmt: skip
        run.finish(
            Run(
                run_id, started, times.now(), round(time.monotonic() - clock, 6), "ok", (RENAME,),
                os.uname().nodename, commit, (feature,), run.run_seq, run.learned_at,
            )
        )  # fmt: skip
    return CarriedHistory(new, old, len(stored), rows)
