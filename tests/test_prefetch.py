"""Filling the gaps of prefetch over real HTTP, from servers that behave and that do not."""

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fhir_calls import (
    CHARTS,
    GENEROUS_SECONDS,
    MARGIN_SECONDS,
    SHORT_SECONDS,
    TOKEN,
    Published,
    all_but,
    bundle,
    ids_in,
    outcome_of,
    read_all,
    request_to,
    resource,
    sources_of,
)
from fixture_stories import PREFETCH_KEYS

from cds_service.chart.sources import SourceState, read_sources
from cds_service.fixture_server.behaviour import Behaviour, Fault
from cds_service.fixture_server.server import FixtureServer
from cds_service.fixture_server.store import FixtureStore
from cds_service.knowledge import ServiceDescription
from cds_service.prefetch.addresses import base_of
from cds_service.prefetch.reader import MAX_PAGES, FhirReader, complete
from cds_service.prefetch.server import Access, Deadline, ReadFailure

pytestmark = pytest.mark.xdist_group("timed")

CONDITIONS = [resource("Condition", number) for number in range(1, 8)]
OUTCOME = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "login"}]}


@pytest.fixture
def reader() -> Iterator[FhirReader]:
    reader = FhirReader()
    yield reader
    reader.close()


@pytest.fixture
def tripwire() -> Iterator[FixtureServer]:
    with FixtureServer(CHARTS) as server:
        yield server


def test_every_missing_source_is_read_with_the_published_query(reader: FhirReader) -> None:
    """R-PRE-11, R-PRE-17."""
    with FixtureServer(CHARTS, strict=True) as server:
        sources = read_all(server, reader)

        asked = sorted((r.resource_type, r.query) for r in server.requests)

    assert list(PREFETCH_KEYS) == list(sources)
    assert {SourceState.READ} == {source.state for source in sources.values()}
    assert resource("Patient", 1) == sources["patient"].content
    assert ["Condition-p1-1"] == ids_in(sources["conditions"])
    assert asked == sorted(
        [
            (name, (("patient", "p1"),))
            for name in PREFETCH_KEYS.values()
            if name not in ("Patient", "Observation")
        ]
        + [
            ("Patient", ()),
            ("Observation", (("patient", "p1"), ("_sort", "-date"), ("_count", "200"))),
        ]
    )


def test_every_request_carries_the_token_and_asks_for_fhir_json(reader: FhirReader) -> None:
    """R-FHIR-02."""
    with FixtureServer(CHARTS, token=TOKEN) as server:
        sources = read_all(server, reader)

        headers = [r.headers for r in server.requests]

    assert {SourceState.READ} == {source.state for source in sources.values()}
    assert {f"Bearer {TOKEN}"} == {h["authorization"] for h in headers}
    assert {"application/fhir+json"} == {h["accept"] for h in headers}


def test_all_missing_sources_are_asked_for_at_the_same_time(reader: FhirReader) -> None:
    with FixtureServer(CHARTS, gather=len(PREFETCH_KEYS)) as server:
        read_all(server, reader)

        assert len(PREFETCH_KEYS) == server.most_at_once


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(None, id="null"),
        pytest.param(bundle(), id="empty bundle"),
        pytest.param(bundle(*CONDITIONS), id="bundle"),
        pytest.param(OUTCOME, id="OperationOutcome"),
        pytest.param({}, id="empty object"),
        pytest.param("<html>", id="string"),
        pytest.param([1, 2], id="array"),
        pytest.param({"response": {"status": "404"}, "resource": None}, id="old wrapper"),
    ],
)
def test_what_was_sent_is_taken_as_it_is_and_not_asked_for_again(
    content: object, reader: FhirReader
) -> None:
    """R-PRE-09, R-PRE-10, R-PRE-15."""
    with FixtureServer(CHARTS) as server:
        sources = read_all(server, reader, prefetch={"conditions": content})

        assert () == server.requests_for("Condition")

    assert SourceState.READ is sources["conditions"].state
    assert content == sources["conditions"].content
    assert () == sources["conditions"].more


