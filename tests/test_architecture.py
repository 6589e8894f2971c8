"""docs/architecture.md names files; each of them is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PATHS = sorted(set(re.findall(r"`((?:[a-z_]+/)*[a-z_]+(?:\.py|\.md|/))`", TEXT)))


@pytest.mark.parametrize("path", PATHS)
def test_every_file_that_the_architecture_names_exists(path: str) -> None:
    assert (ROOT / "featurestore" / path).exists() or (ROOT / path).exists()


def test_the_page_names_enough_files_to_be_worth_checking() -> None:
    assert len(PATHS) > 50
