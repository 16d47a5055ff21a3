"""Prior lumbar MRI exams: found in every kind of record, each counted once, with its date."""

from itertools import permutations

import pytest
from bundled import knowledge
from charts import (
    CPT,
    LOINC,
    PATIENT,
    SNOMED,
    TODAY,
    Json,
    chart_of,
    code,
    history_of,
    terminology,
)
from exam_records import (
    CT,
    GENERIC,
    LUMBAR,
    MR,
    WITHOUT,
    WITHOUT_AND_WITH,
    order,
    procedure,
    report,
    study,
)
from hypothesis import given
from hypothesis import strategies as st

from cds_service.fhir_dates import Precision
from cds_service.findings import Strength
from cds_service.imaging_history.exams import ImagingHistory, PriorExam, imaging_history
from cds_service.order_reading import SiteCodes
from cds_service.orders import ImagingProtocol


def one(history: ImagingHistory) -> PriorExam:
    """Return the only exam."""
    (exam,) = history.exams
    return exam


def dates(history: ImagingHistory) -> list[str]:
    """Return the dates of the exams in order, as they would be shown."""
    return [exam.when.text for exam in history.exams]


def test_nothing_on_record_is_an_empty_history() -> None:
    history = history_of(report(code=code(LOINC, "24627-2", "CT Chest")))

    assert ImagingHistory() == history
    assert history.prior is None


@pytest.mark.parametrize(
    ("raw", "element", "strength"),
    [
        pytest.param(study(), "started", Strength.STRONG, id="study"),
        pytest.param(report(), "effectiveDateTime", Strength.STRONG, id="report"),
        pytest.param(procedure(), "performedDateTime", Strength.STRONG, id="procedure"),
        pytest.param(
            order(occurrenceDateTime="2025-11-10"),
            "occurrenceDateTime",
            Strength.POSSIBLE,
            id="order",
        ),
    ],
)
def test_a_prior_is_found_from_each_kind_of_record_alone(
    raw: Json, element: str, strength: Strength
) -> None:
    exam = one(history_of(raw))

    assert ("2025-11-10", element) == (exam.when.text, exam.when.element)
    assert strength is exam.strength
    assert (f"{raw['resourceType']}/{raw['id']}",) == exam.sources


def str_of(records: object) -> str:
    """Name a permutation by its resources."""
    assert isinstance(records, tuple)
    return "-".join(record["id"] for record in records)


LINKED = (
    study(basedOn=[{"reference": "ServiceRequest/o1"}]),
    report(imagingStudy=[{"reference": "ImagingStudy/s1"}], effectiveDateTime="2025-11-13"),
    procedure(report=[{"reference": "DiagnosticReport/r1"}], performedDateTime="2025-11"),
    order(),
)
UNLINKED = (study(), report(effectiveDateTime=None), procedure(), order())


@pytest.mark.parametrize("records", [*permutations(LINKED)], ids=str_of)
def test_quirk_32_linked_records_are_one_exam_in_every_order(records: tuple[Json, ...]) -> None:
    exam = one(history_of(*records))

    assert ("ImagingStudy/s1", "DiagnosticReport/r1", "Procedure/p1", "ServiceRequest/o1") == (
        exam.sources
    )
    assert ("2025-11-10", "started", "without") == (
        exam.when.text,
        exam.when.element,
        exam.contrast,
    )


@pytest.mark.parametrize("records", [*permutations(UNLINKED)], ids=str_of)
def test_quirk_32_records_without_links_are_one_exam_in_every_order(
    records: tuple[Json, ...],
) -> None:
    exam = one(history_of(*records))

    assert 4 == len(exam.sources)
    assert "2025-11-10" == exam.when.text


ACSN = code("http://terminology.hl7.org/CodeSystem/v2-0203", "ACSN")
UID = {"system": "urn:dicom:uid", "value": "urn:oid:1.2.840.1"}


