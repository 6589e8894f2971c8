"""What a feature version has taken of its source: kept in its position, and compared with what is there now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Any

from featurestore.frozen import frozen
from featurestore.sources.contract import Cursor

MOST_DUE = 10_000
NOTHING = 1 << 62
READ_OTHERWISE = "its rows are read in another way than before"


@frozen
class Times:
    """The lowest and the highest event time of a content's rows (µs); None where it has no rows."""

    low: int | None
    high: int | None


@frozen
class Taken:
    """How far a version has come in a source. With the rows of the contents that it names it says all that is new.

    ``files`` are those that were there, by name, with their contents; ``vanished`` are contents whose file has
    vanished, each with a number that rises with the time when a run missed it. Rows and results dated after ``clock``
    (µs) were set aside; ``due`` are the pairs of these results: the keys and the instant (None: too many to name).
    Nothing is written that is dated before ``since``, and what is dated up to ``shrunk`` stays as it is: both µs.
    ``reading`` is how contents were read (`parsed.index.reading_of`), ``pins`` the types of undeclared columns. With
    ``restate`` the next run computes everything. ``ignored`` are contents that have vanished, and that this version
    does not take: those of scope ``source`` take what is there. ``slices`` are those of the vanished that came by
    ``--input`` since the last run over the source itself: they come before its files. The values of a
    window are known up to ``horizon`` (µs).
    Of the vanished ``dropped`` are those of which rows are not kept any more, each with the latest event time of such
    a row; ``needs`` is the event time from which on rows that vanish later may still be looked at (None: all of them,
    `NOTHING`: none): both µs.
    ``replaced`` are contents of files that were written over, each with a number as of the vanished: where rows may be
    known at another place later, what they said was known then and stays.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    vanished: Mapping[str, int] = field(default_factory=dict)
    times: Mapping[str, Times] = field(default_factory=dict)
    clock: int | None = None
    due: tuple[tuple[Any, ...], ...] | None = ()
    since: int | None = None
    shrunk: int | None = None
    reading: str | None = None
    pins: Mapping[str, str] = field(default_factory=dict)
    restate: bool = False
    ignored: Mapping[str, int] = field(default_factory=dict)
    slices: tuple[str, ...] = ()
    horizon: int | None = None
    dropped: Mapping[str, int] = field(default_factory=dict)
    needs: int | None = None
    replaced: Mapping[str, int] = field(default_factory=dict)

    @property
    def missed(self) -> Mapping[str, int]:
        """All contents that have vanished, those that this version does not take among them."""
        return {**self.ignored, **self.vanished}

    @property
    def contents(self) -> frozenset[str]:
        """Of the files that were there. One content counts once, whatever its names."""
        return frozenset(self.files.values())

    @property
    def parts(self) -> frozenset[str]:
        return self.contents | self.vanished.keys()

    def to_json(self) -> Cursor:
        taken = {
            "vanished": dict(self.vanished),
            "times": {content: [times.low, times.high] for content, times in self.times.items()},
            "clock": self.clock,
            "due": None if self.due is None else [list(pair) for pair in self.due],
            "since": self.since,
            "shrunk": self.shrunk,
            "reading": self.reading,
            "pins": dict(self.pins),
            "restate": self.restate,
            "ignored": dict(self.ignored),
            "slices": list(self.slices),
            "horizon": self.horizon,
            "dropped": dict(self.dropped),
            "needs": self.needs,
            "replaced": dict(self.replaced),
        }
        return {"files": dict(self.files), "taken": taken}


def read_taken(cursor: Cursor) -> Taken | None:
    """What a position says; of an earlier release only which files it took. None where it names none."""
    if not isinstance(cursor, dict) or not isinstance(cursor.get("files"), dict):
        return None
    taken: dict[str, Any] = cursor.get("taken") or {"restate": True}
    due = taken.get("due", ())
    return Taken(
        files=cursor["files"],
        vanished=taken.get("vanished", {}),
        times={content: Times(*each) for content, each in taken.get("times", {}).items()},
        clock=taken.get("clock"),
        due=None if due is None else tuple(tuple(pair) for pair in due),
        since=taken.get("since"),
        shrunk=taken.get("shrunk"),
        reading=taken.get("reading"),
        pins=taken.get("pins", {}),
        restate=taken.get("restate", False),
        ignored=taken.get("ignored", {}),
        slices=tuple(taken.get("slices", ())),
        horizon=taken.get("horizon"),
        dropped=taken.get("dropped", {}),
        needs=taken.get("needs"),
        replaced=taken.get("replaced", {}),
    )


def missed(last: Taken | None, now: Iterable[str], names: Iterable[str], number: int) -> dict[str, int]:
    """The contents that have vanished: what the last committed run had, and what it already missed.

    ``now`` are the contents that are there, ``names`` the names of their files. A file that was renamed has not
    vanished. ``number`` is that of this run.
    """
    if last is None:
        return {}
    there, here = set(now), set(names)
    gone = {content: number for name, content in last.files.items() if name not in here}
    return {content: when for content, when in (gone | dict(last.missed)).items() if content not in there}


def written_over(last: Taken | None, files: Mapping[str, str], number: int) -> dict[str, int]:
    """The contents of files that are still there, and have another one now: since the last committed run, and before.

    ``files`` are those that are there, by name, with their contents. ``number`` is that of this run.
    """
    if last is None:
        return {}
    over = {content: number for name, content in last.files.items() if files.get(name, content) != content}
    there = set(files.values())
    return {content: when for content, when in (over | dict(last.replaced)).items() if content not in there}
