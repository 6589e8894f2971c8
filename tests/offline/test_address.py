"""Addresses of PostgreSQL servers: what a url says, what it leaves to libpq, and that no password is ever shown."""

from pathlib import Path

import pytest

from featurestore.errors import ConfigError
from featurestore.postgres.address import Address, parse

CANARY = "s3cr3t-CANARY"


@pytest.fixture(autouse=True)
def _nothing_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HOST", "HOSTADDR", "PASSWORD", "SSLMODE", "SSLROOTCERT", "SERVICE", "SERVICEFILE"):
        monkeypatch.delenv(f"PG{name}", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PGSYSCONFDIR", str(tmp_path))


def read(url: str, password_file: Path | None = None) -> Address:
    return parse(url, key="offline.url", where="featurestore.toml", password_file=password_file)


@pytest.mark.parametrize(
    ("url", "shown", "pairs"),
    [
        ("postgresql://ml@db.invalid/f", "offline.url", "user='ml' dbname='f' host='db.invalid'"),
        ("postgres://localhost:5433", "postgresql://localhost:5433", "host='localhost' port='5433'"),
        ("postgresql://[::1]:5433/f", "postgresql://[::1]:5433", "dbname='f' host='::1' port='5433'"),
        (
            "postgresql://127.0.0.1:1,localhost:2/f",
            "postgresql://127.0.0.1:1,localhost:2",
            "host='127.0.0.1,localhost' port='1,2'",
        ),
        ("postgresql:///f?host=/tmp", "postgresql:///tmp", "dbname='f' host='/tmp'"),
        ("postgresql://%2Ftmp/f", "postgresql:///tmp", "dbname='f' host='/tmp'"),
        ("postgresql://a%40b@/f", "offline.url", "user='a@b' dbname='f'"),
        ("postgresql:///f?service=x", "offline.url", "dbname='f' service='x'"),
    ],
)
def test_a_url_is_taken_apart_as_libpq_would(url: str, shown: str, pairs: str) -> None:
    address = read(url)
    assert address.shown == shown
    assert address.conninfo.endswith(pairs)


@pytest.mark.parametrize("password", ["plain", "p@ss/w:rd?#%&=", "it's", "back\\slash", "söß", " "])
def test_a_password_arrives_whatever_it_holds(password: str) -> None:
    from urllib.parse import quote

    spelled = password.replace("\\", "\\\\").replace("'", "\\'")
    address = read(f"postgresql://ml:{quote(password, safe='')}@localhost/f")
    assert address.conninfo.endswith(f"password='{spelled}'")


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://u:{CANARY}%zz@h/db",
        f"postgresql://u:{CANARY}%@h/db",
        f"postgresql://u:{CANARY}/x@h/db",
        f"postgresql://u:12/{CANARY}@h/db",
        f"postgresql://u:{CANARY}",
        f"postgresql//u:{CANARY}@h/db",
        f"postgresql://u:x?{CANARY}=1@h/db",
        f"postgresql://u:x?{CANARY}@h/db",
        f"postgresql://u:x@h:{CANARY}/db",
        f"postgresql://u:{CANARY}%00@h/db",
        f"postgresql://u:{CANARY}%ff@h/db",
        f"mysql://u:{CANARY}@h/db",
    ],
)
def test_a_malformed_url_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(url)
    error = caught.value
    assert error.exit_code == 2
    assert CANARY not in f"{error!s}{error!r}{error.hint}{error.__cause__!r}"


def test_a_mistyped_parameter_is_told_its_nearest() -> None:
    with pytest.raises(ConfigError) as caught:
        read("postgresql://localhost/f?sslmod=require")
    assert caught.value.hint == "did you mean sslmode?"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://ml:{CANARY}@localhost/f", f"postgresql://{CANARY}@localhost/f", f"postgresql://{CANARY}/f",
        f"postgresql://localhost/{CANARY}", f"postgresql:///f?host={CANARY}", f"postgresql:///f?service={CANARY}",
        f"postgresql://localhost/f?application_name={CANARY}",
    ],
)  # fmt: skip
def test_an_address_shows_nothing_that_may_be_a_password(url: str) -> None:
    address = read(url)
    assert CANARY not in repr(address) + address.shown + address.identity
    assert CANARY not in address.redact(f'role "{CANARY}" does not exist')
    assert address.identity == read(url).identity
    assert address.identity != read(f"{url}x").identity or "ml:" in url or "application_name" in url


def test_a_password_is_redacted_wherever_it_stands() -> None:
    assert read(f"postgresql://ml:{CANARY}@localhost/f").redact(f"so {CANARY} it is") == "so *** it is"