def accession(value: str, system: str = "urn:acc") -> Json:
    """Return an accession number."""
    return {"type": ACSN, "value": value, **({"system": system} if system else {})}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(
            study(identifier=[accession("A1")]),
            report(identifier=[accession("A1", "")], effectiveDateTime="2025-11-13"),
            id="accession number",
        ),
        pytest.param(
            study(identifier=[UID]),
            study(id="s2", uid="urn:oid:1.2.840.1", started="2025-11-13"),
            id="study UID",
        ),
        pytest.param(
            study(identifier=[{"system": "urn:x", "value": "7"}]),
            procedure(
                identifier=[{"system": "urn:x", "value": "7"}], performedDateTime="2025-11-13"
            ),
            id="identifier",
        ),
        pytest.param(
            study(procedureReference={"reference": "Procedure/p1"}),
            procedure(performedDateTime="2025-11-13"),
            id="procedureReference",
        ),
        pytest.param(
            report(imagingStudy=[{"reference": "https://x.example/ImagingStudy/s1/_history/2"}]),
            study(started="2025-11-07"),
            id="imagingStudy",
        ),
        pytest.param(
            report(basedOn=[{"identifier": accession("A1")}], effectiveDateTime="2025-11-13"),
            study(identifier=[accession("A1")]),
            id="basedOn.identifier",
        ),
        pytest.param(
            report(basedOn=[{"identifier": {"system": "urn:placer", "value": "9"}}]),
            order(identifier=[{"system": "urn:placer", "value": "9"}], authoredOn=None),
            id="placer number",
        ),
        pytest.param(
            study(identifier=[accession("A1")]),
            order(identifier=[accession("A1")], authoredOn=None),
            id="accession number of the order",
        ),
        pytest.param(
            order(requisition={"system": "urn:rq", "value": "5"}),
            order(id="o2", requisition={"system": "urn:rq", "value": "5"}, authoredOn="2025-10-01"),
            id="requisition and code",
        ),
    ],
)
def test_records_are_joined_by_what_only_one_exam_has(first: Json, second: Json) -> None:
    assert 1 == len(history_of(first, second).exams)
    assert history_of(first, second) == history_of(second, first)


MEDICAL_RECORD: Json = {
    "type": code("http://terminology.hl7.org/CodeSystem/v2-0203", "MR"),
    "system": "urn:mrn",
    "value": "77",
}
EARLIER = study(id="s0", started="2024-05-10")


@pytest.mark.parametrize(
    "records",
    [
        pytest.param(
            (
                study(identifier=[accession("1001", "urn:a")]),
                {**EARLIER, "identifier": [accession("1001", "urn:b")]},
            ),
            id="number of two sites",
        ),
        pytest.param(
            (
                study(identifier=[accession("1001"), UID]),
                {**EARLIER, "identifier": [accession("1001"), UID]},
            ),
            id="number used again",
        ),
        pytest.param(
            (
                study(identifier=[accession("1001", "")]),
                {**EARLIER, "identifier": [accession("1001")]},
            ),
            id="number with and without a system",
        ),
        pytest.param(
            (report(imagingStudy=[{"reference": "ImagingStudy/s0"}]), EARLIER),
            id="report that names the study it compares with",
        ),
        pytest.param(
            (
                study(),
                report(
                    effectiveDateTime=None,
                    imagingStudy=[
                        {"reference": "ImagingStudy/s0"},
                        {"reference": "ImagingStudy/s1"},
                    ],
                ),
                EARLIER,
            ),
            id="undated report of both",
        ),
        pytest.param(
            (
                report(),
                report(id="r0", effectiveDateTime="2024-05-10", issued="2024-05-11"),
                procedure(
                    report=[
                        {"reference": "DiagnosticReport/r0"},
                        {"reference": "DiagnosticReport/r1"},
                    ]
                ),
            ),
            id="procedure with two reports",
        ),
        pytest.param(
            (
                study(identifier=[MEDICAL_RECORD]),
                {**EARLIER, "identifier": [MEDICAL_RECORD]},
                report(effectiveDateTime=None, issued="2025-11-11", identifier=[MEDICAL_RECORD]),
            ),
            id="number of the patient",
        ),
    ],
)
def test_exams_of_different_days_stay_apart_whatever_they_share(records: tuple[Json, ...]) -> None:
    """A recent exam that is swallowed by an old one would be repeated unseen (§7.1)."""
    for entries in permutations(records):
        assert ["2025-11-10", "2024-05-10"] == dates(history_of(*entries))


def test_an_undated_report_goes_to_the_newest_of_its_studies() -> None:
    links = [{"reference": "ImagingStudy/s0"}, {"reference": "ImagingStudy/s1"}]

    history = history_of(
        study(), EARLIER, report(effectiveDateTime=None, issued=None, imagingStudy=links)
    )

    assert [("ImagingStudy/s1", "DiagnosticReport/r1"), ("ImagingStudy/s0",)] == [
        exam.sources for exam in history.exams
    ]


def test_a_report_belongs_to_no_study_that_is_later_than_its_issue() -> None:
    links = [{"reference": "ImagingStudy/s0"}, {"reference": "ImagingStudy/s1"}]

    history = history_of(
        study(), EARLIER, report(effectiveDateTime=None, issued="2024-05-11", imagingStudy=links)
    )

    assert [("ImagingStudy/s1",), ("ImagingStudy/s0", "DiagnosticReport/r1")] == [
        exam.sources for exam in history.exams
    ]


@pytest.mark.parametrize(("day", "expected"), [("2025-11-13", 1), ("2025-11-14", 2)])
def test_a_link_joins_over_three_days(day: str, expected: int) -> None:
    history = history_of(study(identifier=[UID]), report(identifier=[UID], effectiveDateTime=day))

    assert expected == len(history.exams)


