"""Lumbar MRIs that are ordered, booked or registered: which count, and how surely (§7.2)."""

from itertools import permutations
from typing import Any

import pytest
from bundled import knowledge
from charts import (
    CPT,
    LOINC,
    SNOMED,
    SUBJECT,
    TODAY,
    Json,
    chart_of,
    code,
    history_of,
    resource,
    terminology,
)
from exam_records import procedure, report, study
from findings_of import decision
from http_service import LUMBAR_MRI as LUMBAR_MRI_DRAFT
from http_service import bundle, client, decisions_of, fire, hook_request

from cds_service.fhir_dates import DateInterval
from cds_service.findings import Strength
from cds_service.imaging_history.exams import ImagingHistory, PriorExam, imaging_history
from cds_service.imaging_history.members import SourceKind

LUMBAR_MRI = code(CPT, "72148")
IN_WORDS: Json = {"text": "MRI lumbar spine without contrast"}


def order(**elements: object) -> Json:
    """Return an active order of a lumbar MRI, written two weeks ago."""
    defaults = {"status": "active", "intent": "order", "code": LUMBAR_MRI}
    return resource("ServiceRequest", "o1", **{**defaults, "authoredOn": "2026-03-02", **elements})


def booking(**elements: object) -> Json:
    """Return a booked Appointment in two weeks, of an exam that nothing names."""
    raw = {
        "resourceType": "Appointment",
        "id": "a1",
        "status": "booked",
        "start": "2026-03-30T10:00:00-04:00",
        "participant": [{"actor": SUBJECT, "status": "accepted"}],
        **elements,
    }
    return {key: value for key, value in raw.items() if value is not None}


def waiting(history: ImagingHistory) -> PriorExam:
    """Return the only exam in flight."""
    (exam,) = history.in_flight
    return exam


def text(when: DateInterval | None) -> str | None:
    """Return a date as it may be shown."""
    return None if when is None else when.text


def test_an_order_in_flight_says_when_it_was_written_and_for_when() -> None:
    exam = waiting(history_of(order(occurrenceDateTime="2026-04-02")))

    assert (SourceKind.ORDER, "2026-03-02", "2026-04-02", True, Strength.STRONG) == (
        *(exam.in_flight_as, text(exam.written), text(exam.planned)),
        *(exam.is_current, exam.strength),
    )


@pytest.mark.parametrize(
    ("elements", "is_current"),
    [
        pytest.param({"authoredOn": "2025-12-16"}, True, id="90 days ago"),
        pytest.param({"authoredOn": "2025-12-15"}, False, id="91 days ago"),
        pytest.param({"authoredOn": "2026-03"}, True, id="this month"),
        pytest.param({"authoredOn": "2025-12"}, None, id="a month that straddles"),
        pytest.param({"authoredOn": "2025-11"}, False, id="an old month"),
        pytest.param({"authoredOn": None}, None, id="no date"),
        pytest.param({"authoredOn": "2026-06-01"}, None, id="a typing error"),
        pytest.param(
            {"authoredOn": "2025-06-01", "occurrenceDateTime": "2026-05-01"}, True, id="planned"
        ),
        pytest.param(
            {"authoredOn": "2025-06-01", "occurrenceDateTime": "2026-03-16"}, True, id="today"
        ),
        pytest.param(
            {"authoredOn": "2025-06-01", "occurrenceDateTime": "2026-03-15"}, False, id="overdue"
        ),
        pytest.param(
            {"authoredOn": "2025-06-01", "occurrenceDateTime": "2026-03"}, None, id="this month?"
        ),
        pytest.param({"authoredOn": None, "occurrenceDateTime": "2026-05"}, True, id="only plan"),
    ],
)
def test_only_a_current_order_is_strong(elements: Json, *, is_current: bool | None) -> None:
    exam = waiting(history_of(order(**elements)))

    assert is_current is exam.is_current
    assert (Strength.STRONG if is_current else Strength.POSSIBLE) is exam.strength


