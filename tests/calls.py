"""Calls the application in this process, with the clock fixed: what most tests need."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from flask import Flask
from werkzeug.test import TestResponse

from cds_service.app import create_app
from cds_service.knowledge import Knowledge
from cds_service.knowledge_loading.folders import find_folders
from cds_service.knowledge_loading.loader import load_knowledge
from cds_service.settings import Settings
from cds_service.site_file import load_site_file

DECISIONS = "org.lumbar-mri-cds.decisions"


@cache
def knowledge() -> Knowledge:
    """Return the bundled knowledge, loaded once for all tests."""
    return load_knowledge(find_folders()[0].folder)


@cache
def app_on(day: str, site_file: Path | None = None) -> Flask:
    """Return the application as it is on `day` (ISO date, UTC)."""
    noon = datetime.fromisoformat(f"{day}T12:00:00").replace(tzinfo=UTC)
    return create_app(
        Settings.from_environ({"CDS_CLIENT_AUTH": "off"}),
        knowledge=knowledge(),
        clock=lambda: noon,
        site=load_site_file(site_file),
    )


def post(
    body: object, *, day: str, site_file: Path | None = None, service: str = ""
) -> TestResponse:
    """Post a hook request; the service is that of its hook unless named."""
    if not service:
        hook = body["hook"] if isinstance(body, Mapping) else "order-select"
        service = f"lumbar-mri-{hook}"
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return (
        app_on(day, site_file)
        .test_client()
        .post(f"/cds-services/{service}", data=data, content_type="application/json")
    )


def decisions_in(answer: TestResponse) -> list[dict[str, object]]:
    """Return the decision objects of a 200 answer."""
    content = answer.get_json()
    found: list[dict[str, object]] = content.get("extension", {}).get(DECISIONS, [])
    return found


def suggestions_in(answer: TestResponse) -> Iterator[dict[str, Any]]:
    """Yield every suggestion of every card."""
    for card in answer.get_json()["cards"]:
        yield from card.get("suggestions", [])
