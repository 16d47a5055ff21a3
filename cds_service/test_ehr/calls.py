"""The hook call that this EHR would make for a patient, but for what the page adds when it fires.

The page chooses hook and hookInstance, and may change the drafts.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from urllib.parse import quote

from cds_service.chart.sources import Source, SourceState
from cds_service.demo_stories import PLACEHOLDER_SERVER, DemoStory
from cds_service.errors import MalformedRequest
from cds_service.json_schemas import is_array, is_object
from cds_service.knowledge import Knowledge
from cds_service.prefetch.addresses import allowed_base
from cds_service.prefetch.reader import FhirReader, complete
from cds_service.prefetch.server import Deadline, ReadFailure
from cds_service.protocol import FhirAuthorization, HookRequest
from cds_service.test_ehr.orderables import ORDERABLES, new_order

_TOKEN = "made-up-token-of-the-test-ehr"  # noqa: S105  # opens nothing
_CLIENT = "test-ehr"
_SECONDS_TO_READ = 10.0
_DOCTOR = "Practitioner/test-ehr-doctor"


class ChartBy(StrEnum):
    """How the service gets the chart."""

    PREFETCH = "prefetch"
    """All of it is sent with the call."""
    FHIR = "fhir"
    """None of it: the service reads the FHIR server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TestEhrServers:
    """The FHIR servers of this EHR; the first holds the stories."""

    __test__ = False  # no test case, whatever its name says

    bases: Sequence[str]
    reader: FhirReader

    @property
    def own(self) -> str:
        """The one with the patients of the stories."""
        return self.bases[0]


def call_of_story(
    story: DemoStory, knowledge: Knowledge, servers: TestEhrServers, chart_by: ChartBy | None
) -> dict[str, object]:
    """Return the call of a story; without `chart_by` its chart comes as the story has it."""
    text = json.dumps(story.request).replace(PLACEHOLDER_SERVER, servers.own)
    call: dict[str, object] = json.loads(text)
    by = chart_by or (ChartBy.PREFETCH if "prefetch" in call else ChartBy.FHIR)
    context = call["context"]
    patient_id = str(context["patientId"] if is_object(context) else "").rpartition("/")[2]
    kept = call.pop("prefetch", None)
    call |= _access(servers.own, patient_id)
    if by is ChartBy.PREFETCH:
        sent = kept if is_object(kept) else {}
        lacking = set(knowledge.prefetch_types) - set(sent)
        read = _read(servers.own, patient_id, knowledge, servers) if lacking else {}
        call["prefetch"] = {**sent, **{key: read[key] for key in read if key in lacking}}
    return call


def call_of_patient(
    base: str,
    patient_id: str,
    knowledge: Knowledge,
    servers: TestEhrServers,
    *,
    chart_by: ChartBy | None,
    today: date,
) -> dict[str, object]:
    """Return the call for any patient of one of the servers, with a plain lumbar MRI as draft.

    Raises MalformedRequest for another server, or a patient that it does not have.
    """
    if allowed_base(base, servers.bases) is None:
        raise MalformedRequest("This FHIR server is not one of the test EHR.")
    read = _read(base, patient_id, knowledge, servers)
    if not any(is_object(one) and one.get("id") == patient_id for one in read.values()):
        raise MalformedRequest("The FHIR server has no patient with this id, or does not answer.")
    draft = new_order(patient_id, ORDERABLES[0], today=today)
    call: dict[str, object] = {
        **_access(base, patient_id),
        "context": {
            "userId": _DOCTOR,
            "patientId": patient_id,
            "draftOrders": {"resourceType": "Bundle", "entry": [{"resource": draft}]},
        },
    }
    if chart_by is not ChartBy.FHIR:
        call["prefetch"] = read
    return call


def patients_of(base: str, servers: TestEhrServers) -> list[tuple[str, str]]:
    """Return id and name of the first patients of a server; none if it does not say."""
    allowed = allowed_base(base, servers.bases)
    if allowed is None:
        return []
    try:
        page = servers.reader.server(_CLIENT, allowed.origin).get(
            f"{allowed.url}/Patient?_count=100", _TOKEN, _deadline()
        )
    except ReadFailure:
        return []
    patients = (one for one in _resources(page) if one.get("resourceType") == "Patient")
    return [(str(patient.get("id", "")), name_of(patient)) for patient in patients]


def patient_in(call: Mapping[str, object], servers: TestEhrServers) -> Mapping[str, object]:
    """Return the Patient that a call is about, sent or read; empty if there is none."""
    prefetch = call.get("prefetch")
    sent = prefetch.get("patient") if is_object(prefetch) else None
    if is_object(sent):
        return sent
    context = call["context"]
    patient_id = str(context["patientId"] if is_object(context) else "").rpartition("/")[2]
    base = allowed_base(str(call.get("fhirServer", "")), servers.bases)
    if base is None:
        return {}
    try:
        read = servers.reader.server(_CLIENT, base.origin).get(
            f"{base.url}/Patient/{quote(patient_id, safe='')}", _TOKEN, _deadline()
        )
    except ReadFailure:
        return {}
    return read if is_object(read) else {}


def name_of(patient: Mapping[str, object]) -> str:
    """Return the name of a patient as a list shows it."""
    names = patient.get("name")
    first = names[0] if is_array(names) and names else {}
    if not is_object(first):
        return ""
    given = first.get("given")
    words = [str(first.get("family", "")), *(map(str, given) if is_array(given) else ())]
    return str(first.get("text") or ", ".join(filter(None, words)))


def _access(base: str, patient_id: str) -> dict[str, object]:
    """Return the members that let the service read the server, as CDS Hooks has them."""
    return {
        "fhirServer": base,
        "fhirAuthorization": {
            "access_token": _TOKEN,
            "token_type": "Bearer",
            "expires_in": 300,
            "scope": "patient/*.read",
            "subject": "lumbar-mri-cds",
            "patient": patient_id,
        },
    }


def _read(
    base: str, patient_id: str, knowledge: Knowledge, servers: TestEhrServers
) -> dict[str, object]:
    """Return what an EHR sends for each prefetch key; a key that it could not fill is absent."""
    service = knowledge.services[0]
    asked = HookRequest(
        service_id=service.id,
        hook=service.hook,
        hook_instance="",
        patient_id=patient_id,
        draft_orders=(),
        prefetch={},
        fhir_server=base,
        fhir_authorization=FhirAuthorization(access_token=_TOKEN),
    )
    sources = complete(
        asked,
        knowledge,
        allowed_servers=tuple(servers.bases),
        reader=servers.reader,
        budget_seconds=_SECONDS_TO_READ,
        monotonic=time.monotonic,
        client_id=_CLIENT,
    )
    return {source.key: _whole(source) for source in sources if source.state is SourceState.READ}


def _whole(source: Source) -> object:
    """Return the first page with the entries of all of them: prefetch is one Bundle a key."""
    if not source.more or not is_object(source.content):
        return source.content
    entries = [entry for page in (source.content, *source.more) for entry in _entries(page)]
    return {**source.content, "entry": entries, "link": []}


def _entries(bundle: object) -> list[object]:
    entries = bundle.get("entry") if is_object(bundle) else None
    return entries if is_array(entries) else []


def _resources(bundle: object) -> Iterator[Mapping[str, object]]:
    for entry in _entries(bundle):
        if is_object(entry) and is_object(resource := entry.get("resource")):
            yield resource


def _deadline() -> Deadline:
    return Deadline(at=time.monotonic() + _SECONDS_TO_READ, monotonic=time.monotonic)
