"""No patient data, token or secret in logs, metrics, database, error bodies or files.

Canaries are sent through every field of a call and every way to fail, with all loggers of the
process at debug level, and then searched for. Penetration checklist 11; R-CALL-14, R-FHIR-03,
R-FB-09, R-SEC-14. What a card says of the chart is for the clinician, and is not searched.
"""

import copy
import io
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from bundled import knowledge
from client_tokens import PUBLIC_URL, bearer, client_entry, site_text, token
from flask.testing import FlaskClient
from http_service import (
    BACK_PAIN,
    LUMBAR_MRI,
    NOW,
    ORDER_SELECT,
    PATIENT,
    bundle,
    client,
    fire,
    full_prefetch,
    hook_request,
)
from werkzeug.test import TestResponse

from cds_service.app import create_app
from cds_service.observability import JsonLines
from cds_service.settings import ClientAuth, Settings
from cds_service.site_file import NO_SITE_FILE, parse_site_file
from cds_service.store.tables import METADATA

CANARY = "Zebulon-Quux-4711"
"""A name and a number in one; in lower case, too, since hosts and addresses are."""


@dataclass(slots=True)
class Watch:
    """Everything that is said and kept while canaries are sent."""

    to: FlaskClient
    folder: Path
    log: io.StringIO
    database_url: str
    answers: list[TestResponse] = field(default_factory=list)

    def sent(self, answer: TestResponse) -> TestResponse:
        """Keep an answer for the search."""
        self.answers.append(answer)
        return answer

    def places(self) -> dict[str, str]:
        """Return all that was said and kept, by place, in lower case."""
        errors = [a for a in self.answers if a.status_code != 200]
        said = {
            "log": self.log.getvalue(),
            "error bodies": "\n".join(a.text for a in errors),
            "headers": "\n".join(str(a.headers) for a in self.answers),
            "metrics": self.to.get("/metrics").text,
            "readiness": self.to.get("/health/ready").text,
            "front page": self.to.get("/").text,
            "database": "\n".join(_tables(self.database_url)),
        }
        for file in sorted(self.folder.rglob("*")):
            if file.is_file():
                said[f"file {file.name}"] = file.read_bytes().decode("latin-1")
        return {place: text.lower() for place, text in said.items()}

    def assert_clean(self, *canaries: str) -> None:
        """Fail if a canary was said or kept anywhere; the places name no text."""
        found = [
            place
            for place, text in self.places().items()
            if any(canary.lower() in text for canary in (CANARY, *canaries))
        ]

        assert [] == found


def _tables(url: str) -> Iterator[str]:
    engine = sa.create_engine(
        url.replace("postgresql:", "postgresql+psycopg:"), poolclass=sa.NullPool
    )
    with engine.connect() as connection:
        present = sa.inspect(connection).get_table_names()
        for table in METADATA.sorted_tables:
            if table.name in present:
                yield from (repr(row) for row in connection.execute(sa.select(table)))


