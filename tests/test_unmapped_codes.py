"""Which orders count as carrying only codes of the EHR's own."""

import pytest

from cds_service.order_reading import NO_SITE_CODES, SiteCodes
from cds_service.orders import ImagingProtocol
from cds_service.unmapped_codes import count_unmapped

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
    assert expected == count_unmapped([resource], NO_SITE_CODES)


def test_a_code_in_the_map_of_the_site_is_not_counted() -> None:
    site = SiteCodes(by_code={("urn:local", "IMG4021"): ImagingProtocol.WITHOUT})

    assert 0 == count_unmapped([order(LOCAL)], site)
