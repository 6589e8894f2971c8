"""Request-time features that look at other rows: found from the code by what runs none, else by what does."""

from __future__ import annotations

import ast

import polars as pl
import pytest

from featurestore.evaluation.operations import other_rows
from featurestore.registry.request_code import AGGREGATES, OF_MANY_ROWS, looks_at_other_rows
from featurestore.versioning.analysis.tree import SourceTree
from tests.conftest import Folder

RATIO = """
import polars as pl

from featurestore import feature


def against(column: str) -> pl.Expr:
    return pl.col(column) / pl.col(column).mean()


@feature(entity_type="patient", data_type="float", inputs=["age_share"], request={"dose": "float"})
def dose_share() -> pl.Expr:
    return EXPRESSION
"""
REQUEST = "features/request.py"
SAID = "dose_share is not computed row by row: mean() may look at other rows than the request's"
WAY_OUT = "compute it in a feature of its own, which has a history, and name that in inputs="
ARGUMENTS = {
    "quantile": "0.5", "shift": "1", "over": '"x"', "rolling": '"x", period="1i"', "rolling_sum": "2",
    "rolling_mean": "2", "rolling_min": "2", "rolling_max": "2", "rolling_std": "2", "rolling_var": "2",
    "rolling_median": "2", "rolling_sum_by": '"x", "2i"', "rolling_mean_by": '"x", "2i"', "rolling_min_by": '"x", "2i"',
    "rolling_max_by": '"x", "2i"', "ewm_mean": "com=1", "sort_by": '"x"', "slice": "0, 1", "filter": "True",
    "gather": "0", "sample": "1", "qcut": "2", "map_batches": "lambda x: x", "map_elements": "lambda x: x",
}  # fmt: skip
OWN_ROW = [
    'pl.col("x") / 2', 'pl.col("x").list.sum()', 'pl.col("x").list.max() + 1', 'pl.max_horizontal("x", "y")',
    'pl.col("x").str.head(2)', 'pl.when(pl.col("x") > 1).then(1).otherwise(0)', 'sum([pl.col("x"), pl.col("y")])',
    "helper().sum()", "pl.Series([1]).sum()", '[1, 2].count(1) * pl.col("x")',
]  # fmt: skip


def seen(folder: Folder, body: str) -> tuple[str, int] | None:
    folder.write({"features/f.py": f"import polars as pl\n\n\ndef f():\n{body}\n"})
    module = SourceTree(folder.root).module("features.f")
    assert module is not None
    function = module.tree.body[-1]
    assert isinstance(function, ast.FunctionDef)
    return looks_at_other_rows(module, function)


@pytest.mark.filterwarnings("ignore:`qcut` is deprecated")
@pytest.mark.parametrize("name", sorted(OF_MANY_ROWS))
def test_what_is_seen_in_the_code_is_what_the_tree_refuses(name: str) -> None:
    expression = eval(f'pl.col("x").{name}({ARGUMENTS.get(name, "")})', {"pl": pl})
    assert other_rows(expression) is not None


@pytest.mark.parametrize("name", sorted(AGGREGATES))
def test_functions_that_are_seen_are_refused_by_the_tree(name: str) -> None:
    arguments = {"quantile": '"x", 0.5', "corr": '"x", "y"', "cov": '"x", "y"', "len": ""}.get(name, '"x"')
    assert other_rows(eval(f"pl.{name}({arguments})", {"pl": pl})) is not None


@pytest.mark.parametrize("code", OWN_ROW)
def test_what_looks_at_its_own_row_is_not_refused(folder: Folder, code: str) -> None:
    assert seen(folder, f"    return {code}") is None


def test_names_are_followed_in_straight_code_alone(folder: Folder) -> None:
    assert seen(folder, '    x = pl.col("x")\n    y = x - 1\n    return x / y.sum()') == ("sum()", 7)
    assert seen(folder, '    x = pl.col("x")\n    x = 3\n    return pl.col("y") * x.sum()') is None
    assert seen(folder, '    if 1 > 2:\n        return pl.col("x").sum()\n    return pl.col("x")') is None


def test_plan_check_lock_and_ingest_say_it_without_running_the_code(project: Folder) -> None:
    project.write({REQUEST: RATIO.replace("EXPRESSION", 'pl.col("dose") / pl.col("dose").mean()')})
    (broken,) = project.json("plan")["problems"]
    assert (broken["message"], broken["hint"]) == (SAID, WAY_OUT)
    findings = project.json("check", code=1)["findings"]
    (finding,) = [item for item in findings if item["kind"] == "declaration"]
    assert (finding["where"], finding["message"]) == (f"{REQUEST}:12", SAID)
    assert finding["hint"] == WAY_OUT
    assert SAID in project.run("lock", code=2).err
    assert SAID in project.features(code=3)["dose_share"]["error"]["message"]


def test_what_only_a_run_tells_is_said_by_ingest_and_refused_by_promote(project: Folder) -> None:
    project.write({REQUEST: RATIO.replace("EXPRESSION", 'against("dose")')})
    project.run("lock")
    ran = project.run("ingest")
    assert f"{REQUEST}:11: {SAID} ({WAY_OUT})" in ran.err
    refused = project.run("promote", "dose_share", "1", code=4)
    assert SAID in refused.err
    assert WAY_OUT in refused.err
    assert not (project.root / "features" / ".versions" / "dose_share" / "active").exists()
