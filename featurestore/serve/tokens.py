"""Who may ask what: bearer tokens by name, each with its scopes. Only their hashes are in memory.

The file is TOML; a token stands in it as its SHA-256, or as the variable that has it::

    [tokens.scorer]
    scopes = ["online"]
    token = "${SCORER_TOKEN}"
    [tokens.dashboard]
    scopes = ["read", "online"]
    sha256 = "9f86d081…"
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, cast

from featurestore.errors import AccessError, ConfigError, ForbiddenError, os_reason
from featurestore.frozen import frozen
from featurestore.toml import TomlTable, parse_toml

Scope = Literal["read", "online"]
SCOPES: tuple[Scope, ...] = ("read", "online")
SHORTEST = 16
_VARIABLE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@frozen
class Token:
    """A token's name, the SHA-256 of its text, and what it is for."""

    name: str
    digest: bytes
    scopes: frozenset[Scope]


def read_tokens(path: Path) -> tuple[Token, ...]:
    """The tokens of a file. Raises ConfigError naming the file and the key; never quotes a token."""
    try:
        content = path.read_bytes()
        top = TomlTable(parse_toml(content), str(path), content=content).allow("tokens")
    except OSError as exc:
        raise ConfigError(f"can't be read: {os_reason(exc)}", where=str(path), hint="--token-file FILE") from exc
    except ValueError as exc:
        raise ConfigError(str(exc), where=str(path)) from exc
    tokens = tuple(_token(name, table) for name, table in top.tables("tokens"))
    if not tokens:
        raise top.error("tokens", "is missing", hint='add [tokens.NAME] with scopes = ["online"] and sha256 = "…"')
    if len({token.digest for token in tokens}) < len(tokens):
        raise top.error("tokens", "has the same token under two names", hint="give everybody a token of their own")
    return tokens


def find_token(tokens: Sequence[Token], header: str | None, scope: Scope) -> Token:
    """The token of an ``Authorization`` header. Compares with all of them, in a time that tells nothing.

    Raises AccessError where there is none or it is not known, ForbiddenError where it is not for ``scope``.
    """
    kind, _, text = (header or "").partition(" ")
    if kind.lower() != "bearer" or not text.strip():
        raise AccessError("a token is needed", hint="send the header Authorization: Bearer TOKEN")
    digest = hashlib.sha256(text.strip().encode("utf-8", "surrogateescape")).digest()
    found: Token | None = None
    for token in tokens:
        if hmac.compare_digest(token.digest, digest):
            found = token
    if found is None:
        raise AccessError("the token is not known", hint="ask whoever runs this server for one")
    if scope not in found.scopes:
        raise ForbiddenError(f"the token {found.name} is not for this", hint=f"it needs the scope {scope}")
    return found


def _token(name: str, table: TomlTable) -> Token:
    table.allow("scopes", "token", "sha256")
    scopes = table.get("scopes", list, [])
    if not scopes or any(scope not in SCOPES for scope in scopes):
        raise table.error("scopes", "must be a list of read and online", hint='for example scopes = ["online"]')
    return Token(name, _digest(table), frozenset(cast("list[Scope]", scopes)))


def _digest(table: TomlTable) -> bytes:
    if ("token" in table.data) == ("sha256" in table.data):
        raise table.error("sha256", "or token must be there, and only one of them")
    if "sha256" in table.data:
        written = table.get("sha256", str)
        if not _SHA256.fullmatch(written):
            raise table.error("sha256", "is not a SHA-256", hint='printf %s "$TOKEN" | sha256sum')
        return bytes.fromhex(written)
    if not _VARIABLE.fullmatch(table.get("token", str)):
        raise table.error(
            "token", "must be a variable, so that no token is in a file", hint='token = "${SCORER_TOKEN}"'
        )
    text = table.required_text("token")
    if len(text) < SHORTEST:
        raise table.error("token", f"is shorter than {SHORTEST} characters", hint="openssl rand -hex 32")
    return hashlib.sha256(text.encode()).digest()
