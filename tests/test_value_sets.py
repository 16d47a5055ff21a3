"""Value sets: membership by code, the aliases of code systems, and files that are refused."""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from cds_service.errors import KnowledgeError
from cds_service.records import Coding
from cds_service.value_sets import (
    CPT,
    DICOM,
    ICD_10_CM,
    ICD_10_PCS,
    LOINC,
    RXNORM,
    SNOMED_CT,
    ValueSets,
    canonical_system,
)

FOLDER = Path(__file__).parent.parent / "hooks" / "lumbar-mri" / "value_sets"
EXTENSION = "https://lumbar-mri-cds.example/fhir/StructureDefinition/"
SYSTEMS = {
    "ICD-10-CM": ICD_10_CM,
    "ICD-10-PCS": ICD_10_PCS,
    "SNOMED CT": SNOMED_CT,
    "LOINC": LOINC,
    "RxNorm": RXNORM,
    "CPT": CPT,
    "DICOM": DICOM,
}


@pytest.fixture(scope="module")
def sets() -> ValueSets:
    return ValueSets.load(FOLDER)


def a_set(set_id: str = "pain", **changes: object) -> dict[str, object]:
    """Return a value set file that has nothing wrong with it, but for the changes."""
    return {
        "resourceType": "ValueSet",
        "id": set_id,
        "url": f"https://lumbar-mri-cds.example/fhir/ValueSet/{set_id}",
        "title": "Pain",
        "compose": {"include": [{"system": SNOMED_CT, "concept": [{"code": "22253000"}]}]},
        **changes,
    }


def loaded(folder: Path, *contents: Mapping[str, object]) -> ValueSets:
    """Write the contents as files named after their ids, and load them."""
    for content in contents:
        path = folder / f"{str(content['id']).removesuffix('!')}.json"
        path.write_text(json.dumps(content), "utf-8")
    return ValueSets.load(folder)


def including(*includes: Mapping[str, object]) -> dict[str, object]:
    return a_set(compose={"include": list(includes)})


def with_extension(kind: str, **value: str) -> dict[str, object]:
    return a_set(extension=[{"url": EXTENSION + kind, **value}])


def test_every_file_of_the_folder_is_a_set(sets: ValueSets) -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == sets.ids


def test_every_code_of_the_provenance_list_is_in_its_set(sets: ValueSets) -> None:
    rows = csv.DictReader(io.StringIO((FOLDER / "PROVENANCE.csv").read_text("utf-8")))
    codes = [
        (row["valueset"], SYSTEMS[row["system"]], row["code_or_filter"].removeprefix("is-a "))
        for row in rows
        if row["system"] in SYSTEMS
    ]
    missed = [
        (set_id, code)
        for set_id, system, code in codes
        if set_id not in sets.sets_of(system, code.removeprefix("regex ").replace(".*", "7ZZ"))
    ]

    assert len(codes) > 950
    assert [] == missed


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        ("http://hl7.org/fhir/sid/icd-10-cm", ICD_10_CM),
        ("HTTP://HL7.org/fhir/sid/ICD-10-CM/", ICD_10_CM),
        ("urn:oid:2.16.840.1.113883.6.90", ICD_10_CM),
        ("2.16.840.1.113883.6.90", ICD_10_CM),
        ("http://hl7.org/fhir/sid/icd-10", ICD_10_CM),
        ("urn:oid:2.16.840.1.113883.6.4", ICD_10_PCS),
        ("https://snomed.info/sct", SNOMED_CT),
        ("http://snomed.info/sct/731000124108", SNOMED_CT),
        ("http://snomed.info/sct/900000000000207008/version/20240101", SNOMED_CT),
        ("URN:OID:2.16.840.1.113883.6.96", SNOMED_CT),
        ("http://loinc.org/", LOINC),
        ("urn:oid:2.16.840.1.113883.6.1", LOINC),
        ("urn:oid:2.16.840.1.113883.6.88", RXNORM),
        ("http://www.ama-assn.org/go/cpt", CPT),
        ("urn:oid:2.16.840.1.113883.6.12", CPT),
        ("urn:oid:1.2.840.10008.2.16.4", DICOM),
        (" http://loinc.org ", LOINC),
    ],
)
def test_code_system_is_known_by_its_aliases(given: str, canonical: str) -> None:
    assert canonical == canonical_system(given)


