"""The columns of a list of runs, of one feature or all."""

from __future__ import annotations

from rich.text import Text

from featurestore.errors import plural
from featurestore.offline.totals import RunTotals
from featurestore.render.words import instant
from featurestore.tui.data import RunRow
from featurestore.tui.texts import BAD, DIM, NAME, WARN, cell, status
from featurestore.tui.widgets.columns import Column


def run_columns(*, of_feature: bool = False) -> list[Column[RunRow]]:
    """Of one feature without what says of which features a run was."""
    columns: list[Column[RunRow]] = [
        Column("started", lambda row: cell(_instant(row.totals)), lambda row: row.totals.started_at),
        Column("#", _number, lambda row: row.totals.run_seq, right=True),
        Column("status", lambda row: status(row.totals.status), lambda row: row.totals.status),
        Column(
            "time",
            lambda row: cell(f"{row.totals.duration_s:,.2f} s", DIM),
            lambda row: row.totals.duration_s,
            right=True,
            spare=3,
        ),
        Column("written", lambda row: _count(row.totals.rows_written), lambda row: row.totals.rows_written, right=True),
        Column(
            "corrected",
            lambda row: _count(row.totals.rows_corrected),
            lambda row: row.totals.rows_corrected,
            right=True,
            spare=4,
        ),
        Column(
            "set aside",
            lambda row: _count(row.totals.rows_rejected, WARN),
            lambda row: row.totals.rows_rejected,
            right=True,
            spare=1,
        ),
        Column(
            "drifted", lambda row: _count(row.totals.drifted, WARN), lambda row: row.totals.drifted, right=True, spare=2
        ),
        Column("run", lambda row: cell(row.totals.run_id, NAME), lambda row: row.totals.run_id, spare=6),
        Column(
            "commit", lambda row: cell(row.totals.git_commit or "", DIM), lambda row: row.totals.git_commit, spare=7
        ),
    ]
    if of_feature:
        return columns
    features = Column[RunRow]("features", _features, lambda row: row.totals.features, least=12, grow=True, spare=5)
    return [*columns, features]


def _instant(run: RunTotals) -> str:
    return instant(run.started_at).replace("T", " ").removesuffix("Z")


def _number(row: RunRow) -> Text:
    return cell("–", DIM) if row.totals.run_seq is None else cell(str(row.totals.run_seq))


def _count(value: int, style: str = "") -> Text:
    """A count; nothing for 0, so that what is not 0 stands out."""
    return cell(f"{value:,}" if value else "", style)


def _features(row: RunRow) -> Text:
    run = row.totals
    text = Text(no_wrap=True, end="")
    if run.failed:
        text.append(f"{run.failed:,} failed  ", BAD)
    more = run.features - len(run.names)
    names = ", ".join(run.names)
    text.append_text(
        cell(f"{plural(run.features, 'feature')}: {names}{', …' if more > 0 else ''}" if names else "–", DIM)
    )
    return text
