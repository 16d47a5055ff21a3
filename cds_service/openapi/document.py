"""The OpenAPI 3.1 document of everything that is served, written from what serves it.

Request schemas are the files that requests are checked with; error codes are read off the
exception tree; rows and facts are those of the running knowledge. Source: contract, "HTTP";
https://spec.openapis.org/oas/v3.1.1.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from cds_service import __version__
from cds_service.error_translation import stable_codes
from cds_service.json_schemas import schema_content
from cds_service.knowledge import Knowledge, ServiceDescription
from cds_service.openapi.example import FEEDBACK, hook_request
from cds_service.protocol import operation_outcome

Part: TypeAlias = dict[str, Any]
"""An object of the document."""

_SCHEMAS = (
    "hook-request",
    "order-select-context",
    "order-sign-context",
    "hook-answer",
    "feedback",
    "feedback-answer",
    "discovery",
    "readiness",
    "operation-outcome",
)
_COMPONENTS = "#/components/schemas/"

_REFUSALS: Mapping[int, str] = {
    400: "The body is not JSON, or lacks what the hook requires; the text names the place.",
    401: "No client token, or one that does not prove who calls; nothing says why.",
    403: "A registered client that may not do this.",
    404: "There is no service with this id; see discovery.",
    405: "This address takes another method; see Allow.",
    412: "Neither the Patient nor Condition data could be had: no advice can be given.",
    413: "More bytes, entries or levels of nesting than the service accepts.",
    415: "The body is not labelled as JSON, or is compressed.",
    429: "Too many calls; come again later.",
    503: "No capacity, or something that the service needs is down; come again later.",
}
_READING = (405, 429, 503)
_CALLING = (400, 401, 403, 404, 405, 412, 413, 415, 429, 503)
_FEEDING_BACK = (400, 401, 403, 404, 405, 413, 415, 429, 503)


def document(knowledge: Knowledge, *, public_url: str | None = None) -> Part:
    """Return the document for the services of this knowledge; `public_url` is their base."""
    paths: Part = {
        "/cds-services": _read("discovery", "Which services there are", "discovery"),
        **{
            path: item
            for service in knowledge.services
            for path, item in _service_paths(knowledge, service)
        },
        "/health/live": _read(
            "live",
            "Whether the process runs",
            {
                "type": "object",
                "required": ["status"],
                "properties": {"status": {"const": "alive"}},
            },
        ),
        "/health/ready": _readiness(),
        "/metrics": _read_text("metrics", "Metrics in Prometheus text form", "text/plain"),
        "/": _read_text("frontPage", "A page for people: services and knowledge", "text/html"),
        f"/knowledge/{knowledge.id}": _read_text(
            "review", "The rules, ratings and sources that decide, for clinicians", "text/html"
        ),
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": knowledge.title,
            "version": __version__,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": (
                "A CDS Hooks 2.0 service. It advises; it never blocks an order. "
                f"Knowledge {knowledge.id} {knowledge.version}, {knowledge.digest}."
            ),
        },
        "servers": [{"url": public_url or "/"}],
        "paths": paths,
        "components": {
            "schemas": {name: _schema(name, knowledge) for name in _SCHEMAS},
            "responses": {str(status): _refusal(status) for status in _REFUSALS},
            "headers": _HEADERS,
            "securitySchemes": {
                "clientToken": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": (
                        "Signed by a client that the site has registered, for this address, "
                        "used once. Not asked for where CDS_CLIENT_AUTH is off."
                    ),
                }
            },
        },
    }


def as_json(document: Part) -> str:
    """Return the document as it is written to a file."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _service_paths(knowledge: Knowledge, service: ServiceDescription) -> Iterable[tuple[str, Part]]:
    name = service.id.replace("-", " ").title().replace(" ", "")
    context = f"{service.hook}-context"
    yield (
        f"/cds-services/{service.id}",
        {
            "post": {
                "operationId": f"call{name}",
                "summary": service.title,
                "description": service.description,
                "security": [{"clientToken": []}],
                "requestBody": _json_body(
                    {
                        "allOf": [
                            {"$ref": f"{_COMPONENTS}hook-request"},
                            {
                                "properties": {
                                    "hook": {"const": service.hook},
                                    "context": {"$ref": _COMPONENTS + context},
                                }
                            },
                        ]
                    },
                    hook_request(knowledge, service.hook),
                ),
                "responses": _responses("Cards, and what was decided", "hook-answer", _CALLING),
            }
        },
    )
    yield (
        f"/cds-services/{service.id}/feedback",
        {
            "post": {
                "operationId": f"feedBack{name}",
                "summary": "What clinicians did with cards",
                "description": "Counted; comments are dropped unread.",
                "security": [{"clientToken": []}],
                "requestBody": _json_body({"$ref": f"{_COMPONENTS}feedback"}, FEEDBACK),
                "responses": _responses("Taken", "feedback-answer", _FEEDING_BACK),
            }
        },
    )