@pytest.mark.parametrize(
    "system",
    [
        "urn:oid:1.2.840.114350.1.13.0.1.7.2.696580",
        "http://hl7.org/fhir/sid/icd-9-cm",
        "http://snomed.info/sct-extra",
        "",
    ],
)
def test_other_code_system_is_left_as_it_is(system: str) -> None:
    assert system == canonical_system(system)


@pytest.mark.parametrize("code", ["M54.5", "M545", "m54.50", "M5450", "M54.5-", " M54.59 "])
def test_icd_10_cm_code_is_found_by_prefix_with_and_without_dot(sets: ValueSets, code: str) -> None:
    assert "low-back-pain" in sets.sets_of(ICD_10_CM, code)


@pytest.mark.parametrize("code", ["M54", "M5", "", "M53.5", "XM54.5"])
def test_icd_10_cm_parent_or_sibling_is_no_member(sets: ValueSets, code: str) -> None:
    assert frozenset() == sets.sets_of(ICD_10_CM, code)


def test_icd_10_pcs_code_is_found_by_its_prefix(sets: ValueSets) -> None:
    assert {"lumbar-surgery-procedures"} == sets.sets_of(ICD_10_PCS, "0SG00A0")
    assert frozenset() == sets.sets_of(ICD_10_PCS, "0SG6070")


def test_exact_systems_have_no_prefixes(sets: ValueSets) -> None:
    assert {"lumbar-mri-without", "lumbar-mri-any"} == sets.sets_of(CPT, "72148")
    assert frozenset() == sets.sets_of(CPT, "721481")


def test_member_of_an_imported_set_is_member_of_the_importing_one(sets: ValueSets) -> None:
    assert {"hiv", "immunosuppression"} == sets.sets_of(ICD_10_CM, "B20")


def test_code_without_system_is_in_no_set_but_for_the_modality(sets: ValueSets) -> None:
    assert frozenset() == sets.sets_of("", "M54.5")
    assert frozenset() == sets.sets_of("  ", "72148")
    assert {"mr-modality"} == sets.sets_of("", "MR")


def test_placeholder_of_a_set_of_words_is_no_code(sets: ValueSets) -> None:
    system = "https://lumbar-mri-cds.example/fhir/CodeSystem/text-only"

    assert frozenset() == sets.sets_of(system, "night-pain")
    assert () == sets.concepts("night-pain")


def test_codes_stand_in_file_order(tmp_path: Path) -> None:
    concepts = [{"code": "72149", "display": "with"}, {"code": "72148"}]
    sets = loaded(tmp_path, including({"system": CPT, "concept": concepts}))

    assert (Coding(CPT, "72149", "with"), Coding(CPT, "72148")) == sets.concepts("pain")


def test_title_and_patterns_come_from_the_file(sets: ValueSets) -> None:
    assert "Cauda equina syndrome / compression" == sets.title("cauda-equina")
    assert sets.patterns("creatinine-labs") is None


