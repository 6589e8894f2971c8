"""How features' functions are called over a source's rows."""

import polars as pl

from featurestore.evaluation.evaluate import call_short, group_expressions, sort_rows
from featurestore.model import EntityType, Key, Source

PATIENT = EntityType("patient", (Key("patient_id", "string"),))


def test_expressions_are_grouped_so_that_a_group_s_values_fit_in_memory() -> None:
    expressions = {name: pl.lit(1) for name in "abcde"}
    groups = group_expressions(expressions, 100, most_values=250)
    assert [list(group) for group in groups] == [["a", "b"], ["c", "d"], ["e"]]
    assert [list(group) for group in group_expressions(expressions, 1_000, most_values=250)] == [[n] for n in "abcde"]


def test_functions_see_the_rows_sorted_and_each_row_knows_its_place_in_the_file() -> None:
    frame = pl.DataFrame({"patient_id": ["b", "a", "a"], "at": [1, 2, 1], "v": [1.0, 2.0, 3.0]})
    rows = sort_rows(frame, PATIENT, Source("visits", "csv", event_time="at"))
    assert rows.frame["v"].to_list() == [3.0, 2.0, 1.0]
    assert rows.origin.to_list() == [2, 1, 0]
    values = call_short({"double": pl.col("v") * 2, "v": pl.col("v")}, rows)
    assert values["double"].rows() == [("a", 6.0), ("a", 4.0), ("b", 2.0)]
    assert values["v"].columns == ["patient_id", "value"]
