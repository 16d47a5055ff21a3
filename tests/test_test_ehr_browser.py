"""The test EHR in a real browser: what a clinician does, and what comes back."""

import json
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from chromium import DESKTOP, PHONE, chromium, keep_screenshot, serious_faults, watched_page
from demo_ehr import RunningDemo, running_demo
from playwright.sync_api import Browser, Page, Request, expect

pytestmark = pytest.mark.xdist_group("timed")

EARLY = "acute-back-pain-ten-days"
IN_WORDS = "cauda-equina-suspected-in-order-text"
SELECT = "button[data-hook=order-select]"
SIGN = "button[data-hook=order-sign]"


class Ehr:
    """The running demo and the browser that looks at it."""

    def __init__(self, demo: RunningDemo, browser: Browser) -> None:
        """Open nothing yet."""
        self.demo = demo
        self.browser = browser

    def page(
        self, size: tuple[int, int] = DESKTOP, *, expected: str = ""
    ) -> AbstractContextManager[Page]:
        """Return an empty page that may complain of nothing but what is expected."""
        return watched_page(self.browser, self.demo.url, size, expected=expected)

    def open(self, page: Page, query: str) -> None:
        """Open a chart and wait until its drafts are there."""
        page.goto(f"{self.demo.url}/?{query}")
        wait_for_answer(page)


@pytest.fixture(scope="module")
def ehr() -> Iterator[Ehr]:
    """Start everything once for all tests of this file."""
    with chromium() as browser, running_demo() as demo:
        yield Ehr(demo, browser)


def fire(page: Page, button: str = SELECT) -> None:
    """Press a hook's button and wait until the answer and its reasons are shown."""
    page.click(button)
    wait_for_answer(page)


def wait_for_answer(page: Page) -> None:
    page.wait_for_selector("#answer[aria-busy=false]")


def press(page: Page, label: str) -> None:
    """Press a button of a card."""
    page.get_by_role("article").get_by_role("button", name=label).click()


def feedback_in(request: Request) -> dict[str, Any]:
    """Return the one report in a feedback request."""
    body: dict[str, Any] = request.post_data_json or {}
    (entry,) = body["feedback"]
    return dict(entry)


def sent(page: Page) -> dict[str, Any]:
    """Return the request as the page shows it."""
    request: dict[str, Any] = json.loads(page.locator("#request").text_content() or "")
    return request


def drafts(page: Page) -> list[dict[str, Any]]:
    """Return the drafts as the page holds them."""
    bundle = json.loads(page.input_value("#drafts-json"))
    return [entry["resource"] for entry in bundle.get("entry", [])]


def test_a_hook_fires_and_card_request_response_trace_and_time_are_shown(ehr: Ehr) -> None:
    with ehr.page() as page:
        ehr.open(page, f"story={EARLY}")
        with page.expect_response("**/cds-services/lumbar-mri-order-select") as received:
            fire(page)

        assert received.value.request.post_data_json == sent(page)
        assert received.value.json() == json.loads(page.locator("#response").text_content() or "")
        (card,) = received.value.json()["cards"]
        assert card["summary"] == page.inner_text(".card h3")
        assert "warning" == page.inner_text(".card .indicator").split()[-1].lower()
        expect(page.locator(".card .detail strong").first).to_be_visible()
        expect(page.locator(".card .suggestions button")).to_have_count(len(card["suggestions"]))
        expect(page.locator("#status")).to_contain_text("Row S4a")
        first_row = page.locator(".trace").first.locator("tbody tr").first
        expect(first_row).to_contain_text("does not")
        expect(page.locator(".trace").first).to_contain_text("holds")
        expect(page.locator("#timing")).to_contain_text("ms")
        picture = page.locator("#timelines img")
        assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
        expect(picture).to_have_attribute("alt", re.compile("Today's order|today", re.IGNORECASE))
        assert [] == serious_faults(page)
        keep_screenshot(page, "card")


def test_an_accepted_suggestion_changes_the_draft_and_the_hook_fires_again(ehr: Ehr) -> None:
    with ehr.page() as page:
        ehr.open(page, f"story={EARLY}")
        fire(page)
        with page.expect_request("**/feedback") as feedback:
            press(page, "Add: suspected cauda equina syndrome")
        wait_for_answer(page)

        entry = feedback_in(feedback.value)
        assert "accepted" == entry["outcome"]
        assert 1 == len(entry["acceptedSuggestions"])
        expect(page.locator("#feedback")).to_contain_text("received (HTTP 200)")
        expect(page.locator("#status")).to_contain_text("Row E1")
        expect(page.locator(".answers")).to_contain_text("cauda equina")
        (draft,) = drafts(page)
        assert [draft] == [e["resource"] for e in sent(page)["context"]["draftOrders"]["entry"]]
        expect(page.locator(".suggestions")).not_to_contain_text("Add: suspected cauda equina")
        expect(page.locator("#answer-heading")).to_be_focused()
        keep_screenshot(page, "accepted")


