"""Everything that the routes need, put together once by `app.py`; and the call in progress."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from flask import current_app

from cds_service import strict_json
from cds_service.client_auth.gate import Gate
from cds_service.client_profiles import CardForm
from cds_service.knowledge import Knowledge
from cds_service.mode_switch import ModeSwitch
from cds_service.observability import Metrics
from cds_service.overload import Door
from cds_service.prefetch.reader import FhirReader
from cds_service.protocol import strip_empty
from cds_service.rate_limits import RateLimits
from cds_service.record.decisions import DecisionRecord
from cds_service.record.feedback import FeedbackRecord
from cds_service.registered_clients import RegisteredClient
from cds_service.settings import Settings
from cds_service.site_file import SiteFile
from cds_service.store.database import Database

KNOWLEDGE_EXTENSION = "org.lumbar-mri-cds.knowledge"

_EXTENSION = "cds-service"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """Everything that the routes need."""

    settings: Settings
    knowledge: Knowledge
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
    clock: Callable[[], datetime]
    """Aware time of now."""
    review: str
    """The review page of the knowledge, Markdown."""
    judging: threading.Lock = field(default_factory=threading.Lock)
    """Held by the one thread that judges: several at once would not be faster, they would only
    slow down the one that takes in calls."""
    discovery: bytes = field(init=False)

    def __post_init__(self) -> None:
        """Write the catalogue once: it never changes while the process runs (R-DISC-12)."""
        object.__setattr__(self, "discovery", strict_json.dumps(_catalogue(self.knowledge)))

    def form_for(self, client: RegisteredClient | None) -> CardForm:
        """Return the form of the cards for a client; their source is the page with all rules."""
        form = self.site.form_for(client)
        public = self.settings.public_url or ""
        if not public.startswith("https://"):
            return form
        return replace(form, source_url=f"{public}/knowledge/{self.knowledge.id}")


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


def _catalogue(knowledge: Knowledge) -> object:
    known = {"id": knowledge.id, "version": knowledge.version, "digest": knowledge.digest}
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
                    "extension": {KNOWLEDGE_EXTENSION: known},
                }
                for service in knowledge.services
            ]
        }
    )
