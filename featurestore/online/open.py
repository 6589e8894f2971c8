"""The online store that a project names: the embedded one unless ``[online] url`` says otherwise."""

from __future__ import annotations

from featurestore.config import FILE, Project
from featurestore.errors import ConfigError
from featurestore.online.contract import OnlineStore

SCHEMES = ("redis", "rediss", "unix", "redis+cluster", "rediss+cluster")


def open_online(project: Project) -> OnlineStore:
    """The store behind its contract. Nothing is opened or connected to before the first call. Raises ConfigError."""
    if project.online_url is None:
        from featurestore.online.sqlite import SQLiteStore

        return SQLiteStore(project)
    scheme = project.online_url.partition("://")[0]
    if scheme in SCHEMES:
        from featurestore.online.redis.store import RedisStore

        return RedisStore(project, project.online_url)
    raise ConfigError(
        "online.url is not the address of a store that this release supports", where=str(project.root / FILE),
        hint="leave [online] out for the embedded store, or write redis://localhost:6379/0",
    )  # fmt: skip
