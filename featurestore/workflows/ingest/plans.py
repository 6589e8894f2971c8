"""What one target is to take of its source in this run: since which position, up to which clock, and what stays."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import field, replace

import polars as pl

from featurestore.errors import FeatureError
from featurestore.evaluation.events import THERE, moving
from featurestore.evaluation.retention import looks_back
from featurestore.frozen import frozen
from featurestore.model import Source
from featurestore.sources.types import is_stream
from featurestore.tables.types import INSTANT, key_types
from featurestore.workflows.ingest.calling import Ready
from featurestore.workflows.ingest.contents import SourceContents
from featurestore.workflows.ingest.news import Side
from featurestore.workflows.ingest.pairs import DELETED, Start
from featurestore.workflows.ingest.taken import NOTHING, READ_OTHERWISE, Taken, Times

SLICE = "a slice by --input"


@frozen
class Plan:
    """``before`` is what the target's position says, ``then`` and ``now`` are the rows then and now.

    ``then`` is None where the rows of that time are not known. ``whole`` says why everything is computed; None where
    only what is new is. What is dated up to ``floor`` (µs) stays as it is; up to ``frozen`` because rows that it
    depends on are not kept any more. ``taken`` is the position to store.
    ``deleted`` are the deletions of entities: what is dated between two of them is made of the rows between them.
    ``start`` is where what is dated before ``--since`` counts of a feature with a delay.
    """

    ready: Ready
    before: Taken | None
    then: Side | None
    now: Side
    taken: Taken
    whole: str | None
    floor: int | None = None
    frozen: int | None = None
    changed: str = "new rows"
    deleted: pl.DataFrame | None = None
    start: Start | None = None

    @property
    def lookback(self) -> int | None:
        """Of its scope (µs)."""
        return self.ready.scope.lookback

    @property
    def is_slice(self) -> bool:
        """Whether what is there is a slice by ``--input``, and not the source itself."""
        return self.changed == SLICE


@frozen
class Circumstances:
    """What holds for all targets of a source in a run.

    ``vanished`` are the contents whose files have vanished, each with its number, and ``replaced`` those whose files
    were written over, where that matters. ``clock`` (µs) is None where rows
    ahead of it are taken, and ``mark`` is what positions store. ``number`` is that of contents that vanish now.
    ``dropped`` are contents of which rows are not kept any more, with the latest event time of these (µs), and ``past``
    those of a stream that went past its retention; ``last`` is what the last committed run has taken.
    """

    contents: SourceContents
    vanished: Mapping[str, int]
    dropped: Mapping[str, int]
    clock: int | None
    mark: int
    number: int
    full: bool
    allow_shrunk: bool
    since: int | None = None
    pins: Mapping[str, str] | None = None
    deleted: Mapping[str, pl.DataFrame] | None = None
    last: Taken | None = None
    past: Mapping[str, int] = field(default_factory=dict)
    replaced: Mapping[str, int] = field(default_factory=dict)


def make_plan(ready: Ready, before: Taken | None, around: Circumstances, *, deleted: bool = False) -> Plan:
    """``deleted`` says that an entity was deleted since ``before``.

    Raises FeatureError where files have vanished that the target can't do without.
    """
    contents, scope = around.contents, ready.scope
    sourcewide = scope.kind == "source"
    vanished = {} if sourcewide else dict(around.vanished)
    known = {content: number for content, number in vanished.items() if contents.has(content)}
    lost = _lost(vanished, known, before, around)
    ranks = {**dict.fromkeys(contents.there, THERE), **_still_known(ready, around.replaced, contents), **known}
    times = {content: Times(None, high) for content, high in lost.items()} | contents.times(ranks)
    taken = Taken(
        files=contents.files, vanished=vanished, times=times, clock=around.mark,
        due=() if before is None else before.due,
        since=before.since if before is not None and around.since is None else around.since,
        shrunk=None if before is None else before.shrunk,
        reading=contents.reading, pins=around.pins or {},
        ignored={content: number for content, number in around.vanished.items() if content not in vanished},
        dropped=lost, needs=_needs(ready, contents.source, contents.newest(ranks, around.mark)),
        replaced=around.replaced,
    )  # fmt: skip
    taken = _shrink(ready, before, taken, lost, around)
    now = Side(ranks, around.clock)
    then = None if before is None else _then(ready, before, around)
    whole = _why_whole(ready, before, then, around)
    if whole is None and before is not None and before.dropped.keys() - taken.dropped.keys():
        whole = "rows that were not kept any more are there again"
    whole = whole or ("an entity was deleted" if deleted else None)
    frozen, deletions = _frozen(ready, taken, around), _deleted(ready, around)
    return Plan(
        ready, before, then, now, taken, whole, _floor(ready, taken, frozen), frozen, _change(before, contents),
        deletions, _start(ready, taken, frozen, around),
    )  # fmt: skip


def make_slice_plan(
    ready: Ready, before: Taken | None, last: Taken | None, around: Circumstances, *, deleted: bool = False
) -> Plan:
    """Of a slice by ``--input``: its rows come before those of the files, and are taken as if its file had vanished.

    Only where all rows are read for a version that has none yet, or where its own rows are not kept any more, does it
    not matter what was taken: the next run over the source computes everything. ``last`` is what the last committed
    run has taken of the source. Where an entity was ``deleted`` since ``before``, the next run over the source writes
    again what holds of it.
    """
    contents, known = around.contents, before or last or Taken()
    held = {content: _rank(content, known) for content in known.parts if contents.has(content)}
    held = {**_still_known(ready, known.replaced, contents), **held}
    added = dict.fromkeys(contents.there, around.number)
    others = {} if last is None else {**dict.fromkeys(last.contents, around.number), **last.missed}
    mine = before or Taken(reading=contents.reading, pins=around.pins or {}, clock=around.mark)
    vanished = {
        **mine.vanished,
        **{content: number for content, number in added.items() if content not in mine.contents},
    }
    taken = replace(
        mine, vanished=vanished, times={**mine.times, **contents.times(contents.there)},
        slices=tuple(dict.fromkeys([*mine.slices, *added])), restate=mine.restate or deleted,
        replaced={**({} if last is None else last.replaced), **mine.replaced},
        ignored={
            content: number for content, number in {**others, **mine.ignored}.items()
            if content not in vanished and content not in mine.contents
        },
    )  # fmt: skip
    then = Side(held, around.clock)
    now = Side({**held, **{content: THERE + number for content, number in added.items()}}, around.clock)
    frozen = _frozen(ready, taken, around)
    start = _start(ready, taken, frozen, around) if held.keys() == known.parts else None
    return Plan(
        ready, before, then, now, taken, None, _floor(ready, taken, frozen), frozen, SLICE, _deleted(ready, around),
        start,
    )  # fmt: skip


def _deleted(ready: Ready, around: Circumstances) -> pl.DataFrame | None:
    """Of scope ``entity``: each deletion divides its entity."""
    entity_type = ready.target.feature.entity_type
    marks = (around.deleted or {}).get(entity_type.name)
    if ready.scope.kind != "entity" or marks is None or not marks.height:
        return None
    marks = marks.filter(pl.col("author") != "returned")
    return marks.select(*entity_type.key_names, "deleted_at")


def _lost(
    vanished: Collection[str], known: Collection[str], before: Taken | None, around: Circumstances
) -> dict[str, int]:
    """The contents that vanished and of which rows are not kept, each with the latest event time of these (µs).

    Rows that are kept without a column that is needed are not. Where none are kept and nobody knows which were missing,
    all are.
    """
    found: dict[str, int] = {}
    positions = [each for each in (before, around.last) if each is not None]
    for content in vanished:
        marks = [around.dropped[content]] if content in around.dropped else []
        if content not in known:
            marks += [each.dropped[content] for each in positions if content in each.dropped]
            highs = [each.times[content].high for each in positions if content in each.times]
            highs.append(around.contents.highest(content))  # kept in another way, or without a column
            marks += [high for high in highs if high is not None]
        if marks:
            found[content] = max(marks)
    return found


def _still_known(ready: Ready, replaced: Mapping[str, int], contents: SourceContents) -> dict[str, int]:
    """Of contents whose files were written over those that count for a target: what was known then stays known.

    That is so of scope ``row`` where a row may be known at another place later. Where their rows are not kept any more,
    the history alone says what was known.
    """
    if ready.scope.kind != "row" or not moving(ready.target.feature.entity_type, contents.source):
        return {}
    return {content: number for content, number in replaced.items() if contents.has(content) and contents.fits(content)}


def _then(ready: Ready, before: Taken, around: Circumstances) -> Side | None:
    """The rows of a position; None where some of them are not kept any more, or were read in another way.

    What had vanished, and was dropped since or is known to be lost, is on neither side, nor what is past a retention.
    """
    contents = around.contents
    kept = [content for content in before.parts if content not in before.dropped or contents.has(content)]
    kept = [content for content in kept if content not in around.past]
    if before.restate or before.reading != contents.reading or not all(map(contents.has, kept)):
        return None
    if any(content in around.dropped for content in before.contents):
        return None
    ranks = {content: _rank(content, before) for content in kept}
    return Side({**_still_known(ready, before.replaced, contents), **ranks}, before.clock)


def _rank(content: str, taken: Taken) -> int:
    """Which of several rows of one event counts at a position: see `evaluation.events.RANK`."""
    if content in taken.contents:
        return THERE
    return taken.vanished[content] + (THERE if content in taken.slices else 0)


def _why_whole(ready: Ready, before: Taken | None, then: Side | None, around: Circumstances) -> str | None:
    if before is None:
        return "new version" if not ready.target.reactivates else "this version has not read its source yet"
    if around.full:
        return "--full asks for it"
    if before.restate:
        return "what it had taken before is not known in detail"
    if before.reading != around.contents.reading or _other_pins(before, around):
        return READ_OTHERWISE
    if then is None:
        return "rows that it had taken are not kept any more"
    return "too many results were dated ahead of the clock to be named" if before.due is None else None


def _other_pins(before: Taken, around: Circumstances) -> bool:
    pins = around.pins or {}
    return any(pins.get(name) != kind for name, kind in before.pins.items())


def _change(before: Taken | None, contents: SourceContents) -> str:
    """What has become of the files, in words."""
    known = {} if before is None else before.files
    if not contents.of_stream and any(
        name in known and known[name] != content for name, content in contents.files.items()
    ):
        return "changed file"
    if contents.there.keys() - set(known.values()):
        return "new rows"
    return "files have gone" if known.keys() - contents.files.keys() else "nothing new"


def _shrink(ready: Ready, before: Taken | None, taken: Taken, lost: Mapping[str, int], around: Circumstances) -> Taken:
    """What is missing and not to be had again freezes what was made of it, where that is accepted."""
    scope, marks = ready.scope, [taken.shrunk] if taken.shrunk is not None else []
    if scope.kind == "source" and before is not None:
        gone = before.contents & around.vanished.keys()
        if gone and not around.allow_shrunk:
            raise FeatureError("files have vanished")
        highs = [before.times[content].high for content in gone if content in before.times]
        marks += [high for high in highs if high is not None]
    elif scope.kind == "entity" and lost and looks_back(ready.target.feature, scope) is None:
        high = max(lost.values())
        if taken.shrunk is None or high > taken.shrunk:
            if not around.allow_shrunk:
                raise FeatureError("rows of vanished files are no longer kept")
            marks.append(high)
    return replace(taken, shrunk=max(marks, default=None))


def _needs(ready: Ready, source: Source, newest: int | None) -> int | None:
    """The event time (µs) from which on a target needs the rows of files that vanish; ``newest`` is its last row's."""
    if ready.scope.kind == "source" and not is_stream(source):
        return NOTHING  # it takes what is there
    # A window is known up to its run's clock, and rows of a source without `keep` stay for it.
    reach = ready.scope.lookback if source.keep is None else source.keep
    return None if newest is None or reach is None else newest - reach