def test_two_sites_with_one_number_on_one_day_are_two_exams() -> None:
    first, second = (
        study(id=f"s{n}", identifier=[accession("1", system), {**UID, "value": f"1.2.{n}"}])
        for n, system in ((1, "urn:a"), (2, "urn:b"))
    )

    assert 2 == len(history_of(first, second).exams)


def test_a_bare_identifier_joins_nothing() -> None:
    bare = [{"value": "1"}]

    history = history_of(
        report(identifier=bare), procedure(identifier=bare, performedDateTime="2025-06-01")
    )

    assert ["2025-11-10", "2025-06-01"] == dates(history)


@pytest.mark.parametrize(
    ("performed", "expected"),
    [
        pytest.param("2025-11-11", 1, id="a day later is the same exam"),
        pytest.param("2025-11-09", 1, id="a day earlier is the same exam"),
        pytest.param("2025-11-12", 2, id="two days later is another"),
        pytest.param("2025-11", 1, id="the month of the exam"),
        pytest.param("2025", 1, id="the year of the exam"),
        pytest.param("2024", 2, id="another year"),
        pytest.param(None, 1, id="no date joins a recent exam"),
    ],
)
def test_without_links_dates_decide(performed: str | None, expected: int) -> None:
    assert expected == len(history_of(study(), procedure(performedDateTime=performed)).exams)


@pytest.mark.parametrize(
    ("issued", "expected"),
    [
        pytest.param("2025-11-13", 1, id="three days"),
        pytest.param("2025-11-14", 2, id="four days"),
        pytest.param("2025-11-07", 1, id="three days before"),
    ],
)
def test_a_report_that_only_says_when_it_was_issued_joins_within_three_days(
    issued: str, expected: int
) -> None:
    assert expected == len(history_of(study(), report(effectiveDateTime=None, issued=issued)).exams)


def test_an_issued_report_joins_the_nearest_exam() -> None:
    history = history_of(
        study(started="2025-11-08"),
        study(id="s2", started="2025-11-12"),
        report(effectiveDateTime=None, issued="2025-11-11"),
    )

    assert [("ImagingStudy/s2", "DiagnosticReport/r1"), ("ImagingStudy/s1",)] == [
        exam.sources for exam in history.exams
    ]


SEPARATE = (
    study(identifier=[accession("A1"), UID]),
    study(id="s2", identifier=[accession("A2"), {**UID, "value": "urn:oid:1.2.840.2"}]),
)


@pytest.mark.parametrize("records", [*permutations((*SEPARATE, report()))], ids=str_of)
def test_two_exams_of_one_day_with_own_images_stay_separate(records: tuple[Json, ...]) -> None:
    assert [("ImagingStudy/s1", "DiagnosticReport/r1"), ("ImagingStudy/s2",)] == [
        exam.sources for exam in history_of(*records).exams
    ]


def test_a_separate_exam_of_the_same_month_stays_separate() -> None:
    first, second = SEPARATE

    history = history_of(first, {**second, "started": "2025-11"})

    assert ["2025-11", "2025-11-10"] == dates(history)


def test_different_accession_numbers_without_own_images_are_one_exam() -> None:
    history = history_of(
        study(identifier=[accession("A1"), UID]), report(identifier=[accession("A2")])
    )

    assert 1 == len(history.exams)


def test_exams_of_one_standing_order_on_different_days_stay_apart() -> None:
    based_on = [{"reference": "ServiceRequest/o1"}]
    history = history_of(
        study(basedOn=based_on),
        study(id="s2", basedOn=based_on, started="2025-06-01"),
        report(basedOn=based_on, effectiveDateTime=None, issued=None),
        order(authoredOn="2025-05-01"),
    )

    assert ["2025-11-10", "2025-06-01"] == dates(history)
    assert ("ImagingStudy/s2", "ServiceRequest/o1") == history.exams[1].sources


def test_an_order_is_not_joined_with_an_exam_before_it_was_written() -> None:
    history = history_of(
        report(basedOn=[{"reference": "ServiceRequest/o1"}]),
        order(status="active", authoredOn="2026-03-01"),
    )

    assert [("DiagnosticReport/r1",)] == [exam.sources for exam in history.exams]
    assert [("ServiceRequest/o1",)] == [exam.sources for exam in history.in_flight]


def test_quirk_04_a_report_with_an_end_only_is_dated_by_its_end() -> None:
    exam = one(history_of(report(effectiveDateTime=None, effectivePeriod={"end": "2025-11-10"})))

    assert ("2025-11-10", "effectivePeriod.end") == (exam.when.text, exam.when.element)


