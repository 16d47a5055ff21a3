"""A copy of the bundled knowledge for a site to edit: `cds-service knowledge export`."""

from pathlib import Path

from cds_service.errors import KnowledgeError, SettingsError
from cds_service.knowledge_approval import APPROVAL, DRAFT
from cds_service.knowledge_loading.folders import files_of, find_folders

_SERVICE = "service.yaml"
_NEXT = """{target} written, as a draft. Next:

  1. Name your committee under `owner` in {target}/service.yaml, and edit what it decides.
  2. CDS_HOOKS_PATH={directory} cds-service knowledge check
  3. cds-service knowledge compare {topic} {target}
  4. CDS_HOOKS_PATH={directory} cds-service knowledge review --write
  5. When it is signed: cds-service knowledge approve {target} --by "NAME, COMMITTEE"
  6. Run the service with CDS_HOOKS_PATH={directory}, or send SIGHUP to one that does."""


def export(topic: str, directory: Path) -> Path:
    """Copy the bundled folder of this id into a directory; return where it is.

    Raises KnowledgeError if there is no such folder, SettingsError if the copy would overwrite
    something or cannot be written.
    """
    found = next((found for found in find_folders() if found.id == topic), None)
    if found is None:
        raise KnowledgeError([f"{topic}: no bundled knowledge folder of this id"])
    target = directory / topic
    if target.exists():
        raise SettingsError(f"{target} exists already and is not overwritten; name another place")
    try:
        for name, file in files_of(found.folder).items():
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            content = file.read_bytes()
            path.write_bytes(_as_draft(content) if name == _SERVICE else content)
    except OSError as error:
        raise SettingsError(f"{target} cannot be written: {error.strerror}") from error
    return target


def next_steps(target: Path) -> str:
    """Say what a site does with its copy."""
    return _NEXT.format(target=target, directory=target.parent, topic=target.name)


def _as_draft(content: bytes) -> bytes:
    """Reset the approval and leave every other line, comments included, as it is."""
    return APPROVAL.sub(DRAFT, content.decode(), count=1).encode()
