"""Every answer the service gives to the stories and to a few more requests, collected once."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from fixture_stories import PREFETCH_KEYS, Story, stories
from http_service import (
    KNEE_MRI,
    LUMBAR_MRI,
    NAPROXEN,
    body_of,
    bundle,
    client,
    fire,
    hook_request,
)

from cds_service.site_file import load_site_file


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A request that was answered with 200, and the answer."""

    name: str
    request: dict[str, object]
    answer: dict[str, object]

    @property
    def cards(self) -> list[dict[str, object]]:
        """Cards of the answer."""
        return objects(self.answer["cards"])

    @property
    def suggestions(self) -> list[dict[str, object]]:
        """Suggestions of all cards."""
        return [s for card in self.cards for s in objects(card.get("suggestions"))]

    @property
    def actions(self) -> list[dict[str, object]]:
        """Actions of all suggestions."""
        return [a for s in self.suggestions for a in objects(s.get("actions"))]

    @property
    def drafts(self) -> dict[str, dict[str, object]]:
        """Draft orders by `Type/id`."""
        context = self.request["context"]
        assert isinstance(context, dict)
        found = [objects([e.get("resource")]) for e in objects(context["draftOrders"]["entry"])]
        return {f"{d['resourceType']}/{d.get('id')}": d for ds in found for d in ds}


def objects(value: object) -> list[dict[str, object]]:
    """Return the objects in a list."""
    return [v for v in value if isinstance(v, dict)] if isinstance(value, list) else []


@cache
def exchanges() -> tuple[Exchange, ...]:
    """Return all exchanges; the cards among them cover every base row that has a story."""
    return tuple(_exchanges())


def _exchanges() -> Iterator[Exchange]:
    for story in stories():
        site = load_site_file(story.site_file)
        request = with_prefetch(story)
        response = fire(client(site=site), request)
        assert response.status_code == 200, f"{story.name}: {response.text}"
        yield Exchange(name=story.name, request=request, answer=body_of(response))
    two = {**LUMBAR_MRI, "id": "draft-2", "priority": "stat"}
    for name, request in {
        "other orders": hook_request(KNEE_MRI, NAPROXEN),
        "two lumbar MRIs": hook_request(LUMBAR_MRI, two),
        "on signing": hook_request(hook="order-sign"),
    }.items():
        yield Exchange(name=name, request=request, answer=body_of(fire(client(), request)))


def with_prefetch(story: Story) -> dict[str, object]:
    """Return the request of a story with every prefetch key answered from its chart."""
    request: dict[str, object] = dict(story.request)
    sent = request.get("prefetch")
    by_type: dict[str, list[dict[str, object]]] = {}
    for resource in story.resources:
        by_type.setdefault(str(resource["resourceType"]), []).append(dict(resource))
    answered: dict[str, object] = {
        key: bundle(*by_type.get(resource_type, [])) for key, resource_type in PREFETCH_KEYS.items()
    }
    answered["patient"] = next(iter(by_type.get("Patient", [])), None)
    request["prefetch"] = {**answered, **(sent if isinstance(sent, dict) else {})}
    return request
