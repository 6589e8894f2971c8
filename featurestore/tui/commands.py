"""The command line that gives what a place shows, and those that the actions run."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from featurestore.tui.filter import Term
from featurestore.tui.location import Location

# What ``list`` and ``runs`` take, by the field of the filter.
_LIST_OPTIONS = {"entity": "--entity-type", "tag": "--tag", "status": "--status", "owner": "--owner",
                 "source": "--source"}  # fmt: skip
_TABS = {"Statistics": "stats", "Lineage": "lineage"}


def command_line(words: Sequence[str], root: Path, folder: Path) -> str:
    """The command as it is typed in a folder: with ``-C`` where the project is not found from there."""
    inside = folder == root or root in folder.parents
    return shlex.join(["featurestore", *([] if inside else ["-C", str(root)]), *words])


def words_for(location: Location, terms: Sequence[Term] = ()) -> list[str]:
    """The command that shows the same in a shell, as far as there is one: a filter's ``!`` has no option."""
    match location.place:
        case "features":
            return ["list", *_list_words(terms)]
        case "feature" if location.feature and location.tab == "Runs":
            return ["runs", "--feature", location.feature]
        case "feature" if location.feature:
            return [_TABS.get(location.tab or "", "show"), location.feature]
        case "diff" if location.feature:
            return ["diff", location.feature, *(word for word in (location.old, location.new) if word)]
        case "drift":
            return ["drift", *([location.feature] if location.feature else [])]
        case "runs":
            return ["runs", *_run_words(location, terms)]
        case _:
            return ["list"]


def ingest_words(names: Sequence[str] = ()) -> list[str]:
    return ["ingest", *names]


def sync_words() -> list[str]:
    return ["sync"]


def lock_words(names: Sequence[str] = ()) -> list[str]:
    return ["lock", *names]


def promote_words(feature: str, version: str) -> list[str]:
    return ["promote", feature, version]


def baseline_words(reference: str, run: str) -> list[str]:
    """``reference`` is a feature with its version, ``name@2``."""
    return ["baseline", reference, run]


def _list_words(terms: Sequence[Term]) -> list[str]:
    words: list[str] = []
    for term in terms:
        if not term.inverted and term.field in _LIST_OPTIONS:
            words += [_LIST_OPTIONS[term.field or ""], term.word]
    text = [term.word for term in terms if term.field is None and not term.inverted]
    return [*text[:1], *words]


def _run_words(location: Location, terms: Sequence[Term]) -> list[str]:
    if location.run:
        return [location.run]
    words = ["--feature", location.feature] if location.feature else []
    for term in terms:
        if not term.inverted and term.field in ("status", "feature"):
            words += [f"--{term.field}", term.word]
    return words
