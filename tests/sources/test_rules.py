"""Rules of declared columns: a row that breaks one is set aside, with the rule and the value."""

from __future__ import annotations

import re

import polars as pl
import pytest

from featurestore.errors import ConfigError, SourceError
from featurestore.sources.patterns import check_pattern, find_mismatches
from tests.conftest import Folder
from tests.sources.conftest import Shops

RULES: list[tuple[str, list[tuple[str, str | None]]]] = [
    ('type = "int", null = false', [("5", None), ("", "is null")]),
    (
        'type = "int", min = 0, max = 120',
        [
            ("0", None),
            ("120", None),
            ("-1", "'-1' is below the minimum 0"),
            ("121", "'121' is above the maximum 120"),
            ("", None),
        ],
    ),
    ('type = "int", min = 0.5', [("1", None), ("0", "'0' is below the minimum 0.5")]),
    (
        'type = "float", min = 0, max = 1',
        [
            ("0.5", None),
            ("inf", "'inf' is above the maximum 1"),
            ("-inf", "'-inf' is below the minimum 0"),
            ("nan", "'nan' is below the minimum 0"),
            ("", None),
        ],
    ),
    (
        'type = "string", min_length = 2, max_length = 3',
        [("a", "'a' has fewer than 2 characters"), ("ää", None), ("abcd", "'abcd' has more than 3 characters")],
    ),
    (
        'type = "list[float]", min_length = 1, max_length = 2',
        [("[]", "'[]' has fewer than 1 items"), ("[1,2]", None), ("[1,2,3]", "'[1,2,3]' has more than 2 items")],
    ),
    ('type = "float", max = 1', [("nan", "'nan' is above the maximum 1")]),
    (
        'type = "date", min = "2024-01-01", max = 2024-12-31',
        [
            ("2024-01-01", None),
            ("2023-12-31", "'2023-12-31' is below the minimum 2024-01-01"),
            ("2025-01-01", "'2025-01-01' is above the maximum 2024-12-31"),
        ],
    ),
    (
        'type = "datetime", min = "2024-01-01T00:00:00+01:00"',
        [
            ("2023-12-31T23:00:00Z", None),
            ("2023-12-31T22:59:59Z", "'2023-12-31T22:59:59Z' is below the minimum 2024-01-01T00:00:00+01:00"),
        ],
    ),
    (
        'type = "string", in = ["F", "M"]',
        [
            ("F", None),
            ("X", "'X' is not one of F, M"),
            ("f", "'f' is not one of F, M"),
            ("", None),
            ('""', "'' is not one of F, M"),
        ],
    ),
    ('type = "int", in = [1, 2]', [("1", None), ("3", "'3' is not one of 1, 2")]),
    ('type = "float", in = [0.1, 2]', [("0.1", None), ("2", None), ("0.2", "'0.2' is not one of 0.1, 2")]),
    ('type = "bool", in = [true]', [("true", None), ("0", "'0' is not one of True")]),
    (
        'type = "string", pattern = "[A-Z]\\\\d+"',
        [
            ("A1", None),
            ("A", "'A' does not match [A-Z]\\d+"),
            ("xA1", "'xA1' does not match [A-Z]\\d+"),
            ("A1\n", "'A1\\n' does not match [A-Z]\\d+"),
            ("", None),
        ],
    ),
    ('type = "string", pattern = "\\\\p{L}+"', [("größe", None), ("a1", "'a1' does not match \\p{L}+")]),
    ('type = "string", null = false, in = ["F"]', [("", "is null"), ("F", None)]),
]


@pytest.mark.parametrize(("rule", "value", "reason"), [(rule, *pair) for rule, pairs in RULES for pair in pairs])
def test_each_rule(rule: str, value: str, reason: str | None, shops: Shops) -> None:
    shop = shops('type = "csv"\npath = "visits.csv"\ntimezone = "UTC"\n[sources.visits.columns]\nx = { ' + rule + " }")
    shop.write("visits.csv", f'id,x\na,"{value}"\n' if value not in ("", '""') else f"id,x\na,{value}\n")
    taken = shop.read()
    assert shop.rejected(taken) == ([] if reason is None else [(1, "x", reason)])
    assert taken.frame.height == (reason is None)


