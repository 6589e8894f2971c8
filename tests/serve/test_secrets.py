"""A password in a setting is in no answer of the server, no header of it, and no line of its logs."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import httpx
import pytest

from featurestore.serve.settings import Settings
from tests.leaks import CANARY, OFFLINE, ONLINE, OTHERS, REPEATING, hold, stored
from tests.serve.conftest import serving
from tests.services import free_port, refusing

PATHS = (
    "/health", "/ready", "/metrics", "/docs", "/openapi.json", "/v1/features", "/v1/features/age_share",
    "/v1/features/age_share/stats", "/v1/features/more_of_it1", "/v1/drift", "/v1/runs", "/v1/datasets", "/v1/runs/1",
    "/v1/features/age_share/versions/1", "/v1/features/age_share/diff?old=1&new=1",
    "/v1/online/patient/001", "/v1/online/patient/001?features=more_of_it1",
)  # fmt: skip
LABELS = "patient_id,t\n001,2024-03-01T00:00:00Z\n"


def everything(url: str) -> str:
    """What a server says to every question."""
    said = [httpx.get(url + path, timeout=60) for path in PATHS]
    body = {"entity_type": "patient", "entities": ["001"], "features": ["age_share"]}
    said.append(httpx.post(f"{url}/v1/online", json=body, timeout=60))
    for route in ("historical", "latest"):
        query = {"features": "age_share", "timestamp_column": "t"}
        headers = {"content-type": "text/csv"}
        said.append(httpx.post(f"{url}/v1/{route}", params=query, content=LABELS, headers=headers, timeout=60))
    return "\n".join(f"{answer.status_code} {answer.headers} {answer.text}" for answer in said)


@pytest.fixture
def project(_served_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(_served_once, tmp_path / "project"))


@pytest.mark.parametrize("names", [[ONLINE[0], *OTHERS], *([name] for name in (*ONLINE[1:], *OFFLINE))], ids=str)
def test_no_answer_and_no_log_shows_one(
    project: Path, names: list[str], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    hold(project, names, free_port())
    caplog.set_level(logging.DEBUG, "featurestore")
    with serving(project, Settings(project, access_log=True)) as url:
        said = everything(url)
    captured = capfd.readouterr()
    assert "age_share" in said
    assert CANARY not in said + caplog.text + captured.out + captured.err + stored(project)


@pytest.mark.parametrize("answer", REPEATING)
def test_what_a_store_repeats_of_a_login_is_not_passed_on(
    project: Path, answer: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with refusing(answer) as port:
        hold(project, ["redis"], port)
        with serving(project) as url:
            said = everything(url)
    captured = capfd.readouterr()
    assert CANARY not in said + captured.out + captured.err
