"""A request judged in this process, as the HTTP service does, from its prefetch alone."""

import time
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from cds_service.errors import SettingsError
from cds_service.evaluate import Outcome, evaluate
from cds_service.knowledge import Knowledge, ServiceDescription
from cds_service.protocol import hook_answer, parse_request
from cds_service.site_file import SiteFile
from cds_service.strict_json import dumps, loads

if TYPE_CHECKING:
    from cds_service.prefetch.reader import FhirReader

_TIMES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Everything that a request is judged with."""

    knowledge: Knowledge
    site: SiteFile
    today: date
    zone: ZoneInfo
    reader: "FhirReader"
    """Never called: no server is allowed here."""

    def outcome_of(self, body: bytes) -> Outcome:
        """Parse and judge one request.

        Raises CdsError: SettingsError for a hook that no service answers, and what a client
        would be answered with.
        """
        from cds_service.prefetch.reader import complete  # noqa: PLC0415

        service = service_for(body, self.knowledge)
        request = parse_request(body, service_hook=service.hook, service_id=service.id)
        sources = complete(
            request,
            self.knowledge,
            allowed_servers=(),
            reader=self.reader,
            budget_seconds=1.0,
            monotonic=time.monotonic,
        )
        return evaluate(
            self.knowledge,
            request,
            sources,
            today=self.today,
            zone=self.zone,
            site=self.site,
        )

    def median_ms(self, body: bytes) -> float:
        """Return the median time of a call in milliseconds, parse to answer."""
        times = []
        for _ in range(_TIMES):
            started = time.perf_counter()
            outcome = self.outcome_of(body)
            dumps(hook_answer(outcome.cards, outcome.decisions))
            times.append((time.perf_counter() - started) * 1000)
        return sorted(times)[len(times) // 2]


def service_for(body: bytes, knowledge: Knowledge) -> ServiceDescription:
    """Return the service that answers the hook which the body names. Raises SettingsError."""
    content = loads(body)
    hook = content.get("hook") if isinstance(content, dict) else None
    for service in knowledge.services:
        if service.hook == hook:
            return service
    hooks = ", ".join(service.hook for service in knowledge.services)
    message = f"the request's hook is not one of {hooks}"
    raise SettingsError(message)
