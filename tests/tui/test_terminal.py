"""The executable in a real terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SECONDS = 60.0
ENTER_SCREEN, LEAVE_SCREEN = b"\x1b[?1049h", b"\x1b[?1049l"
SEQUENCE = re.compile(rb"\x1b\[[0-9;?<>=]*[ -/]*[@-~]|\x1b[\]P].*?(?:\x07|\x1b\\)|\x1b.", re.DOTALL)


class Terminal:
    """A terminal of 100 by 30 with the interface in it."""

    def __init__(self, root: Path, *options: str, environment: dict[str, str] | None = None) -> None:
        main, child = pty.openpty()
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self.before = termios.tcgetattr(child)
        clean = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "featurestore", "-C", str(root), "tui", *options],
            stdin=child, stdout=child, stderr=child, start_new_session=True,
            env=clean | {"TERM": "xterm-256color", "COLORTERM": "truecolor"} | (environment or {}),
        )  # fmt: skip
        self._main, self._child, self._gone = main, child, False
        self.raw = b""

    def send(self, keys: bytes) -> None:
        os.write(self._main, keys)

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._child, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.process.send_signal(signal.SIGWINCH)

    def wait_for(self, words: str) -> None:
        """Reads until some words were written."""
        self._until(lambda: words in self.text, words)

    def wait_for_line(self, number: int) -> None:
        """Reads until something was written in a line of the screen."""
        self._until(lambda: f"\x1b[{number};".encode() in self.raw, f"line {number}")

    def hang_up(self) -> None:
        """Takes the terminal away, with the signals that the kernel sends then."""
        os.close(self._main)
        os.close(self._child)
        self._gone = True
        self.process.send_signal(signal.SIGHUP)
        self.process.send_signal(signal.SIGCONT)

    def _until(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + SECONDS
        while not holds():
            assert time.monotonic() < deadline, f"{what!r} was not shown: {self.text[-2000:]}"
            self._read()

    def end(self) -> int:
        """Waits for the end of the program, and reads the rest."""
        deadline = time.monotonic() + SECONDS
        while self.process.poll() is None:
            assert time.monotonic() < deadline, "it goes on"
            self._read()
        self._read()
        return self.process.returncode

    def _read(self) -> None:
        if select.select([self._main], [], [], 0.1)[0]:
            self.raw += os.read(self._main, 65536)

    @property
    def text(self) -> str:
        """All that was written, without what only moves or colours."""
        return SEQUENCE.sub(b"", self.raw).decode("utf-8", "replace")

    @property
    def is_restored(self) -> bool:
        same = termios.tcgetattr(self._child)[:4] == self.before[:4]
        return same and self.raw.count(ENTER_SCREEN) == self.raw.count(LEAVE_SCREEN) == 1

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if not self._gone:
            os.close(self._main)
            os.close(self._child)


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.close()


def test_it_starts_shows_goes_on_follows_the_size_and_leaves_the_terminal_as_it_was(
    past: Path, terminals: list[Terminal]
) -> None:
    terminal = Terminal(past)
    terminals.append(terminal)
    terminal.wait_for("age_share")
    terminal.send(b"\r")
    terminal.wait_for("Age as a share")
    terminal.send(b"5")
    terminal.wait_for("partial")
    terminal.resize(120, 45)
    terminal.wait_for_line(45)
    terminal.send(b"q")
    assert terminal.end() == 0
    assert terminal.is_restored
    assert "Traceback" not in terminal.text


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 143)])
def test_a_signal_to_end_restores_the_terminal_too(
    past: Path, terminals: list[Terminal], number: int, code: int
) -> None:
    terminal = Terminal(past)
    terminals.append(terminal)
    terminal.wait_for("age_share")
    terminal.process.send_signal(number)
    assert terminal.end() == code
    assert terminal.is_restored


def test_it_ends_with_its_terminal(past: Path, terminals: list[Terminal]) -> None:
    terminal = Terminal(past)
    terminals.append(terminal)
    terminal.wait_for("age_share")
    terminal.hang_up()
    assert terminal.process.wait(SECONDS) == 143


def test_a_terminal_that_takes_nothing_any_more_is_not_waited_for(past: Path) -> None:
    stuck = (
        "import sys, time; from pathlib import Path\n"
        "from featurestore.config import load_project\n"
        "from featurestore.tui import app, data\n"
        "app.LEAVING_SECONDS = 0.1\n"
        "shown = app.FeatureStoreApp(data.Data(load_project(Path(sys.argv[1]))))\n"
        "shown.exit = lambda _code: None\n"
        "shown._terminate()\n"
        "time.sleep(600)\n"
    )
    assert subprocess.run([sys.executable, "-c", stuck, str(past)], check=False, timeout=SECONDS).returncode == 143


@pytest.mark.parametrize(
    "kind", [{"TERM": "xterm-256color", "COLORTERM": "truecolor"}, {"TERM": "xterm", "COLORTERM": ""}]
)
def test_without_colours_none_is_written(past: Path, terminals: list[Terminal], kind: dict[str, str]) -> None:
    terminal = Terminal(past, environment={"NO_COLOR": "1", **kind})
    terminals.append(terminal)
    terminal.wait_for("age_share")
    terminal.send(b"q")
    assert terminal.end() == 0
    codes = {code for styles in re.findall(rb"\x1b\[([\d;]*)m", terminal.raw) for code in styles.split(b";")}
    assert codes <= {b"", b"0", b"1", b"2", b"3", b"4", b"7", b"22", b"39", b"49"}  # 39 and 49: the terminal's own
    assert b"7" in codes  # the cursor


def test_sixteen_colours_are_those_of_the_terminal(past: Path, terminals: list[Terminal]) -> None:
    terminal = Terminal(past, environment={"TERM": "xterm-16color", "COLORTERM": ""})
    terminals.append(terminal)
    terminal.wait_for("age_share")
    terminal.send(b"q")
    assert terminal.end() == 0
    assert not re.search(rb"[34]8;2;\d+;\d+;\d+", terminal.raw)


def test_without_a_terminal_it_says_what_prints_the_same(past: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "featurestore", "-C", str(past), "tui"], stdin=subprocess.DEVNULL, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "tui needs a terminal" in done.stderr
