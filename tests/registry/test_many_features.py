"""Twice as many features are twice as much work, not four times: in calls, which a busy machine does not change."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType

import pytest

from tests.conftest import TOML, Folder, uncaptured

HEAD = "import polars as pl\n\nfrom features.lib import scale\nfrom featurestore import feature\n"
ONE = """

@feature(entity_type="patient", data_type="float")
def f{at}() -> pl.Expr:
    return scale.scaled(pl.col("age")) * {at}
"""


def calls(root: Path, features: int, *words: str) -> int:
    """How many calls of ours a command makes on a project of so many features, of which none was locked before."""
    folder = Folder(root / str(features), uncaptured)
    folder.root.mkdir()
    code = HEAD + "".join(ONE.format(at=at) for at in range(features))
    helper = "import polars as pl\n\n\ndef scaled(values: pl.Expr) -> pl.Expr:\n    return values / 100\n"
    folder.write({"featurestore.toml": TOML, "features/many.py": code, "features/lib/scale.py": helper})
    count = 0

    def see(frame: FrameType, event: str, _: object) -> None:
        nonlocal count
        count += event == "call" and "featurestore" in frame.f_code.co_filename

    sys.setprofile(see)
    try:
        folder.run(*words)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("words", [("lock",), ("plan",), ("list",)], ids=" ".join)
def test_work_grows_as_the_features_do(tmp_path: Path, words: tuple[str, ...]) -> None:
    calls(tmp_path, 2, *words)  # what is imported and made once
    some, more = calls(tmp_path, 60, *words), calls(tmp_path, 120, *words)
    assert some > 60 * 10
    assert more < 2.2 * some