@pytest.mark.parametrize(
    ("raw", "text", "element"),
    [
        pytest.param(
            report(effectiveDateTime=None), "by 2025-11-11", "issued", id="issued is a bound"
        ),
        pytest.param(
            report(
                effectiveDateTime=None,
                issued=None,
                meta={"lastUpdated": "2025-12-01T00:00:00-05:00"},
            ),
            "by 2025-12-01",
            "meta.lastUpdated",
            id="lastUpdated is a bound",
        ),
        pytest.param(
            study(started=None, series=[{"started": "2025-11-10", "bodySite": LUMBAR}]),
            "2025-11-10",
            "series.started",
            id="series",
        ),
    ],
)
def test_quirk_05_the_date_falls_back_and_says_so(raw: Json, text: str, element: str) -> None:
    exam = one(history_of(raw))

    assert (text, element) == (exam.when.text, exam.when.element)


def test_quirk_06_an_exam_without_date_is_kept_and_not_called_recent() -> None:
    exam = one(history_of(report(effectiveDateTime=None, issued=None)))

    assert (Precision.UNKNOWN, None, "") == (
        exam.when.precision,
        exam.when.earliest,
        exam.when.element,
    )


def test_quirk_06_an_undated_record_stands_beside_an_old_exam_and_last() -> None:
    history = history_of(
        study(started="2019-01-01"),
        procedure(performedDateTime=None),
        report(effectiveDateTime=None, issued=None),
    )

    assert [("ImagingStudy/s1",), ("DiagnosticReport/r1", "Procedure/p1")] == [
        exam.sources for exam in history.exams
    ]


@pytest.mark.parametrize(
    "raw",
    [
        study(started="2026-04-01"),
        report(effectiveDateTime="2026-04-01", issued=None),
        procedure(performedDateTime="2026-04-01"),
    ],
    ids=lambda raw: raw["resourceType"],
)
def test_quirk_07_date_in_the_future_is_not_a_prior_exam(raw: Json) -> None:
    assert () == history_of(raw).exams


def test_quirk_07_tomorrow_is_clock_skew() -> None:
    assert ["2026-03-17"] == dates(history_of(study(started="2026-03-17")))


@pytest.mark.parametrize(
    "elements",
    [
        pytest.param(
            {"presentedForm": [{"title": "MRI Lumbar Spine w/o Contrast"}]},
            id="presentedForm.title",
        ),
        pytest.param(
            {"text": {"div": "<div><p>MRI lumbar spine without contrast</p></div>"}}, id="text.div"
        ),
        pytest.param(
            {"basedOn": [{"display": "MRI lumbar spine without contrast"}]}, id="basedOn.display"
        ),
        pytest.param(
            {
                "basedOn": [{"reference": "#o"}],
                "contained": [
                    {
                        "resourceType": "ServiceRequest",
                        "id": "o",
                        "code": {"text": "MRI L-spine without contrast"},
                    }
                ],
            },
            id="contained order",
        ),
        pytest.param({"code": {"text": "MR LUMBAR SPINE WO CONTRAST"}}, id="text only"),
        pytest.param({"code": None, "presentedForm": [{"title": "MRI LSPINE WO"}]}, id="no code"),
    ],
)
def test_quirk_15_a_generic_report_is_known_by_its_words(elements: Json) -> None:
    exam = one(history_of(report(**{"code": GENERIC, **elements})))

    assert ("without", Strength.STRONG) == (exam.contrast, exam.strength)


def test_quirk_15_a_generic_report_is_known_by_its_order() -> None:
    exam = one(
        history_of(
            report(
                code=GENERIC,
                basedOn=[{"reference": "ServiceRequest/o1"}],
                text={"div": "<div>Radiology report, final</div>"},
            ),
            order(code=WITHOUT_AND_WITH),
        )
    )

    assert ("without-and-with", Strength.STRONG) == (exam.contrast, exam.strength)
    assert ("DiagnosticReport/r1", "ServiceRequest/o1") == exam.sources


@pytest.mark.parametrize(
    ("narrative", "expected"),
    [
        pytest.param("XR chest. Comparison: MRI lumbar spine 2019.", 0, id="comparison"),
        pytest.param("Hip pain. Recommend MRI lumbar spine.", 0, id="recommendation"),
        pytest.param("Nothing of note.", 0, id="no exam named"),
    ],
)
def test_quirk_15_another_exam_in_the_narrative_is_not_this_one(
    narrative: str, expected: int
) -> None:
    raw = report(code=GENERIC, text={"div": f"<div>{narrative}</div>"})

    assert expected == len(history_of(raw).exams)