def test_a_key_under_another_name_fills_the_gap_of_its_type(reader: FhirReader) -> None:
    included = {"resource": resource("Patient", 1), "search": {"mode": "include"}}
    problems = bundle(*CONDITIONS[:2])
    problems["entry"] = [*problems["entry"], included]  # type: ignore[misc]  # a list

    sources = sources_of(
        request_to(
            None,
            prefetch={
                "-user": {"resourceType": "Practitioner"},
                "epic-patient": resource("Patient", 1),
                "problems": problems,
                "diagnoses": bundle(CONDITIONS[2]),
            },
        ),
        reader,
    )

    assert resource("Patient", 1) == sources["patient"].content
    assert (SourceState.READ, "") == outcome_of(sources["conditions"])
    assert problems == sources["conditions"].content
    assert (bundle(CONDITIONS[2]),) == sources["conditions"].more
    assert (SourceState.NOT_SENT, "") == outcome_of(sources["devices"])


def test_a_published_key_with_the_wrong_content_fills_no_other_gap(reader: FhirReader) -> None:
    """R-PRE-15."""
    sources = sources_of(request_to(None, prefetch={"devices": bundle(*CONDITIONS)}), reader)

    assert (SourceState.READ, "") == outcome_of(sources["devices"])
    assert (SourceState.NOT_SENT, "") == outcome_of(sources["conditions"])


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(None, id="null"),
        pytest.param(bundle(), id="empty bundle"),
        pytest.param(bundle(CONDITIONS[0], resource("Device", 1)), id="two types"),
        pytest.param({"resourceType": "Bundle", "entry": [OUTCOME, 7]}, id="junk"),
        pytest.param("text", id="string"),
        pytest.param(resource("Goal", 1), id="a type that is not asked for"),
    ],
)
def test_an_unknown_key_of_unclear_content_is_ignored(content: object, reader: FhirReader) -> None:
    """R-PRE-16."""
    sources = sources_of(request_to(None, prefetch={"other": content}), reader)

    assert {SourceState.NOT_SENT} == {source.state for source in sources.values()}


def test_an_unknown_key_adds_nothing_to_a_key_that_was_sent(reader: FhirReader) -> None:
    """R-PRE-16."""
    prefetch = {"conditions": None, "problems": bundle(*CONDITIONS)}

    source = sources_of(request_to(None, prefetch=prefetch), reader)["conditions"]

    assert source.content is None
    assert () == source.more


def test_no_call_is_made_without_a_token(reader: FhirReader) -> None:
    """R-FHIR-01."""
    with FixtureServer(CHARTS) as server:
        for token in (None, "", "two words", "line\nfeed", "caf\u00e9"):
            sources = sources_of(request_to(server.base_url, token=token), reader, server.base_url)

            assert {(SourceState.NOT_SENT, "")} == set(map(outcome_of, sources.values()))

        assert () == server.requests


def test_no_call_is_made_to_a_server_that_is_not_allowed(
    reader: FhirReader, tripwire: FixtureServer
) -> None:
    """R-FHIR-05."""
    host = tripwire.origin.removeprefix("http://")
    for url in (
        tripwire.base_url,
        f"http://ehr.example@{host}/fhir",
        f"http://{host}/fhir/",
        tripwire.base_url.replace("127.0.0.1", "localhost"),
    ):
        sources = sources_of(
            request_to(url), reader, "https://ehr.example/fhir", f"http://{host}/other"
        )

        assert {(SourceState.NOT_SENT, "")} == set(map(outcome_of, sources.values()))

    assert () == tripwire.requests


def test_no_call_is_made_without_a_server_or_for_an_unknown_service(
    reader: FhirReader, tripwire: FixtureServer
) -> None:
    for request in (request_to(None), request_to(tripwire.base_url, service_id="other")):
        sources = sources_of(request, reader, tripwire.base_url)

        assert {(SourceState.NOT_SENT, "")} == set(map(outcome_of, sources.values()))

    assert () == tripwire.requests


