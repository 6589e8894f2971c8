"""How far every feature has drifted, worst first, and the scores of one of them run by run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.console import Group
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical
from textual.events import Resize
from textual.timer import Timer

from featurestore.errors import plural
from featurestore.model import Json
from featurestore.render.charts import spark
from featurestore.render.text.drift import Scores
from featurestore.render.verdicts import measured_by, verdict
from featurestore.render.words import minute, number, score
from featurestore.tui import commands
from featurestore.tui.actions import Action, Impossible
from featurestore.tui.data import FeatureList, FeatureRow, version_reference
from featurestore.tui.location import Location
from featurestore.tui.places.place import Place, Taking
from featurestore.tui.texts import BAD, DIM, GOOD, NAME, WARN, block, cell, hint
from featurestore.tui.widgets.columns import Column
from featurestore.tui.widgets.page import Page
from featurestore.tui.widgets.table import Table
from featurestore.workflows.drift.timeline import DriftResult, Point

WIDE, LOW = 140, 34
REST_SECONDS = 0.12
"""How long the cursor rests on a feature before its timeline is read."""


class DriftPlace(Place):
    name_ = "drift"
    hints = (
        ("enter", "enter", "Open"), ("tab", "tab", "Runs"), ("b", "b", "Reference"), ("o", "o", "Command"),
        ("question_mark", "?", "Keys"),
    )  # fmt: skip
    DEFAULT_CSS = """
    DriftPlace > Container { layout: vertical; height: 1fr; }
    DriftPlace.-wide > Container { layout: horizontal; }
    DriftPlace #drifting { height: 2fr; min-height: 4; }
    DriftPlace #one { height: 3fr; border-top: solid $border-blurred; }
    DriftPlace #scores { height: auto; max-height: 11; }
    DriftPlace.-wide #drifting { width: 2fr; height: 1fr; }
    DriftPlace.-wide #one { width: 3fr; height: 1fr; border-top: none; border-left: solid $border-blurred; }
    DriftPlace.-wide #scores { max-height: 14; }
    DriftPlace.-one #drifting { display: none; }
    DriftPlace.-one #one { border: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "all", "All or one", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.features: Table[FeatureRow] = Table(
            _feature_columns(), lambda row: row.name, noun="feature", id="drifting"
        )
        self.chart = Page("scores")
        self.points: Table[Point] = Table(_point_columns(), lambda point: point.run_id, noun="run", id="points")
        self._result: DriftResult | None = None
        self._shown: str | None = None
        self._rest: Timer | None = None

    def compose(self) -> ComposeResult:
        with Container():
            yield self.features
            with Vertical(id="one"):
                yield self.chart
                yield self.points

    def on_mount(self) -> None:
        self.chart.can_focus = False
        self.features.set_empty(
            Text("Nothing is measured yet.\n\ni ingests; drift is measured from the second run on.")
        )

    def on_resize(self, event: Resize) -> None:
        self.set_class(event.size.width >= WIDE, "-wide")
        self._draw_chart()

    def visit(self, location: Location) -> None:
        super().visit(location)
        self.set_class(location.feature is not None, "-one")
        if location.feature is None:
            self.features.focus()
            self._show_current()
        else:
            self.points.focus()
            self._read(location.feature)

    def prepare(self, listed: FeatureList) -> Taking:
        rows = (row for row in listed.rows if row.entry.active_sha256 and not row.feature.at_request)
        measured = self.features.measured(sorted(rows, key=_badness))
        return lambda: self.features.set_items(measured)

    def reload(self) -> None:
        if self._shown is not None:
            self._read(self._shown)

    # One feature

    @property
    def subject(self) -> str | None:
        if self.location.feature is not None:
            return self.location.feature
        return None if self.features.current is None else self.features.current.name

    @on(Table.Moved, "#drifting")
    def _moved(self) -> None:
        """A feature is read when the cursor has come to rest."""
        if self._rest is not None:
            self._rest.stop()
        self._rest = self.set_timer(REST_SECONDS, self._show_current)

    def _show_current(self) -> None:
        if self.location.feature is not None or self.tui.place is not self:
            return
        row = self.features.current
        if row is not None and row.name != self._shown:
            self._read(row.name)

    def _read(self, name: str) -> None:
        if name != self._shown:
            self._result = None
            self.points.set_items(())
            self.chart.show(hint(f"Reading the runs of {name} …"), top=True)
        self._shown = name
        self.load("timeline", lambda: self.tui.data.timeline(name), self._show)

    def _show(self, result: DriftResult) -> None:
        self._result = result
        self._draw_chart()
        self.points.set_items(result.points[::-1])

    def _draw_chart(self) -> None:
        result = self._result
        if result is None:
            return
        title = Text.assemble(
            (version_reference(result.version), NAME), (f"  {plural(len(result.points), 'run')}", DIM)
        )
        title.append_text(cell(f", {measured_by(result)}", DIM))
        title.no_wrap, title.overflow = True, "ellipsis"
        lines = 3 if self.size.height < LOW else 8
        self.chart.show(Group(title, Scores(result.points, wide=True, height=lines)))

    def failed(self, what: str, error: Exception) -> None:
        if self._result is None:
            self.chart.show(block(str(error), BAD))
        else:
            super().failed(what, error)

    # Keys

    def action_all(self) -> None:
        if self.location.feature is not None:
            self.tui.go(Location("drift"))
        elif self.subject is None:
            self.notify("there is no feature here yet to look at alone", severity="warning")
        else:
            self.tui.go(Location("drift", self.subject))

    @on(Table.Chosen, "#drifting")
    def _open(self, message: Table.Chosen) -> None:
        self.tui.go(Location("drift", message.item.name))

    @on(Table.Chosen, "#points")
    def _open_run(self, message: Table.Chosen) -> None:
        self.tui.go(Location("runs", run=message.item.run_id))

    @property
    def words(self) -> list[str]:
        one = self.location.feature or (self.subject if self.points.has_focus else None)
        return commands.words_for(Location("drift", one))

    @property
    def baseline(self) -> Action | Impossible:
        result, point = self._result, self.points.current
        if result is None or point is None:
            return Impossible("there is no run here to compare with")
        if not self.points.has_focus:
            return Impossible("go to the runs first (tab), and choose the one to compare with")
        if result.baseline is not None and result.baseline.run_seq == point.run_seq:
            return Impossible(f"run {point.run_seq} is the reference already")
        reference = version_reference(result.version)
        return Action(
            f"Reference of {reference}", tuple(commands.baseline_words(reference, point.run_id)),
            f"compare its later runs with run {point.run_seq}",
        )  # fmt: skip


