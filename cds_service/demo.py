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
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import IO, Any

import requests
from rich.console import Console
from ruamel.yaml import YAML

from cds_service.date_shift import shift_dates
from cds_service.errors import SettingsError
from cds_service.fixture_server.exchange import LOOPBACK
from cds_service.fixture_server.server import FixtureServer
from cds_service.terminal import print_card, print_decision

_PLACEHOLDER_SERVER = "https://ehr.example/fhir"
_SECONDS_TO_START = 60
_SECONDS_TO_ANSWER = 15
_USUAL_PORT = 8000
_COMPARED = ("row", "overlay", "protocolRow", "safety")


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoStory:
    """One story, its dates moved from the fixtures' day to today."""

    name: str
    says: str
    chart: object
    request: Mapping[str, object]
    expected: Mapping[str, object]
    """Members of the decision as worked out by hand; row `G0` for an order out of scope."""

    @property
    def service_id(self) -> str:
        """The service that the hook belongs to."""
        return f"lumbar-mri-{self.request['hook']}"

    def is_met_by(self, decisions: Sequence[Mapping[str, object]]) -> bool:
        """Whether one of the decisions has every row that was worked out by hand."""
        judged = decisions or [{"row": "G0"}]
        return any(
            all(decision.get(name) == value for name, value in self.expected.items())
            for decision in judged
        )


def load_stories(folder: Path, today: date) -> tuple[DemoStory, ...]:
    """Return the stories marked `demo`. Raises SettingsError if the folder holds none."""
    indexes = sorted(folder.glob("stories*.yaml"), key=lambda path: (len(path.name), path.name))
    if not indexes:
        message = (
            f"{folder / 'stories.yaml'} not found: run the demo in the project's folder, "
            "or give --fixtures"
        )
        raise SettingsError(message)
    stories: list[DemoStory] = []
    for index in indexes:
        content = YAML(typ="base").load(index.read_text("utf-8"))
        days = (today - date.fromisoformat(content["as_of"])).days
        marked = (raw for raw in content["stories"] if raw.get("demo") == "true")
        stories.extend(_story(folder, raw, days) for raw in marked)
    if not stories:
        message = f"{indexes[0]}: no story is marked `demo: true`"
        raise SettingsError(message)
    return tuple(stories)


def _story(folder: Path, raw: Mapping[str, Any], days: int) -> DemoStory:
    request = shift_dates(json.loads((folder / raw["request"]).read_text("utf-8")), days)
    if not isinstance(request, dict):
        message = f"{raw['request']}: not a hook request"
        raise SettingsError(message)
    return DemoStory(
        name=raw["story"],
        says=" ".join(raw["says"].split()),
        chart=shift_dates(json.loads((folder / raw["patient"]).read_text("utf-8")), days),
        request=request,
        expected=_expected(raw["expect"]),
    )


def _expected(expect: object) -> Mapping[str, object]:
    """Return the rows that a story expects; what it leaves open is left out."""
    members = expect if isinstance(expect, Mapping) else {}
    named = {name: members[name] for name in _COMPARED if name in members}
    return {name: None if value == "none" else value for name, value in named.items()}


def run_demo(
    console: Console,
    *,
    folder: Path,
    today: date,
    port: int | None,
    is_once: bool,
    environ: Mapping[str, str],
) -> bool:
    """Fire every story, print its cards, then keep serving until interrupted.

    Returns whether every answer was as expected. Raises SettingsError when the fixtures
    or the port cannot be used.
    """
    stories = load_stories(folder, today)
    console.print(f"Reading {len(stories)} synthetic patients; their dates are moved to today.")
    with FixtureServer([story.chart for story in stories]) as ehr:
        chosen = port or _free_port()
        with _service(chosen, ehr.base_url, environ) as url:
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


def _fire(console: Console, story: DemoStory, url: str, fhir_base: str) -> bool:
    """Post one hook request and print what a clinician would see."""
    body = json.dumps(story.request).replace(_PLACEHOLDER_SERVER, fhir_base)
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
def _service(port: int, fhir_base: str, environ: Mapping[str, str]) -> Iterator[str]:
    """Run the service as a process of its own, and stop it afterwards."""
    url = f"http://{LOOPBACK}:{port}"
    # Only our own settings count in the demo, whatever the shell holds.
    kept = {name: value for name, value in environ.items() if not name.startswith("CDS_")}
    with tempfile.TemporaryDirectory() as state, tempfile.TemporaryFile() as log:
        process = subprocess.Popen(  # noqa: S603 - our own module, no input in the command
            [sys.executable, "-m", "cds_service", "serve", "--bind", f"{LOOPBACK}:{port}"],
            env=kept
            | {
                "CDS_CLIENT_AUTH": "off",
                "CDS_FHIR_SERVERS": fhir_base,
                # What is recorded of made-up patients is nobody's record.
                "XDG_STATE_HOME": state,
            },
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
        f"\nStill serving at {url} (stop with Ctrl-C). Try:\n"
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
