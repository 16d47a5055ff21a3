"""The real application on the bundled knowledge with a fixed clock, and requests to send to it."""

import atexit
import copy
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from bundled import knowledge
from documented import DocumentedClient
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from cds_service.app import create_app
from cds_service.rates import UNLIMITED
from cds_service.settings import ClientAuth, Settings
from cds_service.site_file import NO_SITE_FILE, SiteFile, load_site_file

NOW = datetime(2026, 3, 16, 15, 0, tzinfo=UTC)
ORDER_SELECT = "/cds-services/lumbar-mri-order-select"
ORDER_SIGN = "/cds-services/lumbar-mri-order-sign"
SERVICES = {"order-select": ORDER_SELECT, "order-sign": ORDER_SIGN}

LUMBAR_MRI: Mapping[str, object] = {
    "resourceType": "ServiceRequest",
    "id": "draft-mri",
    "status": "draft",
    "intent": "order",
    "priority": "routine",
    "code": {
        "coding": [
            {
                "system": "http://www.ama-assn.org/go/cpt",
                "code": "72148",
                "display": "MRI lumbar spine w/o contrast",
            }
        ]
    },
    "subject": {"reference": "Patient/pat-1"},
    "reasonCode": [{"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "M54.50"}]}],
}
KNEE_MRI: Mapping[str, object] = {
    "resourceType": "ServiceRequest",
    "id": "draft-knee",
    "status": "draft",
    "intent": "order",
    "code": {"coding": [{"system": "http://www.ama-assn.org/go/cpt", "code": "73721"}]},
    "subject": {"reference": "Patient/pat-1"},
}
NAPROXEN: Mapping[str, object] = {
    "resourceType": "MedicationRequest",
    "id": "draft-drug",
    "status": "draft",
    "intent": "order",
    "medicationCodeableConcept": {"text": "naproxen 500 mg tablet"},
    "subject": {"reference": "Patient/pat-1"},
}
PATIENT: Mapping[str, object] = {
    "resourceType": "Patient",
    "id": "pat-1",
    "gender": "female",
    "birthDate": "1986-07-02",
}
BACK_PAIN: Mapping[str, object] = {
    "resourceType": "Condition",
    "id": "cond-1",
    "clinicalStatus": {
        "coding": [
            {
                "system": "http://terminology.hl7.org/CodeSystem/condition-clinical",
                "code": "active",
            }
        ]
    },
    "code": {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "M54.50"}]},
    "subject": {"reference": "Patient/pat-1"},
    "onsetDateTime": "2026-03-06",
}


def client(
    settings: Settings | None = None,
    *,
    site: SiteFile = NO_SITE_FILE,
    review: str = "# Review",
    now: datetime = NOW,
) -> FlaskClient:
    """Return a client of the application; client tokens are not asked for unless settings say.

    Every answer that it gets is held against the OpenAPI document.
    """
    chosen = settings or Settings(client_auth=ClientAuth.OFF)
    if chosen.rate_limit == Settings().rate_limit:
        # Tests send as fast as they can; those that are about limits set one.
        chosen = replace(chosen, rate_limit=UNLIMITED)
    if chosen.state_directory == Settings().state_directory:
        chosen = replace(chosen, state_directory=state_of_tests())
    app = create_app(chosen, knowledge=knowledge(), clock=lambda: now, site=site, review=review)
    app.test_client_class = DocumentedClient
    return app.test_client()


@cache
def state_of_tests() -> Path:
    """Return a folder for stores that no test looks into; gone at the end."""
    folder = tempfile.mkdtemp(prefix="cds-tests-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


@cache
def client_on(day: str, site_file: Path | None = None) -> FlaskClient:
    """Return a client of the application as it is on `day` (ISO date, UTC)."""
    noon = datetime.fromisoformat(f"{day}T12:00:00").replace(tzinfo=UTC)
    return client(site=load_site_file(site_file), now=noon)


def bundle(*resources: Mapping[str, object]) -> dict[str, object]:
    """Return a search result as most servers send it."""
    return {
        "resourceType": "Bundle",
        "type": "searchset",
        "entry": [{"resource": dict(r), "search": {"mode": "match"}} for r in resources],
    }


def full_prefetch() -> dict[str, object]:
    """Return an answer to every key: a patient with ten days of back pain and nothing else."""
    answers: dict[str, object] = {key: bundle() for key in knowledge().prefetch_types}
    for key, resource_type in knowledge().prefetch_types.items():
        if resource_type == "Patient":
            answers[key] = dict(PATIENT)
        elif resource_type == "Condition":
            answers[key] = bundle(BACK_PAIN)
    return answers


def hook_request(
    *drafts: Mapping[str, object],
    hook: str = "order-select",
    selections: Sequence[str] | None = None,
    prefetch: Mapping[str, object] | None = None,
) -> dict[str, object]:
    """Return a valid request; without drafts, one lumbar MRI that is selected."""
    chosen = drafts or (LUMBAR_MRI,)
    context: dict[str, object] = {
        "userId": "PractitionerRole/role-1",
        "patientId": "pat-1",
        "draftOrders": {
            "resourceType": "Bundle",
            "entry": [{"resource": copy.deepcopy(dict(d))} for d in chosen],
        },
    }
    if hook == "order-select":
        named = [f"{d['resourceType']}/{d['id']}" for d in chosen]
        context["selections"] = named if selections is None else list(selections)
    return {
        "hook": hook,
        "hookInstance": "5d0a6a1e-3a0d-4c9e-8f43-1f1f2c7b9c02",
        "context": context,
        "prefetch": full_prefetch() if prefetch is None else dict(prefetch),
    }


def fire(
    to: FlaskClient, request: object, *, path: str = "", headers: Mapping[str, str] | None = None
) -> TestResponse:
    """Post a request to the service of its hook."""
    hook = request.get("hook") if isinstance(request, dict) else None
    address = path or SERVICES.get(str(hook), ORDER_SELECT)
    return to.post(address, json=request, headers=dict(headers or {}))


def post(
    body: object, *, day: str, site_file: Path | None = None, service: str = ""
) -> TestResponse:
    """Post a request, or bytes as they are; the service is that of its hook unless named."""
    hook = body.get("hook", "order-select") if isinstance(body, Mapping) else "order-select"
    path = f"/cds-services/{service or f'lumbar-mri-{hook}'}"
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client_on(day, site_file).post(path, data=data, content_type="application/json")


def body_of(response: TestResponse) -> dict[str, object]:
    """Return the JSON object in an answer."""
    body = json.loads(response.get_data())
    assert isinstance(body, dict)
    return body


def error_code(response: TestResponse) -> str:
    """Return `details.coding.code` of an OperationOutcome."""
    assert response.mimetype == "application/fhir+json"
    (issue,) = json.loads(response.get_data())["issue"]
    return str(issue["details"]["coding"][0]["code"])


def decisions_of(response: TestResponse) -> list[dict[str, object]]:
    """Return the decisions in the response-level extension."""
    extension = body_of(response).get("extension", {})
    assert isinstance(extension, dict)
    decisions = extension.get("org.lumbar-mri-cds.decisions", [])
    assert isinstance(decisions, list)
    return decisions


def suggestions_of(response: TestResponse) -> Iterator[dict[str, Any]]:
    """Yield every suggestion of every card."""
    for card in response.get_json()["cards"]:
        yield from card.get("suggestions", [])