def test_creating_and_deleting_suggestions_change_the_basket(ehr: Ehr) -> None:
    with ehr.page() as page:
        ehr.open(page, f"story={EARLY}")
        fire(page)
        press(page, "Start non-drug care: physical therapy")
        wait_for_answer(page)
        expect(page.locator("fieldset.draft")).to_have_count(2)
        press(page, "Cancel this MRI")
        wait_for_answer(page)

        expect(page.locator("fieldset.draft")).to_have_count(1)
        expect(page.locator("#status")).to_contain_text("No card")
        assert ["ServiceRequest"] == [draft["resourceType"] for draft in drafts(page)]


def test_an_override_is_sent_with_reason_and_comment_and_shown(ehr: Ehr) -> None:
    with ehr.page() as page:
        ehr.open(page, f"story={EARLY}")
        fire(page)
        page.click("text=Override this card")
        page.locator(".override input[type=radio]").nth(2).check()
        page.fill("#card-0-comment", "Agreed with the surgeon.")
        with page.expect_request("**/feedback") as feedback:
            press(page, "Override and keep the order")

        expect(page.locator(".outcome")).to_contain_text("Feedback received (HTTP 200)")
        entry = feedback_in(feedback.value)
        response = json.loads(page.locator("#response").text_content() or "")
        offered = response["cards"][0]["overrideReasons"][2]
        assert "overridden" == entry["outcome"]
        assert offered["code"] == entry["overrideReason"]["reason"]["code"]
        assert "Agreed with the surgeon." == entry["overrideReason"]["userComment"]
        assert [] == serious_faults(page)
        keep_screenshot(page, "overridden")


def test_protocol_priority_reason_and_several_drafts_are_edited_and_signed(ehr: Ehr) -> None:
    with ehr.page() as page:
        ehr.open(page, f"story={EARLY}")
        page.select_option("#draft-0-exam", "with")
        page.select_option("#draft-0-priority", "urgent")
        page.select_option("#draft-0-reason", "radiculopathy")
        page.fill("#draft-0-words", "r/o cauda equina")
        page.click("#add-mri")
        page.click("#add-knee")
        fire(page, SIGN)

        first, second, knee = drafts(page)
        assert "72149" == first["code"]["coding"][0]["code"]
        assert "urgent" == first["priority"]
        assert "M54.16" == first["reasonCode"][0]["coding"][0]["code"]
        assert {"text": "r/o cauda equina"} == first["reasonCode"][1]
        assert "72148" == second["code"]["coding"][0]["code"]
        assert "73721" == knee["code"]["coding"][0]["code"]
        assert "order-sign" == sent(page)["hook"]
        assert "selections" not in sent(page)["context"]
        expect(page.locator("#status")).to_contain_text("Row E1")
        expect(page.locator("#why h3")).to_have_count(2)
        keep_screenshot(page, "several-drafts")


def test_a_link_brings_back_patient_drafts_and_answer(ehr: Ehr) -> None:
    with ehr.page() as page, ehr.page() as elsewhere:
        ehr.open(page, f"story={EARLY}&chart=fhir")
        page.select_option("#draft-0-priority", "stat")
        page.fill("#draft-0-words", "r/o cauda equina – ‘now’")
        fire(page, SIGN)
        elsewhere.goto(f"{ehr.demo.url}{page.get_attribute('#link', 'href')}")
        wait_for_answer(elsewhere)

        assert drafts(page) == drafts(elsewhere)
        assert page.inner_text("#status") == elsewhere.inner_text("#status")
        again = sent(elsewhere)
        assert "prefetch" not in again
        assert {**sent(page), "hookInstance": ""} == {**again, "hookInstance": ""}


