"""Two pages for people: which services run, and the review page of the knowledge.

Plain HTML without scripts and without anything from another host.
"""

import base64
import hashlib
import re
from collections.abc import Iterable
from functools import lru_cache
from html import escape

from markdown_it import MarkdownIt

from cds_service.knowledge import Knowledge

_STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse}td,th{border:1px solid #999;padding:.3rem .6rem;"
    "text-align:left;vertical-align:top}code{background:#eee}"
    ".loud{border:2px solid #b00;padding:1rem}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_FILE_LINK = re.compile(r"\[([^\]\n]{1,80})\]\(value_sets/[^)\n]{1,120}\)")
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")


def front_page(knowledge: Knowledge, version: str, warnings: Iterable[str]) -> str:
    """Return the page at `/`: warnings first, then services, knowledge and links."""
    loud = "".join(f'<p class="loud">{escape(text)}</p>' for text in warnings)
    rows = "".join(
        f"<tr><td>{escape(s.title)}</td><td><code>{escape(s.hook)}</code></td>"
        f"<td><code>/cds-services/{escape(s.id)}</code></td></tr>"
        for s in knowledge.services
    )
    review = f"/knowledge/{escape(knowledge.id)}"
    return _page(
        knowledge.title,
        f"{loud}<p>A CDS Hooks 2.0 service. It advises; it never blocks an order.</p>"
        f"<table><tr><th>Service</th><th>Hook</th><th>Path</th></tr>{rows}</table>"
        f"<p>Knowledge <code>{escape(knowledge.id)}</code> version {escape(knowledge.version)}, "
        f"state {escape(knowledge.approval.state)}, <code>{escape(knowledge.digest)}</code>; "
        f"software version {escape(version)}.</p>"
        f'<ul><li><a href="{review}">Rules, ratings and sources for review</a></li>'
        '<li><a href="/cds-services">Discovery</a></li>'
        '<li><a href="/health/ready">Readiness</a></li>'
        '<li><a href="/metrics">Metrics</a></li></ul>',
    )


def review_page(knowledge: Knowledge, review: str) -> str:
    """Return the review text (Markdown) as a page; HTML in it is shown, not interpreted.

    Links to files of the knowledge folder become their words: the files are not served.
    """
    return _page(f"{knowledge.title}: review", _rendered(review))


@lru_cache(maxsize=1)
def _rendered(review: str) -> str:
    # A quarter of a second of work, for an address that is open to all.
    return str(_MARKDOWN.render(_FILE_LINK.sub(r"\1", review)))


def _page(title: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{escape(title)}</h1>{body}</body></html>"
    )
