"""The WSGI application: the only place that wires settings, knowledge, clock and network."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from flask import Flask

from cds_service import routes
from cds_service.knowledge import Knowledge
from cds_service.mode_switch import ModeSwitch
from cds_service.observability import Metrics
from cds_service.prefetch.reader import FhirReader
from cds_service.settings import ClientAuth, Settings
from cds_service.site_file import NO_SITE_FILE, SiteFile

logger = logging.getLogger(__name__)


def utc_now() -> datetime:
    """Return the time of now: the one clock of the service."""
    return datetime.now(UTC)


def create_app(
    settings: Settings,
    *,
    knowledge: Knowledge,
    clock: Callable[[], datetime] = utc_now,
    site: SiteFile = NO_SITE_FILE,
    review: str = "",
    shared_metrics: Path | None = None,
) -> Flask:
    """Return the application.

    `clock` gives the aware time of now; `review` is the review page of the knowledge (Markdown);
    `shared_metrics` is the directory in which the workers of one server keep their numbers.
    """
    app = Flask("cds_service", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.url_map.strict_slashes = True
    app.url_map.redirect_defaults = False
    app.url_map.merge_slashes = False
    routes.install(
        app,
        routes.Wiring(
            settings=settings,
            knowledge=knowledge,
            site=site,
            switch=ModeSwitch(settings.mode, settings.switch_file),
            metrics=Metrics(
                services={s.id: s.hook for s in knowledge.services},
                override_codes=[code for code, _ in knowledge.wording.override_reasons],
                shared_in=shared_metrics,
            ),
            reader=FhirReader(),
            clock=clock,
            review=review,
        ),
    )
    if settings.client_auth is ClientAuth.OFF:
        logger.warning("open to all", extra={"reason": routes.OPEN_TO_ALL})
    else:
        logger.error("every call is refused", extra={"reason": routes.REFUSED_TO_ALL})
    return app
