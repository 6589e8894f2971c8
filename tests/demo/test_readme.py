"""Every command of README.md's tour is run in a fresh folder, and prints what README.md shows.

In a ``console`` block a line that starts with ``$`` is a command and the lines below it are what it prints. ``…``
matches anything within a line and, alone on a line, any lines. A command that ends in ``# exit 3`` exits with 3.
The widths of columns and empty lines are ignored.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TOUR = "## A ten-minute tour"

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXIT = re.compile(r"\s+# exit (\d+)$")


@dataclass(frozen=True)
class Step:
    command: str
    shown: tuple[str, ...]
    exit_code: int


def section(heading: str) -> str:
    start = README.index(f"\n{heading}\n")
    end = README.find("\n## ", start + len(heading))
    return README[start : end if end > 0 else None]


def steps(text: str) -> list[Step]:
    found: list[Step] = []
    for language, block in BLOCK.findall(text):
        if language != "console":
            continue
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *shown = part.replace("\\\n", " ").rstrip("\n").split("\n")
            code = EXIT.search(command)
            found.append(Step(EXIT.sub("", command), tuple(shown), int(code[1]) if code else 0))
    return found


def squeezed(line: str) -> str:
    """A line with runs of spaces and of rules reduced to one: their length depends on other lines."""
    return re.sub(r" +", " ", re.sub("─+", "─", line)).strip()


def lines(text: str) -> str:
    return "".join(f"{line}\n" for line in map(squeezed, text.splitlines()) if line)


def pattern(shown: tuple[str, ...]) -> str:
    """A regular expression of the shown lines."""
    return "".join(
        r"(?:.*\n)*?" if line == "…" else ".*?".join(map(re.escape, line.split("…"))) + r"\n"
        for line in map(squeezed, shown)
        if line
    )


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A terminal of no special kind, with ``featurestore`` on the path."""
    tools = tmp_path / "bin"
    tools.mkdir()
    executable = tools / "featurestore"
    executable.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m featurestore "$@"\n')
    executable.chmod(0o755)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FEATURESTORE_")}
    return clean | {"PATH": f"{tools}{os.pathsep}{clean['PATH']}", "NO_COLOR": "1", "COLUMNS": "100", "TZ": "UTC"}


def test_the_tour_works_from_the_first_command_to_the_last(tmp_path: Path, environment: dict[str, str]) -> None:
    folder = tmp_path / "home"
    folder.mkdir()
    for step in steps(section(TOUR)):
        if step.command.startswith("cd "):
            folder = folder / step.command.removeprefix("cd ").strip()
            continue
        done = subprocess.run(
            ["bash", "-c", step.command], cwd=folder, env=environment, timeout=120,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
        )  # fmt: skip
        said = f"$ {step.command}\n{done.stdout}"
        assert done.returncode == step.exit_code, said
        if step.shown:
            assert re.fullmatch(pattern(step.shown), lines(done.stdout)), f"{said}\nREADME.md shows:\n" + "\n".join(
                step.shown
            )


def test_every_command_outside_the_tour_names_something_that_is_there() -> None:
    for step in steps(README.replace(section(TOUR), "")):
        script = step.command.split()[0]
        assert script in {"git", "cd", "pipx", "uvx"} or os.access(ROOT / script, os.X_OK), step.command


def test_the_code_it_shows_is_the_examples() -> None:
    written = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "features").rglob("*.py")))
    shown = [block for language, block in BLOCK.findall(README) if language == "python"]
    assert shown
    for block in shown:
        assert block in written


def test_every_file_it_points_to_exists() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)|src=\"([^\":]+)\"", README):
        path = "".join(target)
        assert (ROOT / path).exists(), path
