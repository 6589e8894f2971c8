"""Stored answers: compared, or written where that is asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def asked_to_write(environment: Mapping[str, str]) -> bool:
    """Whether ``FEATURESTORE_GOLDEN=write`` is set. Raises RuntimeError in CI, where nobody reads the diff."""
    asked = environment.get("FEATURESTORE_GOLDEN") == "write"
    if asked and environment.get("CI"):
        raise RuntimeError("FEATURESTORE_GOLDEN=write is refused in CI: somebody must read the diff")
    return asked


WRITING = asked_to_write(os.environ)  # now, because the tests clear the settings of the environment
REWRITE = "FEATURESTORE_GOLDEN=write .venv/bin/python -m pytest -n 0 tests/golden"


def compare(path: Path, text: str) -> None:
    """Checks that a file holds the text, or writes it there."""
    if WRITING:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.exists(), f"{path.name} is missing; to write it: {REWRITE}"
    assert text == path.read_text(encoding="utf-8"), f"{path.name} differs; where that is meant: {REWRITE}"


def names_of(folder: Path, suffix: str) -> set[str]:
    """The names of the files of a kind, without their suffix."""
    return {path.name.removesuffix(suffix) for path in folder.glob(f"*{suffix}")}
