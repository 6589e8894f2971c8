"""Which declared columns a version depends on: those that its code names by literals, else all of the source's."""

from __future__ import annotations

from dataclasses import replace
from textwrap import indent
from typing import Any

import pytest

from featurestore.model import Column, Source
from featurestore.versioning.recipe.hashing import named_columns
from tests.versioning.conftest import Projects, feature

COLUMNS = ("age", "chol", "thal", "weight")
SOURCE = Source(
    "visits", "csv", event_time="visit_at", timezone="UTC", columns={name: Column(name, "int") for name in COLUMNS}
)
LINES = """\
import polars as pl
from polars import col
NAME = "age"
NAMES = ("age", "chol")
WEIGHTS = {"age": 1.0, "chol": 2.0}
LIST = ["age"]
def half(x):
    return x / 2
def g(items):
    total = pl.lit(0)
    for weight in (1, 2):
        total += pl.col("age") * weight
    return total
"""


def named(projects: Projects, code: str, *, short: bool = True, **facts: Any) -> list[str]:
    """The columns that count for the function ``f`` of the code."""
    found = projects.closure(f"{LINES}{code}")
    return list(named_columns(feature(source=SOURCE, short=short, **facts), found, SOURCE))


def short_form(expression: str) -> str:
    return f"def f(x=None):\n    return {expression}\n"


def long_form(body: str) -> str:
    return f"def f(df):\n{indent(body, '    ')}\n"


BY_LITERALS = {
    "a literal": ("pl.col('age') / 100", ["age"]),
    "an attribute": ("pl.col.age.cast(pl.Float64)", ["age"]),
    "imported": ("col('age') + col.chol", ["age", "chol"]),
    "several": ("pl.sum_horizontal(pl.col('age', 'chol'), pl.col(['weight']))", ["age", "chol", "weight"]),
    "a constant": ("pl.col(NAME).clip(0, 120)", ["age"]),
    "constants": ("pl.mean_horizontal(pl.col(NAMES))", ["age", "chol"]),
    "a helper": ("half(pl.col('age')) ** 2", ["age"]),
    "conditions": ("pl.when(pl.col('age') > 3, chol=2).then('weight').otherwise(0.5)", ["age", "chol", "weight"]),
    "windows": ("pl.col('age').rolling_mean(3).over('chol', order_by='weight')", ["age", "chol", "weight"]),
    "texts of the data": ("pl.col('age').cast(pl.String).str.replace('4', '5').str.to_lowercase() == 'x'", ["age"]),
    "times": ("pl.col('age').dt.truncate('1d').dt.strftime('%Y').str.len_chars()", ["age"]),
    "unique rows of an expression": ("pl.col('age').drop_nulls().n_unique() % 7", ["age"]),
    "a comprehension over literals": ("pl.sum_horizontal([pl.col(n) * 2 for n in ('age', 'chol')])", ["age", "chol"]),
    "a comprehension over a constant": ("sum(pl.col(n) for n in NAMES)", ["age", "chol"]),
    "the items of a dict": ("sum(w for n, w in WEIGHTS.items()) * pl.col('age')", ["age", "chol"]),
    "an item of a dict": ("pl.col('age') * WEIGHTS['age']", ["age", "chol"]),
    "added up in a loop": ("g([pl.col('age'), pl.col('chol')])", ["age", "chol"]),
    "a lambda": ("pl.col('age').map_elements(lambda v: v + 1)", ["age"]),
    "names of statistics": ("pl.max('age') - pl.mean('chol')", ["age", "chol"]),
    "a text that is no column": ("pl.col('age').alias('thalassemia')", ["age"]),
    "the type is looked at": ("pl.col('age') if isinstance(x, str) else pl.col('chol')", ["age", "chol"]),
}


@pytest.mark.parametrize("name", BY_LITERALS)
def test_columns_that_are_named_by_literals_are_the_only_ones_that_count(projects: Projects, name: str) -> None:
    expression, columns = BY_LITERALS[name]
    assert named(projects, short_form(expression)) == columns