def _read(operation_id: str, summary: str, schema: str | Part) -> Part:
    """Return a path whose GET answers JSON of a schema, named or given."""
    return {
        "get": {
            "operationId": operation_id,
            "summary": summary,
            "responses": _responses(summary, schema, _READING),
        }
    }


def _read_text(operation_id: str, summary: str, media_type: str) -> Part:
    return {
        "get": {
            "operationId": operation_id,
            "summary": summary,
            "responses": {
                "200": {
                    "description": summary,
                    "headers": _common_headers(),
                    "content": {media_type: {"schema": {"type": "string"}}},
                },
                **_refusals(_READING),
            },
        }
    }


def _readiness() -> Part:
    """Readiness answers with the same body when it is not ready, so its 503 is its own."""
    item = _read("ready", "Whether hook calls can be answered", "readiness")
    responses = item["get"]["responses"]
    responses["503"] = {**responses["200"], "description": "They cannot; `warnings` says why"}
    return item


def _responses(says: str, schema: str | Part, refusals: Iterable[int]) -> Part:
    content = {"$ref": _COMPONENTS + schema} if isinstance(schema, str) else schema
    return {
        "200": {
            "description": says,
            "headers": _common_headers(),
            "content": {"application/json": {"schema": content}},
        },
        **_refusals(refusals),
    }


def _refusals(statuses: Iterable[int]) -> Part:
    return {str(s): {"$ref": f"#/components/responses/{s}"} for s in statuses}


def _json_body(schema: Part, example: object) -> Part:
    """Return a request body; both labels are taken, one is documented for each."""
    content = {"schema": schema, "examples": {"synthetic": {"value": example}}}
    return {"required": True, "content": {"application/json": content}}


_HEADERS: Part = {
    "Cache-Control": {"required": True, "schema": {"const": "no-store"}},
    "X-Content-Type-Options": {"required": True, "schema": {"const": "nosniff"}},
    "WWW-Authenticate": {"required": True, "schema": {"const": "Bearer"}},
    "Allow": {"required": True, "schema": {"type": "string"}},
}
_OF_STATUS = {401: "WWW-Authenticate", 405: "Allow"}


def _common_headers(*more: str) -> Part:
    names = ("Cache-Control", "X-Content-Type-Options", *more)
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _refusal(status: int) -> Part:
    """Return a refusal with the stable codes that it may have."""
    codes = sorted(stable_codes().get(status, ()))
    code_of_issue = {"details": _within("coding", {"code": {"enum": codes}})}
    schema: Part = {"$ref": f"{_COMPONENTS}operation-outcome"}
    media: Part = {"schema": schema}
    if codes:
        narrowed = {"properties": _within_list("issue", code_of_issue)}
        media = {
            "schema": {"allOf": [schema, narrowed]},
            "example": operation_outcome(status, codes[0], _REFUSALS[status]),
        }
    header = _OF_STATUS.get(status)
    return {
        "description": _REFUSALS[status],
        "headers": _common_headers(*([header] if header else [])),
        "content": {"application/fhir+json": media},
    }


def _within_list(name: str, members: Part) -> Part:
    """Return properties in which the objects of an array have these members."""
    return {name: {"items": {"properties": members}}}


def _within(name: str, members: Part) -> Part:
    return {"properties": _within_list(name, members)}


def _schema(name: str, knowledge: Knowledge) -> Part:
    """Return one of our schemas with its references turned into the document's own."""
    schema = schema_content(name)
    if name == "hook-answer":
        _name_what_is_known(schema["$defs"]["decision"]["properties"], knowledge)
    del schema["$id"], schema["$schema"]
    moved = _with_references_of_the_document(schema, name)
    assert isinstance(moved, dict)  # noqa: S101  # an object goes in, so an object comes out
    return moved


def _with_references_of_the_document(value: object, name: str) -> object:
    """Turn `#/x` of the file `name`, and `other.json#/x`, into places of the document."""
    if isinstance(value, list):
        return [_with_references_of_the_document(item, name) for item in value]
    if not isinstance(value, dict):
        return value
    moved = {key: _with_references_of_the_document(item, name) for key, item in value.items()}
    if isinstance(reference := value.get("$ref"), str):
        file, _, place = reference.partition("#")
        moved["$ref"] = _COMPONENTS + (file.removesuffix(".json") or name) + place
    return moved


def _name_what_is_known(decision: Part, knowledge: Knowledge) -> None:
    """List the rows and facts of the running knowledge where the schema takes any text."""
    rows = {
        "row": knowledge.appropriateness.rules,
        "overlay": knowledge.repeat.rules,
        "protocolRow": knowledge.protocol.rules,
    }
    for member, rules in rows.items():
        decision[member] |= {"enum": list(dict.fromkeys(rule.row for rule in rules))}
    safety = list(dict.fromkeys(rule.row for rule in knowledge.safety.rules))
    decision["safety"]["items"] = {"enum": safety}
    facts = [fact.id for fact in knowledge.facts]
    decision["missing"]["items"] = {"enum": facts}
    decision["evidence"]["items"]["properties"]["fact"] = {"enum": facts}
    decision["variant"] |= {"enum": sorted(knowledge.variants)}
