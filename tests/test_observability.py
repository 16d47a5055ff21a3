"""Log lines: an allow-list of keys, and nothing of exceptions or foreign loggers but constants."""

import json
import logging

from cds_service.observability import JsonLines, unreadable_types


def line(record: logging.LogRecord) -> dict[str, object]:
    written = json.loads(JsonLines().format(record))
    assert isinstance(written, dict)
    return written


def record(name: str = "cds_service.routes", **members: object) -> logging.LogRecord:
    return logging.makeLogRecord(
        {"name": name, "msg": "hook call", "levelname": "INFO", "levelno": 20, **members}
    )


def test_only_keys_of_the_allow_list_are_written() -> None:
    written = line(record(service="s", status=200, patient="Janet Doe"))

    assert {"service": "s", "status": 200} == {k: written[k] for k in ("service", "status")}
    assert "Janet" not in json.dumps(written)


def test_arguments_and_keys_of_foreign_loggers_are_left_out() -> None:
    written = line(
        record(
            "urllib3.connectionpool",
            msg='"GET %s"',
            args=("/Condition?patient=Janet",),
            service="Janet",
        )
    )

    assert '"GET %s"' == written["message"]
    assert "Janet" not in json.dumps(written)


def test_a_text_of_a_foreign_logger_without_arguments_is_left_out() -> None:
    written = line(record("gunicorn.error", msg="Invalid method: Janet", filename="base.py"))

    assert "(text left out)" == written["message"]
    assert "base.py" in str(written["at"])
    assert "Janet" not in json.dumps(written)


def test_an_exception_shows_type_and_place_but_not_its_text() -> None:
    try:
        int("Janet Doe")
    except ValueError as error:
        written = line(record(exc_info=(type(error), error, error.__traceback__)))

    assert "ValueError" == written["exception"]
    assert "test_observability.py" in str(written["at"])
    assert "Janet" not in json.dumps(written)


def test_unreadable_sources_become_types_without_reasons() -> None:
    decisions: list[dict[str, object]] = [
        {"unreadable": ["Observation: 503", "Condition: timeout"]},
        {"unreadable": ["Observation: incomplete"]},
        {"row": "G4"},
    ]

    assert ("Condition", "Observation") == unreadable_types(decisions)
