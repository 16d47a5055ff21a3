"""The FHIR server for tests: what it answers when it behaves, and that it can misbehave."""

import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import requests

from cds_service.fixture_server.behaviour import Behaviour, Fault
from cds_service.fixture_server.server import FixtureServer
from cds_service.fixture_server.store import FixtureStore, search_parameters

PATIENT = {"resourceType": "Patient", "id": "p1"}
LOINC = "http://loinc.org"


def observation(name: str, when: str | None, code: str = "1") -> dict[str, object]:
    resource: dict[str, object] = {
        "resourceType": "Observation",
        "id": name,
        "status": "final",
        "subject": {"reference": "Patient/p1"},
        "code": {"coding": [{"system": LOINC, "code": code}]},
        "category": [{"coding": [{"system": "urn:c", "code": "laboratory"}]}],
    }
    return resource if when is None else {**resource, "effectiveDateTime": when}


OBSERVATIONS = [
    observation("spring", "2026-03-01"),
    observation("undated", None),
    observation("winter", "2025-12-24T10:00:00+01:00"),
    observation("summer", "2026-07", code="2"),
]
STUDY = {
    "resourceType": "ImagingStudy",
    "id": "i1",
    "subject": {"reference": "https://ehr.example/fhir/Patient/p1/_history/3"},
    "started": "2025-06-01",
}
TRANSACTION = {
    "resourceType": "Bundle",
    "type": "transaction",
    "entry": [
        {
            "fullUrl": "urn:uuid:aaaa",
            "resource": {"resourceType": "Patient"},
            "request": {"method": "POST", "url": "Patient"},
        },
        {
            "fullUrl": "urn:uuid:bbbb",
            "resource": {
                "resourceType": "Condition",
                "id": "c1",
                "subject": {"reference": "urn:uuid:aaaa"},
                "evidence": [{"detail": [{"reference": "urn:uuid:unknown"}]}],
                "encounter": {"reference": "Encounter/e1"},
            },
        },
        {"fullUrl": "urn:uuid:cccc"},
        "junk",
    ],
}


def get(url: str, **headers: str) -> requests.Response:
    return requests.get(url, headers=headers, timeout=10, allow_redirects=False)


def bundle_of(url: str) -> dict[str, object]:
    response = get(url)
    assert 200 == response.status_code
    assert "application/fhir+json" == response.headers["Content-Type"].partition(";")[0]
    found: dict[str, object] = response.json()
    return found


def ids_of(answer: Mapping[str, object]) -> list[str]:
    entries = answer.get("entry", [])
    assert isinstance(entries, list)
    return [entry["resource"]["id"] for entry in entries]


def link_of(answer: Mapping[str, object], relation: str) -> str | None:
    links = answer["link"]
    assert isinstance(links, list)
    return next((link["url"] for link in links if link["relation"] == relation), None)


def test_a_resource_is_read_by_type_and_id() -> None:
    with FixtureServer([PATIENT]) as server:
        assert PATIENT == get(f"{server.base_url}/Patient/p1").json()


@pytest.mark.parametrize("path", ["/fhir/Patient/p2", "/fhir/Patient/p1/extra", "/", "/fhirs/x"])
def test_what_is_not_there_is_404_with_an_outcome(path: str) -> None:
    with FixtureServer([PATIENT]) as server:
        response = get(server.origin + path)

    assert 404 == response.status_code
    assert "OperationOutcome" == response.json()["resourceType"]


def test_only_get_is_supported_and_the_connection_stays_usable() -> None:
    with FixtureServer([PATIENT]) as server, requests.Session() as session:
        posted = session.post(f"{server.base_url}/Patient", json=PATIENT, timeout=10)
        read = session.get(f"{server.base_url}/Patient/p1", timeout=10)

    assert 405 == posted.status_code
    assert "GET" == posted.headers["Allow"]
    assert 200 == read.status_code


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("patient=p1", ["spring", "undated", "winter", "summer"]),
        ("patient=Patient/p1", ["spring", "undated", "winter", "summer"]),
        ("subject=Patient/p1", ["spring", "undated", "winter", "summer"]),
        ("patient=p2", []),
        ("_id=spring,summer", ["spring", "summer"]),
        ("code=2", ["summer"]),
        (f"code={LOINC}|2,{LOINC}|3", ["summer"]),
        ("code=urn:other|2", []),
        (f"code={LOINC}|&_count=2", ["spring", "undated"]),
        ("category=laboratory&status=final&code=2", ["summer"]),
        ("status=final,amended&_id=spring", ["spring"]),
        ("date=ge2026-03-01", ["spring", "summer"]),
        ("date=gt2026-03-01", ["summer"]),
        ("date=lt2026-03-01", ["winter"]),
        ("date=le2026-03-01", ["spring", "winter"]),
        ("date=2026-03-01", ["spring"]),
        ("date=eq2026", ["spring", "summer"]),
        ("date=ge2026-01-01&date=lt2026-06-01", ["spring"]),
        ("_sort=date", ["winter", "spring", "summer", "undated"]),
        ("_sort=-date", ["summer", "spring", "winter", "undated"]),
    ],
)
def test_a_search_finds_what_matches_every_parameter(query: str, expected: list[str]) -> None:
    with FixtureServer(OBSERVATIONS, strict=True) as server:
        assert expected == ids_of(bundle_of(f"{server.base_url}/Observation?{query}"))


