"""`cds-service check-config`, at servers that answer and at addresses where nobody does."""

import json
from pathlib import Path

from click.testing import CliRunner, Result
from client_tokens import PUBLIC_URL, KeyServer, client_entry, ec_key, site_text
from own_nginx import free_port
from own_servers import OwnServer, new_database

from cds_service.cli import main
from cds_service.fixture_server.server import FixtureServer


def typed(tmp_path: Path, *words: str, site: str, **environ: str) -> Result:
    file = tmp_path / "site.yaml"
    file.write_text(site, "utf-8")
    usual = {
        "XDG_STATE_HOME": str(tmp_path),
        "CDS_PUBLIC_URL": PUBLIC_URL,
        "CDS_SITE_FILE": str(file),
    }
    return CliRunner().invoke(main, ["check-config", *words], env=usual | environ)


def test_what_answers_is_ok(tmp_path: Path, postgresql_server: OwnServer) -> None:
    with FixtureServer([]) as fhir, KeyServer(ec_key()) as keys:
        entry = client_entry(jwks=..., jku=keys.url, fhirServers=[fhir.base_url])

        answer = typed(
            tmp_path,
            site=site_text(entry),
            CDS_DATABASE_URL=new_database(postgresql_server),
        )

    assert 0 == answer.exit_code, answer.output
    assert "FAIL" not in answer.stdout
    assert "ok    database: postgresql" in answer.stdout
    assert ": 1, from the jku" in answer.stdout
    assert f"ok    FHIR server {fhir.base_url}: /metadata answers 200" in answer.stdout
    assert "ok    knowledge: lumbar-mri " in answer.stdout


def test_what_does_not_answer_is_named_with_its_reason(tmp_path: Path) -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    entry = client_entry(jwks=..., jku=f"{dead}/jwks", fhirServers=[f"{dead}/fhir"])

    answer = typed(
        tmp_path,
        "--json",
        site=site_text(entry),
        CDS_DATABASE_URL=f"postgresql://cds:secret@{dead.removeprefix('http://')}/cds",
    )

    assert 1 == answer.exit_code
    failed = {each["what"]: each["says"] for each in json.loads(answer.stdout) if not each["ok"]}
    assert {"database", f"keys of {entry['issuer']}", f"FHIR server {dead}/fhir"} <= set(failed)
    assert failed[f"FHIR server {dead}/fhir"] == "no answer: unreachable"
    assert "secret" not in answer.output


def test_what_is_refused_at_start_is_refused_here(tmp_path: Path) -> None:
    answer = typed(tmp_path, site="clients: [", CDS_TIME_BUDGET_MS="1500")

    assert 2 == answer.exit_code
    assert "not YAML" in answer.stderr