COMPUTED = {
    "an f-string": "pl.col(f'{NAME}x') + pl.col('age')",
    "join": "pl.col(''.join(['th', 'al'])) + pl.col('age')",
    "join of a variable": "x.join(['th', 'al']) + pl.col('age')",
    "format": "pl.col('{}al'.format('th')) + pl.col('age')",
    "percent": "pl.col('age') + half('%sal' % x)",
    "percent of a variable": "pl.when(pl.col('age') == 1).then(x % 'th').otherwise('%sal')",
    "pl.col under another name": "c('age')",
    "pl.col in a variable": "(lambda c: c.thal)(pl.col) + pl.col('age')",
    "getattr": "getattr(pl.col, x) + pl.col('age')",
    "an argument": "pl.col(x) + pl.col('age')",
    "a loop variable": "[pl.col(n) for n in x][0] + pl.col('age')",
    "a shadowed loop variable": "[(lambda n: pl.col(n))(pl.Int64) for n in NAMES] + [pl.col('age')]",
    "all": "pl.all().sum() + pl.col('age')",
    "a star": "pl.col('*').sum() + pl.col('age')",
    "a pattern": "pl.col('^th.*$') + pl.col('age')",
    "a pattern in two": "pl.col('age').alias('^th') + half(x + '$')",
    "a type": "pl.col(pl.Int64).sum() + pl.col('age')",
    "a type of a statistic": "pl.sum(pl.Int64) + pl.col('age')",
    "the nth": "pl.nth(2) + pl.col('age')",
    "the last": "pl.last() + pl.col('age')",
    "all but": "pl.exclude('age').sum()",
    "sql": "pl.sql_expr('th' + 'al') + pl.col('age')",
    "an expression from elsewhere": "pl.Expr.deserialize(x) + pl.col('age')",
    "a method that isn't known": "pl.col('age').meta.output_name()",
    "the name of a function": "pl.col(half.__name__) + pl.col('age')",
    "upper case": "half('THAL'.lower()) + pl.col('age')",
    "a slice": "half(NAME[1:]) + pl.col('age')",
    "letters": "[half(letter) for letter in NAME] + pl.col('age')",
    "a number as text": "half(str(1)) + pl.col('age')",
    "stars of arguments": "pl.struct(*x) + pl.col('age')",
    "two stars": "pl.struct(**x) + pl.col('age')",
    "another package": "pl.col('age') + os.environ['A']",
    "names of this place": "pl.col('age') + half(locals())",
    "a module": "pl.col('age') + half(pl)",
    "a list of letters": "[].extend('th') or pl.col('age')",
    "a set of letters": "{1}.update(NAME) or pl.col('age')",
    "the greatest letter": "pl.col('age') + half(max('thal'))",
}
BEFORE = {"pl.col under another name": "c = pl.col\n", "another package": "import os\n"}


@pytest.mark.parametrize("name", COMPUTED)
def test_a_computed_name_makes_all_columns_count(projects: Projects, name: str) -> None:
    assert named(projects, BEFORE.get(name, "") + short_form(COMPUTED[name])) == list(COLUMNS)


def test_literals_that_are_put_together_name_what_they_make(projects: Projects) -> None:
    assert named(projects, short_form("pl.col('age') + half('th' + 'al')")) == ["age", "thal"]
    assert named(projects, short_form("pl.col('age') + half('we' 'ight')")) == ["age", "weight"]


MODULES = {
    "an enum": "import enum\nclass C(enum.Enum):\n    thal = 1\n" + short_form("pl.col(C.thal.name) + pl.col('age')"),
    "an enum that names itself": "import enum\nclass C(enum.Enum):\n    thal = 1\n    def column(self):\n"
    "        return half(self.name)\n" + short_form("C.thal.column() + pl.col('age')"),
    "members of an enum": "import enum\nclass C(enum.Enum):\n    thal = 1\n"
    + short_form("[half(c) for c in C] + [pl.col('age')]"),
    "fields of a named tuple": "from typing import NamedTuple\nclass R(NamedTuple):\n    thal: float\n"
    + short_form("[half(n) for n in R._fields] + [pl.col('age')]"),
    "a helper that unpacks": "def g(name):\n    a, b = name\n    return half(a + b)\n"
    + short_form("pl.col('age') + g('th')"),
    "a loop in a helper": "def g(names):\n    for n in names:\n        half(n)\n"
    + short_form("pl.col('age') + g('th')"),
    "a list that takes letters": "def g(name):\n    names = []\n    names += name\n    return half(names)\n"
    + short_form("pl.col('age') + g('th')"),
    "a slice that takes letters": "def g(name):\n    names = []\n    names[0:0] = name\n    return half(names)\n"
    + short_form("pl.col('age') + g('th')"),
    "a star import": "from os.path import *\n" + short_form("pl.col('age') + half(sep)"),
    "an assigned global": "def g():\n    global NAME\n    NAME = pl.Int64\n"
    + short_form("pl.col('age') + pl.col(NAME) + g()"),
    "a match": "def g(x):\n    match x:\n        case object(name=n):\n            return n\n"
    + short_form("pl.col('age') + g(1)"),
    "selectors": "import polars.selectors as cs\n" + short_form("cs.numeric() + pl.col('age')"),
}


@pytest.mark.parametrize("name", MODULES)
def test_the_rest_of_the_closure_may_compute_names_too(projects: Projects, name: str) -> None:
    assert named(projects, MODULES[name]) == list(COLUMNS)


