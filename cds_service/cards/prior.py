"""Prior lumbar MRI exams as the contract lists them, and as one line of the detail.

"None found" is never said while a source is unreadable (§7.4). The report is linked only where
the record holds an absolute https address (§7.4, RI1; R-LINK-06).
"""

from collections.abc import Mapping

from cds_service.card_text import https_address
from cds_service.cards.order_writing import Wire
from cds_service.decision import Decision
from cds_service.fact_kinds.prior_imaging import IMAGING_TYPES, prior_of
from cds_service.fhir_dates import DateInterval, Precision
from cds_service.findings import Strength
from cds_service.imaging_history.exams import PriorExam
from cds_service.imaging_history.members import SourceKind
from cds_service.knowledge import Knowledge

_SHOWN = 2


def prior_imaging(decision: Decision) -> list[Wire]:
    """Return one object an exam that was done, newest first; an unknown date is left out."""
    return [
        {
            **({"date": date} if (date := exam.when.fhir) else {}),
            "precision": exam.when.precision.value,
            "contrast": exam.contrast.value,
            "sources": list(exam.sources),
            "outside": exam.is_outside,
        }
        for exam in decision.history.exams
    ]


def prior_line(knowledge: Knowledge, decision: Decision) -> str:
    """Return the newest exams in words, or that none was found, or nothing if not all was read."""
    phrases = knowledge.wording.phrases
    exams = decision.history.exams
    if exams:
        told = "; ".join(_told(phrases, exam) for exam in exams[:_SHOWN])
        more = f"; {phrases['more']}" if len(exams) > _SHOWN else ""
        return f"**{phrases['prior']}:** {told}{more}"
    is_asked_for = set(knowledge.prefetch_types.values()) >= IMAGING_TYPES
    is_read = is_asked_for and IMAGING_TYPES.isdisjoint(decision.picture.unreadable)
    if is_read and not decision.history.uncertain:
        return phrases["prior_none"]
    return ""


def prior_links(knowledge: Knowledge, decision: Decision) -> list[Wire]:
    """Return the link to the report of the exam that a repeat is compared with, if there is one."""
    prior = prior_of(decision.history)
    url = https_address(prior.url) if prior is not None else ""
    if decision.repeat_rule is None or prior is None or not url:
        return []
    label = f"{knowledge.wording.phrases['prior_report']} ({prior.when.text})"
    return [{"label": label, "url": url, "type": "absolute"}]


def _told(phrases: Mapping[str, str], exam: PriorExam) -> str:
    kinds = " + ".join(dict.fromkeys(source.partition("/")[0] for source in exam.sources))
    notes = (
        phrases.get(_dated_by(exam), ""),
        phrases[f"contrast.{exam.contrast.value}"],
        kinds,
        phrases["prior_outside"] if exam.is_outside else "",
        phrases["prior_ordered"] if exam.is_order_only else "",
        phrases["possible"] if exam.strength is Strength.POSSIBLE else "",
    )
    return f"{_date(phrases, exam.when)} ({', '.join(filter(None, notes))})"


def _date(phrases: Mapping[str, str], when: DateInterval) -> str:
    """Return the date in words; a completed order gives the first day that it may be."""
    if when.precision is not Precision.UNKNOWN:
        return when.text
    since = f"{phrases['prior_since']} {when.earliest.isoformat()}" if when.earliest else ""
    return since or phrases["no_date"]


def _dated_by(exam: PriorExam) -> str:
    """Name the phrase that says which date this is, where it is not that of the exam itself."""
    when = exam.when
    givers = {member.kind for member in exam.members if when in member.dates}
    if when.precision is Precision.UNKNOWN or when.element in {"issued", "meta.lastUpdated"}:
        named = when.element
    elif givers == {SourceKind.ORDER}:
        named = "order"
    elif when.precision is Precision.UPPER_BOUND:
        # Only a document has another date that bounds its exam: `date`, or what older releases
        # call `indexed` or `created`.
        named = "document"
    elif when.element.endswith("eriod.end"):
        named = "period.end"
    else:
        named = {Precision.MONTH: "month", Precision.YEAR: "year"}.get(when.precision, "")
    return f"prior_date.{named}"
