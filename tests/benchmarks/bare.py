"""The least that any answer costs in Python: JSON in, a glance at it, a fixed card out.

`limit` is bare WSGI and what all ratios are of; `flask_app` does the same in Flask.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import flask
import orjson

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

CARD: Mapping[str, object] = {
    "summary": "MRI is usually not appropriate now",
    "indicator": "warning",
    "detail": "Low back pain for ten days, nothing else on record. " * 20,
    "source": {"label": "ACR Appropriateness Criteria", "url": "https://ehr.example/acr"},
    "suggestions": [{"label": f"Suggestion {number}", "actions": []} for number in range(3)],
}
ENTRIES = "entries"


def answer_to(body: bytes) -> bytes:
    """Return the fixed card, and how many resources were sent."""
    sent = orjson.loads(body)["prefetch"].values()
    entries = sum(
        len(each.get("entry", ())) if each["resourceType"] == "Bundle" else 1 for each in sent
    )
    return orjson.dumps({"cards": [CARD], "extension": {ENTRIES: entries}})


def limit(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """Answer any request; a WSGI application."""
    size = int(environ["CONTENT_LENGTH"])
    answer = answer_to(environ["wsgi.input"].read(size))
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))]
    start_response("200 OK", headers)
    return [answer]


flask_app = flask.Flask(__name__)


@flask_app.post("/cds-services/<service_id>")
def call_service(service_id: str) -> flask.Response:
    """Answer a hook call of any service."""
    del service_id  # routed, as ours is
    return flask.Response(answer_to(flask.request.get_data()), content_type="application/json")
