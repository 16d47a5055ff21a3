"""The page for people at `/`: which services run, with which knowledge.

Plain HTML without scripts and without anything from another host.
"""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from html import escape

from cds_service.knowledge import Knowledge

STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse}td,th{border:1px solid #999;padding:.3rem .6rem;"
    "text-align:left;vertical-align:top}code{background:#eee}"
    ".loud{border:2px solid #b00;padding:1rem}"
)


def hash_of(style: str) -> str:
    """Return what a Content-Security-Policy calls this style."""
    return f"sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}"


CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src '{hash_of(STYLE)}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def front_page(topics: Sequence[Knowledge], version: str, warnings: Iterable[str]) -> str:
    """Return the page at `/`: warnings first, then services, knowledge and links."""
    loud = "".join(f'<p class="loud">{escape(text)}</p>' for text in warnings)
    rows = "".join(
        f"<tr><td>{escape(s.title)}</td><td><code>{escape(s.hook)}</code></td>"
        f"<td><code>/cds-services/{escape(s.id)}</code></td></tr>"
        for knowledge in topics
        for s in knowledge.services
    )
    known = "".join(
        f"<p>Knowledge <code>{escape(k.id)}</code> version {escape(k.version)}, "
        f"state {escape(k.approval.state)}, <code>{escape(k.digest)}</code>; "
        f"software version {escape(version)}.</p>"
        for k in topics
    )
    links = "".join(
        f'<li><a href="knowledge/{escape(k.id)}">Rules, ratings and sources for review</a>'
        f"{f' ({escape(k.title)})' if len(topics) > 1 else ''}</li>"
        for k in topics
    )
    return _page(
        topics[0].title,
        f"{loud}<p>A CDS Hooks 2.0 service. It advises; it never blocks an order.</p>"
        f"<table><tr><th>Service</th><th>Hook</th><th>Path</th></tr>{rows}</table>"
        f"{known}<ul>{links}"
        '<li><a href="cds-services">Discovery</a></li>'
        '<li><a href="openapi.json">OpenAPI document</a></li>'
        '<li><a href="health/ready">Readiness</a></li>'
        '<li><a href="metrics">Metrics</a></li></ul>',
    )


def _page(title: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>"
        f"<body><h1>{escape(title)}</h1>{body}</body></html>"
    )