def test_a_period_is_searched_by_its_days_and_may_be_open() -> None:
    reports: list[dict[str, object]] = [
        {"resourceType": "DiagnosticReport", "id": "end only", "effectivePeriod": {"end": "2025"}},
        {
            "resourceType": "DiagnosticReport",
            "id": "start only",
            "effectivePeriod": {"start": "2026"},
        },
        {"resourceType": "DiagnosticReport", "id": "empty", "effectivePeriod": {}},
    ]
    with FixtureServer(reports, strict=True) as server:
        base = f"{server.base_url}/DiagnosticReport"

        assert ["start only"] == ids_of(bundle_of(f"{base}?date=ge2026-06-01"))
        assert ["end only"] == ids_of(bundle_of(f"{base}?date=le2025-06-01"))


def test_references_of_any_form_lead_to_the_patient() -> None:
    with FixtureServer([STUDY], strict=True) as server:
        assert ["i1"] == ids_of(bundle_of(f"{server.base_url}/ImagingStudy?patient=p1"))


def test_a_searchset_has_total_links_and_full_urls() -> None:
    with FixtureServer([STUDY]) as server:
        url = f"{server.base_url}/ImagingStudy?patient=p1"
        answer = bundle_of(url)

        expected = [
            {
                "fullUrl": f"{server.base_url}/ImagingStudy/i1",
                "resource": STUDY,
                "search": {"mode": "match"},
            }
        ]

    assert ("searchset", 1) == (answer["type"], answer["total"])
    assert expected == answer["entry"]
    assert url == link_of(answer, "self")
    assert link_of(answer, "next") is None


def test_an_empty_searchset_has_no_entry() -> None:
    with FixtureServer() as server:
        answer = bundle_of(f"{server.base_url}/Device?patient=p1")

    assert 0 == answer["total"]
    assert "entry" not in answer


@pytest.mark.parametrize("pages_at_base", [False, True], ids=["_offset", "cursor at the base"])
@pytest.mark.parametrize("count", ["", "&_count=3", "&_count=500"], ids=["default", "3", "500"])
def test_next_links_lead_through_all_matches_once(
    pages_at_base: bool,  # noqa: FBT001  # one of two kinds of server
    count: str,
) -> None:
    many = [observation(f"o{number}", "2026-01-01") for number in range(23)]
    with FixtureServer(many, page_limit=10, pages_at_base=pages_at_base, strict=True) as server:
        url: str | None = f"{server.base_url}/Observation?patient=p1&_sort=-date{count}"
        found: list[str] = []
        while url is not None:
            page = bundle_of(url)
            assert 10 >= len(ids_of(page))
            assert 23 == page["total"]
            found += ids_of(page)
            url = link_of(page, "next")

    assert [o["id"] for o in many] == found


@pytest.mark.parametrize(
    "query",
    [
        "nonsense=1",
        "started=2025",
        "_include=x",
        "date=soon",
        "_sort=code",
        "_count=-1",
        "_offset=x",
    ],
)
def test_a_strict_server_refuses_what_it_does_not_know(query: str) -> None:
    with FixtureServer(OBSERVATIONS, strict=True) as server:
        response = get(f"{server.base_url}/Observation?{query}")

    assert 400 == response.status_code
    assert "OperationOutcome" == response.json()["resourceType"]


@pytest.mark.parametrize("query", ["nonsense=1", "_sort=code", "category:in=x", "_total=none"])
def test_a_lenient_server_ignores_what_it_does_not_know(query: str) -> None:
    with FixtureServer(OBSERVATIONS) as server:
        assert 4 == len(ids_of(bundle_of(f"{server.base_url}/Observation?{query}")))


