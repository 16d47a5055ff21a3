"""What commands begin with: the knowledge that the settings name, and today."""

from datetime import date

from cds_service.knowledge import Knowledge
from cds_service.names_in_folders import BUNDLED_TOPIC
from cds_service.settings import Settings
from cds_service.topics import folder_of, load_topic, load_topics


def chosen_knowledge(settings: Settings, topic: str = BUNDLED_TOPIC) -> Knowledge:
    """Return the knowledge of a topic.

    Raises SettingsError if there is none, or if it must be approved and is not.
    """
    found = folder_of(topic, settings.hooks_path)
    return load_topic(found, require_approval=settings.require_approval)


def chosen_topics(settings: Settings) -> tuple[Knowledge, ...]:
    """Return the knowledge of all topics, the bundled one first. Raises as `load_topics` does."""
    return load_topics(settings.hooks_path, require_approval=settings.require_approval)


def today_in(settings: Settings) -> date:
    """Return the day it is in the organisation's time zone."""
    from cds_service.app import utc_now  # noqa: PLC0415

    return utc_now().astimezone(settings.time_zone).date()


def as_date(value: object) -> date | None:
    """Return the day of an option, None if it was not given."""
    return date.fromisoformat(str(value)[:10]) if value is not None else None
