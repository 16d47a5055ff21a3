"""Calls that leave gaps, the server that fills them, and what came of each source."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from fixture_stories import PREFETCH_KEYS

from cds_service.chart.sources import Source, SourceState
from cds_service.fixture_server.server import FixtureServer
from cds_service.knowledge import ServiceDescription
from cds_service.prefetch.reader import FhirReader, complete
from cds_service.protocol import FhirAuthorization, HookRequest

TOKEN = "canary-token-5d1f"
TEMPLATES = {
    **{key: f"{name}?patient={{{{context.patientId}}}}" for key, name in PREFETCH_KEYS.items()},
    "patient": "Patient/{{context.patientId}}",
    "observations": "Observation?patient={{context.patientId}}&_sort=-date&_count=200",
}
GENEROUS_SECONDS = 20.0
SHORT_SECONDS = 1.0
MARGIN_SECONDS = 5
"""What a busy machine may add; the servers of these tests would take 15 to 60 seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The two members of `Knowledge` that are needed, without the clinical ones."""

    services: tuple[ServiceDescription, ...]
    prefetch_types: Mapping[str, str]


PUBLISHED = Published(
    services=(
        ServiceDescription(
            id="lumbar-mri-order-select",
            hook="order-select",
            title="Lumbar MRI",
            description="Judges orders.",
            usage_requirements="None.",
            prefetch=TEMPLATES,
        ),
    ),
    prefetch_types=PREFETCH_KEYS,
)


def resource(resource_type: str, number: int, patient: str = "p1") -> dict[str, object]:
    if resource_type == "Patient":
        return {"resourceType": "Patient", "id": patient}
    holder = "patient" if resource_type in ("AllergyIntolerance", "Device") else "subject"
    return {
        "resourceType": resource_type,
        "id": f"{resource_type}-{patient}-{number}",
        holder: {"reference": f"Patient/{patient}"},
    }


def bundle(*resources: Mapping[str, object], next_url: str | None = None) -> dict[str, object]:
    links = [] if next_url is None else [{"relation": "next", "url": next_url}]
    return {
        "resourceType": "Bundle",
        "type": "searchset",
        "link": links,
        "entry": [{"resource": r, "search": {"mode": "match"}} for r in resources],
    }


CHARTS = [resource(name, 1, patient) for name in PREFETCH_KEYS.values() for patient in ("p1", "p2")]


def request_to(
    fhir_server: str | None,
    *,
    prefetch: Mapping[str, object] | None = None,
    token: str | None = TOKEN,
    patient_id: str = "p1",
    service_id: str = "lumbar-mri-order-select",
) -> HookRequest:
    return HookRequest(
        service_id=service_id,
        hook="order-select",
        hook_instance="d1577c69-dfbe-44ad-ba6d-3e05e953b2ea",
        patient_id=patient_id,
        draft_orders=(),
        prefetch=prefetch or {},
        fhir_server=fhir_server,
        fhir_authorization=None if token is None else FhirAuthorization(access_token=token),
    )


def sources_of(
    request: HookRequest,
    reader: FhirReader,
    *allowed_servers: str,
    seconds: float = GENEROUS_SECONDS,
) -> dict[str, Source]:
    sources = complete(
        request,
        PUBLISHED,
        allowed_servers=allowed_servers,
        reader=reader,
        budget_seconds=seconds,
        monotonic=time.monotonic,
    )
    return {source.key: source for source in sources}


def read_all(
    server: FixtureServer,
    reader: FhirReader,
    *,
    prefetch: Mapping[str, object] | None = None,
    seconds: float = GENEROUS_SECONDS,
) -> dict[str, Source]:
    request = request_to(server.base_url, prefetch=prefetch)
    return sources_of(request, reader, server.base_url, seconds=seconds)


def all_but(key: str) -> dict[str, object]:
    """Return prefetch that leaves only one gap."""
    return {name: None for name in PREFETCH_KEYS if name != key}


def ids_in(source: Source) -> list[object]:
    return [
        entry["resource"]["id"]
        for page in (source.content, *source.more)
        if isinstance(page, dict)
        for entry in page.get("entry", [])
    ]


def outcome_of(source: Source) -> tuple[SourceState, str]:
    return source.state, source.reason