@pytest.mark.parametrize(
    "patient_id", ["", ".", "..", "p1,p2", "p1&_id=p2", "p1|p2", "a/b", "a b", "p1?x", "p1%2Cp2"]
)
def test_a_patient_id_that_could_widen_the_query_is_not_sent(
    patient_id: str, reader: FhirReader, tripwire: FixtureServer
) -> None:
    """R-FHIR-04."""
    request = request_to(tripwire.base_url, patient_id=patient_id)

    sources = sources_of(request, reader, tripwire.base_url)

    assert {SourceState.NOT_SENT} == {source.state for source in sources.values()}
    assert () == tripwire.requests


def test_an_unusual_patient_id_is_quoted(reader: FhirReader) -> None:
    chart = [resource("Patient", 1, "p:1+ü"), resource("Device", 1, "p:1+ü")]
    with FixtureServer(chart) as server:
        request = request_to(server.base_url, patient_id="p:1+ü")
        sources = sources_of(request, reader, server.base_url)

        assert (("patient", "p:1+ü"),) == server.requests_for("Device")[0].query

    assert chart[0] == sources["patient"].content
    assert ["Device-p:1+ü-1"] == ids_in(sources["devices"])


@pytest.mark.parametrize("pages_at_base", [False, True], ids=["_offset", "cursor at the base"])
def test_all_pages_are_read(pages_at_base: bool, reader: FhirReader) -> None:  # noqa: FBT001
    """R-PRE-14."""
    with FixtureServer(CONDITIONS, page_limit=3, pages_at_base=pages_at_base) as server:
        source = read_all(server, reader, prefetch=all_but("conditions"))["conditions"]

        assert 3 == len(server.requests)

    assert (SourceState.READ, "") == outcome_of(source)
    assert [c["id"] for c in CONDITIONS] == ids_in(source)
    assert 2 == len(source.more)


def test_pages_after_the_one_that_was_sent_are_read(reader: FhirReader) -> None:
    """R-PRE-14."""
    with FixtureServer(CONDITIONS, page_limit=3) as server:
        next_url = f"{server.base_url}/Condition?patient=p1&_offset=3"
        sent = bundle(*CONDITIONS[:3], next_url=next_url)
        source = read_all(server, reader, prefetch={**all_but("conditions"), "conditions": sent})[
            "conditions"
        ]

    assert (SourceState.READ, "") == outcome_of(source)
    assert sent == source.content
    assert [c["id"] for c in CONDITIONS] == ids_in(source)


def test_a_page_that_may_not_be_asked_for_leaves_the_source_incomplete(
    reader: FhirReader, tripwire: FixtureServer
) -> None:
    sent = bundle(*CONDITIONS, next_url=f"{tripwire.base_url}/Condition?patient=p1")

    source = sources_of(request_to(tripwire.base_url, prefetch={"conditions": sent}), reader)[
        "conditions"
    ]

    assert (SourceState.UNREADABLE, "incomplete") == outcome_of(source)
    assert sent == source.content
    assert () == tripwire.requests


def test_a_next_link_to_another_origin_is_not_followed(
    reader: FhirReader, tripwire: FixtureServer
) -> None:
    """R-FHIR-08, R-PRE-14."""
    foreign = Behaviour(fault=Fault.FOREIGN_NEXT, target=tripwire.origin)
    with FixtureServer(CONDITIONS, behaviours={"Condition": foreign}) as server:
        fetched = read_all(server, reader, prefetch=all_but("conditions"))["conditions"]
        sent = bundle(*CONDITIONS, next_url=f"{tripwire.base_url}/Condition?patient=p1")
        sent_too = read_all(server, reader, prefetch={"conditions": sent})["conditions"]

    assert (SourceState.UNREADABLE, "incomplete") == outcome_of(fetched)
    assert [c["id"] for c in CONDITIONS] == ids_in(fetched)
    assert (SourceState.UNREADABLE, "incomplete") == outcome_of(sent_too)
    assert () == tripwire.requests


