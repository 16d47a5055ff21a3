"""The site file (CDS_SITE_FILE): what one health system knows about its own codes and clients.

The schema is `schemas/site-file.json`. This version uses `orderCodes`, `examCodes` and the client
profile; the other keys are checked, so that one file serves later versions too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from cds_service.errors import SettingsError
from cds_service.json_schemas import Schema, is_array, is_object
from cds_service.knowledge_loading.yaml import Node, Problems, read_yaml
from cds_service.order_reading import NO_SITE_CODES, SiteCodes
from cds_service.orders import ImagingProtocol
from cds_service.value_sets import canonical_system

_SCHEMA = Schema("site-file")
_NOT_A_LUMBAR_MRI = "none"


class ClientProfile(StrEnum):
    """What the EHR at the other end can take."""

    STANDARD = "standard"
    EPIC = "epic"
    """One action a suggestion, `selectionBehavior: any`, override codes from a map."""
    TEXT_ONLY = "text-only"
    """No suggestions: the text alone is enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteFile:
    """What a site says of itself; without a file, nothing."""

    order_codes: SiteCodes = NO_SITE_CODES
    """Codes and titles of draft orders."""
    exam_codes: SiteCodes = NO_SITE_CODES
    """Codes and titles of exams in the chart."""
    profile: ClientProfile = ClientProfile.STANDARD
    """Of a call whose client is not known; that of the only client where the file names one."""


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
    return parse_site_file(text, name=path.name)


def parse_site_file(text: str, *, name: str) -> SiteFile:
    """Return what the YAML in `text` says. Raises SettingsError as `load_site_file` does."""
    problems = Problems()
    root = read_yaml(text, name, problems)
    if problems.found:
        raise SettingsError("\n".join(problems.found))
    value = _plain(root)
    found = [
        f"{name}:{_line_at(root, path)}: {says}" for path, says in sorted(_SCHEMA.problems(value))
    ]
    if found:
        raise SettingsError("\n".join(found))
    content = value if is_object(value) else {}
    return SiteFile(
        order_codes=_site_codes(root, "orderCodes"),
        exam_codes=_site_codes(root, "examCodes"),
        profile=_profile(content),
    )


def _plain(node: Node) -> object:
    match node.value:
        case str():
            return node.value
        case tuple():
            return [_plain(item) for item in node.value]
        case _:
            return {key: _plain(member) for key, member in node.value.items()}


def _line_at(root: Node, path: tuple[str | int, ...]) -> int:
    node = root
    for step in path:
        match node.value, step:
            case tuple() as items, int():
                node = items[step]
            case dict() as members, str():
                node = members[step]
    return node.line


def _profile(content: Mapping[str, object]) -> ClientProfile:
    clients = content.get("clients")
    only = clients[0] if is_array(clients) and len(clients) == 1 else None
    named = content.get("profile") or (only.get("profile") if is_object(only) else None)
    return ClientProfile(str(named)) if named else ClientProfile.STANDARD


def _site_codes(root: Node, key: str) -> SiteCodes:
    """Return one map of the file; the same code with two protocols is an error."""
    by_code: dict[tuple[str, str], ImagingProtocol | None] = {}
    by_title: dict[str, ImagingProtocol | None] = {}
    problems = Problems()
    for place, system, code, title, protocol in _entries(root.member(key)):
        wanted = None if protocol == _NOT_A_LUMBAR_MRI else ImagingProtocol(protocol)
        # Orders are looked up by the canonical name of a system, however it is spelt here.
        if code and by_code.setdefault((canonical_system(system), code), wanted) != wanted:
            problems.report(place, "this code stands twice with different protocols")
        if title and by_title.setdefault(title.strip().lower(), wanted) != wanted:
            problems.report(place, "this title stands twice with different protocols")
    if problems.found:
        raise SettingsError("\n".join(problems.found))
    return SiteCodes(by_code=by_code, by_title=by_title)


def _entries(node: Node | None) -> list[tuple[Node, str, str, str, str]]:
    """List place, system, code, title and protocol of either form; the schema has been checked."""
    if node is None or isinstance(node.value, str):
        return []
    if isinstance(node.value, dict):
        return [(member, *_key_parts(key), str(member.value)) for key, member in node.value.items()]
    return [
        (
            item,
            item.text_at("system"),
            item.text_at("code"),
            item.text_at("title"),
            item.text_at("protocol"),
        )
        for item in node.value
    ]


def _key_parts(key: str) -> tuple[str, str, str]:
    """Return system, code and title of a key: `system|code`, or else a title."""
    system, bar, code = key.partition("|")
    return (system.strip(), code.strip(), "") if bar else ("", "", key)
