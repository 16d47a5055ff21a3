"""The requests of the OpenAPI document as files for people: one `.http` file, one Bruno collection.

Written anew with `python -m cds_service.openapi.requests fhir_fixtures/collection`; a test holds
that the files are those of the document, and that a service without client tokens answers them.
Formats: the Bru language of Bruno, and `.http` files as editors read them.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cds_service.knowledge_loading.folders import bundled
from cds_service.knowledge_loading.loader import load_knowledge
from cds_service.names_in_folders import BUNDLED_TOPIC
from cds_service.openapi.document import Part, document

DEMO_URL = "http://127.0.0.1:8000"
"""Where `make demo` serves, without client tokens."""
_HTTP_FILE = "lumbar-mri-cds.http"
_COLLECTION = "bruno"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request of the document, with its example body."""

    name: str
    method: str
    path: str
    body: object = None

    @property
    def text(self) -> str:
        """The body as people read it."""
        return json.dumps(self.body, indent=2, ensure_ascii=False)


def files_of(described: Part) -> Mapping[str, str]:
    """Return the files by their path inside the folder."""
    requests = tuple(_requests(described))
    bruno = {
        f"{_COLLECTION}/{number:02} {request.name}.bru": _bru(request, number)
        for number, request in enumerate(requests, 1)
    }
    collection = {"version": "1", "name": "lumbar-mri-cds", "type": "collection"}
    return {
        _HTTP_FILE: _http(requests),
        f"{_COLLECTION}/bruno.json": json.dumps(collection, indent=2) + "\n",
        f"{_COLLECTION}/environments/demo.bru": f"vars {{\n  url: {DEMO_URL}\n}}\n",
        **bruno,
    }


def bundled_document() -> Part:
    """Return the document of the bundled knowledge alone."""
    return document(load_knowledge(bundled() / BUNDLED_TOPIC))


def _requests(described: Part) -> Iterator[Request]:
    for path, item in described["paths"].items():
        for method, told in item.items():
            body = None
            if "requestBody" in told:
                examples = told["requestBody"]["content"]["application/json"]["examples"]
                body = next(iter(examples.values()))["value"]
            yield Request(name=told["operationId"], method=method, path=path, body=body)


def _http(requests: tuple[Request, ...]) -> str:
    parts = [f"@url = {DEMO_URL}"]
    for request in requests:
        lines = [f"### {request.name}", f"{request.method.upper()} {{{{url}}}}{request.path}"]
        if request.body is not None:
            lines += ["Content-Type: application/json", "", request.text]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _bru(request: Request, number: int) -> str:
    has_body = request.body is not None
    meta = f"meta {{\n  name: {request.name}\n  type: http\n  seq: {number}\n}}"
    sends = "json" if has_body else "none"
    call = f"  url: {{{{url}}}}{request.path}\n  body: {sends}\n  auth: none\n"
    blocks = [meta, f"{request.method} {{\n{call}}}"]
    if has_body:
        indented = "\n".join(f"  {line}" for line in request.text.splitlines())
        blocks.append(f"body:json {{\n{indented}\n}}")
    blocks.append("assert {\n  res.status: eq 200\n}")
    return "\n\n".join(blocks) + "\n"


def _write(folder: Path) -> None:
    for name, text in files_of(bundled_document()).items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")


if __name__ == "__main__":
    _write(Path(sys.argv[1]))
