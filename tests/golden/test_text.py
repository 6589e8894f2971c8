"""Tables as people see them, at three widths: identifiers are cut in the middle, values are never hidden."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from rich.console import RenderableType

from featurestore.config import load_project
from featurestore.drift.verdict import Verdict
from featurestore.model import (
    DataType,
    EntityType,
    FeatureRun,
    Json,
    Key,
    Problem,
    Run,
    StoredVersion,
    VersionId,
)
from featurestore.registry.summary import FeatureSummary
from featurestore.render.console import DataConsole
from featurestore.render.text.drift import drift_page, overview_table
from featurestore.render.text.features import list_table
from featurestore.render.text.get import values_table
from featurestore.render.text.history import history_table
from featurestore.render.text.runs import runs_table
from featurestore.serving.decoding import ServedValue
from featurestore.times import parse_instant
from featurestore.versioning.folder.files import FeatureFiles
from featurestore.versioning.folder.names import VersionName
from featurestore.workflows.catalogue import Catalogue, Entry, Filter, list_features
from featurestore.workflows.drift.overview import DriftRow
from featurestore.workflows.drift.timeline import DriftResult, Point
from featurestore.workflows.get import EntityValues, GetResult
from featurestore.workflows.history import HistoryResult, HistoryValue
from tests.golden.folder import TOML
from tests.golden.stored import compare, names_of

HERE = Path(__file__).parent / "text"
WIDTHS = (60, 80, 120)
UUID = "550e8400-e29b-41d4-a716-446655440000"
SHA = "a3f5c0d1" * 8
SHELF = EntityType("shelf", (Key("store", "string"), Key("product", "int")))
PATIENT = EntityType("patient", (Key("patient_id", "string"),))
NOON = parse_instant("2024-05-01T12:00:00Z")[0]
DAY = 86_400_000_000


def version(name: str, entity_type: EntityType = PATIENT) -> StoredVersion:
    return StoredVersion(VersionId(name, SHA), 2, entity_type, DataType("float"))


def values() -> RenderableType:
    served = (
        ServedValue("age_normalized", "ok", 0.123456, NOON, 1, SHA),
        ServedValue("mean_time_between_visits_in_hospital_in_2_years", "ok", 12, NOON, 12, SHA),
        ServedValue("last_device", "ok", UUID, NOON, 1, SHA),
        ServedValue("vitals", "ok", [0.25, 1 / 3, 17.0, 200.125], NOON, 1, SHA),
        ServedValue("smokes", "ok", True, NOON, 1, SHA),
        ServedValue("risk", "expired", None, NOON, 3, SHA),
        ServedValue("never_synced", "missing", None, None, 1, SHA),
    )
    return values_table(
        GetResult(PATIENT, tuple(EntityValues({"patient_id": key}, served) for key in (SHA, UUID, "7")))
    )


def composite_values() -> RenderableType:
    served = (ServedValue("stock", "ok", 1204, NOON, 1, SHA), ServedValue("price", "ok", 9.99, NOON, 1, SHA))
    keys: dict[str, str | int] = {"store": "Łódź, Piotrkowska 104", "product": 4_002_515_289_693}
    return values_table(GetResult(SHELF, (EntityValues(keys, served), EntityValues({**keys, "store": "s"}, served))))


FEATURES = """
import polars as pl

from featurestore import feature
"""
DECLARED = """

@feature(entity_type="patient", data_type="list[float, 384]", source="visits", description={description!r})
def {name}() -> pl.Expr:
    return pl.col("age")
