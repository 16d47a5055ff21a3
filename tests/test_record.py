"""The record: what is kept of decisions and feedback, on SQLite and PostgreSQL alike."""

import copy
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from bundled import knowledge
from client_tokens import PUBLIC_URL, bearer, client_entry, site_text, token
from flask.testing import FlaskClient
from http_service import (
    KNEE_MRI,
    LUMBAR_MRI,
    NOW,
    ORDER_SELECT,
    ORDER_SIGN,
    body_of,
    client,
    decisions_of,
    fire,
    hook_request,
)
from own_servers import own_postgresql
from stores import Rows

from cds_service.modes import Mode
from cds_service.settings import ClientAuth, Settings
from cds_service.site_file import parse_site_file
from cds_service.store.rest import SECONDS_LEFT_ALONE
from cds_service.store.tables import CARD, DECISION, FEEDBACK

pytestmark = pytest.mark.xdist_group("timed")

SECOND = "https://second.example"
AT = "2026-03-16T15:05:00Z"


@pytest.fixture
def to(database_url: str) -> FlaskClient:
    return client(Settings(client_auth=ClientAuth.OFF, database_url=database_url))


def report(card: str, **members: object) -> dict[str, object]:
    return {"card": card, "outcome": "overridden", "outcomeTimestamp": AT, **members}


def send(
    to: FlaskClient, *reports: dict[str, object], service: str = ORDER_SELECT, **headers: str
) -> dict[str, int]:
    """Send feedback that must be taken, and return the counts of the answer."""
    answer = to.post(f"{service}/feedback", json={"feedback": list(reports)}, headers=headers)
    assert 200 == answer.status_code, answer.text
    extension = body_of(answer)["extension"]
    assert isinstance(extension, dict)
    counts: dict[str, int] = extension["org.lumbar-mri-cds.feedback"]
    return counts


def shown_card(to: FlaskClient) -> dict[str, object]:
    """Fire a hook and return the one card."""
    (card,) = fire(to, hook_request()).get_json()["cards"]
    assert isinstance(card, dict)
    return card


def test_each_order_has_a_row_with_what_the_answer_says(to: FlaskClient, rows: Rows) -> None:
    second = {**LUMBAR_MRI, "id": "draft-2"}
    request = hook_request(LUMBAR_MRI, second)
    answer = fire(to, request)
    told = decisions_of(answer)
    kept = rows(DECISION)

    assert 2 == len(kept) == len(told)
    for number, (row, decision) in enumerate(zip(kept, told, strict=True), 1):
        assert number == row["order_number"]
        assert decision["row"] == row["base_row"]
        assert decision.get("overlay") == row["overlay"]
        assert decision["rating"] == row["rating"]
        assert decision["indicator"] == row["indicator"]
        assert decision.get("missing", []) == row["missing"]
        assert decision["protocol"] == row["protocol"]
        assert NOW == row["decided_at"]
        assert request["hookInstance"] == row["hook_instance"]
        assert "lumbar-mri-order-select" == row["service"]
        assert knowledge().digest == row["knowledge_digest"]
        assert isinstance(row["total_ms"], float)
        assert row["total_ms"] > 0


def test_facts_are_kept_by_name_and_status_alone(to: FlaskClient, rows: Rows) -> None:
    fire(to, hook_request())
    (row,) = rows(DECISION)
    facts = row["facts"]

    assert isinstance(facts, dict)
    assert (
        "true"
        == facts["axial_low_back_pain" if "axial_low_back_pain" in facts else next(iter(facts))]
    )
    assert set(facts) <= {fact.id for fact in knowledge().facts}
    assert set(facts.values()) <= {"true", "true?", "false", "false?"}


def test_each_card_that_left_has_its_row(to: FlaskClient, rows: Rows) -> None:
    card = shown_card(to)
    (decision,) = rows(DECISION)
    (kept,) = rows(CARD)

    suggestions = card["suggestions"]
    assert isinstance(suggestions, list)
    assert card["uuid"] == kept["card"]
    assert decision["id"] == kept["decision_id"]
    assert card["indicator"] == kept["indicator"]
    assert {s["uuid"]: s["actions"][0]["type"] for s in suggestions} == kept["suggestions"]


