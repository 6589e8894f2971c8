"""The demo script, and the picture in README.md."""

import html
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PICTURE = ROOT / "docs" / "diff.svg"

own_environment = pytest.mark.skipif(
    Path(sys.prefix).resolve() != ROOT / ".venv", reason="the demo uses the clone's own environment; run scripts/test"
)


def text_of(svg: Path) -> list[str]:
    return [html.unescape(text) for text in re.findall(r"<text[^>]*>([^<]*)</text>", svg.read_text(encoding="utf-8"))]


def demo(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "scripts" / "demo", *arguments],
        env=os.environ | {"NO_COLOR": "1"}, capture_output=True, encoding="utf-8", timeout=300,
    )  # fmt: skip


def test_the_picture_is_what_the_command_shows_today(tmp_path: Path) -> None:
    drawn = tmp_path / "diff.svg"
    subprocess.run([sys.executable, ROOT / "scripts" / "picture", drawn], check=True)
    assert text_of(PICTURE) == text_of(drawn), "draw it again with scripts/picture"


def test_the_picture_needs_nothing_from_the_network() -> None:
    assert set(re.findall(r"https?://[^\"']+", PICTURE.read_text(encoding="utf-8"))) == {"http://www.w3.org/2000/svg"}


@own_environment
def test_the_demo_does_the_main_job_from_init_to_diff(tmp_path: Path) -> None:
    done = demo(tmp_path / "heart")
    assert done.returncode == 0, done.stdout + done.stderr
    for shown in ("$ featurestore ingest\n", "0.30 * scale", "training.csv\n", "That was the main job."):
        assert shown in done.stdout


@own_environment
def test_the_demo_stops_with_the_exit_code_of_what_failed(tmp_path: Path) -> None:
    (tmp_path / "featurestore.toml").write_text('[project]\nname = "mine"\n')
    done = demo(tmp_path)
    assert done.returncode == 2
    assert "featurestore list" not in done.stdout
