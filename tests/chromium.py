"""Debian's Chromium, headless, driven by Playwright; every page is watched.

A page may ask its own server only, and its console must stay empty: the policy of the page reports
there what it has stopped. Screenshots go to `$TEST_EHR_SCREENSHOTS`, or nowhere.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

DESKTOP = (1400, 900)
PHONE = (360, 740)
_SEPARATORS = re.compile(r"[^\w-]+")
_SERIOUS = frozenset({"serious", "critical"})
_MILLISECONDS_TO_START = 120_000
_MILLISECONDS_TO_WAIT = 20_000


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the browser. Skips the test, loudly, where there is none."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    with sync_playwright() as playwright:
        # Root, as in most containers, cannot have Chromium's own sandbox.
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(
            executable_path=program, args=options, timeout=_MILLISECONDS_TO_START
        )
        expect.set_options(timeout=_MILLISECONDS_TO_WAIT)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def watched_page(
    browser: Browser, url: str, size: tuple[int, int] = DESKTOP, *, expected: str = ""
) -> Iterator[Page]:
    """Open a page of a server; at the end, fail if it asked elsewhere or something went wrong.

    `expected` is part of the only complaint that there may be, and must be.
    """
    width, height = size
    context = browser.new_context(viewport={"width": width, "height": height})
    context.set_default_timeout(_MILLISECONDS_TO_WAIT)
    page = context.new_page()
    asked: list[str] = []
    complaints: list[str] = []

    def note_request(request: Request) -> None:
        asked.append(request.url)

    def note_message(message: ConsoleMessage) -> None:
        complaints.append(message.text)

    page.on("request", note_request)
    page.on("console", note_message)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    try:
        yield page
        assert [] == [one for one in asked if not one.startswith((f"{url}/", "data:"))]
        assert [] == [one for one in complaints if not expected or expected not in one]
        assert not expected or complaints
    except BaseException:
        keep_screenshot(page, f"failed-{os.environ['PYTEST_CURRENT_TEST'].rpartition('::')[2]}")
        raise
    finally:
        context.close()


def keep_screenshot(page: Page, name: str) -> None:
    """Write a picture of the whole page, where pictures are wanted."""
    if folder := os.environ.get("TEST_EHR_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        file = Path(folder) / f"{_SEPARATORS.sub('-', name)}.png"
        page.screenshot(path=file, full_page=True)


def serious_faults(page: Page) -> list[str]:
    """Return what axe-core finds serious or critical: rule, and where."""
    found = Axe().run(page).response["violations"]
    return [
        f"{fault['id']}: {node['html'][:200]}"
        for fault in found
        if fault["impact"] in _SERIOUS
        for node in fault["nodes"]
    ]
