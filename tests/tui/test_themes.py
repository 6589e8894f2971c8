"""Our colours where a terminal has fewer."""

import pytest
from rich.color import Color, ColorSystem
from textual.theme import Theme

from featurestore.tui.themes import THEMES


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_grounds_stay_grey_in_a_terminal_of_256_colours(theme: Theme) -> None:
    names = (theme.background, theme.surface, theme.panel, theme.variables["border-blurred"])
    shown = [Color.parse(name or "").downgrade(ColorSystem.EIGHT_BIT).get_truecolor() for name in names]
    assert all(colour.red == colour.green == colour.blue for colour in shown), shown
