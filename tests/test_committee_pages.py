"""The committee's pages: whole, searchable, with codes; what-if by the code that decides."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from html import unescape
from urllib.parse import urlencode

import pytest
from bundled import knowledge
from chromium import chromium, serious_faults, watched_page
from flask.testing import FlaskClient
from http_service import client, error_code
from werkzeug.serving import make_server

from cds_service.knowledge import Case
from cds_service.knowledge_review.cases import judge
from cds_service.knowledge_review.page import review_page

RULES = "/knowledge/lumbar-mri"
VALUE_SETS = f"{RULES}/value-sets"
WHAT_IF = f"{RULES}/what-if"
CASES = [case for case in knowledge().cases if not case.options and len(case.unreadable) < 2][::9]


@cache
def service() -> FlaskClient:
    """Return the application with the whole review page."""
    return client(review=review_page(knowledge()))


def words_of(page: str) -> str:
    """Return a page as text."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


def parameters_of(case: Case) -> dict[str, str]:
    """Return what one would choose in the form."""
    return {
        **{fact: value.value for fact, value in case.facts.items()},
        **{f"order.{name}": value for name, value in case.order.items()},
        **({"unread": case.unreadable[0]} if case.unreadable else {}),
    }


def test_the_rules_page_holds_rules_cases_and_what_a_check_holds() -> None:
    page = words_of(service().get(RULES).text)

    assert all(rule.id in page for rule in knowledge().rules)
    assert all(case.id in page for case in knowledge().cases)
    assert "No warning against the order rests on evidence that is only possible" in page
    assert "Nothing was proved while this page was made" in page


def test_every_code_is_shown_with_where_it_was_verified() -> None:
    page = service().get(VALUE_SETS).text
    rows = set(re.findall(r"<td><code>([^<]+)</code></td>", page))
    members = [member for note in knowledge().value_set_notes for member in note.members]

    assert len(members) > 900
    assert {member.code for member in members} == {unescape(code) for code in rows}
    assert all(f'id="{note.id}"' in page for note in knowledge().value_set_notes)
    assert "simple-icd-10-cm 1.5.0" in page
    assert "but not:" in page


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_what_if_answers_as_the_case_does(case: Case) -> None:
    decision = judge(case, knowledge()).decision
    answer = service().get(f"{WHAT_IF}?{urlencode(parameters_of(case))}")
    page = words_of(answer.text)

    assert 200 == answer.status_code
    own_id = f" ({decision.rule.id})" if decision.rule.id != decision.row else ""
    assert f"Base row {decision.row}{own_id}: {decision.rule.says}" in page
    assert ("(provisional)" in page) == decision.is_provisional
    assert ("No card is shown." in page) == (
        decision.indicator is None and decision.verdict.safety_indicator is None
    )


def test_what_if_shows_the_card_and_keeps_what_was_chosen() -> None:
    page = service().get(f"{WHAT_IF}?cauda_equina=true&order.priority=stat").text

    assert "Cauda equina" in words_of(page)
    assert '<section class="card">' in page
    assert re.search(r'name="cauda_equina">.*?value="true" selected', page)
    assert re.search(r'name="order.priority">.*?value="stat" selected', page)


@pytest.mark.parametrize(
    "query",
    [
        "no_such_fact=true",
        "cauda_equina=perhaps",
        "order.priority=never",
        "order.nothing=1",
        "unread=Practitioner",
        "cauda_equina=true&cauda_equina=false",
        "=true",
        "<script>=<b>",
    ],
)
def test_what_this_knowledge_does_not_know_is_refused_and_not_repeated(query: str) -> None:
    answer = service().get(f"{WHAT_IF}?{query}")

    assert 400 == answer.status_code
    assert "malformed-request" == error_code(answer)
    assert "Parameter" in answer.text
    assert "script" not in answer.text


def test_the_work_of_what_if_is_bounded() -> None:
    every = urlencode({fact.id: "possible_false" for fact in knowledge().facts})

    assert 200 == service().get(f"{WHAT_IF}?{every}").status_code
    assert 413 == service().get(f"{WHAT_IF}?{'a' * 9000}=true").status_code


def test_pages_of_no_such_knowledge_are_not_found() -> None:
    for path in ("", "/value-sets", "/what-if"):
        assert 404 == service().get(f"/knowledge/none{path}").status_code


def test_the_policy_lets_nothing_in_but_our_script() -> None:
    for path in (RULES, VALUE_SETS, WHAT_IF):
        answer = service().get(path)
        policy = answer.headers["Content-Security-Policy"]

        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert " onclick" not in answer.text
        assert {"../assets/review.js", "../../assets/review.js"} >= set(
            re.findall(r'<script src="([^"]+)"', answer.text)
        )


@contextmanager
def on_loopback() -> Iterator[str]:
    """Serve the application on a free port; return its base URL."""
    server = make_server("127.0.0.1", 0, service().application, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_in_a_browser_rows_are_found_and_the_form_asks() -> None:
    with on_loopback() as url, chromium() as browser, watched_page(browser, url) as page:
        page.goto(url + VALUE_SETS)
        rows = page.locator("tbody tr:visible")
        everything = rows.count()
        page.get_by_label("Search").fill("M54.5 low back")
        found = rows.count()
        assert 0 < found < everything / 10
        assert f"{found} of {everything} rows" == page.locator("#found").inner_text()
        page.get_by_label("Search").fill("")
        assert everything == rows.count()
        page.goto(url + RULES)
        page.get_by_label("Search").fill("cauda equina")
        assert 0 == page.get_by_role("heading", name="Options of the site").count()
        assert page.get_by_role("heading", name="Cauda equina syndrome is suspected").count()
        page.goto(url + VALUE_SETS)
        page.emulate_media(media="print")
        assert not page.get_by_label("Search").is_visible()
        page.emulate_media(media="screen")

        page.get_by_role("link", name="What if").click()
        page.locator('select[name="cauda_equina"]').select_option("true")
        page.get_by_role("button", name="Show row and card").click()
        assert "E1" in page.locator("main").inner_text()
        assert [] == serious_faults(page)
