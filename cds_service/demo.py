"""`cds-service demo`: the service, a FHIR server on loopback, and patients whose orders are judged.

Everything is real but the patients: the service runs as it does in production, the hook is
fired over HTTP, and charts that are not sent along are read over FHIR.
"""

import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import IO

import requests
from rich.console import Console

from cds_service.demo_stories import (
    PLACEHOLDER_SERVER,
    DemoStory,
    load_stories,
    marked,
    write_stories,
)
from cds_service.errors import SettingsError
from cds_service.fixture_server.exchange import LOOPBACK
from cds_service.fixture_server.server import FixtureServer
from cds_service.prefetch.addresses import base_of
from cds_service.terminal import print_card, print_decision

_SECONDS_TO_START = 60
_SECONDS_TO_ANSWER = 15
_USUAL_PORT = 8000


def run_demo(
    console: Console,
    *,
    folder: Path,
    today: date,
    port: int | None,
    is_once: bool,
    fhir_servers: Sequence[str],
    environ: Mapping[str, str],
) -> bool:
    """Fire every story, print its cards, then keep serving until interrupted.

    `fhir_servers` are further ones, whose patients the test EHR offers, too. Returns whether
    every answer was as expected. Raises SettingsError when the fixtures
    or the port cannot be used.
    """
    further = tuple(map(_checked_base, fhir_servers))
    every = load_stories(folder, today)
    stories = marked(every)
    console.print(f"Reading {len(stories)} synthetic patients; their dates are moved to today.")
    with FixtureServer([story.chart for story in every]) as ehr:
        chosen = port or _free_port()
        bases = (ehr.base_url, *further)
        with running_service(chosen, every, today, bases, environ) as url:
            console.print(f"FHIR server of the test EHR: {ehr.base_url}")
            console.print(f"Service:                     {url}/cds-services\n")
            as_expected = [_fire(console, story, url, ehr.base_url) for story in stories]
            console.print(
                f"{len(stories)} orders judged, {sum(as_expected)} with the rows that were "
                "worked out by hand."
            )
            if not is_once:
                _keep_serving(console, url)
    return all(as_expected)


def _checked_base(url: str) -> str:
    """Return a FHIR base that the service would read. Raises SettingsError for any other."""
    base = base_of(url)
    if base is None:
        message = f"--fhir-server {url}: must be an https address, or http on this machine"
        raise SettingsError(message)
    return base.url


def _fire(console: Console, story: DemoStory, url: str, fhir_base: str) -> bool:
    """Post one hook request and print what a clinician would see."""
    body = json.dumps(story.request).replace(PLACEHOLDER_SERVER, fhir_base)
    started = time.perf_counter()
    answer = requests.post(
        f"{url}/cds-services/{story.service_id}",
        data=body.encode(),
        headers={"Content-Type": "application/json"},
        timeout=_SECONDS_TO_ANSWER,
    )
    took = (time.perf_counter() - started) * 1000
    by_fhir = "prefetch" not in story.request
    how = "chart read over FHIR" if by_fhir else f"{len(body) // 1024} KB with prefetch"
    console.rule(f"{story.name}")
    console.print(f"{story.says}\n({how}, {took:.0f} ms)\n", soft_wrap=True)
    if not answer.ok:
        console.print(f"[red]HTTP {answer.status_code}[/red] {answer.text[:400]}")
        return False
    content = answer.json()
    for card in content["cards"]:
        print_card(console, card)
    if not content["cards"]:
        console.print("No card: the service has nothing to say about this order.")
    decisions = content.get("extension", {}).get("org.lumbar-mri-cds.decisions", [])
    for decision in decisions:
        print_decision(console, decision)
    console.print()
    if story.is_met_by(decisions):
        return True
    console.print(f"[red]Expected {dict(story.expected)}[/red]\n")
    return False


@contextmanager
def running_service(
    port: int,
    stories: Sequence[DemoStory],
    today: date,
    fhir_servers: Sequence[str],
    environ: Mapping[str, str],
) -> Iterator[str]:
    """Run the service with the test EHR as a process of its own, and stop it afterwards."""
    url = f"http://{LOOPBACK}:{port}"
    # No setting of the shell counts in the demo.
    kept = {name: value for name, value in environ.items() if not name.startswith("CDS_")}
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as log:
        # What is recorded of made-up patients is nobody's record.
        state, file = Path(folder) / "state", Path(folder) / "stories.json"
        write_stories(file, stories)
        options = ["--port", str(port), "--state", str(state), "--stories", str(file)]
        options += ["--today", today.isoformat()]
        for base in fhir_servers:
            options += ["--fhir-server", base]
        process = subprocess.Popen(  # noqa: S603 - our own module; a list, no shell
            [sys.executable, "-m", "cds_service.test_ehr", *options],
            env=kept,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            _wait_until_ready(process, url, log)
            yield url
        finally:
            process.terminate()
            process.wait(timeout=_SECONDS_TO_START)


def _wait_until_ready(process: "subprocess.Popen[bytes]", url: str, log: IO[bytes]) -> None:
    give_up = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < give_up and process.poll() is None:
        try:
            if requests.get(f"{url}/health/ready", timeout=1).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.05)
    log.seek(0)
    said = log.read().decode("utf-8", "replace").strip().splitlines()[-5:]
    message = "the service did not start:\n" + "\n".join(said)
    raise SettingsError(message)


def _free_port() -> int:
    """Return the usual port, or any free one when that is taken."""
    for port in (_USUAL_PORT, 0):
        with socket.socket() as listener:
            try:
                listener.bind((LOOPBACK, port))
            except OSError:
                continue
            found = listener.getsockname()
            return int(found[1])
    message = "no free port on loopback"
    raise SettingsError(message)


def _keep_serving(console: Console, url: str) -> None:
    console.print(
        f"\nTest EHR: {url}/ (stop with Ctrl-C)\n\nOr by hand:\n"
        f"  curl {url}/cds-services\n"
        f"  curl -H 'Content-Type: application/json' -d @REQUEST.json "
        f"{url}/cds-services/lumbar-mri-order-select",
        soft_wrap=True,
    )
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        console.print("Stopping.")