def test_a_row_is_rejected_once_for_the_first_thing_wrong(shops: Shops) -> None:
    columns = '[sources.visits.columns]\nx = { type = "int", min = 0, in = [1] }\ny = { type = "int" }'
    shop = shops('type = "csv"\npath = "visits.csv"\n' + columns)
    shop.write("visits.csv", "id,x,y\na,-1,z\nb,2,5\nc,1,q\nd,1,5\n")
    taken = shop.read()
    assert taken.rejected_count == 3
    assert shop.rejected(taken) == [
        (1, "x", "'-1' is below the minimum 0"),
        (2, "x", "'2' is not one of 1"),
        (3, "y", "'q' is not an int"),
    ]
    assert taken.rejected[0].values == {"id": "a", "x": "-1", "y": "z"}
    assert taken.frame.rows() == [("d", 1, 5)]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ('type = "int", in = ["1"]', "x.in holds what can't be a value of the column: item 1 is not a whole number"),
        ('type = "int", in = [1, 1.5]', "item 2 is not a whole number"),
        ('type = "int", in = [true]', "item 1 is not a whole number"),
        ('type = "int", in = [9223372036854775808]', "item 1 is not a whole number"),
        ('type = "string", in = [1]', "item 1 is not text"),
        ('type = "float", in = ["10.5"]', "item 1 is not a number"),
        ('type = "float", in = [[1]]', "item 1 is not a number"),
        ('type = "float", in = []', "x.in is empty: no value can be right"),
        ('type = "float", in = 1', "x.in must be a list, not a whole number"),
        ('type = "bool", in = ["true"]', "item 1 is not true or false"),
        ('type = "date", in = ["2024-13-01"]', "item 1 is not a date"),
        ('type = "date", min = "yesterday"', "x.min is not a date, for example 2024-01-31"),
        ('type = "date", min = 5', "x.min is not a date"),
        ('type = "date", max = "2024-01-01T00:00:00Z"', "x.max is not a date"),
        ('type = "datetime", max = [1]', "x.max is not a time, for example 2024-01-31T08:00:00Z"),
        ('type = "datetime", max = 10:00:00', "x.max is not a time"),
        ('type = "int", min = "0"', "x.min is not a number"),
        ('type = "int", min = true', "x.min is not a number"),
        ('type = "float", max = nan', "x.max is not a number"),
        ('type = "float", max = 1000000000000000000000', "x.max is not a number"),
        ('type = "string", min = 0', "x.min has no meaning for a string column"),
        ('type = "int", min = 2, max = 1', "x.min is above max: no value can be right"),
        ('type = "float", min = 0.5, max = -inf', "x.min is above max"),
        ('type = "datetime", min = "2024-01-01T01:00:00+01:00", max = 2023-12-31', "x.min is above max"),
        ('type = "string", pattern = "("', "x.pattern is not a regular expression"),
        (f'type = "string", pattern = "{"(" * 20_000 + ")" * 20_000}"', "x.pattern is a regular expression that is"),
        ('type = "string", pattern = "a{99999999999}"', "x.pattern is a regular expression that is too large"),
    ],
)  # fmt: skip
def test_a_rule_that_no_value_can_keep_is_refused_before_any_row_is_read(rule: str, said: str, shops: Shops) -> None:
    with pytest.raises(ConfigError) as caught:
        shops('type = "csv"\npath = "visits.csv"\n[sources.visits.columns]\nx = { ' + rule + " }")
    assert said in str(caught.value)
    assert re.search(r"featurestore\.toml:\d+: sources\.visits\.columns\.x\.", str(caught.value))


def test_toml_s_own_dates_are_values(shops: Shops) -> None:
    columns = '[sources.visits.columns]\nx = { type = "date", in = [2024-01-31, "2024-02-29"], min = 2024-01-31 }'
    shop = shops('type = "csv"\npath = "visits.csv"\n' + columns)
    shop.write("visits.csv", "id,x\na,2024-01-31\nb,2024-02-29\nc,2024-03-01\n")
    assert [row[0] for row in shop.rejected(shop.read())] == [3]


def test_a_pattern_matches_the_whole_value() -> None:
    texts = pl.Series(["", "ab", "AB", "aab\n", "é9", "a" * 50_000, "x\ty", "٣", "b", None])
    for pattern in (
        "a+b*",
        "(a|b)+",
        "(?i:ab)+",
        r"\w+\d+",
        r"[^\W]*\s?",
        "(?s:.*)",
        "",
        "a?b?",
        "a|b",
        "(?x)a+ b # both",
    ):
        expected = [None if text is None else not re.fullmatch(pattern, text) for text in texts]
        assert find_mismatches(pattern, texts, "x").to_list() == expected, pattern


