"""Image, Compose file and manifests: no engine runs here, so by linters, schemas and rules."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy_files import DEPLOY, KNOWN_SETTINGS, run, tool

from cds_service.settings import Settings
from cds_service.site_file import load_site_file, parse_site_file

MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))


def documents(path: Path) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(path.read_text("utf-8")) if each]


def compose() -> dict[str, Any]:
    [found] = documents(DEPLOY / "container/compose.yaml")
    return found


def resources(kind: str) -> list[dict[str, Any]]:
    return [each for path in MANIFESTS for each in documents(path) if each["kind"] == kind]


def pods() -> dict[str, dict[str, Any]]:
    """Return the specification of every pod."""
    [deployment], [job] = resources("Deployment"), resources("CronJob")
    return {
        "service": deployment["spec"]["template"]["spec"],
        "forget": job["spec"]["jobTemplate"]["spec"]["template"]["spec"],
    }


def environment_file() -> dict[str, str]:
    """Return what systemd and the shell read in the environment file."""
    lines = (DEPLOY / "systemd/environment").read_text("utf-8").splitlines()
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value.strip('"') for name, _, value in pairs}


def all_settings() -> dict[str, Mapping[str, str]]:
    """Return every set of settings that `deploy/` gives to a service."""
    services = compose()["services"]
    [config] = [each for each in resources("ConfigMap") if each["metadata"]["name"] == "settings"]
    return {
        "systemd": environment_file(),
        "compose": services["replica-1"]["environment"],
        "second of compose": services["replica-2"]["environment"],
        "kubernetes": config["data"],
    }


@pytest.mark.parametrize("name", ["Dockerfile", "site.Dockerfile"])
def test_dockerfiles_are_what_hadolint_asks_for(name: str) -> None:
    run(tool("hadolint"), DEPLOY / "container" / name)


def test_the_image_runs_without_root_and_stops_as_the_service_does() -> None:
    text = (DEPLOY / "container/Dockerfile").read_text("utf-8")

    assert "--require-hashes" in text
    assert "\nUSER 10001:10001\n" in text
    assert "\nSTOPSIGNAL SIGTERM\n" in text
    assert "/health/live" in text
    # Forms without a shell: it is not needed, and would not pass the signal on.
    assert re.search(r'^ENTRYPOINT \["cds-service"\]$', text, re.MULTILINE)
    assert re.search(r'^ +CMD \["python", ', text, re.MULTILINE)


def test_what_the_image_is_made_of_is_all_that_reaches_the_build() -> None:
    folder = DEPLOY / "container"
    allowed = {
        line[1:]
        for line in (folder / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
        if line.startswith("!")
    }
    copied = re.findall(r"^COPY (?!--from)(.+)$", (folder / "Dockerfile").read_text(), re.MULTILINE)

    assert allowed == {name for line in copied for name in line.split()[:-1]}


def test_compose_file_meets_the_specification() -> None:
    run(
        tool("check-jsonschema"),
        *("--builtin-schema", "vendor.compose-spec", "container/compose.yaml"),
    )


def test_containers_of_ours_may_write_nothing_but_their_folders() -> None:
    for name in ("replica-1", "replica-2", "nginx"):
        service = compose()["services"][name]

        assert service["read_only"]
        assert ["ALL"] == service["cap_drop"]
        assert "cap_add" not in service
        assert service["user"].startswith("${CDS_UID")
        assert service["mem_limit"]


def test_database_and_redis_are_not_reachable_from_outside() -> None:
    services = compose()["services"]

    assert ["443:443"] == [port for each in services.values() for port in each.get("ports", [])]
    assert all(compose()["networks"][name]["internal"] for name in services["database"]["networks"])
    assert "none" == services["redis"]["network_mode"]
    assert "noeviction" in services["redis"]["command"]


def test_passwords_are_made_on_the_spot_and_kept_from_others(tmp_path: Path) -> None:
    made = []
    for name in ("one", "two"):
        shutil.copytree(DEPLOY, tmp_path / name)
        folder = tmp_path / name / "container"
        run("./prepare", "1.2.3", cwd=folder)
        run("./prepare", "1.2.3", cwd=folder)
        made.append((folder / "secrets/pgpass").read_text("ascii"))
        password = (folder / "secrets/postgres-password").read_text("ascii")

        assert made[-1] == f"database:5432:cds:cds:{password}\n"
        assert 0o700 == (folder / "secrets").stat().st_mode & 0o777
        # The PostgreSQL client ignores a file that others may read.
        assert 0o600 == (folder / "secrets/pgpass").stat().st_mode & 0o777
        assert "CDS_UID=0\n" not in (folder / ".env").read_text("ascii")
        assert "silent\n" == (folder / "settings/switch").read_text("ascii")
        ignored = run("git", "status", "--short", "--ignored", ".", cwd=DEPLOY / "container")
        assert "secrets" not in ignored  # this copy is elsewhere; nothing was made in the tree

    assert made[0] != made[1]


@pytest.mark.parametrize("version", ["1.30", "1.37"])
@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_manifests_meet_the_schemas_of_kubernetes(path: Path, version: str) -> None:
    run(tool("kubernetes-validate"), "--strict", "-k", version, path)


@pytest.mark.parametrize("name", ["service", "forget"])
def test_pods_meet_the_restricted_standard(name: str) -> None:
    pod = pods()[name]
    [container] = pod["containers"]

    assert pod["securityContext"]["runAsNonRoot"]
    assert {"type": "RuntimeDefault"} == pod["securityContext"]["seccompProfile"]
    assert {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    } == container["securityContext"]
    assert container["resources"]["limits"]["memory"]
    assert pod["automountServiceAccountToken"] is False
    # A Service of the name space that is called `cds…` would become a variable `CDS_…`.
    assert pod["enableServiceLinks"] is False
    assert "env" not in container


def test_a_pod_that_goes_has_time_to_drain_and_to_stop() -> None:
    pod = pods()["service"]
    drains = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]

    assert pod["terminationGracePeriodSeconds"] >= drains + 10


def test_only_hooks_and_rules_are_reachable_through_the_ingress() -> None:
    [ingress] = resources("Ingress")
    paths = [p["path"] for rule in ingress["spec"]["rules"] for p in rule["http"]["paths"]]

    rules = ["/knowledge/lumbar-mri", "/knowledge/lumbar-mri/value-sets", "/assets/review.js"]
    assert ["/cds-services", *rules] == paths


def test_every_pod_is_closed_but_for_what_is_listed() -> None:
    policies = {each["metadata"]["name"]: each["spec"] for each in resources("NetworkPolicy")}
    ports = {
        name: sorted(p["port"] for way in spec.get("egress", []) for p in way["ports"])
        for name, spec in policies.items()
    }

    assert {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} == policies["nothing"]
    assert {"nothing": [], "service": [53, 53, 5432, 6379], "forget": [53, 53, 5432]} == ports


@pytest.mark.parametrize("where", all_settings())
def test_settings_are_those_of_the_service(where: str, tmp_path: Path) -> None:
    given = all_settings()[where]
    file = tmp_path / "file"
    file.touch()
    here = {
        # These must exist where the service starts.
        name: str(tmp_path if name == "CDS_HOOKS_PATH" else file)
        for name in ("CDS_HOOKS_PATH", "CDS_SITE_FILE")
        if name in given
    }
    settings = Settings.from_environ({**given, **here, "CDS_CA_FILE": ""})

    assert set() == set(given) - KNOWN_SETTINGS
    assert settings.require_approval
    assert "silent" == settings.mode
    assert settings.database_url
    assert not re.search(r"://[^/@]*:[^/@]+@", settings.database_url)
    assert settings.redis_url


def test_site_files_can_be_used() -> None:
    [config] = [each for each in resources("ConfigMap") if each["metadata"]["name"] == "site"]
    bundled = load_site_file(DEPLOY / "site.example.yaml")
    mapped = parse_site_file(config["data"]["site.yaml"], name="site.yaml")

    assert [True, True] == [site.clients[0].can_prove_itself for site in (bundled, mapped)]
