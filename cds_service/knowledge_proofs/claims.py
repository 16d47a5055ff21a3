"""What is proved of a knowledge folder, in words; needs no solver."""

from collections.abc import Mapping

from cds_service.knowledge import Knowledge
from cds_service.names_in_folders import BUNDLED_TOPIC, EMERGENCIES, PEDIATRIC, PREGNANT

_CLAIMS: Mapping[int, str] = {
    1: "Every combination reaches exactly one base row; every row, repeat, contrast and safety "
    "rule and every brake is reached by some combination",
    2: "With cauda equina or a severe motor deficit, on any evidence, nothing offers to cancel, "
    "defer, replace by another study or start care instead; no repeat message applies; and only "
    "a contrast-only order is rated usually not appropriate",
    3: "No warning against the order rests on evidence that is only possible",
    4: "A red flag that becomes known to be true never creates a warning against the order, never "
    "adds an offer to cancel it, and never lowers the rating of the best-rated protocol",
    5: "A source that could not be read never creates a warning against the order: with one, "
    "there is none",
    6: "In pregnancy no study with ionising radiation is proposed; under 18 nothing is rated",
}
URGENCY, _PATIENTS = 2, 6
"""Properties that name facts, so that not every folder can be asked for them."""
_OTHER_EMERGENCY = "With {} true, on any evidence, nothing offers to cancel,"
_NO_EMERGENCY = (
    "Not proved, because no fact of this folder is marked `emergency`: that nothing delays one."
)
_OF_PATIENTS: Mapping[str, str] = {
    PREGNANT: "in pregnancy no study with ionising radiation is proposed",
    PEDIATRIC: "under 18 nothing is rated",
}
"""The parts of property 6, by the fact that each names."""


def emergencies(knowledge: Knowledge) -> tuple[str, ...]:
    """Return the ids of the facts that nothing may delay."""
    return tuple(fact.id for fact in knowledge.facts if fact.is_emergency)


def named_facts(knowledge: Knowledge) -> tuple[str, ...]:
    """Return the facts that the properties themselves name: some rule must ask about each."""
    if knowledge.id == BUNDLED_TOPIC:
        return (*EMERGENCIES, PREGNANT, PEDIATRIC)
    known = {fact.id for fact in knowledge.facts}
    return (*emergencies(knowledge), *(fact for fact in (PREGNANT, PEDIATRIC) if fact in known))


def claims(knowledge: Knowledge) -> Mapping[int, str]:
    """Return the properties that can be asked of this folder."""
    named = set(named_facts(knowledge))
    urgent = emergencies(knowledge)
    said = dict(_CLAIMS)
    if not urgent:
        del said[URGENCY]
    elif set(urgent) != set(EMERGENCIES):
        _, _, rest = said[URGENCY].partition("nothing offers to cancel,")
        said[URGENCY] = _OTHER_EMERGENCY.format(" or ".join(urgent)) + rest
    parts = [says for fact, says in _OF_PATIENTS.items() if fact in named]
    if not parts:
        del said[_PATIENTS]
    elif len(parts) < len(_OF_PATIENTS):
        said[_PATIENTS] = parts[0][:1].upper() + parts[0][1:]
    return said


def left_out(knowledge: Knowledge) -> tuple[str, ...]:
    """Say which properties cannot be asked of this folder, and why."""
    named = named_facts(knowledge)
    lacking = (
        f"Not proved, because this folder has no fact {fact}: {says}."
        for fact, says in _OF_PATIENTS.items()
        if fact not in named
    )
    return (*(() if emergencies(knowledge) else (_NO_EMERGENCY,)), *lacking)
