"""`FeatureStoreClient(url=…)` answers and raises what `FeatureStoreClient(path=…)` does."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest

from featurestore import FeatureStoreClient
from featurestore.client import AsyncFeatureStoreClient
from featurestore.errors import AccessError, FeatureStoreError, ForbiddenError, StoreError, UsageError
from featurestore.serve.app import make_app
from featurestore.serve.settings import Settings
from tests.conftest import Folder
from tests.serve import conftest
from tests.serve.conftest import serving
from tests.services import Server, free_port

LABELS = pl.DataFrame(
    {"patient_id": ["001", "002"], "at": ["2024-01-20T00:00:00Z", "2024-01-01T00:00:00Z"], "y": [1, 0]}
).with_columns(pl.col("at").str.to_datetime(time_zone="UTC"))


@pytest.fixture
def both(synced: Folder) -> Iterator[tuple[FeatureStoreClient, FeatureStoreClient]]:
    """The client of a folder, and that of its server."""
    with serving(synced.root) as url:
        local, remote = FeatureStoreClient(synced.root), FeatureStoreClient(url=url)
        yield local, remote
        local.close()
        remote.close()


def test_the_same_answers(both: tuple[FeatureStoreClient, FeatureStoreClient]) -> None:
    local, remote = both
    questions: list[tuple[str, list[Any], list[str]]] = [
        ("patient", ["001", "nobody"], ["age_share", "chol_level"]), ("patient", [], ["age_share"]),
        ("shelf", [{"store": "s1", "product": 7}, "store=s/2,product=8"], ["stock"]),
    ]  # fmt: skip
    for entity_type, ids, features in questions:
        expected = local.get_online_features(entity_type, ids, features).to_dict() if ids else None
        found = remote.get_online_features(entity_type, ids, features).to_dict()
        assert found == expected or not ids
    asked: dict[str, Any] = {"timestamp_column": "at", "max_age": "30d", "with_times": True}
    for labels in (LABELS, LABELS.to_pandas()):
        expected = local.get_historical_features(labels, ["age_share"], "patient_id", **asked)
        found = remote.get_historical_features(labels, ["age_share"], "patient_id", **asked)
        assert type(found) is type(expected)
        if isinstance(found, pd.DataFrame):
            pd.testing.assert_frame_equal(found, expected)
        else:
            assert found.equals(expected)


@pytest.mark.filterwarnings("ignore:.*times without a zone")
def test_a_file_of_labels_is_read_by_the_same_settings(
    both: tuple[FeatureStoreClient, FeatureStoreClient], tmp_path: Path
) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes("patient_id;am;Größe\n001;20.01.2024;-\n002;01.01.2024;1\n".encode("cp1252"))
    dialect = {"encoding": "cp1252", "null": ["-"], "columns": {"am": {"format": "%d.%m.%Y"}}}
    found = [
        client.get_historical_features(
            path, ["age_share"], "patient_id", timestamp_column="am", delimiter=";", dialect=dialect
        )
        for client in both
    ]
    assert [frame["age_share"].to_list() for frame in found] == [[0.5, None]] * 2
    assert [frame["Größe"].null_count() for frame in found] == [1, 1]


def test_notebooks_train_and_serve_from_a_folder_and_from_a_server_alike(
    both: tuple[FeatureStoreClient, FeatureStoreClient],
) -> None:
    days = pd.to_datetime(["2024-01-20", "2024-02-20", "2024-01-01"], utc=True)
    labels_df = pd.DataFrame({"patient_id": ["001", "001", "002"], "diagnosis_date": days, "sick": [0, 1, 0]})
    for client in both:
        training_df = client.get_historical_features(
            entity_df=labels_df,
            features=["age_share", "chol_level"],
            entity_column="patient_id",
            timestamp_column="diagnosis_date",
            entity_type="patient",
        )
        assert isinstance(training_df, pd.DataFrame)
        assert list(training_df.columns) == ["patient_id", "diagnosis_date", "sick", "age_share", "chol_level"]
        assert training_df["age_share"].tolist()[:2] == [0.5, 0.51]
        assert training_df["age_share"].isna().tolist() == [False, False, True]
        answer = client.get_online_features(
            entity_type="patient", entity_ids=["001"], features=["age_share", "chol_level"]
        )
        assert answer.to_pandas()["chol_level"].tolist() == [210.0]


def test_the_same_errors(both: tuple[FeatureStoreClient, FeatureStoreClient]) -> None:
    for client in both:
        with pytest.raises(UsageError, match="no entity type 'pateint'") as raised:
            client.get_online_features("pateint", ["1"], ["age_share"])
        assert raised.value.hint == "did you mean 'patient'?"
        with pytest.raises(UsageError, match="age_shar"):
            client.get_historical_features(LABELS, ["age_shar"], "patient_id", "at")
        with pytest.raises(UsageError):
            client.get_online_features("patient", "001", ["age_share"])
        with pytest.raises(UsageError):
            client.get_historical_features(7, ["age_share"], "patient_id", "at")


def test_a_server_of_a_later_release_may_say_more(synced: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conftest, "make_app", lambda settings: _saying_more(make_app(settings)))
    ids, features = ["001", "nobody"], ["age_share", "chol_level"]
    with serving(synced.root) as url:
        later = FeatureStoreClient(url=url)
        found = later.get_online_features("patient", ids, features)
        assert (
            found.to_dict() == FeatureStoreClient(synced.root).get_online_features("patient", ids, features).to_dict()
        )
        with pytest.raises(UsageError, match="no entity type"):
            later.get_online_features("pateint", ["1"], ["age_share"])
        later.close()


def _saying_more(app: Any) -> Any:
    async def later(scope: Any, receive: Any, send: Any) -> None:
        sent: list[Any] = []

        async def keep(message: Any) -> None:
            sent.append(message)

        await app(scope, receive, keep if scope["type"] == "http" else send)
        if sent:
            document = _with_more(json.loads(b"".join(message["body"] for message in sent[1:])))
            body = json.dumps(document).encode()
            headers = [item for item in sent[0]["headers"] if item[0] != b"content-length"]
            await send({**sent[0], "headers": [*headers, (b"content-length", str(len(body)).encode())]})
            await send({"type": "http.response.body", "body": body})

    return later


def _with_more(document: Any, *, by_name: bool = False) -> Any:
    """The document with a key that no release has yet in every object but those that say something by name."""
    if isinstance(document, list):
        return [_with_more(item) for item in document]
    if not isinstance(document, dict):
        return document
    more = {name: _with_more(value, by_name=name == "features") for name, value in document.items()}
    return more if by_name else more | {"of_a_later_release": 1}


def test_async(synced: Folder) -> None:
    async def ask(url: str) -> tuple[Any, Any]:
        client = AsyncFeatureStoreClient(url)
        online, joined = await asyncio.gather(
            client.get_online_features("patient", ["001"], ["age_share"]),
            client.get_historical_features(LABELS, ["age_share"], "patient_id", "at"),
        )
        await client.close()
        return online.to_dict(), joined["age_share"].to_list()

    with serving(synced.root) as url:
        assert asyncio.run(ask(url)) == ({"patient_id": ["001"], "age_share": [0.51]}, [0.5, None])


def test_a_token_opens_what_it_is_for(synced: Folder, tmp_path: Path) -> None:
    token = "scorer-0123456789abcdef"
    file = tmp_path / "tokens.toml"
    file.write_text(f'[tokens.a]\nscopes = ["online"]\nsha256 = "{hashlib.sha256(token.encode()).hexdigest()}"\n')
    with serving(synced.root, Settings(synced.root, file, access_log=False, local=False)) as url:
        client = FeatureStoreClient(url=url, token=token)
        assert client.get_online_features("patient", ["001"], ["age_share"]).to_dict()["age_share"] == [0.51]
        with pytest.raises(ForbiddenError):
            client.get_historical_features(LABELS, ["age_share"], "patient_id", "at")
        with pytest.raises(AccessError):
            FeatureStoreClient(url=url).get_online_features("patient", ["001"], ["age_share"])
        assert token not in repr(client.__dict__)


def test_a_server_that_is_gone_is_a_store_that_does_not_answer() -> None:
    with pytest.raises(StoreError, match="does not answer"):
        FeatureStoreClient(url=f"http://127.0.0.1:{free_port()}").get_online_features("patient", ["1"], ["age"])


def test_a_store_that_is_gone_is_the_same_error(synced: Folder, own_server: Server) -> None:
    online = f'[online]\nurl = "{own_server.url}"\n[entity_types.patient]'
    synced.edit("featurestore.toml", "[entity_types.patient]", online)
    synced.run("sync")
    own_server.stop()
    with serving(synced.root) as url, pytest.raises(StoreError) as raised:
        FeatureStoreClient(url=url).get_online_features("patient", ["001"], ["age_share"])
    assert raised.value.code == "store"


def test_a_server_that_starts_a_moment_later_is_waited_for(synced: Folder) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # refuses connections until it listens
        client = FeatureStoreClient(url=f"http://127.0.0.1:{held.getsockname()[1]}")
        with ThreadPoolExecutor(1) as caller:
            asked = caller.submit(client.get_online_features, "patient", ["001"], ["age_share"])
            time.sleep(0.1)
            held.listen()
            with serving(synced.root, listening=held):
                assert asked.result(60).to_dict()["age_share"] == [0.51]


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://localhost", "", "http://user:secret@localhost"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(FeatureStoreError) as raised:
        FeatureStoreClient(url=url)
    assert "secret" not in str(raised.value)


def test_a_token_without_a_server_is_refused() -> None:
    with pytest.raises(UsageError):
        FeatureStoreClient(token="x")