def test_in_silent_mode_the_decision_is_kept_and_no_card(database_url: str, rows: Rows) -> None:
    settings = Settings(client_auth=ClientAuth.OFF, database_url=database_url, mode=Mode.SILENT)
    fire(client(settings), hook_request())

    assert ["silent"] == [row["mode"] for row in rows(DECISION)]
    assert [] == rows(CARD)


def test_a_call_without_a_lumbar_mri_leaves_nothing(to: FlaskClient, rows: Rows) -> None:
    fire(to, hook_request())
    fire(to, hook_request(KNEE_MRI))

    assert 1 == len(rows(DECISION))


def test_the_same_hook_instance_twice_has_two_decisions(to: FlaskClient, rows: Rows) -> None:
    """R-CALL-17: a client may fire again; the cards have the same ids."""
    first, second = shown_card(to), shown_card(to)

    assert first["uuid"] == second["uuid"]
    assert 2 == len(rows(DECISION))
    assert 2 == len(rows(CARD))


def test_a_hook_instance_that_is_no_uuid_is_not_kept(to: FlaskClient, rows: Rows) -> None:
    """R-CALL-16: it may be a name."""
    fire(to, {**hook_request(), "hookInstance": "Janet Doe"})

    assert [None] == [row["hook_instance"] for row in rows(DECISION)]


def test_a_report_is_kept_before_it_is_acknowledged(to: FlaskClient, rows: Rows) -> None:
    """R-FB-01, R-FB-03: with the code, without the comment."""
    card = str(shown_card(to)["uuid"])
    ours = knowledge().wording.override_reasons[0][0]
    reason = {"reason": {"code": ours, "system": "s"}, "userComment": "Janet Doe"}

    assert {"received": 1, "new": 1, "unknownCards": 0} == send(
        to, report(card, overrideReason=reason)
    )
    (row,) = rows(FEEDBACK)
    assert (card, "overridden", [ours]) == (row["card"], row["outcome"], row["override_codes"])
    assert datetime(2026, 3, 16, 15, 5, tzinfo=UTC) == row["outcome_at"]
    assert "Janet" not in repr(row)


def test_the_same_report_counts_once_however_often_it_comes(to: FlaskClient, rows: Rows) -> None:
    """R-FB-04: in one batch, again later, in another spelling of the same moment."""
    card = str(shown_card(to)["uuid"])
    same = report(card)

    assert 1 == send(to, same, copy.deepcopy(same))["new"]
    assert 0 == send(to, same)["new"]
    assert 0 == send(to, report(card.upper(), outcomeTimestamp="2026-03-16T10:05:00-05:00"))["new"]
    assert 1 == len(rows(FEEDBACK))
    assert 1.0 == feedback_counted(to)


def feedback_counted(to: FlaskClient) -> float:
    lines = to.get("/metrics").text.splitlines()
    return sum(float(x.rpartition(" ")[2]) for x in lines if x.startswith("cds_feedback_total{"))


def test_another_report_about_the_same_card_is_kept_beside(to: FlaskClient, rows: Rows) -> None:
    """R-FB-04: overridden at first, accepted a minute later."""
    card = shown_card(to)
    uuids = [s["uuid"] for s in card["suggestions"]]  # type: ignore[attr-defined]  # JSON
    later = report(
        str(card["uuid"]),
        outcome="accepted",
        outcomeTimestamp="2026-03-16T15:06:00Z",
        acceptedSuggestions=[{"id": uuids[0]}],
    )

    assert 2 == send(to, report(str(card["uuid"])), later)["new"]
    assert ["overridden", "accepted"] == [row["outcome"] for row in rows(FEEDBACK)]
    assert [uuids[0]] == rows(FEEDBACK)[1]["accepted"]