def test_any_patient_of_an_allowed_fhir_server_can_be_chosen(ehr: Ehr) -> None:
    with ehr.page() as page:
        ehr.open(page, f"story={EARLY}")
        page.click("text=Any patient of a FHIR server")
        assert 1 < page.locator("#patients option").count()
        page.fill("#patient", "fairweather-patient")
        page.click("text=Open patient")
        page.wait_for_url("**patient=fairweather-patient**")
        wait_for_answer(page)
        fire(page)

        expect(page.locator("#banner")).to_contain_text("Fairweather")
        expect(page.locator("#status")).to_contain_text("Row E2")
        assert "patient" in sent(page)["prefetch"]


@pytest.mark.parametrize("story", [IN_WORDS, "pacemaker-and-egfr-twenty-nine"])
def test_a_phone_shows_all_of_it_without_scrolling_sideways(ehr: Ehr, story: str) -> None:
    with ehr.page(PHONE) as page:
        ehr.open(page, f"story={story}&fire=order-sign")
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")

        assert PHONE[0] >= page.evaluate("document.documentElement.scrollWidth")
        assert [] == serious_faults(page)
        keep_screenshot(page, f"phone-{story}")


def test_the_keyboard_alone_is_enough(ehr: Ehr) -> None:
    with ehr.page() as page:
        ehr.open(page, f"story={EARLY}")
        tab_to(page, SELECT)
        page.keyboard.press("Enter")
        wait_for_answer(page)
        expect(page.locator("#answer-heading")).to_be_focused()
        tab_to(page, ".override summary")
        page.keyboard.press("Enter")
        tab_to(page, ".override input[type=radio]")
        page.keyboard.press("ArrowDown")
        tab_to(page, ".override button")
        page.keyboard.press("Enter")
        expect(page.locator(".outcome")).to_contain_text("received")
        assert page.locator(".override input[type=radio]").nth(1).is_checked()
        tab_to(page, ".suggestions button", backwards=True)
        page.keyboard.press("Enter")
        expect(page.locator("#feedback li")).to_have_count(2)


def test_the_skip_link_leads_to_the_answer_and_keeps_the_state(ehr: Ehr) -> None:
    with ehr.page() as page:
        ehr.open(page, f"story={EARLY}")
        before = page.url
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")

        expect(page.locator("#answer-heading")).to_be_focused()
        assert before == page.url


def tab_to(page: Page, selector: str, *, backwards: bool = False) -> None:
    """Press Tab until an element that fits has the focus, and can be seen to have it."""
    for _ in range(100):
        page.keyboard.press("Shift+Tab" if backwards else "Tab")
        if page.evaluate("(one) => document.activeElement.matches(one)", selector):
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert "none" != outline
            return
    raise AssertionError(selector)


def test_hostile_text_stays_text(ehr: Ehr) -> None:
    hostile = "<img src=x onerror=alert(1)> [x](javascript:alert(1)) r/o cauda equina"
    with ehr.page() as page:
        ehr.open(page, f"story={EARLY}")
        page.fill("#draft-0-words", hostile)
        fire(page)

        assert hostile == drafts(page)[0]["reasonCode"][-1]["text"]
        assert 0 == page.locator("img[src=x]").count()
        assert 0 == page.locator("a[href^='javascript:']").count()


def test_a_bundle_that_is_none_is_not_used(ehr: Ehr) -> None:
    with ehr.page() as page:
        ehr.open(page, f"story={EARLY}")
        page.click("text=Drafts as FHIR JSON, to edit")
        page.fill("#drafts-json", "{}")
        page.click("#use-json")

        expect(page.locator("#json-problem")).to_contain_text("not a FHIR Bundle")
        expect(page.locator("fieldset.draft")).to_have_count(1)


def test_a_refused_call_is_said_with_its_reason(ehr: Ehr) -> None:
    with ehr.page(expected="413") as page:
        ehr.open(page, f"story={EARLY}")
        (draft,) = drafts(page)
        notes = [{"text": f"note {number}"} for number in range(201)]
        bundle = {"resourceType": "Bundle", "entry": [{"resource": {**draft, "note": notes}}]}
        page.click("text=Drafts as FHIR JSON, to edit")
        page.fill("#drafts-json", json.dumps(bundle))
        page.click("#use-json")
        fire(page)

        expect(page.locator("#status")).to_contain_text("HTTP 413: A draft order holds more than")
        assert 0 == page.locator(".card").count()


def test_an_unknown_patient_is_said(ehr: Ehr) -> None:
    with ehr.page(expected="400") as page:
        ehr.open(page, "patient=nobody")

        expect(page.locator("#banner")).to_contain_text("has no patient with this id")
        expect(page.locator(SELECT)).to_be_disabled()