def test_a_refused_parameter_is_unknown_to_both_kinds_of_server() -> None:
    url = "/Observation?patient=p1&_count=1"
    with (
        FixtureServer(OBSERVATIONS, strict=True, refused_parameters=["_count"]) as strict,
        FixtureServer(OBSERVATIONS, refused_parameters=["patient"]) as lenient,
    ):
        assert 400 == get(strict.base_url + url).status_code
        assert 1 == len(ids_of(bundle_of(lenient.base_url + url)))
        assert 4 == bundle_of(f"{lenient.base_url}/Observation?patient=p2")["total"]


def test_types_that_have_no_subject_parameter_refuse_it() -> None:
    assert "subject" in search_parameters("Condition")
    assert "subject" not in search_parameters("AllergyIntolerance")
    assert "patient" in search_parameters("Device")
    assert "patient" not in search_parameters("Patient")


def test_the_capability_statement_names_types_and_parameters() -> None:
    with FixtureServer([*OBSERVATIONS, PATIENT]) as server:
        statement = bundle_of(f"{server.base_url}/metadata")

    assert "4.0.1" == statement["fhirVersion"]
    rest = statement["rest"]
    assert isinstance(rest, list)
    assert ["Observation", "Patient"] == [r["type"] for r in rest[0]["resource"]]
    assert {"name": "date", "type": "date"} in rest[0]["resource"][0]["searchParam"]


def test_a_transaction_is_kept_with_the_references_of_a_server() -> None:
    before = json.dumps(TRANSACTION)

    store = FixtureStore([TRANSACTION])

    condition = store.read("Condition", "c1")
    assert condition is not None
    assert {"resourceType": "Patient", "id": "aaaa"} == store.read("Patient", "aaaa")
    assert {"reference": "Patient/aaaa"} == condition["subject"]
    assert {"reference": "Encounter/e1"} == condition["encounter"]
    assert [{"detail": [{"reference": "urn:uuid:unknown"}]}] == condition["evidence"]
    assert before == json.dumps(TRANSACTION)


def test_resources_without_an_id_get_one_each() -> None:
    store = FixtureStore([{"resourceType": "Device"}, {"resourceType": "Device"}, None, []])

    assert ("Device",) == store.types
    assert 2 == len(store.search("Device", [], ignore_unknown=False))


@pytest.mark.parametrize("below", ["patients", ""], ids=["patients folder", "folder itself"])
def test_every_json_file_of_a_folder_is_loaded(below: str, tmp_path: Path) -> None:
    folder = tmp_path / below
    folder.mkdir(exist_ok=True)
    (folder / "a.json").write_text(json.dumps(TRANSACTION), "utf-8")
    (folder / "b.json").write_text(json.dumps(STUDY), "utf-8")
    (folder / "README.md").write_text("not a patient", "utf-8")

    with FixtureServer(tmp_path) as server:
        assert 200 == get(f"{server.base_url}/Condition/c1").status_code
        assert 200 == get(f"{server.base_url}/ImagingStudy/i1").status_code


def test_a_file_that_is_not_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{", "utf-8")

    with pytest.raises(json.JSONDecodeError) as caught:
        FixtureStore.of_folder(tmp_path)

    assert ["in broken.json"] == caught.value.__notes__


@pytest.mark.parametrize("name", ["synthea-r4", "synthea-bulk", "us-core-examples"])
def test_third_party_data_is_loaded_without_dangling_urns(name: str, shared: Path) -> None:
    folder = shared / "realworld" / "patients" / name
    store = FixtureStore.of_folder(folder)

    conditions = store.search("Condition", [], ignore_unknown=False)
    (patient, *_) = store.search("Patient", [], ignore_unknown=False)
    own = store.search("Condition", [("patient", str(patient["id"]))], ignore_unknown=False)

    assert 5 <= len(conditions)
    assert len(own) <= len(conditions)
    assert '"reference": "urn:uuid:' not in json.dumps(conditions)


def test_requests_are_recorded_with_query_and_headers() -> None:
    with FixtureServer([STUDY]) as server:
        get(f"{server.base_url}/ImagingStudy?patient=p1&_count=", accept="application/fhir+json")
        get(f"{server.base_url}?_getpages=x")

        first, second = server.requests
        by_type = server.requests_for("ImagingStudy")

    assert (first,) == by_type
    assert ("GET", "/fhir/ImagingStudy") == (first.method, first.path)
    assert (("patient", "p1"), ("_count", "")) == first.query
    assert "application/fhir+json" == first.headers["accept"]
    assert "" == second.resource_type


def test_a_token_is_needed_where_one_is_set() -> None:
    with FixtureServer([PATIENT], token="t1") as server:
        url = f"{server.base_url}/Patient/p1"

        assert 401 == get(url).status_code
        assert 401 == get(url, authorization="Bearer t2").status_code
        assert 200 == get(url, authorization="Bearer t1").status_code


def test_it_listens_on_loopback_only() -> None:
    with FixtureServer() as server:
        assert server.base_url.startswith("http://127.0.0.1:")
        assert server.base_url.endswith("/fhir")


def test_a_status_is_answered_as_often_as_asked_then_all_is_well() -> None:
    twice = Behaviour(status=429, retry_after="7", times=2)
    with FixtureServer([STUDY], behaviours={"ImagingStudy": twice}) as server:
        url = f"{server.base_url}/ImagingStudy?patient=p1"
        first = get(url)
        statuses = [first.status_code, get(url).status_code, get(url).status_code]
        server.behave("ImagingStudy", Behaviour(status=403))
        last = get(url).status_code

    assert [429, 429, 200] == statuses
    assert 403 == last
    assert "7" == first.headers["Retry-After"]
    assert "OperationOutcome" == first.json()["resourceType"]


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault.RESET, requests.ConnectionError),
        (Fault.CUT_OFF, requests.exceptions.ChunkedEncodingError),
    ],
)
def test_a_connection_can_break(fault: Fault, kind: type[Exception]) -> None:
    behaviours = {"ImagingStudy": Behaviour(fault=fault)}
    with (
        FixtureServer([STUDY], behaviours=behaviours) as server,
        pytest.raises(kind),
    ):
        get(f"{server.base_url}/ImagingStudy")


