"""The address of a PostgreSQL server, and how to print it without its password.

URLs are taken apart here and handed on as libpq's ``key='value'`` pairs: libpq's own complaints about a
malformed URL quote it, password and all. What a URL leaves out is libpq's to find: PGPASSWORD, PGPASSFILE,
a service file.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from configparser import ConfigParser
from configparser import Error as ParserError
from dataclasses import field
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import unquote_to_bytes

from featurestore.errors import ConfigError, nearest
from featurestore.frozen import frozen
from featurestore.hosts import name_server
from featurestore.regular import in_home

SCHEMES = ("postgresql", "postgres")
PARAMETERS = (
    "application_name", "channel_binding", "connect_timeout", "dbname", "gssencmode", "gsslib", "host", "hostaddr",
    "keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval", "krbsrvname", "load_balance_hosts",
    "options", "passfile", "password", "port", "require_auth", "requirepeer", "service", "sslcert", "sslcompression",
    "sslcrl", "sslcrldir", "sslkey", "sslmode", "sslnegotiation", "sslpassword", "sslrootcert", "sslsni",
    "ssl_max_protocol_version", "ssl_min_protocol_version", "target_session_attrs", "tcp_user_timeout", "user",
)  # fmt: skip
NUMBERS = ("connect_timeout", "keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval",
           "tcp_user_timeout", "sslcompression", "sslsni")  # fmt: skip
CHOICES = {
    "channel_binding": ("disable", "prefer", "require"),
    "gssencmode": ("disable", "prefer", "require"),
    "load_balance_hosts": ("disable", "random"),
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslnegotiation": ("postgres", "direct"),
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
}
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


@frozen
class Address:
    """How to reach a server (``conninfo``, for libpq).

    ``identity`` tells it from other servers and can't be read back. ``warnings`` are what is unsafe about the way.
    """

    conninfo: str = field(repr=False)
    identity: str
    hosts: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    key: str = ""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    values: tuple[str, ...] = field(default=(), repr=False)
    warnings: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """How messages call the server: by host and port, or by the setting where those may be something else."""
        return name_server("postgresql", self.hosts, self.key)

    def redact(self, text: str) -> str:
        """A text of libpq or the server without the secrets of this address, or any value of it in quotes."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        for value in self.values:
            text = text.replace(f'"{value}"', '"…"')
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
        wanted = _wanted(name, given[name])
        if wanted is not None:
            raise wrong(f"has a parameter {name} which is not {wanted}")
    if "password" not in given and password_file is not None:
        given["password"] = _read_password(password_file, key, where)
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
    exposed = (_exposed(key, said["sslmode"]),) if elsewhere and said.get("sslmode") in PLAIN else ()
    return Address(
        _conninfo(pairs), _identity(given), _places(given), key, secrets,
        tuple(value for value in given.values() if value and not _is_file(value)), exposed,
    )  # fmt: skip


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


def _wanted(name: str, value: str) -> str | None:
    """What a parameter has to be, where it is not; libpq would quote it, and it may be a piece of the password."""
    if name in NUMBERS and re.fullmatch(r"-?[0-9]{1,9}", value) is None:
        return "a whole number"
    choices = CHOICES.get(name)
    return f"one of {', '.join(choices)}" if choices is not None and value not in choices else None


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


def _read_password(path: Path, key: str, where: str) -> str:
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as exc:
        # Not the path: where somebody wrote the password itself, it would be in the message.
        reason = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8"
        raise ConfigError(
            f"{key}: the password file can't be read: {reason}", where=where,
            hint="it names a file that holds nothing but the password",
        ) from None  # fmt: skip


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
    if "sslrootcert" in said or in_home("~/.postgresql/root.crt").exists():
        return {"sslmode": "verify-full"}
    return {"sslmode": "verify-full", "sslrootcert": "system"}


def _exposed(key: str, sslmode: str) -> str:
    return (
        f"{key}: with sslmode={sslmode}, what goes to the server {'is not' if sslmode == 'disable' else 'may not be'} "
        "encrypted, and the server is not verified; leave sslmode out, and name the server's CA as ?sslrootcert=FILE"
    )


def _is_file(value: str) -> bool:
    """Whether it names a place on this disk, and so is no password: messages may quote it."""
    path = Path(value)
    return path.is_absolute() and path.parent != Path("/") and path.parent.is_dir()


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
    own = os.environ.get("PGSERVICEFILE") or in_home("~/.pg_service.conf")
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


def _identity(given: Mapping[str, str]) -> str:
    """Of the same server, database and user always the same."""
    named = sorted((name, given[name]) for name in ("user", "host", "port", "dbname", "service") if name in given)
    return f"postgresql {hashlib.sha256(repr(named).encode()).hexdigest()[:16]}"


def _places(given: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    if "service" in given:
        return ()
    hosts, ports = given.get("host", "").split(","), given.get("port", "").split(",")
    return tuple(zip(hosts, ports * len(hosts) if len(ports) == 1 else ports, strict=False))
