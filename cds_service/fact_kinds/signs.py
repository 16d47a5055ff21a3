"""What the kinds of the emergency rows share: the fact or its component, names of exams."""

from enum import StrEnum

from cds_service.records import Observation


class SignQuestion(StrEnum):
    """Whether the fact itself is asked for, or only a sign that falls short of it."""

    FACT = "fact"
    COMPONENT = "component"
    """Something of the kind is on record but misses the window or the condition."""


def exam_label(observation: Observation) -> str:
    """Return the name of an examination with its body sites, as sent."""
    sites = " ".join(site.label for site in observation.body_sites)
    return f"{observation.concept.label} {sites}".strip()