def test_the_days_that_an_order_stays_current_are_a_parameter() -> None:
    found = [
        imaging_history(
            chart_of(order()),
            definition=knowledge().order,
            terminology=terminology(),
            today=TODAY,
            inflight_days=days,
        )
        for days in (13, 14)
    ]

    assert [False, True] == [waiting(history).is_current for history in found]


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        pytest.param({"status": "on-hold"}, Strength.STRONG, id="on hold counts"),
        pytest.param({"intent": "plan"}, Strength.POSSIBLE, id="a plan"),
        pytest.param({"intent": "option"}, Strength.POSSIBLE, id="an option"),
        pytest.param({"intent": "filler-order"}, Strength.STRONG, id="of the filler"),
        pytest.param({"code": IN_WORDS}, Strength.POSSIBLE, id="text"),
        *(
            pytest.param({"code": IN_WORDS, "category": [category]}, Strength.STRONG, id=name)
            for name, category in {
                "text, SNOMED imaging": code(SNOMED, "363679005"),
                "text, RAD": code("http://terminology.hl7.org/CodeSystem/v2-0074", "RAD"),
                "text, LOINC radiology": code(LOINC, "LP29684-5"),
                "text, imaging in words": {"text": "Imaging"},
                "text, local code with display": code("urn:x", "12", "Radiology Procedures"),
            }.items()
        ),
        pytest.param(
            {"code": IN_WORDS, "category": [code(SNOMED, "108252007", "Laboratory procedure")]},
            Strength.POSSIBLE,
            id="text, laboratory",
        ),
    ],
)
def test_an_order_is_strong_by_code_or_by_name_in_radiology(
    elements: Json, expected: Strength
) -> None:
    assert expected is waiting(history_of(order(**elements))).strength


def test_a_procedure_named_in_words_is_strong_in_radiology() -> None:
    (exam,) = history_of(
        procedure(code=IN_WORDS, category=code(SNOMED, "363679005", "Imaging"))
    ).exams

    assert Strength.STRONG is exam.strength


@pytest.mark.parametrize(
    "elements",
    [
        *({"status": status} for status in ("draft", "revoked", "entered-in-error", "unknown")),
        {"doNotPerform": True},
    ],
    ids=str,
)
def test_what_is_not_to_be_done_is_not_in_flight(elements: Json) -> None:
    assert ImagingHistory() == history_of(order(**elements))


@pytest.mark.parametrize(
    ("raw", "kind", "is_current"),
    [
        (study(status="registered", started="2026-03-20"), SourceKind.STUDY, True),
        (study(status="registered", started="2026-03-10"), SourceKind.STUDY, True),
        (study(status="registered", started="2025-10-10"), SourceKind.STUDY, False),
        (study(status="registered", started=None), SourceKind.STUDY, True),
        (
            study(status="registered", started=None, meta={"lastUpdated": "2025-06-01T00:00:00Z"}),
            SourceKind.STUDY,
            False,
        ),
        (report(status="registered", effectiveDateTime="2026-03-10"), SourceKind.REPORT, True),
        (
            report(status="registered", effectiveDateTime=None, issued="2026-03-10T08:00:00Z"),
            SourceKind.REPORT,
            True,
        ),
        (report(status="registered"), SourceKind.REPORT, False),
    ],
)
def test_a_registered_study_or_report_is_in_flight(
    raw: Json, kind: SourceKind, *, is_current: bool | None
) -> None:
    exam = waiting(history_of(raw))

    assert (kind, is_current, None) == (exam.in_flight_as, exam.is_current, exam.written)
    assert (Strength.STRONG if is_current else Strength.POSSIBLE) is exam.strength


REGISTERED = study(status="registered", started="2026-03-30T10:00:00-04:00")


@pytest.mark.parametrize(
    "records", [*permutations((REGISTERED, order(), booking(serviceType=[LUMBAR_MRI])))], ids=len
)
@pytest.mark.parametrize("is_linked", [True, False])
def test_order_booking_and_registered_study_are_one_exam(
    records: tuple[Json, ...], *, is_linked: bool
) -> None:
    link = {"basedOn": [{"reference": "ServiceRequest/o1"}]} if is_linked else {}
    named = [raw if raw["id"] == "o1" else {**raw, **link} for raw in records]

    exam = waiting(history_of(*named))

    assert ("ImagingStudy/s1", "ServiceRequest/o1", "Appointment/a1") == exam.sources
    assert (SourceKind.STUDY, "2026-03-02", "2026-03-30", Strength.STRONG) == (
        *(exam.in_flight_as, text(exam.written), text(exam.planned), exam.strength),
    )