def test_quirk_15_an_exam_named_deep_in_the_narrative_is_only_possible() -> None:
    narrative = f"<div>{'Patient details. ' * 20} MRI lumbar spine</div>"

    exam = one(history_of(report(code=GENERIC, text={"div": narrative})))

    assert Strength.POSSIBLE is exam.strength


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        pytest.param(
            report(code=code(LOINC, "24531-6", "MR Lumbar spine")), "wrong LOINC", id="LOINC"
        ),
        pytest.param(
            report(code={**code(CPT, "72141"), "text": "MRI lumbar spine"}), "cervical", id="CPT"
        ),
        pytest.param(
            report(code={**WITHOUT, "text": "CT chest"}), "text names another exam", id="text"
        ),
        pytest.param(
            report(category=None, code={"text": "MRI lumbar spine"}), "not radiology", id="category"
        ),
        pytest.param(report(status=None), "no status", id="status"),
        pytest.param(
            study(modality=[CT], series=[], procedureCode=[WITHOUT]), "modality CT", id="modality"
        ),
        pytest.param(
            study(description="MR PELVIS", modality=[MR]), "another part", id="description"
        ),
        pytest.param(
            procedure(code={"text": "MRI lumbar spine"}), "text on a procedure", id="procedure text"
        ),
        pytest.param(procedure(status=None), "no status", id="procedure status"),
    ],
)
def test_quirk_16_what_disagrees_or_is_only_text_is_possible(raw: Json, why: str) -> None:
    exam = one(history_of(raw))

    assert Strength.POSSIBLE is exam.strength, why


def test_a_study_of_another_part_makes_a_lumbar_report_doubtful() -> None:
    exam = one(
        history_of(
            study(description="MR BRAIN", series=[]),
            report(imagingStudy=[{"reference": "ImagingStudy/s1"}]),
        )
    )

    assert Strength.POSSIBLE is exam.strength


def test_what_was_done_outranks_what_was_ordered() -> None:
    history = history_of(
        report(code={"text": "XR lumbar spine"}, basedOn=[{"reference": "ServiceRequest/o1"}]),
        order(),
    )

    assert ((), ()) == (history.exams, history.in_flight)


@pytest.mark.parametrize(
    ("status", "exams", "in_flight"),
    [
        *((status, 1, 0) for status in ("preliminary", "final", "amended", "corrected")),
        *((status, 1, 0) for status in ("appended", "partial")),
        ("registered", 0, 1),
        *((status, 0, 0) for status in ("cancelled", "entered-in-error", "unknown")),
    ],
)
def test_quirk_27_the_status_of_a_report_says_whether_it_is_an_exam(
    status: str, exams: int, in_flight: int
) -> None:
    history = history_of(report(status=status))

    assert (exams, in_flight) == (len(history.exams), len(history.in_flight))


@pytest.mark.parametrize(
    ("elements", "exams", "in_flight"),
    [
        pytest.param({"status": "available"}, 1, 0, id="available"),
        pytest.param({"status": "registered"}, 0, 1, id="registered"),
        pytest.param({"status": "cancelled"}, 0, 0, id="cancelled"),
        pytest.param({"status": None}, 1, 0, id="no status, with images"),
        pytest.param(
            {"status": "unknown", "series": [{"bodySite": LUMBAR}]}, 0, 0, id="no images either"
        ),
        pytest.param({"status": None, "numberOfInstances": 3}, 1, 0, id="instances counted"),
    ],
)
def test_the_status_of_a_study_says_whether_it_is_an_exam(
    elements: Json, exams: int, in_flight: int
) -> None:
    history = history_of(study(**elements))

    assert (exams, in_flight) == (len(history.exams), len(history.in_flight))


def test_quirk_28_a_completed_order_alone_is_ordered_on_or_after_its_date() -> None:
    exam = one(history_of(order()))

    assert exam.is_order_only
    assert exam.when.earliest is not None
    assert ("2025-11-01", "2026-03-16", "authoredOn") == (
        exam.when.earliest.isoformat(),
        exam.when.latest.isoformat(),
        exam.when.element,
    )
    assert Strength.POSSIBLE is exam.strength


def test_quirk_28_a_completed_order_joins_the_first_exam_after_it() -> None:
    history = history_of(study(), study(id="s2", started="2025-12-24"), order())

    assert [("ImagingStudy/s2",), ("ImagingStudy/s1", "ServiceRequest/o1")] == [
        exam.sources for exam in history.exams
    ]


@pytest.mark.parametrize("status", ["completed", "active"])
def test_orders_of_one_day_without_an_exam_are_one(status: str) -> None:
    history = history_of(
        order(status=status),
        order(id="o2", status=status, authoredOn="2025-11-02"),
        order(id="o3", status=status, authoredOn="2025-12-24"),
    )

    sources = [("ServiceRequest/o3",), ("ServiceRequest/o1", "ServiceRequest/o2")]
    assert sorted(sources) == sorted(e.sources for e in (*history.exams, *history.in_flight))


def test_an_order_without_any_date_is_an_undated_exam() -> None:
    exam = one(history_of(order(authoredOn=None)))

    assert (Precision.UNKNOWN, Strength.POSSIBLE) == (exam.when.precision, exam.strength)


@pytest.mark.parametrize("status", ["draft", "revoked", "entered-in-error"])
def test_quirk_29_a_revoked_order_or_a_draft_is_no_exam(status: str) -> None:
    assert ImagingHistory() == history_of(order(status=status))


