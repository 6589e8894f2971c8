"""``/v1/features``, ``/v1/drift``, ``/v1/runs`` and ``/v1/datasets``: the documents of ``--json``, read only.

The functions are not async: FastAPI calls them in threads, and the event loop waits for no store. A store is open only
while it is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from featurestore.config import Project
from featurestore.errors import DeclarationError, NoVersionError, UsageError
from featurestore.model import Json
from featurestore.offline.contract import OfflineStore
from featurestore.offline.open import open_offline
from featurestore.serve.answers import json_response
from featurestore.serve.errors import NotFoundError
from featurestore.serve.openapi import errors
from featurestore.serve.services import Services

if TYPE_CHECKING:
    from pathlib import Path as FilePath

Name = Annotated[str, Path(max_length=120, description="A feature.")]
Last = Annotated[int | None, Query(ge=1, le=2**31, description="Only the newest.")]
MOST_RUNS = 100
Looked = Callable[[Project, OfflineStore], dict[str, Json]]


def registry_routes(services: Services) -> APIRouter:
    """The routes that read the project's files and its history."""
    router = APIRouter(tags=["registry"], prefix="/v1")

    def look(work: Looked) -> Response:
        project = services.live.snapshot().project
        store = open_offline(project)
        document = work(project, store)
        notices = [*store.warnings, *store.notices]
        if notices:
            said = document.get("warnings")
            document = {**document, "warnings": [*dict.fromkeys([*(said if isinstance(said, list) else ()), *notices])]}
        return json_response(document)

    _add_features(router, services)
    _add_history(router, look)
    return router


def _add_features(router: APIRouter, services: Services) -> None:
    @router.get(
        "/features", response_model=None, summary="The features, as `list` shows them", responses=errors("Features")
    )
    def features(
        query: str | None = None, entity_type: str | None = None, tag: str | None = None, status: str | None = None,
        owner: str | None = None, source: str | None = None,
    ) -> Response:  # fmt: skip
        from featurestore.render.json.features import list_document
        from featurestore.workflows.catalogue import Filter, list_features

        wanted = Filter(query, entity_type, tag, status, owner, source)
        return json_response(list_document(list_features(services.live.snapshot().project, wanted)))

    @router.get(
        "/features/{name}", response_model=None, summary="One feature, as `show` shows it",
        responses=errors("Document", missing=True),
    )  # fmt: skip
    def feature(name: Name) -> Response:
        from featurestore.render.json.features import show_document
        from featurestore.workflows.catalogue import show_feature
        from featurestore.workflows.version_commits import known_commits

        with _named_things():
            project = services.live.snapshot().project
            found = show_feature(project, name)
            return json_response(show_document(found, known_commits(project, found.entry.feature.name).by_file))

    @router.get(
        "/features/{name}/versions/{ref}", response_model=None, summary="One version of a feature, with its code",
        responses=errors("Document", missing=True),
    )  # fmt: skip
    def version(
        name: Name, ref: Annotated[str, Path(max_length=64, description="A number, or a prefix of the hash.")]
    ) -> Response:
        from featurestore.render.json.versions import version_document
        from featurestore.versioning.folder.versionfile import read_version

        return json_response(version_document(read_version(_find_version(services, name, ref))))


def _add_history(router: APIRouter, look: Callable[[Looked], Response]) -> None:
    @router.get(
        "/features/{name}/diff", response_model=None, summary="How two versions differ, as `diff` shows it",
        responses=errors("Document", missing=True),
    )  # fmt: skip
    def diff(
        name: Name, old: str | None = None, new: str | None = None,
        code: Annotated[bool, Query(description="The code only.")] = False,
    ) -> Response:  # fmt: skip
        from featurestore.render.json.diff import diff_document
        from featurestore.workflows.diff import diff as compare

        def work(project: Project, store: OfflineStore) -> dict[str, Json]:
            found = compare(project, name, old, new, store=None if code else store)
            return diff_document(found.code, found.values, found.entity_type)

        with _named_things():
            return look(work)

    @router.get(
        "/features/{name}/stats", response_model=None, summary="A run's distribution, as `stats` shows it",
        responses=errors("Document", missing=True),
    )  # fmt: skip
    def stats(name: Name, run: str | None = None, last: Last = None) -> Response:
        from featurestore.render.json.stats import stats_document
        from featurestore.workflows.stats import stats as describe

        with _named_things():
            return look(lambda project, store: stats_document(describe(project, store, name, run=run, last=last)))

    @router.get(
        "/drift", response_model=None, summary="Each feature's newest verdict, or one feature's timeline",
        responses=errors("Document"),
    )  # fmt: skip
    def drift(feature: str | None = None, last: Last = None) -> Response:
        from featurestore.render.json.drift import drift_document, overview_document
        from featurestore.workflows.drift.overview import overview
        from featurestore.workflows.drift.timeline import timeline

        def work(project: Project, store: OfflineStore) -> dict[str, Json]:
            if feature is None:
                return overview_document(overview(project, store, last=last))
            return drift_document(timeline(project, store, feature, last=last))

        return look(work)

    @router.get("/runs", response_model=None, summary="The audit log, newest first", responses=errors("Runs"))
    def runs(feature: str | None = None, status: str | None = None, last: Last = MOST_RUNS) -> Response:
        from featurestore.render.json.runs import runs_document
        from featurestore.workflows.runs import list_runs

        return look(lambda *here: runs_document(list_runs(*here, feature=feature, status=status, last=last)))

    @router.get(
        "/runs/{id}", response_model=None, summary="One run, with the rows that it set aside",
        responses=errors("Runs", missing=True),
    )  # fmt: skip
    def run(id: Annotated[str, Path(description="Its id, the beginning of it, or its number.")]) -> Response:  # noqa: A002  # its name
        from featurestore.render.json.runs import detail_document
        from featurestore.workflows.runs import show_run

        with _named_things():
            return look(lambda _project, store: detail_document(show_run(store, id)))

    @router.get("/datasets", response_model=None, summary="The data sets made so far", responses=errors("DataSets"))
    def datasets() -> Response:
        from featurestore.render.json.datasets import datasets_document

        return look(lambda _project, store: datasets_document(store.datasets()))


def _find_version(services: Services, name: str, ref: str) -> FilePath:
    from featurestore.versioning.folder.files import resolve, split_reference

    with _named_things():
        feature, wanted = split_reference(f"{name}@{ref}")
        return resolve(services.live.snapshot().project.versions, feature, wanted or ref).path


@contextmanager
def _named_things() -> Iterator[Any]:
    """Where the address names what is asked for: what does not exist is not found."""
    try:
        yield
    except (UsageError, DeclarationError, NoVersionError) as exc:
        raise NotFoundError(exc.message, hint=exc.hint) from exc
