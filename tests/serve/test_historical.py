"""Joins over HTTP give what the commands give."""

from __future__ import annotations

import io
import json
import socket
import time
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pyarrow as pa
import pytest

from featurestore.serve.settings import Limits, Settings
from tests.conftest import Folder
from tests.serve.conftest import serving

LABELS = "patient_id,at,y\n001,2024-01-20T00:00:00Z,1\n002,2024-01-01T00:00:00Z,0\n001,2024-03-01T00:00:00Z,1\n"
QUERY = {"features": "age_share,chol_level", "timestamp_column": "at"}
STREAM = "application/vnd.apache.arrow.stream"


def spooled(folder: Path) -> list[Path]:
    return list(folder.glob("featurestore-serve-*"))


def test_labels_as_csv_give_the_table_of_join(synced: Folder) -> None:
    synced.write({"labels.csv": LABELS})
    expected = synced.run(
        "join",
        str(synced.root / "labels.csv"),
        "-f",
        "age_share,chol_level",
        "--timestamp-column",
        "at",
    ).out
    with serving(synced.root) as url:
        found = httpx.post(f"{url}/v1/historical", params=QUERY, content=LABELS, timeout=60)
    assert found.headers["Content-Type"].startswith("text/csv")
    assert found.text == expected


PEOPLE = "patient_id;am;Größe\n001;20.01.2024;1\n002;01.01.2024;0\n001;01.03.2024;1\n".encode("cp1252")
SETTINGS = {"delimiter": ";", "encoding": "cp1252", "columns": {"am": {"format": "%d.%m.%Y"}}}


def test_labels_as_people_write_them_are_read_by_the_settings_of_sources(http: httpx.Client) -> None:
    query = {**QUERY, "timestamp_column": "am", "features": "age_share"}
    spelled = ["delimiter=;", "encoding=cp1252", "columns.am.format=%d.%m.%Y"]
    found = http.post("/v1/historical", params={**query, "dialect": spelled}, content=PEOPLE, timeout=60)
    assert found.status_code == 200, found.text
    assert [line.rsplit(",", 1)[1] for line in found.text.splitlines()[1:]] == ["0.5", "", "0.51"]
    assert "Größe" in found.text
    files = {
        "labels": PEOPLE,
        "question": json.dumps({**query, "features": ["age_share"], "dialect": SETTINGS}).encode(),
    }
    assert http.post("/v1/historical", files=files, timeout=60).text == found.text
    unread = http.post("/v1/historical", params=query, content=PEOPLE, timeout=60)
    assert unread.status_code == 400
    assert "encoding=cp1252" in unread.text
    wrong = http.post("/v1/historical", params={**query, "dialect": "encodng=cp1252"}, content=PEOPLE, timeout=60)
    assert wrong.status_code == 400
    assert "encoding" in wrong.json()["error"]["hint"]


def frame(found: httpx.Response) -> pl.DataFrame:
    kind, data = found.headers["Content-Type"], io.BytesIO(found.content)
    if kind == "application/vnd.apache.parquet":
        return pl.read_parquet(data)
    if kind == STREAM:
        return pl.DataFrame(pa.ipc.open_stream(data).read_all())
    return pl.read_ipc(data)


@pytest.mark.parametrize("kind", [STREAM, "application/vnd.apache.arrow.file", "application/vnd.apache.parquet"])
def test_each_binary_format_comes_back_with_its_types(http: httpx.Client, kind: str) -> None:
    labels = pl.read_csv(io.StringIO(LABELS), schema_overrides={"patient_id": pl.String}, try_parse_dates=True)
    body = io.BytesIO()
    if kind == STREAM:
        table = labels.to_arrow()
        with pa.ipc.new_stream(body, table.schema) as writer:
            writer.write_table(table)
    elif kind == "application/vnd.apache.parquet":
        labels.write_parquet(body)
    else:
        labels.write_ipc(body)
    found = http.post("/v1/historical", params=QUERY, content=body.getvalue(), headers={"Accept": kind}, timeout=60)
    assert found.status_code == 200, found.text
    assert found.headers["Content-Type"] == kind
    assert frame(found)["age_share"].to_list() == [0.5, None, 0.51]


def test_multipart_and_json(http: httpx.Client) -> None:
    files = {"labels": ("labels.csv", LABELS), "question": ("", json.dumps({**QUERY, "features": ["age_share"]}))}
    found = http.post("/v1/historical", files=files, headers={"Accept": "application/json"}, timeout=60)
    assert found.status_code == 200, found.text
    assert [row["age_share"] for row in found.json()["rows"]] == [0.5, None, 0.51]
    rows = "".join(json.dumps({"patient_id": "001", "at": "2024-01-20T00:00:00Z"}) + "\n" for _ in range(2))
    again = http.post("/v1/historical", params=QUERY, content=rows, timeout=60)
    assert again.headers["Content-Type"] == "application/x-ndjson"
    assert [json.loads(line)["age_share"] for line in again.text.splitlines()] == [0.5, 0.5]


