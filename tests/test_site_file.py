"""The site file: both forms of the code maps, the profile, and errors with file, line and key."""

import json
import re
from pathlib import Path

import pytest
from client_tokens import ec_key, key_set

from cds_service.client_auth.refusals import Reason
from cds_service.client_profiles import CardForm, ClientProfile
from cds_service.errors import SettingsError
from cds_service.json_web_keys import read_key_set
from cds_service.left_out import LeftOut
from cds_service.modes import Mode
from cds_service.orders import ImagingProtocol
from cds_service.rates import Rate
from cds_service.registered_clients import RegisteredClient
from cds_service.site_file import NO_SITE_FILE, load_site_file, parse_site_file

EAP = "urn:oid:1.2.840.114350.1.13.999.2.7.2.696580"


def test_without_a_site_file_nothing_is_mapped() -> None:
    assert NO_SITE_FILE is load_site_file(None)
    assert NO_SITE_FILE == parse_site_file("", name="site.yaml")


def test_codes_and_titles_map_to_protocols_in_either_form(tmp_path: Path) -> None:
    mapping = f"""
orderCodes:
  "{EAP}|0039401": without
  MRI L-Spine W WO Contrast: without-and-with
  MRI Thoracic Spine: none
"""
    listed = f"""
orderCodes:
  - {{system: "{EAP}", code: 0039401, protocol: without}}
  - title: mri l-spine w wo contrast
    protocol: without-and-with
  - title: MRI Thoracic Spine
    protocol: none
"""
    path = tmp_path / "site.yaml"
    path.write_text(mapping, "utf-8")

    site = load_site_file(path)

    assert ImagingProtocol.WITHOUT is site.order_codes.by_code[EAP, "0039401"]
    assert {
        "mri l-spine w wo contrast": ImagingProtocol.WITHOUT_AND_WITH,
        "mri thoracic spine": None,
    } == site.order_codes.by_title
    assert site == parse_site_file(listed, name="site.yaml")


def test_exam_codes_are_kept_apart_from_order_codes() -> None:
    site = parse_site_file("examCodes: {MR LUMBAR: with}", name="site.yaml")

    assert {"mr lumbar": ImagingProtocol.WITH} == site.exam_codes.by_title
    assert {} == site.order_codes.by_title


@pytest.mark.parametrize(
    ("text", "profile"),
    [
        ("profile: epic", ClientProfile.EPIC),
        ("clients: [{issuer: 'https://ehr.example', profile: text-only}]", ClientProfile.TEXT_ONLY),
        ("clients: [{issuer: a, profile: epic}, {issuer: b}]", ClientProfile.STANDARD),
        ("clients: [{issuer: a}]", ClientProfile.STANDARD),
    ],
)
def test_the_profile_is_that_of_the_file_or_of_its_only_client(
    text: str, profile: ClientProfile
) -> None:
    assert profile is parse_site_file(text, name="site.yaml").profile


def test_who_is_left_out_and_the_form_of_cards_are_read() -> None:
    text = """
leaveOut: {specialties: [Spine Surgery], departments: [ED]}
suggestions: {kinds: [A1, A5], preferenceListCodes: {A5: "12345"}}
overrideCodes: {O1: "101"}
"""
    site = parse_site_file(text, name="site.yaml")

    assert LeftOut(specialties=frozenset({"spine surgery"}), departments=frozenset({"ed"})) == (
        site.left_out
    )
    assert (
        CardForm(
            kinds=frozenset({"A1", "A5"}),
            preference_list_codes={"A5": "12345"},
            override_codes={"O1": "101"},
        )
        == site.form
    )


def test_the_form_is_that_of_the_client_that_calls() -> None:
    text = "profile: text-only\nclients: [{issuer: a, profile: epic, mode: silent}, {issuer: b}]"
    site = parse_site_file(text, name="site.yaml")
    epic, other = site.clients

    assert Mode.SILENT is epic.mode
    assert ClientProfile.EPIC is site.form_for(epic).profile
    assert ClientProfile.TEXT_ONLY is site.form_for(other).profile
    assert ClientProfile.TEXT_ONLY is site.form_for(None).profile


