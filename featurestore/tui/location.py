"""Where one is: a place, and what is looked at there. Plain values, so that going back is putting one back."""

from __future__ import annotations

from typing import Literal

from featurestore.frozen import frozen

PlaceName = Literal["features", "feature", "diff", "drift", "runs"]
PLACES: dict[PlaceName, str] = {
    "features": "Features", "feature": "Feature", "diff": "Diff", "drift": "Drift", "runs": "Runs",
}  # fmt: skip


@frozen
class Location:
    """A place with what is open in it.

    ``feature`` is a name; ``old`` and ``new`` are versions as ``diff`` takes them; ``run`` is a run's id; ``tab`` is
    the part of the feature that is shown.
    """

    place: PlaceName = "features"
    feature: str | None = None
    old: str | None = None
    new: str | None = None
    run: str | None = None
    tab: str | None = None

    @property
    def crumbs(self) -> tuple[str, ...]:
        """The way here, outermost first."""
        if self.place == "features":
            return ("Features",)
        if self.place == "feature":
            return ("Features", self.feature or "–", *([self.tab] if self.tab else []))
        if self.place == "diff":
            pair = (f"{self.old} → {self.new}",) if self.old and self.new else ()
            return ("Features", self.feature or "–", "Diff", *pair)
        if self.place == "drift":
            return ("Drift", *([self.feature] if self.feature else []))
        return ("Runs", *([self.feature] if self.feature else []), *([self.run] if self.run else []))
