"""The WSGI application: the only place that wires settings, knowledge, clock and network."""

import logging
import ssl
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from flask import Flask

from cds_service import routes
from cds_service.client_auth.gate import NO_CLIENT, OPEN_TO_ALL, ClientGate, Gate, OpenGate
from cds_service.client_auth.key_sets import KeySets
from cds_service.client_auth.seen_tokens import store_for
from cds_service.knowledge import Knowledge
from cds_service.mode_switch import ModeSwitch
from cds_service.observability import Metrics
from cds_service.openapi.document import as_json, document
from cds_service.outgoing import trusting
from cds_service.overload import Door
from cds_service.prefetch.reader import FhirReader
from cds_service.prefetch.server import Tally
from cds_service.rate_limits import RateLimits, rate_limits_for
from cds_service.record.decisions import DecisionRecord
from cds_service.record.feedback import FeedbackRecord
from cds_service.record.unmapped import UnmappedRecord
from cds_service.settings import ClientAuth, Settings
from cds_service.site_file import NO_SITE_FILE, SiteFile
from cds_service.store.database import Database
from cds_service.topics import Topic
from cds_service.wiring import Wiring, wiring_in

logger = logging.getLogger(__name__)

KEY_SET_FOLDER = "key-sets"
Extension: TypeAlias = Callable[[Flask], None]
"""Adds to the application what only some processes have."""


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
    others: Sequence[Topic] = (),
    shared_metrics: Path | None = None,
) -> Flask:
    """Return the application.

    `knowledge` is that of the bundled topic and `review` its review page (Markdown); `others` are
    the further topics. `clock` gives the aware time of now; `shared_metrics` is the directory in
    which the workers of one server keep their numbers.
    """
    app = Flask("cds_service", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.url_map.strict_slashes = True
    app.url_map.redirect_defaults = False
    app.url_map.merge_slashes = False
    topics = (Topic(knowledge=knowledge, review=review), *others)
    override_codes = {code for t in topics for code, _ in t.knowledge.wording.override_reasons}
    metrics = Metrics(
        services={s.id: s.hook for topic in topics for s in topic.knowledge.services},
        override_codes=override_codes,
        shared_in=shared_metrics,
    )
    database = Database(settings.store_url, monotonic=time.monotonic)
    tls = trusting(settings.private_roots)
    limits = rate_limits_for(settings, monotonic=time.monotonic)
    gate = _gate(settings, site, database, clock, metrics, tls=tls, limits=limits)
    routes.install(
        app,
        Wiring(
            settings=settings,
            topics=topics,
            site=site,
            switch=ModeSwitch(settings.mode, settings.switch_file),
            metrics=metrics,
            reader=FhirReader(
                tls=tls,
                tally=Tally(
                    count_request=metrics.count_fhir_request,
                    count_opened=metrics.count_fhir_circuit_opened,
                ),
            ),
            gate=gate,
            limits=limits,
            door=Door(settings, metrics, client_named_in=gate.client_named_in),
            database=database,
            decisions=DecisionRecord(database),
            feedback=FeedbackRecord(
                database,
                override_codes,
                site.form.override_codes,
            ),
            unmapped=UnmappedRecord(database, monotonic=time.monotonic),
            clock=clock,
            document=as_json(
                document(*(t.knowledge for t in topics), public_url=settings.public_url)
            ).encode(),
        ),
    )
    return app


def door_of(application: object) -> Door:
    """Return the door of an application that `create_app` has made."""
    assert isinstance(application, Flask)  # noqa: S101  # gunicorn knows it as any callable
    return wiring_in(application.extensions).door


def _gate(
    settings: Settings,
    site: SiteFile,
    database: Database,
    clock: Callable[[], datetime],
    metrics: Metrics,
    *,
    tls: ssl.SSLContext,
    limits: RateLimits,
) -> Gate:
    if settings.client_auth is ClientAuth.OFF:
        logger.warning("open to all", extra={"reason": OPEN_TO_ALL})
        return OpenGate()
    gate = ClientGate(
        site,
        public_url=settings.public_url,
        seen=store_for(settings, database, monotonic=time.monotonic),
        key_sets=KeySets(
            monotonic=time.monotonic,
            folder=settings.state_directory.expanduser() / KEY_SET_FOLDER,
            clock=clock,
            tls=tls,
        ),
        clock=clock,
        count_ignored_header=metrics.count_ignored_header,
        before_proof=limits.refuse_exhausted,
    )
    if not any(client.can_prove_itself for client in site.clients):
        logger.error("every call is refused", extra={"reason": NO_CLIENT})
    return gate
