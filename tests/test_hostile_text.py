"""No text of a chart becomes anything but text in a card (quirk 54, R-CARD-03, R-LINK-06).

Every free text of every story is made hostile at once, each marked with a number of its own, so
that the texts which reach a card are found and not listed. Details are rendered as the worst client
would: GitHub Markdown with raw HTML.
"""

import copy
import dataclasses
import re
from collections.abc import Iterator
from datetime import date
from functools import cache
from html.parser import HTMLParser
from typing import Any

import pytest
from answers import exchanges, with_prefetch
from bundled import knowledge
from fixture_stories import Story, as_of, stories
from fuzzing.odd_values import INVISIBLE, MARKUP
from http_service import LUMBAR_MRI, client, fire, hook_request, post
from markdown_it import MarkdownIt

from cds_service.card_text import https_address
from cds_service.committee_pages import review_page, value_sets_page, what_if_page
from cds_service.pages import front_page
from cds_service.topics import Topic
from cds_service.what_if import answer, situation_of

HOSTILE = (*MARKUP, *INVISIBLE, "unbroken" * 40)
FREE_TEXT = frozenset(
    {
        *("text", "display", "title", "conclusion", "valueString", "description", "unit", "name"),
        *("deviceName", "manifestation", "div", "comment", "patientInstruction", "family"),
    }
)
MARKED = re.compile(r"m(\d+)m")
NOT_SHOWN = re.compile(r"[\x00-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
TAG = re.compile(r"<[A-Za-z/!?]")
ADDRESS = re.compile(
    r"(?i)\bwww\.\w|//\w|\b(?:https?|ftp|mailto|xmpp|javascript|vbscript|data):[^\s\\]|\S@\S"
)
OWN_LINK = re.compile(r"\[[^\]]*\]\((https://[^)\s]+)\)")


class Dom(HTMLParser):
    """What a browser would make of a page: tags, attributes, links, and what is in bold."""

    def __init__(self, html: str) -> None:
        """Read a page."""
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: set[str] = set()
        self.bold: list[str] = []
        self._is_bold = False
        self.other: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element with its attributes and addresses."""
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links |= {str(value) for name, value in attrs if name in {"href", "src"}}
        if tag == "strong":
            self._is_bold = True
            self.bold.append("")

    def handle_endtag(self, tag: str) -> None:
        """Note where bold text ends."""
        self._is_bold = self._is_bold and tag != "strong"

    def handle_data(self, data: str) -> None:
        """Keep what is in bold."""
        if self._is_bold:
            self.bold[-1] += data

    def handle_comment(self, data: str) -> None:
        """Note a comment."""
        self.other.append(data)

    def handle_decl(self, decl: str) -> None:
        """Note a declaration."""
        self.other.append(decl)

    def handle_pi(self, data: str) -> None:
        """Note a processing instruction."""
        self.other.append(data)


def rendered(markdown: str) -> Dom:
    reader = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    return Dom(str(reader.render(markdown)))


def places(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of every free text."""
    if isinstance(value, dict):
        for name, member in value.items():
            if isinstance(member, str) and name in FREE_TEXT:
                yield (*path, name)
            else:
                yield from places(member, (*path, name))
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from places(member, (*path, index))


def named(request: object, path: tuple[str | int, ...]) -> str:
    """Return where in FHIR a path leads: `Condition.code.text`."""
    node, name = request, ""
    for step in path:
        if isinstance(node, dict) and isinstance(node.get("resourceType"), str):
            name = "" if node["resourceType"] == "Bundle" else node["resourceType"]
        name += f".{step}" if isinstance(step, str) and name else ""
        node = node[step]  # type: ignore[index]  # the path was read off this value
    return name


def poisoned(story: Story, turn: int) -> tuple[dict[str, Any], dict[int, str]]:
    """Return the request with every free text hostile, before or after its own words."""
    request = copy.deepcopy(with_prefetch(story))
    planted = {}
    for number, path in enumerate(list(places(request))):
        node: Any = request
        for step in path[:-1]:
            node = node[step]
        bad = f"m{number}m {HOSTILE[(number + 7 * turn) % len(HOSTILE)]}"
        said = node[path[-1]]
        node[path[-1]] = f"{said} {bad}" if turn % 2 else f"{bad} {said}"
        planted[number] = named(request, path)
    return request, planted


@cache
def plain_bold() -> frozenset[str]:
    """Return all that stands in bold in answers to plain stories: headings, not the chart."""
    cards = [card for exchange in exchanges() for card in exchange.cards]
    return frozenset(text for card in cards for text in rendered(str(card["detail"])).bold)


@cache
def own_addresses() -> frozenset[str]:
    """Return the addresses of the knowledge."""
    urls = (reference.url for reference in knowledge().references.values())
    return frozenset(url for url in urls if url)


def problems_of(card: dict[str, Any]) -> Iterator[str]:
    detail = card["detail"]
    dom = rendered(detail)
    without_links = OWN_LINK.sub(lambda m: "" if m[1] in own_addresses() else m[0], detail)
    if strange := dom.tags - {"p", "strong", "ul", "li", "a"}:
        yield f"elements {sorted(strange)}"
    if dom.attributes - {"href"} or dom.other:
        yield f"attributes {sorted(dom.attributes)}, {dom.other}"
    if strange := dom.links - own_addresses():
        yield f"links {sorted(strange)}"
    if strange := set(dom.bold) - plain_bold():
        yield f"in bold {sorted(strange)}"
    if found := ADDRESS.search(without_links):
        yield f"would be linked: {found[0]!r}"
    if found := NOT_SHOWN.search(detail.replace("\n", "")):
        yield f"invisible {found[0]!r}"
    for text in plain_texts(card):
        if TAG.search(text) or NOT_SHOWN.search(text):
            yield f"in plain text {text!r}"


def plain_texts(card: dict[str, Any]) -> Iterator[str]:
    """Yield what clients show as plain text."""
    yield card["summary"]
    for link in card.get("links", []):
        yield link["label"]
    for suggestion in card.get("suggestions", []):
        yield suggestion["label"]
        yield from (action["description"] for action in suggestion["actions"])


REACHES_A_CARD = {
    *("Condition.code.text", "Observation.code.coding.display", "Procedure.code.text"),
    *("MedicationRequest.medicationCodeableConcept.text", "Device.type.text"),
    *("ServiceRequest.reasonCode.text", "ServiceRequest.code.text"),
    *("AllergyIntolerance.code.text", "Observation.valueString"),
}


def test_hostile_chart_text_is_only_ever_text_in_a_card() -> None:
    """R-CARD-03, R-CARD-05, R-LINK-06."""
    problems, reached, rows = [], set(), set()
    # Every third one: all of them take minutes, and say no more.
    for turn, story in enumerate(stories()[::3]):
        request, planted = poisoned(story, turn)
        answer = post(request, day=as_of(), site_file=story.site_file)
        assert answer.status_code == 200, (story.name, answer.text)
        for card in answer.get_json()["cards"]:
            shown = " ".join([card["detail"], *plain_texts(card)])
            reached |= {planted[int(number)] for number in MARKED.findall(shown)}
            rows.add(card["source"]["topic"]["code"])
            problems += [f"{story.name}: {problem}" for problem in problems_of(card)]

    assert [] == problems
    assert set() == REACHES_A_CARD - reached
    assert len(rows) > 15


WRITTEN_BY_OTHERS = "<img src=x onerror=alert(1)>[x](javascript:alert(1))\u202e\n# x m7m "


@pytest.mark.parametrize("element", ["resourceType", "id", "status", "intent"])
def test_hostile_codes_and_ids_of_drafts_are_only_text(element: str) -> None:
    """R-CARD-05: an emergency told by another draft, whose type or id is markup."""
    other = {
        "resourceType": "CommunicationRequest",
        "id": "other",
        "note": [{"text": "new saddle numbness and urinary retention, r/o cauda equina"}],
        element: WRITTEN_BY_OTHERS,
    }
    cards = fire(client(), hook_request(LUMBAR_MRI, other)).get_json()["cards"]

    assert cards
    assert [] == [problem for card in cards for problem in problems_of(card)]


@pytest.mark.parametrize("element", ["id", "resourceType"])
def test_hostile_ids_of_the_chart_are_only_text(element: str) -> None:
    """R-CARD-05."""
    request = hook_request()
    prefetch: Any = request["prefetch"]
    prefetch["conditions"]["entry"][0]["resource"][element] = WRITTEN_BY_OTHERS
    answer = fire(client(), request)

    assert "m7m" not in answer.text
    for card in answer.get_json()["cards"]:
        assert [] == list(problems_of(card))


def test_a_hostile_title_is_plain_where_the_basket_holds_several_orders() -> None:
    """R-SUG-01, R-ACT-02: titles tell drafts apart in descriptions of actions."""
    title = f"MRI lumbar spine {WRITTEN_BY_OTHERS}"
    named = {**LUMBAR_MRI, "code": {**LUMBAR_MRI["code"], "text": title}}  # type: ignore[dict-item]  # an object
    cards = fire(client(), hook_request(named, {**LUMBAR_MRI, "id": "two"})).get_json()["cards"]
    told = [text for card in cards for text in plain_texts(card) if "m7m" in text]

    assert told
    assert [] == [problem for card in cards for problem in problems_of(card)]


@pytest.mark.parametrize(
    ("sent", "linked"),
    [
        *(
            (f"https://pacs.example{rest}", True)
            for rest in ("", "/", "/r/4?a=1&b=%20#f", ":8443/x")
        ),
        *((f"https://pacs.example/{rest}", False) for rest in ("a b", "\n", '"onclick="x', "<b>")),
        *(
            (f"https://{rest}/", False)
            for rest in ("", "u:p@evil.example", "[::1]", "a\u202eb", "é")
        ),
        *((f"{rest}://evil.example/", False) for rest in ("http", "javascript", "data", "file")),
        ("https://pacs.example/" + "x" * 5_000, False),
        ("//evil.example/", False),
        ("javascript:alert(1)//https://pacs.example/", False),
    ],
)
def test_only_a_plain_https_address_is_linked(sent: str, *, linked: bool) -> None:
    """R-LINK-06."""
    assert (sent if linked else "") == https_address(sent)


def test_hostile_knowledge_is_text_on_the_pages_for_people() -> None:
    """The pages show words of a site's own knowledge and settings; nothing of a chart."""
    hostile = "</h1><script>alert(1)</script>"
    changed = dataclasses.replace(knowledge(), title=hostile, version=hostile)
    front = Dom(front_page([changed], hostile, [hostile]))
    notes = tuple(
        dataclasses.replace(note, title=hostile, words=(f"` {hostile}",))
        for note in changed.value_set_notes
    )
    facts = tuple(dataclasses.replace(fact, says=hostile) for fact in changed.facts)
    changed = dataclasses.replace(changed, value_set_notes=notes, facts=facts)
    markdown = f"{hostile}\n\n[x](javascript:alert(1))\n\n<img src=x>"
    topic = Topic(knowledge=changed, review=markdown)
    given = situation_of([("fever_infection", "true")], changed, today=date(2026, 3, 16))
    pages = [review_page(topic), value_sets_page(topic)]
    pages.append(what_if_page(changed, answer(given, changed)))
    whole = re.compile(r'<script src="(\.\./)+assets/review\.js" defer></script>')
    led = re.compile(r"https://|[a-z./?-]*(#|$)")

    for page in (front, *(Dom(whole.sub("", text)) for text in pages)):
        assert not {"script", "img", "iframe"} & page.tags
        assert not {link for link in page.links if not led.match(link)}
        assert page.attributes <= {
            *("lang", "charset", "class", "href", "name", "content", "id", "hidden", "role"),
            *("type", "method", "action", "value", "selected"),
        }