def test_a_study_registered_for_a_coming_day_is_not_the_exam_done_on_its_standing_order() -> None:
    based_on = [{"reference": "ServiceRequest/o1"}]

    history = history_of(
        order(authoredOn="2025-11-01"),
        study(basedOn=based_on),
        {**REGISTERED, "id": "s2", "basedOn": based_on},
    )

    assert [("ImagingStudy/s1", "ServiceRequest/o1")] == [e.sources for e in history.exams]
    assert ("ImagingStudy/s2",) == waiting(history).sources


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        pytest.param({"serviceType": [LUMBAR_MRI]}, Strength.STRONG, id="coded service"),
        pytest.param({"reasonCode": [LUMBAR_MRI]}, Strength.STRONG, id="coded reason"),
        pytest.param({"serviceType": [IN_WORDS]}, Strength.POSSIBLE, id="service in words"),
        pytest.param(
            {"serviceType": [IN_WORDS], "serviceCategory": [{"text": "Radiology"}]},
            Strength.STRONG,
            id="service in words, at radiology",
        ),
        pytest.param(
            {"serviceType": [LUMBAR_MRI], "status": "pending"}, Strength.STRONG, id="pending"
        ),
        pytest.param(
            {
                "serviceType": [LUMBAR_MRI],
                "status": "arrived",
                "start": "2026-03-16T08:00:00-04:00",
            },
            Strength.STRONG,
            id="arrived today",
        ),
    ],
)
def test_a_booking_of_a_lumbar_mri_is_in_flight(elements: Json, expected: Strength) -> None:
    exam = waiting(history_of(booking(**elements)))

    assert (SourceKind.APPOINTMENT, True, None) == (
        *(exam.in_flight_as, exam.is_current, exam.written),
    )
    assert expected is exam.strength


@pytest.mark.parametrize(
    "elements",
    [
        pytest.param({}, id="nothing says what for"),
        pytest.param({"serviceType": [LUMBAR_MRI], "start": None}, id="no date"),
        pytest.param(
            {"serviceType": [LUMBAR_MRI], "start": "2026-03-15T08:00:00-04:00"}, id="past"
        ),
        *(
            pytest.param({"serviceType": [LUMBAR_MRI], "status": status}, id=status)
            for status in ("proposed", "fulfilled", "cancelled", "noshow", "waitlist")
        ),
        pytest.param({"reasonCode": [{"text": "Review MRI lumbar spine results"}]}, id="a visit"),
        pytest.param({"serviceType": [{"text": "MRI brain"}]}, id="another exam"),
        pytest.param({"basedOn": [{"reference": "ServiceRequest/other"}]}, id="another order"),
    ],
)
def test_other_bookings_are_not_in_flight(elements: Json) -> None:
    assert () == history_of(booking(**elements)).in_flight


def test_a_booking_makes_the_old_order_that_it_is_based_on_current() -> None:
    old = order(authoredOn="2025-06-01")
    based = booking(basedOn=[{"reference": "https://ehr.example/fhir/ServiceRequest/o1"}])

    exam = waiting(history_of(based, old))

    assert ("ServiceRequest/o1", "Appointment/a1") == exam.sources
    assert (True, Strength.STRONG, "2026-03-30") == (
        *(exam.is_current, exam.strength, text(exam.planned)),
    )


def test_a_booking_of_an_order_that_was_done_is_not_in_flight() -> None:
    history = history_of(
        booking(basedOn=[{"reference": "ServiceRequest/o1"}]),
        order(),
        report(effectiveDateTime="2026-03-10", issued=None),
    )

    assert ((), 1) == (history.in_flight, len(history.exams))


def test_a_booking_for_today_is_over_when_the_exam_of_today_is_there() -> None:
    history = history_of(
        booking(serviceType=[LUMBAR_MRI], start="2026-03-16T08:00:00-04:00"),
        study(started="2026-03-16T08:10:00-04:00"),
    )

    assert ((), 1) == (history.in_flight, len(history.exams))


@pytest.mark.parametrize(
    "exam",
    [
        pytest.param(report(effectiveDateTime="2026-03", issued=None), id="this month"),
        pytest.param(report(effectiveDateTime=None, issued=None), id="undated"),
        pytest.param(
            report(code={"text": "MRI spine"}, effectiveDateTime="2026-03-10"), id="no region"
        ),
    ],
)
def test_an_order_that_may_have_been_carried_out_since_is_only_possible(exam: Json) -> None:
    assert Strength.POSSIBLE is waiting(history_of(order(), exam)).strength


