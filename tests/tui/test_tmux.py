"""The executable in tmux, which has a terminal of its own between the program and the one that a person looks at."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SECONDS = 60.0


class Tmux:
    """A server of tmux with one window, whose program is the interface."""

    def __init__(self, folder: Path, root: Path) -> None:
        self._socket = folder / "s"
        self._run(
            "new-session", "-d", "-x", "100", "-y", "30", sys.executable, "-m", "featurestore", "-C", str(root), "tui"
        )

    def _run(self, *words: str, check: bool = True) -> str:
        command = ["tmux", "-S", str(self._socket), "-f", "/dev/null", *words]
        clean = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
        return subprocess.run(command, capture_output=True, text=True, check=check, env=clean).stdout

    def send(self, *keys: str) -> None:
        self._run("send-keys", *keys)

    def resize(self, columns: int, lines: int) -> None:
        self._run("resize-window", "-x", str(columns), "-y", str(lines))

    @property
    def screen(self) -> list[str]:
        return self._run("capture-pane", "-p", check=False).splitlines()

    def until(self, holds: Callable[[list[str]], bool]) -> None:
        deadline = time.monotonic() + SECONDS
        while not holds(self.screen):
            assert time.monotonic() < deadline, "\n".join(self.screen)
            time.sleep(0.05)

    @property
    def is_running(self) -> bool:
        return bool(self._run("list-sessions", check=False))

    def end(self) -> None:
        self._run("kill-server", check=False)


@pytest.fixture
def tmux(past: Path) -> Iterator[Tmux]:
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    with tempfile.TemporaryDirectory(prefix="fs-") as folder:  # a socket's path is to be short
        server = Tmux(Path(folder), past)
        yield server
        server.end()


def test_it_is_drawn_goes_on_follows_the_size_and_leaves(tmux: Tmux) -> None:
    tmux.until(lambda lines: any("chol_level" in line and "0.833" in line for line in lines))
    tmux.send("j", "Enter")
    tmux.until(lambda lines: any("Features › chol_level" in line for line in lines))
    tmux.resize(160, 40)
    tmux.until(lambda lines: len(lines) == 40 and "tab Next part" in lines[-1])
    tmux.send("q")
    deadline = time.monotonic() + SECONDS
    while tmux.is_running:
        assert time.monotonic() < deadline
        time.sleep(0.05)
