"""A table fits: no line is wider than the screen, no value is cut, identifiers keep both ends."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from featurestore.model import Check, FeatureRun, Run
from featurestore.render.console import DataConsole
from featurestore.render.text.doctor import doctor_block
from featurestore.render.text.runs import ingest_page
from featurestore.render.text.table import Column, middle_cut, table

COLUMNS = (
    Column("patient", "id"), Column("feature", "name"), Column("value", "value"), Column("computed at", spare=1),
    Column("version", "number", spare=2),
)  # fmt: skip
WORD = st.text(st.characters(categories=("L", "N")), max_size=70)


def drawn(columns: tuple[Column, ...], rows: list[tuple[str, ...]], width: int) -> str:
    out = io.StringIO()
    DataConsole(file=out, width=width, highlight=False, markup=False, emoji=False).print(table(columns, rows))
    return out.getvalue()


@given(rows=st.lists(st.tuples(WORD, WORD, WORD), min_size=1, max_size=4), width=st.integers(40, 160))
def test_no_line_is_wider_than_the_screen_and_every_value_is_whole(
    rows: list[tuple[str, str, str]], width: int
) -> None:
    shown = drawn(COLUMNS, [(*row, "2024-05-01T12:00:00Z", "12") for row in rows], width)
    assert max(map(cell_len, shown.splitlines())) <= width
    if len(rows) == 1:
        letters = iter("".join(shown.split()))
        assert all(letter in letters for letter in rows[0][2]), "the value's letters follow each other"


@given(text=WORD, width=st.integers(8, 80))
def test_an_identifier_is_cut_in_the_middle(text: str, width: int) -> None:
    cut = middle_cut(text, width)
    assert cell_len(cut) <= width
    assert cut == text or (cut.count("…") == 1 and cut[0] == text[0] and cut[-1] == text[-1])


def test_columns_are_spared_in_their_order() -> None:
    row = ("p" * 20, "age", "0.5", "2024-05-01T12:00:00Z", "12")
    heads = {width: drawn(COLUMNS, [row], width).split("\n")[1].split() for width in (72, 60, 44)}
    assert heads[72] == ["patient", "feature", "value", "computed", "at", "version"]
    assert heads[60] == ["patient", "feature", "value", "computed", "at"]
    assert heads[44] == ["patient", "feature", "value"]
    gone = {width: table(COLUMNS, [row]).left_out(width) for width in (72, 60, 44)}
    assert gone == {72: [], 60: ["version"], 44: ["computed at", "version"]}


def test_a_column_without_content_is_left_out() -> None:
    shown = drawn((Column("a"), Column("b"), Column("c")), [("1", "", "3"), ("", "", "4")], 60)
    assert shown.split()[:2] == ["a", "c"]


def test_values_are_flush_right_where_all_are_numbers() -> None:
    assert "value\n" in _stripped([("a", "0.5"), ("b", "1,204")])
    assert " 0.5\n" in _stripped([("a", "0.5"), ("b", "1,204")])
    assert " a   0.5\n" in _stripped([("a", "0.5"), ("b", "a word")])


def test_data_is_no_markup_and_moves_no_cursor() -> None:
    shown = drawn((Column("a"),), [("[red]x[/nope]\x1b[2J",)], 60)
    assert "[red]x[/nope]\\x1b[2J" in shown


@pytest.mark.parametrize("width", [60, 120])
def test_a_table_says_how_wide_it_is(width: int) -> None:
    console = DataConsole(width=width)
    whole = table((Column("a", "id"),), [("x" * 80,)])
    assert console.measure(whole).maximum == min(width, 82)
    assert isinstance(whole.rows[0][0], Text)


def _stripped(rows: list[tuple[str, ...]]) -> str:
    columns = (Column("", "name"), Column("value", "value"))
    return "".join(line.rstrip() + "\n" for line in drawn(columns, rows, 60).splitlines())


def test_a_value_that_nobody_reads_on_a_screen_is_shown_in_part() -> None:
    shown = drawn((Column("value", "value"),), [("x" * 30_000_000,)], 80)
    assert shown.count("x") < 11_000
    assert "30,000,000 characters" in " ".join(shown.split())


def test_half_of_a_wide_character_leaves_no_gap_at_the_ellipsis() -> None:
    assert middle_cut("東京都港区六本木ヒルズ森タワー", 8) == "東京…ー"
    assert middle_cut("東京都港区六本木ヒルズ森タワー", 9) == "東京…ワー"
    for width in (20, 21):  # one of them is odd for what is cut
        rows: list[tuple[str, ...]] = [("東京都港区六本木ヒルズ森タワー", "x" * 9)] * 2
        shown = drawn((Column("words", "line"), Column("at", "fixed")), rows, width)
        assert "…" in shown
        assert " …" not in shown


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_a_checks_text_is_folded_below_itself(width: int) -> None:
    long = Check("configuration", "warn", "much to say about it " * 8, "and something to do " * 6)
    out = io.StringIO()
    DataConsole(file=out, width=width).print(doctor_block([Check("git", "ok", "fine"), long]))
    lines = out.getvalue().splitlines()
    assert all(cell_len(text) <= width for text in lines)
    assert lines[0].rstrip() == "ok    git            fine"
    assert all(text.startswith(" " * 21) for text in lines[2:-1])


def test_identifiers_that_differ_are_different_when_they_are_cut() -> None:
    places = [f"data/transactions-{file}.csv row {row}" for file in (1, 2, 3) for row in (4, 21)]
    columns = (Column("set aside", "id"), Column("reason", "words"))
    shown = drawn(columns, [(place, "is below the minimum of this column") for place in places], 60)
    lines = [line.split("  ")[0] for line in shown.splitlines() if "csv" in line]
    assert len(set(lines)) == len(places)


def test_a_number_that_has_no_room_does_not_become_another_one() -> None:
    shown = drawn((Column("a", "number"), Column("b", "number")), [("123,456,789,012", "987,654,321")], 20)
    assert all("…" in word for word in shown.splitlines()[3].split())


def test_what_is_said_of_features_stands_below_the_table() -> None:
    names = [f"feature_{number}" for number in range(7)]
    note = "1 row was deleted before, and stays deleted"
    features = tuple(FeatureRun(name, "visits", "ok", 1, "ab" * 32, rows_written=5, note=note) for name in names)
    run = Run("20240101T000000-00000000", 0, 0, 0.1, "ok", ("visits",), "here", None, features, 1, 0)
    out = io.StringIO()
    DataConsole(file=out, width=60, highlight=False, markup=False, emoji=False).print(ingest_page(run))
    said = " ".join(out.getvalue().split())
    assert said.count(note) == 1
    assert f"{', '.join(names[:5])} and 2 more: {note}" in said


def test_a_cell_that_is_all_of_one_style_is_drawn_in_it() -> None:
    console = Console(width=40)
    rows = [("age", Text("0.7 score", style="yellow")), ("chol", Text("0.1"))]
    drawn_segments = list(console.render(table((Column("feature", style="cyan"), Column("drift")), rows)))
    styles = {segment.text: str(segment.style or "none") for segment in drawn_segments if segment.text.strip()}
    assert styles["drift"] == "bold"
    assert styles["0.7 score"] == "yellow"
    assert styles["age"] == "cyan"
    assert styles["0.1"] == "none"
