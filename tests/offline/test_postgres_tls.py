"""An encrypted way to PostgreSQL: who proves to be the server meant is talked to, and nobody else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from urllib.parse import quote

import pytest

from featurestore.cli.session import Session
from tests.conftest import Folder
from tests.services_postgres import PASSWORD, PostgresServer
from tests.services_tls import Authority, Certificate, installed_with_tls, tls_front, tls_server

INSTALLED = installed_with_tls()
HOST = "db.example"  # not this machine, as far as a url tells

Serve = Callable[[Certificate], int]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "ours")


@pytest.fixture(scope="module", params=["front", *(["installed"] if INSTALLED else [])])
def serve(request: pytest.FixtureRequest) -> Iterator[Serve]:
    """A server for each certificate: gives its port."""
    running: dict[Certificate, int] = {}

    def start(certificate: Certificate) -> AbstractContextManager[int]:
        if request.param == "installed":
            assert INSTALLED is not None
            return tls_server(INSTALLED, certificate)
        server: PostgresServer = request.getfixturevalue("postgres")
        return tls_front(server.port, certificate)

    with ExitStack() as stack:

        def find(certificate: Certificate) -> int:
            if certificate not in running:
                running[certificate] = stack.enter_context(start(certificate))
            return running[certificate]

        yield find


@pytest.fixture(scope="module")
def right(authority: Authority) -> Certificate:
    return authority.issue(HOST)


@pytest.fixture
def ask(project: Folder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., str]:
    """Runs ``featurestore runs`` on a server's port with these parameters in its url: gives what was said."""
    monkeypatch.setenv("HOME", str(tmp_path))  # no ~/.postgresql/root.crt

    def run(port: int, *parameters: str, code: int = 2) -> str:
        url = f"postgresql://postgres:{quote(PASSWORD, safe='')}@{HOST}:{port}/postgres?hostaddr=127.0.0.1"
        monkeypatch.setenv("FEATURESTORE_OFFLINE_URL", "&".join([url, *parameters]))
        ran = project.run("runs", code=code)
        assert PASSWORD not in ran.out + ran.err
        assert quote(PASSWORD, safe="") not in ran.out + ran.err
        return ran.err

    return run


def test_a_server_that_proves_who_it_is_is_talked_to(
    serve: Serve, authority: Authority, right: Certificate, ask: Callable[..., str]
) -> None:
    port = serve(right)
    assert ask(port, "sslmode=verify-full", f"sslrootcert={authority.root}", code=0) == ""
    assert ask(port, f"sslrootcert={authority.root}", code=0) == "", "the same, where the url says nothing of it"


def test_a_server_of_another_name_is_refused(serve: Serve, authority: Authority, ask: Callable[..., str]) -> None:
    port = serve(authority.issue("other.example"))
    said = ask(port, "sslmode=verify-full", f"sslrootcert={authority.root}")
    assert "no safe connection" in said
    assert '"other.example" does not match host name "…"' in said  # the url's own is not quoted
    assert "as its certificate does" in said


def test_a_server_of_an_unknown_authority_is_refused(
    serve: Serve, right: Certificate, ask: Callable[..., str], tmp_path: Path
) -> None:
    other = Authority(tmp_path, "another")
    for root in (other.root, "system"):
        said = ask(serve(right), "sslmode=verify-full", f"sslrootcert={root}")
        assert "no safe connection" in said
        assert "certificate verify failed" in said
        assert "hint: name the CA that signed it as ?sslrootcert=FILE" in said
    assert "certificate verify failed" in ask(serve(right)), "the system's authorities, where the url says nothing"


def test_a_certificate_that_has_ended_is_refused(serve: Serve, authority: Authority, ask: Callable[..., str]) -> None:
    said = ask(serve(authority.issue(HOST, days=-1)), f"sslrootcert={authority.root}")
    assert "no safe connection" in said
    assert "or has expired" in said


def test_a_server_that_does_not_encrypt_is_refused(postgres: PostgresServer, ask: Callable[..., str]) -> None:
    said = ask(postgres.port)
    assert "no safe connection" in said
    assert "does not support SSL" in said
    assert "hint: enable ssl on" in said


def test_a_root_certificate_that_is_not_there_is_named(
    serve: Serve, right: Certificate, ask: Callable[..., str], tmp_path: Path
) -> None:
    assert "gone.crt" in ask(serve(right), f"sslrootcert={tmp_path / 'gone.crt'}")


def test_an_open_way_to_a_server_elsewhere_is_warned_of_once_a_command(
    project: Folder, postgres: PostgresServer, ask: Callable[..., str]
) -> None:
    said = ask(postgres.port, "sslmode=disable", code=0)
    assert said.count("warning: ") == said.count("sslmode=disable, what goes to the server is not encrypted") == 1
    try:
        ran = project.run("ingest", "--json")
        assert ran.json["status"] == "ok"
        assert ran.err.count("warning: offline.url") == 1
        assert "warning" not in project.run("runs", "-q").err
    finally:
        postgres.run("DROP SCHEMA IF EXISTS fs_test CASCADE")


def test_a_command_that_opens_its_store_again_and_again_warns_once(
    project: Folder, ask: Callable[..., str], postgres: PostgresServer, capsys: pytest.CaptureFixture[str]
) -> None:
    ask(postgres.port, "sslmode=prefer", code=0)
    session = Session(folder=str(project.root))
    for _ in range(3):
        session.offline(session.project())
    assert capsys.readouterr().err.count("warning: ") == 1
