"""Suggestions as the client can take them: which remain, and with which action."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from cds_service.cards.order_writing import Wire
from cds_service.cards.proposals import Proposal
from cds_service.client_profiles import CardForm, ClientProfile
from cds_service.fhir import object_of

PREFERENCE_LIST_SYSTEM = "urn:com.epic.cdshooks.action.code.system.preference-list-item"


def fitting(proposals: Iterable[Proposal], form: CardForm) -> Iterator[Proposal]:
    """Yield the proposals that this client can carry out and this site wants, in order."""
    if form.profile is ClientProfile.TEXT_ONLY:
        return
    for proposal in proposals:
        if form.kinds is not None and proposal.kind not in form.kinds:
            continue
        if form.profile is not ClientProfile.EPIC:
            yield proposal
        elif (action := _for_epic(proposal, form)) is not None:
            yield replace(proposal, action=action)


def _for_epic(proposal: Proposal, form: CardForm) -> Wire | None:
    """Return the action as Epic carries it out; None if it cannot.

    It ignores the details of a resource and orders what the preference list holds under a code of
    its own, so a create needs that code and an update would come to nothing.
    """
    match proposal.action["type"]:
        case "delete":
            return proposal.action
        case "create" if code := form.preference_list_codes.get(proposal.kind):
            resource = object_of(proposal.action["resource"])
            concept = object_of(resource.get("code"))
            listed = {**concept, "coding": [{"system": PREFERENCE_LIST_SYSTEM, "code": code}]}
            return {**proposal.action, "resource": {**resource, "code": listed}}
        case _:
            return None
