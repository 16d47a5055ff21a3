"""A site signs its copy of the knowledge: `cds-service knowledge approve`.

What is signed is the digest of the folder: whatever changes afterwards, the loader refuses it.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from cds_service.errors import SettingsError
from cds_service.knowledge import Knowledge
from cds_service.knowledge_loading.loader import load_knowledge
from cds_service.knowledge_loading.service import ApprovalState

APPROVAL = re.compile(r"^approval:.*\n(?:[ \t]+.*\n)*", re.MULTILINE)
"""The approval in `service.yaml`, the only part of a folder that its digest leaves out."""
DRAFT = f"approval:\n  state: {ApprovalState.DRAFT}\n"

_SERVICE = "service.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """Who approves, and when."""

    by: str
    on: date

    def __post_init__(self) -> None:
        """Refuse a signature that names nobody."""
        if not self.by.strip() or not self.by.isprintable():
            raise SettingsError("--by: name who approves, for example the committee and its chair")


def approve(
    folder: Path, signature: Signature, *, failures_of: Callable[[Knowledge], tuple[str, ...]]
) -> Knowledge:
    """Write the approval of the folder as it is now, and return what was approved.

    `failures_of` checks the folder; what fails a check is not approved. Raises KnowledgeError for
    a folder that is not well formed, SettingsError for all else; the folder is a draft then.
    """
    file = folder / _SERVICE
    if not file.is_file():
        raise SettingsError(f"{folder}: no knowledge folder; give the one with service.yaml in it")
    # An earlier approval is of an earlier state: the loader would refuse what was changed since.
    _write(file, DRAFT)
    knowledge = load_knowledge(folder)
    if failures := failures_of(knowledge):
        raise SettingsError(
            f"{folder} stays a draft: `knowledge check` finds {len(failures)} problem(s), the "
            f"first: {failures[0]}"
        )
    _write(
        file,
        f"approval:\n  state: {ApprovalState.APPROVED}\n  by: {json.dumps(signature.by)}\n"
        f"  on: {signature.on.isoformat()}\n  digest: {knowledge.digest}\n",
    )
    return load_knowledge(folder)


def _write(file: Path, approval: str) -> None:
    """Put an approval into the file and leave every other line, comments included, as it is."""
    try:
        text = file.read_text("utf-8")
        if APPROVAL.search(text) is None:
            raise SettingsError(f"{file}: `approval` is missing")
        draft = file.with_suffix(".new")
        draft.write_text(APPROVAL.sub(lambda _: approval, text, count=1), "utf-8")
        draft.replace(file)
    except OSError as error:
        raise SettingsError(f"{file} cannot be written: {error.strerror}") from error
