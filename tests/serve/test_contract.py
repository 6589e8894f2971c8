"""Generated requests against the server's own OpenAPI: each answer has a documented status, type and form."""

from __future__ import annotations

from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 15


def check(operation: Any) -> None:
    @given(case=operation.as_strategy())
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def holds(case: Any) -> None:
        case.call_and_validate(checks=CHECKS, timeout=60)

    holds()


def test_every_operation_answers_as_it_says(server: str) -> None:
    schema = schemathesis.openapi.from_dict(httpx.get(f"{server}/openapi.json").json())
    schema.config.update(base_url=server)
    operations: list[Any] = list(schema.get_all_operations())
    assert len(operations) >= 15
    for operation in operations:
        check(operation.ok())
