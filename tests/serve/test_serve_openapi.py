"""Requests made from the server's own OpenAPI document: nothing but what it describes comes back."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS
from serve_world import Server

#: An item's meaning is not in its schema: rows and principles that the server has, ids that were not used before.
MEANING = {"positive_data_acceptance"}
REFUSED = ["401", "409", "413", "422"]
CONFIG = schemathesis.Config.from_dict({"checks": {"negative_data_rejection": {"expected-statuses": REFUSED}}})
OPERATIONS = [
    ("post", "/v1/rewards"),
    ("post", "/get_reward/{token}"),
    ("get", "/health"),
    ("get", "/metrics"),
]


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_the_server_keeps_to_its_document(server: Server, method: str, path: str, mode: GenerationMode) -> None:
    document = server.ask("GET", "/openapi.json", token=None).json
    assert {(m, p) for p, methods in document["paths"].items() for m in methods} == set(OPERATIONS)
    headers = {"Authorization": f"Bearer {server.token}"}
    operation = schemathesis.openapi.from_dict(document, config=CONFIG)[path][method]
    checks = [check for check in CHECKS.get_all() if check.__name__ not in MEANING]
    if mode is GenerationMode.NEGATIVE and method == "get":
        pytest.skip("takes nothing that could be wrong")

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        if "token" in (case.path_parameters or {}):
            case.path_parameters["token"] = server.token
        response = case.call(base_url=server.url, headers=headers)
        case.validate_response(response, checks=checks, headers=headers)

    check()
    assert server.ask("GET", "/health", token=None).json["status"] == "ok"
