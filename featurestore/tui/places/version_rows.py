"""The versions of a feature as rows: those that have files, newest first, and above them code that is in none yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from rich.text import Text

from featurestore.frozen import frozen
from featurestore.model import Problem
from featurestore.render.printable import one_line
from featurestore.render.words import instant
from featurestore.tui.texts import BAD, DIM, GOOD, NAME, WARN, block, cell
from featurestore.tui.widgets.columns import Column
from featurestore.versioning.folder.versionfile import VersionFile
from featurestore.workflows.catalogue import Detail
from featurestore.workflows.diff import WORKTREE
from featurestore.workflows.version_commits import VersionCommit


@frozen
class VersionRow:
    """A version, or with ``number`` None the working tree's code. ``before`` is what ``diff`` compares it with."""

    number: int | None
    sha256: str
    created: int | None
    commit: VersionCommit | None
    code: Mapping[str, str]
    is_active: bool
    is_working: bool
    before: str | None
    problem: Problem | None = None

    @property
    def key(self) -> str:
        return self.sha256 or WORKTREE

    @property
    def reference(self) -> str:
        return WORKTREE if self.number is None else str(self.number)

    @property
    def notes(self) -> str:
        words = ["active"] if self.is_active else []
        words += ["working tree"] if self.is_working else []
        return ", ".join(words)

    @property
    def whole(self) -> Text:
        """Its full hash, and below it its commit: for where the columns are too narrow."""
        text = Text.assemble(("sha256 ", DIM), (self.sha256 or "–", "cyan"), no_wrap=True, overflow="ellipsis")
        text.append("\n")
        if self.commit is not None:
            by = f"{self.commit.author} <{self.commit.email}>, {instant(self.commit.committed_at)}"
            text.append_text(Text.assemble(("commit ", DIM), self.commit.commit))
            return text.append_text(block(f"\n{one_line(by)}: {one_line(self.commit.subject)}", DIM))
        why = "the working tree's code has no version file; w writes it" if self.number is None else "not committed yet"
        return text.append_text(cell(why, WARN))

    @property
    def title(self) -> Text:
        """One line that says which version it is and whose."""
        text = block("the working tree" if self.number is None else f"version {self.number}", NAME)
        text.append_text(cell(f"  {self.sha256[:12]}", DIM))
        if self.notes and self.number is not None:
            text.append_text(cell(f"  {self.notes}", GOOD))
        if self.commit is not None:
            text.append_text(cell(f"  {self.commit.author}, {instant(self.commit.committed_at)[:10]}", DIM))
        return text


def version_rows(detail: Detail, commits: Mapping[str, VersionCommit]) -> list[VersionRow]:
    """Newest first."""
    entry = detail.entry
    working = entry.hashed.sha256 if entry.hashed else ""
    rows = [_file_row(file, detail, commits.get(file.name.path.name), working) for file in detail.files]
    for at, row in enumerate(rows):
        rows[at] = replace(row, before=rows[at - 1].reference if at else None)
    rows.reverse()
    if not any(row.is_working for row in rows) and detail.note is None:
        rows.insert(0, _working_row(detail, rows[0].reference if rows else None))
    return rows


def version_columns() -> list[Column[VersionRow]]:
    return [
        Column("version", _number, lambda row: row.number, right=True),
        Column("state", lambda row: cell(row.notes, GOOD if row.is_active else WARN), lambda row: row.notes, least=12),
        Column("sha256", lambda row: cell(row.sha256 or "–", "cyan"), lambda row: row.sha256, least=12, comfort=64),
        Column("committed by", _author, lambda row: row.commit.author if row.commit else None, least=10),
        Column("when", _when, lambda row: row.commit.committed_at if row.commit else None, spare=1),
        Column("in", lambda row: cell(row.commit.commit[:12] if row.commit else "", DIM), spare=2),
        Column("written", lambda row: cell(instant(row.created)[:10], DIM), lambda row: row.created, spare=4),
        Column(
            "subject", lambda row: cell(row.commit.subject if row.commit else "", DIM), spare=3, least=12, grow=True
        ),
    ]


def _file_row(file: VersionFile, detail: Detail, commit: VersionCommit | None, working: str) -> VersionRow:
    return VersionRow(
        number=file.number, sha256=file.sha256, created=file.created, commit=commit,
        code={section.module: section.text for section in file.sections},
        is_active=file.sha256 == detail.entry.active_sha256, is_working=file.sha256 == working, before=None,
    )  # fmt: skip


def _working_row(detail: Detail, before: str | None) -> VersionRow:
    entry = detail.entry
    code = {section.module: section.text for section in detail.closure.sections} if detail.closure else {}
    sha256 = entry.hashed.sha256 if entry.hashed else ""
    return VersionRow(None, sha256, None, None, code, False, True, before, entry.problem)


def _number(row: VersionRow) -> Text:
    return cell("–", DIM) if row.number is None else cell(str(row.number), NAME)


def _author(row: VersionRow) -> Text:
    if row.commit is not None:
        return cell(row.commit.author)
    return cell("not locked" if row.number is None else "not committed", BAD if row.problem else WARN)


def _when(row: VersionRow) -> Text:
    return cell(instant(row.commit.committed_at)[:10] if row.commit else "", DIM)