@pytest.mark.parametrize(
    "url", [7, None, "", "http://[", "javascript:alert(1)"], ids=["7", "null", "", "[", "script"]
)
def test_a_next_link_that_is_no_url_leaves_the_source_incomplete(
    url: object, reader: FhirReader
) -> None:
    sent = bundle(*CONDITIONS)
    sent["link"] = [None, {"relation": "self"}, {"relation": "next", "url": url}]
    with FixtureServer(CONDITIONS) as server:
        source = read_all(server, reader, prefetch={**all_but("conditions"), "conditions": sent})[
            "conditions"
        ]

        assert () == server.requests

    assert (SourceState.UNREADABLE, "incomplete") == outcome_of(source)


@pytest.mark.parametrize(
    ("fault", "requests"), [(Fault.ENDLESS_NEXT, MAX_PAGES), (Fault.SAME_NEXT, 2)]
)
def test_pages_without_end_are_cut_short(fault: Fault, requests: int, reader: FhirReader) -> None:
    with FixtureServer(CONDITIONS, behaviours={"Condition": Behaviour(fault=fault)}) as server:
        source = read_all(server, reader, prefetch=all_but("conditions"))["conditions"]

        assert requests == len(server.requests)

    assert (SourceState.UNREADABLE, "incomplete") == outcome_of(source)
    assert CONDITIONS[0]["id"] == ids_in(source)[0]


def test_a_redirect_is_not_followed(reader: FhirReader, tripwire: FixtureServer) -> None:
    """R-FHIR-08."""
    away = Behaviour(fault=Fault.REDIRECT, target=tripwire.origin)
    with FixtureServer(CHARTS, behaviours={"Condition": away}) as server:
        source = read_all(server, reader)["conditions"]

        assert 1 == len(server.requests_for("Condition"))

    assert (SourceState.UNREADABLE, "redirect") == outcome_of(source)
    assert () == tripwire.requests


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        pytest.param(Behaviour(status=401), "401", id="401"),
        pytest.param(Behaviour(status=403), "403", id="403"),
        pytest.param(Behaviour(status=404), "404", id="404"),
        pytest.param(Behaviour(status=429, retry_after="60"), "429", id="429"),
        pytest.param(Behaviour(status=500), "500", id="500"),
        pytest.param(Behaviour(status=503), "503", id="503"),
        pytest.param(Behaviour(fault=Fault.HTML), "not JSON", id="log-in page"),
        pytest.param(Behaviour(content_type="application/xml"), "not JSON", id="XML"),
        pytest.param(Behaviour(fault=Fault.TRUNCATED), "not JSON", id="half of the JSON"),
        pytest.param(Behaviour(fault=Fault.BAD_GZIP), "bad encoding", id="not packed as it says"),
        pytest.param(Behaviour(fault=Fault.CUT_OFF), "incomplete", id="cut off"),
        pytest.param(Behaviour(fault=Fault.RESET), "reset", id="reset"),
        pytest.param(Behaviour(pad_bytes=11_000_000), "too large", id="too large"),
        pytest.param(
            Behaviour(pad_bytes=50_000_000, is_gzipped=True), "too large", id="too large unpacked"
        ),
    ],
)
def test_a_failure_has_its_reason_and_does_not_spoil_the_others(
    behaviour: Behaviour, reason: str, reader: FhirReader
) -> None:
    """R-FHIR-07."""
    with FixtureServer(CHARTS, behaviours={"Condition": behaviour}) as server:
        sources = read_all(server, reader)

    failed = sources.pop("conditions")
    assert (SourceState.UNREADABLE, reason) == outcome_of(failed)
    assert failed.content is None
    assert {(SourceState.READ, "")} == set(map(outcome_of, sources.values()))


