"""Third-party data: requests that other products really send, and synthetic charts of others."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import SHARED
from fixture_stories import PREFETCH_KEYS
from http_service import decisions_of, post

_DAY = "2026-03-16"


def _files(folder: str) -> list[Path]:
    return sorted((SHARED / "realworld" / folder).glob("*.json"))


@pytest.fixture(autouse=True)
def _third_party_data(shared: Path) -> Path:
    return shared


@pytest.mark.parametrize("service", ["order-select", "order-sign"])
@pytest.mark.parametrize("file", _files("requests"), ids=lambda f: f.stem)
def test_a_captured_request_gets_an_answer_or_a_clean_refusal(file: Path, service: str) -> None:
    """R-ROB-08."""
    captured = json.loads(file.read_text("utf-8"))
    adapted = {**captured, "hook": service, "hookInstance": captured.get("hookInstance", "x")}

    for body in (captured, adapted):
        answer = post(body, day=_DAY, service=f"lumbar-mri-{service}")

        assert answer.status_code in {200, 400, 412}, answer.text[:300]
        if answer.status_code == 200:
            assert answer.get_json()["cards"] == []
        else:
            assert answer.get_json()["resourceType"] == "OperationOutcome"


def _order(patient_id: str, **more: object) -> dict[str, Any]:
    return {
        "hook": "order-select",
        "hookInstance": "6f0d4b2e-6b5c-4c55-9d6f-0a2f3b1c7d11",
        "context": {
            "userId": "Practitioner/p",
            "patientId": patient_id,
            "selections": ["ServiceRequest/mri"],
            "draftOrders": {
                "resourceType": "Bundle",
                "entry": [
                    {
                        "resource": {
                            "resourceType": "ServiceRequest",
                            "id": "mri",
                            "status": "draft",
                            "intent": "order",
                            "subject": {"reference": f"Patient/{patient_id}"},
                            "code": {
                                "coding": [
                                    {"system": "http://www.ama-assn.org/go/cpt", "code": "72148"}
                                ]
                            },
                            **more,
                        }
                    }
                ],
            },
        },
    }


def _prefetch(entries: list[dict[str, Any]]) -> dict[str, object]:
    by_type: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        by_type.setdefault(entry["resource"]["resourceType"], []).append(entry)
    patients = by_type.get("Patient", [])
    return {
        **{
            key: {"resourceType": "Bundle", "type": "searchset", "entry": by_type.get(kind, [])}
            for key, kind in PREFETCH_KEYS.items()
        },
        "patient": patients[0]["resource"] if patients else None,
    }


def _charts() -> Iterator[tuple[str, dict[str, Any]]]:
    for folder in ("patients/synthea-r4", "patients/synthea-bulk"):
        for file in _files(folder):
            yield file.stem, json.loads(file.read_text("utf-8"))


@pytest.mark.parametrize(
    "bundle", [pytest.param(bundle, id=name[:40]) for name, bundle in _charts()]
)
def test_a_synthea_chart_is_read_without_an_alarm_that_it_does_not_justify(
    bundle: dict[str, Any],
) -> None:
    """Synthea knows no spine care of days ago: nothing in it can justify a hard no."""
    entries = bundle["entry"]
    patient = next(e["resource"] for e in entries if e["resource"]["resourceType"] == "Patient")
    low_back = {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "M54.50"}]}
    request = {**_order(patient["id"], reasonCode=[low_back]), "prefetch": _prefetch(entries)}

    for day in ("2019-06-01", "2026-03-16"):
        answer = post(request, day=day)

        assert answer.status_code == 200, answer.text[:300]
        decision = decisions_of(answer)[0]
        assert decision.get("indicator", "info") == "info", (day, decision)
        assert "unreadable" not in decision


@pytest.mark.parametrize("file", _files("patients/us-core-examples"), ids=lambda f: f.stem)
def test_a_us_core_example_is_read_without_a_fault_or_an_alarm(file: Path) -> None:
    resource = json.loads(file.read_text("utf-8"))
    subject = resource.get("subject") or resource.get("patient") or {}
    patient_id = subject.get("reference", "Patient/example").rsplit("/", 1)[-1]
    if resource["resourceType"] == "Patient":
        patient_id = resource["id"]
    adult = {"resource": {"resourceType": "Patient", "id": patient_id, "birthDate": "1980-05-01"}}
    entries = [{"resource": resource}]
    if resource["resourceType"] != "Patient":
        entries.append(adult)
    request = {**_order(patient_id), "prefetch": _prefetch(copy.deepcopy(entries))}

    answer = post(request, day=_DAY)

    assert answer.status_code == 200, answer.text[:300]
    assert all(d.get("indicator", "info") == "info" for d in decisions_of(answer))
