"""Looks for known advisories on what a bundle holds, without a network: audit.py SBOM OSV_ZIP.

OSV_ZIP is the export of the OSV database for PyPI (one JSON file for each advisory), a day old at
most. Exit code 0: none matches; 1: at least one does; 2: it could not look.
"""

import argparse
import json
import re
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version


def main() -> None:
    """Read both files, print what matches."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sbom", type=Path)
    parser.add_argument("advisories", type=Path)
    chosen = parser.parse_args()
    try:
        packages = packages_of(json.loads(chosen.sbom.read_text("utf-8")))
        with zipfile.ZipFile(chosen.advisories) as archive:
            advisories = list(read(archive))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        print(f"Not looked for advisories: {error}", file=sys.stderr)
        sys.exit(2)
    if not advisories:
        print(f"Not looked for advisories: {chosen.advisories} holds none", file=sys.stderr)
        sys.exit(2)
    found = sorted(
        f"{name} {version}: {advisory['id']} {advisory.get('summary', '')}".rstrip()
        for advisory in advisories
        if "withdrawn" not in advisory
        for name, version in packages.items()
        if concerns(advisory, name, version)
    )
    print(*found, sep="\n", end="\n" if found else "")
    print(f"{len(packages)} packages, {len(advisories)} advisories, {len(found)} found.")
    sys.exit(1 if found else 0)


def packages_of(sbom: Mapping[str, Any]) -> dict[str, str]:
    """Return name and version of each component."""
    return {normal(each["name"]): each["version"] for each in sbom["components"]}


def read(archive: zipfile.ZipFile) -> Iterator[Mapping[str, Any]]:
    """Yield every advisory of an export."""
    for name in archive.namelist():
        if name.endswith(".json"):
            yield json.loads(archive.read(name))


def concerns(advisory: Mapping[str, Any], name: str, version: str) -> bool:
    """Tell whether an advisory is about this version of this package.

    Source: https://ossf.github.io/osv-schema/#affected-fields. A listed version or a range counts.
    """
    return any(
        version in affected.get("versions", ())
        or any(is_within(each["events"], version) for each in ranges_of(affected))
        for affected in advisory.get("affected", ())
        if affected.get("package", {}).get("ecosystem") == "PyPI"
        and normal(affected["package"]["name"]) == name
    )


def ranges_of(affected: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the ranges of versions; those of commits say nothing of a release."""
    return [each for each in affected.get("ranges", ()) if each["type"] == "ECOSYSTEM"]


def is_within(events: list[Mapping[str, str]], version: str) -> bool:
    """Tell whether a version lies between what introduces a flaw and what ends it."""
    ours = Version(version)
    is_affected = False
    for event in sorted(events, key=lambda event: number(next(iter(event.values())))):
        [(kind, said)] = event.items()
        if kind == "introduced" and ours >= number(said):
            is_affected = True
        if (kind == "fixed" and ours >= number(said)) or (
            kind == "last_affected" and ours > number(said)
        ):
            is_affected = False
    return is_affected


def number(said: str) -> Version:
    """Return a version; `0` is before all others, and one that cannot be read is taken so too."""
    try:
        return Version("0.dev0" if said == "0" else said)
    except InvalidVersion:
        return Version("0.dev0")


def normal(name: str) -> str:
    """Return a package name as the index spells it."""
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    main()
