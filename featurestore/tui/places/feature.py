"""One feature: what is declared, its versions and who committed them, its code, its values, its runs, what uses it."""

from __future__ import annotations

from typing import ClassVar

from rich.console import Group, RenderableType
from rich.syntax import Syntax
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.events import Resize
from textual.widget import Widget
from textual.widgets import ContentSwitcher, Static, Tab, Tabs

from featurestore.errors import plural
from featurestore.model import Problem
from featurestore.render.printable import printable
from featurestore.render.text.features import declared_rows, hash_remarks
from featurestore.render.text.lineage import lineage_tree
from featurestore.render.text.stats import stats_page
from featurestore.render.text.style import facts
from featurestore.render.words import instant
from featurestore.tui import commands
from featurestore.tui.actions import Action, Impossible
from featurestore.tui.data import FeatureFiles, FeatureHistory, FeatureList, RunRow
from featurestore.tui.location import Location
from featurestore.tui.places.place import Place, Taking
from featurestore.tui.places.run_columns import run_columns
from featurestore.tui.places.version_rows import VersionRow, version_columns, version_rows
from featurestore.tui.texts import BAD, DIM, GOOD, NAME, WARN, block, cell, hint
from featurestore.tui.widgets.page import Page
from featurestore.tui.widgets.table import Table
from featurestore.workflows.stats import StatsResult

PARTS = ("Overview", "Versions", "Code", "Statistics", "Runs", "Lineage")
NO_RUNS = "No runs of it yet.\n\ni ingests it."
AT_REQUEST = (
    "It is computed when it is asked for, so nothing of it is stored and no run writes it.\n\n"
    "Its inputs are features with values of their own; Overview names them."
)
WIDE = 140
"""From this width on the overview stands at the side of the other parts."""


