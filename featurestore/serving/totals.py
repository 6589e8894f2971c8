"""What a sync has done, over all its attempts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from featurestore.model import StoredVersion, VersionId
from featurestore.serving.plan import SyncPlan


@dataclass(slots=True)
class Totals:
    """``written`` (values by version) and ``lost`` (why, by feature) add up; the rest is of the last attempt.

    ``versions`` are those that readers are served and that are up to date to ``up_to_run``. ``refused`` are features
    that would step back, each with a sentence; ``unrepaired`` are features whose lost values were not written again.
    """

    written: Counter[VersionId] = field(default_factory=Counter)
    lost: Mapping[str, str] = field(default_factory=dict)
    versions: tuple[StoredVersion, ...] = ()
    up_to_run: int = 0
    refused: Mapping[str, str] = field(default_factory=dict)
    unrepaired: tuple[str, ...] = ()

    def begin_attempt(self, plan: SyncPlan, up_to_run: int, *, repairs: bool) -> None:
        """Takes over what another attempt has planned."""
        self.versions = tuple(task.version for task in plan.tasks if task.role not in ("previous", "bound"))
        self.up_to_run = up_to_run
        self.refused = plan.refused
        self.lost = {**plan.lost, **self.lost} if repairs else plan.lost
        self.unrepaired = () if repairs else tuple(plan.lost)

    @property
    def warnings(self) -> list[str]:
        """A line for each kind of loss, and for each feature whose readers stay on a later promotion."""
        return [*_losses(self.lost, repaired=not self.unrepaired), *self.refused.values()]

    @property
    def reasons(self) -> list[str]:
        """Those that say that something is left undone."""
        return self.warnings if self.unrepaired else [*self.refused.values()]


def _losses(lost: Mapping[str, str], *, repaired: bool) -> Iterator[str]:
    for reason in dict.fromkeys(lost.values()):
        features = [name for name, why in lost.items() if why == reason]
        names = f"{len(features)} features" if len(features) > 1 else features[0]
        if repaired:
            yield f"{reason}; doing a full sync of {names}"
        else:
            options = " ".join(f"--feature {name}" for name in features)
            yield f"{reason}; nothing was written for {names}: run featurestore sync --full {options}"
