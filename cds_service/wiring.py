"""Everything that the routes need, put together once by `app.py`; and the call in progress."""

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from flask import current_app

from cds_service import strict_json
from cds_service.client_auth.gate import Gate
from cds_service.client_profiles import CardForm
from cds_service.knowledge import Knowledge, ServiceDescription
from cds_service.mode_switch import ModeSwitch
from cds_service.observability import Metrics
from cds_service.order_reading import SiteCodes
from cds_service.overload import Door
from cds_service.prefetch.reader import FhirReader
from cds_service.protocol import strip_empty
from cds_service.rate_limits import RateLimits
from cds_service.record.decisions import DecisionRecord
from cds_service.record.feedback import FeedbackRecord
from cds_service.record.unmapped import UnmappedRecord
from cds_service.registered_clients import RegisteredClient
from cds_service.settings import Settings
from cds_service.site_file import SiteFile
from cds_service.store.database import Database
from cds_service.topics import Topic, service_named

KNOWLEDGE_EXTENSION = "org.lumbar-mri-cds.knowledge"

_EXTENSION = "cds-service"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """Everything that the routes need."""

    settings: Settings
    topics: tuple[Topic, ...]
    """What is served, the bundled topic first."""
    site: SiteFile
    switch: ModeSwitch
    metrics: Metrics
    reader: FhirReader
    gate: Gate
    limits: RateLimits
    door: Door
    database: Database
    decisions: DecisionRecord
    feedback: FeedbackRecord
    unmapped: UnmappedRecord
    clock: Callable[[], datetime]
    """Aware time of now."""
    document: bytes
    """The OpenAPI document."""
    judging: threading.Lock = field(default_factory=threading.Lock)
    """Held by the one thread that judges: several at once would not be faster, they would only
    slow down the one that takes in calls."""
    wondering: threading.Lock = field(default_factory=threading.Lock)
    """Held by the one thread that answers "what if"."""
    discovery: bytes = field(init=False)
    mapped_codes: SiteCodes = field(init=False)
    """Order codes that the site has mapped, of all topics."""

    def __post_init__(self) -> None:
        """Write the catalogue once: it never changes while the process runs (R-DISC-12)."""
        object.__setattr__(self, "mapped_codes", self.site.order_codes_of_all_topics)
        object.__setattr__(self, "discovery", strict_json.dumps(_catalogue(self.topics)))

    @property
    def knowledge(self) -> Knowledge:
        """The bundled topic, which is always there."""
        return self.topics[0].knowledge

    def served(self, service_id: str) -> tuple[Topic, ServiceDescription] | None:
        """Return the service with this id and its topic; None if there is none."""
        return service_named(service_id, self.topics)

    def form_for(self, client: RegisteredClient | None, knowledge: Knowledge) -> CardForm:
        """Return the form of the cards for a client; their source is the page with all rules."""
        form = self.site.form_for(client)
        public = self.settings.public_url or ""
        if not public.startswith("https://"):
            return form
        return replace(form, source_url=f"{public}/knowledge/{knowledge.id}")


@dataclass(slots=True)
class Call:
    """What the log line of the call in progress will say."""

    service_id: str
    started: float
    """`time.perf_counter()` at which the request was there: waiting counts against the budget."""
    is_hook_call: bool = True
    client: str = ""
    """Id of the registered client; empty when nobody was asked."""
    reading_seconds: float = 0.0
    details: dict[str, object] = field(default_factory=dict)


def wire(extensions: dict[str, object], wiring: Wiring) -> None:
    """Keep the wiring with the application."""
    extensions[_EXTENSION] = wiring


def wiring_of_app() -> Wiring:
    """Return the wiring of the application that answers."""
    return wiring_in(current_app.extensions)


def wiring_in(extensions: Mapping[str, object]) -> Wiring:
    """Return the wiring that is kept with an application."""
    wiring = extensions[_EXTENSION]
    assert isinstance(wiring, Wiring)  # noqa: S101  # tells the type checker what `wire` put there
    return wiring


def _catalogue(topics: Iterable[Topic]) -> object:
    return strip_empty(
        {
            "services": [
                {
                    "hook": service.hook,
                    "title": service.title,
                    "description": service.description,
                    "id": service.id,
                    "prefetch": dict(service.prefetch),
                    "usageRequirements": service.usage_requirements,
                    "extension": {KNOWLEDGE_EXTENSION: _known(topic.knowledge)},
                }
                for topic in topics
                for service in topic.knowledge.services
            ]
        }
    )


def _known(knowledge: Knowledge) -> dict[str, str]:
    return {"id": knowledge.id, "version": knowledge.version, "digest": knowledge.digest}
