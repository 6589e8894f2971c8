"""The address of a PostgreSQL server, and how to print it without its password.

URLs are taken apart here and handed on as libpq's ``key='value'`` pairs: libpq's own complaints about a
malformed URL quote it, password and all. What a URL leaves out is libpq's to find: PGPASSWORD, PGPASSFILE,
a service file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from configparser import ConfigParser
from configparser import Error as ParserError
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

from featurestore.errors import ConfigError, nearest

SCHEMES = ("postgresql", "postgres")
PARAMETERS = (
    "application_name", "channel_binding", "connect_timeout", "dbname", "gssencmode", "gsslib", "host", "hostaddr",
    "keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval", "krbsrvname", "load_balance_hosts",
    "options", "passfile", "password", "port", "require_auth", "requirepeer", "service", "sslcert", "sslcompression",
    "sslcrl", "sslcrldir", "sslkey", "sslmode", "sslnegotiation", "sslpassword", "sslrootcert", "sslsni",
    "ssl_max_protocol_version", "ssl_min_protocol_version", "target_session_attrs", "tcp_user_timeout", "user",
)  # fmt: skip
# libpq itself waits for a connection without end, and the system notices only after hours that a server is gone.
DEFAULTS = {
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}
PLAIN = ("disable", "allow", "prefer")  # the values of sslmode that do not insist on encryption
_WRONG = "is not a PostgreSQL url"
_HINT = "postgresql://user@host:5432/database, with / ? # @ % in a password written as %2F %3F %23 %40 %25"


@dataclass(frozen=True, slots=True)
class Address:
    """How to reach a server (``conninfo``, for libpq), and how to name it (``shown``, which holds no secret).

    ``warnings`` are what is unsafe about the way there.
    """

    conninfo: str = field(repr=False)
    shown: str
    secrets: tuple[str, ...] = field(default=(), repr=False)
    warnings: tuple[str, ...] = ()

    def redact(self, text: str) -> str:
        """The text with every secret of this address replaced by asterisks."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


def parse(url: str, *, key: str, where: str, password_file: Path | None = None, application: str = "") -> Address:
    """Reads ``postgresql://[user[:password]@][host[:port],…][/database][?parameter=value&…]``.

    ``key`` and ``where`` name the setting in complaints, which quote nothing of the url: where it is malformed,
    any part of it may be a piece of the password. Raises ConfigError.
    """

    def wrong(message: str, hint: str | None = None) -> ConfigError:
        return ConfigError(f"{key} {message}", where=where, hint=hint)

    try:
        given = _take_apart(url)
    except ValueError as exc:
        raise wrong(f"{_WRONG}: {exc}", _HINT) from None
    for name in given:
        if name not in PARAMETERS:
            close = nearest(name, PARAMETERS)
            raise wrong("has a parameter that PostgreSQL does not know", f"did you mean {close}?" if close else None)
    if "password" not in given and password_file is not None:
        given["password"] = _read_password(password_file)
    secrets = tuple(
        secret for secret in (given.get("password"), given.get("sslpassword"), os.environ.get("PGPASSWORD")) if secret
    )
    said = _said(given)
    elsewhere = _elsewhere(said)
    settings = {
        **(_tls(said) if elsewhere else {}),
        "fallback_application_name": application,
        "client_encoding": "UTF8",
    }
    # What a connection string says wins over the environment, so a default may not stand where a variable is set.
    defaults = {name: value for name, value in DEFAULTS.items() if f"PG{name.upper()}" not in os.environ}
    pairs = {**defaults, **settings, **given}
    exposed = (_exposed(key, said["sslmode"], elsewhere),) if elsewhere and said.get("sslmode") in PLAIN else ()
    return Address(_conninfo(pairs), _shown(given), secrets, exposed)


def _take_apart(url: str) -> dict[str, str]:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in SCHEMES:
        raise ValueError("it begins with postgresql://")
    rest, _, query = rest.partition("?")
    authority, _, database = rest.partition("/")
    if "@" in database or "/" in database:
        raise ValueError("the name of the database holds / or @")
    user_part, _, hosts = authority.rpartition("@")
    user, colon, password = user_part.partition(":")
    given = {"user": _decode(user), "dbname": _decode(database), **_hosts(hosts)}
    given = {name: value for name, value in given.items() if value}
    if colon:
        given["password"] = _decode(password)
    for item in filter(None, query.split("&")):
        name, equals, value = item.partition("=")
        if not equals:
            raise ValueError("a parameter has no value")
        given[_decode(name)] = _decode(value)
    return given


