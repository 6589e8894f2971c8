"""Which columns of a source a run reads and looks at: no more than its features can see, and its rows are known by."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from featurestore.model import Source
from featurestore.workflows.ingest.targets import Target


def seen_in_vain(
    source: Source, columns: Sequence[str], failed: Iterable[Target], others: Iterable[Target]
) -> frozenset[str]:
    """The columns that only targets which failed can see: what was found out of them is to leave no trace."""
    if needs_everything(source):
        return frozenset()

    def seen(targets: Iterable[Target]) -> frozenset[str]:
        return frozenset(name for each in targets if source in each.feature.reads for name in each.seen_among(columns))

    return seen(failed) - seen(others)


def needs_everything(source: Source) -> bool:
    """Whether rows are told apart by all their columns."""
    return source.duplicates == "keep" and not source.id


class Needs:
    """The columns that some targets of one source need; its keys, times, ``id`` and declared columns are always needed.

    ``complete`` says that every feature which reads the source is among the targets.
    """

    def __init__(self, source: Source, keys: Collection[str], targets: Sequence[Target], *, complete: bool) -> None:
        self._always = {*keys, *source.roles, *source.id, *source.columns}
        self._targets, self.complete = targets, complete
        # Where nothing else tells rows apart, all their columns do.
        self.everything = needs_everything(source)
        self._found: dict[tuple[str, ...], frozenset[str]] = {}

    def of(self, target: Target, names: Sequence[str]) -> frozenset[str]:
        """Which of the source's columns a target needs."""
        return frozenset(names) & {*self._always, *target.seen_among(names)}

    def __call__(self, names: Sequence[str]) -> frozenset[str]:
        """Which of the source's columns any of the targets needs."""
        key = tuple(names)
        if key not in self._found:
            self._found[key] = frozenset().union(*(self.of(target, names) for target in self._targets))
        return self._found[key]
