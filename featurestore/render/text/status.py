"""The state of all features, for the morning."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from featurestore.errors import plural
from featurestore.render.text.style import BAD, DIM, GOOD, NAME, WARN, line, status
from featurestore.render.text.table import Column, table
from featurestore.render.words import age, count, score
from featurestore.workflows.status import FeatureState, ProjectState


def status_page(state: ProjectState) -> RenderableType:
    """One line a feature, worst first, then what is wrong with which."""
    problems = [(item.name, problem) for item in state.features for problem in item.problems]
    sentences = [line(f"{name} {problem}", BAD) for name, problem in problems]
    sentences += [line(problem, BAD) for problem in state.problems]
    if not state.features and not sentences:
        return line("there are no features; declare one in features/")
    columns = [
        Column("feature", "name", NAME), Column("version", "number", spare=4), Column("fresh", "number"),
        Column("last run"), Column("run", style=DIM, spare=5), Column("set aside", "number", spare=1),
        Column("drift", "number", spare=2), Column("online", "words", spare=3),
    ]  # fmt: skip
    total = state.problem_count
    summary = plural(total, "problem") if total else f"{plural(len(state.features), 'feature')}, no problems"
    listed = [table(columns, map(_cells, state.features))] if state.features else []
    return Group(*listed, *sentences, line(summary, BAD if total else GOOD))


def _cells(item: FeatureState) -> tuple[str | Text, ...]:
    return (
        item.name, "" if item.version is None else str(item.version),
        line(age(item.age), BAD if item.rank <= 1 else ""),
        status(item.last_status) if item.last_status else line("never", WARN), item.last_run or "",
        count(item.rejected), _drift(item), _online(item),
    )  # fmt: skip


def _drift(item: FeatureState) -> Text:
    measured = None if item.drift is None else item.drift.get("score")
    return line(score(measured if isinstance(measured, float) else None), WARN if item.drifted else DIM)


def _online(item: FeatureState) -> Text:
    if item.online_lag is None:
        return line("–", DIM)
    return line(f"{plural(item.online_lag, 'run')} behind", WARN) if item.online_lag else line("current", DIM)