def test_bodies_can_be_wrong_although_the_status_is_200() -> None:
    with FixtureServer([STUDY]) as server:
        url = f"{server.base_url}/ImagingStudy"

        server.behave("ImagingStudy", Behaviour(fault=Fault.HTML))
        assert "text/html; charset=utf-8" == get(url).headers["Content-Type"]
        server.behave("ImagingStudy", Behaviour(fault=Fault.TRUNCATED))
        assert not get(url).text.endswith("}")
        server.behave("ImagingStudy", Behaviour(fault=Fault.OUTCOME))
        assert "OperationOutcome" == get(url).json()["resourceType"]
        server.behave("ImagingStudy", Behaviour(fault=Fault.EMPTY))
        assert "entry" not in get(url).json()
        server.behave("ImagingStudy", Behaviour(fault=Fault.EPIC_EMPTY))
        (entry,) = get(url).json()["entry"]
        assert "4101" == entry["resource"]["issue"][0]["details"]["coding"][0]["code"]
        server.behave("ImagingStudy", Behaviour(pad_bytes=1000, is_gzipped=True))
        assert get(url).text.endswith(" " * 1000)


def test_links_can_lead_astray() -> None:
    away = "http://127.0.0.1:9"
    with FixtureServer([STUDY]) as server:
        url = f"{server.base_url}/ImagingStudy?patient=p1"

        server.behave("ImagingStudy", Behaviour(fault=Fault.REDIRECT, target=away))
        assert 302 == get(url).status_code
        assert f"{away}/fhir/ImagingStudy?patient=p1" == get(url).headers["Location"]
        server.behave("ImagingStudy", Behaviour(fault=Fault.FOREIGN_NEXT, target=away))
        assert str(link_of(bundle_of(url), "next")).startswith(f"{away}/fhir/ImagingStudy?")
        server.behave("ImagingStudy", Behaviour(fault=Fault.SAME_NEXT))
        assert url == link_of(bundle_of(url), "next")
        server.behave("ImagingStudy", Behaviour(fault=Fault.ENDLESS_NEXT))
        after = str(link_of(bundle_of(url), "next"))
        assert after not in (url, link_of(bundle_of(after), "next"))


def test_requests_are_held_until_all_are_there() -> None:
    with FixtureServer([STUDY], gather=3) as server:
        threads = [
            threading.Thread(target=get, args=(f"{server.base_url}/ImagingStudy",))
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert 3 == server.most_at_once


@pytest.mark.parametrize("fault", [Fault.NONE, Fault.TRICKLE])
def test_stopping_does_not_wait_for_what_is_delayed(fault: Fault) -> None:
    slow = Behaviour(delay_seconds=60, fault=fault)
    with FixtureServer([STUDY], behaviours={"ImagingStudy": slow}) as server:
        started = time.monotonic()
        with pytest.raises(
            requests.ReadTimeout if fault is Fault.NONE else requests.ConnectionError
        ):
            requests.get(f"{server.base_url}/ImagingStudy", timeout=0.2)

    assert 10 > time.monotonic() - started
