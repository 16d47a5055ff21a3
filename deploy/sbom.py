"""Writes the software bill of materials of a bundle: CycloneDX 1.6, JSON, to standard output.

Source: https://cyclonedx.org/docs/1.6/json/. What is listed is what is there: every wheel of the
folder with its own hash and licence; which needs which is read from the lock's `# via` lines.
The same wheels give the same bytes.
"""

import argparse
import email.parser
import hashlib
import json
import re
import sys
import uuid
import zipfile
from collections.abc import Iterable, Mapping
from email.message import Message
from pathlib import Path

PROJECT = "lumbar-mri-cds"
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://lumbar-mri-cds.example/sbom")


def main() -> None:
    """Read the command line and write the document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheels", type=Path, help="folder of the wheels of a bundle")
    parser.add_argument("--lock", type=Path, required=True, help="requirements.lock")
    chosen = parser.parse_args()
    wheels = sorted(chosen.wheels.glob("*.whl"))
    if not wheels:
        sys.exit(f"{chosen.wheels}: no wheels here")
    document = bill_of_materials(wheels, chosen.lock.read_text("utf-8"))
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def bill_of_materials(wheels: Iterable[Path], lock: str) -> dict[str, object]:
    """Return the document. Raises ValueError unless exactly one wheel is the project's own."""
    components = {normal(c["name"]): c for c in map(component, wheels)}
    if PROJECT not in components:
        raise ValueError(f"no wheel of {PROJECT} among the wheels")
    own = components.pop(PROJECT) | {"type": "application"}
    refs = {name: c["bom-ref"] for name, c in components.items()} | {PROJECT: own["bom-ref"]}
    needs: dict[str, set[str]] = {ref: set() for ref in refs.values()}
    for name, users in users_in(lock).items():
        for user in users:
            if name in refs and user in refs:
                needs[refs[user]].add(refs[name])
    listed = [components[name] for name in sorted(components)]
    content = json.dumps([own, *listed], sort_keys=True)
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, content)}",
        "version": 1,
        "metadata": {"component": own},
        "components": listed,
        "dependencies": [{"ref": ref, "dependsOn": sorted(needs[ref])} for ref in sorted(needs)],
    }


def component(wheel: Path) -> dict[str, str]:
    """Return one wheel as a component."""
    about = metadata_of(wheel)
    name, version = about["Name"], about["Version"]
    purl = f"pkg:pypi/{normal(name)}@{version}"
    found: dict[str, object] = {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(wheel.read_bytes()).hexdigest()}],
    }
    if summary := about["Summary"]:
        found["description"] = summary
    if licences := licences_of(about):
        found["licenses"] = licences
    return found  # type: ignore[return-value]


def metadata_of(wheel: Path) -> Message:
    """Return what a wheel says of itself."""
    with zipfile.ZipFile(wheel) as archive:
        [name] = [n for n in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", n)]
        return email.parser.Parser().parsestr(archive.read(name).decode("utf-8"))


def licences_of(about: Message) -> list[Mapping[str, object]]:
    """Return an SPDX expression where the wheel has one, else the names that it gives."""
    if expression := about["License-Expression"]:
        return [{"expression": expression}]
    prefix = "License :: "
    names = [
        c.rpartition(" :: ")[2] for c in about.get_all("Classifier", []) if c.startswith(prefix)
    ]
    if not names and (text := about["License"]):
        names = [text.splitlines()[0].strip()]
    return [{"license": {"name": name}} for name in names if name]


def users_in(lock: str) -> dict[str, set[str]]:
    """Return, for each locked package, which packages need it."""
    users: dict[str, set[str]] = {}
    name, is_listing = "", False
    for line in lock.splitlines():
        if match := re.match(r"([A-Za-z0-9._-]+)==", line):
            name, is_listing = normal(match[1]), False
            users.setdefault(name, set())
        elif match := re.match(r"    # via(?: ([^\s]+).*)?$", line):
            is_listing = match[1] is None
            if match[1]:
                users[name].add(normal(match[1]))
        elif is_listing and (match := re.match(r"    #   ([^\s]+)", line)):
            users[name].add(normal(match[1]))
    return users


def normal(name: str) -> str:
    """Return a package name as the index spells it."""
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    main()
