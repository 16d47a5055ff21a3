"""The page of the test EHR, and what it asks its own server for.

The page itself posts hook calls and feedback to `/cds-services/…`, as any EHR does; nothing here
stands between. Added to the real service by `server.py` only: no setting switches it on.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from flask import Blueprint, Flask, Response, render_template, request

from cds_service import __version__, strict_json
from cds_service.demo_stories import DemoStory
from cds_service.errors import MalformedRequest, UnknownService
from cds_service.evaluate import evaluate
from cds_service.json_schemas import is_array, is_object
from cds_service.prefetch.reader import complete
from cds_service.protocol import parse_request
from cds_service.readiness import warnings_of
from cds_service.test_ehr.calls import (
    ChartBy,
    TestEhrServers,
    call_of_patient,
    call_of_story,
    name_of,
    patient_in,
    patients_of,
)
from cds_service.test_ehr.explanation import explanation
from cds_service.test_ehr.markdown_tree import markdown_tree
from cds_service.test_ehr.orderables import ORDERABLES, PRIORITIES, REASONS, Orderable
from cds_service.wiring import Wiring, wiring_of_app

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    # No script of the page may turn a text into markup, by mistake or not.
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
PREFIX = "/test-ehr"
_FRONT_PAGE = "hooks.front_page"
_FOLDER = Path(__file__).parent
_SECONDS_TO_READ = 10.0
_OWN_HOSTS = frozenset({"127.0.0.1", "localhost"})
_WAYS = (
    (ChartBy.PREFETCH, "sent with the call (prefetch)"),
    (ChartBy.FHIR, "read by the service from the FHIR server"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TestEhr:
    """What the page offers."""

    __test__ = False  # no test case, whatever its name says

    stories: Sequence[DemoStory]
    servers: TestEhrServers
    today: date
    """The day to which the stories were moved."""

    def install(self, app: Flask) -> None:
        """Put the page in the place of the service's front page, and add its own addresses."""
        pages = Blueprint(
            "test_ehr",
            __name__,
            url_prefix=PREFIX,
            root_path=str(_FOLDER),
            template_folder="templates",
            static_folder="static",
        )
        pages.add_url_rule("/call", view_func=self.call)
        pages.add_url_rule("/markdown", view_func=markdown, methods=["POST"])
        pages.add_url_rule("/explanations/<service_id>", view_func=explain, methods=["POST"])
        app.register_blueprint(pages)
        app.before_request(_refuse_other_hosts)
        app.view_functions[_FRONT_PAGE] = self.page

    def page(self) -> Response:
        """Answer the page, with the chosen patient."""
        wiring = wiring_of_app()
        chosen = self._chosen()
        html = render_template(
            "test_ehr.html",
            prefix=PREFIX,
            chosen=chosen,
            stories=self.stories,
            servers=self.servers.bases,
            patients=patients_of(chosen.server, self.servers),
            ways=_WAYS,
            services=wiring.knowledge.services,
            knowledge=wiring.knowledge,
            version=__version__,
            warnings=warnings_of(wiring),
        )
        answer = Response(html, content_type="text/html; charset=utf-8")
        answer.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        answer.headers["Referrer-Policy"] = "no-referrer"
        return answer

    def _chosen(self) -> "_Choice":
        """Return what the address of the page says; nothing chosen is the first story."""
        patient = request.args.get("patient", "").strip()
        way = request.args.get("chart", "")
        return _Choice(
            story="" if patient else request.args.get("story", "") or self.stories[0].name,
            server=request.args.get("server", "") or self.servers.own,
            patient=patient,
            chart_by=ChartBy(way) if way in list(ChartBy) else None,
        )

    def call(self) -> Response:
        """Answer the call that this EHR makes for the chosen patient, hook and drafts open."""
        chosen = self._chosen()
        knowledge = wiring_of_app().knowledge
        story = next((one for one in self.stories if one.name == chosen.story), None)
        if story is not None:
            call = call_of_story(story, knowledge, self.servers, chosen.chart_by)
        elif not chosen.patient:
            raise MalformedRequest("There is no story with this name.")
        else:
            call = call_of_patient(
                chosen.server,
                chosen.patient,
                knowledge,
                self.servers,
                chart_by=chosen.chart_by,
                today=self.today,
            )
        return _json(
            {
                "call": call,
                "says": story.says if story else "",
                "expected": dict(story.expected) if story else {},
                "hook": story.request["hook"] if story else "order-select",
                "patient": _banner(patient_in(call, self.servers)),
                "today": self.today.isoformat(),
                "services": {s.hook: s.id for s in knowledge.services},
                "orderables": list(map(_offered, ORDERABLES)),
                "reasons": list(map(_offered, REASONS)),
                "priorities": list(PRIORITIES),
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Choice:
    """What the address of the page says; the page adds `fire`, and edited drafts behind a `#`."""

    story: str
    """Name; empty where a patient is chosen."""
    server: str
    patient: str
    chart_by: ChartBy | None


def _refuse_other_hosts() -> None:
    """Raise MalformedRequest for a request to a name that a web page may have pointed at us.

    Nobody proves who they are here, so a page from elsewhere must not get to read the answers
    as its own (DNS rebinding).
    """
    if request.host.partition(":")[0] not in _OWN_HOSTS:
        raise MalformedRequest("The demo answers at 127.0.0.1 and localhost only.")


def markdown() -> Response:
    """Answer the trees of the Markdown texts in the body."""
    body = strict_json.loads(request.get_data())
    texts = body.get("texts") if is_object(body) else None
    if not is_array(texts):
        raise MalformedRequest("texts must be a list of Markdown texts.")
    return _json({"trees": [markdown_tree(str(text)) for text in texts]})


def explain(service_id: str) -> Response:
    """Judge a call again, unrecorded, and answer why; the answer of the hook itself is not used."""
    wiring = wiring_of_app()
    service = next((s for s in wiring.knowledge.services if s.id == service_id), None)
    if service is None:
        raise UnknownService("There is no service with this id; see /cds-services.")
    hook_request = parse_request(
        request.get_data(), service_hook=service.hook, service_id=service.id
    )
    started = time.perf_counter()
    sources = complete(
        hook_request,
        wiring.knowledge,
        allowed_servers=wiring.settings.fhir_servers,
        reader=wiring.reader,
        budget_seconds=_SECONDS_TO_READ,
        monotonic=time.monotonic,
    )
    read = time.perf_counter()
    with wiring.judging:
        outcome = evaluate(
            wiring.knowledge,
            hook_request,
            sources,
            today=_today(wiring),
            zone=wiring.settings.time_zone,
            site=wiring.site,
        )
    judged = time.perf_counter()
    timing = {"readingMs": _ms(read - started), "judgingMs": _ms(judged - read)}
    return _json({**explanation(wiring.knowledge, outcome), "timing": timing})


def _today(wiring: Wiring) -> date:
    return wiring.clock().astimezone(wiring.settings.time_zone).date()


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


def _banner(patient: Mapping[str, object]) -> str:
    """Return the line by which an EHR says whose chart is open."""
    words = (name_of(patient), patient.get("gender"), f"born {patient.get('birthDate', '?')}")
    return ", ".join(str(word) for word in words if word)


def _offered(orderable: Orderable) -> Mapping[str, object]:
    return {"id": orderable.id, "label": orderable.label, "concept": orderable.concept}


def _json(body: object) -> Response:
    return Response(strict_json.dumps(body), content_type="application/json")
