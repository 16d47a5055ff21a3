"""One exam as study, report, procedure and order is one prior, however the four are linked.

Every test tries all 24 orders of the entries (quirks 32, 34, 35; decision table §7.1).
"""

import json
from collections.abc import Mapping
from itertools import permutations

import pytest
from charts import Json, chart_from, code, history_in, history_of, source
from exam_records import order, procedure, report, study

from cds_service.imaging_history.exams import ImagingHistory

ACSN = code("http://terminology.hl7.org/CodeSystem/v2-0203", "ACSN")
ACCESSION_NUMBER: Json = {"type": ACSN, "system": "urn:acc", "value": "A-1"}
ACCESSION: Json = {"identifier": [ACCESSION_NUMBER]}
UID: Json = {"system": "urn:dicom:uid", "value": "urn:oid:1.2.840.7"}
STUDY_UID: Json = {"identifier": [UID]}
FILLER: Json = {"identifier": [{"system": "urn:filler", "value": "F-1"}]}
ON_ORDER: Json = {"basedOn": [{"reference": "ServiceRequest/o1"}]}

LINKAGES: Mapping[str, tuple[Json, ...]] = {
    # Where a link joins, the dates alone would keep the records apart.
    "accession number": (
        study(**ACCESSION),
        report(**ACCESSION, effectiveDateTime="2025-11-13"),
        procedure(**ACCESSION, performedDateTime="2025-11-07"),
        order(**ACCESSION, authoredOn="2025-12-01"),
    ),
    "accession number of a logical order": (
        study(basedOn=[{"identifier": ACCESSION_NUMBER}]),
        report(basedOn=[{"identifier": ACCESSION_NUMBER}], effectiveDateTime="2025-11-13"),
        procedure(**ACCESSION, performedDateTime="2025-11-07"),
        order(**ACCESSION, authoredOn="2025-12-01"),
    ),
    "DICOM study UID": (
        study(**STUDY_UID),
        report(imagingStudy=[{"identifier": UID}], effectiveDateTime=None),
        procedure(
            identifier=[{"system": "urn:dicom:uid", "value": "1.2.840.7"}],
            performedDateTime="2025-11-07",
        ),
        order(**STUDY_UID),
    ),
    "filler number": (
        study(**FILLER),
        report(**FILLER, effectiveDateTime="2025-11-13"),
        procedure(**FILLER, performedDateTime="2025-11-07"),
        order(**FILLER),
    ),
    "basedOn": (
        study(**ON_ORDER),
        report(**ON_ORDER, effectiveDateTime="2025-11-13"),
        procedure(**ON_ORDER, performedDateTime="2025-11-12"),
        order(),
    ),
    "imagingStudy": (
        study(),
        report(imagingStudy=[{"reference": "ImagingStudy/s1"}], effectiveDateTime="2025-11-13"),
        procedure(),
        order(),
    ),
    "procedureReference": (
        study(procedureReference={"reference": "Procedure/p1"}),
        report(),
        procedure(performedDateTime="2025-11-07"),
        order(),
    ),
    "Procedure.report": (
        study(),
        report(),
        procedure(report=[{"reference": "DiagnosticReport/r1"}], performedDateTime="2025-11-07"),
        order(),
    ),
    "a chain": (
        study(procedureReference={"reference": "Procedure/p1"}),
        report(imagingStudy=[{"reference": "ImagingStudy/s1"}], effectiveDateTime="2025-11-13"),
        procedure(performedDateTime="2025-11-07", **ON_ORDER),
        order(),
    ),
    "the same day only": (study(), report(), procedure(), order()),
    "the same day, order not closed": (study(), report(), procedure(), order(status="active")),
}

UUIDS = {
    "ImagingStudy/s1": "urn:uuid:00000000-0000-4000-8000-000000000001",
    "DiagnosticReport/r1": "urn:uuid:00000000-0000-4000-8000-000000000002",
    "Procedure/p1": "urn:uuid:00000000-0000-4000-8000-000000000003",
    "ServiceRequest/o1": "urn:uuid:00000000-0000-4000-8000-000000000004",
}
ADDRESSES: Mapping[str, Mapping[str, str]] = {
    "relative": {},
    "absolute": {ref: f"https://ehr.example/fhir/{ref}" for ref in UUIDS},
    "versioned": {ref: f"{ref}/_history/3" for ref in UUIDS},
    "urn:uuid": UUIDS,
}