def test_an_answer_of_another_kind_is_not_taken_for_the_source(reader: FhirReader) -> None:
    with FixtureServer(CHARTS) as server:
        published = Published(
            services=(
                ServiceDescription(
                    id="lumbar-mri-order-select",
                    hook="order-select",
                    title="",
                    description="",
                    usage_requirements="",
                    prefetch={"devices": "Patient/{{context.patientId}}", "a": "metadata?"},
                ),
            ),
            prefetch_types={"devices": "Device", "a": "Condition"},
        )
        sources = complete(
            request_to(server.base_url),
            published,
            allowed_servers=(server.base_url,),
            reader=reader,
            budget_seconds=GENEROUS_SECONDS,
            monotonic=time.monotonic,
        )

    assert {(SourceState.UNREADABLE, "not FHIR")} == set(map(outcome_of, sources))


def test_an_answer_that_is_nested_too_deeply_is_too_large(reader: FhirReader) -> None:
    nested: dict[str, object] = {}
    for _ in range(300):
        nested = {"extension": [nested]}
    with FixtureServer([*CHARTS, {**resource("Condition", 2), **nested}]) as server:
        source = read_all(server, reader)["conditions"]

    assert (SourceState.UNREADABLE, "too large") == outcome_of(source)


@pytest.mark.parametrize("fault", [Fault.OUTCOME, Fault.EMPTY, Fault.EPIC_EMPTY])
def test_what_a_200_says_of_its_search_is_left_for_the_chart_to_judge(
    fault: Fault, reader: FhirReader
) -> None:
    with FixtureServer(CHARTS, behaviours={"Condition": Behaviour(fault=fault)}) as server:
        source = read_all(server, reader)["conditions"]

    assert (SourceState.READ, "") == outcome_of(source)
    assert isinstance(source.content, dict)
    assert ("OperationOutcome" if fault is Fault.OUTCOME else "Bundle") == source.content[
        "resourceType"
    ]


def test_a_gzipped_answer_without_media_type_is_read(reader: FhirReader) -> None:
    plain = Behaviour(is_gzipped=True, content_type="")
    with FixtureServer(CHARTS, behaviours={"Condition": plain}) as server:
        source = read_all(server, reader)["conditions"]

    assert ["Condition-p1-1"] == ids_in(source)


def test_a_server_that_is_not_there_is_unreachable(reader: FhirReader) -> None:
    with FixtureServer() as server:
        gone = server.base_url

    sources = sources_of(request_to(gone), reader, gone)

    assert {(SourceState.UNREADABLE, "unreachable")} == set(map(outcome_of, sources.values()))


def test_a_server_without_tls_behind_https_is_unreadable(reader: FhirReader) -> None:
    with FixtureServer(CHARTS) as server:
        url = server.base_url.replace("http:", "https:")
        sources = sources_of(request_to(url), reader, url)

        assert () == server.requests

    assert {(SourceState.UNREADABLE, "TLS")} == set(map(outcome_of, sources.values()))


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(Behaviour(status=429, retry_after="0", times=1), id="429, at once"),
        pytest.param(Behaviour(status=502, times=1), id="502"),
        pytest.param(Behaviour(status=503, times=1), id="503"),
        pytest.param(Behaviour(status=504, times=1), id="504"),
        pytest.param(Behaviour(fault=Fault.RESET, times=1), id="reset"),
    ],
)
def test_what_may_pass_soon_is_tried_once_more(behaviour: Behaviour, reader: FhirReader) -> None:
    with FixtureServer(CHARTS, behaviours={"Condition": behaviour}) as server:
        source = read_all(server, reader)["conditions"]

        assert 2 == len(server.requests_for("Condition"))

    assert (SourceState.READ, "") == outcome_of(source)


@pytest.mark.parametrize(
    ("behaviour", "requests"),
    [
        pytest.param(Behaviour(status=503), 2, id="503 twice"),
        pytest.param(Behaviour(status=503, retry_after="60"), 1, id="come back in a minute"),
        pytest.param(
            Behaviour(status=503, retry_after="Thu, 31 Dec 2099 12:00:00 GMT"), 1, id="a date"
        ),
        pytest.param(Behaviour(status=500), 1, id="500"),
        pytest.param(Behaviour(status=401), 1, id="401"),
    ],
)
def test_there_is_one_retry_and_only_where_it_helps(
    behaviour: Behaviour, requests: int, reader: FhirReader
) -> None:
    with FixtureServer(CHARTS, behaviours={"Condition": behaviour}) as server:
        source = read_all(server, reader)["conditions"]

        assert requests == len(server.requests_for("Condition"))

    assert (SourceState.UNREADABLE, str(behaviour.status)) == outcome_of(source)


