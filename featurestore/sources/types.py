"""The types of source by name. A new type is one module, which satisfies `contract.SourceType`, and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import cast

from featurestore.errors import SourceError, did_you_mean
from featurestore.model import Source
from featurestore.sources.contract import SourceType

SOURCE_TYPES: Mapping[str, str] = {
    "csv": "featurestore.sources.csv",
    "parquet": "featurestore.sources.parquet",
    "arrow": "featurestore.sources.arrow",
    "ndjson": "featurestore.sources.ndjson",
    "sqlite": "featurestore.sources.sqlite",
    "duckdb": "featurestore.sources.duckdb",
    "postgresql": "featurestore.sources.postgresql",
    "kafka": "featurestore.sources.kafka",
}


def find_type(name: str) -> SourceType:
    """The module of a type, imported on first use. Raises SourceError where there is no such type."""
    if name not in SOURCE_TYPES:
        raise SourceError(f"{name!r} is not a known source type", hint=did_you_mean(name, SOURCE_TYPES))
    return cast("SourceType", import_module(SOURCE_TYPES[name]))


def all_keys() -> set[str]:
    """The settings of every type."""
    return {key for name in SOURCE_TYPES for key in find_type(name).KEYS}


STREAMS = frozenset({"kafka"})
"""The types whose rows can't be read again: they satisfy `contract.StreamSource`."""


def is_stream(source: Source) -> bool:
    """Whether what comes of a source is kept in the history: streams, and tables that are read by a cursor."""
    return source.type in STREAMS or bool(getattr(source.settings, "cursor", None))
