"""Resources of another patient: never used, counted, and no proof that there is nothing else."""

from collections.abc import Mapping

import pytest
from charts import bundle, chart_from, source
from http_service import BACK_PAIN, PATIENT, client, decisions_of, fire, hook_request
from http_service import bundle as searchset

from cds_service.chart.reading import Source, SourceState
from cds_service.fixture_server.behaviour import Behaviour, Fault
from cds_service.fixture_server.server import FixtureServer
from cds_service.settings import ClientAuth, Settings

OTHERS = {"reference": "Patient/somebody-else"}


def observation(**changes: object) -> Mapping[str, object]:
    raw = {
        "resourceType": "Observation",
        "id": "o1",
        "status": "final",
        "code": {"text": "Pain score"},
        "subject": {"reference": "Patient/pat-1"},
    }
    return {**raw, **changes}


@pytest.mark.parametrize(
    ("resources", "unreadable"),
    [
        ((), {}),
        ((observation(),), {}),
        ((observation(), observation(id="o2", subject=OTHERS)), {}),
        ((observation(subject=OTHERS),), {"Observation": "other patient"}),
        (
            (observation(status="entered-in-error"), observation(id="o2", subject=OTHERS)),
            {"Observation": "other patient"},
        ),
        ((PATIENT, observation(subject=OTHERS)), {"Observation": "other patient"}),
    ],
    ids=["none", "own", "both", "others", "a mistake and others", "patient and others"],
)
def test_a_search_that_finds_only_others_has_not_found_nothing(
    resources: tuple[Mapping[str, object], ...], unreadable: Mapping[str, str]
) -> None:
    """R-PRE-18, quirk 33: what the search was for is not known."""
    chart = chart_from(source(bundle(*resources), "Observation"))

    assert unreadable == chart.unreadable


def test_what_nobody_asked_for_is_not_missed() -> None:
    documents = Source(
        key="documents",
        resource_type="DocumentReference",
        state=SourceState.READ,
        content=bundle({"resourceType": "DocumentReference", "id": "d1", "subject": OTHERS}),
        is_extra=True,
    )
    chart = chart_from(documents)

    assert ({}, 1) == (chart.unreadable, chart.foreign)


def test_they_are_counted_without_a_word_about_whose_they_are() -> None:
    to = client()
    prefetch = {
        "patient": PATIENT,
        "conditions": searchset(BACK_PAIN, {**BACK_PAIN, "id": "c2", "subject": OTHERS}),
        "observations": searchset(*(observation(id=f"o{n}", subject=OTHERS) for n in (1, 2))),
    }
    assert "cds_foreign_resources_total 0.0" in to.get("/metrics").text

    answer = fire(to, hook_request(prefetch=prefetch))

    assert 200 == answer.status_code
    metrics = to.get("/metrics").text
    assert "cds_foreign_resources_total 3.0" in metrics
    assert "somebody-else" not in metrics + answer.text


def test_a_server_that_mixes_up_its_patients_brings_no_alarm() -> None:
    """It was a warning with "cancel this MRI" until the fault matrix found it."""
    residual = observation(code={"text": "Post-void residual"}, valueQuantity={"value": 450})
    wrong = {"Observation": Behaviour(fault=Fault.OTHER_PATIENT)}
    with FixtureServer([PATIENT, BACK_PAIN, residual], behaviours=wrong) as server:
        settings = Settings(
            client_auth=ClientAuth.OFF, fhir_servers=(server.base_url,), time_budget_ms=10_000
        )
        request = hook_request(prefetch={}) | {
            "fhirServer": server.base_url,
            "fhirAuthorization": {"access_token": "t", "token_type": "Bearer"},
        }
        (decision,) = decisions_of(fire(client(settings), request))

    assert ("S4a", "info") == (decision["row"], decision["indicator"])
    assert ["Observation: other patient"] == decision["unreadable"]