def test_a_batch_of_a_thousand_is_kept_whole(to: FlaskClient, rows: Rows) -> None:
    """R-FB-04."""
    known = str(shown_card(to)["uuid"])
    batch = [report(str(uuid.UUID(int=n))) for n in range(999)]

    assert {"received": 1000, "new": 1000, "unknownCards": 999} == send(to, report(known), *batch)
    assert {"received": 1000, "new": 0, "unknownCards": 999} == send(to, report(known), *batch)
    assert 1000 == len(rows(FEEDBACK))


def test_what_no_uuid_can_name_is_acknowledged_and_not_kept(to: FlaskClient, rows: Rows) -> None:
    """R-FB-07: ids of ours are UUIDs; anything else may be a name."""
    shown_card(to)

    assert {"received": 2, "new": 0, "unknownCards": 2} == send(
        to, report("Janet Doe"), report("4711")
    )
    assert [] == rows(FEEDBACK)
    assert "cds_feedback_unknown_cards_total 2.0" in to.get("/metrics").text


def test_codes_and_suggestions_that_are_not_ours_are_not_kept(to: FlaskClient, rows: Rows) -> None:
    card = str(uuid.uuid5(uuid.NAMESPACE_OID, "card"))
    send(
        to,
        report(card, overrideReason={"reason": {"code": "Janet Doe"}}),
        report(card, outcome="accepted", acceptedSuggestions=[{"id": "Janet Doe"}]),
    )

    assert [["other"], []] == [row["override_codes"] for row in rows(FEEDBACK)]
    assert [[], []] == [row["accepted"] for row in rows(FEEDBACK)]


def test_the_plural_form_of_epic_is_kept(to: FlaskClient, rows: Rows) -> None:
    """`overrideReasons`, an object, with an id of its own in an extension."""
    card = str(shown_card(to)["uuid"])
    ours = knowledge().wording.override_reasons[1][0]
    reasons = {
        "reason": {"code": ours},
        "extension": {"com.epic.cdshooks.feedback.overrideReason.id": "12"},
        "userComment": "Janet Doe",
    }
    send(to, report(card, overrideReasons=reasons))

    assert [[ours]] == [row["override_codes"] for row in rows(FEEDBACK)]


def test_feedback_hours_late_finds_its_decision(database_url: str, rows: Rows) -> None:
    """R-FB-07: sent by another process, long after the call."""
    settings = Settings(client_auth=ClientAuth.OFF, database_url=database_url)
    card = str(shown_card(client(settings))["uuid"])
    later = client(settings, now=NOW + timedelta(hours=9))

    assert 0 == send(later, report(card))["unknownCards"]
    assert [NOW + timedelta(hours=9)] == [row["received_at"] for row in rows(FEEDBACK)]


