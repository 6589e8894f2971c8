"""Generated requests against the server's own OpenAPI: each answer has a documented status, type and form."""

from __future__ import annotations

from typing import Any

import httpx
from hypothesis import HealthCheck, given, settings

from tests.often import examples

EXAMPLES = 8


def check(operation: Any) -> None:
    from schemathesis.checks import not_a_server_error  # takes seconds, in each worker that collects the tests
    from schemathesis.specs.openapi import checks

    all_of_them = [
        not_a_server_error, checks.status_code_conformance, checks.content_type_conformance,
        checks.response_schema_conformance,
    ]  # fmt: skip

    @given(case=operation.as_strategy())
    @settings(max_examples=examples(EXAMPLES), deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def holds(case: Any) -> None:
        case.call_and_validate(checks=all_of_them, timeout=60)

    holds()


def test_every_operation_answers_as_it_says(server: str) -> None:
    import schemathesis

    schema = schemathesis.openapi.from_dict(httpx.get(f"{server}/openapi.json").json())
    schema.config.update(base_url=server)
    operations: list[Any] = list(schema.get_all_operations())
    assert len(operations) >= 15
    for operation in operations:
        check(operation.ok())