def test_a_client_is_read_whole() -> None:
    text = f"""
clients:
  - issuer: https://ehr.example
    subject: lumbar
    audiences: [https://cds.example/cds-services/lumbar-mri-order-select]
    jku: https://ehr.example/jwks.json
    jwks: {json.dumps(key_set(ec_key()))}
    algorithms: [ES384, RS256]
    tenants: [main]
    fhirServers: [https://ehr.example/fhir/R4]
    services: [lumbar-mri-order-select]
    lifetimeSeconds: 600
    rateLimit: 6000 per minute
    mtlsSubject: CN=ehr
    profile: epic
proxy: {{subjectHeader: X-Client-Subject, addresses: [10.1.2.3, 10.2.0.0/16, "fd00::/8"]}}
"""
    site = parse_site_file(text, name="site.yaml")

    assert (
        RegisteredClient(
            issuer="https://ehr.example",
            subject="lumbar",
            audiences=frozenset({"https://cds.example/cds-services/lumbar-mri-order-select"}),
            jku="https://ehr.example/jwks.json",
            keys=read_key_set(key_set(ec_key())),
            algorithms=frozenset({"ES384", "RS256"}),
            tenants=frozenset({"main"}),
            fhir_servers=("https://ehr.example/fhir/R4",),
            services=frozenset({"lumbar-mri-order-select"}),
            lifetime_seconds=600,
            rate=Rate(calls=6000, seconds=60),
            mtls_subject="CN=ehr",
            profile=ClientProfile.EPIC,
        ),
    ) == site.clients
    assert site.proxy is not None
    assert "X-Client-Subject" == site.proxy.subject_header
    assert ["10.1.2.3/32", "10.2.0.0/16", "fd00::/8"] == [str(n) for n in site.proxy.networks]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("\nordercodes: {}\n", "site.yaml:2: "),
        ("orderCode: {a: without}", "unknown keys: orderCode; known: profile, orderCodes"),
        ("orderCodes:\n  a: without\n  b: contrast\n", "site.yaml:3: orderCodes.b must be without"),
        (
            "orderCodes:\n  a: without\n  a: with\n",
            "site.yaml:3: orderCodes.a: this key stands twice",
        ),
        ("orderCodes:\n  A: without\n  a: with\n", "site.yaml:3: "),
        ("orderCodes: [{system: s, protocol: without}]", "orderCodes[0] must be a code with its"),
        ("orderCodes: [{protocol: without}]", "orderCodes[0] must be a code with its system"),
        ("orderCodes: 7", "orderCodes must be an object or an array"),
        ("profile: cerner", "profile must be standard or epic or text-only"),
        ("clients: [{jku: ftp://x}]", "clients[0].issuer is missing"),
        ("clients: [{issuer: a, jku: ftp://x}]", "clients[0].jku must be an https URL"),
        (
            "clients: [{issuer: a, jku: 'http://x.example/k'}]",
            "clients[0].jku must be an https URL",
        ),
        ("clients: [{issuer: a, jku: 'http://localhost.evil.example/k'}]", "must be an https URL"),
        ("clients: [{issuer: a, jku: 'https://me@x.example/k'}]", "without user name"),
        ("clients: [{issuer: a, algorithms: [HS256]}]", "clients[0].algorithms[0] must be ES256"),
        ("clients: [{issuer: a, algorithms: [none]}]", "clients[0].algorithms[0] must be ES256"),
        ("clients: [{issuer: a, algorithms: []}]", "clients[0].algorithms must not be empty"),
        ("clients: [{issuer: a, services: []}]", "clients[0].services must not be empty"),
        ("clients: [{issuer: a, lifetimeSeconds: 5m}]", "must be a whole number of seconds"),
        ("clients:\n- issuer: a\n  lifetimeSeconds: 3601", "site.yaml:3: "),
        ("clients: [{issuer: a, lifetimeSeconds: 0}]", "must be from 1 to 3600"),
        (
            "clients:\n- issuer: a\n  rateLimit: 5",
            "site.yaml:3: clients.a.rateLimit: must be one rate",
        ),
        ("clients: [{issuer: a, secret: s}]", "clients[0] has unknown keys: secret"),
        ("clients:\n- issuer: a\n- issuer: a", "site.yaml:3: clients.a: this issuer and subject"),
        (
            "clients: [{issuer: a, mtlsSubject: s}, {issuer: b, mtlsSubject: s}]",
            "this mtlsSubject stands twice",
        ),
        ("clients: [{issuer: a, jwks: {}}]", "clients[0].jwks.keys is missing"),
        ("clients: [{issuer: a, jwks: {keys: []}}]", "clients[0].jwks.keys must not be empty"),
        ("clients: [{issuer: a, jwks: {keys: [{kty: oct, k: eA}]}}]", "keys[0]: holds a private"),
        ("clients: [{issuer: a, jwks: {keys: [{kty: EC, crv: P-1}]}}]", "keys[0]: type, curve"),
        ("proxy: {addresses: [10.0.0.1]}", "proxy.subjectHeader is missing"),
        ("proxy: {subjectHeader: Authorization, addresses: [10.0.0.1]}", "the name of one header"),
        ("proxy: {subjectHeader: X-Subject, addresses: [ehr]}", "must be an address or a network"),
        ("proxy: {subjectHeader: X-Subject, addresses: [10.0.0.1/8]}", "an address or a network"),
        ("- a", "must be an object"),
        ("a: &b 1", "anchor"),
        ("a: [", "not YAML"),
        ("orderCodes:\n", "no value"),
    ],
)
def test_a_faulty_site_file_is_refused_with_line_and_key(text: str, says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_site_file(text, name="site.yaml")

    assert says in str(caught.value)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_bytes(b"\xff\xfe")

    with pytest.raises(SettingsError, match="cannot be read"):
        load_site_file(path)


def test_the_examples_of_the_operators_page_can_be_used() -> None:
    page = (Path(__file__).parent.parent / "deploy" / "clients.md").read_text("utf-8")
    examples = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)

    assert 2 == len(examples)
    assert all(parse_site_file(text, name="README").clients for text in examples)


def test_every_key_of_a_client_is_on_the_operators_page() -> None:
    root = Path(__file__).parent.parent
    schema = json.loads((root / "cds_service/schemas/site-file.json").read_text("utf-8"))
    page = (root / "deploy" / "clients.md").read_text("utf-8")
    keys = schema["properties"]["clients"]["items"]["properties"]

    assert [] == [key for key in keys if f"| `{key}` |" not in page]


def test_every_reason_of_a_refusal_is_on_the_operators_page() -> None:
    page = (Path(__file__).parent.parent / "deploy" / "clients.md").read_text("utf-8")

    assert [] == [reason.value for reason in Reason if f"`{reason}`" not in page]


def test_a_loaded_file_has_a_digest_that_changes_with_it(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text("orderCodes: {}\n", "utf-8")
    first = load_site_file(file).digest
    file.write_text("orderCodes: {}\n# changed\n", "utf-8")

    assert first.startswith("sha256:")
    assert first != load_site_file(file).digest
    assert not load_site_file(None).digest
