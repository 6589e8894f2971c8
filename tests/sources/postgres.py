"""Tables of a PostgreSQL server for tests: each test has a schema of its own, and psycopg as an independent reader."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import psycopg
import pytest

from tests.services_postgres import PostgresServer


@dataclass(frozen=True)
class Tables:
    """A schema of a server. ``url`` and ``tcp`` are for sources: what they name is looked up in the schema."""

    server: PostgresServer
    schema: str

    @property
    def url(self) -> str:
        return f"{self.server.url}&options={quote(f'-csearch_path={self.schema}')}"

    @property
    def tcp(self) -> str:
        return f"{self.server.tcp}?options={quote(f'-csearch_path={self.schema}')}"

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.url, autocommit=True)

    def run(self, script: str) -> None:
        with self.connect() as connection:
            connection.execute(script.encode())

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.connect() as connection:
            return connection.execute(query.encode()).fetchall()

    def source(self, more: str = 'table = "visits"', url: str | None = None) -> str:
        """The lines of ``[sources.visits]``."""
        return f'type = "postgresql"\nurl = "{url or self.url}"\n{more}\n'


def tables_of(server: PostgresServer) -> Iterator[Tables]:
    tables = Tables(server, f"t_{uuid4().hex[:12]}")
    server.run(f"CREATE SCHEMA {tables.schema}")
    yield tables
    server.run(f"DROP SCHEMA {tables.schema} CASCADE")


@pytest.fixture
def tables(postgres: PostgresServer) -> Iterator[Tables]:
    yield from tables_of(postgres)
