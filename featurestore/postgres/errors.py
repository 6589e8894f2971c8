"""PostgreSQL's errors as ours, told apart by their SQLSTATE.

Two kinds come without one, and only their text can tell them apart: a connection that was not made, where libpq hands
on nothing else, and an answer that broke off, where Arrow's stream has room for a text alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import adbc_driver_manager as adbc
import polars as pl

from featurestore.errors import ConfigError, DamagedError, FeatureStoreError, StoreError, TransientStoreError
from featurestore.postgres.address import Address

AGAIN = "run the same command again"
_KINDS: dict[str, tuple[str, str | None]] = {
    "53100": ("the server's disk is full", "free some space there and run the same command again"),
    "53200": ("the server is out of memory", AGAIN),
    "53300": ("the server has no free connection", "try again, or raise its max_connections"),
    "42501": ("the user may not do this", "GRANT it USAGE and CREATE on the project's schema"),
    "25006": ("the server is read-only (a standby?)", "name the primary in {url}, or add target_session_attrs"),
    "57014": ("the server stopped the statement (statement_timeout?)", AGAIN),
    "55P03": ("a lock was not released in time (lock_timeout?)", AGAIN),
    "40P01": ("deadlock with another transaction", AGAIN),
    "40001": ("conflict with another transaction", AGAIN),
}

_PROOF = "a remote server must prove its identity: name its CA as ?sslrootcert=FILE, or set ?sslmode=… yourself"
# What libpq says of a server that can't be trusted, what to add to it, and the hint.
_UNSAFE = (
    (
        "verify failed", " (the certificate is signed by nobody who is trusted here, or has expired)",
        "name the CA that signed it as ?sslrootcert=FILE; where that is done, renew the certificate",
    ),
    ("does not match host name", "", "name the server in {url} as its certificate does"),
    (
        "does not support SSL", "",
        "enable ssl on the server, or set ?sslmode=disable yourself where nobody else can listen",
    ),
)  # fmt: skip

# What the driver writes before libpq's text.
_LIBPQ = "[libpq] "
_CONNECTING = "Failed to connect: "
_STREAM = "[libpq] Execution error "
# How libpq begins when what it hears is not PostgreSQL, and when it can't use a parameter.
_FOREIGN = ("received invalid response to", "expected authentication request from server", "received invalid protocol",
            "server sent an error response", "received invalid authentication")  # fmt: skip
_UNUSABLE = ("invalid ", "definition of service", "could not parse", "missing ")
_PRIMARY = "PG_DIAG_MESSAGE_PRIMARY"
_RESTORE = "restore the server's database from its backup"


class ConnectionLostError(TransientStoreError):
    """The connection was lost, and nothing was changed: the server has rolled back, or will."""


class NotAllowedError(StoreError):
    """The role lacks a right. `rights.missing_right` says which, and how to give it."""


class CommitLostError(StoreError):
    """The connection was lost during a commit, which may have happened or not."""


# 40…: the server has rolled back one of two transactions that were in each other's way, and expects another try.
_CLASSES = {"40P01": TransientStoreError, "40001": TransientStoreError, "42501": NotAllowedError}


@contextmanager
def in_our_words(address: Address) -> Iterator[None]:
    """Raises what the driver raises as our errors. Not chained: libpq quotes values of the url, which may be secret."""
    try:
        yield
    except adbc.Error as exc:
        raise (_refused(exc, address) if exc.sqlstate else _lost(str(exc), address)) from None
    except (
        OSError,
        ValueError,
        pl.exceptions.ComputeError,
    ) as exc:  # that is what errors in the middle of an Arrow stream become
        text = str(exc)
        if not text.startswith(_STREAM):
            raise
        raise _broken_off(text, address) from None


def _refused(exc: adbc.Error, address: Address) -> FeatureStoreError:
    """What the server answers, with its SQLSTATE."""
    state = exc.sqlstate or ""
    # Both are bytes, whatever the stub says of the name.
    said = next((text for name, text in exc.details if name in (b"PG_DIAG_MESSAGE_PRIMARY", _PRIMARY)), None)
    message = address.redact(_first_line(str(exc)) if said is None else said.decode("utf-8", "replace"))
    # 08: exceptions of the connection. 57P: the server is starting, stopping or has crashed.
    if state.startswith(("08", "57P")):
        return ConnectionLostError(f"the connection was lost: {message}", where=address.shown, hint=AGAIN)
    # 22: exceptions of the data. 54: limits of the server, such as the length of a row.
    if state.startswith(("22", "54")):
        return StoreError(f"PostgreSQL can't hold a value: {message}", where=address.shown)
    # XX001 and XX002: damaged data, and a damaged index.
    if state in ("XX001", "XX002"):
        return DamagedError(f"the server's data is damaged: {message}", where=address.shown, hint=_RESTORE)
    kind, hint = _KINDS.get(state, (f"PostgreSQL refuses ({state})", "run featurestore doctor"))
    error = _CLASSES.get(state, StoreError)
    return error(f"{kind}: {message}", where=address.shown, hint=hint and hint.format(url=_url(address)))


def _lost(text: str, address: Address) -> FeatureStoreError:
    """No SQLSTATE: the connection was not made, or does not exist any more."""
    message = _first_line(text).removeprefix("IO: ").removeprefix(_LIBPQ)
    if message.startswith(_CONNECTING):
        # Up to "failed: " libpq names the server, which we do by ourselves.
        _, named, rest = message.removeprefix(_CONNECTING).partition(" failed: ")
        return unconnected(address.redact(rest if named else message.removeprefix(_CONNECTING)), address)
    said = address.redact(message)
    return ConnectionLostError(f"the connection was lost: {said}", where=address.shown, hint=AGAIN)


def _broken_off(text: str, address: Address) -> FeatureStoreError:
    """An answer that ended with an error: one of the statement, or, in other words than ERROR, of the connection."""
    message = _first_line(text).removeprefix(_STREAM)
    severity, _, rest = message.partition(": ")[2].partition(": ")
    if severity.rpartition(" ")[2] == "ERROR":
        return StoreError(f"the answer broke off: {address.redact(rest.strip())}", where=address.shown, hint=AGAIN)
    said = address.redact((rest or message).strip())
    return ConnectionLostError(f"the connection was lost: {said}", where=address.shown, hint=AGAIN)


def unconnected(message: str, address: Address) -> FeatureStoreError:
    """Why no connection was made, from libpq's words.

    A rejected login needs another setting; an unreachable server may be tried again.
    """
    if message.startswith(_FOREIGN):
        hint = "is it the right host and port?"
        return StoreError(f"does not speak PostgreSQL's protocol: {message}", where=address.shown, hint=hint)
    if message.startswith(_UNUSABLE):
        return ConfigError(f"{_url(address)} can't be used: {message}", where=address.shown, hint=None)
    if "password" in message or "authentication" in message or "pg_hba.conf" in message:
        hint = "the password comes from the url, password_file, PGPASSWORD or ~/.pgpass"
        return ConfigError(f"the server rejected the login: {message}", where=address.shown, hint=hint)
    if "certificate" in message or "SSL" in message:
        found = next(((why, hint) for part, why, hint in _UNSAFE if part in message), ("", _PROOF))
        hint = found[1].format(url=_url(address))
        return ConfigError(f"no safe connection: {message}{found[0]}", where=address.shown, hint=hint)
    if re.search(r'(database|role) ".*" does not exist', message):
        hint = f"create it on the server, or name another in {_url(address)}"
        return ConfigError(message, where=address.shown, hint=hint)
    return StoreError(
        f"can't be reached: {message}", where=address.shown, hint="is the server running, and the url right?"
    )


def _url(address: Address) -> str:
    """The setting that has the url, as messages call it."""
    return address.key or "the url"


def _first_line(text: str) -> str:
    return text.partition("\n")[0].rstrip().removesuffix(".")