class FeaturePlace(Place):
    name_ = "feature"
    hints = (
        ("tab", "tab", "Next part"), ("d", "d", "Diff"), ("p", "p", "Promote"), ("o", "o", "Command"),
        ("question_mark", "?", "Keys"),
    )  # fmt: skip
    DEFAULT_CSS = """
    FeaturePlace #side { width: 58; border-right: solid $border-blurred; display: none; }
    FeaturePlace.-wide #side { display: block; }
    FeaturePlace Tabs { height: 2; }
    FeaturePlace.-wide #tab-Overview { display: none; }
    FeaturePlace ContentSwitcher { height: 1fr; }
    FeaturePlace #version { height: auto; padding: 0 1; border-top: solid $border-blurred; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "part(1)", "Next part", show=False),
        Binding("shift+tab", "part(-1)", "Previous part", show=False),
        Binding("d", "diff", "Diff", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.side = Page("side")
        self.overview = Page("Overview")
        self.versions: Table[VersionRow] = Table(version_columns(), lambda row: row.key, noun="version", id="Versions")
        self.version = Static("", id="version", markup=False)
        self.code = Page("Code")
        self.statistics = Page("Statistics")
        self.runs: Table[RunRow] = Table(
            run_columns(of_feature=True), lambda row: row.totals.run_id, noun="run", id="Runs"
        )
        self.lineage = Page("Lineage")
        self._files: FeatureFiles | None = None
        self._history: FeatureHistory | None = None

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield self.side
            with Vertical():
                yield Tabs(*(Tab(name, id=f"tab-{name}") for name in PARTS))
                with ContentSwitcher(initial="Overview"):
                    yield self.overview
                    with Vertical(id="part-Versions"):
                        yield self.versions
                        yield self.version
                    yield self.code
                    yield self.statistics
                    yield self.runs
                    yield self.lineage

    def on_mount(self) -> None:
        self.query_one(Tabs).can_focus = False
        self.versions.set_empty(Text("No versions yet.\n\nw writes the version file of its code; i also computes it."))

    # Where one is

    def visit(self, location: Location) -> None:
        if location.feature is None:
            listed = self.tui.listed
            known = self.location.feature or (listed.rows[0].name if listed and listed.rows else None)
            if known is None:
                self._say_nothing()
                return
            self.tui.replace_here(Location("feature", known, tab=location.tab))
            location = self.tui.here
        another = location.feature != self.location.feature
        super().visit(location)
        if another:
            self._files = self._history = None
            self._draw(top=True)
        if another or self._files is None:
            self.reload()
        self._show_part(location.tab or self._first_part)

    @property
    def _first_part(self) -> str:
        return "Versions" if self.has_class("-wide") else "Overview"

    @property
    def part(self) -> str:
        return (self.query_one(ContentSwitcher).current or "Overview").removeprefix("part-")

    def _show_part(self, name: str) -> None:
        if name == "Overview" and self.has_class("-wide"):
            name = "Versions"
        self.query_one(ContentSwitcher).current = "part-Versions" if name == "Versions" else name
        self.query_one(Tabs).active = f"tab-{name}"
        if name == "Code":
            self._draw_code()
        if self.tui.place is self:
            self.query_one(f"#{name}", Widget).focus()

    def action_part(self, by: int) -> None:
        names = PARTS[1:] if self.has_class("-wide") else PARTS
        at = names.index(self.part) if self.part in names else 0
        self._go_to_part(names[(at + by) % len(names)])

    def _go_to_part(self, name: str) -> None:
        self.location = Location("feature", self.location.feature, tab=name)
        self.tui.replace_here(self.location)
        self._show_part(name)

    @on(Tabs.TabActivated)
    def _tab_clicked(self, event: Tabs.TabActivated) -> None:
        name = (event.tab.id or "").removeprefix("tab-")
        # It also comes late, after a key that was pressed just behind the tab has led elsewhere.
        if name in PARTS and name != self.part and self.tui.place is self:
            self._go_to_part(name)

    def on_resize(self, event: Resize) -> None:
        wide = event.size.width >= WIDE
        if wide != self.has_class("-wide"):
            self.set_class(wide, "-wide")
            if wide and self.part == "Overview":
                self._show_part("Versions")

    # What is read

    def reload(self) -> None:
        name = self.location.feature
        if name is None:
            return

        def show_files(files: FeatureFiles) -> None:
            self._files = files
            self._draw()
            entry = files.detail.entry
            self.load(
                "history", lambda: self.tui.data.feature_history(entry.feature, entry.active_sha256), self._show_history
            )

        self.load("files", lambda: self.tui.data.feature_files(name), show_files)

    def prepare(self, listed: FeatureList) -> Taking:
        def take() -> None:
            if self.location.feature is None and self.tui.place is self and listed.rows:
                self.visit(self.tui.here)

        return take

    def failed(self, what: str, error: Exception) -> None:
        super().failed(what, error)
        if self._files is None:
            text = block(str(error), BAD)
            text.append_text(Text("\n\nescape goes back", style=DIM))
            for page in (self.overview, self.side, self.code, self.statistics, self.lineage):
                page.show(text)

    def _show_history(self, history: FeatureHistory) -> None:
        self._history = history
        self._draw()

    def _say_nothing(self) -> None:
        self.overview.show(hint("No feature to show.\n\n1 lists the features; enter opens one."))
        self.overview.focus()

    # Drawing

    def _draw(self, *, top: bool = False) -> None:
        files, history = self._files, self._history
        if files is None:
            for page in (self.overview, self.side, self.code, self.statistics, self.lineage):
                page.show(hint(f"Reading {self.location.feature} …"), top=top)
            self.versions.set_items(())
            self.runs.set_items(())
            return
        overview = _overview(files, history)
        self.overview.show(overview)
        self.side.show(overview)
        self.versions.set_items(version_rows(files.detail, files.commits.by_file))
        self._draw_code()
        self.statistics.show(_statistics(files, history))
        self.lineage.show(_lineage(files, history))
        self.runs.set_empty(Text(AT_REQUEST if files.detail.entry.feature.at_request else NO_RUNS))
        self.runs.set_items(history.runs if history else ())

    def _draw_code(self) -> None:
        if self._files is not None and self.part == "Code":
            row = self.versions.current
            self.code.show(hint("No code to show.") if row is None else _code(row))

    @on(Table.Moved, "#Versions")
    def _version_moved(self) -> None:
        row = self.versions.current
        self.version.update("" if row is None else row.whole)
        self._draw_code()

    # Keys

    @on(Table.Chosen, "#Versions")
    def _version_chosen(self, message: Table.Chosen) -> None:
        row: VersionRow = message.item
        if row.before is None:
            self.notify("it is the first version: there is none before it to compare it with", severity="warning")
            return
        self.tui.go(Location("diff", self.location.feature, old=row.before, new=row.reference))

    @on(Table.Chosen, "#Runs")
    def _run_chosen(self, message: Table.Chosen) -> None:
        self.tui.go(Location("runs", feature=self.location.feature, run=message.item.totals.run_id))

    def action_diff(self) -> None:
        if self.location.feature is None:
            self.notify("there is no feature here to compare", severity="warning")
        else:
            self.tui.go(Location("diff", self.location.feature))

    @property
    def copied(self) -> str:
        row = self.versions.current
        if self.part == "Versions" and row is not None:
            return row.sha256
        return super().copied

    @property
    def words(self) -> list[str]:
        return commands.words_for(Location("feature", self.location.feature, tab=self.part))

    @property
    def promotion(self) -> Action | Impossible:
        row, name = self.versions.current, self.location.feature
        if name is None or row is None:
            return Impossible("there is no version to promote: it has none yet")
        if row.number is None:
            return Impossible("the working tree is not a version yet: w writes its version file")
        if row.is_active:
            return Impossible(f"version {row.number} is the active one; move to another in Versions")
        what = f"make version {row.number} the active one; joins and online readers follow at once"
        return Action(f"Promote {name} {row.number}", tuple(commands.promote_words(name, str(row.number))), what)

    @property
    def baseline(self) -> Action | Impossible:
        row = self.runs.current
        files = self._files
        active = files.detail.entry.active if files else None
        if self.part != "Runs" or row is None or active is None:
            return Impossible("choose a run first, in Runs here or in Drift (4)")
        if row.totals.run_seq is None:
            return Impossible("that run stored nothing, so nothing can be compared with it")
        reference = f"{self.location.feature}@{active.number}"
        return Action(
            f"Reference of {reference}", tuple(commands.baseline_words(reference, row.totals.run_id)),
            f"compare its later runs with run {row.totals.run_seq}",
        )  # fmt: skip


def _overview(files: FeatureFiles, history: FeatureHistory | None) -> RenderableType:
    detail = files.detail
    feature = detail.entry.feature
    parts: list[RenderableType] = [block(feature.name, NAME)]
    parts += [block(feature.description)] if feature.description else []
    parts += [block(detail.note, WARN)] if detail.note else []
    rows = declared_rows(detail)
    if feature.window is not None and history is not None:
        rows.append(("known up to", cell(instant(history.horizon)) if history.horizon else cell("no run yet", DIM)))
    rows.append(("online", _online(files, history)))
    rows.append(("data sets", _datasets(history)))
    parts += [Text(""), facts(rows), *hash_remarks(detail)]
    parts += [block(warning, WARN) for warning in (*detail.warnings, *files.commits.warnings)]
    return Group(*parts)


def _online(files: FeatureFiles, history: FeatureHistory | None) -> Text:
    if history is None:
        return cell("…", DIM)
    if history.online_problem is not None:
        return block(history.online_problem, BAD)
    if files.detail.entry.feature.at_request:
        if history.offline_inputs:
            return block(f"not without its inputs: {', '.join(history.offline_inputs)}; u syncs them", WARN)
        return cell("computed when it is asked for; its inputs are online", GOOD)
    if history.watermark is None:
        return cell("no; u syncs it" if files.detail.entry.active else "no", DIM)
    points = history.timeline.points if history.timeline else ()
    behind = sum(point.run_seq > history.watermark for point in points)
    if behind:
        return cell(f"up to run {history.watermark}, {plural(behind, 'run')} behind; u syncs it", WARN)
    return cell(f"up to date, run {history.watermark}", GOOD)


def _datasets(history: FeatureHistory | None) -> Text:
    if history is None:
        return cell("…", DIM)
    return block(", ".join(item.name for item in history.datasets) or "–")


def _statistics(files: FeatureFiles, history: FeatureHistory | None) -> RenderableType:
    if history is None:
        return hint("Reading the history …")
    if files.detail.entry.feature.at_request:
        return hint(AT_REQUEST)
    if history.timeline is None or not history.timeline.points:
        return hint("No values yet.\n\ni ingests the feature; its statistics are here then.")
    points = history.timeline.points
    return stats_page(StatsResult(history.timeline.version, points[-1], points))


def _lineage(files: FeatureFiles, history: FeatureHistory | None) -> RenderableType:
    datasets = history.datasets if history else ()
    parts: list[RenderableType] = [lineage_tree(files.detail, datasets, files.models)]
    if history is not None and not datasets:
        parts.append(hint("\nNo data set was made of it; featurestore join … --dataset NAME makes one."))
    return Group(*parts)


def _code(row: VersionRow) -> RenderableType:
    """The code of a version, module by module, as it is hashed."""
    parts: list[RenderableType] = [row.title]
    if row.problem is not None:
        parts.append(_problem(row.problem))
    for module, text in row.code.items():
        parts += [Text(""), block(module, "bold"), _highlighted(text)]
    return Group(*parts)


def _highlighted(text: str) -> Syntax:
    # In the terminal's own sixteen colours, which every theme has.
    return Syntax(
        printable(text).rstrip("\n"), "python", theme="ansi_dark", background_color="default", line_numbers=True,
        word_wrap=True,
    )  # fmt: skip


def _problem(problem: Problem) -> Text:
    text = block(f"{problem.where}: {problem.message}" if problem.where else problem.message, BAD)
    if problem.hint:
        text.append_text(block(f"\n{problem.hint}", DIM))
    return text
