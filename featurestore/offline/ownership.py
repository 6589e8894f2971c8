"""Whose a schema on a server is: two projects may have one name, and so one schema.

A project has an id of its own in ``features/.versions/project.toml``, to be committed: every checkout has it. The
schema records the id of the project that it belongs to. An embedded history is in the project's own folder.
"""

from __future__ import annotations

import secrets
import tomllib
from collections.abc import Iterable
from pathlib import Path

from featurestore.atomic import write_atomically
from featurestore.config import Project
from featurestore.errors import ForeignStoreError, from_os_error
from featurestore.regular import SETTINGS, read_own
from featurestore.toml import toml_lines
from featurestore.versioning.folder.files import all_versions

FILE = "project.toml"


def read_project_id(project: Project) -> str | None:
    """The project's id; None where it has none yet, or the file can't be read."""
    try:
        found = tomllib.loads(read_own(_path(project), SETTINGS).decode()).get("id")
    except (OSError, ValueError):
        return None
    return found if isinstance(found, str) and found else None


def write_project_id(project: Project, project_id: str) -> None:
    """Gives the project an id, in place of the one that it has. Raises StoreError or FeatureStoreError."""
    text = "".join(f"{line}\n" for line in toml_lines({"id": project_id}))
    try:
        write_atomically(_path(project), text.encode())
    except OSError as exc:
        raise from_os_error(exc) from exc


def new_project_id() -> str:
    return secrets.token_hex(16)


def is_known(project: Project, stored: Iterable[tuple[str, str]]) -> bool:
    """Whether a schema has a version (feature, sha256) of which this checkout has the file: then it is its own.

    For checkouts from before projects had ids, and those that the file with the id has not reached yet.
    """
    files = {(name, version.short) for name, versions in all_versions(project.versions).items() for version in versions}
    return any((feature, sha256[:12]) in files for feature, sha256 in stored)


def foreign_schema(project: Project, owner: str, where: str) -> ForeignStoreError:
    """The error for a schema that belongs to another project."""
    mine = read_project_id(project)
    this = "this one has no id yet" if mine is None else f"this one is {mine}"
    return ForeignStoreError(
        f"the history there belongs to another project called {project.name}: that one is {owner}, {this}",
        where=where,
        hint="give this project another name; or, where it is the same one, bring features/.versions/project.toml from "
        "the other checkout, or run featurestore ingest --take-over",
    )


def _path(project: Project) -> Path:
    return project.versions / FILE
