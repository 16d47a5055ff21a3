"""Every way in which a FHIR server may fail, by name, with what is to come of it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from cds_service.fixture_server.behaviour import Behaviour, Fault

SLOW_SECONDS = 0.05
"""Before each piece: a whole answer takes a minute at least."""
READ = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedFault:
    """One fault."""

    name: str
    behaviour: Behaviour
    reason: str
    """Why the source is unreadable; `READ` if it is rightly read."""
    is_slow: bool = False
    """Known only when the time is up."""
    of_searches: bool = False
    """A read of one resource is answered well."""
    keeps_content: bool = False
    """What was on the first page counts."""


def _status(number: int, **more: str) -> NamedFault:
    name = f"{number}{''.join(f' {key} {value}' for key, value in more.items())}"
    behaviour = Behaviour(status=number, retry_after=more.get("retry_after", ""))
    reason = "redirect" if 300 <= number < 400 else str(number)
    return NamedFault(name=name, behaviour=behaviour, reason=reason)


def _fault(
    fault: Fault, reason: str, *, of_searches: bool = False, keeps_content: bool = False
) -> NamedFault:
    return NamedFault(
        name=fault.value,
        behaviour=Behaviour(fault=fault),
        reason=reason,
        of_searches=of_searches,
        keeps_content=keeps_content,
    )


def _slow(fault: Fault, *, of_searches: bool = False) -> NamedFault:
    seconds = 60 if fault in {Fault.NONE, Fault.LATE_NEXT} else SLOW_SECONDS
    return NamedFault(
        name="late answer" if fault is Fault.NONE else fault.value,
        behaviour=Behaviour(fault=fault, delay_seconds=seconds),
        reason="incomplete" if fault is Fault.LATE_NEXT else "timeout",
        is_slow=True,
        of_searches=of_searches,
    )


def _in_an_hour() -> str:
    return format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)


FAULTS = (
    *map(_status, (201, 202, 204, 206, 304, 307, 400, 401, 403, 404, 406, 410, 429)),
    *map(_status, (500, 501, 502, 503, 504, 599)),
    _status(429, retry_after="3600"),
    _status(503, retry_after="3600"),
    NamedFault(
        name="503 retry_after date",
        behaviour=Behaviour(status=503, retry_after=_in_an_hour()),
        reason="503",
    ),
    _fault(Fault.RESET, "reset"),
    _fault(Fault.CLOSE, "reset"),
    _fault(Fault.RESET_IN_BODY, "reset"),
    _fault(Fault.CUT_OFF, "incomplete"),
    _slow(Fault.NONE),
    _slow(Fault.SLOW_HEADERS),
    _slow(Fault.TRICKLE),
    _slow(Fault.STALL),
    _slow(Fault.ENDLESS_CONTINUE),
    _slow(Fault.LATE_NEXT, of_searches=True),
    _fault(Fault.GARBAGE, "not HTTP"),
    _fault(Fault.HUGE_HEADER, "not HTTP"),
    _fault(Fault.MANY_HEADERS, "not HTTP"),
    _fault(Fault.HUGE_LENGTH, "too large"),
    _fault(Fault.LONG_LENGTH, READ),
    _fault(Fault.TWO_LENGTHS, "not HTTP"),
    _fault(Fault.SHORT_LENGTH, "not JSON"),
    _fault(Fault.TWO_ANSWERS, READ),
    _fault(Fault.ENDLESS_CHUNKS, "too large"),
    _fault(Fault.BAD_CHUNKS, "incomplete"),
    _fault(Fault.NEGATIVE_CHUNK, "incomplete"),
    _fault(Fault.CUT_CHUNKS, "incomplete"),
    _fault(Fault.CONTINUE, READ),
    _fault(Fault.EARLY_HINTS, "103"),
    NamedFault(
        name="redirect to itself", behaviour=Behaviour(fault=Fault.REDIRECT), reason="redirect"
    ),
    _fault(Fault.BAD_GZIP, "bad encoding"),
    _fault(Fault.CUT_GZIP, "not JSON"),
    _fault(Fault.GZIP_TWICE, READ),
    _fault(Fault.DEFLATE, READ),
    _fault(Fault.BROTLI, READ),
    NamedFault(
        name="gzip bomb",
        behaviour=Behaviour(pad_bytes=20_000_000, is_gzipped=True),
        reason="too large",
    ),
    NamedFault(name="too large", behaviour=Behaviour(pad_bytes=11_000_000), reason="too large"),
    NamedFault(
        name="XML", behaviour=Behaviour(content_type="application/fhir+xml"), reason="not JSON"
    ),
    _fault(Fault.NO_BODY, "not JSON"),
    _fault(Fault.HTML, "not JSON"),
    _fault(Fault.TRUNCATED, "not JSON"),
    _fault(Fault.BYTE_ORDER_MARK, READ),
    _fault(Fault.BAD_UTF8, "not JSON"),
    _fault(Fault.UTF16, "not JSON"),
    _fault(Fault.DEEP, "too large"),
    _fault(Fault.NAME_TWICE, "not JSON"),
    _fault(Fault.NAN, "not JSON"),
    _fault(Fault.ARRAY, "not FHIR"),
    _fault(Fault.NULL, "not FHIR"),
    _fault(Fault.OUTCOME, "unreadable"),
    _fault(Fault.OUTCOME_ENTRY, "incomplete", of_searches=True),
    _fault(Fault.OTHER_TYPE, "not FHIR"),
    _fault(Fault.OTHER_MATCHES, "incomplete", of_searches=True),
    _fault(Fault.OTHER_PATIENT, "other patient"),
    _fault(Fault.FOREIGN_NEXT, "incomplete", of_searches=True, keeps_content=True),
    _fault(Fault.USER_NEXT, "incomplete", of_searches=True, keeps_content=True),
    _fault(Fault.ENDLESS_NEXT, "incomplete", of_searches=True, keeps_content=True),
    _fault(Fault.SAME_NEXT, "incomplete", of_searches=True, keeps_content=True),
    _fault(Fault.FAILING_NEXT, "incomplete", of_searches=True),
)
"""What cannot be told from a good answer is not here: a search that lies about finding nothing."""
