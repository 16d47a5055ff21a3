"""The site file (CDS_SITE_FILE): what one health system knows about its own codes and clients.

The schema is `schemas/site-file.json`.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from cds_service.client_profiles import STANDARD_FORM, CardForm, ClientProfile, PamaClaim
from cds_service.errors import SettingsError
from cds_service.json_schemas import Schema
from cds_service.knowledge_loading.yaml import Node, Problems, read_yaml
from cds_service.left_out import LeftOut, left_out_in
from cds_service.names_in_folders import BUNDLED_TOPIC
from cds_service.order_reading import NO_SITE_CODES, SiteCodes
from cds_service.orders import ImagingProtocol
from cds_service.registered_clients import (
    RegisteredClient,
    TrustedProxy,
    plain,
    read_clients,
    read_proxy,
)
from cds_service.value_sets import canonical_system

_SCHEMA = Schema("site-file")
_NOT_THIS_EXAM = "none"
_Parts: TypeAlias = tuple[str, str, str, str]
"""System, code, title, protocol."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicCodes:
    """A site's codes for one topic: the same number may mean different exams in two of them."""

    order_codes: SiteCodes = NO_SITE_CODES
    exam_codes: SiteCodes = NO_SITE_CODES


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteFile:
    """What a site says of itself; without a file, nothing."""

    order_codes: SiteCodes = NO_SITE_CODES
    """Codes and titles of draft orders."""
    exam_codes: SiteCodes = NO_SITE_CODES
    """Codes and titles of exams in the chart."""
    other_topics: Mapping[str, TopicCodes] = field(default_factory=dict)
    """Codes of topics other than the bundled one, whose codes are the two above."""
    profile: ClientProfile = ClientProfile.STANDARD
    """Of a call whose client is not known; that of the only client where the file names one."""
    clients: tuple[RegisteredClient, ...] = ()
    proxy: TrustedProxy | None = None
    """Proxies that may vouch for a client; None: nobody may."""
    left_out: LeftOut = field(default_factory=LeftOut)
    """Requesters and departments that are shown nothing."""
    form: CardForm = STANDARD_FORM
    """Of cards for a call whose client is not known."""
    pama: PamaClaim | None = None
    """What is stated beside the ratings of orders, for clients whose orders are rated."""
    digest: str = field(default="", compare=False)
    """`sha256:…` of the file, for readiness: which file runs. Empty without a file."""

    def for_topic(self, topic: str) -> "SiteFile":
        """Return the site file with the codes of this topic only."""
        if topic == BUNDLED_TOPIC:
            return self
        codes = self.other_topics.get(topic, TopicCodes())
        return replace(self, order_codes=codes.order_codes, exam_codes=codes.exam_codes)

    @property
    def order_codes_of_all_topics(self) -> SiteCodes:
        """What the site has mapped of orders, whatever the topic: not unmapped, that is."""
        all_codes = dict(self.order_codes.by_code)
        for codes in self.other_topics.values():
            all_codes |= codes.order_codes.by_code
        return SiteCodes(by_code=all_codes)

    def form_for(self, client: RegisteredClient | None) -> CardForm:
        """Return the form of the cards for a client."""
        if client is None:
            return self.form
        return replace(
            self.form,
            profile=client.profile or self.form.profile,
            pama=self.pama if client.wants_pama else None,
        )


NO_SITE_FILE = SiteFile()


def load_site_file(path: Path | None) -> SiteFile:
    """Return what the file says; without a path, an empty one.

    Raises SettingsError with every problem as `file:line: key: what is wrong`.
    """
    if path is None:
        return NO_SITE_FILE
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        raise SettingsError(f"{path}: cannot be read as UTF-8 text") from None
    digest = hashlib.sha256(text.encode()).hexdigest()
    return replace(parse_site_file(text, name=path.name), digest=f"sha256:{digest}")


def parse_site_file(text: str, *, name: str) -> SiteFile:
    """Return what the YAML in `text` says. Raises SettingsError as `load_site_file` does."""
    problems = Problems()
    root = read_yaml(text, name, problems)
    if problems.found:
        raise SettingsError("\n".join(problems.found))
    value = plain(root)
    found = [
        f"{name}:{_line_at(root, path)}: {says}" for path, says in sorted(_SCHEMA.problems(value))
    ]
    if found:
        raise SettingsError("\n".join(found))
    order_codes = _site_codes(root, "orderCodes", problems)
    exam_codes = _site_codes(root, "examCodes", problems)
    clients = read_clients(root, problems)
    proxy = read_proxy(root, problems)
    profile = _profile(root.text_at("profile"), clients)
    if problems.found:
        raise SettingsError("\n".join(problems.found))
    return SiteFile(
        order_codes=order_codes.get(BUNDLED_TOPIC, NO_SITE_CODES),
        exam_codes=exam_codes.get(BUNDLED_TOPIC, NO_SITE_CODES),
        other_topics={
            topic: TopicCodes(
                order_codes=order_codes.get(topic, NO_SITE_CODES),
                exam_codes=exam_codes.get(topic, NO_SITE_CODES),
            )
            for topic in sorted({*order_codes, *exam_codes} - {BUNDLED_TOPIC})
        },
        profile=profile,
        clients=clients,
        proxy=proxy,
        left_out=_left_out(root.member("leaveOut")),
        form=_form(root, profile),
        pama=_pama(root.member("pama")),
    )


