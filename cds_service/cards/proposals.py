"""What suggestions A1–A7 do to the draft order: each proposal with its CDS Hooks action.

An update carries the draft as the EHR sent it, every element equal in value, with only ours
replaced (R-ACT-04). What we write is built with the R4B models. Applying a suggestion and
firing again never returns it (contract, "The answer loop").
Source: decision table §9; CDS Hooks 2.0 Suggestion, Action.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from cds_service.cards.order_writing import (
    Wire,
    built_elements,
    mentions_contrast_beside_code,
    name_of,
    reference_in,
    stands_beside_others,
    written_coding,
)
from cds_service.decision import Decision
from cds_service.fhir import codeable, objects, text_of
from cds_service.fhir_dates import DateInterval
from cds_service.knowledge import Choice, Knowledge, SuggestionRule
from cds_service.names_in_folders import CARE_DAYS, PREGNANT, REFERRAL_CODES
from cds_service.order_reading import INDICATION_SYSTEM
from cds_service.orders import Priority
from cds_service.records import Coding
from cds_service.situations import holds
from cds_service.value_sets import canonical_system

MAX_CHOICES = 4
"""A4 offers no more: each is a button (§9)."""
_REFERRAL, _REFERRAL_REASON = REFERRAL_CODES
_URGENCY = tuple(Priority)
_OTHER_DATES = frozenset(
    {"occurrencePeriod", "occurrenceTiming", "_occurrenceDateTime", "_occurrencePeriod"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """One suggestion before it gets its uuid; `key` names it within the card."""

    key: str
    label: str
    action: Wire
    is_recommended: bool = False

    @property
    def kind(self) -> str:
        """`A1` to `A7`."""
        return self.key.partition(".")[0]

    @property
    def once(self) -> str:
        """What must not stand twice in a card: the key, and any way of deleting the draft."""
        return "delete" if self.action["type"] == "delete" else self.key


def care_start(decision: Decision) -> DateInterval | None:
    """Return when the first reason of the row happened or began."""
    findings = (decision.picture.findings[fact] for fact in decision.rule.supporting_facts)
    return next((f.when for f in findings if f.is_true and f.when is not None), None)


def care_due(knowledge: Knowledge, decision: Decision) -> date | None:
    """Return the first day with enough weeks of care; None if its start is not known.

    None, too, in a folder without this number: the loader lets none of its words ask for it.
    """
    start, needed = care_start(decision), knowledge.thresholds.get(CARE_DAYS)
    if start is None or needed is None:
        return None
    return start.latest + timedelta(days=needed.value)


def care_weeks(knowledge: Knowledge) -> str:
    """Return the weeks of care that the criteria ask for, as a text."""
    needed = knowledge.thresholds.get(CARE_DAYS)
    return str(needed.value // 7) if needed is not None else ""


@dataclass(frozen=True, slots=True)
class Author:
    """Writes proposals for one decision."""

    knowledge: Knowledge
    decision: Decision
    other_drafts: tuple[Mapping[str, object], ...]
    due: date | None
    """When enough weeks of care are reached, if it is known when they began."""

    @property
    def which(self) -> str:
        """Name the draft, where the basket holds others: some EHRs show only the action."""
        return (
            f" – {name_of(self.decision.order)}" if stands_beside_others(self.other_drafts) else ""
        )

    @property
    def draft(self) -> Mapping[str, object]:
        """The draft order as sent."""
        return self.decision.order.resource

    @property
    def draft_ref(self) -> str:
        """`Type/id` of the draft; empty if it has no id, so that nothing can name it."""
        ref = self.decision.order.ref
        return "" if ref.endswith("/?") else ref

    def proposals(self, offered: Iterable[SuggestionRule]) -> Iterator[Proposal]:
        """Yield what can be offered here, in order; all choices stand where the first does."""
        rules = [rule for rule in offered if holds(rule.when, self.decision.situation)]
        has_choices = False
        for rule in rules:
            if rule.kind != "A4":
                proposal = self._proposal(rule)
                if proposal is not None:
                    yield proposal
            elif not has_choices:
                has_choices = True
                codes = [code for r in rules if r.kind == "A4" for code in r.choices]
                yield from self._choices(dict.fromkeys(codes))

    def _proposal(self, rule: SuggestionRule) -> Proposal | None:
        match rule.kind:
            case "A1":
                return self._cancel(rule)
            case "A2":
                return self._other_study(rule)
            case "A3":
                return self._other_contrast(rule)
            case "A5":
                return self._referral(rule)
            case "A6":
                return self._priority(rule)
            case "A7":
                return self._later(rule)
            case _:
                return None

    def _cancel(self, rule: SuggestionRule) -> Proposal | None:
        """A1; lost while a brake or an unreadable source softens the row (§5, notes)."""
        if not self.draft_ref or self.decision.is_softened:
            return None
        key = f"A1.{rule.to}" if rule.to else "A1"
        action: Wire = {
            "type": "delete",
            "description": self._words(f"{key}.action") + self.which,
            "resourceId": self.draft_ref,
        }
        return self._proposed(rule, key, action)

    def _other_study(self, rule: SuggestionRule) -> Proposal | None:
        """A2; every study it can name uses radiation, so none in pregnancy."""
        if self.decision.picture.finding(PREGNANT).is_true:
            return None
        return self._recoded(rule, f"A2.{rule.to}", rule.to)

    def _other_contrast(self, rule: SuggestionRule) -> Proposal | None:
        """A3, unless the order says so already."""
        if self.decision.order.protocol == rule.to:
            return None
        return self._recoded(rule, f"A3.{rule.to}", self.knowledge.order.set_of(rule.to))

    def _recoded(self, rule: SuggestionRule, key: str, set_id: str) -> Proposal | None:
        """Update code and text; the old codes go, or they would still order the old exam."""
        raw = self.draft.get("code")
        if raw is not None and (not isinstance(raw, Mapping) or "concept" in raw):
            return None
        old = objects((raw or {}).get("coding"))
        targets = self.knowledge.wording.suggested_codes.get(set_id, ())
        mentions_contrast = mentions_contrast_beside_code(self.draft)
        codings = [
            written_coding(target, system=system)
            for target in targets
            if (system := _spelling_in(old, target.system))
        ]
        if not codings and targets and (old or mentions_contrast):
            # No system in common, or words that a text alone would not outweigh (§3).
            codings = [written_coding(targets[0])]
        code: Wire = {
            **({"coding": codings} if codings else {}),
            "text": self._words(f"{key}.order"),
        }
        kept = {coding["system"] for coding in codings}
        notes = [self._words(f"{key}.action")]
        if any(text_of(coding.get("system")) not in kept for coding in old):
            notes.append(self._words("codes_removed"))
        if mentions_contrast:
            notes.append(self._words("contrast_elsewhere"))
        return self._update(rule, key, {"code": code}, description=" ".join(notes))

    def _choices(self, codes: Collection[str]) -> Iterator[Proposal]:
        """A4: the choices that would change something, decisive ones first."""
        useful = [code for code in codes if self._would_change(code)]
        for code in sorted(useful, key=self._decisiveness)[:MAX_CHOICES]:
            proposal = self._answer(self.knowledge.wording.choices[code])
            if proposal is not None:
                yield proposal

    def _would_change(self, code: str) -> bool:
        """An answer that is given already, or that could not be heard, is not offered.

        A "no" never unsays a fact that is strong, nor another answer in the same order.
        """
        given = self.decision.order.indications
        if code in given:
            return False
        for fact in self.knowledge.facts:
            if code not in fact.answers:
                continue
            finding = self.decision.picture.findings[fact.id]
            if fact.answers[code]:
                if not finding.is_true:
                    return True
            elif not (
                finding.is_false
                or finding.is_strong
                or any(fact.answers.get(other, False) for other in given)
            ):
                return True
        return False

    def _decisiveness(self, code: str) -> int:
        missing = self.decision.missing
        answered = [f.id for f in self.knowledge.facts if code in f.answers]
        return min((missing.index(f) for f in answered if f in missing), default=len(missing))

    def _answer(self, choice: Choice) -> Proposal | None:
        reasons = self.draft.get("reasonCode", [])
        if not isinstance(reasons, list):
            return None
        reason = {
            "coding": [
                {"system": INDICATION_SYSTEM, "code": choice.code, "display": choice.display}
            ],
            "text": choice.display,
        }
        written = built_elements({"reasonCode": [reason]})
        if written is None or not self.draft_ref:
            return None
        added = written["reasonCode"]
        resource = {
            **self.draft,
            "reasonCode": [*reasons, *(added if isinstance(added, list) else ())],
        }
        description = self._words("A4.action", choice=choice.display) + self.which
        return Proposal(
            key=f"A4.{choice.code}",
            label=choice.label,
            action={"type": "update", "description": description, "resource": resource},
        )

    def _referral(self, rule: SuggestionRule) -> Proposal | None:
        """A5: a new draft for the same patient, unless one is in the basket."""
        codes = self.knowledge.wording.suggested_codes
        if any(self._is_referral(draft, codes[_REFERRAL]) for draft in self.other_drafts):
            return None
        patient = self.decision.picture.context.chart.patient
        # A Patient without id was asked for by id, but cannot be referred to.
        is_named = patient is not None and not patient.ref.endswith("/?")
        subject = patient.ref if patient and is_named else reference_in(self.draft.get("subject"))
        if not subject.startswith("Patient/"):
            return None
        written = built_elements(
            {
                "code": {
                    "coding": list(map(written_coding, codes[_REFERRAL])),
                    "text": self._words("A5.order"),
                },
                "reasonCode": [
                    {
                        "coding": list(map(written_coding, codes[_REFERRAL_REASON])),
                        "text": self._words("A5.reason"),
                    }
                ],
            }
        )
        if written is None:
            return None
        resource = {
            "resourceType": "ServiceRequest",
            "status": "draft",
            "intent": "proposal",
            "subject": {"reference": subject},
            **{
                element: {"reference": reference}
                for element in ("encounter", "requester")
                if (reference := reference_in(self.draft.get(element)))
            },
            **written,
        }
        action: Wire = {
            "type": "create",
            "description": self._words("A5.action"),
            "resource": resource,
        }
        return self._proposed(rule, "A5", action)

    def _is_referral(self, draft: Mapping[str, object], codes: Collection[Coding]) -> bool:
        concept = codeable(draft.get("code")) or {}
        old = objects(concept.get("coding"))
        written = {(coding.system, coding.code) for coding in codes}
        return text_of(concept.get("text")) == self._words("A5.order") or any(
            (canonical_system(text_of(raw.get("system"))), text_of(raw.get("code"))) in written
            for raw in old
        )

    def _priority(self, rule: SuggestionRule) -> Proposal | None:
        """A6, only ever upwards."""
        if _URGENCY.index(self.decision.order.priority) >= _URGENCY.index(Priority(rule.to)):
            return None
        return self._update(
            rule, f"A6.{rule.to}", {"priority": rule.to}, without=frozenset({"_priority"})
        )

    def _later(self, rule: SuggestionRule) -> Proposal | None:
        """A7, unless the order is dated for then, or later, already."""
        if self.due is None:
            return None
        planned = self.decision.order.planned
        if planned is not None and planned >= self.due:
            return None
        return self._update(
            rule, "A7", {"occurrenceDateTime": self.due.isoformat()}, without=_OTHER_DATES
        )

    def _update(
        self,
        rule: SuggestionRule,
        key: str,
        elements: Wire,
        *,
        description: str = "",
        without: frozenset[str] = frozenset(),
    ) -> Proposal | None:
        """Propose the draft with our elements in it; nothing if ours are not valid R4B."""
        written = built_elements(elements)
        if written is None or not self.draft_ref:
            return None
        kept = {name: value for name, value in self.draft.items() if name not in without}
        action: Wire = {
            "type": "update",
            "description": (description or self._words(f"{key}.action")) + self.which,
            "resource": {**kept, **written},
        }
        return self._proposed(rule, key, action)

    def _proposed(self, rule: SuggestionRule, key: str, action: Wire) -> Proposal:
        return Proposal(
            key=key,
            label=self._words(f"{key}.label"),
            action=action,
            is_recommended=rule.is_recommended,
        )

    def _words(self, key: str, *, choice: str = "") -> str:
        """Return a text of `suggestion_labels` with its placeholders filled."""
        return (
            self.knowledge.wording.suggestion_labels[key]
            .replace("{due}", self.due.isoformat() if self.due else "")
            .replace("{weeks}", care_weeks(self.knowledge))
            .replace("{choice}", choice)
        )


def _spelling_in(codings: Collection[Mapping[str, object]], system: str) -> str:
    """Return the EHR's own spelling of a system among its codings, or nothing."""
    spellings = (text_of(raw.get("system")) for raw in codings)
    return next((s for s in spellings if s and canonical_system(s) == system), "")
