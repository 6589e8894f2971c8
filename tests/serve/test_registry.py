"""The registry's routes answer with the documents of the commands."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.conftest import Folder
from tests.serve.conftest import serving

ROUTES = [
    ("/v1/features", ["list"]),
    ("/v1/features?query=age&entity_type=patient", ["list", "age", "--entity-type", "patient"]),
    ("/v1/features/age_share", ["show", "age_share"]),
    ("/v1/features/age_share/diff?old=1&new=2", ["diff", "age_share", "1", "2"]),
    ("/v1/features/age_share/diff?old=1&new=2&code=true", ["diff", "age_share", "1", "2", "--code"]),
    ("/v1/features/age_share/stats", ["stats", "age_share"]),
    ("/v1/features/age_share@1/stats?run=1&last=1", ["stats", "age_share@1", "--run", "1", "--last", "1"]),
    ("/v1/drift", ["drift"]),
    ("/v1/drift?feature=age_share&last=1", ["drift", "age_share", "--last", "1"]),
    ("/v1/runs?last=1", ["runs", "--last", "1"]),
    ("/v1/runs/1", ["runs", "1"]),
    ("/v1/datasets", ["dataset"]),
]


def test_each_route_has_the_document_of_its_command(two_versions: Folder) -> None:
    with serving(two_versions.root) as url, httpx.Client(base_url=url, timeout=20) as http:
        for route, command in ROUTES:
            found = http.get(route)
            assert found.status_code == 200, (route, found.text)
            expected = two_versions.json(*command)
            assert found.json() == expected, route


def test_a_version_comes_with_its_code(http: httpx.Client) -> None:
    found: Any = http.get("/v1/features/age_share/versions/1").json()
    assert found["version"] == 1
    assert 'pl.col("age") / 100' in found["code"][0]["text"]
    again = http.get(f"/v1/features/age_share/versions/{found['sha256'][:8]}").json()
    assert again == found


@pytest.mark.parametrize(
    "route",
    [
        "/v1/features/nothing", "/v1/features/age_share/versions/9", "/v1/features/age_share/versions/x",
        "/v1/features/nothing/stats", "/v1/features/..%2F..%2Fetc/versions/1", "/v1/features/../versions/1",
        "/v1/features/age_share/diff?old=7&new=8", "/v1/runs/99", "/v1/nothing", "/", "/v1/features/",
    ],
)  # fmt: skip
def test_what_does_not_exist_is_not_found(http: httpx.Client, route: str) -> None:
    found = http.get(route)
    assert found.status_code == 404, found.text
    assert found.json()["error"]["code"] == "not_found"


@pytest.mark.parametrize("route", ["/v1/features?status=x", "/v1/runs?last=x", "/v1/runs?last=0", "/v1/runs?status=x"])
def test_a_filter_that_is_none_is_refused(http: httpx.Client, route: str) -> None:
    found = http.get(route)
    assert (found.status_code, found.json()["error"]["code"]) == (400, "usage")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_nothing_can_be_changed(http: httpx.Client, method: str) -> None:
    for route in ("/v1/features", "/v1/features/age_share", "/v1/runs", "/v1/runs/1", "/v1/datasets", "/v1/drift"):
        assert http.request(method, route).status_code == 405
