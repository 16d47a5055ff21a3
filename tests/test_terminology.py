"""Terminology: codes first, then words; any JSON is taken; nothing outlives the call."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds_service.findings import Strength
from cds_service.records import NO_CONCEPT, Coding, Concept
from cds_service.terminology import Said, Terminology, _Readings
from cds_service.text.reading import TextState, read_text
from cds_service.value_sets import ICD_10_CM, LOINC, SNOMED_CT, ValueSets

TOPIC = Path(__file__).parent.parent / "hooks" / "lumbar-mri"
SETS = ValueSets.load(TOPIC / "value_sets")
TERMS = Terminology(SETS)
LBP = {"system": ICD_10_CM, "code": "M54.50", "display": "Low back pain, unspecified"}
LOCAL = {"system": "urn:oid:1.2.840.114350.1.13.0.1.7.2.1", "code": "77", "display": "Sciatica"}


@pytest.mark.parametrize(
    "raw",
    [
        {"coding": [LBP]},
        {"coding": LBP},
        LBP,
        [{"coding": [LBP]}],
        {"concept": {"coding": [LBP]}},
        {"coding": [None, "x", LOCAL, LBP]},
        {"coding": [{"system": "urn:oid:2.16.840.1.113883.6.90", "code": "m5450"}]},
    ],
    ids=["R4", "one coding", "bare", "list", "R5 reference", "local first", "OID"],
)
def test_concept_is_recognised_in_every_shape(raw: object) -> None:
    assert {"low-back-pain"} == TERMS.concept(raw).sets


@pytest.mark.parametrize(
    "raw", ["Sciatica", {"text": "Sciatica"}, {"concept": {"text": "Sciatica"}}]
)
def test_text_of_a_concept_is_kept(raw: object) -> None:
    assert Concept(text="Sciatica") == TERMS.concept(raw)


@pytest.mark.parametrize(
    "raw", [None, 7, True, [], {}, {"coding": 3}, {"coding": [{}]}, {"text": 1}]
)
def test_what_is_no_concept_is_an_empty_one(raw: object) -> None:
    assert NO_CONCEPT == TERMS.concept(raw)


def test_code_written_as_a_number_is_a_code() -> None:
    concept = TERMS.concept({"coding": [{"system": SNOMED_CT, "code": 279039007}]})

    assert {"low-back-pain"} == concept.sets


def test_code_without_system_is_only_words() -> None:
    concept = TERMS.concept({"coding": [{"code": "M54.5", "display": "Low back pain"}]})

    assert not concept.is_recognised
    assert ("Low back pain",) == TERMS.words_of(concept)


@pytest.mark.parametrize(
    "raw", [{"code": "MR"}, {"system": "urn:oid:1.2.840.10008.2.16.4", "code": "MR"}]
)
def test_modality_is_recognised_with_and_without_system(raw: object) -> None:
    assert {"mr-modality"} == TERMS.concept(raw).sets


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["coding", "text", "concept", "code", "system", "display", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_no_json_stops_the_reading(raw: object) -> None:
    concept = TERMS.concept(raw)

    assert all(isinstance(words, str) for words in TERMS.words_of(concept))
    assert TERMS.in_record(concept, (), "low-back-pain") is None or concept != NO_CONCEPT


@given(st.text(max_size=300))
def test_no_text_stops_the_reading(text: str) -> None:
    terms = TERMS.for_call(2026)
    said = [terms.in_words(text, set_id) for set_id in SETS.ids]

    assert all(each is None or each.words.strip() in text for each in said)


def test_coded_entry_is_strong() -> None:
    concept = TERMS.concept({"coding": [LOCAL, LBP], "text": "Back pain, chronic"})

    assert Said(
        state=TextState.CURRENT,
        strength=Strength.STRONG,
        by="code",
        words="Back pain, chronic",
        code=Coding(ICD_10_CM, "M54.50", "Low back pain, unspecified"),
    ) == TERMS.in_record(concept, (), "low-back-pain")


def test_words_of_a_recognised_entry_are_not_read() -> None:
    concept = TERMS.concept({"coding": [LBP], "text": "sciatica"})

    assert TERMS.in_record(concept, ("foot drop",), "radiculopathy-sciatica") is None
    assert TERMS.in_record(concept, ("foot drop",), "motor-deficit") is None


@pytest.mark.parametrize(
    ("text", "display", "notes", "words"),
    [
        ("sciatica left", "Sciatica", ("h/o sciatica",), "sciatica left"),
        ("leg trouble", "Sciatica", ("h/o sciatica",), "Sciatica"),
        ("leg trouble", "", ("seen today", "sciatica is worse. tired"), "sciatica is worse"),
    ],
    ids=["text first", "then display", "then notes"],
)
def test_words_of_an_unrecognised_entry_are_possible(
    text: str, display: str, notes: tuple[str, ...], words: str
) -> None:
    concept = TERMS.concept({"coding": [{**LOCAL, "display": display}], "text": text})

    assert Said(
        state=TextState.CURRENT, strength=Strength.POSSIBLE, by="text", words=words
    ) == TERMS.in_record(concept, notes, "radiculopathy-sciatica")


def test_words_of_the_order_are_read_beside_codes() -> None:
    concept = TERMS.concept({"coding": [LBP, LOCAL], "text": "r/o cauda equina"})

    assert ("r/o cauda equina", "Sciatica") == TERMS.words_of(concept)


def test_words_of_the_order_are_possible_whatever_they_say() -> None:
    said = TERMS.in_words("no fever, r/o cauda equina", "cauda-equina")

    assert said is not None
    assert (TextState.SUSPECTED, Strength.POSSIBLE, "text") == (said.state, said.strength, said.by)
    assert TERMS.in_words("no fever", "cauda-equina") is None


def test_words_that_name_a_member_set_name_the_importing_one() -> None:
    said = TERMS.in_words("MRI LUMBAR SPINE W/O CONTRAST", "lumbar-mri-any")

    assert said is not None
    assert said.state is TextState.CURRENT


def test_code_of_an_imported_set_speaks_for_the_importing_one() -> None:
    concept = TERMS.concept({"coding": [{"system": LOINC, "code": "30679-5"}]})

    assert TERMS.in_record(concept, (), "lumbar-mri-any") is not None
    assert TERMS.in_record(concept, (), "lumbar-mri-with") is None


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("low back pain", True),
        ("no fever", True),
        ("second opinion", False),
        ("MRI lumbar spine without contrast", False),
        ("", False),
    ],
)
def test_reason_is_known_if_its_words_name_anything_clinical(text: str, *, known: bool) -> None:
    assert known is TERMS.is_known(text)


def test_year_of_the_call_is_not_past() -> None:
    this_year = TERMS.for_call(2026).in_words("foot drop 2026", "motor-deficit")
    next_year = TERMS.for_call(2027).in_words("foot drop 2026", "motor-deficit")

    assert this_year is not None
    assert next_year is not None
    assert (TextState.CURRENT, TextState.HISTORY) == (this_year.state, next_year.state)


def test_nothing_that_was_read_outlives_the_call() -> None:
    secret = "Jane Doe has foot drop"
    call = TERMS.for_call()
    call.in_words(secret, "motor-deficit")
    TERMS.in_words(secret, "motor-deficit")

    assert call._readings is not None
    assert {secret} == set(call._readings.clauses)
    assert TERMS._readings is None
    assert _Readings() == TERMS.for_call()._readings


def state_of(said: Said | None) -> TextState:
    return TextState.NONE if said is None else said.state


def test_passing_over_unrelated_texts_never_changes_what_is_read() -> None:
    texts = [
        row["text"]
        for name in ("text-examples.csv", "text-reading-examples.csv")
        for row in csv.DictReader(io.StringIO((TOPIC / "cases" / name).read_text("utf-8")))
    ]
    terms = TERMS.for_call()
    differing = [
        (text, set_id)
        for text in texts
        for set_id in sorted(SETS.ids)
        if (patterns := SETS.patterns(set_id)) is not None
        and state_of(terms.in_words(text, set_id)) is not read_text(text, patterns).state
    ]

    assert len(texts) > 700
    assert [] == differing