def _line_at(root: Node, path: tuple[str | int, ...]) -> int:
    node = root
    for step in path:
        match node.value, step:
            case tuple() as items, int():
                node = items[step]
            case dict() as members, str():
                node = members[step]
    return node.line


def _profile(named: str, clients: tuple[RegisteredClient, ...]) -> ClientProfile:
    if named:
        return ClientProfile(named)
    of_only = clients[0].profile if len(clients) == 1 else None
    return of_only or ClientProfile.STANDARD


def _left_out(node: Node | None) -> LeftOut:
    if node is None:
        return LeftOut()
    return left_out_in(
        (str(item.value) for item in node.items_at("specialties")),
        (str(item.value) for item in node.items_at("departments")),
    )


def _pama(node: Node | None) -> PamaClaim | None:
    if node is None:
        return None
    return PamaClaim(qcdsm=node.text_at("qcdsm"), auc_applied=node.text_at("aucApplied"))


def _form(root: Node, profile: ClientProfile) -> CardForm:
    node, pama = root.member("suggestions"), root.member("pama")
    is_open = pama is not None and pama.text_at("openClients") == "true"
    kinds = node.member("kinds") if node is not None else None
    return CardForm(
        profile=profile,
        kinds=None
        if node is None or kinds is None
        else frozenset(str(item.value) for item in node.items_at("kinds")),
        preference_list_codes=_map(node, "preferenceListCodes"),
        override_codes=_map(root, "overrideCodes"),
        pama=_pama(pama) if is_open else None,
    )


def _map(node: Node | None, key: str) -> Mapping[str, str]:
    found = node.member(key) if node is not None else None
    members = plain(found) if found is not None else {}
    return {str(k): str(v) for k, v in members.items()} if isinstance(members, dict) else {}


def _site_codes(root: Node, key: str, problems: Problems) -> dict[str, SiteCodes]:
    """Return one map of the file by topic; the same code with two protocols is a problem."""
    entries = _entries(root.member(key))
    return {
        topic: _codes_of([(place, parts) for of, place, parts in entries if of == topic], problems)
        for topic in dict.fromkeys(topic for topic, _, _ in entries)
    }


def _codes_of(entries: Iterable[tuple[Node, _Parts]], problems: Problems) -> SiteCodes:
    by_code: dict[tuple[str, str], ImagingProtocol | None] = {}
    by_title: dict[str, ImagingProtocol | None] = {}
    for place, (system, code, title, protocol) in entries:
        wanted = None if protocol == _NOT_THIS_EXAM else ImagingProtocol(protocol)
        # Orders are looked up by the canonical name of a system, however it is spelt here.
        if code and by_code.setdefault((canonical_system(system), code), wanted) != wanted:
            problems.report(place, "this code stands twice with different protocols")
        if title and by_title.setdefault(title.strip().lower(), wanted) != wanted:
            problems.report(place, "this title stands twice with different protocols")
    return SiteCodes(by_code=by_code, by_title=by_title)


def _entries(node: Node | None) -> list[tuple[str, Node, _Parts]]:
    """List topic, place and parts of either form; the schema has been checked."""
    if node is None or isinstance(node.value, str):
        return []
    if isinstance(node.value, dict):
        return [
            (BUNDLED_TOPIC, member, (*_key_parts(key), str(member.value)))
            for key, member in node.value.items()
        ]
    return [
        (
            item.text_at("topic") or BUNDLED_TOPIC,
            item,
            (
                item.text_at("system"),
                item.text_at("code"),
                item.text_at("title"),
                item.text_at("protocol"),
            ),
        )
        for item in node.value
    ]


def _key_parts(key: str) -> tuple[str, str, str]:
    """Return system, code and title of a key: `system|code`, or else a title."""
    system, bar, code = key.partition("|")
    return (system.strip(), code.strip(), "") if bar else ("", "", key)
