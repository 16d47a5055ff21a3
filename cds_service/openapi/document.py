"""The OpenAPI 3.1 document of everything that is served, written from what serves it.

Request schemas are the files that requests are checked with; error codes are read off the
exception tree; rows and facts are those of the running knowledge. Source: contract, "HTTP";
https://spec.openapis.org/oas/v3.1.1.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from cds_service import __version__
from cds_service.error_translation import stable_codes
from cds_service.json_schemas import schema_content
from cds_service.knowledge import Knowledge, ServiceDescription
from cds_service.openapi.example import FEEDBACK, hook_request
from cds_service.protocol import operation_outcome
from cds_service.review_notes import CaseValue

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
_VERSION = "3.1.0"
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


def document(*topics: Knowledge, public_url: str | None = None) -> Part:
    """Return the document for the services of these topics; `public_url` is their base."""
    paths: Part = {
        "/cds-services": _read("discovery", "Which services there are", "discovery"),
        **{
            path: item
            for knowledge in topics
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
        "/openapi.json": _read(
            "openapi",
            "This document",
            {
                "type": "object",
                "required": ["openapi", "info", "paths"],
                "properties": {"openapi": {"const": _VERSION}},
            },
        ),
        "/metrics": _read_text("metrics", "Metrics in Prometheus text form", "text/plain"),
        "/": _read_text("frontPage", "A page for people: services and knowledge", "text/html"),
        **{path: item for knowledge in topics for path, item in _committee_paths(knowledge)},
        "/assets/review.js": _read_text(
            "reviewScript", "Searches in the committee's pages", "text/javascript"
        ),
    }
    return {
        "openapi": _VERSION,
        "info": {
            "title": topics[0].title,
            "version": __version__,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": (
                "A CDS Hooks 2.0 service. It advises; it never blocks an order. "
                + " ".join(f"Knowledge {k.id} {k.version}, {k.digest}." for k in topics)
            ),
        },
        "servers": [{"url": public_url or "/"}],
        "paths": paths,
        "components": {
            "schemas": {name: _schema(name, topics) for name in _SCHEMAS},
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
    name = _name(service.id)
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


def _committee_paths(knowledge: Knowledge) -> Iterable[tuple[str, Part]]:
    base, name = f"/knowledge/{knowledge.id}", _name(knowledge.id)
    says = "The rules, ratings and sources that decide, for clinicians"
    yield base, _read_text(f"review{name}", says, "text/html")
    says = "The value sets, each code with where it was verified"
    yield f"{base}/value-sets", _read_text(f"valueSets{name}", says, "text/html")
    says = "What the tables say of facts that somebody chooses; no patient is involved"
    item = _read_text(f"whatIf{name}", says, "text/html")
    values = {"enum": ["", *CaseValue]}
    item["get"]["parameters"] = [
        {
            "name": "facts",
            "in": "query",
            "style": "form",
            "explode": True,
            "schema": {
                "type": "object",
                "properties": {fact.id: values for fact in knowledge.facts},
                "additionalProperties": False,
            },
        }
    ]
    item["get"]["responses"] |= _refusals((400, 413))
    yield f"{base}/what-if", item


def _name(service_id: str) -> str:
    """Return an id as part of the name of an operation."""
    return service_id.replace("-", " ").title().replace(" ", "")


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


def _schema(name: str, topics: Sequence[Knowledge]) -> Part:
    """Return one of our schemas with its references turned into the document's own."""
    schema = schema_content(name)
    if name == "hook-answer":
        _name_what_is_known(schema["$defs"]["decision"]["properties"], topics)
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


def _name_what_is_known(decision: Part, topics: Sequence[Knowledge]) -> None:
    """List the rows and facts of the running knowledge where the schema takes any text."""
    tables = {
        "row": [topic.appropriateness for topic in topics],
        "overlay": [topic.repeat for topic in topics],
        "protocolRow": [topic.protocol for topic in topics],
        "safety": [topic.safety for topic in topics],
    }
    rows = {
        member: {"enum": list(dict.fromkeys(rule.row for table in of for rule in table.rules))}
        for member, of in tables.items()
    }
    decision["safety"]["items"] = rows.pop("safety")
    for member, known in rows.items():
        decision[member] |= known
    facts = list(dict.fromkeys(fact.id for topic in topics for fact in topic.facts))
    decision["missing"]["items"] = {"enum": facts}
    decision["evidence"]["items"]["properties"]["fact"] = {"enum": facts}
    variants = frozenset[int]().union(*(topic.variants for topic in topics))
    decision["variant"] |= {"enum": sorted(variants)}
