"""Which online store a project has: the embedded one, or the one its url names."""

from __future__ import annotations

from featurestore.config import FILE, Project
from featurestore.errors import ConfigError
from featurestore.online.contract import OnlineStore

SCHEMES = ("redis", "rediss", "unix", "redis+cluster", "rediss+cluster")


def open_online(project: Project) -> OnlineStore:
    """The project's online store; nothing is connected to before the first call. Raises ConfigError."""
    if project.online_url is None:
        from featurestore.online.sqlite import SQLiteStore

        return SQLiteStore(project)
    scheme = project.online_url.partition("://")[0]
    if scheme not in SCHEMES:
        hint = "leave [online] out for the embedded store, or write redis://localhost:6379/0"
        raise ConfigError(f"online.url has an unknown scheme: {scheme!r}", where=str(project.root / FILE), hint=hint)
    from featurestore.online.redis.store import RedisStore

    return RedisStore(project, project.online_url)
