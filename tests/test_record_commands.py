"""`cds-service record …`, typed as an operator types it, against both databases."""

import csv
import io
import json
import sqlite3
import uuid
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from bundled import knowledge
from click.testing import CliRunner, Result
from flask.testing import FlaskClient
from http_service import NOW, ORDER_SELECT, client, fire, hook_request
from stores import Rows

from cds_service.app import utc_now
from cds_service.cli import main
from cds_service.settings import ClientAuth, Settings
from cds_service.store.tables import CARD, DECISION, FEEDBACK, METADATA


def service(url: str, *, days_ago: int = 0) -> FlaskClient:
    settings = Settings(client_auth=ClientAuth.OFF, database_url=url)
    return client(settings, now=NOW - timedelta(days=days_ago))


def typed(url: str, *words: str, **environ: str) -> Result:
    return CliRunner().invoke(main, ["record", *words], env={"CDS_DATABASE_URL": url, **environ})


def fill(url: str, *, days_ago: int = 0) -> dict[str, str]:
    """Fire one hook, and accept and override its card; return ids and the action accepted."""
    to = service(url, days_ago=days_ago)
    answer = fire(to, {**hook_request(), "hookInstance": str(uuid.uuid4())})
    (card,) = answer.get_json()["cards"]
    suggestion = card["suggestions"][0]
    code = knowledge().wording.override_reasons[0][0]
    said = {"card": card["uuid"], "outcomeTimestamp": "2026-03-16T15:05:00Z"}
    accepted = said | {
        "outcome": "accepted",
        "acceptedSuggestions": [{"id": suggestion["uuid"]}, {"id": str(uuid.UUID(int=7))}],
    }
    overridden = said | {"outcome": "overridden", "overrideReason": {"reason": {"code": code}}}
    unknown = said | {"outcome": "overridden", "card": str(uuid.UUID(int=days_ago))}
    sent = to.post(f"{ORDER_SELECT}/feedback", json={"feedback": [accepted, overridden, unknown]})
    assert 200 == sent.status_code
    action = suggestion["actions"][0]["type"]
    return {
        "card": card["uuid"],
        "action": action,
        "code": code,
        "topic": card["source"]["topic"]["code"],
    }


def test_feedback_is_exported_as_a_table_with_what_was_decided(database_url: str) -> None:
    known = fill(database_url)
    result = typed(database_url, "export", "feedback")
    accepted, overridden, unknown = csv.DictReader(io.StringIO(result.stdout))

    assert 0 == result.exit_code, result.stderr
    assert "3 written" in result.stderr
    assert known["card"] == accepted["card"] == overridden["card"]
    assert f"{known['action']};{uuid.UUID(int=7)}" == ";".join(
        sorted(accepted["accepted"].split(";"), reverse=True)
    )
    assert known["code"] == overridden["override_codes"]
    assert known["topic"] == overridden["topic"]
    assert knowledge().version == accepted["knowledge_version"]
    assert ("", "", "") == (unknown["topic"], unknown["decided_at"], unknown["base_row"])
    assert "2026-03-16T15:00:00.000+00:00" == accepted["decided_at"]


def test_feedback_is_exported_as_one_object_a_line(database_url: str, tmp_path: Path) -> None:
    known = fill(database_url)
    file = tmp_path / "feedback.ndjson"
    result = typed(database_url, "export", "feedback", "--format", "ndjson", "--output", str(file))
    lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]

    assert 0 == result.exit_code, result.stderr
    assert ["accepted", "overridden", "overridden"] == [line["outcome"] for line in lines]
    assert known["action"] in lines[0]["accepted"]
    assert [known["code"]] == lines[1]["override_codes"]
    assert "base_row" not in lines[2]


def test_decisions_are_exported_with_facts_and_number_of_cards(database_url: str) -> None:
    fill(database_url)
    (line,) = csv.DictReader(io.StringIO(typed(database_url, "export", "decisions").stdout))
    (whole,) = typed(database_url, "export", "decisions", "--format", "ndjson").stdout.splitlines()

    assert "1" == line["cards"]
    assert "=true" in line["facts"]
    assert "false" == line["provisional"]
    assert json.loads(whole)["facts"]


def test_a_card_shown_twice_is_exported_once(database_url: str) -> None:
    """A client that fires the same hook instance again gets the same ids."""
    to = service(database_url)
    cards = [fire(to, hook_request()).get_json()["cards"][0]["uuid"] for _ in range(2)]
    said = {"card": cards[0], "outcome": "overridden", "outcomeTimestamp": "2026-03-16T15:05:00Z"}
    to.post(f"{ORDER_SELECT}/feedback", json={"feedback": [said]})

    lines = list(csv.DictReader(io.StringIO(typed(database_url, "export", "feedback").stdout)))

    assert [cards[0]] == [line["card"] for line in lines]