def history_of_entries(records: tuple[Json, ...], addresses: Mapping[str, str]) -> ImagingHistory:
    """Return the history of a Bundle whose entries have addresses and refer to each other so."""
    text = json.dumps([{"resource": record} for record in records])
    for ref, address in addresses.items():
        text = text.replace(f'"reference": "{ref}"', f'"reference": "{address}"')
    entries = json.loads(text)
    for entry in entries:
        ref = f"{entry['resource']['resourceType']}/{entry['resource']['id']}"
        entry["fullUrl"] = addresses.get(ref, f"https://ehr.example/fhir/{ref}")
    return history_in(chart_from(source({"resourceType": "Bundle", "entry": entries})))


@pytest.mark.parametrize("style", ADDRESSES)
@pytest.mark.parametrize("linkage", LINKAGES)
def test_four_records_of_one_exam_are_one_prior_in_every_order(linkage: str, style: str) -> None:
    found = {
        history_of_entries(records, ADDRESSES[style]) for records in permutations(LINKAGES[linkage])
    }

    (history,) = found
    (exam,) = history.exams
    assert ("ImagingStudy/s1", "DiagnosticReport/r1", "Procedure/p1", "ServiceRequest/o1") == (
        exam.sources
    )
    assert ("2025-11-10", "started", ()) == (exam.when.text, exam.when.element, history.in_flight)


@pytest.mark.parametrize("linkage", LINKAGES)
def test_each_record_left_out_changes_the_sources_and_not_the_number(linkage: str) -> None:
    for left_out in ("DiagnosticReport/r1", "ServiceRequest/o1"):
        records = [r for r in LINKAGES[linkage] if left_out != f"{r['resourceType']}/{r['id']}"]
        exams = history_of(*records).exams

        if linkage not in {"procedureReference", "Procedure.report"}:
            assert 1 == len(exams)
        assert left_out not in {ref for exam in exams for ref in exam.sources}


def contained(kind: str, **elements: object) -> list[Json]:
    """Return a contained resource that every record may have: `#1`."""
    return [{"resourceType": kind, "id": "1", **elements}]


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(
            report(
                basedOn=[{"reference": "#1"}],
                contained=contained("ServiceRequest", **ACCESSION),
                effectiveDateTime="2025-11-13",
            ),
            id="order with the accession number",
        ),
        pytest.param(
            report(
                imagingStudy=[{"reference": "#1"}],
                contained=contained("ImagingStudy", **STUDY_UID),
                effectiveDateTime="2025-11-13",
            ),
            id="study with the UID",
        ),
        pytest.param(
            procedure(
                basedOn=[{"reference": "#1"}],
                contained=contained("ServiceRequest", identifier=[{"system": "u:p", "value": "7"}]),
                performedDateTime="2025-11-12",
            ),
            id="order with the placer number",
        ),
    ],
)
def test_what_a_record_contains_links_it(raw: Json) -> None:
    records = (
        study(identifier=[ACCESSION_NUMBER, UID], **ON_ORDER),
        raw,
        order(identifier=[{"system": "u:p", "value": "7"}]),
    )

    for entries in permutations(records):
        (exam,) = history_of(*entries).exams
        assert 3 == len(exam.sources)


def test_contained_resources_of_the_same_name_are_not_the_same() -> None:
    link = {"imagingStudy": [{"reference": "#1"}], "contained": contained("ImagingStudy")}
    other = {"report": [{"reference": "#1"}], "basedOn": [{"reference": "#1"}]}

    history = history_of(
        report(**link),
        report(id="r2", effectiveDateTime="2025-06-01", **link),
        procedure(performedDateTime="2025-02-01", **other),
        study(started="2025-01-01", procedureReference={"reference": "#1"}),
    )

    assert ["2025-11-10", "2025-06-01", "2025-02-01", "2025-01-01"] == [
        exam.when.text for exam in history.exams
    ]


def test_a_report_is_dated_by_the_study_that_it_contains() -> None:
    """§2.2: effective, then imagingStudy.started, then issued as a bound."""
    raw = report(
        effectiveDateTime=None,
        imagingStudy=[{"reference": "#1"}],
        contained=contained("ImagingStudy", started="2025-11-08"),
    )

    (exam,) = history_of(raw).exams

    assert ("2025-11-08", "imagingStudy.started") == (exam.when.text, exam.when.element)