def test_a_server_that_refuses_parameters_is_asked_by_patient_alone(reader: FhirReader) -> None:
    with FixtureServer(CHARTS, strict=True, refused_parameters=("_sort", "_count")) as server:
        source = read_all(server, reader)["observations"]

        assert (("patient", "p1"),) == server.requests_for("Observation")[-1].query

    assert ["Observation-p1-1"] == ids_in(source)


def test_a_400_to_the_plain_query_is_final(reader: FhirReader) -> None:
    bad = {"Observation": Behaviour(status=400), "Condition": Behaviour(status=400)}
    with FixtureServer(CHARTS, behaviours=bad) as server:
        sources = read_all(server, reader)

        assert 2 == len(server.requests_for("Observation"))
        assert 1 == len(server.requests_for("Condition"))

    assert (SourceState.UNREADABLE, "400") == outcome_of(sources["observations"])
    assert (SourceState.UNREADABLE, "400") == outcome_of(sources["conditions"])


@pytest.mark.parametrize(
    "slow",
    [
        pytest.param(Behaviour(delay_seconds=60), id="late answer"),
        pytest.param(Behaviour(delay_seconds=0.1, fault=Fault.TRICKLE), id="trickle"),
    ],
)
def test_the_answer_comes_within_the_budget_without_what_is_late(
    slow: Behaviour, reader: FhirReader
) -> None:
    """R-FHIR-07."""
    with FixtureServer(CHARTS, behaviours={"Condition": slow}) as server:
        started = time.monotonic()
        sources = read_all(server, reader, seconds=SHORT_SECONDS)
        took = time.monotonic() - started

    assert (SourceState.UNREADABLE, "timeout") == outcome_of(sources.pop("conditions"))
    assert {(SourceState.READ, "")} == set(map(outcome_of, sources.values()))
    assert SHORT_SECONDS + MARGIN_SECONDS > took


def test_the_pages_that_came_in_time_are_kept(reader: FhirReader) -> None:
    slow = {"Condition": Behaviour(delay_seconds=60)}
    with FixtureServer(CONDITIONS, behaviours=slow) as server:
        sent = bundle(CONDITIONS[0], next_url=f"{server.base_url}/Condition?patient=p1&_offset=1")
        prefetch = {**all_but("conditions"), "conditions": sent}
        source = read_all(server, reader, prefetch=prefetch, seconds=SHORT_SECONDS)["conditions"]

    assert (SourceState.UNREADABLE, "incomplete") == outcome_of(source)
    assert sent == source.content


def test_nothing_is_asked_when_the_budget_is_spent(
    reader: FhirReader, tripwire: FixtureServer
) -> None:
    sources = read_all(tripwire, reader, seconds=0.0)

    assert {(SourceState.UNREADABLE, "timeout")} == set(map(outcome_of, sources.values()))
    assert () == tripwire.requests


def test_a_late_reader_is_not_waited_for_by_the_next_call(reader: FhirReader) -> None:
    with (
        FixtureServer(CHARTS, behaviours={"Condition": Behaviour(delay_seconds=60)}) as slow,
        FixtureServer(CHARTS) as fast,
    ):
        read_all(slow, reader, seconds=SHORT_SECONDS)
        sources = read_all(fast, reader)

    assert {SourceState.READ} == {source.state for source in sources.values()}


def test_a_trickling_body_ends_with_the_deadline_and_frees_its_thread(reader: FhirReader) -> None:
    trickle = Behaviour(delay_seconds=0.05, fault=Fault.TRICKLE)
    with FixtureServer(CHARTS, behaviours={"Condition": trickle}) as server:
        started = time.monotonic()
        with pytest.raises(ReadFailure, match=r"^timeout$"):
            reader.server("", server.origin).get(
                f"{server.base_url}/Condition",
                TOKEN,
                Deadline(at=started + SHORT_SECONDS, monotonic=time.monotonic),
            )

        assert SHORT_SECONDS + MARGIN_SECONDS > time.monotonic() - started


