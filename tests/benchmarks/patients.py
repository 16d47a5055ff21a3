"""One synthetic patient with ten days of back pain, her chart as long as asked for.

FHIR R4 as EHRs send it: codings of a standard beside a local one, texts, references, category,
interpretation, reference range. Most of it has nothing to do with the back, as in real charts; a
few entries are of the back and old. The same seed and day make the same chart.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import TypeAlias
from zlib import crc32

Resource: TypeAlias = dict[str, object]

PATIENT_ID = "bench-patient"
PAIN_DAYS = 10
SERVER = "https://ehr.example/fhir"

_LOCAL = "urn:oid:1.2.840.114350.1.13.999.2.7.2"
_ICD = "http://hl7.org/fhir/sid/icd-10-cm"
_SNOMED = "http://snomed.info/sct"
_LOINC = "http://loinc.org"
_CPT = "http://www.ama-assn.org/go/cpt"
_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
_SUBJECT = {"reference": f"Patient/{PATIENT_ID}"}
_TEST_DATA: Mapping[str, object] = {
    "tag": [{"system": f"{_TERMINOLOGY}/v3-ActReason", "code": "HTEST"}],
}

_PROBLEMS = (
    ("E03.9", "Hypothyroidism, unspecified"),
    ("I10", "Essential (primary) hypertension"),
    ("E78.5", "Hyperlipidemia, unspecified"),
    ("K21.9", "Gastro-esophageal reflux disease without esophagitis"),
    ("J30.2", "Other seasonal allergic rhinitis"),
    ("G43.909", "Migraine, unspecified, not intractable"),
    ("M17.11", "Unilateral primary osteoarthritis, right knee"),
    ("E55.9", "Vitamin D deficiency, unspecified"),
    ("J06.9", "Acute upper respiratory infection, unspecified"),
    ("H52.13", "Myopia, bilateral"),
    ("L20.9", "Atopic dermatitis, unspecified"),
    ("F41.1", "Generalized anxiety disorder"),
)
_MEASURED = (
    ("8867-4", "Heart rate", "/min", 58.0, 84.0),
    ("8310-5", "Body temperature", "Cel", 36.3, 37.1),
    ("29463-7", "Body weight", "kg", 71.0, 72.0),
    ("59408-5", "Oxygen saturation in arterial blood by pulse oximetry", "%", 96.0, 99.0),
    ("9279-1", "Respiratory rate", "/min", 12.0, 16.0),
    ("2345-7", "Glucose [Mass/volume] in serum or plasma", "mg/dL", 78.0, 99.0),
    ("2951-2", "Sodium [Moles/volume] in serum or plasma", "mmol/L", 137.0, 143.0),
    ("2823-3", "Potassium [Moles/volume] in serum or plasma", "mmol/L", 3.7, 4.8),
    ("718-7", "Hemoglobin [Mass/volume] in blood", "g/dL", 12.4, 14.8),
    ("6690-2", "Leukocytes [#/volume] in blood by automated count", "10*3/uL", 4.6, 9.1),
    ("777-3", "Platelets [#/volume] in blood by automated count", "10*3/uL", 180.0, 330.0),
    ("3016-3", "Thyrotropin [Units/volume] in serum or plasma", "m[IU]/L", 0.9, 3.4),
    ("2089-1", "Cholesterol in LDL [Mass/volume] in serum or plasma", "mg/dL", 84.0, 128.0),
    ("4548-4", "Hemoglobin A1c/Hemoglobin.total in blood", "%", 5.1, 5.6),
    ("17861-6", "Calcium [Mass/volume] in serum or plasma", "mg/dL", 8.9, 10.0),
)
_MEASURED_OF_THE_BACK = (
    ("1988-5", "C reactive protein [Mass/volume] in serum or plasma", "mg/L", 0.4, 2.8),
    ("62238-1", "Glomerular filtration rate (CKD-EPI)", "mL/min/{1.73_m2}", 88.0, 104.0),
    ("72514-3", "Pain severity - 0-10 verbal numeric rating", "{score}", 3.0, 5.0),
)
_ONE_OF_THE_BACK_IN = 25
_STUDIES = (
    ("CR", "71046", "XR CHEST 2 VIEWS"),
    ("MR", "73721", "MRI KNEE RIGHT WITHOUT CONTRAST"),
    ("US", "76700", "US ABDOMEN COMPLETE"),
    ("MG", "77067", "MAMMOGRAM SCREENING BILATERAL"),
    ("CR", "73630", "XR FOOT LEFT 3 VIEWS"),
    ("CT", "70450", "CT HEAD WITHOUT CONTRAST"),
)
_LUMBAR_STUDY = ("MR", "72148", "MRI LUMBAR SPINE WITHOUT CONTRAST")
_CONCLUSION = (
    "FINDINGS: Alignment is normal. No acute osseous abnormality is seen. The soft tissues are "
    "unremarkable. There is mild degenerative change, without progression since the previous "
    "examination. No joint effusion. No suspicious focal lesion. The visualized vessels are of "
    "normal calibre. Technique and quality of the images are adequate for interpretation. "
    "IMPRESSION: 1. No acute abnormality. 2. Mild degenerative change, unchanged from before. "
    "Clinical correlation is recommended; no imaging follow-up is needed."
)
_DONE = (
    ("99213", "Office or other outpatient visit"),
    ("36415", "Collection of venous blood by venipuncture"),
    ("93000", "Electrocardiogram, routine, with interpretation and report"),
    ("45378", "Colonoscopy, flexible; diagnostic"),
    ("90686", "Influenza vaccine, quadrivalent, intramuscular"),
    ("92014", "Ophthalmological examination, established patient"),
)
_ORDERED = (
    ("80053", "Comprehensive metabolic panel"),
    ("85025", "Complete blood count with automated differential"),
    ("80061", "Lipid panel"),
    ("84443", "Thyroid stimulating hormone"),
)
_DRUGS = (
    ("10582", "levothyroxine sodium 75 mcg oral tablet"),
    ("29046", "lisinopril 10 mg oral tablet"),
    ("83367", "atorvastatin 20 mg oral tablet"),
    ("7646", "omeprazole 20 mg delayed release oral capsule"),
    ("41126", "fluticasone 50 mcg nasal spray"),
    ("11253", "cholecalciferol 1000 unit oral tablet"),
)
_ALLERGIES = (("7980", "Penicillin"), ("10831", "Sulfamethoxazole"), ("2670", "Codeine"))


def _coded(system: str, code: str, words: str) -> dict[str, object]:
    """Return a CodeableConcept as a large vendor sends it: local coding first, standard second.

    A vendor has one code of its own for each thing, however often it is measured.
    """
    number = crc32(code.encode())
    local = {"system": f"{_LOCAL}.{number % 9}", "code": str(40_000 + number % 10_000)}
    return {"coding": [local, {"system": system, "code": code, "display": words}], "text": words}


def _category(kind: str, code: str, words: str) -> list[object]:
    coding = {"system": f"{_TERMINOLOGY}/{kind}", "code": code, "display": words}
    return [{"coding": [coding]}]


class ChartBuilder:
    """Builds resources of one patient, each with a number of its own, from one seed."""

    def __init__(self, today: date, seed: int = 0) -> None:
        """`today` is the day on which the pain is ten days old."""
        self._today = today
        self._chance = random.Random(seed)  # noqa: S311  # the same each time
        self._builders: Mapping[str, Callable[[int], Resource]] = {
            "conditions": self._condition,
            "observations": self._observation,
            "imagingStudies": self._study,
            "diagnosticReports": self._report,
            "procedures": self._procedure,
            "serviceRequests": self._order,
            "medicationRequests": self._prescription,
            "allergies": self._allergy,
            "devices": self._device,
        }

    def chart(self, counts: Mapping[str, int]) -> dict[str, list[Resource]]:
        """Return the patient and so many resources for each prefetch key; zero for any other."""
        others = {
            key: [build(number) for number in range(counts.get(key, 0))]
            for key, build in self._builders.items()
        }
        return {"patient": [self.patient()], **others}

    def patient(self) -> Resource:
        """Return the patient: a woman of 45."""
        born = self._today.replace(month=1, day=1).replace(year=self._today.year - 45)
        return {
            "resourceType": "Patient",
            "id": PATIENT_ID,
            "meta": _TEST_DATA,
            "active": True,
            "name": [{"use": "official", "family": "Htest", "given": ["Bernadette"]}],
            "gender": "female",
            "birthDate": born.isoformat(),
            "address": [{"use": "home", "city": "Testhaven", "state": "XX", "country": "US"}],
        }

    def day(self, least: int, most: int) -> str:
        """Return a day between so many days ago."""
        return (self._today - timedelta(days=self._chance.randint(least, most))).isoformat()

    def _of(self, kind: str, number: int, holder: str = "subject") -> Resource:
        return {
            "resourceType": kind,
            "id": f"bench-{kind.lower()}-{number}",
            "meta": {"versionId": "1", "lastUpdated": f"{self._today}T06:00:00Z"},
            holder: _SUBJECT,
        }

    def _visit(self) -> dict[str, object]:
        number = self._chance.randint(100_000, 999_999)
        return {"reference": f"Encounter/bench-visit-{number}"}

    def _doctor(self) -> dict[str, object]:
        number = self._chance.randint(1_000, 9_999)
        return {"reference": f"Practitioner/bench-doctor-{number}"}

    def _condition(self, number: int) -> Resource:
        is_pain = number == 0
        problem = _PROBLEMS[number % len(_PROBLEMS)]
        code, words = ("M54.50", "Low back pain, unspecified") if is_pain else problem
        onset = self.day(PAIN_DAYS, PAIN_DAYS) if is_pain else self.day(400, 4_000)
        confirmed = {"system": f"{_TERMINOLOGY}/condition-ver-status", "code": "confirmed"}
        active = {"system": f"{_TERMINOLOGY}/condition-clinical", "code": "active"}
        return {
            **self._of("Condition", number),
            "clinicalStatus": {"coding": [active]},
            "verificationStatus": {"coding": [confirmed]},
            "category": _category("condition-category", "problem-list-item", "Problem List Item"),
            "code": _coded(_ICD, code, words),
            "encounter": self._visit(),
            "onsetDateTime": onset,
            "recordedDate": onset,
            "recorder": self._doctor(),
        }

    def _observation(self, number: int) -> Resource:
        is_of_the_back = number % _ONE_OF_THE_BACK_IN == 0
        kinds = _MEASURED_OF_THE_BACK if is_of_the_back else _MEASURED
        code, words, unit, low, high = kinds[number % len(kinds)]
        moment = f"{self.day(20, 2_500)}T{8 + number % 9:02}:{number % 60:02}:00Z"
        quantity = {"unit": unit, "system": "http://unitsofmeasure.org", "code": unit}
        normal = {"system": f"{_TERMINOLOGY}/v3-ObservationInterpretation", "code": "N"}
        return {
            **self._of("Observation", number),
            "status": "final",
            "category": _category("observation-category", "laboratory", "Laboratory"),
            "code": _coded(_LOINC, code, words),
            "encounter": self._visit(),
            "effectiveDateTime": moment,
            "issued": moment,
            "performer": [self._doctor()],
            "valueQuantity": {"value": round(self._chance.uniform(low, high), 1), **quantity},
            "interpretation": [{"coding": [normal]}],
            "referenceRange": [{"text": f"{low} - {high}"}],
        }

    def _study(self, number: int) -> Resource:
        modality, code, words = self._exam(number)
        dicom = "http://dicom.nema.org/resources/ontology/DCM"
        uid = f"1.2.840.99999.{number}.{self._chance.randint(10**9, 10**10)}"
        series = [
            {"uid": f"{uid}.{each}", "number": each, "numberOfInstances": 24}
            | {"modality": {"system": dicom, "code": modality}, "description": f"SERIES {each}"}
            for each in (1, 2, 3)
        ]
        return {
            **self._of("ImagingStudy", number),
            "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"}],
            "status": "available",
            "started": f"{self._exam_day(number)}T10:15:00Z",
            "modality": [{"system": dicom, "code": modality}],
            "procedureCode": [_coded(_CPT, code, words)],
            "description": words,
            "numberOfSeries": len(series),
            "series": series,
        }

    def _report(self, number: int) -> Resource:
        _, code, words = self._exam(number)
        moment = f"{self._exam_day(number)}T11:40:00Z"
        return {
            **self._of("DiagnosticReport", number),
            "status": "final",
            "category": _category("v2-0074", "RAD", "Radiology"),
            "code": _coded(_CPT, code, words),
            "encounter": self._visit(),
            "effectiveDateTime": moment,
            "issued": moment,
            "resultsInterpreter": [self._doctor()],
            "conclusion": _CONCLUSION,
        }

    def _exam(self, number: int) -> tuple[str, str, str]:
        """Return modality, CPT code and title; the second exam is a lumbar MRI of years ago."""
        return _LUMBAR_STUDY if number == 1 else _STUDIES[number % len(_STUDIES)]

    def _exam_day(self, number: int) -> str:
        is_lumbar = number == 1
        return (self._today - timedelta(days=2_300 if is_lumbar else 300 + number)).isoformat()

    def _procedure(self, number: int) -> Resource:
        is_therapy = number == 1
        code, words = (
            ("97110", "Therapeutic exercise") if is_therapy else _DONE[number % len(_DONE)]
        )
        return {
            **self._of("Procedure", number),
            "status": "completed",
            "code": _coded(_CPT, code, words),
            "encounter": self._visit(),
            "performedDateTime": self.day(1_500, 1_600) if is_therapy else self.day(200, 3_000),
            "performer": [{"actor": self._doctor()}],
        }

    def _order(self, number: int) -> Resource:
        code, words = _ORDERED[number % len(_ORDERED)]
        return {
            **self._of("ServiceRequest", number),
            "status": "completed",
            "intent": "order",
            "category": [{"coding": [{"system": _SNOMED, "code": "108252007"}], "text": "Lab"}],
            "code": _coded(_CPT, code, words),
            "encounter": self._visit(),
            "authoredOn": f"{self.day(200, 2_000)}T09:00:00Z",
            "requester": self._doctor(),
        }

    def _prescription(self, number: int) -> Resource:
        code, words = _DRUGS[number % len(_DRUGS)]
        rxnorm = "http://www.nlm.nih.gov/research/umls/rxnorm"
        return {
            **self._of("MedicationRequest", number),
            "status": "active",
            "intent": "order",
            "medicationCodeableConcept": _coded(rxnorm, code, words),
            "encounter": self._visit(),
            "authoredOn": self.day(100, 1_500),
            "requester": self._doctor(),
            "dosageInstruction": [{"text": "Take 1 tablet by mouth once daily", "sequence": 1}],
        }

    def _allergy(self, number: int) -> Resource:
        code, words = _ALLERGIES[number % len(_ALLERGIES)]
        active = {"system": f"{_TERMINOLOGY}/allergyintolerance-clinical", "code": "active"}
        rxnorm = "http://www.nlm.nih.gov/research/umls/rxnorm"
        return {
            **self._of("AllergyIntolerance", number, holder="patient"),
            "clinicalStatus": {"coding": [active]},
            "type": "allergy",
            "category": ["medication"],
            "code": _coded(rxnorm, code, words),
            "recordedDate": self.day(500, 4_000),
            "reaction": [{"manifestation": [{"text": "Hives"}], "severity": "mild"}],
        }

    def _device(self, number: int) -> Resource:
        return {
            **self._of("Device", number, holder="patient"),
            "status": "active",
            "type": {"text": "Continuous positive airway pressure device"},
            "manufactureDate": self.day(500, 1_500),
        }


def searchset(resources: Sequence[Resource]) -> dict[str, object]:
    """Return what a FHIR server answers to a search that finds these."""
    entries = [
        {
            "fullUrl": f"{SERVER}/{each['resourceType']}/{each['id']}",
            "resource": each,
            "search": {"mode": "match"},
        }
        for each in resources
    ]
    return {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": len(entries),
        **({"entry": entries} if entries else {}),
    }
