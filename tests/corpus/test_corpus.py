"""Files as they come in the wild: each is read as its owner means it, without some rows, or refused, as is written."""

from __future__ import annotations

import io
import math

import pytest

from featurestore import times
from featurestore.errors import SourceError
from featurestore.sources.reading import SourceRows, read_rows
from featurestore.tables.batches import read_batches
from featurestore.tables.files import Format
from tests.corpus.binary_files import BINARY_FILES
from tests.corpus.case import Case
from tests.corpus.text_files import TEXT_FILES
from tests.sources.conftest import STRING_KEY, Shop, Shops

CASES = {**TEXT_FILES, **BINARY_FILES}


@pytest.fixture
def shops(tmp_path_factory: pytest.TempPathFactory) -> Shops:
    return Shops(tmp_path_factory.mktemp("corpus"))


def read(shops: Shops, case: Case) -> SourceRows:
    table = 'table = "t"\n' if case.type in ("sqlite", "duckdb") else ""
    zone = "" if "timezone" in case.settings else 'timezone = "UTC"\n'
    shop: Shop = shops(f'type = "{case.type}"\npath = "file"\nevent_time = "at"\n{table}{zone}{case.settings}')
    if isinstance(case.data, bytes):
        shop.write("file", case.data)
    else:
        case.data(shop.root / "file")
    opened = shop.open()
    latest = times.now() if case.later else None
    return read_rows(shop.project, shop.source, opened, opened.offer(), STRING_KEY, needed=["id"], latest=latest)


def plain(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


@pytest.mark.parametrize("name", CASES)
def test_each_file_becomes_what_the_table_says(name: str, shops: Shops) -> None:
    case = CASES[name]
    if case.refusal:
        with pytest.raises(SourceError) as refused:
            read(shops, case)
        assert case.refusal in str(refused.value)
        assert str(refused.value).startswith("file")
        assert case.hint in (refused.value.hint or "")
        return
    taken = read(shops, case)
    assert [(row.row, row.reason) for row in taken.rejected] == [
        (number, next((row.reason for row in taken.rejected if row.row == number and part in row.reason), part))
        for number, part in case.aside
    ]
    assert case.x is not None
    found = [] if "x" not in taken.frame.columns else list(map(plain, taken.frame["x"].to_list()))
    assert found == case.x
    assert [type(value) for value in found] == [type(value) for value in case.x]
    assert case.warning in " ".join(taken.warnings)


LABEL_FORMATS: tuple[Format, ...] = ("csv", "parquet", "arrow", "ndjson")
# Labels come out as they went in: a column without a name would have none, and NaN is not JSON.
STRICTER = {
    "a column without a name", "separators behind every line", "NaN in JSON", "an interval that nobody names",
    "runs of equal values that nobody names", "a type that nobody has, in a column that nobody names",
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.type in LABEL_FORMATS])
def test_the_same_file_as_labels_has_all_its_rows_or_is_refused(name: str, shops: Shops) -> None:
    case = CASES[name]
    assert isinstance(case.data, bytes)
    dialect = shops(f'type = "{case.type}"\npath = "file"\n{case.settings}').source.dialect
    form = next(each for each in LABEL_FORMATS if each == case.type)
    refusal, rows = "", -1
    try:
        rows = sum(map(len, read_batches(io.BytesIO(case.data), name="file", form=form, rows=1_000, dialect=dialect)))
    except SourceError as exc:
        refusal = str(exc)
    if "put together" in case.refusal:
        assert case.refusal in refusal
    if refusal:
        assert refusal.startswith("file")
        assert case.refusal or case.aside or name in STRICTER
    elif not case.refusal:
        assert case.x is not None
        assert rows == len(case.x) + len(case.aside)


def test_the_corpus_is_large_and_every_reader_has_its_part() -> None:
    assert len(CASES) >= 120
    assert {case.type for case in CASES.values()} == {"csv", "ndjson", "parquet", "arrow", "sqlite", "duckdb"}
