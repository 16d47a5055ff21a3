"""Orders that carry only codes of the EHR's own: which they are, and `cds-service unmapped`."""

import json
import threading

import pytest
import yaml
from click.testing import CliRunner, Result
from flask.testing import FlaskClient
from http_service import client, fire, hook_request
from stores import Rows

from cds_service.cli import main
from cds_service.order_reading import NO_SITE_CODES, SiteCodes
from cds_service.orders import ImagingProtocol
from cds_service.record.unmapped import PATIENTS_NEEDED
from cds_service.settings import ClientAuth, Settings
from cds_service.site_file import parse_site_file
from cds_service.store.tables import UNMAPPED_CODE
from cds_service.unmapped_codes import LocalCode, unmapped_codes

CPT = {"system": "http://www.ama-assn.org/go/cpt", "code": "72148"}
LOCAL = {"system": "urn:local", "code": "IMG4021"}


def order(*codings: object, resource_type: str = "ServiceRequest") -> dict[str, object]:
    return {"resourceType": resource_type, "code": {"coding": list(codings)}}


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        pytest.param(order(LOCAL), 1, id="local only"),
        pytest.param(order({"code": "IMG4021"}), 1, id="without a system"),
        pytest.param(order(LOCAL, CPT), 0, id="a standard code beside it"),
        pytest.param(order(CPT), 0, id="standard"),
        pytest.param(order({**CPT, "system": "https://www.ama-assn.org/go/cpt"}), 0, id="https"),
        pytest.param(order(), 0, id="no coding"),
        pytest.param(order({}), 0, id="empty coding"),
        pytest.param(order({"system": [], "code": {}}), 0, id="junk"),
        pytest.param(order(LOCAL, resource_type="MedicationRequest"), 0, id="a drug"),
        pytest.param({"resourceType": "ServiceRequest", "code": "x"}, 0, id="code is text"),
    ],
)
def test_orders_with_local_codes_only_are_counted(
    resource: dict[str, object], expected: int
) -> None:
    assert expected == len(unmapped_codes([resource], NO_SITE_CODES))


def test_a_code_in_the_map_of_the_site_is_not_counted() -> None:
    site = SiteCodes(by_code={("urn:local", "IMG4021"): ImagingProtocol.WITHOUT})

    assert [] == unmapped_codes([order(LOCAL)], site)


def service(url: str) -> FlaskClient:
    return client(Settings(client_auth=ClientAuth.OFF, database_url=url))


def select(to: FlaskClient, patient: str, **coding: str) -> None:
    """Select an order with a local code, for one patient."""
    draft = {
        "resourceType": "ServiceRequest",
        "id": "draft-1",
        "status": "draft",
        "intent": "order",
        "code": {"coding": [coding]},
        "subject": {"reference": f"Patient/{patient}"},
    }
    request = hook_request(draft)
    context = request["context"]
    assert isinstance(context, dict)
    context["patientId"] = patient
    assert 200 == fire(to, request).status_code


def typed(url: str, *words: str) -> Result:
    return CliRunner().invoke(main, ["unmapped", *words], env={"CDS_DATABASE_URL": url})


MRI = {"system": "urn:local", "code": "IMG4021", "display": "SPINE LOWER MAG RES PLAIN"}


def test_a_code_is_listed_once_it_came_for_several_patients(database_url: str) -> None:
    to = service(database_url)
    for number in range(PATIENTS_NEEDED - 1):
        select(to, f"pat-{number}", **MRI)
        select(to, f"pat-{number}", **MRI)
    assert "No unmapped code." in typed(database_url).output

    select(to, "pat-another", **MRI)

    [line] = json.loads(typed(database_url, "--json").output)
    assert line | {"last_seen_at": ""} == {
        "client": "",
        "system": "urn:local",
        "code": "IMG4021",
        "title": "SPINE LOWER MAG RES PLAIN",
        "orders": PATIENTS_NEEDED,
        "last_seen_at": "",
    }


def test_what_comes_for_one_patient_alone_is_never_written(database_url: str) -> None:
    to = service(database_url)

    for _ in range(2 * PATIENTS_NEEDED):
        select(to, "pat-1", system="urn:local", code="JOHN-DOE", display="for John Doe")

    assert [] == json.loads(typed(database_url, "--json").output)


def test_two_processes_count_into_one_line(database_url: str, rows: Rows) -> None:
    for to in (service(database_url), service(database_url)):
        for number in range(PATIENTS_NEEDED):
            select(to, f"pat-{number}", **MRI)

    [row] = rows(UNMAPPED_CODE)
    assert 2 * PATIENTS_NEEDED == row["orders"]


def test_calls_side_by_side_lose_no_code(database_url: str, rows: Rows) -> None:
    to = service(database_url)
    threads = [threading.Thread(target=select, args=(to, f"pat-{n}"), kwargs=MRI) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert ["IMG4021"] == [row["code"] for row in rows(UNMAPPED_CODE)]


def test_the_list_for_people_can_be_narrowed(database_url: str) -> None:
    to = service(database_url)
    for number in range(PATIENTS_NEEDED):
        select(to, f"pat-{number}", **MRI)
        select(to, f"pat-{number}", system="urn:local", code="LAB7", display="CBC")

    assert "LAB7" in typed(database_url).output
    narrowed = typed(database_url, "--containing", "mag res").output
    assert "IMG4021" in narrowed
    assert "LAB7" not in narrowed
    assert "No unmapped code holds “knee”" in typed(database_url, "--containing", "knee").output


@pytest.mark.parametrize("system", ["urn:local", ""])
def test_lines_for_the_site_file_are_taken_once_a_protocol_is_chosen(
    database_url: str, system: str
) -> None:
    to = service(database_url)
    for number in range(PATIENTS_NEEDED):
        select(to, f"pat-{number}", **MRI | {"system": system})

    lines = typed(database_url, "--site-file").output
    site = parse_site_file(lines.replace("CHOOSE", "without"), name="site.yaml")

    by_title = {"spine lower mag res plain": ImagingProtocol.WITHOUT}
    codes = site.order_codes
    assert codes.by_code or by_title == codes.by_title
    assert yaml.safe_load(lines)["orderCodes"]


def test_a_title_cannot_break_the_lines_of_the_site_file(database_url: str) -> None:
    to = service(database_url)
    for number in range(PATIENTS_NEEDED):
        select(to, f"pat-{number}", system="urn:x", code='a"}: [', display="x\ny: z # {")

    [entry] = yaml.safe_load(typed(database_url, "--site-file").output)["orderCodes"]

    assert 'a"}: [' == entry["code"]


def test_a_local_code_beside_the_title_is_named() -> None:
    [found] = unmapped_codes([order({"system": "urn:local", "code": "7"})], NO_SITE_CODES)

    assert LocalCode("urn:local", "7", "") == found