@pytest.mark.parametrize(
    ("authored", "exams", "in_flight"),
    [
        pytest.param("2025-11-10", 1, 0, id="done since: often never closed"),
        pytest.param("2025-11-11", 1, 1, id="written after the exam"),
        pytest.param(None, 1, 1, id="no date"),
    ],
)
def test_an_active_order_is_in_flight_unless_an_exam_followed(
    authored: str | None, exams: int, in_flight: int
) -> None:
    history = history_of(report(), order(status="active", authoredOn=authored))

    assert (exams, in_flight) == (len(history.exams), len(history.in_flight))


@pytest.mark.parametrize(
    ("intent", "expected"), [("order", Strength.STRONG), ("proposal", Strength.POSSIBLE)]
)
def test_a_firm_order_in_flight_is_strong(intent: str, expected: Strength) -> None:
    raw = order(status="active", intent=intent, authoredOn="2026-03-01")

    (exam,) = history_of(raw).in_flight

    assert exam.in_flight
    assert expected is exam.strength


def test_a_registered_study_in_the_future_is_in_flight() -> None:
    (exam,) = history_of(study(status="registered", started="2026-04-01")).in_flight

    assert "date unknown" == exam.when.text


@pytest.mark.parametrize("status", ["not-done", "stopped", "preparation", "in-progress"])
def test_quirk_30_a_procedure_not_done_is_no_exam(status: str) -> None:
    history = history_of(procedure(status=status))

    assert ((), ()) == (history.exams, history.in_flight)


def test_quirk_30_a_stopped_procedure_makes_its_study_incomplete() -> None:
    exam = one(history_of(study(), procedure(status="stopped")))

    assert exam.is_limited
    assert Strength.POSSIBLE is exam.strength


@pytest.mark.parametrize(
    ("conclusion", "expected"),
    [
        pytest.param("Motion degraded study.", Strength.POSSIBLE, id="motion"),
        pytest.param("Non-diagnostic.", Strength.POSSIBLE, id="non-diagnostic"),
        pytest.param("Limited by artefact.", Strength.POSSIBLE, id="limited"),
        pytest.param("The study is not limited.", Strength.STRONG, id="negated"),
        pytest.param("Normal.", Strength.STRONG, id="plain"),
    ],
)
def test_a_non_diagnostic_exam_is_only_possible(conclusion: str, expected: Strength) -> None:
    assert expected is one(history_of(report(conclusion=conclusion))).strength


def test_quirk_45_hundreds_of_series_are_read_once_each() -> None:
    series = [{"modality": MR, "bodySite": LUMBAR, "description": "T2"} for _ in range(500)]

    chart = chart_of(study(series=series))

    (found,) = chart.imaging_studies
    assert (1, 1, ("T2",)) == (len(found.modalities), len(found.body_sites), found.notes)


@pytest.mark.parametrize(
    "elements",
    [
        pytest.param({"modality": None}, id="modality in the series only"),
        pytest.param({"series": [{"bodySite": {"display": "Lumbar spine"}}]}, id="site in words"),
        pytest.param({"series": [{"bodySite": {"code": "LSPINE"}}]}, id="DICOM body part"),
        pytest.param({"modality": [{"code": "MR"}]}, id="modality without system"),
        pytest.param({"series": [], "procedureCode": [WITHOUT], "modality": None}, id="code only"),
    ],
)
def test_quirk_46_modality_and_body_part_are_found_wherever_they_stand(elements: Json) -> None:
    assert Strength.STRONG is one(history_of(study(**elements))).strength


@pytest.mark.parametrize(
    ("description", "expected"),
    [
        *(("LSPINE W/O", "without"), ("MR LUMBAR SPINE W/O & W", "without-and-with")),
        *(("L-SPINE", "unspecified"), ("LUMBAR SPINE WITH CONTRAST", "with")),
        ("CERVICAL AND LUMBAR SPINE", "multiregion"),
    ],
)
def test_quirk_47_a_dicom_description_is_read_with_the_modality(
    description: str, expected: str
) -> None:
    exam = one(history_of(study(description=description, series=[])))

    assert (expected, Strength.STRONG) == (exam.contrast, exam.strength)


@pytest.mark.parametrize(
    "elements",
    [
        {"description": "MR BRAIN"},
        {"description": "MR SACROILIAC JOINTS"},
        {"description": "MR LUMBAR PLEXUS"},
        {"description": "MRA ABDOMEN"},
        {"description": "C-SPINE"},
        {"series": [{"bodySite": {"system": SNOMED, "code": "122494005"}}]},
        {"series": [{"bodySite": {"code": "TSPINE"}}]},
        {},
    ],
    ids=str,
)
def test_other_regions_are_no_lumbar_mri(elements: Json) -> None:
    history = history_of(study(**{"series": [], **elements}))

    assert ImagingHistory() == history


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(report(code=code(LOINC, "36067-7", "MR Spine")), id="generic code"),
        pytest.param(report(code={"text": "MRI spine"}), id="generic text"),
        pytest.param(study(series=[{"bodySite": {"code": "SPINE"}}]), id="generic site"),
    ],
)
def test_an_mri_of_the_spine_without_a_region_is_uncertain(raw: Json) -> None:
    history = history_of(raw)

    assert ((), 1) == (history.exams, len(history.uncertain))


