"""How a server is named in messages: by its host and port, and only where that is what they are.

Whoever writes a url can put a password in any place of it, and a url that parses may still hold one where its host
should be. A host that the network knows is none.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

# Beside numbers, which the system would take for an IPv4 address: a password of digits would be one.
_NAME = re.compile(r"(?!0[xX])[A-Za-z0-9_-]*[A-Za-z][A-Za-z0-9_.-]*")


def name_server(scheme: str, hosts: Sequence[tuple[str, str]], otherwise: str) -> str:
    """``redis://db.example:6379`` of hosts and ports, or of the paths of sockets; ``otherwise`` where one is neither.

    Asks the network. Meant for errors, after the same hosts have been tried.
    """
    if not hosts or not all(_is_host(host) and (port.isdigit() or not port) for host, port in hosts):
        return otherwise
    return f"{scheme}://" + ",".join(_spelled(host) + (f":{port}" if port else "") for host, port in hosts)


def _is_host(name: str) -> bool:
    if name.startswith("/"):
        return os.path.exists(name)  # noqa: PTH110  # which raises nothing
    from ipaddress import ip_address

    try:
        ip_address(name)
    except ValueError:
        return _NAME.fullmatch(name) is not None and _is_known(name)
    return True


def _is_known(name: str) -> bool:
    import socket

    try:
        socket.getaddrinfo(name, None)
    except (OSError, UnicodeError):
        return False
    return True


def _spelled(host: str) -> str:
    return f"[{host}]" if ":" in host else host
