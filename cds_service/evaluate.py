"""The clinical story of one call, pure: orders, chart, picture, decision, cards.

The HTTP service, the command line, the demo and the tests all call these two functions.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from itertools import takewhile
from zoneinfo import ZoneInfo

from cds_service.cards.card import cards_for, decision_object
from cds_service.chart.reading import Source, SourceState, read_chart
from cds_service.client_profiles import STANDARD_FORM, CardForm
from cds_service.clinical_picture import ClinicalPicture
from cds_service.decision import Decision, decide
from cds_service.draft_words import words_of_draft
from cds_service.episodes import current_episode
from cds_service.errors import EvidenceUnavailable, TooLarge
from cds_service.fact_kinds import ReadingContext
from cds_service.fhir import Resource, identifier_tokens, objects, reference_of, resource_ref
from cds_service.imaging_history.exams import imaging_history
from cds_service.knowledge import Knowledge
from cds_service.order_reading import read_orders, with_referenced_reasons
from cds_service.orders import DraftOrder, Priority
from cds_service.protocol import DraftEntry, HookRequest, drafts_in_question
from cds_service.records import Chart
from cds_service.site_file import NO_SITE_FILE, SiteFile

MOST_ORDERS = 50
"""More orders of one topic in one basket are a mistake, and would not be judged in time."""

MOST_STATED = 200
"""Entries in one element of a draft, such as reasons or notes: nobody writes more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedOrder:
    """One order: the decision as an object, and both wire forms."""

    decision: Decision
    wire: Mapping[str, object]
    """The decision object of the contract."""
    cards: tuple[Mapping[str, object], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one call comes to, order by order."""

    orders: tuple[JudgedOrder, ...] = ()
    foreign_resources: int = 0
    """Left out because they are of another patient."""

    @property
    def judged(self) -> tuple[Decision, ...]:
        """The decisions as objects."""
        return tuple(order.decision for order in self.orders)

    @property
    def cards(self) -> tuple[Mapping[str, object], ...]:
        """The cards of all orders in wire form."""
        return tuple(card for order in self.orders for card in order.cards)

    @property
    def decisions(self) -> tuple[Mapping[str, object], ...]:
        """The decision objects of the contract."""
        return tuple(order.wire for order in self.orders)


def orders_in_scope(
    knowledge: Knowledge, request: HookRequest, site: SiteFile = NO_SITE_FILE
) -> tuple[DraftOrder, ...]:
    """Return the orders of this topic among those in question: cheap, needs no chart."""
    return _orders_among(knowledge, drafts_in_question(request), request.patient_id, site)


def _orders_among(
    knowledge: Knowledge, drafts: Iterable[DraftEntry], patient_id: str, site: SiteFile
) -> tuple[DraftOrder, ...]:
    return read_orders(
        (draft.resource for draft in drafts),
        patient_id=patient_id,
        definition=knowledge.order,
        terminology=knowledge.terminology.for_call(),
        site_codes=site.for_topic(knowledge.id).order_codes,
    )


def evaluate(
    knowledge: Knowledge,
    request: HookRequest,
    sources: Iterable[Source],
    *,
    today: date,
    zone: ZoneInfo,
    site: SiteFile = NO_SITE_FILE,
    form: CardForm = STANDARD_FORM,
) -> Outcome:
    """Judge every order in scope against what could be read of the patient.

    `form` is what the client can take of a card; it changes no decision.

    Raises EvidenceUnavailable if neither Patient nor Condition data could be had at all, and
    TooLarge for orders or texts of sizes that could not be judged in time.
    """
    orders = orders_in_scope(knowledge, request, site)
    if not orders:
        return Outcome()
    _require_sane_sizes(request, orders, exam_name=knowledge.order.exam_name)
    basket = (
        orders
        if drafts_in_question(request) == request.draft_orders
        else _orders_among(knowledge, request.draft_orders, request.patient_id, site)
    )
    terminology = knowledge.terminology.for_call(today.year)
    drafts = [draft.resource for draft in request.draft_orders]
    chart = read_chart(
        (*sources, _drafted(request)),
        patient_id=request.patient_id,
        draft_refs=frozenset(
            draft.ref
            for draft in request.draft_orders
            if draft.resource.get("resourceType") != "Condition" and not draft.ref.endswith("/?")
        ),
        draft_identifiers=frozenset[str]().union(
            *(identifier_tokens(draft.get("identifier")) for draft in drafts)
        ),
        terminology=terminology,
        zone=zone,
        today=today,
    )
    _require_evidence(knowledge, chart)
    chart = replace(chart, own_orders=_own_orders(drafts, chart))
    history = imaging_history(
        chart,
        definition=knowledge.order,
        terminology=terminology,
        today=today,
        site_codes=site.for_topic(knowledge.id).exam_codes,
        inflight_days=knowledge.order.inflight_days,
    )
    draft_words = tuple(words_of_draft(draft, terminology) for draft in drafts)
    judged = tuple(
        _judged(
            knowledge,
            ReadingContext(
                chart=chart,
                order=order,
                today=today,
                terminology=terminology,
                episode=current_episode(knowledge.episode, chart, order, terminology, today),
                findings={},
                exam_name=knowledge.order.exam_name,
                history=history,
                preferred_drafts=_instead(order, basket, chart),
                other_drafts=tuple(
                    words
                    for draft, words in zip(drafts, draft_words, strict=True)
                    if draft is not order.resource
                ),
            ),
        )
        for order in (with_referenced_reasons(o, chart, terminology) for o in orders)
    )
    return Outcome(
        orders=tuple(
            JudgedOrder(
                decision=decision,
                wire=decision_object(knowledge, decision),
                cards=tuple(
                    cards_for(
                        knowledge,
                        decision,
                        # Two services may be called in one hook instance, with cards of their own.
                        hook_instance=f"{request.service_id}|{request.hook_instance}",
                        other_drafts=[d for d in drafts if d is not decision.order.resource],
                        form=form,
                    )
                ),
            )
            for decision in judged
        ),
        foreign_resources=chart.foreign,
    )


def _require_sane_sizes(
    request: HookRequest, orders: Collection[DraftOrder], *, exam_name: str
) -> None:
    if len(orders) > MOST_ORDERS:
        raise TooLarge(f"More than {MOST_ORDERS} orders in one call: {exam_name}.")
    for draft in request.draft_orders:
        for element in draft.resource.values():
            if isinstance(element, list) and len(element) > MOST_STATED:
                raise TooLarge(f"A draft order holds more than {MOST_STATED} entries in one list.")


def _own_orders(drafts: Iterable[Resource], chart: Chart) -> frozenset[str]:
    """Name the drafts, and the orders that they replace or carry out: no duplicates of them."""
    names: set[str] = set()
    for draft in drafts:
        names |= _names(draft) | _referred(draft, "replaces", chart)
        names |= _referred(draft, "basedOn", chart)
    return frozenset(names)


def _drafted(request: HookRequest) -> Source:
    """Diagnoses that are drafted together with the order: its reason may refer to them."""
    entries = [
        {"fullUrl": draft.full_url, "resource": draft.resource}
        for draft in request.draft_orders
        if draft.resource.get("resourceType") == "Condition"
    ]
    bundle = {"resourceType": "Bundle", "entry": entries}
    return Source(
        key="draftOrders", resource_type="Condition", state=SourceState.READ, content=bundle
    )


def _instead(
    order: DraftOrder, basket: Iterable[DraftOrder], chart: Chart
) -> tuple[DraftOrder, ...]:
    """Return the drafts of which this one is the duplicate, the one to keep first.

    Those that are more urgent, or as urgent and earlier in the Bundle. A copy of itself is not
    another order, nor is a draft that replaces it or that it replaces (§7.2).
    """
    urgency = list(Priority)
    ranked = sorted(basket, key=lambda draft: -urgency.index(draft.priority))
    preferred = takewhile(lambda other: other.resource is not order.resource, ranked)
    return tuple(
        other
        for other in preferred
        if (other.ref != order.ref or other.ref.endswith("/?"))
        and _names(other.resource).isdisjoint(_referred(order.resource, "replaces", chart))
        and _names(order.resource).isdisjoint(_referred(other.resource, "replaces", chart))
    )


def _names(draft: Resource) -> set[str]:
    """Return what a reference may call a draft."""
    ref = resource_ref(draft)
    return (set() if ref.endswith("/?") else {ref}) | identifier_tokens(draft.get("identifier"))


def _referred(draft: Resource, element: str, chart: Chart) -> set[str]:
    """Return what the resources are called that an element of a draft refers to."""
    names: set[str] = set()
    for reference in objects(draft.get(element)):
        target = reference_of(reference)
        names |= {target, chart.addresses.get(target, target)}
        names |= identifier_tokens(reference.get("identifier"))
    return {name for name in names if name and not name.endswith("/?")}


def _judged(knowledge: Knowledge, context: ReadingContext) -> Decision:
    """Read the picture of the patient as far as this order is concerned, and decide."""
    picture = ClinicalPicture.of(knowledge.facts, context)
    return decide(knowledge, context.order, picture, context.history)


def _require_evidence(knowledge: Knowledge, chart: Chart) -> None:
    """Refuse only if nothing of the required sources was read (R-PRE-12); otherwise cope.

    A source that was read in part counts; one that answered "nothing there" does too.
    """
    in_part = {"Patient": chart.patient is not None, "Condition": bool(chart.conditions)}
    types = [knowledge.prefetch_types[key] for key in knowledge.required_sources]
    if not any(kind not in chart.unreadable or in_part.get(kind, False) for kind in types):
        wanted = " nor ".join(knowledge.required_sources)
        message = (
            f"Neither {wanted} could be read, from prefetch or from the FHIR server: no advice "
            "can be given on this order."
        )
        raise EvidenceUnavailable(message)