@pytest.mark.parametrize("pattern", ["(a+)+", "(a|aa)+", "(?:a*)*b", "(.*,){12}x"])
def test_no_pattern_backtracks(pattern: str) -> None:
    texts = pl.Series(["a" * 100_000 + "!", "1," * 50_000])
    assert find_mismatches(pattern, texts, "x").to_list() == [True, True]


@pytest.mark.parametrize(
    ("pattern", "said", "hint"),
    [
        ("(?=.*x)ab.*", "looks ahead or behind ((?=)", "a second rule"),
        ("a(?<!b)", "looks ahead or behind", "a second rule"),
        (r"(.)\1+", r"refers back to a group, or has an octal escape (\1)", "spell the alternatives out"),
        ("(?P<a>.)(?P=a)", "refers back to a group", "spell the alternatives out"),
        ("(a)?(?(1)b|c)", "has a condition", "(a|b)"),
        ("(?>a+)b", "has an atomic group", "(?:…)"),
        ("a++b", "has a possessive repetition (++)", "leave the second + out"),
        ("a{2,}+b", "has a possessive repetition ({2,}+)", "leave the second + out"),
        ("(?#why)a", "has a comment", "featurestore.toml"),
        (r"a\Z", r"has \Z", "leave it out"),
        ("a{,5}", "repeats without a lower bound ({,5})", "{0,…}"),
    ],
)
def test_what_an_engine_without_backtracking_lacks_is_refused_by_name(pattern: str, said: str, hint: str) -> None:
    problem = check_pattern(pattern)
    assert problem is not None
    assert said in problem[0]
    assert hint in str(problem[1])


@pytest.mark.parametrize(
    "pattern", [r"\+\+", "[*+?]+", r"[\]+]+", "[(?=]", r"a\\1", r"\p{L}+", "(?<n>a)", "(?i)a(?U)b", "[[:alpha:]]+"]
)
def test_what_only_looks_like_that_is_a_pattern(pattern: str) -> None:
    assert check_pattern(pattern) is None
    assert find_mismatches(pattern, pl.Series(["~"]), "x").to_list() == [True]


@pytest.mark.parametrize("pattern", [r"\p{Nonsense}", r"(?<n>a)|b)|(c", r"(?:(?:\pL{1,1000}){1,1000}){1,1000}"])
def test_a_pattern_that_only_the_engine_can_judge_is_exit_2_in_the_run(pattern: str, project: Folder) -> None:
    project.edit(
        "featurestore.toml", 'chol = { type = "float" }', f"note = {{ type = \"string\", pattern = '{pattern}' }}"
    )
    project.write({"visits.csv": "patient_id,visit_at,age,note\n001,2024-01-01T00:00:00Z,50,a\n"})
    error = project.run("ingest", code=2).err
    assert "the pattern of column 'note', " in error
    assert "is not a regular expression: " in error
    assert "docs.rs/regex" in error


def test_a_value_that_comes_twice_in_a_unique_column_fails_the_source_and_names_both_rows(shops: Shops) -> None:
    shop = shops('type = "csv"\npath = "*.csv"\n[sources.visits.columns]\nx = { type = "int", unique = true }')
    shop.write("a.csv", "id,x\n1,1\n2,\n3,\n")
    shop.write("b.csv", "id,x\n4,2\n5,1\n")
    with pytest.raises(SourceError, match=r"^a\.csv row 1 and b\.csv row 2: x is unique, and 1 comes twice"):
        shop.read()
    shop.write("b.csv", "id,x\n4,2\n5,3\n")
    assert shop.read().frame.height == 5


def test_more_rows_set_aside_than_allowed_fail_the_source_from_100_rows_on(shops: Shops) -> None:
    shop = shops('type = "csv"\npath = "a.csv"\nmax_rejected = "2%"\n[sources.visits.columns]\nx = { type = "int" }')

    def write(good: int, bad: int) -> None:
        shop.write("a.csv", "id,x\n" + "1,1\n" * good + "1,one\n" * bad)

    write(50, 49)
    assert shop.read().rejected_count == 49
    write(98, 2)
    assert shop.read().rejected_count == 2
    write(97, 3)
    with pytest.raises(SourceError, match=r"3 of 100 rows had to be set aside, 3\.0%; max_rejected is 2\.00%"):
        shop.read()