def test_a_generic_code_with_a_lumbar_site_counts() -> None:
    raw = procedure(code=code(SNOMED, "241645008"), bodySite=[{"coding": [LUMBAR]}])

    assert "unspecified" == one(history_of(raw)).contrast


@pytest.mark.parametrize("when", ["2025-11-10", "2025-11-11"])
def test_an_mri_of_the_spine_on_the_day_of_a_lumbar_one_is_the_same_exam(when: str) -> None:
    history = history_of(study(), report(code={"text": "MRI spine"}, effectiveDateTime=when))

    assert (1, ()) == (len(history.exams), history.uncertain)
    assert Strength.STRONG is history.exams[0].strength


def test_an_mri_of_the_spine_on_another_day_stays_uncertain() -> None:
    history = history_of(
        study(),
        report(code={"text": "MRI spine"}, effectiveDateTime="2025-12-10"),
        report(id="r2", code={"text": "MRI spine"}, effectiveDateTime=None, issued=None),
    )

    (uncertain,) = history.uncertain
    assert [("ImagingStudy/s1",)] == [exam.sources for exam in history.exams]
    assert ("DiagnosticReport/r1", "DiagnosticReport/r2") == uncertain.sources


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(report(code=code(CPT, "72131")), id="code"),
        pytest.param(study(modality=[CT], series=[{"bodySite": LUMBAR}]), id="modality"),
        pytest.param(report(code={"text": "CT lumbar spine"}), id="words"),
    ],
)
def test_lumbar_ct_is_information_only(raw: Json) -> None:
    history = history_of(raw)

    assert ((), 1) == (history.exams, len(history.other))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (code(LOINC, "24967-2"), "without-and-with"),
        (code(SNOMED, "41333006"), "with"),
        (code(LOINC, "24968-0"), "unspecified"),
        ({**code(LOINC, "24968-0"), "text": "MRI lumbar spine w/o contrast"}, "without"),
        (code(LOINC, "30854-4"), "multiregion"),
        ({"coding": [*WITHOUT["coding"], *WITHOUT_AND_WITH["coding"]]}, "unspecified"),  # type: ignore[misc]  # lists by construction
    ],
    ids=str,
)
def test_the_contrast_is_that_of_the_code_else_of_the_words(value: Json, expected: str) -> None:
    assert expected == one(history_of(report(code=value))).contrast


def test_the_contrast_is_what_was_done_not_what_was_ordered() -> None:
    exam = one(history_of(report(code=WITHOUT_AND_WITH), order(occurrenceDateTime="2025-11-10")))

    assert "without-and-with" == exam.contrast


def test_the_last_word_of_the_radiologist_is_the_conclusion() -> None:
    first = report(status="preliminary", conclusion="Wet read.", issued="2025-11-10T12:00:00Z")
    last = report(
        id="r2",
        conclusion="Final read.",
        issued="2025-11-12T12:00:00Z",
        presentedForm=[{"url": "http://plain.example/r"}, {"url": "https://ehr.example/r2"}],
    )
    silent = report(id="r3", conclusion=None, issued=None, effectiveDateTime="2025-11-11")

    for records in permutations((first, last, silent)):
        exam = one(history_of(*records))

        assert ("Final read.", "https://ehr.example/r2") == (exam.conclusion, exam.url)


EAP = "urn:oid:1.2.840.114350.1.13.1.2.7.2.696580"
SITE = SiteCodes(
    by_code={
        (EAP, "9"): ImagingProtocol.WITHOUT_AND_WITH,
        (EAP, "8"): ImagingProtocol.WITHOUT,
        (EAP, "7"): None,
    },
    by_title={"mri back": ImagingProtocol.WITHOUT, "imr lumbar": None},
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(code(EAP, "9", "IMR 5"), ["without-and-with"], id="code"),
        pytest.param(
            {"coding": [{"system": EAP, "code": "9"}, {"system": EAP, "code": "8"}]},
            ["unspecified"],
            id="two codes that disagree",
        ),
        pytest.param({**code(EAP, "7"), "text": "MRI lumbar spine"}, [], id="not a lumbar MRI"),
        pytest.param({"text": "MRI Back "}, ["without"], id="title"),
        pytest.param({"text": "IMR lumbar"}, [], id="title that is not"),
        pytest.param(
            code(EAP, "1", "MRI lumbar spine wo contrast"), ["without"], id="unknown code"
        ),
    ],
)
def test_quirk_13_the_sites_own_exam_codes_are_known(value: Json, expected: list[str]) -> None:
    history = imaging_history(
        chart_of(report(code=value)),
        definition=knowledge().order,
        terminology=terminology(),
        today=TODAY,
        site_codes=SITE,
    )

    assert expected == [exam.contrast for exam in history.exams]
    assert all(exam.strength is Strength.STRONG for exam in history.exams)


