"""Rules of declared columns: a row that breaks one is set aside, with the rule and the value."""

from __future__ import annotations

import pytest

from featurestore.errors import ConfigError
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
    ('type = "string", pattern = "(?=.*x)ab.*"', [("abx", None), ("ab", "'ab' does not match (?=.*x)ab.*")]),
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
    "rule",
    [
        'type = "int", in = ["1"]',
        'type = "int", in = [1.5]',
        'type = "int", in = [true]',
        'type = "string", in = [1]',
        'type = "date", min = "yesterday"',
        'type = "bool", in = ["true"]',
        'type = "float", in = [[1]]',
    ],
)
def test_a_rule_with_a_value_that_the_column_can_not_have_is_a_configuration_error(rule: str, shops: Shops) -> None:
    shop = shops('type = "csv"\npath = "visits.csv"\n[sources.visits.columns]\nx = { ' + rule + " }")
    shop.write("visits.csv", "id,x\na,\n")
    with pytest.raises(ConfigError, match="a rule of column 'x' names"):
        shop.read()
