"""The requests for people in `fhir_fixtures/collection/`: those of the document, and answered."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest
from documented import described
from flask.testing import FlaskClient
from http_service import client

from cds_service.app import utc_now
from cds_service.openapi.requests import DEMO_URL, files_of

FOLDER = Path(__file__).parent.parent / "fhir_fixtures" / "collection"


def in_http_file(text: str) -> Iterator[tuple[str, str, object]]:
    """Yield method, address and body of each request of a `.http` file, as an editor reads it."""
    variables = dict(re.findall(r"^@(\w+) = (.*)$", text, re.MULTILINE))
    for part in text.split("###")[1:]:
        head, _, body = part.partition("\n\n")
        method, address = head.splitlines()[1].split(" ", 1)
        yield method, filled(address, variables), json.loads(body) if body.strip() else None


def in_bruno_file(text: str, variables: Mapping[str, str]) -> tuple[str, str, object]:
    """Return method, address and body of a Bruno file; a block ends at a brace in column one."""
    blocks = dict(re.findall(r"^([\w:]+) \{\n(.*?)^\}$", text, re.MULTILINE | re.DOTALL))
    method = next(name for name in blocks if name in {"get", "post"})
    address = re.search(r"url: (.*)", blocks[method])
    assert address is not None
    body = json.loads(blocks["body:json"]) if "body:json" in blocks else None
    return method, filled(address[1], variables), body


def filled(text: str, variables: Mapping[str, str]) -> str:
    """Fill `{{name}}`."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: variables[found[1]], text)


@cache
def service_of_today() -> FlaskClient:
    """Return one application for all of them: what they say must do on any day."""
    return client(now=utc_now())


def requests_for_people() -> list[tuple[str, str, str, object]]:
    """Return where it stands, method, address and body of every request."""
    demo = (FOLDER / "bruno" / "environments" / "demo.bru").read_text("utf-8")
    variables = dict(re.findall(r"^  (\w+): (.*)$", demo, re.MULTILINE))
    (http_file,) = FOLDER.glob("*.http")
    found = [("http", *request) for request in in_http_file(http_file.read_text("utf-8"))]
    return found + [
        (path.name, *in_bruno_file(path.read_text("utf-8"), variables))
        for path in sorted((FOLDER / "bruno").glob("*.bru"))
    ]


def test_the_files_are_those_of_the_document() -> None:
    kept = {
        str(path.relative_to(FOLDER)): path.read_text("utf-8")
        for path in FOLDER.rglob("*")
        if path.is_file()
    }

    assert files_of(described()) == kept, (
        "write them anew: python -m cds_service.openapi.requests fhir_fixtures/collection"
    )


def test_both_forms_hold_every_request() -> None:
    posts = [method for _, method, _, _ in requests_for_people() if method.lower() == "post"]

    assert 2 * sum(len(item) for item in described()["paths"].values()) == len(
        requests_for_people()
    )
    assert 2 * 4 == len(posts)


@pytest.mark.parametrize(("where", "method", "address", "body"), requests_for_people())
def test_each_is_answered_as_it_stands(where: str, method: str, address: str, body: object) -> None:
    assert address.startswith(f"{DEMO_URL}/"), where
    path = address.removeprefix(DEMO_URL)
    answer = service_of_today().open(path, method=method.upper(), json=body)

    assert 200 == answer.status_code
    if isinstance(body, dict) and "hook" in body:
        assert answer.get_json()["cards"]
