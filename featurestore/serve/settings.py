"""What a server was started with. It reaches the worker processes through one environment variable, as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, field, replace
from pathlib import Path

from featurestore.config import parse_bytes
from featurestore.errors import UsageError, did_you_mean
from featurestore.frozen import frozen
from featurestore.times import parse_duration

VARIABLE = "FEATURESTORE_SERVE"
_BYTES = ("body", "upload")
_SECONDS = ("seconds", "upload_seconds")


@frozen
class Limits:
    """What one worker takes.

    ``body`` and ``upload`` are bytes of a request: of a question, and of labels; ``answer`` is rows that are answered
    as JSON. ``entities`` and ``questions`` are counts in one request. ``seconds`` is how long a request may take,
    ``upload_seconds`` one with labels. ``requests`` is how many are answered at a time, ``joins`` how many of them are
    joins.
    """

    body: int = 2_000_000
    upload: int = 2_000_000_000
    answer: int = 100_000
    entities: int = 10_000
    questions: int = 100
    seconds: float = 15.0
    upload_seconds: float = 900.0
    requests: int = 256
    joins: int = 2


def read_limits(texts: Sequence[str]) -> Limits:
    """The usual limits with those that are given as ``body=5MB`` or ``seconds=30``. Raises UsageError."""
    given: dict[str, int | float] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in Limits.__dataclass_fields__:
            hint = did_you_mean(name, Limits.__dataclass_fields__)
            raise UsageError(f"--limit: there is no limit {name!r}", hint=hint)
        try:
            given[name] = _read_limit(name, value)
        except ValueError as exc:
            raise UsageError(f"--limit {name}: {exc}") from None
    return replace(Limits(), **given)  # type: ignore[arg-type]  # as many numbers as fields, of the right types


def _read_limit(name: str, text: str) -> int | float:
    if name in _BYTES:
        return parse_bytes(text)
    if name in _SECONDS:
        return parse_duration(f"{text}s" if text.isdecimal() else text) / 1_000_000
    if not text.isdecimal() or int(text) == 0:
        raise ValueError(f"{text!r} is not a number from 1 on")
    return int(text)


@frozen
class Settings:
    """``request_share`` of the requests are written to ``request_log``. ``local`` says that only
    this machine can connect, and that no token is asked for."""

    root: Path
    token_file: Path | None = None
    request_log: Path | None = None
    request_share: float = 1.0
    access_log: bool = True
    local: bool = True
    limits: Limits = field(default_factory=Limits)

    def export(self) -> None:
        """Puts the settings where `from_environment` finds them, in this process and those it starts."""
        texts = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()}
        os.environ[VARIABLE] = json.dumps(texts)


def from_environment(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings that `Settings.export` has left."""
    found = json.loads((environment or os.environ)[VARIABLE])
    paths = {name: None if found[name] is None else Path(found[name]) for name in ("root", "token_file", "request_log")}
    return Settings(**{**found, **paths, "limits": Limits(**found["limits"])})