def _hosts(text: str) -> dict[str, str]:
    names, ports = [], []
    for item in text.split(","):
        found = re.fullmatch(r"(\[[0-9A-Fa-f:.%]+\]|[^:\[\]]*)(?::([0-9]*))?", item)
        if found is None:
            raise ValueError("a host or a port can't be read")
        names.append(_decode(found[1].strip("[]")))
        ports.append(found[2] or "")
    return {"host": ",".join(names), "port": ",".join(ports).strip(",") and ",".join(ports)}


def _decode(text: str) -> str:
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        raise ValueError("a % is not followed by two hexadecimal digits")
    try:
        found = unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    if "\0" in found:
        raise ValueError("it holds a NUL character")
    return found


def _read_password(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8"
        raise ConfigError(f"the password file can't be read: {reason}", where=str(path)) from None


def _said(given: Mapping[str, str]) -> dict[str, str]:
    """The settings for the server and the connection: from the url, else a service, else the environment."""
    names = ("host", "hostaddr", "sslmode", "sslrootcert")
    environment = {name: os.environ[f"PG{name.upper()}"] for name in names if f"PG{name.upper()}" in os.environ}
    service = _service(given.get("service") or os.environ.get("PGSERVICE"))
    return {**environment, **service, **given}


def _elsewhere(said: Mapping[str, str]) -> str:
    """The first host that is not this machine; none where all are."""
    hosts = (host for name in ("host", "hostaddr") for host in said.get(name, "").split(","))
    return next((host for host in hosts if not _is_here(host)), "")


def _tls(said: Mapping[str, str]) -> dict[str, str]:
    """What a remote server must offer by default: encryption, and proof of its identity."""
    if {"sslmode", "requiressl"} & said.keys():
        return {}
    if "sslrootcert" in said or Path("~/.postgresql/root.crt").expanduser().exists():
        return {"sslmode": "verify-full"}
    return {"sslmode": "verify-full", "sslrootcert": "system"}


def _exposed(key: str, sslmode: str, host: str) -> str:
    return (
        f"{key}: with sslmode={sslmode}, what goes to {host} {'is not' if sslmode == 'disable' else 'may not be'} "
        "encrypted, and the server is not verified; leave sslmode out, and name the server's CA as ?sslrootcert=FILE"
    )


def _is_here(host: str) -> bool:
    if host in ("", "localhost") or host.startswith(("/", "@")):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _service(name: str | None) -> Mapping[str, str]:
    """The settings of a service, from the files where libpq looks first."""
    if not name:
        return {}
    own = os.environ.get("PGSERVICEFILE") or Path("~/.pg_service.conf").expanduser()
    shared = Path(os.environ.get("PGSYSCONFDIR", "/etc/postgresql-common")) / "pg_service.conf"
    for path in (Path(own), shared):
        parser = ConfigParser(interpolation=None, strict=False, delimiters=("=",), comment_prefixes=("#",))
        try:
            parser.read(path, encoding="utf-8")
        except (ParserError, UnicodeDecodeError):  # libpq will report what is wrong with it
            continue
        if parser.has_section(name):
            return dict(parser.items(name))
    return {}


def _conninfo(pairs: Mapping[str, str]) -> str:
    def escape(value: str) -> str:
        return value.replace("\\", "\\\\").replace("'", "\\'")

    return " ".join(f"{name}='{escape(value)}'" for name, value in pairs.items())


def _shown(given: Mapping[str, str]) -> str:
    if "service" in given:
        return f"postgresql service {given['service']}"
    user = f"{quote(given['user'])}@" if "user" in given else ""
    ports = given.get("port", "").split(",")
    hosts = given.get("host", "").split(",")
    spelled = [quote(host, safe="/:") + (f":{port}" if port else "") for host, port in _paired(hosts, ports)]
    if hosts[0].startswith("/"):
        return f"postgresql://{user}/{quote(given.get('dbname', ''))} on {spelled[0]}"
    return f"postgresql://{user}{','.join(spelled)}/{quote(given.get('dbname', ''))}"


def _paired(hosts: list[str], ports: list[str]) -> list[tuple[str, str]]:
    return list(zip(hosts, ports * len(hosts) if len(ports) == 1 else ports, strict=False))
