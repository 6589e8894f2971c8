"""Request-time features over HTTP and from Python, and what a sync keeps online for one that was promoted."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from featurestore import FeatureStoreClient
from tests.conftest import Folder
from tests.registry.test_request_time import RATIO, REQUEST
from tests.serve.conftest import serving

DOSE = ["--request", "dose=2", "-f", "dose_share"]


@pytest.fixture
def served(project: Folder) -> Folder:
    project.write({REQUEST: RATIO})
    project.run("ingest")
    project.run("lock")
    project.run("sync")
    return project


def value(folder: Folder, *features: str) -> float:
    asked = ["-f", ",".join(features)] if features else ["-f", "dose_share"]
    found = folder.json("get", "patient", "001", *asked, "--request", "dose=2")["entities"][0]["features"]
    return float(next(iter(found.values()))["value"])


def test_a_sync_keeps_online_what_a_promoted_one_is_computed_from(served: Folder) -> None:
    assert value(served) == 2 / 0.51
    assert served.json("promote", "dose_share", "1")["online"]
    for divisor in ("50", "25"):
        served.edit("features/cardiac.py", "/ 100" if divisor == "50" else "/ 50", f"/ {divisor}")
        served.run("ingest")
        served.run("lock")
        served.run("sync")
    (entity,) = served.json("get", "patient", "001", "-f", "age_share")["entities"]
    assert entity["features"]["age_share"]["version"] == 3
    assert value(served) == 2 / 0.51, "its own version of the input, two promotions ago"
    assert value(served, "dose_share@3") == 2 / (51 / 25)
    assert served.json("verify")["different"] == 0
    (served.root / "features/.versions/dose_share/active").unlink()
    served.run("sync")
    assert value(served) == 2 / (51 / 25)
    refused = served.json("get", "patient", "001", "-f", "dose_share@1", "--request", "dose=2", code=2)["error"]
    assert "an input of dose_share@1, is not online" in refused["message"]


def test_over_http_and_from_python_the_answers_are_those_of_the_command(served: Folder, tmp_path: Path) -> None:
    from featurestore.serve.settings import Settings

    log = tmp_path / "requests.jsonl"
    body = {"entity_type": "patient", "entities": ["001", "002"], "features": ["dose_share"]}
    with serving(served.root, Settings(served.root, request_log=log, access_log=False)) as url:
        one = httpx.post(f"{url}/v1/online", json={**body, "request": {"dose": 2}}).json()
        each = httpx.post(f"{url}/v1/online", json={**body, "request": [{"dose": 2}, {"dose": "NaN"}]}).json()
        renamed = httpx.post(
            f"{url}/v1/online", json={**body, "features": ["share=dose_share"], "request": {"dose": 2}}
        ).json()
        feast = httpx.post(
            f"{url}/get-online-features",
            json={"features": ["v:dose_share"], "entities": {"patient_id": ["001"], "dose": [2.0]}},
        ).json()
        refused = httpx.post(f"{url}/v1/online", json={**body, "request": {"dose": "2"}})
        client = FeatureStoreClient(url=url)
        remote = client.get_online_features("patient", ["001", "002"], ["dose_share"], request={"dose": 2.0}).to_dict()
        client.close()
    expected = [2 / 0.51, 2 / 0.6]
    assert [item["features"]["dose_share"]["value"] for item in one["entities"]] == expected
    assert [item["features"]["dose_share"]["value"] for item in each["entities"]] == [2 / 0.51, "NaN"]
    assert renamed["entities"][0]["features"]["share"]["value"] == expected[0]
    assert feast["results"][-1]["values"] == expected[:1]
    assert (refused.status_code, refused.json()["error"]["message"]) == (
        400, "the request's field 'dose' is not a float"
    )  # fmt: skip
    local = FeatureStoreClient(served.root)
    found = local.get_online_features("patient", ["001", "002"], ["dose_share"], request=[{"dose": 2.0}, {"dose": 2.0}])
    assert found.to_dict() == remote == {"patient_id": ["001", "002"], "dose_share": expected}
    local.close()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["features"].keys() for line in lines] == [{"dose_share"}] * len(lines)
    replayed = served.json("verify", "--requests", str(log))
    assert (replayed["checked"], replayed["different"], replayed["unreadable"]) == (len(lines), 0, 0)


def test_the_hint_for_a_retired_feature_names_all_that_get_answers(served: Folder) -> None:
    code = (served.root / "features/cardiac.py").read_text()
    served.write({"features/zz.py": code.replace("age_share", "zz")})
    served.run("ingest")
    served.run("sync")
    (served.root / "features/zz.py").unlink()
    served.run("retire", "zz")
    (served.root / REQUEST).unlink()
    assert value(served) == 2 / 0.51, "its code is gone, and it is answered from its version file"
    hint = served.json("get", "patient", "001", "-f", "zz", code=2)["error"]["hint"]
    assert "zz was retired on " in hint
    assert hint.endswith("there is: age_share, dose_share")
