"""Synthetic patients in memory, searched the way a FHIR R4 server searches.

Source: FHIR R4 search, https://hl7.org/fhir/R4/search.html, as far as real EHRs support it for
the resource types that this service reads.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

from cds_service.fhir_dates import DateInterval, parse_fhir_date
from cds_service.json_schemas import is_array, is_object

_ZONE = ZoneInfo("UTC")
_PREFIXES = frozenset({"eq", "ge", "gt", "le", "lt"})
_CONTROL = frozenset({"_sort", "_count", "_format", "_offset"})

# Resource type → search parameter → elements it looks at.
_DATES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "AllergyIntolerance": {"date": ("recordedDate",)},
    "Condition": {
        "onset-date": ("onsetDateTime", "onsetPeriod"),
        "recorded-date": ("recordedDate",),
    },
    "DiagnosticReport": {"date": ("effectiveDateTime", "effectivePeriod"), "issued": ("issued",)},
    "Encounter": {"date": ("period",)},
    "ImagingStudy": {"started": ("started",)},
    "MedicationRequest": {"authoredon": ("authoredOn",)},
    "Observation": {"date": ("effectiveDateTime", "effectivePeriod", "effectiveInstant")},
    "Procedure": {"date": ("performedDateTime", "performedPeriod")},
    "ServiceRequest": {
        "authored": ("authoredOn",),
        "occurrence": ("occurrenceDateTime", "occurrencePeriod"),
    },
}
_TOKENS: Mapping[str, Mapping[str, str]] = {
    "AllergyIntolerance": {"clinical-status": "clinicalStatus", "code": "code"},
    "Condition": {"category": "category", "clinical-status": "clinicalStatus", "code": "code"},
    "Device": {"status": "status", "type": "type"},
    "DiagnosticReport": {"category": "category", "code": "code", "status": "status"},
    "Encounter": {"status": "status"},
    "ImagingStudy": {"status": "status"},
    "MedicationRequest": {"code": "medicationCodeableConcept", "status": "status"},
    "Observation": {"category": "category", "code": "code", "status": "status"},
    "Procedure": {"category": "category", "code": "code", "status": "status"},
    "ServiceRequest": {"category": "category", "code": "code", "status": "status"},
}
_NO_SUBJECT = frozenset({"AllergyIntolerance", "Device", "Patient"})
"""Types that R4 searches by `patient` only, or not by patient at all."""


class UnusableParameter(ValueError):
    """A search parameter that is not supported here, or a value that it cannot have."""


class FixtureStore:
    """Resources of synthetic patients by type and id, with references as a server keeps them."""

    def __init__(self, bundles: Iterable[object]) -> None:
        """Take in Bundles of any type, transactions included, and single resources."""
        self._by_type: dict[str, dict[str, dict[str, object]]] = {}
        for bundle in bundles:
            self._take_in(bundle)

    @classmethod
    def of_folder(cls, folder: Path) -> "FixtureStore":
        """Read every JSON file of `folder/patients`, or of the folder itself without one.

        Raises json.JSONDecodeError, with the name of the file as a note.
        """
        patients = folder / "patients"
        files = sorted((patients if patients.is_dir() else folder).glob("*.json"))
        return cls(map(_read_json, files))

    @property
    def types(self) -> tuple[str, ...]:
        """Resource types held, in alphabetical order."""
        return tuple(sorted(self._by_type))

    def read(self, resource_type: str, resource_id: str) -> Mapping[str, object] | None:
        """Return one resource."""
        return self._by_type.get(resource_type, {}).get(resource_id)

    def search(
        self, resource_type: str, query: Iterable[tuple[str, str]], *, ignore_unknown: bool
    ) -> list[Mapping[str, object]]:
        """Return all that match every parameter, sorted by `_sort`; paging is the caller's.

        Raises UnusableParameter for a name that is unknown for this type, unless those are
        ignored, and for a date that is none.
        """
        found: list[Mapping[str, object]] = list(self._by_type.get(resource_type, {}).values())
        for name, value in query:
            if name not in search_parameters(resource_type):
                if not ignore_unknown:
                    msg = f"Unknown search parameter {name} for resource type {resource_type}"
                    raise UnusableParameter(msg)
                continue
            if name == "_sort":
                found = _sorted(found, resource_type, value, ignore_unknown=ignore_unknown)
            elif name not in _CONTROL:
                is_match = _test_of(resource_type, name, value)
                found = [resource for resource in found if is_match(resource)]
        return found

    def _take_in(self, bundle: object) -> None:
        entries = [e for e in _entries(bundle) if is_object(e) and e.get("resource")]
        resources = [json.loads(json.dumps(e["resource"])) for e in entries]
        new_names = {}
        for entry, resource in zip(entries, resources, strict=True):
            full_url = str(entry.get("fullUrl", ""))
            held = self._by_type.setdefault(resource["resourceType"], {})
            name = full_url.removeprefix("urn:uuid:").rpartition("/")[2]
            resource.setdefault("id", name or f"x{len(held) + 1}")
            held[resource["id"]] = resource
            new_names[full_url] = f"{resource['resourceType']}/{resource['id']}"
        for resource in resources:
            _rewrite_references(resource, new_names)


def search_parameters(resource_type: str) -> Mapping[str, str]:
    """Return the search parameters that a type has here, with their FHIR type."""
    subjects = {"patient"} if resource_type in _NO_SUBJECT else {"patient", "subject"}
    if resource_type == "Patient":
        subjects = set()
    return {
        **dict.fromkeys(_CONTROL, "special"),
        **dict.fromkeys(subjects, "reference"),
        **dict.fromkeys(_DATES.get(resource_type, {}), "date"),
        **dict.fromkeys(_TOKENS.get(resource_type, {}), "token"),
        "_id": "token",
    }


def _read_json(file: Path) -> object:
    try:
        value: object = json.loads(file.read_bytes())
    except json.JSONDecodeError as error:
        error.add_note(f"in {file.name}")
        raise
    return value


def _entries(bundle: object) -> list[object]:
    if not is_object(bundle):
        return []
    if bundle.get("resourceType") != "Bundle":
        return [{"resource": bundle}]
    entries = bundle.get("entry")
    return entries if is_array(entries) else []


def _rewrite_references(node: object, new_names: Mapping[str, str]) -> None:
    """Put `Type/id` for the `urn:uuid:` references of a transaction, as a server does."""
    if is_object(node):
        reference = node.get("reference")
        if isinstance(reference, str) and reference.startswith("urn:"):
            node["reference"] = new_names.get(reference, reference)
        for member in node.values():
            _rewrite_references(member, new_names)
    elif is_array(node):
        for member in node:
            _rewrite_references(member, new_names)


def _test_of(resource_type: str, name: str, value: str) -> Callable[[Mapping[str, object]], bool]:
    """Return the test that a search parameter stands for."""
    if name == "_id":
        ids = value.split(",")
        return lambda resource: resource.get("id") in ids
    if name in ("patient", "subject"):
        wanted = value.removeprefix("Patient/")
        return lambda resource: _patient_of(resource) == wanted
    if elements := _DATES.get(resource_type, {}).get(name):
        return _date_test(elements, value)
    element = _TOKENS[resource_type][name]
    return lambda resource: any(
        _is_token(token, resource.get(element)) for token in value.split(",")
    )


def _patient_of(resource: Mapping[str, object]) -> str:
    """Return the id of the patient a resource points at, whatever form the reference has."""
    subject = resource.get("subject") or resource.get("patient")
    reference = subject.get("reference") if is_object(subject) else None
    kind, _, name = str(reference).partition("/_history/")[0].rpartition("/")
    return name if kind.rpartition("/")[2] == "Patient" else ""


def _is_token(token: str, value: object) -> bool:
    """Tell whether `code`, `system|code`, `system|` or `|code` fits a code or CodeableConcept."""
    system, bar, code = token.rpartition("|")
    if isinstance(value, str):
        return value == code
    if is_array(value):
        return any(_is_token(token, member) for member in value)
    codings = value.get("coding") if is_object(value) else None
    return is_array(codings) and any(
        is_object(c)
        and (not bar or str(c.get("system", "")) == system)
        and (not code or c.get("code") == code)
        for c in codings
    )


def _date_test(elements: tuple[str, ...], value: str) -> Callable[[Mapping[str, object]], bool]:
    prefix = value[:2] if value[:2] in _PREFIXES else "eq"
    asked = parse_fhir_date(value.removeprefix(prefix), _ZONE)
    if asked is None or asked.earliest is None:
        msg = "A date parameter needs a date, with eq, ge, gt, le or lt before it."
        raise UnusableParameter(msg)
    low, high = asked.earliest, asked.latest

    def is_match(resource: Mapping[str, object]) -> bool:
        when = _when(resource, elements)
        if when is None:
            return False
        earliest = when.earliest or date.min
        return {
            "eq": low <= earliest and when.latest <= high,
            "ge": when.latest >= low,
            "gt": when.latest > high,
            "le": earliest <= high,
            "lt": earliest < low,
        }[prefix]

    return is_match


def _when(resource: Mapping[str, object], elements: tuple[str, ...]) -> DateInterval | None:
    """Return the days that the first element present stands for; a Period may be open."""
    for element in elements:
        value = resource.get(element)
        if is_object(value):
            start = parse_fhir_date(value.get("start"), _ZONE)
            end = parse_fhir_date(value.get("end"), _ZONE)
            known = start or end
            if known is not None:
                return DateInterval(
                    start.earliest if start else None,
                    end.latest if end else date.max,
                    known.precision,
                )
        elif (day := parse_fhir_date(value, _ZONE)) is not None:
            return day
    return None


def _sorted(
    resources: list[Mapping[str, object]], resource_type: str, order: str, *, ignore_unknown: bool
) -> list[Mapping[str, object]]:
    """Sort by one date parameter, `-` for newest first; what has no date comes last."""
    name = order.removeprefix("-")
    elements = _DATES.get(resource_type, {}).get(name)
    if elements is None:
        if ignore_unknown:
            return resources
        msg = f"Cannot sort {resource_type} by {name}"
        raise UnusableParameter(msg)
    dated = [(when.latest, r) for r in resources if (when := _when(r, elements)) is not None]
    dated.sort(key=lambda pair: pair[0], reverse=order.startswith("-"))
    undated: Iterator[Mapping[str, object]] = (r for r in resources if _when(r, elements) is None)
    return [resource for _, resource in dated] + list(undated)
