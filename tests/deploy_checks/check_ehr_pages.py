"""The pages for analysts: what they say to type in is what the service takes and offers."""

import re
from pathlib import Path

import pytest
from bundled import knowledge
from deploy_files import DEPLOY

from cds_service.site_file import parse_site_file

PAGES = sorted((DEPLOY / "ehr").glob("*.md"))


def pages() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)


def test_there_is_a_page_for_each_ehr_that_the_reference_describes() -> None:
    assert {"athenahealth", "epic", "generic", "oracle-health"} == {p.stem for p in PAGES}


@pages()
def test_the_site_file_is_taken(page: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", page.read_text("utf-8"), re.DOTALL)

    assert blocks
    for block in blocks:
        site = parse_site_file(block, name=page.name)
        assert site.clients
        assert site.order_codes.by_code or site.order_codes.by_title


@pages()
def test_prefetch_is_that_of_discovery(page: Path) -> None:
    rows = re.findall(r"^\| `(\w+)` \| `(\w+[/?][^`]*)` \|$", page.read_text("utf-8"), re.MULTILINE)

    if rows or page.stem in {"epic", "generic"}:
        for service in knowledge().services:
            assert dict(service.prefetch) == dict(rows)


@pages()
def test_addresses_are_those_of_the_services(page: Path) -> None:
    named = set(re.findall(r"/cds-services/([\w-]+)", page.read_text("utf-8")))

    assert named
    assert named <= {service.id for service in knowledge().services}


def test_all_override_reasons_stand_in_the_page_for_epic() -> None:
    text = (DEPLOY / "ehr/epic.md").read_text("utf-8")

    rows = re.findall(r"^\| (O\d+) \| (.+) \|$", text, re.MULTILINE)
    assert list(knowledge().wording.override_reasons) == rows


def test_what_profile_epic_leaves_out_is_said_in_the_page() -> None:
    site = parse_site_file(
        re.findall(r"```yaml\n(.*?)```", (DEPLOY / "ehr/epic.md").read_text("utf-8"), re.DOTALL)[0],
        name="epic.md",
    )
    form = site.form_for(site.clients[0])

    assert frozenset({"A1", "A2", "A5"}) == form.kinds
    assert {"A5": "1234567"} == form.preference_list_codes
