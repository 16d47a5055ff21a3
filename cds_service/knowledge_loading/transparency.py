"""Reads `transparency.yaml`: intended use, source attributes, and the criteria for non-device CDS.

Source: 45 CFR 170.315(b)(11) (HTI-1), evidence-based decision support interventions; section
520(o)(1)(E) of the FD&C Act.
"""

from cds_service.knowledge_loading.yaml import Fields, Node, Problems
from cds_service.review_notes import Transparency

SOURCE_ATTRIBUTES = (
    *("bibliographic-citation", "developer", "funding", "release-and-revision-dates"),
    *("race", "ethnicity", "language", "sexual-orientation"),
    *("gender-identity", "sex", "date-of-birth"),
    *("social-determinants-of-health", "health-status-assessments"),
)
"""What the rule asks for, in its order."""
_CRITERIA = 4


def read_transparency(root: Node, problems: Problems) -> Transparency:
    """Return the file; each source attribute must be said once, in order."""
    top = Fields(root, problems)
    attributes = _pairs(top.items("source_attributes", required=True), "attribute", problems)
    if tuple(name for name, _ in attributes) != SOURCE_ATTRIBUTES:
        problems.report(
            top.at("source_attributes"), f"must be, in this order: {', '.join(SOURCE_ATTRIBUTES)}"
        )
    criteria = _pairs(top.items("non_device_criteria", required=True), "criterion", problems)
    if len(criteria) != _CRITERIA:
        problems.report(top.at("non_device_criteria"), f"must be {_CRITERIA}")
    read = Transparency(
        intended_use=top.text("intended_use"),
        users=top.text("users"),
        population=top.text("population"),
        validation=top.text("validation"),
        limits=top.texts("limits", required=True),
        source_attributes=attributes,
        non_device_criteria=criteria,
    )
    top.finish()
    return read


def _pairs(nodes: tuple[Node, ...], name: str, problems: Problems) -> tuple[tuple[str, str], ...]:
    pairs: list[tuple[str, str]] = []
    for node in nodes:
        members = Fields(node, problems)
        pairs.append((members.text(name), members.text("says")))
        members.finish()
    return tuple(pairs)
