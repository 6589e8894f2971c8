"""The audit log: every run, and one of them in full with what it set aside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.events import Resize
from textual.timer import Timer
from textual.widgets import ContentSwitcher

from featurestore.model import RejectedRow, RunStatus
from featurestore.render.text.runs import run_page
from featurestore.render.words import number
from featurestore.tui import commands
from featurestore.tui.data import RUN_FIELDS, RUNS_AT_ONCE, FeatureList, RunRow
from featurestore.tui.location import Location
from featurestore.tui.places.place import Place, Taking
from featurestore.tui.places.run_columns import run_columns
from featurestore.tui.texts import BAD, DIM, WARN, block, cell, hint
from featurestore.tui.widgets.columns import Column, Measured
from featurestore.tui.widgets.filtered import FilteredTable
from featurestore.tui.widgets.page import Page
from featurestore.tui.widgets.table import Table
from featurestore.workflows.runs import RunDetail

FIRST = 200
"""How many runs are read for the first sight; the others follow."""
WIDE = 170
REST_SECONDS = 0.12


class RunsPlace(Place):
    name_ = "runs"
    hints = (
        ("enter", "enter", "Open"), ("slash", "/", "Filter"), ("i", "i", "Ingest"), ("o", "o", "Command"),
        ("question_mark", "?", "Keys"),
    )  # fmt: skip
    DEFAULT_CSS = """
    RunsPlace ContentSwitcher { height: 1fr; }
    RunsPlace #preview { width: 80; border-left: solid $border-blurred; display: none; }
    RunsPlace.-wide #preview { display: block; }
    RunsPlace #rejected { display: none; height: auto; max-height: 50%; border-top: solid $border-blurred; }
    RunsPlace.-rejected #rejected { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.table: Table[RunRow] = Table(run_columns(), lambda row: row.totals.run_id, noun="run", id="runs-list")
        self._list = FilteredTable(
            self.table, RUN_FIELDS, "text  status:failed  source:visits  feature:name  !not", self._remarks,
            lambda: "No runs yet.\n\ni ingests all features.",
        )  # fmt: skip
        self.preview = Page("preview")
        self.page = Page("run")
        self.rejected: Table[RejectedRow] = Table(
            _rejected_columns(), lambda row: f"{row.place} {row.column}", noun="row", id="rejected"
        )
        self._feature: str | None = None
        self._read: Measured[RunRow] = Measured((), [])
        self._is_read = False
        self._detail: RunDetail | None = None
        self._rest: Timer | None = None

    def compose(self) -> ComposeResult:
        with ContentSwitcher(initial="all"):
            with Horizontal(id="all"):
                yield self._list
                yield self.preview
            with Vertical(id="one-run"):
                yield self.page
                yield self.rejected

    def on_mount(self) -> None:
        self.preview.can_focus = False
        self.table.set_empty(Text("Reading the runs …"))

    def on_resize(self, event: Resize) -> None:
        self.set_class(event.size.width >= WIDE, "-wide")
        self._preview_soon()

    def visit(self, location: Location) -> None:
        before = self.location
        super().visit(location)
        self.query_one(ContentSwitcher).current = "one-run" if location.run else "all"
        if location.run:
            self.page.focus()
            if self._detail is None or self._detail.run.run_id != location.run:
                self._detail = None
                self.remove_class("-rejected")
                self.page.show(hint(f"Reading run {location.run} …"), top=True)
                self._read_run(location.run)
            return
        self.table.focus()
        self._preview_soon()
        if before.feature != location.feature or not self._is_read:
            self._begin()

    # All runs

    @property
    def runs_read(self) -> Sequence[RunRow]:
        return self._read.items

    def reload(self) -> None:
        self._is_read = False
        if self.tui.place is self and not self.location.run:
            self._begin()

    def prepare(self, listed: FeatureList) -> Taking:
        return lambda: None if self._is_read else self._begin()

    def _begin(self) -> None:
        """Reads the newest runs, then all others in the background."""
        self._is_read = True
        wanted = self._feature or self.location.feature

        def add(skip: int, found: Measured[RunRow], asked: int) -> None:
            self._read = found.following(self._read, skip) if skip else found
            self._list.set_items(self._read)
            if len(found.items) == asked:
                follow(skip + asked, RUNS_AT_ONCE)

        def follow(skip: int, last: int) -> None:
            data = self.tui.data
            self.load(
                "all", lambda: self.table.measured(data.runs(wanted, skip, last)), lambda found: add(skip, found, last)
            )

        follow(0, max(FIRST, min(len(self._read.items), RUNS_AT_ONCE)))

    def action_filter(self) -> None:
        if self.location.run:
            self.notify("the filter is for the list of runs; escape goes there", severity="warning")
        else:
            self._list.open_filter()

    @on(Table.Chosen, "#runs-list")
    def _open(self, message: Table.Chosen) -> None:
        self.tui.go(Location("runs", feature=self.location.feature, run=message.item.totals.run_id))

    @on(Table.Moved, "#runs-list")
    def _moved(self) -> None:
        self._preview_soon()

    def _preview_soon(self) -> None:
        """Shows the run under the cursor beside the list, once the cursor rests."""
        if self._rest is not None:
            self._rest.stop()
        if self.has_class("-wide"):
            self._rest = self.set_timer(REST_SECONDS, self._show_preview)

    def _show_preview(self) -> None:
        row = self.table.current
        if row is not None and self.tui.place is self:
            self.load(
                "preview", lambda: self.tui.data.run(row.totals.run_id), lambda run: self.preview.show(run_page(run))
            )

    def _remarks(self, view: Sequence[RunRow]) -> Text:
        text = Text()
        if self.location.feature:
            text.append(" of ").append_text(cell(self.location.feature))
        counts = Counter([row.totals.status for row in view])
        shown: tuple[tuple[RunStatus, str], ...] = (("failed", BAD), ("partial", WARN))
        for status, style in shown:
            if counts[status]:
                text.append(" · ").append(f"{counts[status]:,} {status}", style)
        return text

    # One run

    def _read_run(self, run_id: str) -> None:
        self.load("run", lambda: self.tui.data.run(run_id), self._show_run)

    def _show_run(self, detail: RunDetail) -> None:
        self._detail = detail
        self.page.show(run_page(RunDetail(detail.run, ())), top=True)
        self.rejected.set_items(detail.rejected)
        self.set_class(bool(detail.rejected), "-rejected")

    def failed(self, what: str, error: Exception) -> None:
        if self.location.run and self._detail is None:
            self.page.show(block(str(error), BAD))
        else:
            super().failed(what, error)

    @property
    def copied(self) -> str:
        if self.table.has_focus and self.table.current is not None:
            return self.table.current.totals.run_id
        return super().copied

    @property
    def words(self) -> list[str]:
        return commands.words_for(self.location, self._list.terms)

    @property
    def subject(self) -> str | None:
        return self.location.feature


def _rejected_columns() -> list[Column[RejectedRow]]:
    return [
        Column("set aside", lambda row: cell(row.place), least=16, cut_middle=True),
        Column("column", lambda row: cell(row.column or "", "cyan"), lambda row: row.column),
        Column("reason", lambda row: cell(row.reason, WARN), lambda row: row.reason, least=16),
        Column("row", _values, least=10, grow=True, spare=1),
    ]


def _values(row: RejectedRow) -> Text:
    return cell(", ".join(f"{name}={number(value)}" for name, value in row.values.items()), DIM)
