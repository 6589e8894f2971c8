"""Opens the offline store that a project configures: the embedded one unless ``[offline] url`` is set."""

from __future__ import annotations

from featurestore.config import FILE, Project
from featurestore.errors import ConfigError
from featurestore.offline.contract import OfflineStore


def open_offline(project: Project) -> OfflineStore:
    """The project's store. Nothing is opened or created before the first call. Raises ConfigError."""
    if project.offline_url is None:
        from featurestore.offline.duckdb.store import DuckDBStore

        return DuckDBStore(project)
    if project.offline_url.partition("://")[0] in ("postgresql", "postgres"):
        return _open_postgres(project)
    raise ConfigError(
        "offline.url is not the address of a store that this release supports", where=str(project.root / FILE),
        hint="postgresql://…, or leave [offline] out for the embedded store",
    )  # fmt: skip


def _open_postgres(project: Project) -> OfflineStore:
    try:
        from featurestore.offline.postgres.store import PostgresStore
    except ModuleNotFoundError as exc:
        if not str(exc.name).startswith("adbc_driver"):
            raise
        raise ConfigError(
            f"offline.url needs the package {str(exc.name).replace('_', '-')}, which is not installed",
            where=str(project.root / FILE), hint="pip install 'featurestore[postgres]'",
        ) from exc  # fmt: skip
    return PostgresStore(project, owned=True)


def take_over(project: Project) -> None:
    """Makes this project the one that its schema on the server belongs to. Nothing for the embedded store.

    Raises StoreError, ConfigError.
    """
    if project.offline_url is None:
        return
    from featurestore.offline.ownership import write_project_id
    from featurestore.offline.postgres.store import PostgresStore

    owner = PostgresStore(project).owner()
    if owner is not None:
        write_project_id(project, owner)