@contextmanager
def debug_log() -> Iterator[io.StringIO]:
    """Send all loggers of the process, at debug level, through the service's own formatter."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    names = ["", *logging.root.manager.loggerDict]
    before = {name: logging.getLogger(name).level for name in names}
    root.addHandler(handler)
    for name in names:
        logging.getLogger(name).setLevel(logging.DEBUG)
    try:
        yield stream
    finally:
        root.removeHandler(handler)
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


@pytest.fixture
def watch(database_url: str, tmp_path: Path) -> Iterator[Watch]:
    settings = Settings(
        client_auth=ClientAuth.OFF,
        database_url=database_url,
        state_directory=tmp_path / "state",
        cors_origins=("https://ehr.example",),
        fhir_servers=("http://127.0.0.1:9/fhir",),
    )
    with debug_log() as log:
        yield Watch(client(settings), tmp_path, log, database_url)


def rich_request() -> dict[str, object]:
    """Return a call with a chart in which every kind of clinical text has a place."""
    prefetch = full_prefetch()
    keys = {kind: key for key, kind in knowledge().prefetch_types.items()}
    prefetch[keys["Patient"]] = {
        **PATIENT,
        "name": [{"family": "Doe", "given": ["Janet"], "text": "Janet Doe"}],
        "identifier": [{"system": "urn:mrn", "value": "123"}],
        "telecom": [{"system": "phone", "value": "555"}],
        "address": [{"line": ["1 Road"], "city": "Town"}],
        "text": {"status": "generated", "div": "<div>Janet</div>"},
    }
    cancer = {**BACK_PAIN, "id": "cond-2", "code": {"text": "history of breast cancer"}}
    prefetch[keys["Condition"]] = bundle({**BACK_PAIN, "note": [{"text": "worse"}]}, cancer)
    prefetch[keys["ImagingStudy"]] = bundle(
        {
            "resourceType": "ImagingStudy",
            "id": "img-1",
            "status": "available",
            "subject": {"reference": "Patient/pat-1", "display": "Janet Doe"},
            "started": "2025-11-10",
            "modality": [{"code": "MR"}],
            "description": "MRI lumbar spine without contrast",
            "identifier": [{"value": "ACC-1"}],
        }
    )
    prefetch[keys["Observation"]] = bundle(
        {
            "resourceType": "Observation",
            "id": "obs-1",
            "status": "final",
            "subject": {"reference": "Patient/pat-1"},
            "code": {"text": "Saddle anaesthesia"},
            "valueString": "absent",
            "effectiveDateTime": "2026-03-15",
            "performer": [{"display": "Dr Who"}],
        }
    )
    order = {
        **LUMBAR_MRI,
        "note": [{"text": "please call"}],
        "reasonCode": [{"text": "low back pain for ten days"}],
        "requester": {"reference": "Practitioner/p1", "display": "Dr Who"},
        "patientInstruction": "bring images",
    }
    return {
        **hook_request(order, prefetch=prefetch),
        "fhirServer": "http://127.0.0.1:9/fhir",
        "fhirAuthorization": {
            "access_token": "t",
            "token_type": "Bearer",
            "expires_in": 300,
            "scope": "patient/*.read",
            "subject": "cds",
        },
    }


def leaves(node: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of every string of a JSON value, keys of objects included."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from leaves(value, (*path, key))
    elif isinstance(node, list):
        for place, value in enumerate(node):
            yield from leaves(value, (*path, place))
    elif isinstance(node, str):
        yield path


def changed(root: dict[str, object], path: tuple[str | int, ...], value: object) -> Any:  # noqa: ANN401 - JSON
    """Return a copy with another value at one place."""
    copied = copy.deepcopy(root)
    node: Any = copied
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value
    return copied


def test_no_string_of_a_call_is_said_or_kept(watch: Watch) -> None:
    """Each string of a rich call in turn, alone and behind what stood there."""
    request = rich_request()
    paths = list(leaves(request))
    for path in paths:
        watch.sent(fire(watch.to, changed(request, path, CANARY)))
    for path in paths:
        node: Any = request
        for step in path:
            node = node[step]
        watch.sent(fire(watch.to, changed(request, path, f"{node} {CANARY}")))

    assert len(paths) > 80
    assert {200, 400} <= {answer.status_code for answer in watch.answers}
    assert "hook call" in watch.log.getvalue()
    watch.assert_clean()


def test_no_wrong_type_of_a_call_brings_its_text_out(watch: Watch) -> None:
    """A list, an object, and a member of that name, where something else is expected."""
    request = rich_request()
    for path in list(leaves(request))[::3]:
        for value in ([CANARY], {CANARY: CANARY}, {"text": [CANARY]}):
            watch.sent(fire(watch.to, changed(request, path, value)))

    watch.assert_clean()


def test_no_refused_request_is_repeated(watch: Watch) -> None:
    """Address, query, headers, body: whatever is wrong with them."""
    post = watch.to.post
    good = json.dumps(hook_request()).encode()
    bodies = [
        CANARY.encode(),
        f'{{"{CANARY}": '.encode(),
        f'["{CANARY}"]'.encode(),
        f'{{"hook": "{CANARY}", "hook": "{CANARY}"}}'.encode(),
        json.dumps({**hook_request(), "context": CANARY}).encode(),
        f'"{CANARY}\\ud800"'.encode(),
        CANARY.encode("utf-16"),
    ]
    for body in bodies:
        watch.sent(post(ORDER_SELECT, data=body, content_type="application/json"))
        watch.sent(post(f"{ORDER_SELECT}/feedback", data=body, content_type="application/json"))
    for address in (
        f"/cds-services/{CANARY}",
        f"/{CANARY}?{CANARY}={CANARY}",
        f"/knowledge/{CANARY}",
    ):
        watch.sent(post(address, data=good, content_type="application/json"))
        watch.sent(watch.to.get(address))
        watch.sent(watch.to.open(address, method="PROPFIND"))
    for name in (
        *("Content-Type", "Content-Encoding", "Authorization", "Origin", "Cookie", "User-Agent"),
        *("X-Forwarded-For", "X-Client-Subject", "Accept", "Referer", "Transfer-Encoding"),
    ):
        headers = {"Content-Type": "application/json", name: f"Basic {CANARY}"}
        watch.sent(post(ORDER_SELECT, data=good, headers=headers))

    assert {400, 404, 405, 415} <= {answer.status_code for answer in watch.answers}
    watch.assert_clean()


def test_no_word_of_feedback_is_said_or_kept(watch: Watch) -> None:
    """R-FB-09."""
    report: dict[str, object] = {
        "card": "5d0a6a1e-3a0d-4c9e-8f43-1f1f2c7b9c02",
        "outcome": "accepted",
        "outcomeTimestamp": "2026-03-16T15:05:00Z",
        "acceptedSuggestions": [{"id": "5d0a6a1e-3a0d-4c9e-8f43-1f1f2c7b9c03"}],
        "overrideReason": {
            "reason": {"code": "O1", "system": "s", "display": "d"},
            "userComment": "words",
        },
        "overrideReasons": {"extension": {"com.epic.id": "12"}, "userComment": "words"},
        "extension": {"org.example": {"name": "x"}},
    }
    for path in leaves(report):
        body = {"feedback": [report, changed(report, path, CANARY)]}
        watch.sent(watch.to.post(f"{ORDER_SELECT}/feedback", json=body))

    assert {200, 400} == {answer.status_code for answer in watch.answers}
    watch.assert_clean()


def test_no_failure_of_our_own_repeats_what_failed(database_url: str, tmp_path: Path) -> None:
    """An exception that carries chart text becomes a bare 500 and a place in our code."""

    def clock() -> Any:  # noqa: ANN401 - it never returns
        raise RuntimeError(CANARY)

    settings = Settings(
        client_auth=ClientAuth.OFF, database_url=database_url, state_directory=tmp_path
    )
    with debug_log() as log:
        app = create_app(settings, knowledge=knowledge(), clock=clock, site=NO_SITE_FILE)
        watch = Watch(app.test_client(), tmp_path, log, database_url)
        answer = watch.sent(fire(watch.to, hook_request()))

    assert 500 == answer.status_code
    assert "RuntimeError" in log.getvalue()
    watch.assert_clean()


def test_no_client_token_is_said_or_kept(database_url: str, tmp_path: Path) -> None:
    """R-SEC-14: good, bad and replayed ones; nor what stands in their claims."""
    settings = Settings(public_url=PUBLIC_URL, database_url=database_url, state_directory=tmp_path)
    site = parse_site_file(site_text(client_entry()), name="site.yaml")
    with debug_log() as log:
        watch = Watch(client(settings, site=site), tmp_path, log, database_url)
        good = token(jti=CANARY, name=CANARY)
        spoilt = [token(sub=CANARY), token(iss=CANARY), token(aud=CANARY), token(exp=CANARY)]
        for compact in (good, good, *spoilt, good[:-4], f"{CANARY}.{CANARY}.{CANARY}"):
            watch.sent(fire(watch.to, hook_request(), headers=bearer(compact)))
    parts = {part for compact in (good, *spoilt) for part in compact.split(".")[1:]}

    assert [200, 401] == [answer.status_code for answer in watch.answers[:2]]
    watch.assert_clean(*parts)


class _SpeakingServer(BaseHTTPRequestHandler):
    """A FHIR server that puts a canary into everything that it may say; a new fault each time."""

    protocol_version = "HTTP/1.1"
    turn = 0

    def do_GET(self) -> None:
        """Answer in the next of its ways."""
        kind = type(self)
        kind.turn += 1
        body = json.dumps(
            {
                "resourceType": "OperationOutcome",
                "issue": [{"severity": "error", "code": CANARY, "diagnostics": CANARY}],
            }
        ).encode()
        next_page = json.dumps(
            {
                "resourceType": "Bundle",
                "link": [{"relation": "next", "url": f"https://{CANARY}.example/{CANARY}"}],
            }
        ).encode()
        ways: list[tuple[int, bytes, dict[str, str]]] = [
            (500, body, {}),
            (403, CANARY.encode(), {"WWW-Authenticate": CANARY}),
            (302, b"", {"Location": f"http://{CANARY}.example/"}),
            (200, body, {}),
            (200, CANARY.encode(), {}),
            (200, CANARY.encode(), {"Content-Encoding": "gzip"}),
            (200, next_page, {}),
            (429, b"", {"Retry-After": CANARY}),
            (200, body[:-9], {"Content-Length": "999999"}),
        ]
        status, content, headers = ways[kind.turn % len(ways)]
        self.send_response(status, CANARY)
        usual = {"Content-Type": "application/json", "Content-Length": str(len(content))}
        for name, value in (usual | headers | {"Set-Cookie": CANARY, "X-Name": CANARY}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
        self.close_connection = True

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


@pytest.fixture
def speaking_server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _SpeakingServer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_no_word_of_a_fhir_server_and_no_access_token_is_said_or_kept(
    database_url: str, tmp_path: Path, speaking_server: str
) -> None:
    """R-FHIR-03: neither in the answer to the EHR, which is searched as well."""
    base = f"{speaking_server}/fhir"
    settings = Settings(
        client_auth=ClientAuth.OFF,
        database_url=database_url,
        state_directory=tmp_path,
        fhir_servers=(base,),
    )
    patient = {"patient": PATIENT, "conditions": bundle(BACK_PAIN)}
    access = {
        "access_token": CANARY,
        "token_type": "Bearer",
        "expires_in": 300,
        "scope": f"patient/*.read {CANARY}",
        "subject": CANARY,
        "patient": CANARY,
    }
    with debug_log() as log:
        watch = Watch(client(settings), tmp_path, log, database_url)
        for _ in range(4):
            request = {
                **hook_request(prefetch=patient),
                "fhirServer": base,
                "fhirAuthorization": access,
            }
            watch.sent(fire(watch.to, request))

    assert {200} == {answer.status_code for answer in watch.answers}
    assert '"unreadable"' in watch.answers[0].text
    assert not [a for a in watch.answers if CANARY.lower() in a.text.lower()]
    assert "urllib3" in log.getvalue()
    watch.assert_clean()


def test_no_password_of_the_database_or_of_redis_is_said(tmp_path: Path) -> None:
    settings = Settings(
        public_url=PUBLIC_URL,
        state_directory=tmp_path,
        database_url=f"postgresql://{CANARY}:{CANARY}@127.0.0.1:9/{CANARY}",
        redis_url=f"redis://{CANARY}:{CANARY}@127.0.0.1:9/0",
    )
    site = parse_site_file(site_text(client_entry()), name="site.yaml")
    with debug_log() as log:
        watch = Watch(client(settings, site=site), tmp_path, log, f"sqlite:///{tmp_path}/none")
        watch.sent(fire(watch.to, hook_request(), headers=bearer(token())))
        open_to = client(Settings(client_auth=ClientAuth.OFF, database_url=settings.database_url))
        card = watch.sent(fire(open_to, hook_request()))
        report = {"card": "c", "outcome": "overridden", "outcomeTimestamp": NOW.isoformat()}
        report["card"] = card.get_json()["cards"][0]["uuid"]
        watch.sent(open_to.post(f"{ORDER_SELECT}/feedback", json={"feedback": [report]}))
        said = [open_to.get(page).text for page in ("/health/ready", "/", "/metrics")]

    assert [503, 200, 503] == [answer.status_code for answer in watch.answers]
    assert "cards leave without their record" in said[0]
    assert not [text for text in said if CANARY.lower() in text.lower()]
    watch.assert_clean()


def test_the_search_finds_what_is_there(watch: Watch) -> None:
    """A search that finds nothing proves something only if it would find it."""
    logging.getLogger("cds_service").info("x", extra={"reason": CANARY})
    assert CANARY.lower() in watch.places()["log"]
    (watch.folder / "dropped").write_text(CANARY)
    assert CANARY.lower() in watch.places()["file dropped"]

    with pytest.raises(AssertionError, match="dropped"):
        watch.assert_clean()
