"""Errors of Redis and Valkey as ours, told apart by the class of the exception, or the code of the server's answer.

An answer that is an error begins with its code, by convention; most of redis-py's classes stand for one.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Sequence

import hiredis
from redis import exceptions as redis_errors

from featurestore.errors import ConfigError, FeatureStoreError, StoreError
from featurestore.frozen import frozen
from featurestore.online.contract import RefusedError

_TRANSIENT = (
    redis_errors.ConnectionError,  # refused, closed, LOADING
    redis_errors.TimeoutError,
    redis_errors.TryAgainError,
    redis_errors.ClusterDownError,
    redis_errors.NoScriptError,  # it has lost the script since it was loaded, in a restart for example
    redis_errors.MasterDownError,
    OSError,
)

_REPLY_ERRORS: dict[str, type[redis_errors.ResponseError | redis_errors.ConnectionError]] = {
    "MOVED": redis_errors.TryAgainError, "ASK": redis_errors.TryAgainError, "TRYAGAIN": redis_errors.TryAgainError,
    "CLUSTERDOWN": redis_errors.ClusterDownError, "LOADING": redis_errors.BusyLoadingError,
    "MASTERDOWN": redis_errors.MasterDownError, "NOSCRIPT": redis_errors.NoScriptError,
    "NOAUTH": redis_errors.AuthenticationError, "WRONGPASS": redis_errors.AuthenticationError,
}  # fmt: skip


def error_of(exc: Exception, where: str, secrets: Sequence[str] = ()) -> FeatureStoreError:
    """What happened, where, and what to do about it. A server may quote what it was sent: no secret is passed on."""
    if isinstance(exc, redis_errors.AuthenticationError):
        message = "the online store refuses the user or the password"
        return ConfigError(message, where=where, hint="see [online] url")
    message, hint = _diagnosis(exc, _first_line(exc, secrets))
    written: int | None = getattr(exc, "written", None)
    if written is None:
        return StoreError(message, where=where, hint=hint)
    return RefusedError(message, where=where, hint=hint, written=written)


def is_transient(exc: Exception) -> bool:
    """Whether trying again may help."""
    # To redis-py a refused login is a ConnectionError too.
    return isinstance(exc, _TRANSIENT) and not isinstance(exc, redis_errors.AuthenticationError)


def reply_error(text: str) -> redis_errors.ResponseError | redis_errors.ConnectionError:
    """The exception for an error reply; its type decides whether trying again may help."""
    return _REPLY_ERRORS.get(text.partition(" ")[0], redis_errors.ResponseError)(text)


def note_written(exc: redis_errors.RedisError, written: int) -> None:
    """Attaches to an error how many entities were written before it, for `Servers.explain`."""
    exc.written = written  # type: ignore[attr-defined]


@frozen
class Cause:
    """A known error: the codes or classes by which to recognise it, what to report and what to advise."""

    codes: tuple[str, ...]
    kinds: tuple[type[Exception], ...]
    message: str
    hint: str


CAUSES = (
    Cause(("OOM",), (redis_errors.OutOfMemoryError,), "is out of memory",
          "raise its maxmemory, or serve fewer features; then sync again"),
    Cause(("READONLY",), (redis_errors.ReadOnlyError,), "is a read-only replica", "name the primary in [online] url"),
    Cause(("NOPERM",), (redis_errors.NoPermissionError,),
          "does not permit this user a command or a key", "see docs/online.md for the permissions it needs"),
    Cause(("LOADING",), (redis_errors.BusyLoadingError,), "is still loading its data",
          "wait until it has started, then try again"),
    Cause(("MISCONF",), (), "can't save to its disk and refuses writes", "free space where it keeps its dump"),
    Cause(("CLUSTERDOWN",), (redis_errors.ClusterDownError,), "is a cluster that is down",
          "wait until all its slots are served, then try again"),
    Cause(("CROSSSLOT", "MOVED", "ASK"), (redis_errors.MovedError, redis_errors.AskError),
          "is a cluster that has moved a key", "write [online] url as redis+cluster:// if it is not; else try again"),
    Cause(("CLUSTEROFF",), (), "is not a cluster", "write [online] url as redis://"),
    Cause(("MAXCLIENTS",), (redis_errors.MaxConnectionsError,), "has reached its max number of clients",
          "close some, then try again"),
    Cause(("WRONGTYPE",), (), "holds something else under the key of an entity", "run featurestore verify --fix"),
    Cause((), (ssl.SSLCertVerificationError,), "shows a certificate that can't be trusted",
          "name the authority that signed it: [online] url with ?ssl_ca_certs=/path/to/ca.pem"),
    Cause((), (ssl.SSLError,), "does not speak TLS as it should", "write [online] url as redis:// if it has no TLS"),
)  # fmt: skip
FOREIGN = (redis_errors.InvalidResponse, hiredis.ProtocolError)
_MOST_SHOWN = 200
# Refusals that have no code of their own, by how they begin after ERR, which redis-py takes away.
_PLAIN = {
    "max number of clients": "MAXCLIENTS",
    "This instance has cluster support disabled": "CLUSTEROFF",
    "Protocol error": "PROTOCOL",
}
# Before Redis 7 a script passes on the refusal of its command inside an error of its own, and one for want of a
# permission in words alone.
_INNER = re.compile(r"(?:^|[ :])-([A-Z]{3,}) ")
_NO_PERMISSION = ("can't run this command", "no permissions", "doesn't have permissions")


def _diagnosis(exc: Exception, text: str) -> tuple[str, str]:
    """What happened, and what to do about it."""
    code = _code(text) if isinstance(exc, redis_errors.RedisError) else ""
    if code == "PROTOCOL" or isinstance(exc, FOREIGN):
        return f"the online store does not speak Redis' protocol: {text}", "is it the right host and port?"
    chain = list(_chain(exc))
    for cause in CAUSES:
        if code in cause.codes or any(isinstance(each, cause.kinds) for each in chain):
            return f"the online store {cause.message}", cause.hint
    if any(isinstance(each, TimeoutError | redis_errors.TimeoutError) for each in chain):
        hint = "is it the right host and port, with TLS as [online] url says? [online] timeout is how long to wait"
        return "the online store can't be reached: it does not answer", hint
    if isinstance(exc, redis_errors.ConnectionError | redis_errors.TimeoutError | OSError):
        return "the online store can't be reached", "is it running? try again"
    return f"the online store refuses: {text}", "see the log of the server"


def _code(text: str) -> str:
    plain = next((code for words, code in _PLAIN.items() if text.removeprefix("ERR ").startswith(words)), None)
    if plain is not None:
        return plain
    code = text.partition(" ")[0]
    inner = _INNER.search(text) if code == "ERR" else None
    if inner is not None:
        return inner[1]
    return "NOPERM" if code == "ERR" and any(words in text for words in _NO_PERMISSION) else code


def _chain(exc: BaseException | None) -> Iterator[BaseException]:
    """The exception, and those that redis-py has put its own in the place of."""
    while exc is not None:
        yield exc
        exc = exc.__cause__ or exc.__context__


# What servers say before they quote what they were sent: values, or as much of a password as they have room for.
_ARGUMENTS = ", with args beginning with"


def _first_line(exc: Exception, secrets: Sequence[str]) -> str:
    text = (str(exc).splitlines() or [type(exc).__name__])[0].partition(_ARGUMENTS)[0]
    for secret in secrets:
        text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "***", text)  # whole words: a user may be called "e"
    return text[:_MOST_SHOWN]