def _feature_columns() -> list[Column[FeatureRow]]:
    return [
        Column("feature", _name, lambda row: row.name, least=22, cut_middle=True),
        Column(
            "score", lambda row: cell(score(row.score), WARN if row.drifted else ""), lambda row: row.score, right=True
        ),
        Column("limit", lambda row: cell(score(_limit(row)), DIM), _limit, right=True, spare=2),
        Column("runs", lambda row: cell(spark(_scores(row)), WARN if row.drifted else "cyan"), _measured_runs),
        Column("drift", _verdict, lambda row: _point(row).status, least=10, grow=True, spare=1),
    ]


def _point_columns() -> list[Column[Point]]:
    return [
        Column("#", lambda point: cell(str(point.run_seq), NAME), lambda point: point.run_seq, right=True),
        Column(
            "started",
            lambda point: cell(minute(point.started_at).replace("T", " ")),
            lambda point: point.started_at,
            spare=2,
        ),
        Column("values", lambda point: cell(number(point.statistics.get("count"))), _values, right=True),
        Column(
            "mean",
            lambda point: cell(number(point.statistics.get("mean"))),
            lambda point: _number(point.statistics.get("mean")),
            right=True,
            spare=3,
        ),
        Column(
            "score",
            lambda point: cell(score(point.score), WARN if point.detected else ""),
            lambda point: point.score,
            right=True,
        ),
        Column(
            "against", lambda point: cell(point.reference_run or "", DIM), lambda point: point.reference_run, spare=4
        ),
        Column(
            "drift", lambda point: cell(verdict(point), _style(point)), lambda point: point.status, least=12, grow=True
        ),
    ]


def _point(row: FeatureRow) -> Point:
    drift = row.entry.drift
    return Point("", 0, 0, {}, drift if isinstance(drift, dict) else {})


def _fact(row: FeatureRow, name: str) -> Json:
    drift = row.entry.drift
    return drift.get(name) if isinstance(drift, dict) else None


def _limit(row: FeatureRow) -> float | None:
    return _number(_fact(row, "threshold"))


def _scores(row: FeatureRow) -> Sequence[float | None]:
    return row.totals.scores if row.totals else ()


def _measured_runs(row: FeatureRow) -> int:
    return len(_scores(row))


def _number(value: Json) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _values(point: Point) -> float | None:
    return _number(point.statistics.get("count"))


def _name(row: FeatureRow) -> Text:
    active = row.entry.active
    text = cell(row.name, NAME)
    return text if active is None else text.append(f"@{active.number}", DIM)


def _verdict(row: FeatureRow) -> Text:
    point = _point(row)
    return cell(verdict(point), _style(point))


def _style(point: Point) -> str:
    if point.detected:
        return WARN
    return BAD if point.status.startswith("error") else GOOD if point.status == "ok" else DIM


def _badness(row: FeatureRow) -> tuple[int, float, str]:
    """Worst first, as ``featurestore drift`` has it."""
    rank = 0 if row.drifted else 1 if _point(row).status.startswith("error") else 2
    return rank, -(row.score or 0.0), row.name