def _frozen(ready: Ready, taken: Taken, around: Circumstances) -> int | None:
    """The instant (µs) up to which values depend on rows that are not kept any more, or were given up.

    With ``updated_at`` or ``known_at`` that is so of scope ``row`` too: a row that is dropped may have been a later
    state of one that comes.
    """
    scope, source, shrunk = ready.scope, around.contents.source, taken.shrunk
    bounds = [] if shrunk is None else [shrunk]
    missing = [high for high in (*taken.dropped.values(), *around.past.values()) if shrunk is None or high > shrunk]
    stands_alone = scope.kind == "row" and source.updated_at is None and source.known_at is None
    reach = looks_back(ready.target.feature, scope)
    if missing and reach is not None and not stands_alone:
        bounds.append(max(missing) + reach)
    return max(bounds, default=None)


def _floor(ready: Ready, taken: Taken, frozen: int | None) -> int | None:
    """The instant (µs) up to which nothing is written: before ``since``, and what is frozen."""
    since = _since(ready, taken)
    return max([at for at in (None if since is None else since - 1, frozen) if at is not None], default=None)


def _since(ready: Ready, taken: Taken) -> int | None:
    """The ``--since`` of a version as the times that its results have before a delay (µs)."""
    feature = ready.target.feature
    if taken.since is None or feature.window is not None:
        return taken.since
    return taken.since - (feature.delay or 0)


def _start(ready: Ready, taken: Taken, frozen: int | None, around: Circumstances) -> Start | None:
    """Of a feature with a delay: what could be used at ``--since`` already counts there, unless it is frozen."""
    feature, at = ready.target.feature, _since(ready, taken)
    if at is None or taken.since is None or at == taken.since or (frozen is not None and frozen >= at):
        return None
    marks = (around.deleted or {}).get(feature.entity_type.name)
    if marks is None:
        return Start(at, taken.since, pl.DataFrame(schema={**key_types(feature.entity_type), DELETED: INSTANT}))
    marks = marks.filter(pl.col("author") != "returned")
    return Start(at, taken.since, marks.select(*feature.entity_type.key_names, DELETED))
