"""The server: gunicorn run inside this process, several workers, graceful stop.

Source: https://gunicorn.org/custom/. Knowledge is loaded once, before the workers are forked.
Signals to the first process: TERM finishes the calls under way and ends; HUP reads site file and
knowledge again and replaces the workers one by one, without dropping a call.
"""

import gc
import importlib
import logging
import resource
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker

from cds_service.app import Extension, create_app, utc_now
from cds_service.call_worker import CallWorker
from cds_service.client_auth.gate import check_clients
from cds_service.client_auth.seen_tokens import store_for
from cds_service.errors import KnowledgeError, SettingsError
from cds_service.observability import set_up_logging, share_metrics
from cds_service.rate_limits import rate_limits_for
from cds_service.settings import Settings
from cds_service.site_file import SiteFile, load_site_file
from cds_service.store.database import Database
from cds_service.store.rest import StoreDown
from cds_service.topics import Topic

if TYPE_CHECKING:
    from gunicorn._types import _WSGIAppType

logger = logging.getLogger(__name__)

SECONDS_TO_FINISH = 8
"""For calls under way when the server is told to stop; leaves two of ten for the rest."""
_BYTES_KEPT_FOR_CLIENTS = 512 * 1024
"""More than any answer has; the system may grant less."""
_MOST_CONNECTIONS = 1000
"""Of one worker; then the slowest clients make room for new ones."""
_OTHER_FILES = 200
"""Of one process, at most: metrics, stores, FHIR servers, logs, and half of it to spare."""
_CALLS_BEFORE_RECYCLING = 20_000
_SECONDS_KEPT_ALIVE = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingOptions:
    """What the command line says of the server."""

    bind: str = "127.0.0.1:8000"
    """`host:port` or `unix:path`; port 0 takes a free one."""
    workers: int = 2
    threads: int = 4
    """Judging is bound to the processor, one call at a time; further threads go on while one waits
    for the EHR's FHIR server or for a store. None ever waits for a client (`call_worker.py`)."""


def serve(
    settings: Settings,
    *,
    load: Callable[[], Sequence[Topic]],
    options: ServingOptions | None = None,
    clock: Callable[[], datetime] = utc_now,
    extend: Extension | None = None,
) -> None:
    """Serve until told to stop; ends the process with exit code 0 after a graceful stop.

    `load` returns what is served, the bundled topic first, now and on each SIGHUP; `extend` adds to
    the application of each worker (the test EHR of the demo). Raises
    SettingsError or KnowledgeError when site file or knowledge cannot be used at the start.
    """
    set_up_logging()
    chosen = options or ServingOptions()
    _require_free(chosen.bind)
    # The models that write suggestions are slow to import: once, before the workers are forked.
    importlib.import_module("fhir.resources.R4B.servicerequest")
    server = _Server(settings, load, chosen, clock, extend)
    _prepare_database(settings)
    # What is loaded by now stays in pages that the workers share.
    gc.collect()
    gc.freeze()
    server.run()


def _prepare_database(settings: Settings) -> None:
    """Bring the tables up to date once; where that fails, each worker tries again by itself."""
    try:
        Database(settings.store_url, monotonic=time.monotonic).prepare()
    except StoreDown as fault:
        logger.warning("database not ready", extra={"reason": str(fault)})