def test_the_options_of_join_are_those_of_the_query(http: httpx.Client) -> None:
    labels = LABELS.replace("patient_id", "who")
    query = {**QUERY, "entity": "patient=who", "max_age": "1d", "with_times": "true", "before": "true"}
    found = http.post("/v1/historical", params=query, content=labels, timeout=60)
    assert found.text.splitlines()[0] == "who,at,y,age_share,age_share.at,chol_level,chol_level.at"


def test_a_time_without_a_zone_is_taken_as_utc_and_said_so(http: httpx.Client) -> None:
    joined = http.post("/v1/historical", params={**QUERY, "as_of": "2030-01-01"}, content=LABELS, timeout=60)
    assert "as_of=2030-01-01 has no time zone; it is taken as UTC" in json.loads(
        joined.headers["Featurestore-Warnings"]
    )
    asked: dict[str, Any] = {"entity_type": "patient", "features": ["age_share"], "at": "2024-01-20T00:00:00"}
    latest = http.post("/v1/latest", json=asked, timeout=60)
    assert "at=2024-01-20T00:00:00 has no time zone; it is taken as UTC" in latest.headers["Featurestore-Warnings"]


def test_latest_has_a_row_for_everybody(http: httpx.Client) -> None:
    asked: dict[str, Any] = {"entity_type": "patient", "features": ["age_share"], "at": "2024-01-20T00:00:00Z"}
    found = http.post("/v1/latest", json=asked, timeout=60)
    assert found.status_code == 200, found.text
    assert [row["age_share"] for row in found.json()["rows"]] == [0.5, 0.6]
    csv = http.post("/v1/latest", params=asked, headers={"Accept": "text/csv"}, timeout=60)
    assert csv.text == "patient_id,age_share\n001,0.5\n002,0.6\n"


@pytest.mark.parametrize(
    ("query", "body", "status"),
    [
        ({}, LABELS, 400), ({**QUERY, "features": "nothing"}, LABELS, 400), ({**QUERY, "nothing": "1"}, LABELS, 400),
        (QUERY, "", 400), (QUERY, "patient_id,at\n001,yesterday\n", 400), ({**QUERY, "max_age": "x"}, LABELS, 400),
        ({**QUERY, "as_of": "x"}, LABELS, 400), ({**QUERY, "timezone": "x"}, LABELS, 400),
        (QUERY, b"PAR1 not a Parquet file", 400), ({**QUERY, "timestamp_column": "when"}, LABELS, 400),
    ],
)  # fmt: skip
def test_what_can_not_be_joined_says_why(http: httpx.Client, query: Any, body: Any, status: int) -> None:
    found = http.post("/v1/historical", params=query, content=body, timeout=60)
    assert found.status_code == status, found.text
    assert found.json()["error"]["message"]
    assert "/tmp" not in found.text


def test_formats_that_can_not_be_read_or_written(http: httpx.Client) -> None:
    refused = http.post("/v1/historical", params=QUERY, content=LABELS, headers={"Accept": "image/png"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (406, "not_acceptable")
    packed = http.post("/v1/historical", params=QUERY, content=LABELS, headers={"Content-Encoding": "gzip"})
    assert (packed.status_code, packed.json()["error"]["code"]) == (415, "media_type")
    broken = http.post(
        "/v1/historical", params=QUERY, content=b"--x", headers={"Content-Type": "multipart/form-data; boundary=x"}
    )
    assert broken.status_code == 400


def test_labels_and_answers_are_bounded_and_nothing_is_left(
    synced: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(spool))
    limits = Limits(upload=len(LABELS), answer=2)
    with serving(synced.root, Settings(synced.root, access_log=False, limits=limits)) as url:
        large = httpx.post(f"{url}/v1/historical", params=QUERY, content=LABELS + "x", timeout=60)
        assert (large.status_code, large.json()["error"]["code"]) == (413, "too_large")
        as_json = {"Accept": "application/json"}
        many = httpx.post(f"{url}/v1/historical", params=QUERY, content=LABELS, headers=as_json, timeout=60)
        assert many.status_code == 413
        assert httpx.post(f"{url}/v1/historical", params=QUERY, content=LABELS, timeout=60).status_code == 200
    assert spooled(spool) == []


def test_a_slow_reader_holds_up_nobody_and_one_that_leaves_leaves_nothing(
    synced: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(spool))
    body = (LABELS + "001,2024-03-01T00:00:00Z,1\n" * 400_000).encode()  # more than the buffers of a connection hold
    head = (
        "POST /v1/historical?features=age_share&timestamp_column=at HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: text/csv\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with serving(synced.root) as url:
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=60) as slow:
            slow.sendall(head.encode() + body)
            assert slow.recv(16).startswith(b"HTTP/1.1 200")
            assert httpx.get(f"{url}/v1/online/patient/001").status_code == 200
            assert len(spooled(spool)) == 1
        deadline = time.monotonic() + 20
        while spooled(spool) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert spooled(spool) == []
