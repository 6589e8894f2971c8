"""Which columns of a table are shown, and how wide."""

from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from featurestore.tui.widgets.columns import GAP, Column, fit


def column(title: str, *, least: int | None = None, spare: int = 0, grow: bool = False) -> Column[str]:
    return Column(title, Text, least=least, spare=spare, grow=grow)


COLUMNS = [column("name", least=4), column("kind", spare=1), column("text", least=3, spare=2, grow=True), column("n")]


def test_what_fits_is_shown_as_wide_as_it_likes_and_one_column_takes_the_rest() -> None:
    fitted = fit(COLUMNS, [10, 6, 8, 3], 60)
    assert [item.title for item in fitted.columns] == ["name", "kind", "text", "n"]
    assert fitted.widths == (10, 6, 60 - 10 - 6 - 3 - 3 * GAP, 3)


def test_columns_that_can_be_spared_go_first() -> None:
    assert [item.title for item in fit(COLUMNS, [10, 6, 8, 3], 18).columns] == ["name", "kind", "n"]
    assert [item.title for item in fit(COLUMNS, [10, 6, 8, 3], 12).columns] == ["name", "n"]


def test_what_can_shrink_does_so_before_a_column_that_needs_its_comfort() -> None:
    columns = [column("state", least=12), Column("sha256", Text, least=12, comfort=64)]
    assert fit(columns, [20, 64], 78).widths == (12, 64)
    assert fit(columns, [20, 64], 60).widths == (20, 38)  # too narrow for that: the widest gives way


@given(st.lists(st.integers(1, 40), min_size=4, max_size=4), st.integers(20, 250))
def test_a_row_is_never_wider_than_the_room(natural: list[int], room: int) -> None:
    fitted = fit(COLUMNS, natural, room)
    least = min(natural[0], 4) + natural[3] + GAP
    assert sum(fitted.widths) + GAP * (len(fitted.widths) - 1) <= max(room, least)
    assert all(width >= 1 for width in fitted.widths)