"""
DESCRIPTIONS = {
    "age_normalized": "Age, from 20 years (0) to 80 (1)",
    "composite_risk_score": "Weighted combination of cardiac risk factors",
    "mean_time_between_visits_in_hospital_in_2_years": "In days; null before the second visit",
}


def listing() -> RenderableType:
    declared = [DECLARED.format(name=name, description=text) for name, text in DESCRIPTIONS.items()]
    with TemporaryDirectory() as name:
        root = Path(name)
        (root / "features").mkdir()
        (root / "features" / "m.py").write_text(FEATURES + "".join(declared), encoding="utf-8")
        (root / "featurestore.toml").write_text(TOML, encoding="utf-8")
        catalogue = list_features(load_project(root), Filter())
    return list_table(Catalogue(tuple(map(as_after_a_run, catalogue.entries)), ()))


def as_after_a_run(entry: Entry) -> Entry:
    """The entry with an active version: its own code, or of one feature another."""
    assert entry.hashed is not None
    sha256 = SHA if entry.feature.name == "composite_risk_score" else entry.hashed.sha256
    files = FeatureFiles((VersionName(1, sha256[:12], Path("0001.py")),))
    summary = FeatureSummary(last_run="20240501T120000-0123abcd", last_run_at=NOON)
    return replace(entry, files=files, summary=summary, active_sha256=sha256)


def runs() -> RenderableType:
    problem = Problem("source", "no file matches visits*.csv")
    return runs_table(
        [
            run(3, FeatureRun("age", "visits", "ok", 1, SHA, rows_written=1_204_500, rows_rejected=12)),
            run(2, FeatureRun("age", "visits", "ok", 1, SHA, rows_written=12, rows_corrected=3), status="partial"),
            run(None, FeatureRun("age", "visits", "failed", error=problem), status="failed"),
        ]
    )


def run(number: int | None, *features: FeatureRun, status: str = "ok") -> Run:
    at = NOON + (number or 0) * DAY
    return Run(
        f"2024050{number or 9}T120000-0123abcd", at, at, 12.5, status, ("visits",), "host", "1f2e3d4c5b6a",  # type: ignore[arg-type]
        features, number,
    )  # fmt: skip


def points() -> tuple[Point, ...]:
    kinds = (
        Verdict("jensenshannon", 0.1, score=0.0),
        Verdict("jensenshannon", 0.1, score=0.125, chance=0.2, reference_run="20240501T120000-0123abcd"),
        Verdict(
            "jensenshannon", 0.1, "drifted", score=0.541, reasons=("score", "null_share", "new_categories"),
            reference_run="20240501T120000-0123abcd",
        ),
        Verdict("jensenshannon", 0.1, "skipped: too few (12 of 30 values)"),
    )  # fmt: skip
    statistics: dict[str, Json] = {"count": 1204, "mean": 0.4567891}
    return tuple(
        Point(f"2024050{at + 1}T120000-0123abcd", at + 1, NOON + at * DAY, statistics, kind.json())
        for at, kind in enumerate(kinds)
    )


def overview() -> RenderableType:
    rows = [
        DriftRow(version("cholesterol_change"), points()[2], points()[2], points()[:3]),
        DriftRow(version("age_normalized"), points()[1], None, points()[:2]),
        DriftRow(version("mean_time_between_visits_in_hospital_in_2_years"), points()[3], None, points()),
    ]
    return overview_table(rows)


def timeline() -> RenderableType:
    return drift_page(DriftResult(version("age_normalized"), points(), None))


def history() -> RenderableType:
    rows = [("a text of some length, which is folded and not cut", False), (None, False), (UUID, False), (None, True)]
    values = tuple(
        HistoryValue(value, NOON + at, NOON + DAY + 123_456, "20240502T120000-0123abcd", deleted)
        for at, (value, deleted) in enumerate(rows)
    )
    return history_table(HistoryResult(version("last_device"), {"patient_id": SHA}, values))


SHOWN = {
    "get": values, "get_composite": composite_values, "list": listing, "runs": runs, "drift_overview": overview,
    "drift": timeline, "history": history,
}  # fmt: skip


def drawn(renderable: RenderableType, width: int) -> str:
    out = io.StringIO()
    DataConsole(file=out, width=width, highlight=False, markup=False, emoji=False).print(renderable)
    return "".join(line.rstrip() + "\n" for line in out.getvalue().splitlines())


@pytest.mark.parametrize("name", SHOWN)
@pytest.mark.parametrize("width", WIDTHS)
def test_tables_are_as_they_were(name: str, width: int) -> None:
    shown = drawn(SHOWN[name](), width)
    assert max(map(len, shown.splitlines())) <= width
    compare(HERE / f"{name}-{width}.txt", shown)


def test_every_stored_table_is_of_a_case() -> None:
    assert names_of(HERE, ".txt") == {f"{name}-{width}" for name in SHOWN for width in WIDTHS}


@pytest.mark.parametrize("width", WIDTHS)
def test_a_value_is_shown_whole_however_long_the_ids_are(width: int) -> None:
    shown = re.sub(r"\s", "", drawn(values(), width))
    for value in ("0.123456", "12", UUID, "[0.25,0.333333,17,200.125]", "true", "expired", "missing"):
        assert value in shown


@pytest.mark.parametrize("width", WIDTHS)
def test_a_score_above_its_limit_that_is_no_drift_says_why(width: int) -> None:
    for shown in (drawn(overview(), width), drawn(timeline(), width)):
        assert "within chance" in " ".join(shown.split())
