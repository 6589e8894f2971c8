"""What the online routes answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from featurestore.online.redis.servers import RedisNode
from tests.conftest import Folder
from tests.serve.conftest import serving
from tests.services import Server


def ask(http: httpx.Client, body: Any, status: int = 200, path: str = "/v1/online") -> Any:
    found = http.post(path, json=body)
    assert found.status_code == status, found.text
    return found.json()


def values(document: Any) -> list[dict[str, Any]]:
    return [{name: item["value"] for name, item in each["features"].items()} for each in document["entities"]]


def test_the_answer_is_the_document_of_get(synced: Folder) -> None:
    expected = synced.json("get", "patient", "001", "nobody")
    with serving(synced.root) as url, httpx.Client(base_url=url) as http:
        assert ask(http, {"entity_type": "patient", "entities": ["001", "nobody"]}) == expected
        assert http.get("/v1/online/patient/001").json()["entities"] == expected["entities"][:1]


def test_a_value_has_its_time_version_and_status(http: httpx.Client) -> None:
    found = ask(http, {"entity_type": "patient", "entities": ["001"], "features": ["age_share", "age_lately"]})
    features = found["entities"][0]["features"]
    assert features["age_share"]["value"] == 0.51
    assert features["age_share"]["computed_at"] == "2024-02-01T00:00:00Z"
    assert features["age_share"]["version"] == 1
    assert features["age_share"]["status"] == "ok"
    assert features["age_lately"] == {**features["age_lately"], "value": None, "status": "expired"}


def test_null_and_missing_are_told_apart(http: httpx.Client) -> None:
    found = ask(http, {"entity_type": "patient", "entities": ["002", "nobody"], "features": ["chol_level"]})
    assert [each["features"]["chol_level"]["status"] for each in found["entities"]] == ["null", "missing"]


@pytest.mark.parametrize("entity", ["store=s1,product=7", {"store": "s1", "product": 7}, '{"store":"s1","product":7}'])
def test_a_composite_id_in_each_form(http: httpx.Client, entity: Any) -> None:
    assert values(ask(http, {"entity_type": "shelf", "entities": [entity]})) == [{"stock": 3}]


def test_an_id_with_a_slash_in_the_address(http: httpx.Client) -> None:
    found = http.get("/v1/online/shelf/store=s%2F2,product=8", params={"features": "stock"})
    assert values(found.json()) == [{"stock": 4}]


def test_a_feature_under_another_name(http: httpx.Client) -> None:
    asked = {"entity_type": "patient", "entities": ["001"], "features": ["age=age_share", "age_share@1"]}
    assert values(ask(http, asked)) == [{"age": 0.51, "age_share@1": 0.51}]


def test_a_model_gives_its_features_of_the_entity_type(http: httpx.Client) -> None:
    patient = {"entity_type": "patient", "entities": ["001"], "model": "risk"}
    shelf = {"entity_type": "shelf", "entities": ["store=s1,product=7"], "model": "risk"}
    found = ask(http, {"questions": [patient, shelf]})["answers"]
    assert [values(each) for each in found] == [[{"age_share": 0.51, "chol_level": 210.0}], [{"stock": 3}]]


def test_several_questions_about_one_type_each_get_their_own(http: httpx.Client) -> None:
    one = {"entity_type": "patient", "entities": ["001", "002"], "features": ["age_share"]}
    two = {"entity_type": "patient", "entities": ["002"], "features": ["chol_level", "x=age_share"]}
    found = ask(http, {"questions": [one, two, {"entity_type": "patient", "entities": ["002"]}]})["answers"]
    assert values(found[0]) == [{"age_share": 0.51}, {"age_share": 0.6}]
    assert values(found[1]) == [{"chol_level": None, "x": 0.6}]
    assert set(values(found[2])[0]) == {"age_share", "chol_level", "age_lately"}


def test_one_round_trip_for_each_entity_type(synced: Folder, valkey: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    synced.edit(
        "featurestore.toml", "[entity_types.patient]", f'[online]\nurl = "{valkey.url}"\n[entity_types.patient]'
    )
    synced.run("sync")
    taken: list[int] = []
    take = RedisNode.take

    def counted(node: RedisNode) -> Any:
        taken.append(1)
        return take(node)

    one = {"entity_type": "patient", "entities": ["001", "002"], "features": ["age_share"]}
    two = {"entity_type": "patient", "entities": ["003"], "features": ["chol_level"]}
    shelf = {"entity_type": "shelf", "entities": ["store=s1,product=7"], "features": ["stock"]}
    with serving(synced.root) as url, httpx.Client(base_url=url) as http:
        body = {"questions": [one, two, shelf]}
        ask(http, body)  # reads the pointers
        monkeypatch.setattr(RedisNode, "take", counted)
        ask(http, body)
    assert len(taken) == 2


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"entity_type": "pateint", "entities": []}, "did you mean 'patient'?"),
        ({"entity_type": "patient", "entities": ["1"], "features": ["age_shar"]}, "did you mean 'age_share'?"),
        ({"entity_type": "patient", "entities": ["1"], "features": []}, "features"),
        ({"entity_type": "patient", "entities": ["1"], "model": "risc"}, "risc"),
        ({"entity_type": "patient", "entities": ["1"], "model": "risk", "features": ["age_share"]}, "combined"),
        ({"entity_type": "patient", "entities": ["1"], "request": {"x": 1}}, "request"),
        ({"entity_type": "patient", "entities": ["1"], "feature": ["age_share"]}, "feature"),
        ({"entity_type": "patient", "entities": "1"}, "entities"),
        ({"entity_type": "patient", "entities": [True]}, "entities.0: Input should be a valid string, a valid "),
        ({"entity_type": "patient", "entities": ["1", 2**80]}, "entities.1: Input should be a valid string, less than"),
        ({"entity_type": "shelf", "entities": [{"store": 1.5}]}, "entities.0.store: Input should be a valid string or"),
        ({"entity_type": "shelf", "entities": [7]}, "its keys are"),
        ({"entity_type": "shelf", "entities": [{"store": "s1", "product": 2**64}]}, "entities"),
        ({"entity_type": "patient", "entities": ["1"], "features": ["payer.age_share"]}, "role"),
        ({"questions": []}, "questions"),
        ([], "the body"),
    ],
)  # fmt: skip
def test_what_can_not_be_answered_says_why(http: httpx.Client, body: Any, message: str) -> None:
    found = ask(http, body, 400)
    assert list(found) == ["error"]
    assert list(found["error"]) == ["code", "message", "hint"]
    assert found["error"]["code"] == "usage"
    assert message in f"{found['error']['message']} {found['error']['hint']}"


def test_no_entities_give_an_empty_answer(http: httpx.Client) -> None:
    assert ask(http, {"entity_type": "patient", "entities": []})["entities"] == []


def feast(http: httpx.Client, body: Any, status: int = 200) -> Any:
    return ask(http, body, status, "/get-online-features")


def test_feasts_documented_request(http: httpx.Client) -> None:
    found = feast(
        http,
        {
            "features": ["visits:age_share", "visits:chol_level", "visits:age_lately"],
            "entities": {"patient_id": ["001", "002", "nobody"]},
        },
    )
    assert found["metadata"] == {"feature_names": ["patient_id", "age_share", "chol_level", "age_lately"]}
    keys, age, chol, lately = found["results"]
    assert (keys["values"], keys["statuses"]) == (["001", "002", "nobody"], ["PRESENT"] * 3)
    assert age["values"] == [0.51, 0.6, None]
    assert age["statuses"] == ["PRESENT", "PRESENT", "NOT_FOUND"]
    assert age["event_timestamps"] == ["2024-02-01T00:00:00Z", "2024-01-15T00:00:00Z", "1970-01-01T00:00:00Z"]
    assert chol["statuses"] == ["PRESENT", "NULL_VALUE", "NOT_FOUND"]
    assert lately["statuses"] == ["OUTSIDE_MAX_AGE", "OUTSIDE_MAX_AGE", "NOT_FOUND"]


def test_feasts_feature_service_is_a_set(http: httpx.Client) -> None:
    found = feast(http, {"feature_service": "all_of_patient", "entities": {"patient_id": ["001"]}})
    assert found["metadata"]["feature_names"] == ["patient_id", "age_share", "chol_level"]


def test_feasts_full_names_and_several_entity_types(http: httpx.Client) -> None:
    entities = {"patient_id": ["001"], "store": ["s1"], "product": ["7"]}
    asked = {"features": ["a:age_share", "b:stock"], "entities": entities, "full_feature_names": True}
    found = feast(http, asked)
    assert found["metadata"]["feature_names"] == ["patient_id", "store", "product", "a__age_share", "b__stock"]
    assert [each["values"] for each in found["results"][3:]] == [[0.51], [3]]


@pytest.mark.parametrize(
    "body",
    [
        {"features": ["v:age_share"], "entities": {"patient": ["1"]}},
        {"features": ["v:age_share"], "entities": {"patient_id": ["1"], "x": []}},
        {"features": ["v:age_shar"], "entities": {"patient_id": ["1"]}},
        {"features": ["v:stock"], "entities": {"store": ["1"], "product": ["x"]}},
        {"entities": {"patient_id": ["1"]}},
        {"features": ["v:age_share"], "feature_service": "all_of_patient", "entities": {"patient_id": ["1"]}},
        {"features": ["v:age_share"], "entities": {}},
    ],
)
def test_feasts_request_that_can_not_be_answered(http: httpx.Client, body: Any) -> None:
    assert feast(http, body, 400)["error"]["code"] == "usage"


def test_feast_without_entities_has_columns_without_values(http: httpx.Client) -> None:
    found = feast(http, {"features": ["v:age_share"], "entities": {"patient_id": []}})
    assert [each["values"] for each in found["results"]] == [[], []]


def test_the_request_log_has_what_was_answered(synced: Folder, tmp_path: Path) -> None:
    from featurestore.serve.settings import Settings

    log = tmp_path / "requests.jsonl"
    body = {"entity_type": "patient", "entities": ["001"], "features": ["age_share"]}
    with serving(synced.root, Settings(synced.root, request_log=log, access_log=False)) as url:
        answered = httpx.post(f"{url}/v1/online", json=body).json()
        httpx.post(f"{url}/v1/online", json={**body, "entity_type": "nobody"})
    (line,) = log.read_text().splitlines()
    logged = json.loads(line)
    assert logged.pop("at").endswith("Z")
    served = answered["entities"][0]["features"]["age_share"]
    assert logged == {
        "run": 1, "entity_type": "patient", "entity_id": "001", "request": {},
        "features": {"age_share": {name: served[name] for name in ("sha256", "value", "status")}},
    }  # fmt: skip
    assert log.stat().st_mode & 0o077 == 0
