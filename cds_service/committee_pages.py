"""The committee's pages: the rules with search, the value sets with their codes, what-if.

Whole without the script; the script comes from this service, nothing from another host. What
knowledge and clinicians wrote is shown as text, never interpreted as HTML.
"""

import importlib.resources
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from html import escape

from markdown_it import MarkdownIt

from cds_service.cards.safety import safety_lines
from cds_service.fhir import object_of, objects, text_of
from cds_service.knowledge import FactDefinition, Knowledge, Rule
from cds_service.knowledge_loading.conditions import ORDER_ATTRIBUTES
from cds_service.knowledge_proofs.claims import claims, left_out
from cds_service.knowledge_review.cases import USUAL_ORDER
from cds_service.knowledge_review.check import CHECKED
from cds_service.knowledge_review.rules import RATING_WORDS
from cds_service.knowledge_review.words import safe, table
from cds_service.pages import STYLE, hash_of
from cds_service.review_notes import CaseValue, ValueSetNote
from cds_service.topics import Topic
from cds_service.what_if import ORDER, UNREAD, WhatIf

SCRIPT_PATH = "/assets/review.js"
_STYLE = (
    f"{STYLE}nav a{{margin-right:1rem}}fieldset{{columns:22rem;border:1px solid #999}}"
    "fieldset label{display:block;break-inside:avoid;margin:.2rem 0}select{margin-right:.4rem}"
    ".card{border:2px solid #567;padding:0 1rem;margin:1rem 0}td{overflow-wrap:anywhere}"
    "section{scroll-margin-top:3rem}"
    "#searching{position:sticky;top:0;background:#fff;padding:.4rem 0}"
    "@media print{nav,form,#searching{display:none}body{max-width:none;margin:0;font-size:10pt}"
    "tr,li,.card{break-inside:avoid}h2,h3{break-after:avoid}thead{display:table-header-group}}"
)
CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src '{hash_of(_STYLE)}'; script-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_FILE_LINK = re.compile(r"\[([^\]\n]{1,80})\]\(value_sets/([^)\n]{1,120})\.json\)")
_TITLE = re.compile(r"\A# [^\n]*\n")
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")
_VALUES: Mapping[str, str] = {
    "": "as it follows",
    CaseValue.TRUE: "yes",
    CaseValue.POSSIBLE: "yes, on weak evidence",
    CaseValue.FALSE: "no",
    CaseValue.POSSIBLE_FALSE: "no, on weak evidence",
    CaseValue.UNKNOWN: "not known",
}
_ATTRIBUTES: Mapping[str, str] = {
    "protocol": "Ordered exam",
    "priority": "Priority",
    "contrast_only_code": "Contrast only, said by a code",
    "contrast": "Contrast, of an exam of several regions",
}


def script() -> bytes:
    """Return the script of the pages."""
    return (importlib.resources.files("cds_service") / "assets" / "review.js").read_bytes()


def review_page(topic: Topic) -> str:
    """Return rules, facts, cases and wording, and what a check holds of them."""
    knowledge = topic.knowledge
    links = rf"[\1]({knowledge.id}/value-sets#\2)"
    # The page has a title of its own.
    text = _FILE_LINK.sub(links, _TITLE.sub("", topic.review)) + _checks(knowledge)
    return _searchable(knowledge, "review", _rendered(text), up="..")


def value_sets_page(topic: Topic) -> str:
    """Return every value set with its codes, where each was verified, and its text patterns."""
    knowledge = topic.knowledge
    body = "".join(
        f'<section id="{escape(note.id)}">{_rendered(_value_set(note))}</section>'
        for note in knowledge.value_set_notes
    )
    return _searchable(knowledge, "value sets and codes", body, up="../..")


def what_if_page(knowledge: Knowledge, answered: WhatIf) -> str:
    """Return the form with what was chosen, and the row and cards that it leads to."""
    given = answered.given
    groups = (
        ("Red flags", [f for f in knowledge.facts if f.is_red_flag]),
        ("Other facts", [f for f in knowledge.facts if not (f.is_red_flag or f.is_internal)]),
        ("Parts of other facts", [f for f in knowledge.facts if f.is_internal]),
    )
    order = {**USUAL_ORDER, **given.order}
    unread = given.unreadable[0] if given.unreadable else ""
    kinds = sorted(set(knowledge.prefetch_types.values()))
    form = "".join(
        (
            '<form method="get" action="what-if">',
            "<fieldset><legend>The order</legend>",
            *(
                _choice(ORDER + name, _ATTRIBUTES[name], {v: v for v in values}, order[name])
                for name, values in ORDER_ATTRIBUTES.items()
            ),
            _choice(UNREAD, "Could not be read", {"": "none", **{k: k for k in kinds}}, unread),
            "</fieldset>",
            *(_facts(legend, facts, given.facts) for legend, facts in groups),
            '<p><button>Show row and card</button> <a href="?">Start again</a></p></form>',
        )
    )
    said = _answer(knowledge, answered)
    intro = "<p>No patient is involved: choose facts and an order, and see what the tables say.</p>"
    return _page(knowledge, "what if", f"<main>{intro}{said}{form}</main>", up="../..")


