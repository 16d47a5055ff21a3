"""The topics that are served: one knowledge folder each, the bundled one first.

For each id the first directory of CDS_HOOKS_PATH that has it wins, whole; the bundled folder is
always there, its own or a site's copy of it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cds_service.errors import SettingsError
from cds_service.knowledge import Knowledge, ServiceDescription
from cds_service.knowledge_loading.folders import FoundFolder, find_folders
from cds_service.knowledge_loading.loader import load_knowledge
from cds_service.knowledge_loading.service import ApprovalState
from cds_service.names_in_folders import BUNDLED_TOPIC


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One knowledge folder, and its review page (Markdown)."""

    knowledge: Knowledge
    review: str = ""


def folders_of_topics(hooks_path: tuple[Path, ...]) -> tuple[FoundFolder, ...]:
    """Return the folder of each topic, the bundled topic first, the others by id."""
    return tuple(sorted(find_folders(hooks_path), key=lambda found: found.id != BUNDLED_TOPIC))


def folder_of(topic: str, hooks_path: tuple[Path, ...]) -> FoundFolder:
    """Return the folder of one topic. Raises SettingsError if there is none."""
    found = folders_of_topics(hooks_path)
    for folder in found:
        if folder.id == topic:
            return folder
    known = ", ".join(folder.id for folder in found)
    raise SettingsError(f"no knowledge folder {topic} found, only {known}; check CDS_HOOKS_PATH")


def load_topic(found: FoundFolder, *, require_approval: bool) -> Knowledge:
    """Return the knowledge of a folder. Raises SettingsError if it must be approved and is not."""
    knowledge = load_knowledge(found.folder)
    if require_approval and knowledge.approval.state != ApprovalState.APPROVED:
        raise SettingsError(
            f"the knowledge folder {found.directory}/{found.id} is in state "
            f"{knowledge.approval.state} and CDS_REQUIRE_APPROVAL is true: approve it in its "
            "service.yaml, or name an approved copy in CDS_HOOKS_PATH"
        )
    return knowledge


def load_topics(hooks_path: tuple[Path, ...], *, require_approval: bool) -> tuple[Knowledge, ...]:
    """Return the knowledge of all topics, the bundled one first.

    Raises KnowledgeError for a folder that is not well formed; SettingsError for one that must be
    approved and is not, and where two topics name a service alike.
    """
    topics = tuple(
        load_topic(found, require_approval=require_approval)
        for found in folders_of_topics(hooks_path)
    )
    _require_own_ids(topics)
    return topics


def service_named(
    service_id: str, topics: Iterable[Topic]
) -> tuple[Topic, ServiceDescription] | None:
    """Return the service with this id, and the topic that it belongs to."""
    for topic in topics:
        for service in topic.knowledge.services:
            if service.id == service_id:
                return topic, service
    return None


def _require_own_ids(topics: Sequence[Knowledge]) -> None:
    """EHRs key services by id alone, so one id must not stand for two."""
    named: dict[str, str] = {}
    for knowledge in topics:
        for service in knowledge.services:
            other = named.setdefault(service.id, knowledge.id)
            if other != knowledge.id:
                raise SettingsError(
                    f"the knowledge folders {other} and {knowledge.id} both name a service "
                    f"{service.id}: change one in its service.yaml"
                )
