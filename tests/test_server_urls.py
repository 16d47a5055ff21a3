"""Which addresses are one and the same, and which a token must never be sent to."""

import pytest

from cds_service.prefetch.addresses import ServerBase, allowed_base, base_of

ALLOWED = ("https://ehr.example/fhir/R4/", "http://127.0.0.1:8080/fhir")


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("https://ehr.example/fhir/R4", id="no trailing slash"),
        pytest.param("https://ehr.example/fhir/R4/", id="trailing slash"),
        pytest.param("HTTPS://EHR.Example/fhir/R4", id="upper case"),
        pytest.param("https://ehr.example:443/fhir/R4", id="default port"),
    ],
)
def test_spellings_of_an_allowed_server_are_that_server(url: str) -> None:
    expected = ServerBase(origin="https://ehr.example", path="/fhir/R4")

    assert expected == allowed_base(url, ALLOWED)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param(None, id="none"),
        pytest.param("", id="empty"),
        pytest.param("https://ehr.example", id="another path"),
        pytest.param("https://ehr.example/fhir/R4/../R4", id="dots"),
        pytest.param("https://ehr.example/fhir/r4", id="path in another case"),
        pytest.param("https://ehr.example:8443/fhir/R4", id="another port"),
        pytest.param("http://ehr.example/fhir/R4", id="http"),
        pytest.param("https://ehr.example.evil.example/fhir/R4", id="longer host"),
        pytest.param("https://ehr.example@evil.example/fhir/R4", id="user information"),
        pytest.param("https://user:pw@ehr.example/fhir/R4", id="user at the right host"),
        pytest.param("https://evil.example\\@ehr.example/fhir/R4", id="backslash"),
        pytest.param("https://ehr.example/fhir/R4?x=", id="query"),
        pytest.param("https://ehr.example/fhir/R4#", id="fragment"),
        pytest.param("https://ehr.example\n/fhir/R4", id="line feed"),
        pytest.param("https://ehr.example:port/fhir/R4", id="port that is none"),
        pytest.param("https://[::1/fhir/R4", id="bracket open"),
        pytest.param("file:///etc/fhir/R4", id="file"),
        pytest.param("//ehr.example/fhir/R4", id="no scheme"),
        pytest.param("http://2130706433:8080/fhir", id="loopback as a number"),
        pytest.param("http://127.1:8080/fhir", id="loopback cut short"),
        pytest.param("http://localhost:8080/fhir", id="loopback by name"),
        pytest.param("http://0x7f.0.0.1:8080/fhir", id="loopback in hexadecimal"),
        pytest.param("http://0177.0.0.1:8080/fhir", id="loopback in octal"),
        pytest.param("http://127.0.0.1.:8080/fhir", id="loopback with a dot behind"),
        pytest.param("http://[::ffff:127.0.0.1]:8080/fhir", id="loopback as IPv6"),
        pytest.param("http://[::1]:8080/fhir", id="loopback of IPv6"),
        pytest.param("https://ehr.example./fhir/R4", id="dot behind"),
        pytest.param("https://ehr%2eexample/fhir/R4", id="dot in percent"),
        pytest.param("https://ehr\u3002example/fhir/R4", id="ideographic dot"),
        pytest.param("https://\uff45hr.example/fhir/R4", id="wide letter"),
        pytest.param("https://\u0435hr.example/fhir/R4", id="letter of another script"),
        pytest.param("https://ehr\u00ad.example/fhir/R4", id="soft hyphen"),
        pytest.param("https://xn--hr-9ia.example/fhir/R4", id="punycode"),
        pytest.param("https://ehr.example:443:443/fhir/R4", id="port twice"),
        pytest.param("https://ehr.example:65979/fhir/R4", id="443 and 65536"),
    ],
)
def test_anything_else_is_not_an_allowed_server(url: str | None) -> None:
    """R-FHIR-05, R-FHIR-06."""
    assert allowed_base(url, ALLOWED) is None


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://127.0.0.1:8080/fhir", id="IPv4"),
        pytest.param("http://[::1]:8080/fhir", id="IPv6"),
        pytest.param("http://localhost/fhir", id="name"),
    ],
)
def test_plain_http_is_for_loopback_only(url: str) -> None:
    base = base_of(url)

    assert base is not None
    assert url == base.url
    assert base_of("http://192.0.2.7/fhir") is None


@pytest.mark.parametrize("host", ["m\u00fcnchen.example", "ehr\u3002example", "\uff45hr.example"])
def test_a_host_is_named_in_ascii_on_both_sides(host: str) -> None:
    """Which name IDNA makes of it depends on who asks; the punycode form is clear to all."""
    url = f"https://{host}/fhir"
    punycode = "https://xn--mnchen-3ya.example/fhir"

    assert base_of(url) is None
    assert allowed_base(url, (url,)) is None
    assert allowed_base(punycode, (punycode,)) is not None


def test_an_entry_that_is_no_address_allows_nothing() -> None:
    assert allowed_base("ehr.example", ("ehr.example", "")) is None


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        pytest.param(
            "https://ehr.example/fhir/R4/Condition?page=2",
            "https://ehr.example/fhir/R4/Condition?page=2",
            id="below the base",
        ),
        pytest.param(
            "https://EHR.example:443/fhir?_getpages=7",
            "https://ehr.example/fhir?_getpages=7",
            id="elsewhere on the origin, default port",
        ),
        pytest.param(
            "https://ehr.example:443:443/fhir/R4/Condition?page=2",
            "https://ehr.example/fhir/R4/Condition?page=2",
            id="port twice",
        ),
        pytest.param(
            "Condition?page=2", "https://ehr.example/fhir/R4/Condition?page=2", id="relative"
        ),
        pytest.param("/other?page=2", "https://ehr.example/other?page=2", id="absolute path"),
        pytest.param(
            "https://ehr.example/fhir/R4/Condition?page=a@b#top",
            "https://ehr.example/fhir/R4/Condition?page=a@b",
            id="at sign in the query, fragment",
        ),
    ],
)
def test_a_link_on_the_same_origin_is_followed_there(link: str, expected: str) -> None:
    base = base_of("https://ehr.example/fhir/R4")

    assert base is not None
    assert expected == base.on_same_origin(link)


@pytest.mark.parametrize(
    "link",
    [
        pytest.param("https://evil.example/fhir/R4/Condition?page=2", id="another host"),
        pytest.param("//evil.example/fhir/R4", id="another host, same scheme"),
        pytest.param("http://ehr.example/fhir/R4/Condition?page=2", id="http"),
        pytest.param("https://ehr.example:8443/fhir/R4/Condition", id="another port"),
        pytest.param("https://ehr.example:443:8443/fhir/R4", id="two ports"),
        pytest.param("https://ehr.example@evil.example/fhir/R4", id="user information"),
        pytest.param("https://evil.example\\@ehr.example/", id="backslash"),
        pytest.param("\\\\evil.example/fhir", id="backslashes for slashes"),
        pytest.param("https://ehr.example\t.evil.example/", id="tab"),
        pytest.param("javascript:alert(1)", id="another scheme"),
        pytest.param("https://[ehr.example/fhir", id="bracket open"),
    ],
)
def test_a_link_that_leaves_the_origin_is_not_followed(link: str) -> None:
    """R-FHIR-08, R-PRE-14."""
    base = base_of("https://ehr.example/fhir/R4")

    assert base is not None
    assert base.on_same_origin(link) is None