@pytest.mark.parametrize(
    ("bounds", "count"),
    [
        ((), 2),
        (("--since", "2026-03-15"), 1),
        (("--until", "2026-03-15"), 1),
        (("--since", "2026-03-10", "--until", "2026-03-16"), 0),
        (("--since", "2026-03-16", "--until", "2026-03-17"), 1),
    ],
)
def test_a_period_has_its_first_day_and_not_its_last(
    database_url: str, bounds: tuple[str, ...], count: int
) -> None:
    fill(database_url)
    fill(database_url, days_ago=10)

    result = typed(database_url, "export", "decisions", *bounds)

    assert count == len(list(csv.DictReader(io.StringIO(result.stdout))))


@pytest.mark.parametrize("start", ["=cmd()", "+1", "-1", "@x", "\t=1"])
def test_no_cell_is_a_formula(database_url: str, connected: sa.Connection, start: str) -> None:
    """Penetration checklist 6; the client's id is the site's own text."""
    fill(database_url)
    for table in (DECISION, FEEDBACK):
        connected.execute(sa.update(table).values(client=start))
    connected.commit()
    text = typed(database_url, "export", "feedback").stdout

    assert {f"'{start}"} == {
        line["client"] for line in csv.DictReader(io.StringIO(text, newline=""))
    }


def test_an_export_never_overwrites(database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "there.csv"
    file.write_text("kept")
    result = typed(database_url, "export", "feedback", "--output", str(file))

    assert 2 == result.exit_code
    assert "there already" in result.stderr
    assert "kept" == file.read_text()


def test_what_is_older_is_forgotten_with_its_cards(database_url: str, rows: Rows) -> None:
    fill(database_url, days_ago=500)
    fill(database_url, days_ago=300)
    days = str((utc_now() - NOW).days + 400)

    dry = typed(database_url, "forget", "--days", days, "--dry-run")
    assert "1 decisions and 3 feedback reports" in dry.stdout
    assert 2 == len(rows(DECISION))

    done = typed(database_url, "forget", "--days", days)
    assert 0 == done.exit_code, done.stderr
    assert "1 decisions and 3 feedback reports" in done.stdout
    assert (1, 1, 3) == (len(rows(DECISION)), len(rows(CARD)), len(rows(FEEDBACK)))
    assert (
        "0 decisions and 0 feedback reports" in typed(database_url, "forget", "--days", days).stdout
    )


def test_the_setting_says_how_long_when_the_command_does_not(database_url: str, rows: Rows) -> None:
    fill(database_url, days_ago=2000)
    typed(database_url, "forget", CDS_RETENTION_DAYS="36500")
    assert 1 == len(rows(DECISION))
    typed(database_url, "forget", CDS_RETENTION_DAYS="1000")
    assert [] == rows(DECISION)


def test_thousands_of_rows_are_forgotten_in_steps(
    database_url: str, connected: sa.Connection, rows: Rows
) -> None:
    fill(database_url, days_ago=2000)
    (row,) = rows(FEEDBACK)[:1]
    del row["id"]
    connected.execute(
        sa.insert(FEEDBACK), [row | {"fingerprint": f"{n:064d}"} for n in range(2500)]
    )
    connected.commit()

    assert "1 decisions and 2503 feedback" in typed(database_url, "forget", "--days", "9").stdout
    assert [] == rows(FEEDBACK)


def test_upgrade_makes_the_tables_and_says_so(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/new.sqlite3"
    assert "up to date" in typed(url, "upgrade").stdout
    assert set(METADATA.tables) <= set(sa.inspect(sa.create_engine(url)).get_table_names())


def test_upgrade_leaves_a_database_of_a_later_version_alone(
    database_url: str, connected: sa.Connection
) -> None:
    connected.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    connected.commit()
    assert "of a later version (9999" in typed(database_url, "upgrade").stdout


@pytest.mark.parametrize("command", ["export feedback", "forget", "upgrade"])
def test_a_database_that_cannot_be_used_is_a_clear_error(command: str, tmp_path: Path) -> None:
    file = tmp_path / "no-database"
    file.write_text("something else entirely, and long enough to be looked at" * 9)
    result = typed(f"sqlite:///{file}", *command.split())

    assert 2 == result.exit_code
    assert "Error: the database cannot be used (DatabaseError)" in result.stderr
    assert str(tmp_path) not in result.stderr


def test_the_database_is_closed_after_a_command(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/s.sqlite3"
    typed(url, "upgrade")

    with sqlite3.connect(tmp_path / "s.sqlite3", timeout=0) as connection:
        connection.execute("BEGIN EXCLUSIVE")
    connection.close()
