"""Bill of materials and audit of a bundle."""

import importlib.util
import json
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from deploy_files import DEPLOY, run
from jsonschema import Draft7Validator
from referencing import Registry, Resource

VERSION = "1.2.3"
LOCK = """
some-library==2.0 \\
    --hash=sha256:00
    # via
    #   lumbar-mri-cds (pyproject.toml)
absent==1 ; python_version < '3' \\
    --hash=sha256:00
    # via some-library
"""


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Return a folder with two wheels and a lock."""
    (tmp_path / "requirements.lock").write_text(LOCK, "utf-8")
    write_wheel(tmp_path, "lumbar-mri-cds", VERSION, "License-Expression: Apache-2.0")
    write_wheel(tmp_path, "Some.Library", "2.0", "Classifier: License :: OSI Approved :: MIT")
    return tmp_path


def write_wheel(folder: Path, name: str, version: str, licence: str) -> None:
    stem = f"{name.replace('-', '_')}-{version}"
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as archive:
        archive.writestr(
            f"{stem}.dist-info/METADATA",
            f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\nSummary: x\n{licence}\n",
        )


def bill_of_materials(bundle: Path) -> str:
    writer = [sys.executable, DEPLOY / "sbom.py", bundle]
    return run(*map(str, writer), "--lock", str(bundle / "requirements.lock"))


def test_bill_of_materials_lists_each_wheel_and_what_needs_it(bundle: Path) -> None:
    document = json.loads(bill_of_materials(bundle))

    assert ["pkg:pypi/some-library@2.0"] == [c["purl"] for c in document["components"]]
    assert [{"license": {"name": "MIT"}}] == document["components"][0]["licenses"]
    assert [
        {"ref": f"pkg:pypi/lumbar-mri-cds@{VERSION}", "dependsOn": ["pkg:pypi/some-library@2.0"]},
        {"ref": "pkg:pypi/some-library@2.0", "dependsOn": []},
    ] == document["dependencies"]


def test_the_same_wheels_give_the_same_bill(bundle: Path) -> None:
    assert bill_of_materials(bundle) == bill_of_materials(bundle)


def test_bill_of_materials_meets_the_schema_of_cyclonedx(bundle: Path) -> None:
    library = importlib.util.find_spec("cyclonedx")
    if library is None or library.origin is None:
        pytest.skip("needs cyclonedx-python-lib, a development package")
    folder = Path(library.origin).parent / "schema/_res"
    schemas = [
        json.loads((folder / f"{name}.SNAPSHOT.schema.json").read_text("utf-8"))
        for name in ("bom-1.6", "spdx", "jsf-0.82", "cryptography-defs")
        if (folder / f"{name}.SNAPSHOT.schema.json").is_file()
    ]
    registry = Registry().with_resources(
        [(schema["$id"], Resource.from_contents(schema)) for schema in schemas]
    )
    validator = Draft7Validator(schemas[0], registry=registry)
    document = json.loads(bill_of_materials(bundle))

    assert [] == [error.message for error in validator.iter_errors(document)]
    assert not validator.is_valid(document | {"components": [{"type": "library"}]})


def test_a_bundle_without_the_project_has_no_bill(bundle: Path) -> None:
    for wheel in bundle.glob("lumbar_mri_cds-*"):
        wheel.unlink()

    with pytest.raises(AssertionError, match="no wheel of lumbar-mri-cds"):
        bill_of_materials(bundle)


OPEN_ENDED = [{"introduced": "0"}, {"fixed": "2.11"}]


def advisory(name: str, *events: Mapping[str, str], **others: object) -> dict[str, object]:
    """Return an advisory as OSV writes it."""
    about = {
        "package": {"ecosystem": "PyPI", "name": name},
        "ranges": [{"type": "ECOSYSTEM", "events": events}],
    }
    return {"id": "PYSEC-1", "affected": [about], **others}


@pytest.mark.parametrize(
    ("status", "known"),
    [
        (1, advisory("some-library", *OPEN_ENDED)),
        (0, advisory("some-library", {"introduced": "0"}, {"fixed": "2.10"})),
        (0, advisory("some-library", {"introduced": "2.11"})),
        (1, advisory("some-library", {"introduced": "0"}, {"last_affected": "2.10"})),
        (0, advisory("some-library", {"introduced": "0"}, {"last_affected": "2.9"})),
        (0, advisory("some-library", {"fixed": "2.2"}, {"introduced": "0"})),
        (0, advisory("other-library", *OPEN_ENDED)),
        (0, advisory("some-library", *OPEN_ENDED, withdrawn="2026-01-01T00:00:00Z")),
        (2, None),
    ],
)
def test_audit_finds_what_an_advisory_is_about_and_nothing_else(
    status: int, known: Mapping[str, object] | None, tmp_path: Path
) -> None:
    export, sbom = tmp_path / "all.zip", tmp_path / "sbom.json"
    components = [{"name": "Some.Library", "version": "2.10"}]
    sbom.write_text(json.dumps({"components": components}), "utf-8")
    with zipfile.ZipFile(export, "w") as archive:
        if known is not None:
            archive.writestr("PYSEC-1.json", json.dumps(known))
    done = subprocess.run(
        [sys.executable, DEPLOY / "audit.py", sbom, export],
        capture_output=True,
        text=True,
        check=False,
    )

    assert status == done.returncode
    assert ("some-library 2.10: PYSEC-1" in done.stdout) == (status == 1)
    assert ("Not looked for advisories" in done.stderr) == (status == 2)


def test_audit_says_so_when_it_cannot_look(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, DEPLOY / "audit.py", tmp_path / "none.json", tmp_path / "none.zip"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert 2 == done.returncode
    assert done.stderr.startswith("Not looked for advisories")
