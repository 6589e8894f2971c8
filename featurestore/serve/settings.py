"""What a server was started with. It reaches the worker processes through one environment variable, as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

VARIABLE = "FEATURESTORE_SERVE"


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
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
