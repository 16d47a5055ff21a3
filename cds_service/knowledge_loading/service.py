"""Reads `service.yaml` (what the service is, asks for and cites) and `statements.csv`."""

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from cds_service.knowledge import Approval, Reference, ServiceDescription
from cds_service.knowledge_loading.facts import report_repeated
from cds_service.knowledge_loading.yaml import Fields, Node, Problems
from cds_service.review_notes import Statement

_STATEMENT_COLUMNS = ["id", "class", "says", "goes_to", "note"]
_STATEMENT_KINDS = ("C", "W", "X")
_VERSION = re.compile(r"[0-9]{4}\.[0-9]{1,3}\.[0-9]{1,3}")
# A FHIR read or search with CDS Hooks 2.0 tokens: `{{context.field}}` and nothing deeper.
_TEMPLATE = re.compile(
    r"(?P<type>[A-Z][A-Za-z]+)(?:/|\?)(?:[A-Za-z0-9_:=&,.|$-]|\{\{context\.[A-Za-z]+\}\})+"
)


class Hook(StrEnum):
    """Hooks this service answers."""

    ORDER_SELECT = "order-select"
    ORDER_SIGN = "order-sign"


class ApprovalState(StrEnum):
    """`reference` is what we bundle; a site's copy is a `draft` until it is `approved`."""

    REFERENCE = "reference"
    DRAFT = "draft"
    APPROVED = "approved"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceFile:
    """Everything in `service.yaml`."""

    id: str
    version: str
    title: str
    owner: str
    approval: Approval
    services: tuple[ServiceDescription, ...]
    required_sources: tuple[str, ...]
    prefetch_types: Mapping[str, str]
    other_value_sets: Mapping[str, str]
    """Value set → why it is kept although nothing reads it yet."""
    references: Mapping[str, Reference]


def read_service(root: Node, digest: str, folder_name: str, problems: Problems) -> ServiceFile:
    """Read the file; an approval must name the digest of exactly these files."""
    top = Fields(root, problems)
    service_id, version = top.text("id"), top.text("version")
    if service_id and service_id != folder_name:
        problems.report(top.at("id"), f"must be {folder_name!r}, as the folder is named")
    if version and _VERSION.fullmatch(version) is None:
        problems.report(top.at("version"), f"must be year.number.fix, not {version!r}")
    approval_node = top.need("approval")
    prefetch = {
        key: _template(node, problems)
        for key, node in top.mapping("prefetch", required=True).items()
    }
    required = top.texts("required_sources", required=True)
    for key in required:
        if key not in prefetch:
            problems.report(top.at("required_sources"), f"unknown prefetch key {key!r}")
    hook_nodes = top.items("hooks", required=True)
    report_repeated(hook_nodes, "hook", problems)
    report_repeated(hook_nodes, "id", problems)
    reference_nodes = top.items("references", required=True)
    report_repeated(reference_nodes, "reference", problems)
    references = (_reference(node, problems) for node in reference_nodes)
    service = ServiceFile(
        id=service_id,
        version=version,
        title=top.text("title"),
        owner=top.text("owner"),
        approval=(
            _approval(approval_node, digest, problems) if approval_node else Approval(state="")
        ),
        services=tuple(
            _description(node, {key: query for key, (query, _) in prefetch.items()}, problems)
            for node in hook_nodes
        ),
        required_sources=required,
        prefetch_types={key: fhir_type for key, (_, fhir_type) in prefetch.items()},
        other_value_sets=dict(
            _other_value_set(node, problems) for node in top.items("other_value_sets")
        ),
        references={reference.id: reference for reference in references},
    )
    top.finish()
    return service


def read_statements(text: str, file: str, problems: Problems) -> tuple[Statement, ...]:
    """Read the inventory of clinical statements, one a row."""
    rows = csv.reader(text.splitlines(), strict=True)
    statements: dict[str, Statement] = {}
    header = next(rows, [])
    if header != _STATEMENT_COLUMNS:
        problems.report_file(f"{file}:1", f"columns must be {', '.join(_STATEMENT_COLUMNS)}")
        return ()
    for row in rows:
        place = f"{file}:{rows.line_num}"
        if len(row) != len(header):
            problems.report_file(place, f"{len(row)} columns, must be {len(header)}")
            continue
        identifier, kind, says, goes_to, note = (cell.strip() for cell in row)
        if kind not in _STATEMENT_KINDS:
            problems.report_file(place, f"{identifier}: class {kind!r} is not C, W or X")
        if identifier in statements:
            problems.report_file(place, f"{identifier} stands twice")
        if not says:
            problems.report_file(place, f"{identifier} says nothing")
        statements[identifier] = Statement(
            id=identifier, kind=kind, says=says, goes_to=goes_to, note=note
        )
    return tuple(statements.values())


def _template(node: Node, problems: Problems) -> tuple[str, str]:
    """Return the template and the resource type that it asks for."""
    query = node.value if isinstance(node.value, str) else ""
    match = _TEMPLATE.fullmatch(query)
    if match is None:
        problems.report(node, f"not a prefetch template of CDS Hooks 2.0: {query!r}")
        return query, ""
    return query, match["type"]


def _description(node: Node, prefetch: Mapping[str, str], problems: Problems) -> ServiceDescription:
    members = Fields(node, problems)
    description = ServiceDescription(
        hook=members.choice("hook", Hook, Hook.ORDER_SELECT).value,
        id=members.text("id"),
        title=members.text("title"),
        description=members.text("description"),
        usage_requirements=members.text("usage_requirements"),
        prefetch=prefetch,
    )
    members.finish()
    return description


def _approval(node: Node, digest: str, problems: Problems) -> Approval:
    members = Fields(node, problems)
    state = members.choice("state", ApprovalState, ApprovalState.DRAFT)
    is_signed = state is ApprovalState.APPROVED
    by, on, signed = (
        members.text(key, None if is_signed else "") for key in ("by", "on", "digest")
    )
    if is_signed and signed and signed != digest:
        problems.report(
            members.at("digest"), f"the folder changed after it was approved; it is now {digest}"
        )
    members.finish()
    return Approval(state=state.value, by=by, on=on, digest=signed)


def _other_value_set(node: Node, problems: Problems) -> tuple[str, str]:
    members = Fields(node, problems)
    pair = members.text("value_set"), members.text("reason")
    members.finish()
    return pair


def _reference(node: Node, problems: Problems) -> Reference:
    members = Fields(node, problems)
    reference = Reference(
        id=members.text("reference"), text=members.text("text"), url=members.text("url", "")
    )
    members.finish()
    return reference
