"""Knowledge folders on disk: where they are found, which files they hold, and their digest.

A folder is used whole: a signed decision table with somebody else's wording was approved by
nobody (house style §2.3).
"""

import hashlib
import importlib.resources
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path

from cds_service.errors import KnowledgeError

ALLOWED_TYPES = (".yaml", ".json", ".csv", ".md")
# Pages that say something about the folder and are no part of what is signed.
_UNSIGNED = frozenset({"REVIEW.md", "CHANGELOG.md"})
_SERVICE_FILE = "service.yaml"
_APPROVAL = re.compile(rb"^approval:.*\n(?:[ \t#].*\n|\r?\n)*", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFolder:
    """A knowledge folder that will be used."""

    id: str
    folder: Traversable
    directory: str
    """Where it lies, for the start-up log."""
    is_bundled: bool
    shadows: tuple[str, ...] = ()
    """Directories that hold a folder of the same id and are not used."""


def find_folders(hooks_path: tuple[Path, ...] = ()) -> tuple[FoundFolder, ...]:
    """Return the folders to load, by id; directories are tried in order, the bundled one last.

    Raises KnowledgeError where a directory does not exist.
    """
    problems = [f"{path}: no such directory" for path in hooks_path if not path.is_dir()]
    if problems:
        raise KnowledgeError(problems)
    found: dict[str, FoundFolder] = {}
    for directory, is_bundled in (*((path, False) for path in hooks_path), (bundled(), True)):
        for folder in _folders(directory):
            earlier = found.get(folder.name)
            found[folder.name] = FoundFolder(
                id=folder.name,
                folder=earlier.folder if earlier else folder,
                directory=earlier.directory if earlier else str(directory),
                is_bundled=earlier.is_bundled if earlier else is_bundled,
                shadows=(*earlier.shadows, str(directory)) if earlier else (),
            )
    return tuple(found[name] for name in sorted(found))


def bundled() -> Traversable:
    """Return the `hooks` directory that was installed, or that of the source tree."""
    package = importlib.resources.files("cds_service")
    installed = package / "_hooks"
    if installed.is_dir():
        return installed
    # In the source tree the folder stands beside the package, where people look for it.
    return Path(__file__).parents[2] / "hooks"


def files_of(folder: Traversable) -> Mapping[str, Traversable]:
    """Return all files by their path inside the folder, sorted."""
    return dict(sorted(_walk(folder, "")))


def digest_of(files: Mapping[str, Traversable]) -> str:
    """Return `sha256:…` over everything that is signed: names and bytes of all files.

    Left out are the approval itself, CHANGELOG.md and the generated REVIEW.md.
    """
    total = hashlib.sha256()
    for name, file in files.items():
        if name in _UNSIGNED:
            continue
        content = file.read_bytes()
        if name == _SERVICE_FILE:
            content = _APPROVAL.sub(b"", content)
        total.update(f"{name}\0{len(content)}\0".encode())
        total.update(content)
    return f"sha256:{total.hexdigest()}"


def _folders(directory: Traversable) -> Iterator[Traversable]:
    if directory.is_dir():
        for folder in directory.iterdir():
            if folder.is_dir() and (folder / _SERVICE_FILE).is_file():
                yield folder


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        else:
            yield f"{prefix}{entry.name}", entry
