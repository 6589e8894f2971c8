"""All features in a list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from featurestore.errors import plural
from featurestore.render.charts import spark
from featurestore.render.words import age, minute, score
from featurestore.tui import commands
from featurestore.tui.actions import Action, Impossible
from featurestore.tui.data import FEATURE_FIELDS, FeatureList, FeatureRow, LockedPage, age_of
from featurestore.tui.location import Location
from featurestore.tui.places.place import Place, Taking
from featurestore.tui.texts import BAD, DIM, NAME, WARN, cell, status
from featurestore.tui.widgets.columns import Column
from featurestore.tui.widgets.filtered import FilteredTable
from featurestore.tui.widgets.table import Table

NOTHING_YET = (
    "No features yet.\n\nA feature is a decorated function in features/; featurestore init --demo lays down an example."
)
NOTHING_USABLE = "No feature can be used.\n\nfeaturestore check says what is wrong with each."


class FeaturesPlace(Place):
    name_ = "features"
    hints = (
        ("enter", "enter", "Open"), ("slash", "/", "Filter"), ("s", "s", "Sort"), ("i", "i", "Ingest"),
        ("question_mark", "?", "Keys"),
    )  # fmt: skip
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.table: Table[FeatureRow] = Table(_columns(), lambda row: row.name, noun="feature")
        self._list = FilteredTable(
            self.table, FEATURE_FIELDS, "text  tag:cardiac  owner:ada  status:active  entity:patient  !not",
            self._remarks, lambda: NOTHING_USABLE if self._broken else NOTHING_YET,
        )  # fmt: skip
        self._broken = ""

    def compose(self) -> ComposeResult:
        yield self._list

    def on_mount(self) -> None:
        self.table.set_empty(Text("Reading the features …"))

    def visit(self, location: Location) -> None:
        super().visit(location)
        self.table.focus()

    def take_first(self, page: LockedPage) -> None:
        """Shows the first of the features until all of them are read."""
        first = f"the first {len(page.rows):,} of {page.count:,}, as they were locked · reading them all …"
        self._list.instead = first
        self._list.set_items(self.table.measured(page.rows))

    def prepare(self, listed: FeatureList) -> Taking:
        measured = self.table.measured(listed.rows)
        _drifted(listed.rows)  # in this thread, so that the first key need not

        def take() -> None:
            self._list.instead = None
            self._broken = f"{plural(len(listed.broken), 'declaration')} can't be used" if listed.broken else ""
            self._list.set_items(measured)

        return take

    def redraw(self) -> None:
        self.table.redraw()  # ages go on

    @property
    def subject(self) -> str | None:
        return None if self.table.current is None else self.table.current.name

    @property
    def words(self) -> list[str]:
        return commands.words_for(self.location, self._list.terms)

    @property
    def promotion(self) -> Action | Impossible:
        row = self.table.current
        if row is None:
            return Impossible("there is no feature under the cursor to promote")
        return Impossible(f"open {row.name} first, and choose one of its versions")

    def action_filter(self) -> None:
        self._list.open_filter()

    @on(Table.Chosen)
    def _open(self, message: Table.Chosen) -> None:
        self.tui.go(Location("feature", message.item.name))

    def _remarks(self, view: Sequence[FeatureRow]) -> Text:
        text = Text()
        drifted = _drifted(view)
        if drifted and self._list.instead is None:
            text.append(" · ").append(f"{drifted:,} drifted", WARN)
        if self._broken:
            text.append(" · ").append(self._broken, BAD)
        return text


def _drifted(rows: Sequence[FeatureRow]) -> int:
    return sum([row.drifted for row in rows])


def _columns() -> list[Column[FeatureRow]]:
    return [
        Column("feature", _name, lambda row: row.name, least=28, cut_middle=True),
        Column(
            "type", lambda row: cell(str(row.feature.data_type), DIM), lambda row: str(row.feature.data_type), spare=4
        ),
        Column(
            "entity", lambda row: cell(row.feature.entity_type.name), lambda row: row.feature.entity_type.name, spare=5
        ),
        Column(
            "owner", lambda row: cell(row.feature.owner or "–"), lambda row: row.feature.owner or None, least=8, spare=6
        ),
        Column(
            "tags",
            lambda row: cell(", ".join(row.feature.tags), DIM),
            lambda row: row.feature.tags or None,
            least=8,
            spare=9,
        ),
        Column("status", lambda row: status(row.feature.status), lambda row: row.feature.status, spare=7),
        Column("version", _version, _version_number, right=True),
        Column("rows", _rows, lambda row: row.totals.rows if row.totals else None, right=True),
        Column("last run", _last_run, lambda row: row.entry.summary.last_run_at, spare=8),
        Column("fresh", _fresh, lambda row: age_of(row.entry), right=True),
        Column(
            "score",
            lambda row: cell(score(row.score), WARN if row.drifted else ""),
            lambda row: row.score,
            right=True,
            spare=2,
        ),
        Column("drift", _spark, lambda row: row.score, spare=1),
        Column(
            "description",
            lambda row: cell(row.feature.description, DIM),
            lambda row: row.feature.description,
            least=24,
            spare=10,
            grow=True,
        ),
    ]


def _name(row: FeatureRow) -> Text:
    if row.entry.problem is not None or row.entry.damaged is not None:
        return cell(row.name, BAD)
    return cell(row.name, DIM if row.feature.status == "deprecated" else NAME)


def _version_number(row: FeatureRow) -> int | None:
    return row.entry.active.number if row.entry.active else None


def _version(row: FeatureRow) -> Text:
    """The active version; a star where the code is another by now."""
    active = row.entry.active
    if active is None:
        return _none_yet(row)
    return (
        cell(f"{active.number}") if row.is_locked or row.entry.working == active else cell(f"* {active.number}", WARN)
    )


def _rows(row: FeatureRow) -> Text:
    if row.totals is None:
        return cell("…", DIM)
    return cell(f"{row.totals.rows:,}") if row.totals.rows else cell("–", DIM)


def _none_yet(row: FeatureRow) -> Text:
    """For what a feature does not have, or may have as soon as all is read."""
    return cell("…" if row.is_locked else "–", DIM)


def _last_run(row: FeatureRow) -> Text:
    if row.entry.summary.last_run_at is None:
        return _none_yet(row)
    return cell(minute(row.entry.summary.last_run_at).replace("T", " "), DIM)


def _fresh(row: FeatureRow) -> Text:
    """How long ago the last run was, in the colour of how it went."""
    if row.feature.at_request:
        return cell("request", DIM)  # it is computed then
    if row.entry.summary.last_run_at is None:
        return _none_yet(row)
    went = row.entry.summary.last_status
    return cell(age(age_of(row.entry)), BAD if went == "failed" else "" if went else DIM)


def _spark(row: FeatureRow) -> Text:
    scores = row.totals.scores if row.totals else ()
    return cell(spark(scores), WARN if row.drifted else "cyan")