def test_an_older_exam_leaves_an_order_strong() -> None:
    for exam in (report(), report(effectiveDateTime="2025"), order(id="o0", status="completed")):
        history = history_of(order(authoredOn="2026-03-14"), exam)
        assert Strength.STRONG is waiting(history).strength


@pytest.mark.parametrize(
    ("raw", "draft"),
    [
        pytest.param(order(id="mri"), {}, id="same id"),
        pytest.param(
            order(identifier=[{"system": "urn:placer", "value": "7"}]),
            {"identifier": [{"system": "urn:placer", "value": "7"}]},
            id="same placer number",
        ),
        pytest.param(
            order(), {"replaces": [{"reference": "ServiceRequest/o1/_history/3"}]}, id="replaced"
        ),
        pytest.param(
            order(identifier=[{"system": "urn:placer", "value": "7"}]),
            {"replaces": [{"identifier": {"system": "urn:placer", "value": "7"}}]},
            id="replaced by identifier",
        ),
        pytest.param(
            order(intent="plan"),
            {"basedOn": [{"reference": "ServiceRequest/o1"}]},
            id="carried out",
        ),
        pytest.param(
            {**REGISTERED, "basedOn": [{"reference": "ServiceRequest/mri"}]},
            {},
            id="study of the draft",
        ),
    ],
)
def test_the_draft_is_no_duplicate_of_itself(raw: Json, draft: dict[str, Any]) -> None:
    bare = {key: value for key, value in raw.items() if key != "subject"}

    assert () == decision(bare, **draft).history.in_flight


def test_another_order_is_a_duplicate_of_the_draft() -> None:
    bare = {key: value for key, value in order().items() if key != "subject"}

    (exam,) = decision(bare).history.in_flight

    assert (("ServiceRequest/o1",), Strength.STRONG) == (exam.sources, exam.strength)


def test_what_was_done_for_a_replaced_order_stays_a_prior_exam() -> None:
    raw = report(code=code(LOINC, "75490-3"), basedOn=[{"reference": "ServiceRequest/o1"}])
    resources = (raw, order(authoredOn="2025-11-01"))
    bare = [{k: v for k, v in one.items() if k != "subject"} for one in resources]

    history = decision(*bare, replaces=[{"reference": "ServiceRequest/o1"}]).history

    assert (1, ()) == (len(history.exams), history.in_flight)


def test_an_order_that_another_one_replaces_no_longer_stands() -> None:
    newer = order(id="o2", replaces=[{"reference": "ServiceRequest/o1"}], authoredOn="2026-03-12")

    assert ("ServiceRequest/o2",) == waiting(history_of(order(), newer)).sources


def test_what_is_registered_for_a_replaced_order_stays_in_flight() -> None:
    link = [{"reference": "ServiceRequest/o1"}]
    newer = order(id="o2", replaces=link, basedOn=link, authoredOn="2026-03-12")

    exam = waiting(history_of(order(), newer, {**REGISTERED, "basedOn": link}))

    assert ("ImagingStudy/s1", "ServiceRequest/o1", "ServiceRequest/o2") == exam.sources
    assert ("2026-03-12", "2026-03-30") == (text(exam.written), text(exam.planned))


def document(**elements: object) -> Json:
    """Return a current document with the report of a lumbar MRI."""
    defaults = {
        "status": "current",
        "type": code(LOINC, "18748-4", "Diagnostic imaging study"),
        "description": "MRI lumbar spine without contrast",
        "date": "2025-12-01T09:00:00Z",
        "context": {"period": {"start": "2025-11-10"}},
    }
    return resource("DocumentReference", "d1", **{**defaults, **elements})


