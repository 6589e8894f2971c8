"""Numbers of a body that no float holds are refused, as the command line does."""

from __future__ import annotations

import pytest

from featurestore.errors import UsageError
from featurestore.serve.routes_online import read_json


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1e-400", "1" + "0" * 400 + ".5", "0." + "0" * 400 + "1"])
def test_a_number_that_would_become_another_one_is_refused(number: str) -> None:
    with pytest.raises(UsageError, match="no float is "):
        read_json(f'{{"request": {{"amount": {number}}}}}'.encode())


@pytest.mark.parametrize(
    ("number", "value"), [("1e300", 1e300), ("2.5e-300", 2.5e-300), ("0e999", 0.0), ("0.00", 0.0), ("12.5", 12.5)]
)
def test_other_numbers_are_what_they_are(number: str, value: float) -> None:
    assert read_json(f'{{"request": {{"amount": {number}, "word": "1e999"}}}}'.encode())["request"]["amount"] == value