@pytest.mark.parametrize(
    ("parameter", "wanted"),
    [
        (f"connect_timeout={CANARY}", "connect_timeout which is not a whole number"),
        (f"keepalives_idle={CANARY}", "keepalives_idle which is not a whole number"),
        (f"sslmode={CANARY}", "sslmode which is not one of disable, allow, prefer, require, verify-ca, verify-full"),
        (f"target_session_attrs={CANARY}", "target_session_attrs which is not one of any, read-write"),
    ],
)
def test_a_parameter_that_libpq_would_quote_is_refused_before(parameter: str, wanted: str) -> None:
    with pytest.raises(ConfigError, match=wanted) as caught:
        read(f"postgresql://localhost/f?{parameter}")
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://db.example/f", True),
        ("postgresql://10.1.2.3/f", True),
        ("postgresql://localhost,db.example/f", True),
        ("postgresql:///f?hostaddr=10.1.2.3", True),
        ("postgresql://localhost/f", False),
        ("postgresql://127.0.0.2/f", False),
        ("postgresql://[::1]/f", False),
        ("postgresql:///f", False),
        ("postgresql:///f?host=/run/pg", False),
        ("postgresql://db.example/f?sslmode=disable", False),
    ],
)
def test_a_server_elsewhere_must_prove_who_it_is_unless_the_url_says_otherwise(url: str, expected: bool) -> None:
    assert ("sslmode='verify-full' sslrootcert='system'" in read(url).conninfo) == expected


def test_a_server_named_by_the_environment_must_prove_who_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "db.example")
    assert "sslmode='verify-full'" in read("postgresql:///f").conninfo
    monkeypatch.setenv("PGSSLMODE", "require")
    assert "sslmode" not in read("postgresql:///f").conninfo


def test_a_service_is_read_for_what_it_says_of_host_and_encryption(tmp_path: Path) -> None:
    (tmp_path / ".pg_service.conf").write_text("[away]\nhost=db.example\n[bare]\nhost=db.example\nsslmode=disable\n")
    assert "sslmode='verify-full'" in read("postgresql:///?service=away").conninfo
    assert "sslmode" not in read("postgresql:///?service=bare").conninfo


def test_a_known_root_certificate_is_used_before_those_of_the_system(tmp_path: Path) -> None:
    (tmp_path / ".postgresql").mkdir()
    (tmp_path / ".postgresql" / "root.crt").touch()
    assert "sslmode='verify-full' fallback" in read("postgresql://db.example/f").conninfo


def test_a_password_may_lie_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text(f"{CANARY}\n")
    address = read("postgresql://ml@localhost/f", tmp_path / "pw")
    assert address.conninfo.endswith(f"password='{CANARY}'")
    assert "password='in-url'" in read("postgresql://ml:in-url@localhost/f", tmp_path / "pw").conninfo
    with pytest.raises(ConfigError, match="password file can't be read"):
        read("postgresql://ml@localhost/f", tmp_path / "missing")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://db.example/f?sslmode=disable", "sslmode=disable, what goes to the server is not encrypted"),
        ("postgresql://db.example/f?sslmode=allow", "sslmode=allow, what goes to the server may not be encrypted"),
        ("postgresql://localhost,10.1.2.3/f?sslmode=prefer", "sslmode=prefer, what goes to the server may not be"),
        ("postgresql://localhost/f?hostaddr=10.1.2.3&sslmode=disable", "what goes to the server is not"),
        ("postgresql:///?service=bare", "what goes to the server is not"),
    ],
)
def test_an_open_way_to_a_server_elsewhere_is_warned_of(url: str, said: str, tmp_path: Path) -> None:
    (tmp_path / ".pg_service.conf").write_text("[bare]\nhost=db.service\nsslmode=disable\n")
    (warning,) = read(url).warnings
    assert said in warning
    assert warning.startswith("offline.url: ")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://db.example/f",
        "postgresql://db.example/f?sslmode=require",
        "postgresql://db.example/f?sslmode=verify-ca",
        "postgresql://localhost/f?sslmode=disable",
        "postgresql:///f?host=/run/pg&sslmode=prefer",
    ],
)
def test_another_way_is_not(url: str) -> None:
    assert read(url).warnings == ()


def test_an_open_way_that_the_environment_asks_for_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSSLMODE", "disable")
    assert read("postgresql://localhost/f").warnings == ()
    assert len(read("postgresql://db.example/f").warnings) == 1
    assert read("postgresql://db.example/f?sslmode=require").warnings == ()