@pytest.mark.parametrize(
    ("elements", "expected", "element"),
    [
        pytest.param({}, "2025-11-10", "context.period.start", id="time of service"),
        pytest.param({"context": None}, "by 2025-12-01", "date", id="date is a bound"),
        pytest.param({"context": None, "date": None}, "date unknown", "", id="no date"),
        pytest.param(
            {"context": [{"reference": "Encounter/e"}], "period": {"start": "2025-11-10"}},
            "2025-11-10",
            "context.period.start",
            id="R5",
        ),
        pytest.param(
            {"description": None, "type": IN_WORDS}, "2025-11-10", "context.period.start", id="type"
        ),
        pytest.param(
            {"description": None, "category": [LUMBAR_MRI]},
            "2025-11-10",
            "context.period.start",
            id="category",
        ),
        pytest.param(
            {"description": None, "content": [{"attachment": {"title": "MR LSPINE W/O"}}]},
            "2025-11-10",
            "context.period.start",
            id="title",
        ),
    ],
)
def test_a_document_is_a_possible_exam(elements: Json, expected: str, element: str) -> None:
    (exam,) = history_of(document(**elements)).exams

    assert (expected, element, Strength.POSSIBLE) == (
        *(exam.when.text, exam.when.element, exam.strength),
    )
    assert not exam.is_order_only


@pytest.mark.parametrize(
    "elements",
    [
        {"status": "superseded"},
        {"status": "entered-in-error"},
        {"status": None},
        {"docStatus": "entered-in-error"},
        {"description": "Order for MRI lumbar spine"},
        {"description": "MRI lumbar spine prior authorization"},
        {"description": "MRI screening form, lumbar spine MRI"},
        {"description": "Discharge letter"},
        {"subject": {"reference": "Patient/other"}},
    ],
    ids=str,
)
def test_other_documents_are_no_exam(elements: Json) -> None:
    assert ImagingHistory() == history_of(document(**elements))


@pytest.mark.parametrize(
    "related",
    [
        pytest.param({"reference": "ImagingStudy/s1"}, id="study"),
        pytest.param({"identifier": {"system": "urn:x", "value": "7"}}, id="identifier"),
        pytest.param({"ref": {"reference": "ImagingStudy/s1"}}, id="STU3"),
    ],
)
def test_a_document_joins_the_exam_that_it_is_related_to(related: Json) -> None:
    raw = document(context={"related": [related]}, date="2026-03-10")
    exam = study(identifier=[{"system": "urn:x", "value": "7"}], started="2024-11-10")

    for records in permutations((raw, exam)):
        (found,) = history_of(*records).exams

        assert ("ImagingStudy/s1", "DocumentReference/d1") == found.sources
        assert ("2024-11-10", Strength.STRONG) == (found.when.text, found.strength)


def test_a_document_about_two_exams_does_not_make_them_one() -> None:
    related = [{"reference": "ImagingStudy/s1"}, {"reference": "ImagingStudy/s2"}]

    history = history_of(
        document(context={"related": related}), study(), study(id="s2", started="2025-06-01")
    )

    assert ["2025-11-10", "2025-06-01"] == [exam.when.text for exam in history.exams]


def test_a_document_that_is_older_than_every_exam_stands_alone() -> None:
    history = history_of(document(context=None, date="2019-05-01"), study())

    assert ["2025-11-10", "by 2019-05-01"] == [exam.when.text for exam in history.exams]


def test_records_of_unknown_date_with_different_bounds_stay_apart() -> None:
    history = history_of(
        document(context=None, date="2019-05-01"),
        document(id="d2", context=None, date=None),
        document(id="d3", context=None, date="2019-05-02"),
    )

    assert [("DocumentReference/d1", "DocumentReference/d3"), ("DocumentReference/d2",)] == [
        exam.sources for exam in history.exams
    ]


def test_a_study_of_the_first_day_there_is_is_read() -> None:
    assert 1 == len(history_of(study(started="0001-01-01"), order(authoredOn="0001")).exams)


def test_a_draft_without_id_is_not_every_record_without_id() -> None:
    draft = {k: v for k, v in LUMBAR_MRI_DRAFT.items() if k != "id"}
    request = hook_request(draft, hook="order-sign")
    prefetch = request["prefetch"]
    assert isinstance(prefetch, dict)
    in_chart = {k: v for k, v in order().items() if k not in {"id", "subject"}}
    done = {k: v for k, v in procedure().items() if k not in {"id", "subject"}}
    prefetch |= {"serviceRequests": bundle({**in_chart, "status": "completed"}, done)}

    (judged,) = decisions_of(fire(client(), request))

    exams = judged["priorImaging"]
    assert isinstance(exams, list)
    assert {"ServiceRequest/?", "Procedure/?"} == {r for exam in exams for r in exam["sources"]}
