"""What operators expect: tokens, limits, a store that goes and comes back, logs, metrics, and a graceful end."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from featurestore.client import FeatureStoreClient
from featurestore.errors import StoreError
from featurestore.serve.run import GRACE_SECONDS
from featurestore.serve.settings import Limits, Settings, read_limits
from tests.conftest import Folder
from tests.serve.conftest import serving
from tests.services import Server

TLS = Path(__file__).parents[1] / "tls"
QUESTION = {"entity_type": "patient", "entities": ["001"], "features": ["age_share"]}
ONLINE = '[online]\nurl = "{url}"\n[entity_types.patient]'


def on_server(folder: Folder, server: Server) -> None:
    folder.edit("featurestore.toml", "[entity_types.patient]", ONLINE.format(url=server.url))
    folder.run("sync")


def settled(ask: Any, seconds: float = 20.0) -> Any:
    """What is answered once that is true; the project's files are looked at every few seconds."""
    deadline = time.monotonic() + seconds
    while not (found := ask()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def started(process: subprocess.Popen[str]) -> str:
    """The url that a server says when it is ready."""
    assert process.stdout is not None
    return str(json.loads("".join(iter(process.stdout.readline, "}\n")) + "}")["url"])


# Letting in

TOKENS = """
[tokens.scorer]
scopes = ["online"]
sha256 = "{scorer}"
[tokens.dashboard]
scopes = ["read"]
token = "${{DASHBOARD_TOKEN}}"
"""
SCORER, DASHBOARD = "scorer-0123456789abcdef", "dashboard-0123456789abcdef"


@pytest.fixture
def token_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DASHBOARD_TOKEN", DASHBOARD)
    file = tmp_path / "tokens.toml"
    file.write_text(TOKENS.format(scorer=hashlib.sha256(SCORER.encode()).hexdigest()))
    return file


def test_a_token_is_for_its_scopes_only(synced: Folder, token_file: Path) -> None:
    with serving(synced.root, Settings(synced.root, token_file, access_log=False, local=False)) as url:

        def status(path: str, token: str | None, body: Any = None) -> int:
            headers = {} if token is None else {"Authorization": f"Bearer {token}"}
            return httpx.request("POST" if body else "GET", url + path, json=body, headers=headers).status_code

        assert status("/v1/online", SCORER, QUESTION) == 200
        assert status("/v1/online/patient/001", SCORER) == 200
        assert status("/v1/online", DASHBOARD, QUESTION) == 403
        assert status("/v1/features", DASHBOARD) == 200
        assert status("/metrics", DASHBOARD) == 200
        assert status("/v1/features", SCORER) == 403
        for token in (None, "wrong", SCORER + "x", SCORER.upper()):
            assert status("/v1/online", token, QUESTION) == 401
            assert status("/v1/nothing", token) == 401
        assert [status(path, None) for path in ("/health", "/ready", "/docs", "/openapi.json")] == [200] * 4
        refused = httpx.get(url + "/v1/features")
        assert refused.headers["WWW-Authenticate"] == "Bearer"
        assert refused.json()["error"]["code"] == "unauthorized"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "tokens is missing"),
        ('[tokens.a]\nscopes = ["all"]\nsha256 = "00"', "tokens.a.scopes"),
        ('[tokens.a]\nscopes = ["read"]\nsha256 = "00"', "tokens.a.sha256 is not a SHA-256"),
        ('[tokens.a]\nscopes = ["read"]\ntoken = "a-secret-in-the-file"', "tokens.a.token must be a variable"),
        ('[tokens.a]\nscopes = ["read"]\ntoken = "${SHORT}"', "shorter than 16"),
        ('[tokens.a]\nscopes = ["read"]\ntoken = "${NOT_SET}"', "which is not set"),
        ('[tokens.a]\nscopes = ["read"]', "only one of them"),
    ],
)
def test_a_token_file_that_can_not_be_used_is_refused_without_quoting_it(
    project: Folder, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.setenv("SHORT", "secret")
    project.write({"tokens.toml": text})
    found = project.run("serve", "--dry-run", "--port", "0", "--token-file", str(project.root / "tokens.toml"), code=2)
    assert message in found.err
    assert "secret" not in found.err.replace("a-secret-file", "")


def test_other_machines_are_served_only_where_that_is_asked_for(project: Folder) -> None:
    refused = project.run("serve", "--dry-run", "--host", "0.0.0.0", "--port", "0", code=2)
    assert "--token-file" in refused.err
    allowed = project.run("serve", "--dry-run", "--host", "0.0.0.0", "--port", "0", "--insecure")
    assert "whoever can connect reads everything" in allowed.err


def test_a_web_page_under_another_name_is_not_let_in(server: str) -> None:
    assert httpx.get(f"{server}/v1/features", headers={"Host": "evil.example:8000"}).status_code == 403
    found = httpx.get(f"{server}/v1/features", headers={"Origin": "https://evil.example"})
    assert not [name for name in found.headers if name.startswith("access-control")]


def test_a_port_in_use_is_said(project: Folder) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        found = project.run("serve", "--dry-run", "--port", str(taken.getsockname()[1]), code=2)
    assert "choose another --port" in found.err


# Limits


def test_what_is_too_large_is_refused(synced: Folder) -> None:
    limits = Limits(body=1_000, entities=10, questions=2)
    with serving(synced.root, Settings(synced.root, access_log=False, limits=limits)) as url:
        many = {**QUESTION, "entities": [str(n) for n in range(11)]}
        assert httpx.post(f"{url}/v1/online", json=many).status_code == 413
        assert httpx.post(f"{url}/v1/online", json={"questions": [QUESTION] * 3}).status_code == 413
        columns = {"entities": {"patient_id": many["entities"]}, "features": ["age_share"]}
        assert httpx.post(f"{url}/get-online-features", json=columns).status_code == 413
        assert httpx.post(f"{url}/v1/online", content=b" " * 1_001).status_code == 413
        chunked = httpx.post(f"{url}/v1/online", content=(b" " * 100 for _ in range(20)))
        assert (chunked.status_code, chunked.json()["error"]["code"]) == (413, "too_large")
        assert httpx.post(f"{url}/v1/online", json=QUESTION).status_code == 200


def test_a_slow_writer_is_cut_off_and_holds_up_nobody(synced: Folder) -> None:
    limits = Limits(seconds=0.5)
    with serving(synced.root, Settings(synced.root, access_log=False, limits=limits)) as url:
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as slow:
            slow.sendall(b"POST /v1/online HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
            assert httpx.post(f"{url}/v1/online", json=QUESTION).status_code == 200
            slow.settimeout(20)
            assert slow.recv(4096).startswith(b"HTTP/1.1 504")


def test_above_its_limit_the_server_says_that_it_is_busy(synced: Folder) -> None:
    limits = Limits(requests=1)
    with serving(synced.root, Settings(synced.root, access_log=False, limits=limits)) as url:
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as slow:
            slow.sendall(b"POST /v1/online HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
            busy = settled(lambda: _status_is(httpx.post(f"{url}/v1/online", json=QUESTION), 503))
            assert busy.headers["Retry-After"] == "1"
            assert busy.json()["error"]["code"] == "busy"
            assert httpx.get(f"{url}/health").status_code == 200
        assert settled(lambda: _status_is(httpx.post(f"{url}/v1/online", json=QUESTION), 200))


def _status_is(found: httpx.Response, status: int) -> httpx.Response | None:
    return found if found.status_code == status else None


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"null", b'"x"', b"[" * 100_000, b'{"entity_type": "patient", "entities": ["\\ud800"]}',
        b'{"entity_type": "patient", "entities": ["\xff"]}', b'{"entity_type": NaN}', b"\x00" * 100,
        b'{"entity_type": "patient", "entities": [' + b"9" * 5_000 + b"]}",
        b'{"entity_type": "patient", "entities": [{"a": {"b": 1}}]}',
        b'{"entity_type": "../../etc", "entities": ["1"]}',
    ],
)  # fmt: skip
def test_a_hostile_body_is_a_usage_error(http: httpx.Client, body: bytes) -> None:
    for path in ("/v1/online", "/get-online-features"):
        found = http.post(path, content=body)
        assert (found.status_code, found.json()["error"]["code"]) == (400, "usage"), found.text


def test_ids_of_any_text_are_looked_for(http: httpx.Client) -> None:
    ids = ["", "\0", "a\nb", "*", "x" * 10_000, "🫀", "{", "'; DROP TABLE"]
    found = http.post("/v1/online", json={**QUESTION, "entities": ids}).json()
    assert [each["entity_id"] for each in found["entities"]] == ids
    assert {each["features"]["age_share"]["status"] for each in found["entities"]} == {"missing"}


# Stores


def test_a_store_that_dies_and_comes_back_is_survived(synced: Folder, own_server: Server) -> None:
    on_server(synced, own_server)
    with serving(synced.root) as url, ThreadPoolExecutor(64) as callers, httpx.Client(timeout=30) as http:

        def answers() -> list[httpx.Response]:
            return list(callers.map(lambda _: http.post(f"{url}/v1/online", json=QUESTION), range(64)))

        assert {found.status_code for found in answers()} == {200}
        own_server.stop()
        gone = answers()
        assert {found.status_code for found in gone} == {503}
        assert {found.headers["Retry-After"] for found in gone} == {"1"}
        assert gone[0].json()["error"]["code"] == "store"
        assert http.get(f"{url}/health").status_code == 200
        ready = http.get(f"{url}/ready")
        assert ready.status_code == 503
        assert ready.json()["stores"]["online"]["reason"]
        assert ready.json()["stores"]["offline"]["status"] == "ok"
        assert 'featurestore_store_up{store="online"} 0.0' in http.get(f"{url}/metrics").text
        own_server.start()
        synced.run("sync", "--full")
        assert {found.status_code for found in answers()} == {200}
        assert http.get(f"{url}/ready").status_code == 200


def test_a_new_version_and_a_retirement_are_served_without_a_restart(synced: Folder) -> None:
    with serving(synced.root) as url:

        def value() -> Any:
            return httpx.post(f"{url}/v1/online", json=QUESTION).json()

        def first() -> Any:
            return value()["entities"][0]["features"]["age_share"]

        assert (first()["version"], first()["value"]) == (1, 0.51)
        synced.edit("features/cardiac.py", 'pl.col("age") / 100', 'pl.col("age") / 50')
        synced.run("ingest")
        synced.run("sync")
        assert (first()["version"], first()["value"]) == (2, 1.02)
        synced.run("promote", "age_share", "1")
        assert (first()["version"], first()["value"]) == (1, 0.51)
        text = (synced.root / "features/cardiac.py").read_text()
        start = text.index("@feature"), text.index("@feature", text.index("@feature") + 1)
        (synced.root / "features/cardiac.py").write_text(text[: start[0]] + text[start[1] :])
        assert settled(lambda: "no longer declared" in str(value()["warnings"]))
        synced.run("retire", "age_share")
        found = httpx.post(f"{url}/v1/online", json=QUESTION)
        assert (found.status_code, found.json()["error"]["code"]) == (400, "usage")


def test_a_project_that_breaks_goes_on_being_served(synced: Folder) -> None:
    with serving(synced.root) as url:
        before = (synced.root / "featurestore.toml").read_text()
        (synced.root / "featurestore.toml").write_text("[project")

        def project() -> Any:
            assert httpx.post(f"{url}/v1/online", json=QUESTION).status_code == 200
            return httpx.get(f"{url}/ready").json()["stores"]["project"]

        assert settled(lambda: project()["status"] == "failed")
        (synced.root / "featurestore.toml").write_text(before)
        assert settled(lambda: project()["status"] == "ok")


def test_ingestions_go_on_under_load(synced: Folder) -> None:
    with serving(synced.root) as url, ThreadPoolExecutor(4) as callers, httpx.Client(timeout=30) as http:
        stop: list[bool] = []

        def load(path: str) -> set[int]:
            found = set()
            while not stop:
                found.add(http.get(url + path).status_code)
                time.sleep(0.1)
            return found

        paths = ("/v1/online/patient/001", "/v1/runs", "/v1/features/age_share/stats", "/metrics")
        running = [callers.submit(load, path) for path in paths]
        for number in range(20):
            more = f"003,2024-03-01T00:00:{number:02}Z,4{number % 10},200\n"
            synced.write({f"visits{number}.csv": "patient_id,visit_at,age,chol\n" + more})
            synced.run("ingest", "age_share")
        stop.append(True)
        assert [each.result() for each in running] == [{200}] * 4
    assert len(synced.json("runs")["runs"]) == 21


# Looking


def test_metrics_count_requests_and_show_each_feature(synced: Folder) -> None:
    with serving(synced.root) as url:
        for _ in range(3):
            httpx.post(f"{url}/v1/online", json=QUESTION)
        httpx.get(f"{url}/nothing/at/all/4711")
        text = httpx.get(f"{url}/metrics").text
    assert 'featurestore_requests_total{method="POST",route="/v1/online",status="200"} 3.0' in text
    assert 'featurestore_request_seconds_count{route="/v1/online"} 3.0' in text
    assert 'featurestore_request_bytes_count{route="/v1/online"} 3.0' in text
    assert 'featurestore_store_up{store="online"} 1.0' in text
    assert 'featurestore_feature_freshness_seconds{feature="age_share"}' in text
    assert 'featurestore_feature_sync_lag_seconds{feature="age_share"} 0.0' in text
    assert 'featurestore_feature_last_run_failed{feature="age_share"} 0.0' in text
    assert "4711" not in text


def test_the_sync_lag_grows_from_the_run_that_was_not_synced(synced: Folder) -> None:
    synced.write({"visits2.csv": "patient_id,visit_at,age,chol\n009,2024-03-01T00:00:00Z,40,200\n"})
    synced.run("ingest")
    with serving(synced.root) as url:
        lines = httpx.get(f"{url}/metrics").text.splitlines()
    (lag,) = [line for line in lines if line.startswith('featurestore_feature_sync_lag_seconds{feature="age_share"}')]
    assert float(lag.rpartition(" ")[2]) > 0


def test_the_access_log_has_no_values(synced: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(synced.root, Settings(synced.root)) as url:
        found = httpx.get(f"{url}/v1/online/patient/secret-007?features=age_share", headers={"X-Request-ID": "abc.1"})
        assert found.headers["X-Request-ID"] == "abc.1"
        odd = httpx.get(f"{url}/health", headers={"X-Request-ID": 'x"y'})
        assert odd.headers["X-Request-ID"] != 'x"y'
    text = capsys.readouterr().err
    line = next(json.loads(line) for line in text.splitlines() if "abc.1" in line)
    assert line["route"] == "/v1/online/{entity_type}/{id:path}"
    assert (line["method"], line["status"], line["token"]) == ("GET", 200, None)
    assert "secret-007" not in text


def test_no_answer_names_a_path_of_the_server(synced: Folder) -> None:
    with serving(synced.root) as url:
        for broken in (".featurestore/online.sqlite", ".featurestore/history.duckdb"):
            (synced.root / broken).write_bytes(b"damaged" * 1_000)
        for path in ("/v1/online/patient/001", "/v1/runs", "/ready", "/v1/features/age_share/stats", "/v1/drift"):
            found = httpx.get(url + path)
            assert str(synced.root) not in found.text
            assert "Traceback" not in found.text
            assert found.status_code in (200, 500, 503), found.text


def test_the_pages_for_people_load_nothing_from_elsewhere(http: httpx.Client) -> None:
    found = http.get("/docs")
    assert "/v1/online" in found.text
    assert "<script" not in found.text
    assert "//" not in found.text.replace("</", "")
    assert "script-src" not in found.headers["Content-Security-Policy"]
    assert set(http.get("/openapi.json").json()["paths"]) >= {"/v1/online", "/v1/features", "/health", "/metrics"}


# Processes

COMMAND = [sys.executable, "-m", "featurestore"]


def test_workers_add_up_and_end_gracefully(synced: Folder) -> None:
    command = [*COMMAND, "-C", str(synced.root), "serve", "--port", "0", "--workers", "2", "-q", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            url = started(process)

            def asked() -> bool:
                try:
                    return httpx.post(f"{url}/v1/online", json=QUESTION, timeout=60).status_code == 200
                except httpx.TransportError:
                    return False

            assert settled(asked, 60)
            for _ in range(20):
                httpx.post(f"{url}/v1/online", json=QUESTION)  # a connection each, so that both workers get some
            page = httpx.get(f"{url}/metrics").text
            (count,) = [line for line in page.splitlines() if line.startswith("featurestore_requests_total{")]
            assert 'route="/v1/online"' in count
            assert float(count.rpartition(" ")[2]) == 21
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 143
        finally:
            process.kill()


def test_a_unix_socket_is_for_its_owner_and_goes_with_the_server(synced: Folder, tmp_path: Path) -> None:
    path = Path(os.path.relpath(tmp_path / "s"))
    command = [*COMMAND, "-C", str(synced.root), "serve", "--uds", str(path), "-q"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            transport = httpx.HTTPTransport(uds=str(path))
            with httpx.Client(transport=transport, base_url="http://server") as http:

                def asked() -> bool:
                    try:
                        return http.get("/v1/online/patient/001").status_code == 200
                    except httpx.TransportError:
                        return False

                assert settled(asked, 60)
            assert path.stat().st_mode & 0o007 == 0
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 143
            assert not path.exists()
        finally:
            process.kill()


def test_a_worker_that_serves_loads_neither_polars_nor_duckdb(synced: Folder) -> None:
    code = (
        "import sys; from pathlib import Path; from featurestore.serve.app import make_app\n"
        "from featurestore.serve.settings import Settings\n"
        "from fastapi.testclient import TestClient\n"
        f"with TestClient(make_app(Settings(Path({str(synced.root)!r}))), base_url='http://localhost') as http:\n"
        f"    assert http.post('/v1/online', json={QUESTION!r}).status_code == 200\n"
        "    assert http.get('/metrics').status_code == http.get('/ready').status_code == 200\n"
        "print(*sorted({'polars', 'duckdb', 'numpy', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_with_a_certificate_connections_are_encrypted(synced: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    files = ["--tls-cert", str(TLS / "cert.pem"), "--tls-key", str(TLS / "key.pem")]
    command = [*COMMAND, "-C", str(synced.root), "serve", "--port", "0", "-q", "--json", *files]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            url = started(process)
            assert url.startswith("https://127.0.0.1:")
            with pytest.raises(StoreError, match="certificate"):
                FeatureStoreClient(url=url).get_online_features("patient", ["001"], ["age_share"])
            monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "cert.pem"))
            client = FeatureStoreClient(url=url)
            assert client.get_online_features("patient", ["001"], ["age_share"]).to_dict()["age_share"] == [0.51]
            process.terminate()
            # A connection with TLS that nobody reads any more is not waited for as long as for a request in flight.
            assert process.wait(GRACE_SECONDS * 0.9) == 143
            client.close()
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["--tls-cert", "cert.pem"], "belong together"),
        (["--tls-cert", "none.pem", "--tls-key", "key.pem"], "none.pem"),
        (["--tls-cert", "key.pem", "--tls-key", "cert.pem"], "certificate and its key"),
    ],
)
def test_certificates_that_can_not_be_used_are_refused(project: Folder, files: list[str], said: str) -> None:
    paths = [item if item.startswith("--") else str(TLS / item) for item in files]
    assert said in project.run("serve", "--dry-run", *paths, code=2).err


