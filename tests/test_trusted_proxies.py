"""Client certificates checked by a proxy: believed from its addresses only (R-SEC-17)."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from client_tokens import (
    PUBLIC_URL,
    bearer,
    client_entry,
    ec_key,
    key_set,
    site_text,
    token,
)
from flask.testing import FlaskClient
from http_service import (
    ORDER_SELECT,
    PATIENT,
    client,
    decisions_of,
    fire,
    full_prefetch,
    hook_request,
)

from cds_service.client_auth.gate import is_from
from cds_service.fixture_server.server import FixtureServer
from cds_service.settings import Settings
from cds_service.site_file import parse_site_file

SUBJECT = "CN=ehr.example,O=Hospital"
VOUCHED = {"X-Client-Subject": SUBJECT}
PROXY = {"subjectHeader": "X-Client-Subject", "addresses": ["10.1.0.0/16", "127.0.0.1"]}


def service(tmp_path: Path, *entries: Mapping[str, object], is_proxied: bool = True) -> FlaskClient:
    others = {"proxy": PROXY} if is_proxied else {}
    return client(
        Settings(public_url=PUBLIC_URL, state_directory=tmp_path),
        site=parse_site_file(site_text(*entries, **others), name="site.yaml"),
    )


def status(to: FlaskClient, headers: Mapping[str, str], sender: str = "10.1.2.3") -> int:
    to.environ_base["REMOTE_ADDR"] = sender
    return fire(to, hook_request(), headers=headers).status_code


BY_CERTIFICATE = client_entry(jwks=..., mtlsSubject=SUBJECT)


def test_a_verified_subject_is_enough_for_a_client_without_keys(tmp_path: Path) -> None:
    to = service(tmp_path, BY_CERTIFICATE)

    assert 200 == status(to, VOUCHED)
    assert 200 == status(to, VOUCHED)
    assert 200 == status(to, {**VOUCHED, **bearer("whatever the EHR sends beside")})
    assert 200 == status(to, {"x-client-subject": SUBJECT})


@pytest.mark.parametrize("sender", ["10.2.0.1", "192.168.1.1", "::1", "", "10.1.2.3.example"])
def test_the_header_of_anybody_else_is_ignored_and_counted(tmp_path: Path, sender: str) -> None:
    to = service(tmp_path, BY_CERTIFICATE)

    assert 401 == status(to, VOUCHED, sender)
    assert "cds_proxy_headers_ignored_total 1.0" in to.get("/metrics").text


@pytest.mark.parametrize(
    "subject",
    ["", "CN=evil", SUBJECT.lower(), SUBJECT + " ", f"{SUBJECT},{SUBJECT}", SUBJECT[:-1]],
)
def test_another_subject_is_refused(tmp_path: Path, subject: str) -> None:
    """A header that the caller sent and the proxy added to comes joined, and matches nobody."""
    to = service(tmp_path, BY_CERTIFICATE)

    assert 401 == status(to, {"X-Client-Subject": f"{subject}"} if subject else {})


def test_two_subject_headers_are_refused(tmp_path: Path) -> None:
    to = service(tmp_path, BY_CERTIFICATE)
    to.environ_base["REMOTE_ADDR"] = "10.1.2.3"
    both = [("X-Client-Subject", SUBJECT), ("X-Client-Subject", SUBJECT)]

    assert 401 == to.post(ORDER_SELECT, json=hook_request(), headers=both).status_code


def test_without_a_proxy_in_the_site_file_nobody_can_vouch(tmp_path: Path) -> None:
    to = service(tmp_path, BY_CERTIFICATE, is_proxied=False)

    assert 401 == status(to, VOUCHED, "127.0.0.1")


def test_a_client_with_certificate_and_keys_must_show_both(tmp_path: Path) -> None:
    to = service(tmp_path, client_entry(mtlsSubject=SUBJECT))

    assert 200 == status(to, {**VOUCHED, **bearer(token())})
    assert 401 == status(to, VOUCHED)
    assert 401 == status(to, bearer(token()))
    assert 401 == status(to, {**VOUCHED, **bearer(token())}, "10.9.9.9")
    assert 'cds_client_refusals_total{reason="certificate"} 2.0' in to.get("/metrics").text


def test_the_certificate_of_one_client_and_the_token_of_another_do_not_add_up(
    tmp_path: Path,
) -> None:
    """R-SEC-15."""
    other = client_entry(
        issuer="https://b.example", jwks=key_set(ec_key("b")), mtlsSubject="CN=b.example"
    )
    to = service(tmp_path, client_entry(mtlsSubject=SUBJECT), other)
    of_b = token(ec_key("b"), iss="https://b.example")

    assert 401 == status(to, {**VOUCHED, **bearer(of_b)})
    assert 200 == status(to, {"X-Client-Subject": "CN=b.example", **bearer(of_b)})


def test_a_client_without_a_certificate_still_comes_with_its_token(tmp_path: Path) -> None:
    to = service(tmp_path, client_entry())

    assert 200 == status(to, bearer(token()))
    assert 200 == status(to, {**VOUCHED, **bearer(token())})


def test_a_vouched_client_may_be_kept_from_a_service(tmp_path: Path) -> None:
    to = service(tmp_path, client_entry(**{**BY_CERTIFICATE, "services": ["other"]}, jwks=...))

    assert 403 == status(to, VOUCHED)


def test_readiness_asks_no_store_where_nobody_signs(tmp_path: Path) -> None:
    unusable = tmp_path / "file"
    unusable.write_text("")
    to = service(unusable, BY_CERTIFICATE)

    assert 200 == to.get("/health/ready").status_code


def test_ipv4_addresses_are_known_in_their_ipv6_form() -> None:
    proxy = parse_site_file(site_text(proxy=PROXY), name="site.yaml").proxy

    assert proxy is not None
    assert is_from(proxy, "::ffff:10.1.2.3")
    assert not is_from(proxy, "::ffff:10.2.2.3")


@pytest.mark.parametrize(
    ("allowed", "is_read"), [(True, True), (False, False)], ids=["its own", "of another client"]
)
def test_a_call_reads_the_fhir_servers_of_its_client_only(
    tmp_path: Path, *, allowed: bool, is_read: bool
) -> None:
    """R-FHIR-06: CDS_FHIR_SERVERS and the servers of other clients do not count for this one."""
    with FixtureServer([PATIENT]) as ehr:
        first = client_entry(fhirServers=[ehr.base_url] if allowed else ["https://a.example/fhir"])
        second = client_entry(issuer="https://b.example", fhirServers=[ehr.base_url])
        settings = Settings(
            public_url=PUBLIC_URL,
            state_directory=tmp_path,
            fhir_servers=(ehr.base_url,),
            time_budget_ms=5000,
        )
        site = parse_site_file(site_text(first, second), name="site.yaml")
        prefetch = full_prefetch()
        missing = next(key for key in prefetch if key not in {"patient", "conditions"})
        del prefetch[missing]
        access = {"access_token": "t", "token_type": "Bearer", "expires_in": 300}
        body = hook_request(prefetch=prefetch) | {
            "fhirServer": ehr.base_url,
            "fhirAuthorization": access | {"scope": "user/*.read", "subject": "s"},
        }
        answer = fire(client(settings, site=site), body, headers=bearer(token()))

        assert 200 == answer.status_code
        assert 1 == len(decisions_of(answer))
        assert is_read == bool(ehr.requests)
