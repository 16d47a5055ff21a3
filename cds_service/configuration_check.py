"""`cds-service check-config`: would the service start here, and does what it names answer?

Asks what the running service would ask: the database, Redis, the key sets of its clients, and the
capability statement of each FHIR server, without a token. It changes nothing but what a start
changes: the tables of the database are brought up to date.
"""

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import urlsplit

from cds_service.app import create_app
from cds_service.command_inputs import chosen_topics
from cds_service.outgoing import NoAnswer, Peer, trusting
from cds_service.readiness import fault_of_database
from cds_service.settings import PREFIX, Settings
from cds_service.site_file import SiteFile, load_site_file
from cds_service.topics import Topic
from cds_service.wiring import Wiring, wiring_in

_SECONDS_FOR_A_SERVER = 10.0
_MOST_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One thing that was looked at."""

    what: str
    ok: bool
    says: str


def checked(environ: Mapping[str, str]) -> tuple[Checked, ...]:
    """Return everything that was looked at, with the settings in `environ`.

    Raises SettingsError or KnowledgeError for what is refused at start.
    """
    settings = Settings.from_environ(environ)
    topics = [Topic(knowledge=each) for each in chosen_topics(settings)]
    site = load_site_file(settings.site_file)
    first, *others = topics
    app = create_app(settings, knowledge=first.knowledge, others=others, site=site)
    named = sorted(name for name, value in environ.items() if name.startswith(PREFIX) and value)
    return (
        Checked(what="settings", ok=True, says=", ".join(named) or "all as usual"),
        *(_knowledge(topic) for topic in topics),
        Checked(what="site file", ok=True, says=_site(site)),
        *_asked(wiring_in(app.extensions)),
    )


def _knowledge(topic: Topic) -> Checked:
    known = topic.knowledge
    says = f"{known.id} {known.version}, {known.approval.state}, {known.digest}"
    return Checked(what="knowledge", ok=True, says=says)


def _site(site: SiteFile) -> str:
    if not site.digest:
        return "none"
    codes = len(site.order_codes.by_code) + len(site.order_codes.by_title)
    return f"{len(site.clients)} clients, {codes} order codes, {_ratings(site)}{site.digest}"


def _ratings(site: SiteFile) -> str:
    """Say whose orders are rated, where anybody's are: it is a claim that a site must mean."""
    if site.pama is None:
        return ""
    rated = [client.id for client in site.clients if client.wants_pama]
    if site.form.pama is not None:
        rated.append("calls of open clients")
    return f"orders rated as {site.pama.qcdsm} for {', '.join(rated) or 'nobody'}, "


def _asked(wiring: Wiring) -> Iterator[Checked]:
    """Yield what the service says of itself once it has asked, then the FHIR servers."""
    wiring.gate.ask_for_keys()
    kind, fault = wiring.database.kind, fault_of_database(wiring)
    yield Checked(what="database", ok=not fault, says=f"{kind}: {fault}" if fault else kind)
    key_sets = wiring.gate.state()["keySets"]
    for state in key_sets if isinstance(key_sets, list) else []:
        problem = str(state["problem"])
        yield Checked(
            what=f"keys of {state['client']}",
            ok=bool(state["keys"]) and not problem,
            says=problem or f"{state['keys']}, from the {state['source']}",
        )
    yield Checked(what="clients", ok=not wiring.gate.problems(), says=_clients(wiring))
    servers = {base for client in wiring.site.clients for base in client.fhir_servers}
    for base in sorted(servers | set(wiring.settings.fhir_servers)):
        yield _fhir_server(base, wiring.settings)
    if wiring.switch.problem:
        yield Checked(what="switch file", ok=False, says=wiring.switch.problem)
    yield Checked(what="mode", ok=True, says=wiring.switch.current().value)


def _clients(wiring: Wiring) -> str:
    said = [*wiring.gate.problems(), *wiring.gate.warnings(), *wiring.limits.warnings()]
    return " ".join(said) or "tokens can be checked, and limits counted"


def _fhir_server(base: str, settings: Settings) -> Checked:
    parts = urlsplit(base)
    what = f"FHIR server {base}"
    try:
        with closing(
            Peer(f"{parts.scheme}://{parts.netloc}", tls=trusting(settings.private_roots))
        ) as peer:
            answer = peer.get(
                f"{parts.path}/metadata",
                {"Accept": "application/fhir+json"},
                seconds=_SECONDS_FOR_A_SERVER,
                most_bytes=_MOST_BYTES,
            )
    except NoAnswer as fault:
        return Checked(what=what, ok=False, says=f"no answer: {fault}")
    # Some servers ask for a token even here: they are there all the same.
    ok = answer.status in {200, 401, 403}
    return Checked(what=what, ok=ok, says=f"/metadata answers {answer.status}")
