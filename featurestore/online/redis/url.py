"""What is wrong with a url of a Redis, said without quoting any of it: whatever stands there may be a password.

redis-py hands every parameter on to a constructor, and reads port 0 as no port, so what it would accept is not enough.
"""

from __future__ import annotations

import math
import re
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from featurestore.errors import ConfigError, did_you_mean

PARAMETERS = (
    "db", "username", "password", "client_name", "socket_timeout", "socket_connect_timeout", "socket_keepalive",
    "ssl_cert_reqs", "ssl_ca_certs", "ssl_ca_path", "ssl_ca_data", "ssl_certfile", "ssl_keyfile", "ssl_password",
    "ssl_check_hostname", "ssl_min_version", "ssl_ciphers",
)  # fmt: skip
_SECONDS = ("socket_timeout", "socket_connect_timeout")
_ESCAPES = "in a password write %40 for @, %2F for /, %3F for ? and so on"
_DATABASE = re.compile(r"\d{1,9}", re.ASCII)


def unreadable(why: str | None = None, hint: str | None = None) -> ConfigError:
    """The error for a url that can't be used, to be raised by the caller."""
    hint = f"{hint or 'for example redis://localhost:6379/0'} ({_ESCAPES})"
    return ConfigError("online.url can't be read" + (f": {why}" if why else ""), hint=hint)


def check_url(url: str, *, cluster: bool) -> None:
    """Raises ConfigError where a url, without ``+cluster``, can't be that of a server."""
    try:
        split = urlsplit(url)
        port = split.port
    except ValueError:
        raise unreadable("its port is not a port, or a bracket is not closed") from None
    if port == 0:
        raise unreadable("its port is not a port")
    given = parse_qsl(split.query, keep_blank_values=True)
    databases = [value for name, value in given if name == "db"]
    if split.scheme == "unix":
        if not split.path.strip("/"):
            raise unreadable("it names no socket", "for example unix:///run/redis.sock?db=0")
    else:
        _check_host(split)
        databases += [split.path[1:]] if split.path.strip("/") else []
    if any(_DATABASE.fullmatch(database) is None for database in databases):
        raise unreadable("its database is not a number")
    if cluster and any(int(database) for database in databases):
        raise unreadable("a cluster has no database but 0")
    for name, value in given:
        _check_parameter(name, value)


def _check_host(split: SplitResult) -> None:
    host = unquote(split.hostname or "")
    try:
        host.encode("idna")
    except UnicodeError:
        raise unreadable("its host is not the name of a server") from None
    if any(letter.isspace() or not letter.isprintable() for letter in host):
        raise unreadable("its host is not the name of a server")


def _check_parameter(name: str, value: str) -> None:
    if name not in PARAMETERS:
        known = f"those that have a meaning are {', '.join(PARAMETERS)}"
        raise unreadable("it has a parameter that is not known", did_you_mean(name, PARAMETERS) or known)
    if name in _SECONDS:
        try:
            seconds = float(value)
        except ValueError:
            seconds = 0.0
        if not 0 < seconds < math.inf:
            raise unreadable(f"its {name} is not a number of seconds above 0")
