"""Cards and decisions on a terminal, the way a clinician and a developer would read them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.markdown import Markdown
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cds_service.decision import Decision

if TYPE_CHECKING:
    from cds_service.record.unmapped import UnmappedCode  # would bring SQLAlchemy to every start

_STYLES = {"info": "blue", "warning": "yellow", "critical": "red"}
_WIDTH = 100


def terminal() -> Console:
    """Return the console for people: plain text when it is not a terminal."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_WIDTH)


def print_card(console: Console, card: Mapping[str, object]) -> None:
    """Print one card: summary on top, detail, buttons."""
    indicator = str(card["indicator"])
    parts: list[RenderableType] = [Text(str(card["summary"]), style="bold")]
    if "detail" in card:
        parts += [Text(), Markdown(str(card["detail"]))]
    suggestions = card.get("suggestions")
    if isinstance(suggestions, Sequence) and suggestions:
        parts.append(Text())
        parts += [_button(s) for s in suggestions if isinstance(s, Mapping)]
    console.print(
        Panel(
            Group(*parts),
            title=f"[bold]{indicator.upper()}[/bold]",
            title_align="left",
            subtitle=_source(card),
            subtitle_align="right",
            border_style=_STYLES.get(indicator, "white"),
            width=min(console.width, _WIDTH),
        )
    )


def _button(suggestion: Mapping[str, object]) -> Text:
    recommended = "  (recommended)" if suggestion.get("isRecommended") else ""
    return Text(f"[ {suggestion['label']} ]{recommended}", style="cyan")


def _source(card: Mapping[str, object]) -> str:
    source = card.get("source")
    return Text(str(source.get("label", "")) if isinstance(source, Mapping) else "").plain


def print_decision(console: Console, decision: Mapping[str, object]) -> None:
    """Print one decision object in a line or two."""
    provisional = ", provisional" if decision.get("provisional") else ""
    variant = f", ACR variant {decision['variant']}" if "variant" in decision else ""
    safety = decision.get("safety", [])
    others = (decision.get("overlay"), decision.get("protocolRow"))
    named = [*filter(None, others), *(safety if isinstance(safety, list) else ())]
    beside = "".join(f" + {row}" for row in named)
    console.print(
        f"{decision['order']}: row {decision['row']}{beside}, {decision['rating']}{provisional}"
        f"{variant}, protocol {decision['protocol']}",
        soft_wrap=True,
    )
    for name in ("missing", "unreadable"):
        values = decision.get(name)
        if isinstance(values, Sequence) and values:
            console.print(f"  {name}: {', '.join(map(str, values))}", soft_wrap=True)


def explain(console: Console, decision: Decision) -> None:
    """Print every rule that was tried, in order, and what it lacked; then the facts."""
    rules = Table("rule", "result", box=None, pad_edge=False)
    for step in decision.trace:
        rules.add_row(step.rule, "[bold]holds[/bold]" if step.held else "; ".join(step.unmet))
    console.print(rules)
    facts = Table("fact", "value", "evidence", box=None, pad_edge=False)
    for definition in decision.picture.facts:
        finding = decision.picture.findings[definition.id]
        if finding.value is None and not finding.evidence:
            continue
        value = "unknown" if finding.value is None else str(finding.value).lower()
        strength = f" ({finding.strength})" if finding.strength else ""
        said = Text("; ".join(evidence.text for evidence in finding.evidence))
        facts.add_row(f"{definition.id} {definition.number}", f"{value}{strength}", said)
    console.print(facts)


def print_unmapped(console: Console, codes: Sequence["UnmappedCode"]) -> None:
    """Print codes that a site may want to map, the most frequent first."""
    table = Table("Orders", "Last seen", "Code", "Title", "System", "Client", box=None)
    for each in codes:
        table.add_row(
            str(each.orders),
            f"{each.last_seen_at:%Y-%m-%d}",
            Text(each.code),
            Text(each.title),
            Text(each.system),
            Text(each.client),
        )
    console.print(table)


def unmapped_lines(codes: Sequence["UnmappedCode"]) -> Iterator[str]:
    """Yield entries of `orderCodes` for an analyst to complete; JSON strings are YAML too."""
    yield "orderCodes:  # protocol: without, with, without-and-with, unspecified, multiregion, none"
    for each in codes:
        # The site file takes a code with its system only; without one, the title is what counts.
        members = (
            {"system": each.system, "code": each.code} if each.system else {"title": each.title}
        )
        fields = ", ".join(f"{name}: {json.dumps(value)}" for name, value in members.items())
        yield f"  - {{{fields}, protocol: CHOOSE}}  # {each.orders} orders: {each.title}"