@pytest.mark.parametrize("sent", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"])
def test_a_time_that_has_no_utc_is_refused(to: FlaskClient, sent: str, rows: Rows) -> None:
    body = {"feedback": [report(str(uuid.UUID(int=1)), outcomeTimestamp=sent)]}

    assert 400 == to.post(f"{ORDER_SELECT}/feedback", json=body).status_code
    assert 200 == fire(to, hook_request()).status_code
    assert [] == rows(FEEDBACK)


def test_one_client_cannot_speak_of_cards_of_another(database_url: str, rows: Rows) -> None:
    """R-SEC-15: what it sends is kept as its own, and finds no decision."""
    site = parse_site_file(site_text(client_entry(), client_entry(issuer=SECOND)), name="s.yaml")
    to = client(Settings(public_url=PUBLIC_URL, database_url=database_url), site=site)
    card = fire(to, hook_request(), headers=bearer(token())).get_json()["cards"][0]["uuid"]

    own = send(to, report(card), **bearer(token()))
    foreign = send(to, report(card), **bearer(token(iss=SECOND)))

    assert (0, 1) == (own["unknownCards"], foreign["unknownCards"])
    assert 2 == len({str(row["client"]) for row in rows(FEEDBACK)})


def test_services_of_one_hook_instance_do_not_share_cards(to: FlaskClient, rows: Rows) -> None:
    fire(to, hook_request())
    fire(to, hook_request(hook="order-sign"), path=ORDER_SIGN)

    assert 2 == len({row["card"] for row in rows(CARD)})


@pytest.fixture
def broken(tmp_path: Path) -> FlaskClient:
    """Return a service whose state directory cannot be made."""
    (tmp_path / "state").write_text("a file where the folder should be")
    return client(Settings(client_auth=ClientAuth.OFF, state_directory=tmp_path / "state"))


def test_without_a_store_the_clinician_gets_the_card_and_the_operator_is_told(
    broken: FlaskClient, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level("INFO")
    answer = fire(broken, hook_request())
    ready = broken.get("/health/ready")

    assert 1 == len(answer.get_json()["cards"])
    assert 200 == ready.status_code
    assert {"kind": "sqlite", "state": "down"} == body_of(ready)["database"]
    assert "cards leave without their record" in ready.text
    assert "cards leave without their record" in broken.get("/").text
    assert "cds_decisions_unrecorded_total 1.0" in broken.get("/metrics").text
    assert ["FileExistsError"] == [
        vars(r)["unrecorded"] for r in caplog.records if "unrecorded" in vars(r)
    ]

    (tmp_path / "state").unlink()
    time.sleep(SECONDS_LEFT_ALONE)
    assert 200 == fire(broken, hook_request()).status_code
    assert "leave without" not in broken.get("/health/ready").text


def test_feedback_that_cannot_be_kept_is_not_acknowledged(broken: FlaskClient) -> None:
    body = {"feedback": [report(str(uuid.UUID(int=1)))]}
    answer = broken.post(f"{ORDER_SELECT}/feedback", json=body)

    assert 503 == answer.status_code
    assert "send it again" in answer.text
    assert 0.0 == feedback_counted(broken)


@pytest.fixture
def frozen() -> Iterator[str]:
    """Return the URL of a PostgreSQL that takes connections and never answers."""
    with own_postgresql() as server:
        client(Settings(client_auth=ClientAuth.OFF, database_url=server.url)).get("/health/ready")
        server.freeze()
        yield server.url
        server.thaw()


def test_a_store_that_hangs_does_not_hold_the_call_past_its_budget(frozen: str) -> None:
    """It accepts, and is silent: neither an error nor an end of the connection."""
    settings = Settings(client_auth=ClientAuth.OFF, database_url=frozen, time_budget_ms=800)
    to = client(settings)
    started = time.monotonic()
    first = fire(to, hook_request())
    took = time.monotonic() - started

    assert 1 == len(first.get_json()["cards"])
    assert 1.5 > took
    assert "cds_decisions_unrecorded_total 1.0" in to.get("/metrics").text


def test_two_workers_write_into_one_file(tmp_path: Path) -> None:
    settings = Settings(client_auth=ClientAuth.OFF, state_directory=tmp_path)
    both = [client(settings), client(replace(settings))]
    for to in both * 3:
        assert 200 == fire(to, hook_request()).status_code
    engine = sa.create_engine(settings.store_url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        assert 6 == connection.scalar(sa.select(sa.func.count()).select_from(DECISION))


def test_a_constraint_of_later_tables_does_not_cost_the_card(
    to: FlaskClient, connected: sa.Connection
) -> None:
    """After a roll-back the tables may want what this version does not write."""
    fire(to, hook_request())
    connected.execute(sa.text("CREATE UNIQUE INDEX later ON decision (hook_instance)"))
    connected.commit()
    answer = fire(to, hook_request())

    assert 1 == len(answer.get_json()["cards"])
    assert "cds_decisions_unrecorded_total 1.0" in to.get("/metrics").text
    assert "the last call was not recorded" in to.get("/health/ready").text