def test_the_token_is_in_no_log_and_in_no_text_of_an_object(
    reader: FhirReader, caplog: pytest.LogCaptureFixture
) -> None:
    """R-FHIR-03."""
    caplog.set_level(logging.DEBUG)
    faults = [Fault.RESET, Fault.HTML, Fault.CUT_OFF, Fault.TRUNCATED, Fault.SAME_NEXT]
    bad = dict(
        zip(PREFETCH_KEYS.values(), (Behaviour(fault=fault) for fault in faults), strict=False)
    )
    with FixtureServer(CHARTS, behaviours=bad) as server:
        request = request_to(server.base_url)
        sources = sources_of(request, reader, server.base_url)
        base = base_of(server.base_url)

    assert base is not None
    assert "urllib3" in {record.name.partition(".")[0] for record in caplog.records}
    for text in (
        caplog.text,
        repr(sources),
        repr(request),
        repr(Access(base=base, token=TOKEN)),
        repr(vars(reader)),
    ):
        assert TOKEN not in text


def test_neither_cookies_nor_tokens_of_one_call_reach_the_next(reader: FhirReader) -> None:
    """R-FHIR-03."""
    with FixtureServer(CHARTS) as server:
        read_all(server, reader)
        first = len(server.requests)
        sources_of(request_to(server.base_url, token="second"), reader, server.base_url)

        later = server.requests[first:]

    assert {"Bearer second"} == {r.headers["authorization"] for r in later}
    assert {None} == {r.headers.get("cookie") for r in later}


def test_proxies_and_passwords_of_the_environment_are_not_used(
    reader: FhirReader,
    tripwire: FixtureServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password secret\n", "utf-8")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", tripwire.origin)
    monkeypatch.setenv("HTTP_PROXY", tripwire.origin)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with FixtureServer(CHARTS, token=TOKEN) as server:
        sources = read_all(server, reader)

    assert {SourceState.READ} == {source.state for source in sources.values()}
    assert () == tripwire.requests


def test_a_whole_synthea_chart_is_read_page_by_page(shared: Path, reader: FhirReader) -> None:
    folder = shared / "realworld" / "patients" / "synthea-r4"
    store = FixtureStore.of_folder(folder)
    (patient, *_) = store.search("Patient", [], ignore_unknown=False)
    expected = {
        key: len(store.search(name, [("patient", str(patient["id"]))], ignore_unknown=False))
        for key, name in PREFETCH_KEYS.items()
        if key != "patient"
    }
    with FixtureServer(folder, strict=True) as server:
        request = request_to(server.base_url, patient_id=str(patient["id"]))
        sources = sources_of(request, reader, server.base_url)

    assert {(SourceState.READ, "")} == set(map(outcome_of, sources.values()))
    assert patient == sources["patient"].content
    assert expected == {key: len(ids_in(sources[key])) for key in expected}
    assert 250 < expected["observations"]


def test_documents_and_bookings_are_read_under_any_key(reader: FhirReader) -> None:
    """Decision table §7: no template asks for them, but what a client sends is not thrown away."""
    more = {**bundle(resource("DocumentReference", 1)), "link": [{"relation": "next", "url": "x"}]}
    visits = bundle(resource("Appointment", 1), resource("Goal", 1))
    prefetch = {"documents": more, "visits": visits, "goals": bundle(resource("Goal", 1))}

    sources = sources_of(request_to(None, prefetch=prefetch), reader)

    extra = [sources["documents"], sources["visits"]]
    assert "goals" not in sources
    assert [("DocumentReference", True), ("Appointment", True)] == [
        (source.resource_type, source.is_extra) for source in extra
    ]
    assert {} == read_sources(extra).unreadable
    assert 3 == len(read_sources(extra).rows)
