"""The OpenAPI document is valid, whole and true.

That every answer to every other test agrees with it, `documented.DocumentedClient` holds.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from bundled import knowledge
from click.testing import CliRunner
from documented import described, problem_of
from fuzzing.harness import closed_app
from http_service import ORDER_SELECT, body_of, client, fire, hook_request
from jsonschema import Draft202012Validator
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR
from werkzeug.test import Client

from cds_service.cli import main
from cds_service.error_translation import stable_codes
from cds_service.json_schemas import schema_content
from cds_service.protocol import parse_request
from cds_service.settings import ClientAuth, Settings

REFUSALS = {"400", "401", "403", "404", "405", "412", "413", "415", "429", "503"}
"""Statuses of the contract beside 200."""
STABLE_CODES = {
    400: {"malformed-request"},
    401: {"not-authenticated"},
    403: {"not-allowed"},
    404: {"unknown-service", "not-found"},
    405: {"method-not-allowed"},
    412: {"evidence-unavailable"},
    413: {"too-large"},
    415: {"unsupported-media-type"},
    503: {"overloaded", "unavailable"},
}
"""Programs of others compare with these: one may be added, none may change."""


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    paths = described()["paths"]
    return [(path, method, told) for path, item in paths.items() for method, told in item.items()]


def posts() -> list[tuple[str, dict[str, Any]]]:
    return [(path, told) for path, method, told in operations() if method == "post"]


def test_the_document_meets_the_schema_of_openapi_3_1() -> None:
    assert [] == [error.message for error in OPENAPI_31_VALIDATOR.iter_errors(described())]


def test_every_schema_in_it_is_a_json_schema() -> None:
    for schema in described()["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_it_tells_of_every_route_and_of_no_other() -> None:
    app = client().application
    routes = {
        (str(rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    told = {(path, method) for path, method, _ in operations()}
    services = [service.id for service in knowledge().services]
    for service_id in services:
        told = {(p.replace(f"/{service_id}", "/<service_id>"), m) for p, m in told}

    assert routes == {(p.replace(f"/{knowledge().id}", "/<knowledge_id>"), m) for p, m in told}
    assert 2 * len(services) == len(posts())


def test_it_tells_of_every_refusal_of_the_contract() -> None:
    for path, told in posts():
        ours = {"412"} if path.endswith("/feedback") else set()
        assert REFUSALS - ours == set(told["responses"]) - {"200"}


def test_stable_codes_stay_and_are_all_in_the_document() -> None:
    assert all(codes <= stable_codes()[status] for status, codes in STABLE_CODES.items())
    for status, codes in stable_codes().items():
        text = json.dumps(described()["components"]["responses"][str(status)])

        assert all(f'"{code}"' in text for code in codes)


@pytest.mark.parametrize("path", [path for path, _ in posts()])
def test_the_example_of_a_body_is_answered_200(path: str) -> None:
    content = described()["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    for example in content["examples"].values():
        answer = client().post(path, json=example["value"])

        assert 200 == answer.status_code
        assert path.endswith("/feedback") or body_of(answer)["cards"]


@pytest.mark.parametrize("path", [path for path, _ in posts()])
def test_a_token_is_asked_for_where_the_document_says_so(path: str, tmp_path: Path) -> None:
    closed = Client(closed_app(tmp_path / "store.sqlite3"))

    assert [{"clientToken": []}] == described()["paths"][path]["post"]["security"]
    assert 401 == closed.post(path, json={}).status_code
    assert 401 == closed.post(path, json={}, headers={"Authorization": "Bearer x"}).status_code


def test_what_is_open_asks_for_no_token(tmp_path: Path) -> None:
    closed = Client(closed_app(tmp_path / "store.sqlite3"))
    for path, method, told in operations():
        if "security" not in told:
            assert 200 == closed.open(path, method=method.upper()).status_code


def test_requests_are_checked_with_the_schemas_that_it_shows() -> None:
    shown = described()["components"]["schemas"]
    request = hook_request()
    request["hookInstance"] = ""
    service = knowledge().services[0]

    assert schema_content("hook-request")["properties"] == shown["hook-request"]["properties"]
    with pytest.raises(Exception, match="hookInstance must not be empty"):
        parse_request(json.dumps(request).encode(), service_hook=service.hook)


def test_an_answer_that_the_document_does_not_tell_of_is_found() -> None:
    answer = fire(client(), hook_request())
    answer.set_data(answer.get_data().replace(b'"summary"', b'"sumary"'))

    assert "sumary" in problem_of(answer)


@pytest.mark.parametrize("header", ["Cache-Control", "X-Content-Type-Options"])
def test_a_header_that_the_document_promises_is_missed(header: str) -> None:
    answer = fire(client(), hook_request())
    del answer.headers[header]

    assert header in problem_of(answer)


def test_rows_and_facts_are_those_of_the_running_knowledge() -> None:
    decision = described()["components"]["schemas"]["hook-answer"]["$defs"]["decision"]
    rows = decision["properties"]["row"]["enum"]

    assert {"E1", "S4a", "G4"} <= set(rows)
    assert len(set(rows)) == len(rows)
    assert {fact.id for fact in knowledge().facts} == set(
        decision["properties"]["missing"]["items"]["enum"]
    )


def test_a_running_service_answers_it_open_like_discovery(tmp_path: Path) -> None:
    origin = {"Origin": "https://ehr.example"}
    asked = client(Settings(client_auth=ClientAuth.OFF, cors_origins=("https://ehr.example",)))
    answer = asked.get("/openapi.json", headers=origin)

    assert described() == answer.get_json()
    assert "https://ehr.example" == answer.headers["Access-Control-Allow-Origin"]
    assert 200 == Client(closed_app(tmp_path / "store.sqlite3")).get("/openapi.json").status_code


def test_the_command_prints_it_or_writes_it(tmp_path: Path) -> None:
    file = tmp_path / "openapi.json"
    environ = {"CDS_PUBLIC_URL": "https://cds.example/lumbar"}
    printed = CliRunner().invoke(main, ["openapi"], env=environ)
    written = CliRunner().invoke(main, ["openapi", "--output", str(file)], env=environ)
    refused = CliRunner().invoke(main, ["openapi", "--output", str(tmp_path / "no" / "x.json")])
    document = json.loads(printed.stdout)

    assert [0, 0, 2] == [printed.exit_code, written.exit_code, refused.exit_code]
    assert printed.stdout == file.read_text("utf-8")
    assert [{"url": "https://cds.example/lumbar"}] == document["servers"]
    assert ORDER_SELECT in document["paths"]
    assert "cannot be written" in refused.stderr