def test_words_of_imported_sets_speak_for_the_importing_one(sets: ValueSets) -> None:
    assert {
        "lumbar-mri-without",
        "lumbar-mri-with",
        "lumbar-mri-without-and-with",
        "lumbar-mri-unspecified",
        "lumbar-mri-multiregion",
    } == set(sets.pattern_sets("lumbar-mri-any"))
    assert ("cauda-equina",) == sets.pattern_sets("cauda-equina")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (a_set("pain!"), "id: is 'pain!', not the file name"),
        (a_set(title=" "), "title: is missing"),
        (a_set(resourceType="CodeSystem"), "resourceType: expected a FHIR ValueSet"),
        (a_set(compose=None), "compose: expected `include` and nothing else"),
        (
            a_set(compose={"include": [], "exclude": []}),
            "compose: expected `include` and nothing else",
        ),
        (including({"system": SNOMED_CT}), "compose.include[0]: the combination of system is"),
        (
            including({"system": "urn:oid:2.16.840.1.113883.6.96", "concept": [{"code": "1"}]}),
            "compose.include[0].system: write http://snomed.info/sct",
        ),
        (
            including({"system": SNOMED_CT, "concept": [{"display": "Pain"}]}),
            "compose.include[0].concept[0]: has no code",
        ),
        (
            including({"system": ICD_10_CM, "concept": [{"code": "54.5"}]}),
            "compose.include[0].concept[0]: '54.5' is no ICD-10-CM code",
        ),
        (
            including(
                {
                    "system": SNOMED_CT,
                    "filter": [{"property": "concept", "op": "is-a", "value": "22253000"}],
                }
            ),
            "concept is-a 22253000 on http://snomed.info/sct is not understood",
        ),
        (
            including(
                {
                    "system": ICD_10_PCS,
                    "filter": [{"property": "code", "op": "regex", "value": "0SG[01].*"}],
                }
            ),
            "code regex 0SG[01].* on http://www.cms.gov/Medicare/Coding/ICD10 is not understood",
        ),
        (
            including(
                {
                    "system": ICD_10_CM,
                    "filter": [
                        {"property": "concept", "op": "is-a", "value": "M54"},
                        {"property": "concept", "op": "is-a", "value": "M54.5"},
                    ],
                }
            ),
            "compose.include[0].filter: several filters in one include are not understood",
        ),
        (
            including({"valueSet": ["https://lumbar-mri-cds.example/fhir/ValueSet/gone"]}),
            "no file has the url https://lumbar-mri-cds.example/fhir/ValueSet/gone",
        ),
        (
            including({"valueSet": ["https://a.example/one", "https://a.example/two"]}),
            "several sets in one include mean what they share; write one include each",
        ),
        (with_extension("text-pattern-include", valueString="(pain"), "extension[0]: missing )"),
        (
            with_extension("text-pattern-include", valueString="pain.*back"),
            "extension[0]: has a repeat without upper bound",
        ),
        (
            with_extension("text-pattern-exclude", valueString="pain"),
            "extension: how text is read, but no include pattern",
        ),
        (
            with_extension("text-reading-option", valueCode="loud"),
            "extension[0]: 'loud' is not a valid ReadingOption",
        ),
        (with_extension("text-patern-include"), "extension[0]: text-patern-include is not"),
    ],
)
def test_file_that_is_not_understood_is_refused(
    tmp_path: Path, content: dict[str, object], problem: str
) -> None:
    with pytest.raises(KnowledgeError) as refused:
        loaded(tmp_path, content)

    assert f"value_sets/pain.json: {problem}" in str(refused.value) or (
        str(refused.value).startswith("value_sets/pain.json: ") and problem in str(refused.value)
    )


def test_all_problems_are_told_together(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{", "utf-8")
    with pytest.raises(KnowledgeError) as refused:
        loaded(tmp_path, a_set(title=""), a_set("other", compose={}))

    assert 3 == len(refused.value.problems)
    assert refused.value.problems[0].startswith("value_sets/broken.json: not JSON: ")


def test_sets_that_import_one_another_are_refused(tmp_path: Path) -> None:
    one = a_set("one", compose={"include": [{"valueSet": [a_set("two")["url"]]}]})
    two = a_set("two", compose={"include": [{"valueSet": [a_set("one")["url"]]}]})
    with pytest.raises(KnowledgeError, match="imports itself in a circle"):
        loaded(tmp_path, one, two)


def test_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KnowledgeError, match=r"no \.json file"):
        ValueSets.load(tmp_path)