def _connections() -> int:
    """Return how many connections a worker may have, and let it open files for them if it can."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = max(soft, min(hard, _MOST_CONNECTIONS + _OTHER_FILES))
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    return min(max(files - _OTHER_FILES, files // 4), _MOST_CONNECTIONS)


def _require_free(bind: str) -> None:
    """Raise SettingsError if the address is none, or is taken: gunicorn would retry for seconds."""
    if bind.startswith("unix:"):
        return
    host, colon, port = bind.rpartition(":")
    if not colon or not port.isdigit():
        message = f"--bind {bind}: not of the form host:port or unix:path"
        raise SettingsError(message)
    is_v6 = host.startswith("[")
    with socket.socket(socket.AF_INET6 if is_v6 else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), int(port)))
        except (OSError, OverflowError) as error:
            message = f"--bind {bind}: the address cannot be used ({error}); choose another --port"
            raise SettingsError(message) from None


class _Server(BaseApplication):
    """Holds what all workers share; lives in the first process and is forked with it."""

    def __init__(
        self,
        settings: Settings,
        load: Callable[[], Sequence[Topic]],
        options: ServingOptions,
        clock: Callable[[], datetime],
        extend: Extension | None,
    ) -> None:
        self._settings = settings
        self._load = load
        self._topics = load()
        self._options = options
        self._clock = clock
        self._extend = extend
        self._site = _checked_site(settings)
        self._metrics_directory = Path(tempfile.mkdtemp(prefix="cds-metrics-"))
        super().__init__()

    def load_config(self) -> None:
        """Set everything that gunicorn is told; its own files and variables are not read."""
        config: dict[str, object] = {
            "bind": self._options.bind,
            "workers": self._options.workers,
            "threads": self._options.threads,
            "worker_class": CallWorker,
            "worker_connections": _connections(),
            "max_requests": _CALLS_BEFORE_RECYCLING,
            "max_requests_jitter": _CALLS_BEFORE_RECYCLING // 10,
            "graceful_timeout": SECONDS_TO_FINISH,
            "keepalive": _SECONDS_KEPT_ALIVE,
            "accesslog": None,
            "logger_class": _JsonLogger,
            "proc_name": "cds-service",
            # prometheus_client takes this from the environment and from nowhere else.
            "raw_env": [f"PROMETHEUS_MULTIPROC_DIR={self._metrics_directory}"],
            "when_ready": self._when_ready,
            "pre_fork": _give_slot,
            "post_fork": _share_metrics,
            "on_exit": self._on_exit,
            "control_socket_disable": True,
        }
        for name, value in config.items():
            if name in self.cfg.settings:  # older versions have no control socket
                self.cfg.set(name, value)

    def load(self) -> "_WSGIAppType":
        """Build the application; called once in each worker."""
        first, *others = self._topics
        app = create_app(
            self._settings,
            knowledge=first.knowledge,
            review=first.review,
            others=others,
            clock=self._clock,
            site=self._site,
            shared_metrics=self._metrics_directory,
        )
        if self._extend is not None:
            self._extend(app)
        return app  # type: ignore[return-value]  # the stub's environ is any mapping

    def reload(self) -> None:
        """Read site file and knowledge again (SIGHUP); what is faulty is reported, and not used."""
        try:
            self._site = _checked_site(self._settings)
        except SettingsError as error:
            logger.error("site file not reloaded", extra={"reason": str(error)})  # noqa: TRY400  # the text is the report; a trace adds nothing
        try:
            self._topics = self._load()
        except (KnowledgeError, SettingsError) as error:
            logger.error("knowledge not reloaded", extra={"reason": str(error)})  # noqa: TRY400  # as above
        self._log_topics("reloaded")
        super().reload()

    def _when_ready(self, arbiter: Arbiter) -> None:
        for listener in arbiter.LISTENERS:
            # Connections inherit it: an answer never waits for its client to take it.
            listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BYTES_KEPT_FOR_CLIENTS)
        self._log_topics(
            "serving",
            address=", ".join(map(str, arbiter.LISTENERS)),
            workers=self._options.workers,
            threads=self._options.threads,
        )

    def _log_topics(self, message: str, **details: object) -> None:
        """Log one line for each topic: which knowledge is in force."""
        for topic in self._topics:
            knowledge = topic.knowledge
            known = {
                "topic": knowledge.id,
                "knowledge": knowledge.version,
                "digest": knowledge.digest,
                "approval": knowledge.approval.state,
            }
            logger.info(message, extra={**details, **known})

    def _on_exit(self, _arbiter: Arbiter) -> None:
        shutil.rmtree(self._metrics_directory, ignore_errors=True)


def _checked_site(settings: Settings) -> SiteFile:
    """Return the site file. Raises SettingsError if it or the store's URL cannot be used."""
    site = load_site_file(settings.site_file)
    check_clients(settings, site)
    # They connect in the workers; here only a URL that nobody can use is found out.
    database = Database(settings.store_url, monotonic=time.monotonic)
    store_for(settings, database, monotonic=time.monotonic)
    rate_limits_for(settings, monotonic=time.monotonic)
    return site


class _JsonLogger(Logger):
    """Sends gunicorn's messages the way of ours. There is no access log: our own line is it."""

    def setup(self, cfg: Config) -> None:
        """Take gunicorn's handlers away again."""
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True
        # Its notices of every start and stop say less than our own line, in a form with gaps.
        self.error_log.setLevel(logging.WARNING)


def _give_slot(arbiter: Arbiter, worker: Worker) -> None:
    """Give a worker, before it is forked, the lowest number that no living worker has."""
    taken = {vars(other)["slot"] for other in arbiter.WORKERS.values()}
    vars(worker)["slot"] = next(n for n in range(len(taken) + 1) if n not in taken)


def _share_metrics(_arbiter: Arbiter, worker: Worker) -> None:
    share_metrics(vars(worker)["slot"])