PLAIN_FRAMES = {
    "select": "return df.select(entity_id='id', value=pl.col('age') * 2, computed_at='visit_at')",
    "many steps": "rows = df.filter(pl.col('age') > 3).sort('visit_at').with_columns(b=pl.col('chol') * 2)\n"
    "sums = rows.group_by('id').agg(pl.col('b').sum())\n"
    "return rows.join(sums, on='id').unique('id').rename({'b': 'value'}).select('id', 'value')",
    "through a helper": "return half(df.lazy().select(value=pl.col('age') + pl.col('chol')).collect())",
    "piped": "return df.pipe(half).drop_nulls('age').drop('chol')",
    "a condition": "return df.head(5) if len(df) and df.height > 2 else df.filter(age=3, chol=4)",
}


@pytest.mark.parametrize("name", PLAIN_FRAMES)
def test_a_frame_whose_columns_are_named_in_each_step_counts_those(projects: Projects, name: str) -> None:
    columns = named(projects, long_form(PLAIN_FRAMES[name]), short=False)
    assert columns == (["age"] if name == "select" else ["age", "chol"])


SHOWN_FRAMES = {
    "columns": "return [df[c] for c in df.columns] + [pl.col('age')]",
    "an item": "return df['age'] + df[0]",
    "schema": "return df.select(n=pl.lit(len(df.schema)), a=pl.col('age'))",
    "collect_schema": "return df.lazy().collect_schema(), pl.col('age')",
    "dtypes": "return df.dtypes, pl.col('age')",
    "width": "return df.width, pl.col('age')",
    "shape": "return df.shape, pl.col('age')",
    "rows": "return [r for r in df.iter_rows()], pl.col('age')",
    "dicts": "return df.to_dicts(), pl.col('age')",
    "pandas": "return df.to_pandas(), pl.col('age')",
    "its series": "return [s for s in df] + [pl.col('age')]",
    "a list of it": "return list(df), pl.col('age')",
    "unpacked": "first, *rest = df\nreturn rest, pl.col('age')",
    "unique rows": "return df.unique().select('age')",
    "how many rows are unique": "return df.n_unique() * pl.col('age')",
    "rows without nulls": "return df.drop_nulls().select('age')",
    "rows without NaN": "return df.drop_nans().select('age')",
    "renamed by a function": "return df.rename(half).select('age')",
    "exploded by type": "return df.explode(pl.List).select('age')",
    "rows without nulls by type": "return df.drop_nulls(pl.Int64).select('age')",
    "described": "return df.describe(), pl.col('age')",
    "sql": "return df.sql('select age from self')",
    "a query": "return pl.SQLContext(t=df).execute('select age from t')",
    "sums across": "return df.select('age').sum_horizontal()",
    "melted": "return df.unpivot(index='age')",
    "transposed": "return df.transpose(), pl.col('age')",
    "by the name of a series": "return df.get_column('age').name",
    "to another package": "import numpy as np\nreturn np.asarray(df), pl.col('age')",
}


@pytest.mark.parametrize("name", SHOWN_FRAMES)
def test_a_frame_that_shows_its_columns_makes_all_of_them_count(projects: Projects, name: str) -> None:
    assert named(projects, long_form(SHOWN_FRAMES[name]), short=False) == list(COLUMNS)


def test_a_long_form_may_return_the_sources_own_value(projects: Projects) -> None:
    source = replace(SOURCE, columns={**SOURCE.columns, "value": Column("value", "int")})
    code = f"{LINES}{long_form('return df.filter(age=3)')}"
    found = named_columns(feature(source=source, short=False), projects.closure(code), source)
    assert list(found) == ["age", "value"]


def test_a_text_among_the_params_may_be_a_column(projects: Projects) -> None:
    code = short_form("pl.when(x == 1).then(pl.col('age')).otherwise(x)")
    assert named(projects, code, params={"x": "thal"}) == ["age", "thal"]
    assert named(projects, code, params={"x": "*"}) == list(COLUMNS)


def test_what_counts_does_not_depend_on_docstrings_annotations_and_decorators(projects: Projects) -> None:
    plain = "def f():\n    return pl.col('age')\n"
    dressed = (
        "from featurestore import feature\n@feature(tags=['thal'])\ndef f() -> 'thal':\n"
        "    'thal'\n    a: 'thal' = pl.col('age')\n    return a\n"
    )
    assert named(projects, plain) == named(projects, dressed) == ["age"]


def test_a_chain_of_hundreds_of_steps_is_looked_through(projects: Projects) -> None:
    chain = "".join(f".replace({number}, 0)" for number in range(300))
    assert named(projects, short_form(f"pl.col('age'){chain}")) == ["age"]


def test_a_constant_of_another_module_is_followed(projects: Projects) -> None:
    files = {
        "features/lib.py": "NAME = 'age'\ndef half(x):\n    return x / 2\n",
        "features/m.py": "import polars as pl\nfrom .lib import NAME, half\ndef f():\n    return half(pl.col(NAME))\n",
    }
    assert list(named_columns(feature(source=SOURCE), projects.closure(files), SOURCE)) == ["age"]