HOSPITAL = {"reference": "Organization/here"}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(report(performer=[{"reference": "Organization/there"}]), True, id="report"),
        pytest.param(report(performer=[HOSPITAL]), False, id="own report"),
        pytest.param(report(), False, id="nobody named"),
        pytest.param(
            study(
                series=[
                    {
                        "bodySite": LUMBAR,
                        "performer": [{"actor": {"reference": "Organization/there"}}],
                    }
                ]
            ),
            True,
            id="study",
        ),
        pytest.param(study(description="OUTSIDE MR LSPINE"), True, id="outside films"),
        pytest.param(
            report(code={**WITHOUT, "text": "Outside MRI lumbar"}), True, id="outside report"
        ),
        pytest.param(
            procedure(code={**WITHOUT, "text": "Outside MRI lumbar"}), True, id="outside procedure"
        ),
    ],
)
def test_an_exam_of_another_organisation_is_from_outside(raw: Json, *, expected: bool) -> None:
    patient = {"resourceType": "Patient", "id": PATIENT, "managingOrganization": HOSPITAL}

    assert expected is one(history_of(patient, raw)).is_outside


def test_the_facility_is_named_where_it_is_an_organisation() -> None:
    performers = [
        {"reference": "Practitioner/d1", "display": "Dr. A"},
        {"reference": "Organization/there", "display": "Lakeside Imaging"},
    ]

    exam = one(history_of(report(performer=performers)))

    assert ("Lakeside Imaging", False) == (exam.facility, exam.is_outside)


def test_exams_are_listed_newest_first() -> None:
    history = history_of(
        report(effectiveDateTime="2023"),
        study(started="2024-05-01"),
        procedure(performedDateTime="2025-11"),
        report(id="r2", effectiveDateTime=None, issued="2022-01-01"),
    )

    assert ["2025-11", "2024-05-01", "2023", "by 2022-01-01"] == dates(history)
    assert history.prior is history.exams[0]


DATES = st.sampled_from(["2025-11-10", "2025-11-11", "2025-11-13", "2025-11", "2025", None])
RECORDS = st.one_of(
    st.builds(lambda i, d: study(id=f"s{i}", started=d), st.integers(1, 4), DATES),
    st.builds(
        lambda i, d, b: report(id=f"r{i}", effectiveDateTime=d, issued=b),
        st.integers(1, 4),
        DATES,
        DATES,
    ),
    st.builds(lambda i, d: procedure(id=f"p{i}", performedDateTime=d), st.integers(1, 4), DATES),
    st.builds(
        lambda i, d, s: order(id=f"o{i}", authoredOn=d, status=s),
        st.integers(1, 4),
        DATES,
        st.sampled_from(["active", "completed"]),
    ),
)


@given(
    st.lists(RECORDS, max_size=8, unique_by=lambda r: (r["resourceType"], r["id"])), st.randoms()
)
def test_the_order_of_entries_never_matters(records: list[Json], random: object) -> None:
    shuffled = list(records)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # a Random; its module is banned here

    assert history_of(*records) == history_of(*shuffled)


@given(st.lists(RECORDS, max_size=8, unique_by=lambda r: (r["resourceType"], r["id"])))
def test_no_record_is_in_two_exams(records: list[Json]) -> None:
    history = history_of(*records)

    exams = (*history.exams, *history.in_flight, *history.uncertain)
    sources = [ref for exam in exams for ref in exam.sources]
    assert sorted(set(sources)) == sorted(sources)


COMMENT = [{"text": "MRI lumbar spine of 2019 showed a disc protrusion"}]


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(study(description="MR BRAIN", series=[], note=COMMENT), id="study"),
        pytest.param(report(code={"text": "XR knee"}, note=COMMENT), id="report"),
        pytest.param(procedure(code={"text": "Physical therapy"}, note=COMMENT), id="procedure"),
        pytest.param(order(code={"text": "MRI knee"}, note=COMMENT), id="order of another MRI"),
        pytest.param(
            order(code={"text": "Physical therapy"}, status="active", note=COMMENT), id="referral"
        ),
    ],
)
def test_an_exam_that_a_comment_speaks_of_is_not_the_exam(raw: Json) -> None:
    """§3: a note may name another exam."""
    assert ImagingHistory() == history_of(raw)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(study(series=[], note=[{"text": "Lumbar spine"}]), id="study"),
        pytest.param(procedure(code={"text": "MRI"}, note=COMMENT), id="procedure"),
        pytest.param(
            order(code={"text": "MRI spine"}, note=[{"text": "lumbar spine"}]), id="order"
        ),
    ],
)
def test_a_comment_says_the_region_that_the_name_leaves_open(raw: Json) -> None:
    assert Strength.POSSIBLE is one(history_of(raw)).strength
