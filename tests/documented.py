"""A test client that holds every answer it gets against the OpenAPI document.

So whatever any test asks of the service, the document has told of the answer.
"""

from functools import cache
from http import HTTPStatus
from typing import Any

from bundled import knowledge
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012
from werkzeug.test import TestResponse

from cds_service.openapi.document import document

_DOCUMENT = "urn:document"
_ELSEWHERE = frozenset({401, 404, 405, 429, 503})
"""What may be answered where the document tells of nothing."""


class DocumentedClient(FlaskClient):
    """Fails the test if the service answers what its document does not say."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:  # noqa: ANN401  # as Flask's own
        """Send a request and return the answer."""
        answer = super().open(*args, **kwargs)
        if problem := problem_of(answer):
            raise AssertionError(f"{answer.request.method} {answer.request.path}: {problem}")
        return answer


@cache
def described() -> dict[str, Any]:
    """Return the document of the bundled knowledge."""
    return document(knowledge())


def problem_of(answer: TestResponse) -> str:
    """Return what the document does not say of an answer; empty if it says it all."""
    if answer.status_code == HTTPStatus.INTERNAL_SERVER_ERROR:
        return ""  # promised never to be; the test that brings it about looks at it itself
    method = answer.request.method.lower().replace("head", "get")
    operation = described()["paths"].get(answer.request.path, {}).get(method)
    if operation is None:
        # An address or a method of which it does not tell; preflights are the browser's own.
        is_refused = answer.status_code in _ELSEWHERE
        return "" if is_refused or method == "options" else f"{answer.status_code}, but not told of"
    told = operation["responses"].get(str(answer.status_code))
    if told is None:
        return f"status {answer.status_code}"
    response = _followed(told)
    for name, header in response["headers"].items():
        schema = _followed(header)["schema"]
        if not Draft202012Validator(schema).is_valid(answer.headers.get(name)):
            return f"header {name}: {answer.headers.get(name)}"
    media_type = answer.mimetype or ""
    if media_type not in response["content"]:
        return f"media type {media_type}"
    if "json" not in media_type or answer.request.method == "HEAD":
        return ""
    place = told.get("$ref") or _pointer(
        "paths", answer.request.path, method, "responses", str(answer.status_code)
    )
    media = _pointer("content", media_type, "schema").removeprefix("#")
    error = next(_validator(place + media).iter_errors(answer.get_json(force=True)), None)
    return f"{'/'.join(map(str, error.absolute_path))}: {error.message[:300]}" if error else ""


def _pointer(*steps: str) -> str:
    escaped = (step.replace("~", "~0").replace("/", "~1") for step in steps)
    return "#/" + "/".join(escaped)


def _followed(part: dict[str, Any]) -> dict[str, Any]:
    """Return a part of the document, or the component that it refers to."""
    if "$ref" not in part:
        return part
    found: Any = described()
    for step in part["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    assert isinstance(found, dict)
    return found


@cache
def _validator(place: str) -> Draft202012Validator:
    """Return a validator for the schema at a place of the document."""
    resource = Resource.from_contents(described(), default_specification=DRAFT202012)
    registry: Any = Registry().with_resource(_DOCUMENT, resource)
    return Draft202012Validator({"$ref": _DOCUMENT + place}, registry=registry)
