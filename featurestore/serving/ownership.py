"""Whose an online store is: it belongs to the history that filled it first, until it is taken over."""

from __future__ import annotations

from collections.abc import Mapping

from featurestore.config import Project
from featurestore.errors import ForeignStoreError
from featurestore.offline.contract import OfflineStore
from featurestore.online.contract import OnlineStore
from featurestore.serving.online_tables import OnlineTables


def owner_of(run_ids: Mapping[int, str]) -> str:
    """The id that a history was born with: that of its first run, which no other history has; empty without a run."""
    return run_ids[min(run_ids)] if run_ids else ""


def is_foreign(owner: str, run_ids: Mapping[int, str]) -> bool:
    """Whether a store with this owner (empty: the first release knew none) is another history's than this."""
    return bool(owner) and bool(run_ids) and owner != owner_of(run_ids)


def describe_foreign(project: Project, owner: str, run_ids: Mapping[int, str]) -> str:
    """That a store belongs to another history, in words."""
    return (
        f"the online store belongs to another history of a project called {project.name}: "
        f"that one began with run {owner}, this one with run {owner_of(run_ids)}"
    )


TAKE_OVER = "give this project another name, or make the store its own: featurestore sync --take-over"


def check_owner(project: Project, owner: str, run_ids: Mapping[int, str]) -> None:
    """Raises ForeignStoreError where a store with this owner is another history's."""
    if is_foreign(owner, run_ids):
        raise ForeignStoreError(describe_foreign(project, owner, run_ids), hint=TAKE_OVER)


def require_own_store(project: Project, offline: OfflineStore, online: OnlineStore) -> None:
    """The same for the two stores, before something is removed from the online one. Raises StoreError."""
    owner = OnlineTables(online).owner()
    with offline.reading():
        run_ids = {run.run_seq: run.run_id for run in offline.committed_runs()}
    check_owner(project, owner, run_ids)
