"""A time that no calendar has is said to be none; its hint proposes no format that reads it no better."""

from __future__ import annotations

import pytest

from featurestore.dialect import ISO_8601, TimeFormat
from featurestore.sources.casts.cast import ColumnType
from featurestore.sources.wording import misfit_reason
from tests.conftest import Folder


@pytest.mark.parametrize(
    ("text", "format_"),
    [
        ("31.02.2026 02:33", "%d.%m.%Y %H:%M"),
        ("31.02.2026", "%d.%m.%Y"),
        ("29.02.2025", None),
        ("2026-02-31", None),
        ("2026-02-31T10:00:00Z", None),
        ("2026-02-28 25:00:00", None),
    ],
)
def test_a_row_is_told_that_its_day_does_not_exist(text: str, format_: str | None) -> None:
    times = ISO_8601 if format_ is None else TimeFormat(format=format_)
    reason = misfit_reason(text, ColumnType("datetime", times=times))
    assert reason == f"{text!r} is not a datetime: there is no such day or time"


@pytest.mark.parametrize(
    ("text", "format_", "hint"),
    [
        ("28.02.2026", None, 'format = "%d.%m.%Y"'),
        ("28/02/2026", "%d.%m.%Y", 'format = "%d/%m/%Y"'),
        ("32.02.2026", "%d.%m.%Y", None),
    ],
)
def test_other_times_get_the_format_that_reads_them(text: str, format_: str | None, hint: str | None) -> None:
    times = ISO_8601 if format_ is None else TimeFormat(format=format_)
    reason = misfit_reason(text, ColumnType("datetime", times=times))
    assert "there is no such day" not in reason
    assert hint is None or hint in reason
    assert hint is not None or "format = " not in reason


def test_a_label_is_told_that_its_day_does_not_exist(ingested: Folder) -> None:
    for text, flags in (("2026-02-31", []), ("31.02.2026", ["--format-of", "at=%d.%m.%Y"])):
        ingested.write({"labels.csv": f"patient_id,at\n001,{text}\n"})
        asked = ("join", str(ingested.root / "labels.csv"), "-f", "age_share", "--timestamp-column", "at", *flags)
        assert "there is no such day or time" in ingested.run(*asked, code=4).err
