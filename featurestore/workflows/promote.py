"""Makes a version the active one, back or forward. Joins, reads and the online store follow at once."""

from __future__ import annotations

from featurestore import times
from featurestore.config import Project
from featurestore.errors import StoreError, UsageError, VersionFileError, os_reason
from featurestore.frozen import frozen
from featurestore.model import StoredVersion
from featurestore.offline.contract import OfflineStore
from featurestore.online.contract import OnlineStore
from featurestore.versioning.folder import files
from featurestore.workflows.erasure.completion import writing_turn
from featurestore.workflows.feature_sets import models_following
from featurestore.workflows.followers import NO_FOLLOWERS, Followers, followers_of
from featurestore.workflows.lives import read_lives
from featurestore.workflows.references import Reference, active_sha256, active_versions, resolve
from featurestore.workflows.request_time import active_file, check_computable
from featurestore.workflows.sync import refuse_retired, sync


@frozen
class PromoteResult:
    """What was active before (None: nothing), what is now, and how many values were written online for it.

    ``changed`` is False if it was promoted already; ``online`` says whether readers were switched. ``models`` are those
    that get values of this version from now on; ``followers`` are the request-time features that are computed from it.
    """

    version: StoredVersion
    before: StoredVersion | None
    changed: bool
    online: bool
    entities_written: int
    warnings: tuple[str, ...]
    models: tuple[str, ...] = ()
    followers: Followers = NO_FOLLOWERS


def promote(
    project: Project, offline: OfflineStore, online: OnlineStore, feature: str, wanted: str, *, dry_run: bool = False
) -> PromoteResult:
    """Promotes ``feature@wanted``. Raises UsageError or VersionFileError for a version that is not there or has no
    history, and for one that a request-time feature can't follow; StoreError where the online store can't follow. Then
    nothing has changed here. Of a request-time feature the inputs must have a history, and FeatureError is raised where
    it can't be computed.

    A damaged record of what was promoted before is replaced, and a link in its place too, not what it leads to.
    The new version's values are online before readers are switched, and readers before the file here is written.
    """
    if "@" in feature:
        raise UsageError(
            "name the feature and the version apart", hint=f"featurestore promote {feature.replace('@', ' ')}"
        )
    with writing_turn(project, offline, dry_run=dry_run):
        (asked,) = resolve(project, offline, [f"{feature}@{wanted}"])
        version, lives = asked.version, read_lives(project)
        if asked.bound is not None:
            check_computable(asked.bound)
        try:
            promoted = files.read_active(project.versions, feature)
        except VersionFileError:
            if not files.is_active_replaceable(project.versions, feature):
                raise
            promoted, active = None, None
        else:
            active = _active(project, offline, feature, asked)
        before = None if active is None else resolve(project, offline, [f"{feature}@{active}"])[0].version
        followers = NO_FOLLOWERS if asked.bound else followers_of(project, offline, lives, version)
        changed = promoted is None or promoted.sha256 != version.id.sha256
        inputs = () if asked.bound is None else asked.bound.inputs
        needed = {item.id.feature for item in inputs} or {feature}
        served = needed <= set(online.table("active"))
        written = 0
        warnings: tuple[str, ...] = ()
        if served and not dry_run:
            refuse_retired(lives, [feature])
            if inputs:  # beside the active versions of its inputs
                result = sync(project, offline, online, active_versions(project, offline, needed), bound=inputs)
            else:
                result = sync(project, offline, online, [version], promote=True)
            written, warnings = result.entities_written, result.warnings
        if changed and not dry_run:
            try:
                files.write_active(project.versions, feature, files.Active(version.id.sha256, times.now()))
            except OSError as exc:
                raise StoreError(f"can't be written: {os_reason(exc)}", where=str(project.versions / feature)) from exc
    moved = before is None or before.id != version.id
    models = models_following(project, feature) if moved else ()
    return PromoteResult(version, before, changed, served, written, warnings, models, followers)


def _active(project: Project, store: OfflineStore, feature: str, asked: Reference) -> str | None:
    """The active version of a feature before the promotion, a request-time one too; None where it has none."""
    if asked.bound is None:
        return active_sha256(project, store, feature)
    try:
        return active_file(project, feature, lambda name: active_sha256(project, store, name)).sha256
    except UsageError:
        return None
