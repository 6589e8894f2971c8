"""What `[online] url` may say: every way to a server works, and a mistyped url is reported without its password."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from featurestore.errors import ConfigError, StoreError
from featurestore.online.open import open_online
from featurestore.online.redis.servers import DEFAULT_RETRIES, Servers
from featurestore.online.redis.store import RedisStore
from featurestore.serving.reader import Reader
from featurestore.workflows.sync import sync
from featurestore.workflows.verify.verify import verify
from tests.online.cases import PATIENT, History, make_project, make_version
from tests.online.shop import QUICK
from tests.services import PERMISSIONS, TLS, Server, behind_tls, forwarding, refusing

AGE = make_version("age")
NOW = 1_704_300_000_000_000
WAYS = {
    "the default database": "redis://127.0.0.1:{port}",
    "a database by its number": "redis://127.0.0.1:{port}/3",
    "a database as an option": "redis://127.0.0.1:{port}?db=4",
    "a unix socket": "unix://{folder}/s",
    "a database of a unix socket": "unix://{folder}/s?db=5",
    "a password": "redis://:p%40ss%2Fw%3Frd@127.0.0.1:{port}/6",
    "a user": "redis://app:s3cr3t@127.0.0.1:{port}/0",
    "a user of a unix socket": "unix://app:s3cr3t@{folder}/s",
    "TLS": "rediss://app:s3cr3t@localhost:{tls}/0?ssl_ca_certs={ca}",
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_a_server_is_synced_read_and_verified(way: str, tmp_path: Path, own_server: Server) -> None:
    client = own_server.client()
    client.execute_command("ACL", "SETUSER", "app", "on", ">s3cr3t", *PERMISSIONS)
    if way == "a password":
        client.config_set("requirepass", "p@ss/w?rd")
    with behind_tls(own_server.port) as tls:
        url = WAYS[way].format(port=own_server.port, folder=own_server.folder, tls=tls, ca=TLS / "cert.pem")
        history = History(make_project(tmp_path, url=url))
        project, store = history.project, open_online(history.project)
        history.learn({AGE: [(f"p{n}", datetime(2024, 1, 1), n / 10) for n in range(100)]})
        assert sync(project, history.store, store, [AGE]).entities_written == 100
        history.learn({AGE: [("p7", datetime(2024, 1, 2), 7.7)]})
        assert sync(project, history.store, store, [AGE]).entities_written == 1
        rows = Reader(project.name, store).read(PATIENT, [{"patient_id": "p7"}, {"patient_id": "p8"}], ["age"], NOW)
        assert [row[0].value for row in rows] == [7.7, 0.8]
        assert verify(project, history.store, store, [AGE]).found == 0
        store.close()
    if "database" in way:
        assert own_server.client(db=0 if "default" in way else int(url[-1])).dbsize() == 102


@pytest.mark.parametrize(
    "url",
    [
        "redis://u:s3cr3t@[::1/0", "redis://u:s3cr3t@127.0.0.1:port/0", "redis://u:s3cr3t@127.0.0.1:99999/0",
        "redis://u:s3cr3t@127.0.0.1:1/mydb", "redis://u:s3cr3t@127.0.0.1:1/0?sockettimeout=1",
        "redis://u:s3cr3t@127.0.0.1:1/0?socket_timeout=soon", "rediss://u:s3cr3t@h:1?ssl_cert_reqs=perhaps",
        "redis://u:s3@cr3t/x@127.0.0.1:port/0", "redis://u:s3?cr3t@127.0.0.1:1/0", "redis://u:s3#cr3t@127.0.0.1:1/0",
        "redis://127.0.0.1:1/0?password=s3@cr3t&nonsense=1",
    ],
)  # fmt: skip
def test_a_mistyped_url_is_exit_2_and_keeps_its_password(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        open_online(make_project(tmp_path, url=url)).table("meta")
    for part in ("s3", "cr3t"):
        assert part not in f"{caught.value!r} {caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://u:s3cr3t@h:0/0", "its port is not a port"), ("redis://s3 cr3t:1/0", "its host is not the name of a"),
        (f"redis://{'s3cr3t' * 50}:1/0", "its host is not the name of a"), ("unix://", "it names no socket"),
        ("redis://h:1/99999999999999999999", "its database is not a number"), ("redis://h:1/-1", "its database is not"),
        ("redis+cluster://h:1/3", "a cluster has no database but 0"), ("redis://h?db=s3cr3t", "its database is not a"),
        ("redis://h?socket_timeout=nan", "its socket_timeout is not a number of seconds above 0"),
        ("redis://h?socket_connect_timeout=-1", "its socket_connect_timeout is not a number of seconds above 0"),
        *((f"redis://h?{name}=s3cr3t", "it has a parameter that is not known") for name in (
            "socket_type", "cache_config", "credential_provider", "redis_connect_func", "max_connections", "host",
        )),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_url_is_said_without_quoting_it(url: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        open_online(make_project(tmp_path, url=url)).table("meta")
    assert said in caught.value.message
    for part in ("s3", "cr3t"):
        assert part not in f"{caught.value!r} {caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://u:p@localhost:1/2", "redis://localhost:1/2"), ("redis://localhost", "redis://localhost:6379/0"),
        ("rediss://127.0.0.1:7/0?password=p%40ss", "rediss://127.0.0.1:7/0"),
        ("redis+cluster://[::1]:7", "redis+cluster://[::1]:7"), ("unix://u:p@/tmp?db=3", "unix:///tmp"),
        ("redis://s3cr3t", "online.url"), ("redis://12345678:6379/0", "online.url"), ("unix:///s3cr3t", "online.url"),
    ],
)  # fmt: skip
def test_a_server_is_named_by_a_host_that_is_one(url: str, shown: str) -> None:
    assert Servers(url, DEFAULT_RETRIES).where == shown


def test_what_a_server_quotes_of_a_login_is_not_printed(tmp_path: Path) -> None:
    with refusing("-ERR unknown command 'AUTH', with args beginning with: 'e' 's3cr3t'") as port:
        store = RedisStore(make_project(tmp_path), f"redis://e:s3cr3t@127.0.0.1:{port}/0", QUICK)
        with pytest.raises(StoreError, match="the online store refuses: ") as caught:
            store.table("meta")
    assert str(caught.value).endswith("refuses: unknown command 'AUTH'"), "not even that something was quoted"


def test_a_certificate_that_is_not_trusted_is_reported(tmp_path: Path, valkey: Server) -> None:
    with behind_tls(valkey.port) as port:
        store = RedisStore(make_project(tmp_path), f"rediss://localhost:{port}/0", QUICK)
        with pytest.raises(StoreError, match="certificate that can't be trusted") as caught:
            store.table("meta")
        assert "ssl_ca_certs" in (caught.value.hint or "")


def test_a_cluster_is_found_again_when_the_server_of_the_url_is_gone(cluster: list[Server], tmp_path: Path) -> None:
    with forwarding(cluster[0].port) as port:
        project = make_project(tmp_path, url=f"redis+cluster://127.0.0.1:{port}")
        history, store = History(project), open_online(project)
        history.learn({AGE: [(f"p{n}", datetime(2024, 1, 1), n / 10) for n in range(100)]})
        sync(project, history.store, store, [AGE])
    store.close()  # every connection, and what was known of the slots
    rows = Reader(project.name, store).read(PATIENT, [{"patient_id": f"p{n}"} for n in range(100)], ["age"], NOW)
    assert [row[0].value for row in rows] == [n / 10 for n in range(100)]
    with pytest.raises(StoreError, match="can't be reached"):
        open_online(project).table("meta")