def test_the_socket_of_systemd_is_served(synced: Folder) -> None:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    port = listening.getsockname()[1]
    # As systemd starts a service: the socket is descriptor 3, and the variables are the new process's own.
    start = (
        "import os, sys; os.dup2(int(sys.argv[1]), 3); os.set_inheritable(3, True); "
        "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1'); os.execv(sys.argv[2], sys.argv[2:])"
    )
    command = [sys.executable, "-c", start, str(listening.fileno())]
    command += [*COMMAND, "-C", str(synced.root), "serve", "-q"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, pass_fds=[listening.fileno()]) as process:
        try:
            # The connection waits in the socket until the server is there.
            answer = httpx.get(f"http://127.0.0.1:{port}/v1/online/patient/001", timeout=60)
            assert answer.status_code == 200
        finally:
            process.terminate()


def test_limits_are_set_by_name(synced: Folder) -> None:
    assert read_limits(["body=5MB", "seconds=2m", "requests=3"]) == Limits(5_000_000, seconds=120.0, requests=3)
    for wrong, said in {"bodies=5": "did you mean 'body'", "requests=0": "number", "body=x": "size"}.items():
        assert said in synced.run("serve", "--dry-run", "--limit", wrong, code=2).err


def test_settings_reach_the_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from featurestore.serve.settings import VARIABLE, from_environment

    monkeypatch.setenv(VARIABLE, "")
    settings = Settings(tmp_path, tmp_path / "t", None, 0.5, local=False, limits=Limits(body=7))
    settings.export()
    assert from_environment() == settings
    assert from_environment() != replace(settings, request_share=1.0)
