"""The service that is fired at: in this process, or running somewhere."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

import requests

from cds_service.errors import CdsError, SettingsError
from cds_service.evaluation import Evaluation
from cds_service.json_schemas import is_array, is_object
from cds_service.knowledge import ServiceDescription
from cds_service.prefetch.queries import PublishedPrefetch
from cds_service.protocol import DECISIONS_EXTENSION, hook_answer
from cds_service.strict_json import dumps

_SECONDS_TO_ANSWER = 30
_TOPIC_PREFIX = "lumbar-mri-"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialAnswer:
    """The body of a 200 answer, or why there is none."""

    body: Mapping[str, object]
    error: str = ""

    @property
    def cards(self) -> list[Mapping[str, object]]:
        """Cards as sent."""
        return _objects(self.body.get("cards"))

    @property
    def decisions(self) -> list[Mapping[str, object]]:
        """Decision objects as sent."""
        extension = self.body.get("extension")
        return _objects(extension.get(DECISIONS_EXTENSION) if is_object(extension) else None)


class TrialService(Protocol):
    """What can be fired at."""

    def published(self) -> PublishedPrefetch:
        """Return what its discovery asks for."""

    def service_id(self, hook: str) -> str:
        """Return the id that answers a hook."""

    def fire(self, request: Mapping[str, object]) -> TrialAnswer:
        """Post one request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InProcess:
    """The service of this installation, without HTTP."""

    evaluation: Evaluation

    def published(self) -> PublishedPrefetch:
        """Return the knowledge itself."""
        return self.evaluation.knowledge

    def service_id(self, hook: str) -> str:
        """Return the id that answers a hook."""
        return _id_of(self.evaluation.knowledge.services, hook)

    def fire(self, request: Mapping[str, object]) -> TrialAnswer:
        """Judge one request."""
        try:
            outcome = self.evaluation.outcome_of(dumps(dict(request)))
        except CdsError as error:
            return TrialAnswer(body={}, error=f"{error.status} {error.code}: {error}")
        return TrialAnswer(body=hook_answer(outcome.cards, outcome.decisions))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Discovered:
    services: tuple[ServiceDescription, ...]
    prefetch_types: Mapping[str, str]


class Running:
    """A service at a base URL, as an EHR finds it: by its discovery."""

    def __init__(self, url: str) -> None:
        """Read the discovery. Raises SettingsError if there is none."""
        self._url = url.rstrip("/")
        try:
            answer = requests.get(f"{self._url}/cds-services", timeout=_SECONDS_TO_ANSWER)
            found = _objects(answer.json().get("services")) if answer.ok else []
        except (requests.RequestException, ValueError, AttributeError):
            found = []
        ours = [s for s in found if str(s.get("id", "")).startswith(_TOPIC_PREFIX)]
        if not ours:
            message = f"{url}/cds-services names no {_TOPIC_PREFIX} service: check --service"
            raise SettingsError(message)
        self._found = _Discovered(
            services=tuple(map(_description, ours)),
            prefetch_types={
                key: template.partition("?")[0].partition("/")[0]
                for service in map(_description, ours)
                for key, template in service.prefetch.items()
            },
        )

    def published(self) -> PublishedPrefetch:
        """Return what the discovery asks for."""
        return self._found

    def service_id(self, hook: str) -> str:
        """Return the id that answers a hook."""
        return _id_of(self._found.services, hook)

    def fire(self, request: Mapping[str, object]) -> TrialAnswer:
        """Post one request, without a client token."""
        service_id = self.service_id(str(request["hook"]))
        try:
            answer = requests.post(
                f"{self._url}/cds-services/{service_id}",
                data=dumps(dict(request)),
                headers={"Content-Type": "application/json"},
                timeout=_SECONDS_TO_ANSWER,
            )
            body = answer.json()
        except (requests.RequestException, ValueError):
            return TrialAnswer(body={}, error=f"{self._url} did not answer with JSON")
        if answer.status_code == HTTPStatus.UNAUTHORIZED:
            message = (
                f"{self._url} wants a client token (401): try one that runs with "
                "CDS_CLIENT_AUTH=off, or leave out --service"
            )
            raise SettingsError(message)
        if not answer.ok or not is_object(body):
            return TrialAnswer(body={}, error=f"{answer.status_code} {_diagnostics(body)}".strip())
        return TrialAnswer(body=body)


def _id_of(services: Sequence[ServiceDescription], hook: str) -> str:
    for service in services:
        if service.hook == hook:
            return service.id
    message = f"no service answers the hook {hook}"
    raise SettingsError(message)


def _description(found: Mapping[str, object]) -> ServiceDescription:
    templates = found.get("prefetch")
    return ServiceDescription(
        id=str(found.get("id", "")),
        hook=str(found.get("hook", "")),
        title=str(found.get("title", "")),
        description="",
        usage_requirements="",
        prefetch={k: str(v) for k, v in templates.items()} if is_object(templates) else {},
    )


def _diagnostics(body: object) -> str:
    issues = _objects(body.get("issue")) if is_object(body) else []
    return str(issues[0].get("diagnostics", "")) if issues else ""


def _objects(value: object) -> list[Mapping[str, object]]:
    return [member for member in value if is_object(member)] if is_array(value) else []