def _answer(knowledge: Knowledge, answered: WhatIf) -> str:
    decision = answered.decision
    rows = [
        ("Base row", _named(decision.rule)),
        ("Rating", RATING_WORDS[decision.rating] + _provisional(is_so=decision.is_provisional)),
        ("Variant", _variant(knowledge, decision.variant)),
        ("Repeat row", _named(decision.repeat_rule) if decision.repeat_rule else ""),
        ("Contrast row", _named(decision.protocol_rule) if decision.protocol_rule else ""),
        ("Safety rows", "; ".join(map(_named, decision.safety_rules))),
        ("Softened by", "; ".join(brake.says for brake in decision.brakes)),
        ("Asks for", ", ".join(knowledge.fact(f).label for f in decision.missing)),
        ("The message is that of row", answered.leading if answered.cards else ""),
    ]
    told = "".join(f"<tr><th>{n}</th><td>{escape(text)}</td></tr>" for n, text in rows if text)
    cards = "".join(map(_card, answered.cards)) or "<p>No card is shown.</p>"
    lines = () if answered.cards else safety_lines(knowledge, decision)
    return f"<table><tbody>{told}</tbody></table>{cards}{''.join(map(_MARKDOWN.render, lines))}"


def _named(rule: Rule) -> str:
    own_id = f" ({rule.id})" if rule.id != rule.row else ""
    return f"{rule.row}{own_id}: {rule.says}"


def _card(card: Mapping[str, object]) -> str:
    offers = "".join(f"<li>{escape(text_of(s.get('label')))}</li>" for s in _list(card))
    offered = f"<p>Offers:</p><ul>{offers}</ul>" if offers else ""
    return (
        f'<section class="card"><p><strong>{escape(text_of(card.get("summary")))}</strong> '
        f"({escape(text_of(card.get('indicator')))})</p>"
        f"{_MARKDOWN.render(text_of(card.get('detail')))}{offered}</section>"
    )


def _list(card: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    return (object_of(suggestion) for suggestion in objects(card.get("suggestions")))


def _facts(legend: str, facts: Iterable[FactDefinition], chosen: Mapping[str, CaseValue]) -> str:
    choices = "".join(
        _choice(fact.id, f"{fact.says} ({fact.id})", _VALUES, chosen.get(fact.id, ""))
        for fact in facts
    )
    return f"<fieldset><legend>{legend}</legend>{choices}</fieldset>" if choices else ""


def _choice(name: str, label: str, values: Mapping[str, str], chosen: str) -> str:
    options = "".join(
        f'<option value="{escape(value)}"{" selected" if value == chosen else ""}>'
        f"{escape(words)}</option>"
        for value, words in values.items()
    )
    return f'<label><select name="{escape(name)}">{options}</select>{escape(label)}</label>'


def _provisional(*, is_so: bool) -> str:
    return " (provisional)" if is_so else ""


def _variant(knowledge: Knowledge, number: int | None) -> str:
    return f"{number}: {knowledge.variants[number]}" if number is not None else ""


def _value_set(note: ValueSetNote) -> str:
    members = ((m.system, f"`{m.code}`", m.display, m.confidence, m.source) for m in note.members)
    whole = f"\nTakes in whole: {', '.join(note.includes)}\n" if note.includes else ""
    patterns = [f"- text: {_code(pattern)}" for pattern in note.words]
    patterns += [f"- but not: {_code(pattern)}" for pattern in note.never]
    headings = ("system", "code or filter", "label", "confidence", "verified in")
    listed = "\n".join(table(headings, members)) if note.members else "No codes: words only."
    title = f"## {safe(note.title)} (`{note.id}`)\n{whole}\n"
    return f"{title}{listed}\n\n" + "\n".join(patterns)


def _code(pattern: str) -> str:
    """Return a pattern as code; the fence is longer than any run of backticks in it."""
    return f"```` {pattern} ````"


def _checks(knowledge: Knowledge) -> str:
    lines = ["", "## What a check holds of this folder", ""]
    lines.append(
        "Nothing was proved while this page was made. `cds-service knowledge check` runs all of "
        "this on a folder, `cds-service knowledge approve` signs only what passes, and no version "
        f"is shipped that does not. Run it to see it of `{knowledge.digest}`."
    )
    lines += ["", *(f"- {claim}" for claim in CHECKED), ""]
    lines += ["Proved over all combinations of fact values:", ""]
    lines += [f"{number}. {says}" for number, says in claims(knowledge).items()]
    lines += ["", *(f"- {says}" for says in left_out(knowledge))]
    return "\n".join(lines)


@lru_cache(maxsize=512)
def _rendered(text: str) -> str:
    # A quarter of a second of work for the rules, at an address that is open to all.
    return str(_MARKDOWN.render(text))


def _searchable(knowledge: Knowledge, what: str, body: str, *, up: str) -> str:
    search = (
        '<p id="searching" hidden><label>Search <input id="search" type="search"></label> '
        '<span id="found" role="status"></span></p>'
    )
    tail = f'<script src="{up}{SCRIPT_PATH}" defer></script>'
    return _page(knowledge, what, f"{search}<main>{body}</main>{tail}", up=up)


def _page(knowledge: Knowledge, what: str, body: str, *, up: str) -> str:
    """Return a page; `up` leads from it to `/`, also where a proxy adds a prefix."""
    title = escape(f"{knowledge.title}: {what}")
    base = f"{up}/knowledge/{escape(knowledge.id)}"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>"
        f'<nav><a href="{up}/">Service</a> <a href="{base}">Rules, facts and cases</a> '
        f'<a href="{base}/value-sets">Value sets and codes</a> '
        f'<a href="{base}/what-if">What if</a></nav>{body}</body></html>'
    )
