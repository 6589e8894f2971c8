"""Values of NumPy, pandas and `decimal` as Python's own."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from featurestore.errors import UsageError
from featurestore.evaluation.request_fields import from_value
from featurestore.model import EntityType, Key, Scalar
from featurestore.point_in_time.entities import entity_keys

CARD = EntityType("card", (Key("card", "int"),))
SHELF = EntityType("shelf", (Key("shop", "string"), Key("product", "int")))


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        ("int", np.int32(7), 7),
        ("int", np.uint64(2**63 - 1), 2**63 - 1),
        ("int", Decimal(3), 3),
        ("float", np.float32(0.1), float(np.float32(0.1))),
        ("float", np.int64(3), 3.0),
        ("float", Decimal("1.5"), 1.5),
        ("bool", np.bool_(True), True),
        ("string", np.str_("é"), "é"),
        ("date", np.datetime64("2026-01-01"), date(2026, 1, 1)),
        ("datetime", np.datetime64("2026-01-01T00:00:00.000001", "ns"), datetime(2026, 1, 1, 0, 0, 0, 1, UTC)),
        ("datetime", pd.Timestamp("2026-01-01"), datetime(2026, 1, 1, tzinfo=UTC)),
        ("list[float]", np.array([1.5, 2.0]), [1.5, 2.0]),
        ("float", pd.NA, None),
        ("datetime", pd.NaT, None),
        ("datetime", np.datetime64("NaT"), None),
    ],
)
def test_a_field_is_the_same_value(kind: Scalar, given: Any, expected: object) -> None:
    found = from_value("x", kind, given)
    assert found == expected
    assert type(found) is type(expected) or kind == "datetime"


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("float", Decimal("0.1")),
        ("float", np.int64(2**53 + 1)),
        ("int", np.float64(1.5)),
        ("datetime", np.datetime64("2026-01-01T00:00:00.000000001", "ns")),
        ("datetime", np.timedelta64(1, "s")),
        ("float", np.complex128(1)),
        ("list[float]", np.array([[1.0]])),
    ],
)
def test_what_would_be_another_value_is_refused(kind: Scalar, given: Any) -> None:
    with pytest.raises(UsageError, match="the request's field 'x' is not"):
        from_value("x", kind, given)


def test_ids_of_a_frame_name_entities() -> None:
    row = pd.DataFrame({"card": [1037], "shop": ["s1"]}).iloc[0]
    assert entity_keys(CARD, np.int64(1037)) == {"card": 1037}  # type: ignore[arg-type]
    assert entity_keys(SHELF, {"shop": row["shop"], "product": row["card"]}) == {"shop": "s1", "product": 1037}
    others: list[Any] = [np.float64(1037), np.datetime64("2026-01-01"), pd.NA, np.array([1037])]
    for wrong in others:
        with pytest.raises(UsageError, match="is not the id of a card"):
            entity_keys(CARD, wrong)
