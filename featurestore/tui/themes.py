"""Our two themes, and the colours that Rich's renderables get in them. Textual's own themes can be chosen too."""

from __future__ import annotations

from rich.terminal_theme import TerminalTheme
from textual.theme import Theme

DARK = Theme(
    name="featurestore-dark", dark=True, primary="#7aa2f7", secondary="#7dcfff", accent="#bb9af7", success="#9ece6a",
    warning="#e0af68", error="#f7768e", foreground="#c8d0e0", background="#17191e", surface="#1c1e24", panel="#22252b",
    variables={"block-cursor-background": "#2a2f52", "block-cursor-foreground": "#c8d0e0",
               "block-cursor-blurred-background": "#2a2c33", "border-blurred": "#34373f"},
)  # fmt: skip
LIGHT = Theme(
    name="featurestore-light", dark=False, primary="#2e5cc5", secondary="#0f7b94", accent="#7a3fb8", success="#3d7a1f",
    warning="#96630b", error="#c0314b", foreground="#262b36", background="#fbfbfa", surface="#f4f4f1", panel="#ecece7",
    variables={"block-cursor-background": "#d5e0f7", "block-cursor-foreground": "#262b36",
               "block-cursor-blurred-background": "#e8eaee", "border-blurred": "#c9ccd3"},
)  # fmt: skip
THEMES = (DARK, LIGHT)


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _terminal(theme: Theme, black: str, white: str, grey: str) -> TerminalTheme:
    """The sixteen colours, of which Rich's styles are made, in those of a theme."""
    names = (theme.error, theme.success, theme.warning, theme.primary, theme.accent, theme.secondary)
    eight = [_rgb(black), *(_rgb(name or grey) for name in names), _rgb(white)]
    bright = [_rgb(grey), *eight[1:7], _rgb(theme.foreground or white)]
    return TerminalTheme(_rgb(theme.background or black), _rgb(theme.foreground or white), eight, bright)


ANSI_DARK = _terminal(DARK, "#17191e", "#c8d0e0", "#6b7489")
ANSI_LIGHT = _terminal(LIGHT, "#262b36", "#fbfbfa", "#7c828f")
